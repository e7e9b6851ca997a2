//! Copies of security profiles and new names for them.

use actix_web::web;
use keyline_domain::inventory::{Kind, Step};
use serde_json::Value;

use super::super::api::Node;
use super::super::http::Answer;
use super::super::problem::{Code, Problem};
use super::{Asked, answer, created, only};

/// Adds them to the API's scope.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(only("/security-profiles/{key}/copy", web::post().to(copy), "POST, OPTIONS"))
        .service(only("/security-profiles/{key}/rename", web::post().to(rename), "POST, OPTIONS"));
}

/// A new profile with the settings of another, predefined ones included (R179, R216); fields beside `name`
/// differ from those copied.
async fn copy(node: Node, key: web::Path<String>, asked: Asked) -> Answer {
    let mut body = asked.object(Kind::SecurityProfile)?;
    let to = name(&mut body)?;
    created(node, asked, Step::Copy { name: key.into_inner(), to, body }).await
}

/// Another name; phones name a profile by its number, so none of them changes (R103).
async fn rename(node: Node, key: web::Path<String>, asked: Asked) -> Answer {
    let mut body = asked.object(Kind::SecurityProfile)?;
    let to = name(&mut body)?;
    if let Some(other) = body.as_object().and_then(|o| o.keys().next()) {
        let detail = format!("a new name has the field name only; {other:?} is changed by PATCH");
        return Err(Problem::new(Code::BadRequest, detail).with("field", other));
    }
    answer(node, asked, Step::Rename { name: key.into_inner(), to }).await
}

/// Takes the new name out of the body.
fn name(body: &mut Value) -> Result<String, Problem> {
    let given = body.as_object_mut().and_then(|o| o.remove("name"));
    match given {
        Some(Value::String(name)) => Ok(name),
        _ => {
            let detail = "the body has the new name as the text `name`";
            Err(Problem::new(Code::BadRequest, detail).with("field", "name"))
        }
    }
}
