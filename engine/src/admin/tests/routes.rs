//! Routes, parameters, token and problem documents, without sockets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use serde_json::Value;

use super::fake::{Fake, ROWS};
use crate::admin::{AdminToken, NodeApi, PROBLEM_JSON, api, openapi};

const TOKEN: &str = "Bearer correct-horse";

struct Answer {
    status: StatusCode,
    kind: String,
    body: Value,
}

/// One request to a fresh API; `token` is the whole Authorization value.
async fn ask(node: &Arc<Fake>, method: Method, path: &str, token: Option<&str>) -> Answer {
    let node: Arc<dyn NodeApi> = Arc::<Fake>::clone(node);
    let app = App::new()
        .app_data(api::data(&node))
        .app_data(web::Data::new(AdminToken::new("correct-horse", "test").unwrap()))
        .wrap(from_fn(api::authorize))
        .wrap(api::headers())
        .configure(api::configure);
    let app = init_service(app).await;
    let mut request = TestRequest::with_uri(path).method(method);
    if let Some(token) = token {
        request = request.insert_header(("Authorization", token));
    }
    let answer = call_service(&app, request.to_request()).await;
    assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
    let status = answer.status();
    let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let body = read_body(answer).await;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status, kind: kind.unwrap_or_default(), body }
}

async fn get(path: &str) -> Answer {
    ask(&Arc::default(), Method::GET, path, Some(TOKEN)).await
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.kind, PROBLEM_JSON);
    assert_eq!(answer.body["code"], code);
    assert_eq!(answer.body["status"], status);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(!detail.is_empty() && !detail.contains('\n'), "{detail:?}");
}

#[actix_web::test]
async fn without_the_token_only_the_open_paths_answer() {
    for path in ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json"] {
        assert_eq!(ask(&Arc::default(), Method::GET, path, None).await.status, 200, "{path}");
    }
    let closed = [
        "/api/v1/calls",
        "/api/v1/calls/1/security",
        "/api/v1/registrations",
        "/api/v1/none",
        "/",
        "/import",
    ];
    for path in closed {
        for token in [None, Some("Bearer wrong"), Some("Basic correct-horse"), Some("Bearer")] {
            assert_problem(&ask(&Arc::default(), Method::GET, path, token).await, 401, "unauthorized");
        }
    }
    for path in ["/api/v1//health", "/api/v1/health/", "/api/v1/calls/../health", "/api/v1/health/../calls"] {
        assert_eq!(ask(&Arc::default(), Method::GET, path, None).await.status, 401, "{path}");
    }
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_problems() {
    assert_problem(&get("/api/v1/nothing").await, 404, "not_found");
    // The control socket's own paths do not exist here.
    assert_problem(&get("/export").await, 404, "not_found");
    let post = ask(&Arc::default(), Method::POST, "/api/v1/calls", Some(TOKEN)).await;
    assert_problem(&post, 405, "method_not_allowed");
    assert_eq!(ask(&Arc::default(), Method::HEAD, "/api/v1/calls", Some(TOKEN)).await.status, 200);
}

#[actix_web::test]
async fn health_and_readiness_are_told_by_the_status_too() {
    let node = Arc::new(Fake::default());
    let answer = ask(&node, Method::GET, "/api/v1/health", None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &Value::from("ok")));
    node.broken.store(true, Ordering::Relaxed);
    node.unready.store(true, Ordering::Relaxed);
    let answer = ask(&node, Method::GET, "/api/v1/health", None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["storage_detail"]), (503, &Value::from("disk full")));
    let answer = ask(&node, Method::GET, "/api/v1/ready", None).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["reasons"][0], "an import is being finished");
}

#[actix_web::test]
async fn pages_join_without_gap_or_repetition() {
    let (mut seen, mut path) = (BTreeSet::new(), "/api/v1/registrations?limit=99".to_owned());
    for _ in 0..3 {
        let answer = get(&path).await;
        for row in answer.body["items"].as_array().unwrap() {
            assert!(seen.insert(row["device"].as_str().unwrap().to_owned()));
        }
        let Some(next) = answer.body["next"].as_str() else { break };
        path = format!("/api/v1/registrations?limit=99&after={}", crate::admin::control::escape(next));
    }
    assert_eq!(seen.len(), ROWS);
}

#[actix_web::test]
async fn a_registration_names_everything_the_contract_names() {
    let answer = get("/api/v1/registrations?limit=1").await;
    let row = &answer.body["items"][0];
    for field in ["aor", "device", "contact", "expires_at", "transport", "flow", "suite"] {
        assert!(row.get(field).is_some(), "{field}");
    }
    assert_eq!(row["expires_at"], "2024-02-29T00:00:00.000Z");
}

#[actix_web::test]
async fn parameters_have_bounds_and_unknown_ones_are_refused() {
    for query in ["limit=0", "limit=1001", "limit=x", "limit=-1", "nonsense=1", "limit=1&limit=2"] {
        assert_problem(&get(&format!("/api/v1/registrations?{query}")).await, 400, "bad_request");
        assert_problem(&get(&format!("/api/v1/calls?{query}")).await, 400, "bad_request");
    }
    let long = format!("/api/v1/registrations?after={}", "x".repeat(513));
    assert_problem(&get(&long).await, 400, "bad_request");
    assert_eq!(get("/api/v1/registrations?limit=1000").await.status, 200);
}

#[actix_web::test]
async fn calls_say_whether_there_are_more() {
    let answer = get("/api/v1/calls?limit=2").await;
    assert_eq!(
        (answer.body["items"].as_array().unwrap().len(), &answer.body["more"]),
        (2, &Value::from(true))
    );
    assert_eq!(answer.body["items"][0]["class"], "encrypted");
    assert_eq!(answer.body["items"][1]["class"], Value::Null);
    assert_eq!(get("/api/v1/calls?limit=3").await.body["more"], false);
}

#[actix_web::test]
async fn security_of_a_call_is_found_by_its_escaped_id() {
    let answer = get("/api/v1/calls/07%2F0%201/security").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        (&answer.body["class"], &answer.body["icon"]),
        (&Value::from("non_secure"), &Value::from("none"))
    );
    assert_problem(&get("/api/v1/calls/nobody/security").await, 404, "call_not_found");
}

#[actix_web::test]
async fn the_description_lists_exactly_what_is_served() {
    let document = openapi::document();
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let served = [
        "/api/v1/calls",
        "/api/v1/calls/{id}/security",
        "/api/v1/health",
        "/api/v1/openapi.json",
        "/api/v1/ready",
        "/api/v1/registrations",
    ];
    assert_eq!(described, served.into());
    for path in described {
        let answer = get(&path.replace("{id}", "07%2F0%201")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    // Every reference has its target.
    let text = document.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}
