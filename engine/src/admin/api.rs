//! The read API, one for HTTPS and for the control socket: routes, parameters and answers.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT, AUTHORIZATION};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard, web};
use keyline_domain::class::explain_text;
use serde::{Deserialize, Serialize};

use super::node::NodeApi;
use super::openapi;
use super::problem::{Code, Problem};
use super::token::AdminToken;

/// Where the API stands.
pub(super) const PREFIX: &str = "/api/v1";

/// Most rows of a page.
pub const LIMIT_MAX: usize = 1000;

/// Rows of a page if none is asked for.
pub const LIMIT_DEFAULT: usize = 100;

/// Longest cursor taken, in bytes.
pub const CURSOR_MAX: usize = 512;

/// What is served without a token: what a load balancer and a client generator need.
const OPEN: [&str; 3] = ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json"];

/// The node as handlers see it.
pub(super) type Node = web::Data<dyn NodeApi>;

type Answer = Result<HttpResponse, Problem>;

/// Adds the read API and the answers to everything else.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(
            web::QueryConfig::default()
                .error_handler(|e, _| Problem::new(Code::BadRequest, format!("query: {e}")).into()),
        )
        .app_data(
            web::PathConfig::default()
                .error_handler(|e, _| Problem::new(Code::BadRequest, format!("path: {e}")).into()),
        )
        .service(
            web::scope(PREFIX)
                .service(readable("/health", health))
                .service(readable("/ready", ready))
                .service(readable("/openapi.json", openapi))
                .service(readable("/calls", calls))
                .service(readable("/calls/{id}/security", call_security))
                .service(readable("/registrations", registrations)),
        )
        .default_service(web::to(nothing_here));
}

/// Headers of every answer: nothing of an administrator's view belongs into a cache.
pub(super) fn headers() -> DefaultHeaders {
    DefaultHeaders::new().add(("Cache-Control", "no-store")).add(("X-Content-Type-Options", "nosniff"))
}

/// A path that GET and HEAD may ask for; another method is told so.
pub(super) fn readable<H, Args>(path: &str, handler: H) -> Resource
where
    H: Handler<Args>,
    Args: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(|request: HttpRequest| other_method(request, "GET, HEAD")))
}

/// The answer to a method that a path does not know; `allow` lists those it does.
pub(super) async fn other_method(request: HttpRequest, allow: &'static str) -> Answer {
    let detail = format!("{} {} is not possible; use {allow}", request.method(), request.path());
    Err(Problem::new(Code::MethodNotAllowed, detail).with("allow", allow))
}

/// The answer to an unknown path.
pub(super) async fn nothing_here(request: HttpRequest) -> Answer {
    let detail = format!("{} is not known here; {PREFIX}/openapi.json lists what is", request.path());
    Err(Problem::new(Code::NotFound, detail))
}

/// Lets a request pass that carries the token, or asks for one of the open paths. Everything else, known
/// or not, is refused: a new path is closed until it is listed.
pub(super) async fn authorize<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let admitted = OPEN.contains(&request.path())
        || request.app_data::<web::Data<AdminToken>>().is_some_and(|token| {
            // Two headers are no credential (RFC 9110 §5.3 allows a list only where the field is one).
            let mut given = request.headers().get_all(AUTHORIZATION);
            let first = given.next().and_then(|value| value.to_str().ok());
            first.is_some_and(|value| token.admits(value)) && given.next().is_none()
        });
    if admitted {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let detail = "send Authorization: Bearer with the token in admin.token of the data directory";
    let problem = Problem::new(Code::Unauthorized, detail);
    Ok(request.error_response(problem).map_into_right_body())
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

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(openapi::document())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitQuery {
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<usize>,
    after: Option<String>,
}

fn bounded(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        limit => Err(Problem::new(Code::BadRequest, format!("limit is {limit}; use 1 to {LIMIT_MAX}"))),
    }
}

/// A page: its rows, and where to go on.
#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    /// Cursor of the next page.
    next: Option<String>,
}

/// Calls move too fast for a cursor: the answer says whether there are more than were asked for.
#[derive(Serialize)]
struct Calls {
    items: Vec<super::views::CallView>,
    more: bool,
}

async fn calls(node: Node, query: web::Query<LimitQuery>) -> Answer {
    let limit = bounded(query.limit)?;
    let mut items = node.calls(limit + 1);
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(HttpResponse::Ok().json(Calls { items, more }))
}

/// JSON, or with `Accept: text/plain` the text of `keyline explain call`.
async fn call_security(node: Node, id: web::Path<String>, request: HttpRequest) -> Answer {
    let Some(view) = node.call_security(&id) else {
        let detail =
            format!("call {:?} is neither in progress nor among those that ended lately", id.as_str());
        return Err(Problem::new(Code::CallNotFound, detail));
    };
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    Ok(match accept {
        Some(accept) if accept.starts_with("text/plain") => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body(explain_text(&view.id, &view.security)),
        _ => HttpResponse::Ok().json(view),
    })
}

async fn registrations(node: Node, query: web::Query<PageQuery>) -> Answer {
    let limit = bounded(query.limit)?;
    let after = query.after.as_deref();
    if let Some(long) = after.filter(|cursor| cursor.len() > CURSOR_MAX) {
        let detail = format!("after has {} bytes; pass next of the page before unchanged", long.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let page = node.registrations(after, limit);
    Ok(HttpResponse::Ok().json(Page { items: page.rows, next: page.next }))
}

/// What handlers are given.
pub(super) fn data(node: &Arc<dyn NodeApi>) -> Node {
    web::Data::from(Arc::clone(node))
}
