//! Making, listing and revoking tokens: over the control socket, since who has the data directory has the node,
//! and over HTTPS with the role admin.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyline_actors::board::{Role, Token};
use keyline_actors::catalog::{TokenChange, TokenRefused};
use keyline_domain::ids::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Node, PREFIX};
use super::caller::caller;
use super::control::escape;
use super::http::{Answer, other_method};
use super::problem::{Code, Problem};
use super::token::Presented;
use super::views::Timestamp;

/// What a new token shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Seconds until it is void; none: until it is revoked.
    pub expires_s: Option<u64>,
}

impl Wanted {
    /// A token from 32 random bytes, and its text, which nobody will know again.
    pub fn make(&self, now: UnixMillis, random: [u8; 32]) -> (Token, String) {
        let text = format!("keyline_{}", URL_SAFE_NO_PAD.encode(random));
        let token = Token {
            name: self.name.as_str().into(),
            role: self.role,
            created: now,
            expires: self.expires_s.map(|s| now.plus_secs(s)),
            hash: Presented::of_text(&text).hash(),
        };
        (token, text)
    }
}

/// A token as it is shown: never its hash.
pub fn show(token: &Token) -> Value {
    json!({
        "name": token.name,
        "role": token.role,
        "created": Timestamp(token.created),
        "expires": token.expires.map(Timestamp),
    })
}

/// Why a token was not changed.
pub fn refusal(refused: &TokenRefused) -> Problem {
    let code = match refused {
        TokenRefused::Unknown(_) => Code::TokenNotFound,
        TokenRefused::Store(_) => Code::Internal,
        TokenRefused::Name | TokenRefused::Exists(_) | TokenRefused::TooMany => Code::TokenRefused,
    };
    Problem::new(code, refused.to_string())
}

/// 32 random bytes.
pub fn random() -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Problem::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
    Ok(bytes)
}

/// Largest body, in bytes.
const BODY_MAX: usize = 4096;

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let other = |allow| web::to(move |request: HttpRequest| other_method(request, allow));
    config
        .service(
            web::resource("/tokens")
                .app_data(web::PayloadConfig::new(BODY_MAX))
                .route(web::get().to(list))
                .route(web::post().to(create))
                .default_service(other("GET, POST, OPTIONS")),
        )
        .service(
            web::resource("/tokens/{name}")
                .route(web::get().to(one))
                .route(web::delete().to(revoke))
                .default_service(other("GET, DELETE, OPTIONS")),
        );
}

pub(super) async fn list(node: Node) -> Answer {
    let items: Vec<_> = node.tokens().iter().map(show).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next": null })))
}

pub(super) async fn create(node: Node, request: HttpRequest, body: web::Bytes) -> Answer {
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|e| Problem::new(Code::BadRequest, format!("this describes no token: {e}")))?;
    let (token, text) = wanted.make(keyline_actors::clock::now(), random()?);
    let mut shown = show(&token);
    node.change_token(TokenChange::Create(token), caller(&request)).await.map_err(|e| refusal(&e))?;
    tracing::info!(token = wanted.name, role = wanted.role.as_str(), "a token of the admin API was made");
    shown["token"] = text.into();
    let place = format!("{PREFIX}/tokens/{}", escape(&wanted.name));
    Ok(HttpResponse::Created().insert_header((LOCATION, place)).json(shown))
}

pub(super) async fn one(node: Node, name: web::Path<String>) -> Answer {
    let name = name.into_inner();
    match node.tokens().iter().find(|token| *token.name == *name) {
        Some(token) => Ok(HttpResponse::Ok().json(show(token))),
        None => Err(refusal(&TokenRefused::Unknown(name.as_str().into()))),
    }
}

pub(super) async fn revoke(node: Node, request: HttpRequest, name: web::Path<String>) -> Answer {
    let name = name.into_inner();
    let change = TokenChange::Revoke(name.as_str().into());
    node.change_token(change, caller(&request)).await.map_err(|e| refusal(&e))?;
    tracing::info!(token = name, "a token of the admin API was revoked");
    Ok(HttpResponse::Ok().json(json!({ "name": name })))
}
