//! The node's own issuer of bearer tokens for phones: its public keys, new tokens, rotation of its keys.

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use keyline_domain::audit::Who;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::Node;
use super::caller::caller;
use super::http::{Answer, other_method};
use super::node::BoxFuture;
use super::problem::{Code, Problem};

/// Largest body, in bytes.
const BODY_MAX: usize = 16 << 10;

/// Lines of one token.
pub const LINES_MAX: usize = 64;

/// The token that is asked for: of a phone or of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The phone that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The user whose phones it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The only lines that it is for; none: all of the phone's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Seconds until it ends; `oauth.token_s` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

/// The issuer of a running node.
pub trait OauthApi: Send + Sync {
    /// Its public keys as a key set (RFC 7517 §5).
    fn keys(&self) -> Value;
    /// Issues a token: `access_token`, `token_type`, `expires_in`, `scope` (RFC 6749 §5.1). Done when the audit has
    /// it.
    fn issue(&self, wanted: Wanted, who: Who) -> BoxFuture<Result<Value, Problem>>;
    /// Another key signs from now on. Done when it is committed and the audit has it.
    fn rotate(&self, who: Who) -> BoxFuture<Result<(), Problem>>;
}

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let other = |allow| web::to(move |request: HttpRequest| other_method(request, allow));
    config
        .service(
            web::resource("/oauth/keys")
                .route(web::get().to(keys))
                .route(web::head().to(keys))
                .default_service(other("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/oauth/tokens")
                .app_data(web::PayloadConfig::new(BODY_MAX))
                .route(web::post().to(issue))
                .default_service(other("POST, OPTIONS")),
        )
        .service(
            web::resource("/oauth/rotate")
                .route(web::post().to(rotate))
                .default_service(other("POST, OPTIONS")),
        );
}

async fn keys(node: Node) -> Answer {
    Ok(HttpResponse::Ok().content_type("application/jwk-set+json").body(node.oauth().keys().to_string()))
}

async fn issue(node: Node, request: HttpRequest, body: web::Bytes) -> Answer {
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|e| Problem::new(Code::BadRequest, format!("this describes no token: {e}")))?;
    if wanted.phone.is_some() == wanted.user.is_some() {
        return Err(Problem::new(
            Code::BadRequest,
            "name the phone or the user that the token is for, one of them",
        ));
    }
    if wanted.lines.len() > LINES_MAX {
        let detail = format!("{} lines are named; at most {LINES_MAX} go into a token", wanted.lines.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let issued = node.oauth().issue(wanted, caller(&request)).await?;
    // RFC 6749 §5.1: nobody on the way may keep it.
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store"))).json(issued))
}

async fn rotate(node: Node, request: HttpRequest) -> Answer {
    node.oauth().rotate(caller(&request)).await?;
    Ok(HttpResponse::Ok().json(node.oauth().keys()))
}

/// What the description of the API says of them.
pub(super) fn operations() -> Vec<(String, &'static str, Value)> {
    let of = |id: &str, summary: &str, schema: &str, problems: &[Code]| json!({ "operationId": id, "summary": summary, "responses": super::openapi::responses(schema, problems) });
    let mut keys = of(
        "oauth_keys",
        "Public keys of the node's own tokens for phones, as a key set (RFC 7517)",
        "KeySet",
        &[],
    );
    keys["security"] = json!([]);
    let content = keys["responses"]["200"]["content"]["application/json"].take();
    keys["responses"]["200"]["content"] = json!({ "application/jwk-set+json": content });
    let problems = [
        Code::BadRequest,
        Code::PhoneNotFound,
        Code::Conflict,
        Code::BodyTooLarge,
        Code::Internal,
        Code::Busy,
    ];
    let mut issue = of(
        "oauth_issue",
        "Issue a bearer token for a phone or for the phones of a user; it is told once, here",
        "IssuedToken",
        &problems,
    );
    issue["requestBody"] = json!({
        "required": true,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/PhoneToken" } } },
    });
    let rotate = of(
        "oauth_rotate",
        "Another key signs the node's tokens from now on; those of the key before it are still taken",
        "KeySet",
        &[Code::Conflict, Code::Internal],
    );
    vec![
        ("/oauth/keys".to_owned(), "get", keys),
        ("/oauth/tokens".to_owned(), "post", issue),
        ("/oauth/rotate".to_owned(), "post", rotate),
    ]
}

/// Shapes of these.
pub(super) fn schemas() -> Vec<(String, Value)> {
    let text = || json!({ "type": "string" });
    let all = vec![
        (
            "KeySet",
            json!({
                "type": "object", "required": ["keys"],
                "properties": { "keys": { "type": "array", "items": { "type": "object" } } },
            }),
        ),
        (
            "PhoneToken",
            json!({
                "type": "object", "additionalProperties": false,
                "oneOf": [{ "required": ["phone"] }, { "required": ["user"] }],
                "properties": {
                    "phone": text(), "user": text(),
                    "lines": { "type": "array", "items": text(), "maxItems": LINES_MAX },
                    "expires_s": { "type": ["integer", "null"], "minimum": 1 },
                },
            }),
        ),
        (
            "IssuedToken",
            json!({
                "type": "object", "required": ["access_token", "token_type", "expires_in", "scope"],
                "properties": {
                    "access_token": text(), "token_type": text(), "scope": text(),
                    "expires_in": { "type": "integer", "minimum": 1 },
                },
            }),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
