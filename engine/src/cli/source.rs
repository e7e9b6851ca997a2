//! Who answers a thin client: the node on this machine, a node elsewhere, or the store when none runs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use keyline_actors::catalog::ChangeRequest;
use keyline_domain::audit::{COMMAND_LINE, Mark, Who};
use keyline_domain::inventory::{Kind, Step};

use super::args::{How, Place};
use super::listing::Table;
use super::noun::Noun;
use super::{Failure, World};
use crate::admin::changes::{answered, bulk_steps, dependencies, repeatable_as};
use crate::admin::control::{Ask, Control, ControlError, Method, escape};
use crate::admin::lists::{self, List, Query};
use crate::admin::remote::Remote;
use crate::admin::{OfflineApi, audit};
use crate::config::Config;

/// Parameters of a list.
pub(super) type Pairs = Vec<(String, String)>;

/// A change that is asked for: as a request, and as the step that the node makes of it.
pub(super) struct Order<'a> {
    pub(super) method: Method,
    /// Below `/api/v1`.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) step: Step,
    pub(super) how: &'a How,
}

/// Who answers.
pub(super) enum Source {
    /// A running node.
    Node(Control),
    /// The store of this machine's data directory, opened for this command.
    Store(Box<dyn OfflineApi>),
}

impl Source {
    /// A running node; what is asked is known by nobody else.
    pub(super) fn running(place: &Place, config: &Config) -> Result<Self, Failure> {
        if let Some(remote) = remote(place)? {
            return Ok(Self::Node(Control::remote(&remote)?));
        }
        let node = Control::connect(&config.node.data_dir)?.ok_or_else(|| {
            let place = config.node.data_dir.display();
            Failure::Refused(format!(
                "no node runs on {place}; start one with `keyline serve`, or name another with --data"
            ))
        })?;
        Ok(Self::Node(node))
    }

    /// A running node, else the store, which is made if it is not there; for changes.
    pub(super) fn changing(
        place: &Place,
        config: &Config,
        how: &How,
        world: &World<'_>,
    ) -> Result<Self, Failure> {
        Self::changing_unless(how.dry_run, place, config, world)
    }

    /// The same, but a dry run makes no store.
    pub(super) fn changing_unless(
        dry_run: bool,
        place: &Place,
        config: &Config,
        world: &World<'_>,
    ) -> Result<Self, Failure> {
        if dry_run || place.url.is_some() {
            return Self::any(place, config, world);
        }
        match Control::connect(&config.node.data_dir)? {
            Some(node) => Ok(Self::Node(node)),
            None => Ok(Self::Store(world.backend.open(config)?)),
        }
    }

    /// A running node, else the store.
    pub(super) fn any(place: &Place, config: &Config, world: &World<'_>) -> Result<Self, Failure> {
        if let Some(remote) = remote(place)? {
            return Ok(Self::Node(Control::remote(&remote)?));
        }
        let data = &config.node.data_dir;
        match Control::connect(data)? {
            Some(node) => Ok(Self::Node(node)),
            // A question does not make a data directory.
            None if !data.join(crate::admin::TOKEN_FILE).exists() => Err(Failure::Refused(format!(
                "{} holds no data and no node runs on it; `keyline init` or `keyline import` begins one",
                data.display()
            ))),
            None => Ok(Self::Store(world.backend.open(config)?)),
        }
    }

    /// A page of a list: its path below `/api/v1` and, if the store can answer too, which it is.
    pub(super) fn page(&mut self, path: &str, list: Option<List>, pairs: Pairs) -> Result<Value, Failure> {
        match (self, list) {
            (Self::Node(node), _) => Ok(node.json(&format!("/api/v1/{path}?{}", encoded(&pairs)))?),
            (Self::Store(store), Some(list)) => {
                let query = Query::parse(list.shape(), &pairs).map_err(refused)?;
                store.read(Box::new(move |world| Ok(list.page(world, &query).body()))).map_err(refused)
            }
            (Self::Store(store), None) if path == "audit" => {
                audit::page(&store.audit(), pairs).map_err(refused)
            }
            (Self::Store(_), None) => Err(Failure::Control(ControlError::Strange)),
        }
    }

    /// A page of what names an object.
    pub(super) fn dependencies(&mut self, noun: &Noun, name: &str, pairs: Pairs) -> Result<Value, Failure> {
        match (self, noun.table.list) {
            (Self::Node(node), _) => {
                let path = noun.path_of(name);
                Ok(node.json(&format!("/api/v1/{path}/dependencies?{}", encoded(&pairs)))?)
            }
            (Self::Store(store), Some(list)) => {
                let name = list.canonical(name);
                store.read(Box::new(move |world| dependencies(list, world, &name, &pairs))).map_err(refused)
            }
            (Self::Store(_), None) => Err(Failure::Control(ControlError::Strange)),
        }
    }

    /// Whether the audit is whole, and contains a mark.
    pub(super) fn verified(&mut self, expect: Option<Mark>) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => {
                let query = expect.map(|mark| format!("?expect={}", escape(&mark.to_string())));
                Ok(node.json(&format!("/api/v1/audit/verify{}", query.unwrap_or_default()))?)
            }
            Self::Store(store) => audit::verify(&store.audit(), expect).map_err(refused),
        }
    }

    /// One object of a kind.
    pub(super) fn object(&mut self, noun: &Noun, name: &str) -> Result<Value, Failure> {
        match (self, noun.table.list) {
            (Self::Node(node), _) => Ok(node.json(&format!("/api/v1/{}", noun.path_of(name)))?),
            (Self::Store(store), Some(list)) => {
                let name = list.canonical(name);
                store.read(Box::new(move |world| list.one(world, &name))).map_err(refused)
            }
            (Self::Store(store), None) if noun.kind == Kind::EnterprisePhone => {
                let read =
                    |world: &lists::World<'_>| Ok(json!({ "hardening": world.inventory.enterprise_phone() }));
                store.read(Box::new(read)).map_err(refused)
            }
            (Self::Store(_), None) => Err(Failure::Control(ControlError::Strange)),
        }
    }

    /// One of the facts that nobody configures.
    pub(super) fn listed(&mut self, table: &Table, name: &str) -> Result<Value, Failure> {
        match (self, table.list) {
            (Self::Node(node), _) => Ok(node.json(&format!("/api/v1/{}/{}", table.path, escape(name)))?),
            (Self::Store(store), Some(list)) => {
                let name = name.to_owned();
                store.read(Box::new(move |world| list.one(world, &name))).map_err(refused)
            }
            (Self::Store(_), None) => Err(Failure::Control(ControlError::Strange)),
        }
    }

    /// What profiles and phones of a model may have.
    pub(super) fn options(&mut self, model: &str, protocol: Option<&str>) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => {
                let protocol = protocol.map(|p| format!("&protocol={}", escape(p))).unwrap_or_default();
                let path = format!("/api/v1/security-profile-options?model={}{protocol}", escape(model));
                Ok(node.json(&path)?)
            }
            Self::Store(store) => {
                let (model, protocol) = (model.to_owned(), protocol.map(str::to_owned));
                let read = move |world: &lists::World<'_>| {
                    lists::profile_options(world, &model, protocol.as_deref())
                };
                store.read(Box::new(read)).map_err(refused)
            }
        }
    }

    /// The way to a secure phone.
    pub(super) fn setup(&mut self, name: &str) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => Ok(node.json(&format!("/api/v1/phones/{}/setup", escape(name)))?),
            Self::Store(store) => {
                let name = name.to_owned();
                store
                    .read(Box::new(move |world: &lists::World<'_>| lists::setup(world, &name)))
                    .map_err(refused)
            }
        }
    }

    /// Help for the fields of a kind, or of all.
    pub(super) fn help(&mut self, kind: Option<&str>) -> Result<Value, Failure> {
        let query = kind.map(|k| format!("?kind={}", escape(k))).unwrap_or_default();
        Ok(self.node()?.json(&format!("/api/v1/help{query}"))?)
    }

    /// One object that is no part of the configuration.
    pub(super) fn one(&mut self, path: &str, key: &str) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => Ok(node.json(&format!("/api/v1/{path}/{}", escape(key)))?),
            Self::Store(store) if path == "audit" => audit::entry(&store.audit(), key).map_err(refused),
            Self::Store(_) => Err(Failure::Control(ControlError::Strange)),
        }
    }

    /// The ETag of an object as configured.
    pub(super) fn etag(&mut self, noun: &Noun, name: &str) -> Result<String, Failure> {
        let tag = match self {
            Self::Node(node) => {
                let path = format!("/api/v1/{}", noun.path_of(name));
                let ask =
                    Ask { method: Method::GET, path: &path, media: None, body: None, headers: Vec::new() };
                node.ask(ask)?.etag.map(|tag| configured(&tag))
            }
            Self::Store(_) => {
                self.object(noun, name)?;
                let Self::Store(store) = self else { return Err(Failure::Control(ControlError::Strange)) };
                let (kind, name) = (noun.kind, noun.canonical(name));
                let read = store.read(Box::new(move |world| Ok((world.etag)(kind, &name).into())));
                read.map_err(refused)?.as_str().map(str::to_owned)
            }
        };
        tag.ok_or(Failure::Control(ControlError::Strange))
    }

    /// Changes the configuration, or says what that would do; the answer of the API.
    pub(super) fn change(&mut self, order: Order<'_>) -> Result<Value, Failure> {
        let Order { method, path, body, step, how } = order;
        let key = how.idempotency_key.as_deref().filter(|_| method == Method::POST);
        match self {
            Self::Node(node) => {
                let query = query(how.dry_run, how.force);
                let mut headers: Vec<_> = how.if_match.iter().map(|tag| ("if-match", tag.as_str())).collect();
                headers.extend(key.map(|key| ("idempotency-key", key)));
                let ask = Ask {
                    path: &format!("/api/v1/{path}{query}"),
                    media: body.as_ref().map(|_| match method {
                        Method::PATCH => "application/merge-patch+json",
                        _ => "application/json",
                    }),
                    method,
                    body: body.map(|body| body.to_string().into_bytes()),
                    headers,
                };
                Ok(node.ask(ask)?.body)
            }
            Self::Store(store) => {
                let text = body.map(|body| body.to_string()).unwrap_or_default();
                let repeatable =
                    key.map(|key| repeatable_as(key, &path, &query(how.dry_run, how.force), text.as_bytes()));
                let request = ChangeRequest {
                    steps: vec![step],
                    dry_run: how.dry_run,
                    expect: how
                        .if_match
                        .as_deref()
                        .filter(|tag| *tag != "*")
                        .map(|tag| configured(tag).into()),
                    forced: how.force,
                    who: Who::local(COMMAND_LINE),
                    repeatable: repeatable.transpose().map_err(refused)?,
                    adopted_max: None,
                };
                answered(store.change(request), how.dry_run).map_err(refused)
            }
        }
    }

    /// A running node answers.
    pub(super) fn is_node(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// POST of a JSON body to a path of a running node.
    pub(super) fn post(&mut self, path: &str, body: &Value, how: &How) -> Result<Value, Failure> {
        let path = format!("/api/v1/{path}{}", query(how.dry_run, how.force));
        let body = Some(body.to_string().into_bytes());
        let media = Some("application/json");
        Ok(self
            .node()?
            .ask(Ask { method: Method::POST, path: &path, media, body, headers: Vec::new() })?
            .body)
    }

    /// Many changes: the report of the API.
    pub(super) fn bulk(&mut self, body: &Value, dry_run: bool, force: bool) -> Result<Value, Failure> {
        match self {
            Self::Node(node) => {
                let path = format!("/api/v1/bulk{}", query(dry_run, force));
                let body = Some(body.to_string().into_bytes());
                let media = Some("application/json");
                Ok(node
                    .ask(Ask { method: Method::POST, path: &path, media, body, headers: Vec::new() })?
                    .body)
            }
            Self::Store(store) => {
                let steps = bulk_steps(body).map_err(refused)?;
                let request = |steps| ChangeRequest {
                    steps,
                    dry_run,
                    expect: None,
                    forced: force,
                    who: Who::local(COMMAND_LINE),
                    repeatable: None,
                    adopted_max: None,
                };
                let mut done = |steps| answered(store.change(request(steps)), dry_run);
                if body["atomic"] == true {
                    let changed = done(steps).map_err(refused)?;
                    return Ok(json!({ "results": [{ "changed": changed, "problem": null }] }));
                }
                let one = |step| match done(vec![step]) {
                    Ok(changed) => json!({ "changed": changed, "problem": null }),
                    Err(problem) => json!({ "changed": null, "problem": problem.document() }),
                };
                Ok(json!({ "results": steps.into_iter().map(one).collect::<Vec<_>>() }))
            }
        }
    }

    pub(super) fn text(&mut self, path: &str) -> Result<String, Failure> {
        Ok(self.node()?.text(path)?)
    }

    /// The running node.
    pub(super) fn node(&mut self) -> Result<&mut Control, Failure> {
        match self {
            Self::Node(node) => Ok(node),
            Self::Store(_) => Err(Failure::Control(ControlError::Strange)),
        }
    }
}

fn encoded(pairs: &Pairs) -> String {
    pairs.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect::<Vec<_>>().join("&")
}

/// The options of a change.
fn query(dry_run: bool, force: bool) -> String {
    let options = [("dry_run", dry_run), ("force", force)];
    let on: Vec<_> = options.iter().filter(|o| o.1).map(|o| format!("{}=true", o.0)).collect();
    if on.is_empty() { String::new() } else { format!("?{}", on.join("&")) }
}

/// The part of an ETag that is about the configuration: what stands before a `-`.
fn configured(tag: &str) -> String {
    let bare = tag.trim().trim_matches('"');
    format!("\"{}\"", bare.split_once('-').map_or(bare, |(configured, _)| configured))
}

pub(super) fn refused(problem: crate::admin::Problem) -> Failure {
    Failure::Control(ControlError::Refused(problem.document()))
}

pub(super) fn remote(place: &Place) -> Result<Option<Remote>, Failure> {
    let Some(url) = &place.url else { return Ok(None) };
    let read = |file: Option<&Path>, what: &str| {
        let file = file.ok_or_else(|| Failure::Refused(what.to_owned()))?;
        fs::read_to_string(file).map_err(|e| Failure::Refused(format!("cannot read {}: {e}", file.display())))
    };
    let token = read(place.token_file.as_deref(), "--url needs --token-file")?;
    let ca = read(
        place.ca_file.as_deref(),
        "--url needs --ca-file: what `keyline cert export --name CallManager` prints on that node",
    )?;
    Ok(Some(Remote { url: url.clone(), token, ca }))
}
