//! What all paths have in common: methods, forms, entity tags, pages.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, TRANSFER_ENCODING};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, guard, web};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::api::PREFIX;
use super::problem::{Code, PROBLEM_JSON, Problem};

/// An answer.
pub(super) type Answer = Result<HttpResponse, Problem>;

/// Parameters in their order.
pub(super) type Pairs = web::Query<Vec<(String, String)>>;

/// Longest query of a request, in bytes.
const QUERY_MAX: usize = 8192;

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
        .default_service(web::to(|request: HttpRequest| other_method(request, "GET, HEAD, OPTIONS")))
}

/// The answer to a method that a path does not know, and to OPTIONS; `allow` lists those it does.
pub(super) async fn other_method(request: HttpRequest, allow: &'static str) -> Answer {
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    let detail = format!("{} {} is not possible; use {allow}", request.method(), request.path());
    Err(Problem::new(Code::MethodNotAllowed, detail).with("allow", allow))
}

/// The answer to an unknown path.
pub(super) async fn nothing_here(request: HttpRequest) -> Answer {
    let detail = format!("{} is not known here; {PREFIX}/openapi.json lists what is", request.path());
    Err(Problem::new(Code::NotFound, detail))
}

/// A page: its rows, and where to go on.
pub(super) fn page(items: Vec<impl Serialize>, next: Option<String>) -> Value {
    json!({ "items": items, "next": next })
}

/// One object with a strong entity tag; 304 when the client has it (RFC 9110 §13.1.2).
pub(super) fn object(request: &HttpRequest, value: &impl Serialize) -> Answer {
    tagged_object(request, None, value)
}

/// The same for an object that is configured. Its tag has two parts, `"configuration-whole"`: what is shown
/// changes also when a phone registers, and `If-Match` is about the configuration alone.
pub(super) fn tagged_object(
    request: &HttpRequest,
    configured: Option<&str>,
    value: &impl Serialize,
) -> Answer {
    let body = serde_json::to_vec(value)
        .map_err(|e| Problem::new(Code::Internal, format!("the answer cannot be written: {e}")))?;
    let sum = Sha256::digest(&body);
    let whole = sum.iter().take(12).map(|b| format!("{b:02x}")).collect::<String>();
    let tag = match configured {
        Some(configured) => format!("\"{}-{whole}\"", configured.trim_matches('"')),
        None => format!("\"{whole}\""),
    };
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|v| v.to_str().ok()).any(|list| {
        list.split(',').map(str::trim).any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == tag)
    });
    if known {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, tag)).content_type("application/json").body(body))
}

/// Refuses what no path takes: bodies, endless queries, and forms of the answer that there are not.
pub(super) async fn negotiate<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match unfit(&request) {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

fn unfit(request: &ServiceRequest) -> Option<Problem> {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if read && (length.is_some_and(|n| n > 0) || headers.contains_key(TRANSFER_ENCODING)) {
        let detail = format!("{} {} takes no body", request.method(), request.path());
        return Some(Problem::new(Code::UnsupportedMediaType, detail));
    }
    if request.query_string().len() > QUERY_MAX {
        return Some(Problem::new(Code::BadRequest, format!("the query has more than {QUERY_MAX} bytes")));
    }
    let offered = forms(request.path());
    let mut accepts = headers.get_all(ACCEPT).filter_map(|v| v.to_str().ok()).peekable();
    if accepts.peek().is_none() || accepts.any(|list| accepts_one(list, offered)) {
        return None;
    }
    let detail = format!("{} comes as {}", request.path(), offered.join(" or "));
    Some(Problem::new(Code::NotAcceptable, detail))
}

/// Media types of a path's answers.
fn forms(path: &str) -> &'static [&'static str] {
    match path {
        path if path.ends_with("/security") => &["application/json", "text/plain"],
        "/api/v1/export" => &["application/x-ndjson"],
        path if path.starts_with("/api/v1/trace/") => &["application/x-ndjson"],
        path if path.starts_with(PREFIX) => &["application/json"],
        _ => &["*/*"],
    }
}

/// Some range of the list takes some of the types (RFC 9110 §12.5.1).
fn accepts_one(list: &str, offered: &[&str]) -> bool {
    list.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|p| {
            p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")).is_some_and(|q| q.parse() == Ok(0.0))
        });
        let kind = range.strip_suffix("/*");
        let takes = |form: &str| {
            range == "*/*" || form == "*/*" || form == range || kind.is_some_and(|k| form.starts_with(k))
        };
        // Problems are always told as problems.
        !refused && (range == PROBLEM_JSON || offered.iter().any(|form| takes(form)))
    })
}

#[cfg(test)]
mod tests {
    use super::accepts_one;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let json = ["application/json"];
        for (list, taken) in [
            ("application/json", true),
            ("text/html, application/json;q=0.5", true),
            ("*/*", true),
            ("application/*", true),
            ("Application/JSON", true),
            ("text/html", false),
            ("text/*", false),
            ("application/json;q=0", false),
            ("", false),
        ] {
            assert_eq!(accepts_one(list, &json), taken, "{list}");
        }
    }
}
