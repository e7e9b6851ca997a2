//! Import and export of the inventory (NDJSON): over HTTPS with the role admin, and over the control socket, which has
//! them at `/import` and `/export` too.
//!
//! A file is checked as a whole before anything of it is stored, so it is held in memory: bounded, and one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::api::Node;
use super::caller::caller;
use super::http;
use super::problem::{Code, PROBLEM_JSON, Problem};
use super::views::ImportRefused;
use crate::limits::Limit;

/// Largest inventory file of the control socket, in bytes: a million phones with their lines and users.
pub const IMPORT_MAX: usize = 512 << 20;

/// Media type of an inventory.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Media types that an inventory may come as.
const MEDIA: [&str; 4] = [NDJSON, "application/jsonl", "application/octet-stream", "text/plain"];

/// Between two pieces of a file.
const PIECE_MAX: Duration = Duration::from_secs(30);

/// For all of it: an import that crawls keeps others from theirs.
const WHOLE_MAX: Duration = Duration::from_secs(600);

/// At most one import or export at a time, whichever way it came; and the largest file of this way.
#[derive(Debug, Clone)]
pub(super) struct ImportGate {
    busy: Arc<AtomicBool>,
    most: usize,
}

impl Default for ImportGate {
    fn default() -> Self {
        Self { busy: Arc::default(), most: IMPORT_MAX }
    }
}

struct Passage(Arc<AtomicBool>);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl ImportGate {
    /// The same gate where files may have so many bytes.
    pub(super) fn bounded(&self, most: usize) -> Self {
        Self { busy: Arc::clone(&self.busy), most }
    }

    fn enter(&self) -> Result<Passage, Problem> {
        match self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Passage(Arc::clone(&self.busy))),
            Err(_) => Err(Problem::new(
                Code::ImportRunning,
                "another import or export is running; try again after it",
            )),
        }
    }
}

/// Adds them to a scope, or to the control socket's root.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/import")
                .route(web::post().to(import))
                .default_service(web::to(|r: HttpRequest| http::other_method(r, "POST, OPTIONS"))),
        )
        .service(http::readable("/export", export));
}

async fn import(
    node: Node,
    request: HttpRequest,
    gate: web::Data<ImportGate>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if !request.query_string().is_empty() {
        let detail = "an import takes no options: it is all or nothing, and has no dry run";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    media(request.headers())?;
    // Before the body is read: two of them would be held otherwise.
    let passage = gate.enter()?;
    let body = match tokio::time::timeout(WHOLE_MAX, whole(payload, gate.most, &node)).await {
        Ok(body) => body?,
        Err(_) => return Err(not_whole(&format!("it took more than {} s", WHOLE_MAX.as_secs()))),
    };
    // In a task of its own: a client that goes away must not leave half an import behind.
    let who = caller(&request);
    let work = actix_web::rt::spawn(async move {
        let _passage = passage;
        node.import(body, who).await.map_err(refusal)
    });
    match work.await {
        Ok(done) => Ok(HttpResponse::Ok().json(done?)),
        Err(_) => Err(Problem::new(Code::Internal, "the import failed inside the node; its log says where")),
    }
}

fn media(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let given = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match MEDIA.iter().any(|known| known.eq_ignore_ascii_case(given)) {
        true => Ok(()),
        false => Err(Problem::new(Code::UnsupportedMediaType, format!("send the inventory as {NDJSON}"))),
    }
}

/// The body, read piece by piece and no further than it may be long.
async fn whole(mut payload: web::Payload, most: usize, node: &Node) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    loop {
        let piece = match tokio::time::timeout(PIECE_MAX, payload.next()).await {
            Ok(None) => return Ok(body),
            Ok(Some(piece)) => piece.map_err(|e| not_whole(&e.to_string()))?,
            Err(_) => return Err(not_whole(&format!("nothing came for {} s", PIECE_MAX.as_secs()))),
        };
        if body.len() + piece.len() > most {
            node.limited(Limit::AdminImport);
            let detail =
                format!("an inventory may have {most} bytes here; split the file and import the parts");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        body.extend_from_slice(&piece);
    }
}

fn not_whole(why: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("the inventory did not arrive whole: {why}"))
}

fn refusal(refused: ImportRefused) -> Problem {
    match refused {
        ImportRefused::Rows { errors, more } => {
            let count = errors.len() + more;
            let detail = match errors.first() {
                Some(first) => format!("{count} of the rows are wrong; line {}: {}", first.row, first.reason),
                None => format!("{count} of the rows are wrong"),
            };
            Problem::new(Code::ImportRefused, detail).with("errors", errors).with("more", json!(more))
        }
        ImportRefused::Failed { code, reason } => Problem::new(Code::Internal, reason).narrower(code),
    }
}

async fn export(node: Node, gate: web::Data<ImportGate>) -> Result<HttpResponse, Problem> {
    let _passage = gate.enter()?;
    match node.export().await {
        Ok(ndjson) => Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, NDJSON)).body(ndjson)),
        Err(reason) => Err(Problem::new(Code::Internal, reason)),
    }
}

/// Both as OpenAPI describes them: path, method, operation.
pub(super) fn operations() -> Vec<(String, &'static str, Value)> {
    let problem = |code: Code| {
        json!({ "description": code.as_str(), "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" } } } })
    };
    let answers = |description: &str, content: Value, codes: &[Code]| {
        let mut out = json!({ "200": { "description": description, "content": content } });
        let always = [
            Code::Unauthorized,
            Code::Forbidden,
            Code::TooManyAttempts,
            Code::NotAcceptable,
            Code::UnsupportedMediaType,
            Code::ImportRunning,
            Code::Internal,
        ];
        for code in codes.iter().chain(&always) {
            out[code.status().as_str()] = problem(*code);
        }
        out
    };
    let text = json!({ "schema": { "type": "string" } });
    let ndjson = json!({ NDJSON: text });
    // Generators of clients know this one.
    let taken = json!({ NDJSON: text, "text/plain": text });
    let done = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ImportDone" } } });
    let import = json!({
        "summary": "Take in an inventory, all rows or none", "operationId": "import",
        "description": "One JSON object a line, as `keyline export` prints them. Every row is checked before the first \
            is stored; a crash in the middle is finished at the next start.",
        "requestBody": { "required": true, "content": taken },
        "responses": answers("Done", done, &[Code::BadRequest, Code::BodyTooLarge, Code::ImportRefused]),
    });
    let export = json!({
        "summary": "The inventory, without secrets", "operationId": "export",
        "responses": answers("One JSON object a line", ndjson, &[]),
    });
    vec![("/import".to_owned(), "post", import), ("/export".to_owned(), "get", export)]
}

/// `ImportDone` as OpenAPI describes it.
pub(super) fn schema() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object", "required": ["rows", "changed", "warnings"],
        "properties": {
            "rows": count, "changed": count,
            "warnings": { "type": "array", "items": { "type": "object", "properties": {
                "code": text, "text": text, "count": count, "examples": { "type": "array", "items": text },
            } } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_import_at_a_time_whichever_way_it_comes() {
        let gate = ImportGate::default();
        let other = gate.bounded(1024);
        assert_eq!((gate.most, other.most), (IMPORT_MAX, 1024));
        let first = gate.enter().unwrap();
        for gate in [&gate, &other] {
            let refused = gate.enter().err().map(|p| p.document()["code"].clone());
            assert_eq!(refused, Some(json!("import_running")));
        }
        drop(first);
        assert!(other.enter().is_ok());
    }
}
