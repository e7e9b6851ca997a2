//! Who answers a thin client: the node on this machine, a node elsewhere, or the store when none runs.

use std::fs;
use std::path::Path;

use keyline_domain::audit::Mark;
use serde_json::Value;

use super::args::Place;
use super::{Failure, World};
use crate::admin::control::{Control, ControlError, escape};
use crate::admin::lists::{List, Query};
use crate::admin::remote::Remote;
use crate::admin::{OfflineApi, audit};
use crate::config::Config;

/// Parameters of a list.
pub(super) type Pairs = Vec<(String, String)>;

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
            (Self::Node(node), _) => {
                let query: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect();
                Ok(node.json(&format!("/api/v1/{path}?{}", query.join("&")))?)
            }
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

    /// One object.
    pub(super) fn one(&mut self, path: &str, list: Option<List>, key: &str) -> Result<Value, Failure> {
        match (self, list) {
            (Self::Node(node), _) => Ok(node.json(&format!("/api/v1/{path}/{}", escape(key)))?),
            (Self::Store(store), Some(list)) => {
                let key = key.to_owned();
                store.read(Box::new(move |world| list.one(world, &key))).map_err(refused)
            }
            (Self::Store(store), None) if path == "audit" => {
                audit::entry(&store.audit(), key).map_err(refused)
            }
            (Self::Store(_), None) => Err(Failure::Control(ControlError::Strange)),
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

pub(super) fn refused(problem: crate::admin::Problem) -> Failure {
    Failure::Control(ControlError::Refused(problem.document()))
}

fn remote(place: &Place) -> Result<Option<Remote>, Failure> {
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
