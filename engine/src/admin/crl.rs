//! `/revocation-lists`: which certificates their authorities have revoked.

use actix_web::{HttpRequest, HttpResponse, web};
use keyline_actors::catalog::CRL_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Node;
use super::caller::caller;
use super::http::{Answer, Pairs, object, other_method, page};
use super::openapi::{answers, body_of, name_parameter, reference};
use super::own::dry_run;
use super::problem::{Code, Problem};

/// Largest body, in bytes: a list in base64 in JSON.
const BODY_MAX: usize = 2 * CRL_MAX;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upload {
    pem: String,
}

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let other = |allow| web::to(move |request: HttpRequest| other_method(request, allow));
    config
        .service(
            web::resource("/revocation-lists")
                .app_data(web::PayloadConfig::new(BODY_MAX))
                .route(web::get().to(list))
                .route(web::head().to(list))
                .route(web::post().to(install))
                .default_service(other("GET, HEAD, POST, OPTIONS")),
        )
        .service(
            web::resource("/revocation-lists/{name}")
                .route(web::delete().to(delete))
                .default_service(other("DELETE, OPTIONS")),
        );
}

/// There is none of this name.
pub fn unknown(name: &str) -> Problem {
    let detail = format!("{name:?} is no revocation list; GET /revocation-lists lists them");
    Problem::new(Code::CertificateNotFound, detail)
}

async fn list(node: Node, request: HttpRequest) -> Answer {
    object(&request, &page(node.revocation_lists(), None))
}

async fn install(node: Node, request: HttpRequest, pairs: Pairs, body: web::Bytes) -> Answer {
    let upload: Upload = serde_json::from_slice(&body).map_err(|e| {
        Problem::new(Code::BadRequest, format!("the body is no object with the member pem: {e}"))
    })?;
    Ok(HttpResponse::Ok().json(node.install_crl(upload.pem, dry_run(pairs)?, caller(&request)).await?))
}

async fn delete(node: Node, request: HttpRequest, pairs: Pairs, name: web::Path<String>) -> Answer {
    let answer = node.delete_crl(name.into_inner(), dry_run(pairs)?, caller(&request)).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// The operations as OpenAPI describes them: path, method, operation.
pub(super) fn operations() -> Vec<(&'static str, &'static str, Value)> {
    let change = [Code::BadRequest, Code::Conflict];
    let dry = json!({ "name": "dry_run", "in": "query", "schema": { "type": "boolean" },
        "description": "Say whose certificate would be refused, and do nothing" });
    let upload = json!({ "type": "object", "required": ["pem"], "additionalProperties": false,
        "properties": { "pem": { "type": "string", "description": "X509 CRL, PEM" } } });
    vec![
        (
            "/revocation-lists",
            "get",
            json!({
                "summary": "Revocation lists of the authorities that phones are verified against",
                "operationId": "revocation_lists", "responses": answers("RevocationLists", &[]),
            }),
        ),
        (
            "/revocation-lists",
            "post",
            json!({
                "summary": "Take a revocation list; it replaces the one of the same authority",
                "operationId": "revocation_list_install", "parameters": [dry], "requestBody": body_of(&upload),
                "responses": answers("RevocationList", &[&change[..], &[Code::CertificateRefused]].concat()),
            }),
        ),
        (
            "/revocation-lists/{name}",
            "delete",
            json!({
                "summary": "Take a revocation list away: what stands on it is believed again",
                "operationId": "revocation_list_delete", "parameters": [name_parameter("name"), dry],
                "responses": answers("RevocationListGone", &[&change[..], &[Code::CertificateNotFound]].concat()),
            }),
        ),
    ]
}

/// Shapes of the bodies, and of a refusal in a phone's view.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let text = json!({ "type": "string" });
    vec![
        (
            "PhoneRefusal",
            json!({ "type": "object", "required": ["at", "stage", "reason", "peer"], "properties": {
                "at": text, "stage": { "type": "string", "enum": ["handshake", "request", "connection"] },
                "reason": text, "peer": text } }),
        ),
        (
            "RevocationList",
            json!({ "type": "object",
                "required": ["name", "issuer", "this_update", "next_update", "revoked", "expired"],
                "properties": { "name": text, "issuer": text, "this_update": text,
                    "next_update": { "type": ["string", "null"] },
                    "revoked": { "type": "integer" }, "expired": { "type": "boolean" },
                    "dry_run": { "type": "boolean" }, "impact": { "type": "object" } } }),
        ),
        (
            "RevocationLists",
            json!({ "type": "object", "required": ["items", "next"], "properties": {
                "items": { "type": "array", "items": reference("RevocationList") }, "next": { "type": "null" } } }),
        ),
        (
            "RevocationListGone",
            json!({ "type": "object", "required": ["name"], "properties": { "name": text,
                "dry_run": { "type": "boolean" }, "impact": { "type": "object" } } }),
        ),
    ]
}
