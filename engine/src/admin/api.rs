//! The API, one for HTTPS and for the control socket: routes, and answers to reads.

use std::sync::Arc;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use keyline_domain::class::explain_text;
use keyline_domain::inventory::Kind;
use serde::Serialize;
use serde_json::{Value, json};

use super::changes;
use super::http::{Answer, Pairs, nothing_here, object, page, readable, tagged_object};
use super::lists::{List, Position, Query, Row, Shape, World, page_of};
use super::node::NodeApi;
use super::openapi;
use super::problem::{Code, Problem};
use super::traces;
use super::views::{CallView, RegistrationView, Timestamp};

/// Where the API stands.
pub(super) const PREFIX: &str = "/api/v1";

/// What `/calls` knows.
pub(super) static CALLS: Shape =
    Shape { name: "calls", key: "id", filters: &["id", "caller", "called", "class"], sorts: &["started"] };

/// What `/registrations` knows. Rows come in the order in which devices were added, which never changes.
pub(super) static REGISTRATIONS: Shape = Shape {
    name: "registrations",
    key: "aor",
    filters: &["aor", "device", "contact", "transport", "flow", "suite", "profile"],
    sorts: &["place"],
};

/// The node as handlers see it.
pub(super) type Node = web::Data<dyn NodeApi>;

/// Adds the API and the answers to everything else.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(
            web::QueryConfig::default()
                .error_handler(|e, _| Problem::new(Code::BadRequest, format!("query: {e}")).into()),
        )
        .app_data(
            web::PathConfig::default()
                .error_handler(|e, _| Problem::new(Code::BadRequest, format!("path: {e}")).into()),
        );
    let mut scope = web::scope(PREFIX)
        .configure(super::orders::configure)
        .configure(super::audit::configure)
        .configure(changes::configure)
        .configure(super::rollouts::configure)
        .configure(super::tokens::configure)
        .configure(super::inventory::configure)
        .configure(super::oauth::configure)
        .configure(super::own::configure)
        .configure(super::crl::configure)
        .service(readable("/health", health))
        .service(readable("/ready", ready))
        .service(readable("/openapi.json", openapi))
        .service(readable("/nodes", nodes))
        .service(readable("/calls", calls))
        .service(readable("/calls/{id}", call))
        .service(readable("/calls/{id}/security", call_security))
        .service(readable("/registrations", registrations))
        .service(readable("/phones/{key}/setup", setup))
        .service(readable("/help", help))
        .service(readable("/security-profile-options", profile_options))
        .service(readable("/trace/phones/{name}", traces::phone))
        .service(readable("/trace/calls/{id}", traces::call))
        .service(readable("/reports/mic", phones_on_mic))
        .service(changes::enterprise(enterprise));
    for list in List::ALL {
        let rows = move |node: Node, request: HttpRequest, pairs: Pairs| rows(list, node, request, pairs);
        scope = scope.service(changes::collection(list, rows));
        let single = move |node: Node, request: HttpRequest| async move {
            let key = changes::key_of(list, &request)?;
            one(list, node, request, key).await
        };
        scope = scope.service(changes::single(list, single));
    }
    config.service(scope).default_service(web::to(nothing_here));
}

/// `/health`, also on the metrics listener.
pub(super) async fn health(node: Node) -> HttpResponse {
    #[derive(Serialize)]
    struct Body {
        status: &'static str,
        #[serde(flatten)]
        health: super::views::Health,
    }
    let health = node.health();
    let (mut answer, status) = match health.is_ok() {
        true => (HttpResponse::Ok(), "ok"),
        false => (HttpResponse::ServiceUnavailable(), "failing"),
    };
    answer.json(Body { status, health })
}

/// `/ready`, also on the metrics listener.
pub(super) async fn ready(node: Node) -> HttpResponse {
    let readiness = node.ready();
    match readiness.ready {
        true => HttpResponse::Ok().json(readiness),
        false => HttpResponse::ServiceUnavailable().json(readiness),
    }
}

async fn openapi(request: HttpRequest) -> Answer {
    object(&request, &openapi::document())
}

async fn nodes(node: Node) -> HttpResponse {
    HttpResponse::Ok().json(page(vec![node.status()], None))
}

/// A page of a list of the configuration.
async fn rows(list: List, node: Node, _: HttpRequest, pairs: Pairs) -> Answer {
    let mut pairs = pairs.into_inner();
    if list == List::Certificates {
        // `?purpose=` is the contract's short form of a filter.
        for (name, value) in pairs.iter_mut().filter(|(name, _)| name == "purpose") {
            *value = format!("purpose:is_exactly:{value}");
            *name = "filter".to_owned();
        }
    }
    let query = Query::parse(list.shape(), &pairs)?;
    Ok(HttpResponse::Ok().json(page_of(&**node, list, query).await?))
}

/// Phones that prove themselves by their manufacturer's certificate still (R113).
async fn phones_on_mic(node: Node, request: HttpRequest, mut pairs: Pairs) -> Answer {
    pairs.0.push(("filter".to_owned(), "certificate:is_exactly:mic".to_owned()));
    rows(List::Phones, node, request, pairs).await
}

async fn one(list: List, node: Node, request: HttpRequest, key: String) -> Answer {
    let read = Box::new(move |world: &World<'_>| {
        let tag = list.kind().and_then(|kind| (world.etag)(kind, &key));
        Ok(json!([list.one(world, &key)?, tag]))
    });
    configured(&request, &node.read(read).await?)
}

/// An object and the tag of its configuration.
fn configured(request: &HttpRequest, found: &Value) -> Answer {
    tagged_object(request, found[1].as_str(), &found[0])
}

/// The switches of the enterprise level.
async fn enterprise(node: Node, request: HttpRequest) -> Answer {
    let read = Box::new(move |world: &World<'_>| {
        let switches = world.inventory.enterprise_phone();
        Ok(json!([{ "hardening": switches }, (world.etag)(Kind::EnterprisePhone, changes::ENTERPRISE)]))
    });
    configured(&request, &node.read(read).await?)
}

/// Parameters of a path that has no pages: each at most once, no others.
fn once(pairs: Pairs, known: &[&str]) -> Result<Vec<Option<String>>, Problem> {
    let mut found: Vec<Option<String>> = vec![None; known.len()];
    for (name, value) in pairs.into_inner() {
        let Some(at) = known.iter().position(|k| *k == name) else {
            let detail = format!("unknown parameter {name:?}; known are {}", known.join(", "));
            return Err(super::lists::refusal(&name, detail));
        };
        if found[at].replace(value).is_some() {
            return Err(super::lists::refusal(&name, format!("{name} is given twice")));
        }
    }
    Ok(found)
}

/// The way to a secure phone (R059–R065).
async fn setup(node: Node, request: HttpRequest, key: web::Path<String>) -> Answer {
    let read = move |world: &super::lists::World<'_>| super::lists::setup(world, &key);
    object(&request, &node.read(Box::new(read)).await?)
}

/// Help for every field of every kind (R036).
async fn help(request: HttpRequest, pairs: Pairs) -> Answer {
    let found = once(pairs, &["kind"])?;
    object(&request, &super::lists::help(found[0].as_deref())?)
}

/// What a model and protocol offer (R097, R215).
async fn profile_options(node: Node, request: HttpRequest, pairs: Pairs) -> Answer {
    let mut found = once(pairs, &["model", "protocol"])?.into_iter();
    let (model, protocol) = (found.next().flatten(), found.next().flatten());
    let Some(model) = model else {
        return Err(super::lists::refusal("model", "model is missing: the name of a phone model".to_owned()));
    };
    let read = move |world: &super::lists::World<'_>| {
        super::lists::profile_options(world, &model, protocol.as_deref())
    };
    object(&request, &node.read(Box::new(read)).await?)
}

impl Row for CallView {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "id" => each(&self.id),
            "caller" => each(&self.caller),
            "called" => each(&self.called),
            "class" => self.class.iter().for_each(|class| each(class.as_str())),
            _ => {}
        }
    }
}

async fn calls(node: Node, pairs: Pairs) -> Answer {
    let query = Query::parse(&CALLS, &pairs)?;
    let keep = |call: &CallView| query.admits(call);
    let mut items = node.calls(query.after.as_ref(), query.backwards, query.limit + 1, &keep);
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    let next = items.last().filter(|_| more).map(|last| query.cursor(&position(last)));
    let mut body = page(items, next);
    body["more"] = more.into();
    Ok(HttpResponse::Ok().json(body))
}

/// Place of a call in the list.
pub(super) fn position(call: &CallView) -> Position {
    Position { value: Timestamp::to_string(&call.started), key: call.id.clone() }
}

fn no_call(id: &str) -> Problem {
    let detail = format!("call {id:?} is neither in progress nor among those that ended lately");
    Problem::new(Code::CallNotFound, detail)
}

async fn call(node: Node, id: web::Path<String>, request: HttpRequest) -> Answer {
    object(&request, &node.call(&id).ok_or_else(|| no_call(&id))?)
}

/// JSON, or with `Accept: text/plain` the text of `keyline explain call`.
async fn call_security(node: Node, id: web::Path<String>, request: HttpRequest) -> Answer {
    let view = node.call_security(&id).ok_or_else(|| no_call(&id))?;
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    match accept {
        Some(accept) if accept.starts_with("text/plain") => Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body(explain_text(&view.id, &view.security))),
        _ => object(&request, &view),
    }
}

impl Row for RegistrationView {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "aor" => each(&self.aor),
            "device" => each(&self.device),
            "contact" => each(&self.contact),
            "transport" => each(super::views::transport_text(self.transport)),
            "flow" => each(&self.flow),
            "suite" => self.suite.iter().for_each(|suite| each(suite)),
            "profile" => each(&self.profile),
            _ => {}
        }
    }
}

async fn registrations(node: Node, pairs: Pairs) -> Answer {
    let query = Query::parse(&REGISTRATIONS, &pairs)?;
    if query.backwards {
        return Err(super::lists::refusal("sort", "registrations have one order only".to_owned()));
    }
    let after = query.after.as_ref().map(|p| p.key.as_str());
    let found = node.registrations(after, query.limit, &|row| query.admits(row));
    let next = found.next.map(|place| query.cursor(&Position::key(place)));
    Ok(HttpResponse::Ok().json(page(found.rows, next)))
}

/// What handlers are given.
pub(super) fn data(node: &Arc<dyn NodeApi>) -> Node {
    web::Data::from(Arc::clone(node))
}
