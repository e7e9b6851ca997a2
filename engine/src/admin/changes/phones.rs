//! What is done with one phone besides its row: Extension Mobility (R013, R195) and CAPF settings (R106).

use actix_web::web;
use keyline_domain::inventory::{Kind, Step};
use serde_json::{Value, json};

use super::super::api::Node;
use super::super::http::Answer;
use super::super::problem::{Code, Problem};
use super::{Asked, answer, only};

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(only("/phones/{key}/login", web::post().to(login), "POST, OPTIONS"))
        .service(only("/phones/{key}/logout", web::post().to(logout), "POST, OPTIONS"))
        .service(only("/phones/{key}/capf", web::patch().to(capf), "PATCH, OPTIONS"));
}

fn of_phone(key: &str, body: Value) -> Step {
    // Names are kept in upper case.
    Step::Merge { kind: Kind::Phone, name: key.to_ascii_uppercase(), body }
}

/// An end user logs in: his credentials take the place of the owner's; nothing else of the phone changes.
async fn login(node: Node, key: web::Path<String>, asked: Asked) -> Answer {
    let body = asked.object(Kind::Phone)?;
    let user = match body.as_object().map(|o| (o.len(), o.get("user"))) {
        Some((1, Some(Value::String(user)))) => user.clone(),
        _ => {
            let detail = "the body has the id of an end user as the text `user`, and nothing else";
            return Err(Problem::new(Code::BadRequest, detail).with("field", "user"));
        }
    };
    answer(node, asked, of_phone(&key, json!({ "em_user": user }))).await
}

/// Whoever is logged in logs out: the owner's credentials count again.
async fn logout(node: Node, key: web::Path<String>, asked: Asked) -> Answer {
    asked.nothing()?;
    answer(node, asked, of_phone(&key, json!({ "em_user": null }))).await
}

/// CAPF settings and order of a phone. Other settings mean another profile: one that is there and equal in all
/// else (R108), or a new one (R109).
async fn capf(node: Node, key: web::Path<String>, asked: Asked) -> Answer {
    let fields = asked.patch(Kind::Phone)?;
    answer(node, asked, of_phone(&key, json!({ "capf": fields }))).await
}
