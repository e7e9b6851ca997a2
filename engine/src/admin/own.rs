//! `/own-certificates`: the node's own certificates, requests for certificates of another authority, and what takes
//! their place (R005). Private keys never leave the node.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::Node;
use super::caller::caller;
use super::http::{Answer, Pairs, object, other_method, page};
use super::openapi::{answers, body_of, name_parameter, reference};
use super::problem::{Code, Problem};
use crate::pki::inspect::CERTIFICATES_MAX;
use crate::pki::own::{Asked, OwnError, Request};

/// Largest body, in bytes: a chain in JSON.
const BODY_MAX: usize = 256 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upload {
    pem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    der: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Regenerate {
    confirm: String,
}

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let other = |allow| web::to(move |request: HttpRequest| other_method(request, allow));
    let limits = || web::PayloadConfig::new(BODY_MAX);
    config
        .service(
            web::resource("/own-certificates")
                .route(web::get().to(list))
                .route(web::head().to(list))
                .default_service(other("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/own-certificates/{name}")
                .app_data(limits())
                .route(web::get().to(one))
                .route(web::head().to(one))
                .route(web::put().to(install))
                .default_service(other("GET, HEAD, PUT, OPTIONS")),
        )
        .service(
            web::resource("/own-certificates/{name}/csr")
                .app_data(limits())
                .route(web::post().to(request))
                .default_service(other("POST, OPTIONS")),
        )
        .service(
            web::resource("/own-certificates/{name}/ocsp")
                .app_data(limits())
                .route(web::put().to(staple))
                .route(web::delete().to(unstaple))
                .default_service(other("PUT, DELETE, OPTIONS")),
        )
        .service(
            web::resource("/own-certificates/{name}/regenerate")
                .app_data(limits())
                .route(web::post().to(regenerate))
                .default_service(other("POST, OPTIONS")),
        );
}

/// What went wrong, with its code.
pub fn refusal(error: &OwnError) -> Problem {
    let detail = error.to_string();
    match error {
        OwnError::Bits(_) => Problem::new(Code::BadRequest, detail),
        OwnError::Upload(refused) => {
            Problem::new(Code::CertificateRefused, detail).narrower(refused.code().to_owned())
        }
        OwnError::Ocsp(refused) => {
            Problem::new(Code::CertificateRefused, detail).narrower(refused.code().to_owned())
        }
        OwnError::Confirmation { present, .. } => {
            Problem::new(Code::ConfirmationStale, detail).with("confirm", present)
        }
        OwnError::Authority(_) => Problem::new(Code::Internal, detail),
    }
}

/// There is none of this name.
pub fn unknown(name: &str) -> Problem {
    let detail = format!("{name:?} is none of the node's own certificates; GET /own-certificates lists them");
    Problem::new(Code::CertificateNotFound, detail)
}

async fn list(node: Node, request: HttpRequest) -> Answer {
    object(&request, &page(node.own_certificates(), None))
}

async fn one(node: Node, request: HttpRequest, name: web::Path<String>) -> Answer {
    let found = node.own_certificates().into_iter().find(|row| row["name"] == name.as_str());
    object(&request, &found.ok_or_else(|| unknown(&name))?)
}

fn read<T: DeserializeOwned>(body: &web::Bytes, what: &str) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|e| Problem::new(Code::BadRequest, format!("the body is no {what}: {e}")))
}

/// The parameter `dry_run`, and no other.
pub(super) fn dry_run(pairs: Pairs) -> Result<bool, Problem> {
    match &pairs.into_inner()[..] {
        [] => Ok(false),
        [(name, value)] if name == "dry_run" && (value == "true" || value == "false") => Ok(value == "true"),
        [(name, _), ..] => {
            Err(super::lists::refusal(name, "the only parameter is dry_run, true or false, once".to_owned()))
        }
    }
}

async fn ask(
    node: Node,
    request: &HttpRequest,
    name: web::Path<String>,
    asked: Asked,
    pairs: Pairs,
) -> Answer {
    let answer = node.own(name.into_inner(), asked, dry_run(pairs)?, caller(request)).await?;
    Ok(HttpResponse::Ok().json(answer))
}

async fn install(
    node: Node,
    http: HttpRequest,
    name: web::Path<String>,
    pairs: Pairs,
    body: web::Bytes,
) -> Answer {
    let upload: Upload = read(&body, "object with the member pem")?;
    ask(node, &http, name, Asked::Upload(upload.pem), pairs).await
}

async fn request(
    node: Node,
    http: HttpRequest,
    name: web::Path<String>,
    pairs: Pairs,
    body: web::Bytes,
) -> Answer {
    let wanted: Request = match body.is_empty() {
        true => Request::default(),
        false => read(&body, "certificate request")?,
    };
    ask(node, &http, name, Asked::Request(wanted), pairs).await
}

async fn staple(
    node: Node,
    http: HttpRequest,
    name: web::Path<String>,
    pairs: Pairs,
    body: web::Bytes,
) -> Answer {
    use base64::Engine as _;
    let response: Response = read(&body, "object with the member der: the OCSP response in base64")?;
    let der = base64::engine::general_purpose::STANDARD
        .decode(response.der.as_bytes())
        .map_err(|e| Problem::new(Code::BadRequest, format!("der is no base64: {e}")))?;
    ask(node, &http, name, Asked::Staple(Some(der)), pairs).await
}

async fn unstaple(node: Node, http: HttpRequest, name: web::Path<String>, pairs: Pairs) -> Answer {
    ask(node, &http, name, Asked::Staple(None), pairs).await
}

async fn regenerate(
    node: Node,
    http: HttpRequest,
    name: web::Path<String>,
    pairs: Pairs,
    body: web::Bytes,
) -> Answer {
    let order: Regenerate = read(&body, "object with the member confirm: the present fingerprint")?;
    ask(node, &http, name, Asked::Regenerate(order.confirm), pairs).await
}

/// The operations as OpenAPI describes them: path, method, operation.
pub(super) fn operations() -> Vec<(&'static str, &'static str, Value)> {
    let dry = json!({ "name": "dry_run", "in": "query", "schema": { "type": "boolean" } });
    let with_name = || json!([name_parameter("name"), dry]);
    let change = [Code::BadRequest, Code::CertificateNotFound, Code::Conflict, Code::Busy];
    let install = [&change[..], &[Code::CertificateRefused]].concat();
    let regenerate = [&change[..], &[Code::ConfirmationStale]].concat();
    let pem = json!({ "type": "string", "description": format!(
        "Leaf, then its chain, at most {CERTIFICATES_MAX} certificates") });
    vec![
        (
            "/own-certificates",
            "get",
            json!({
                "summary": "The node's own certificates with their chains", "operationId": "own_certificates",
                "responses": answers("OwnCertificates", &[]),
            }),
        ),
        (
            "/own-certificates/{name}",
            "get",
            json!({
                "summary": "One of the node's own certificates", "operationId": "own_certificate",
                "parameters": [name_parameter("name")],
                "responses": answers("OwnCertificate", &[Code::CertificateNotFound]),
            }),
        ),
        (
            "/own-certificates/{name}",
            "put",
            json!({
                "summary": "Serve a certificate of another authority; open connections stay open",
                "description": "Its key is the node's; its chain ends at a root in CallManager-trust.",
                "operationId": "own_certificate_install", "parameters": with_name(),
                "requestBody": body_of(&json!({ "type": "object", "required": ["pem"],
                    "additionalProperties": false, "properties": { "pem": pem } })),
                "responses": answers("OwnCertificateChange", &install),
            }),
        ),
        (
            "/own-certificates/{name}/csr",
            "post",
            json!({
                "summary": "A certificate request for the key in force, or for a new key that waits for its certificate",
                "operationId": "own_certificate_request", "parameters": with_name(),
                "requestBody": { "required": false, "content": { "application/json": { "schema": {
                    "type": "object", "additionalProperties": false, "properties": {
                        "new_key": { "type": "boolean", "default": false },
                        "rsa_bits": { "type": "integer", "enum": [2048, 3072, 4096] } } } } } },
                "responses": answers("CertificateRequest", &change),
            }),
        ),
        (
            "/own-certificates/{name}/ocsp",
            "put",
            json!({
                "summary": "Carry an OCSP response along in handshakes, until its nextUpdate",
                "description": "Of the certificate that is served, signed by its issuer or a responder that it has charged.",
                "operationId": "own_certificate_ocsp", "parameters": with_name(),
                "requestBody": body_of(&json!({ "type": "object", "required": ["der"],
                    "additionalProperties": false, "properties": { "der": {
                        "type": "string", "description": "OCSP response (RFC 6960), DER in base64" } } })),
                "responses": answers("OcspChange", &install),
            }),
        ),
        (
            "/own-certificates/{name}/ocsp",
            "delete",
            json!({
                "summary": "Carry no OCSP response along", "operationId": "own_certificate_ocsp_delete",
                "parameters": with_name(), "responses": answers("OcspChange", &change),
            }),
        ),
        (
            "/own-certificates/{name}/regenerate",
            "post",
            json!({
                "summary": "Make a new key with a self-signed certificate: phones must learn it anew",
                "operationId": "own_certificate_regenerate", "parameters": with_name(),
                "requestBody": body_of(&json!({ "type": "object", "required": ["confirm"],
                    "additionalProperties": false, "properties": { "confirm": {
                        "type": "string", "description": "Fingerprint of the certificate that it replaces" } } })),
                "responses": answers("OwnCertificateChange", &regenerate),
            }),
        ),
    ]
}

/// Shapes of the bodies.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let text = json!({ "type": "string" });
    let facts = json!({
        "fingerprint": { "type": ["string", "null"] }, "subject": text, "issuer": text,
        "self_signed": { "type": "boolean" }, "dns_names": { "type": "array", "items": text },
        "key": { "type": "string", "enum": ["rsa", "ec", "other"] },
        "rsa_bits": { "type": ["integer", "null"] }, "not_before": text, "not_after": text,
        "chain": { "type": "array", "items": text },
    });
    let mut single = facts.clone();
    for (name, shape) in [("name", &text), ("pem", &text), ("request_pending", &json!({ "type": "boolean" }))]
    {
        single[name] = shape.clone();
    }
    let ocsp = json!({ "type": ["object", "null"], "required": ["this_update", "next_update", "current"],
        "properties": { "this_update": text, "next_update": text, "current": { "type": "boolean" } } });
    single["ocsp"] = ocsp.clone();
    let warning = json!({ "type": "object", "required": ["code", "text"],
        "properties": { "code": text, "text": text } });
    vec![
        (
            "OwnCertificate",
            json!({ "type": "object", "required": ["name", "fingerprint", "pem"],
            "properties": single }),
        ),
        (
            "OwnCertificates",
            json!({ "type": "object", "required": ["items", "next"], "properties": {
            "items": { "type": "array", "items": reference("OwnCertificate") },
            "next": { "type": "null" } } }),
        ),
        (
            "OcspChange",
            json!({ "type": "object", "required": ["name", "changed", "before", "after", "warnings"],
                "properties": { "name": text, "changed": { "type": "boolean" }, "before": ocsp, "after": ocsp,
                    "warnings": { "type": "array", "items": warning } } }),
        ),
        (
            "CertificateRequest",
            json!({ "type": "object", "required": ["name", "key", "csr"], "properties": {
            "name": text, "key": { "type": "string", "enum": ["present", "new"] }, "csr": text } }),
        ),
        (
            "OwnCertificateChange",
            json!({ "type": "object", "required": ["name", "changed", "before", "after", "warnings"],
            "properties": { "name": text, "changed": { "type": "boolean" },
                "before": { "type": "object", "properties": facts },
                "after": { "type": "object", "properties": facts },
                "warnings": { "type": "array", "items": warning } } }),
        ),
    ]
}
