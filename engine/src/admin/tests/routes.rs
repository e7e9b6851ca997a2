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
use crate::admin::attempts::Attempts;
use crate::admin::guard::Guard;
use crate::admin::inventory::ImportGate;
use crate::admin::rates::Rates;
use crate::admin::{AdminToken, NodeApi, PROBLEM_JSON, api, guard, http, openapi};

const TOKEN: &str = "Bearer correct-horse";

pub(super) struct Answer {
    pub(super) status: StatusCode,
    kind: String,
    pub(super) body: Value,
}

fn guard_of(wrong_tokens: u64) -> web::Data<Guard> {
    let admin = AdminToken::new("correct-horse", "test").unwrap();
    web::Data::new(Guard {
        admin,
        attempts: Attempts::new(wrong_tokens),
        rates: Arc::new(Rates::new(1000, 1000)),
    })
}

/// One request to a fresh API; `token` is the whole Authorization value.
async fn ask(node: &Arc<Fake>, method: Method, path: &str, token: Option<&str>) -> Answer {
    let node: Arc<dyn NodeApi> = Arc::<Fake>::clone(node);
    let app = App::new()
        .app_data(api::data(&node))
        .app_data(guard_of(20))
        .app_data(web::Data::new(ImportGate::default()))
        .wrap(from_fn(http::negotiate))
        .wrap(from_fn(guard::authorize))
        .wrap(http::headers())
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
    let lines = kind.as_deref() == Some("application/x-ndjson");
    let text = || Value::from(String::from_utf8_lossy(&body));
    let body = if lines { text() } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
    Answer { status, kind: kind.unwrap_or_default(), body }
}

pub(super) async fn get(path: &str) -> Answer {
    ask(&Arc::default(), Method::GET, path, Some(TOKEN)).await
}

pub(super) fn assert_problem(answer: &Answer, status: u16, code: &str) {
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
        path = format!("/api/v1/registrations?limit=99&cursor={}", crate::admin::control::escape(next));
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
    let long = format!("/api/v1/registrations?cursor={}", "x".repeat(5000));
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

/// Asks every described path with parts that exist, and holds the answer against the described shape.
#[actix_web::test]
async fn every_described_path_answers_in_the_described_shape() {
    let document = openapi::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        // They never end; the whole-node suite reads them.
        if path.contains("/trace/") {
            continue;
        }
        // Orders change something: their own suites give them.
        if item.get("get").is_none() {
            continue;
        }
        let key = match path.split('/').nth(3).unwrap() {
            "phones" => "SEPFFFFFFFFFFFF",
            "security-profiles" => "Digest%2Fone",
            "end-users" => "user7",
            "application-users"
            | "certificates"
            | "sip-realms"
            | "trunk-security-profiles"
            | "trunks"
            | "packages" => "none",
            "lines" => "1001",
            "parameters" => "no_answer_s",
            "common-phone-profiles" => "Lobby",
            "phone-models" => "Cisco%208845",
            "features" => "srtp",
            "gateways" => "SPA8800",
            "hardening-templates" => "lobby",
            _ => "07.0.1",
        };
        let id = match path.as_str() {
            path if path.ends_with("/security") => "07%2F0%201",
            path if path.contains("/rollouts/") => "none",
            _ => "07.0.1",
        };
        let name = if path.contains("/own-certificates/") { "CallManager" } else { "none" };
        let url = path.replace("{key}", key).replace("{id}", id).replace("{name}", name);
        let url = url.replace("{purpose}/{fingerprint}", "own/none").replace("{seq}", "1");
        let asked = if url.ends_with("-options") { format!("{url}?model=Cisco%208845") } else { url.clone() };
        let answer = get(&asked).await;
        let expected = if url.contains("/none") { "404" } else { "200" };
        assert_eq!(answer.status.as_str(), expected, "{url} {}", answer.body);
        let described = &item["get"]["responses"][expected]["content"];
        let (kind, content) = described.as_object().unwrap().iter().next().unwrap();
        assert_eq!(*kind, answer.kind, "{url}");
        fits(&document, &content["schema"], &answer.body, &url);
    }
}

/// The part of JSON Schema that the description uses; members that are not described are told.
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"));
        return fits(document, target, value, place);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let (null, other): (Vec<_>, Vec<_>) = any.iter().partition(|s| s["type"] == "null");
        assert!(!null.is_empty() && other.len() == 1, "{place}");
        if !value.is_null() {
            fits(document, other[0], value, place);
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) => assert!(kinds.iter().any(|k| k == kind), "{place}: {value}"),
        one => assert_eq!(one, kind, "{place}: {value}"),
    }
    if let Some(of) = schema["enum"].as_array() {
        assert!(of.contains(value), "{place}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item, &format!("{place}[]"));
    }
    let Some(members) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(members.contains_key(required.as_str().unwrap()), "{place}: no {required}");
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, value) in members {
        // A security profile has the fields that its model has, and they are told in the contract.
        let Some(schema) = properties.get(name) else {
            assert!(
                place.contains("security-profiles") || place.contains("takes"),
                "{place}: {name} is not described"
            );
            continue;
        };
        fits(document, schema, value, &format!("{place}.{name}"));
    }
}

#[actix_web::test]
async fn a_single_object_has_an_entity_tag_and_a_known_one_is_304() {
    let node: Arc<dyn NodeApi> = Arc::<Fake>::default();
    let app = App::new().app_data(api::data(&node)).wrap(from_fn(http::negotiate)).configure(api::configure);
    let app = init_service(app).await;
    let path = "/api/v1/phones/sepffffffffffff";
    let first = call_service(&app, TestRequest::with_uri(path).to_request()).await;
    let tag = first.headers().get("etag").unwrap().clone();
    for (given, status) in [(tag.to_str().unwrap(), 304), ("*", 304), ("\"x\", W/\"y\"", 200)] {
        let request = TestRequest::with_uri(path).insert_header(("If-None-Match", given)).to_request();
        assert_eq!(call_service(&app, request).await.status(), status, "{given}");
    }
}

#[actix_web::test]
async fn forms_that_there_are_not_and_bodies_are_refused() {
    let node: Arc<dyn NodeApi> = Arc::<Fake>::default();
    let app = App::new().app_data(api::data(&node)).wrap(from_fn(http::negotiate)).configure(api::configure);
    let app = init_service(app).await;
    for (header, value, status) in [
        ("Accept", "text/html", 406),
        ("Accept", "text/html, */*;q=0.1", 200),
        ("Content-Length", "5", 415),
        ("Transfer-Encoding", "chunked", 415),
    ] {
        let request = TestRequest::with_uri("/api/v1/phones").insert_header((header, value)).to_request();
        assert_eq!(call_service(&app, request).await.status(), status, "{header}: {value}");
    }
    let options = TestRequest::with_uri("/api/v1/phones").method(Method::OPTIONS).to_request();
    let answer = call_service(&app, options).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers().get("allow").unwrap()),
        (204, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let delete = TestRequest::with_uri("/api/v1/phones").method(Method::DELETE).to_request();
    let answer = call_service(&app, delete).await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("allow")), (405, true));
}

/// Every page of every list, joined, holds each row once, in both directions and under a filter.
#[actix_web::test]
async fn r178_pages_of_every_list_join_in_both_directions() {
    for (list, key, filter, all) in [
        ("phones", "name", "", ROWS + 1),
        ("phones", "name", "&filter=name:begins:sep0000000000&filter=line:is_not_empty", ROWS),
        ("phones", "name", "&filter=name:begins:SEP00000000001", 16),
        ("phones", "name", "&filter=name:begins:SEPX", 0),
        ("lines", "dn", "&filter=dn:begins:11", 100),
        ("lines", "dn", "", ROWS),
        ("end-users", "id", "&filter=id:ends:9", 25),
        ("application-users", "id", "", 0),
        ("parameters", "name", "&filter=set:is_exactly:true", 0),
        ("features", "name", "&filter=name:begins:rsa_", 5),
        ("gateways", "name", "", 12),
        ("phone-models", "name", "&filter=vendor_class:is_exactly:preferred", usize::MAX),
        (
            "security-profiles",
            "name",
            "&filter=model:is_exactly:cisco%208845&filter=protocol:is_exactly:sip",
            2,
        ),
    ] {
        let mut orders = Vec::new();
        for sort in [key.to_owned(), format!("-{key}")] {
            let (mut names, mut cursor) = (Vec::new(), String::new());
            loop {
                let answer = get(&format!("/api/v1/{list}?limit=7&sort={sort}{filter}{cursor}")).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let items = answer.body["items"].as_array().unwrap();
                assert!(items.len() <= 7);
                names.extend(items.iter().map(|row| row[key].as_str().unwrap().to_owned()));
                match answer.body["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            orders.push(names);
        }
        assert!(
            orders[0].is_sorted() && (all == usize::MAX || orders[0].len() == all),
            "{list}{filter}: {}",
            orders[0].len()
        );
        orders[1].reverse();
        assert_eq!(orders[0], orders[1], "{list}");
    }
}

#[actix_web::test]
async fn r189_phones_are_found_by_profile_line_and_user() {
    for (filter, found) in [
        ("security_profile:is_exactly:digest/one", "SEPFFFFFFFFFFFF"),
        ("line:is_exactly:1007", "SEP000000000007"),
        ("digest_user:is_exactly:user7", "SEP000000000007"),
        ("description:is_exactly:desk%207", "SEP000000000007"),
        ("common_phone_profile:is_not_empty", "SEPFFFFFFFFFFFF"),
    ] {
        let answer = get(&format!("/api/v1/phones?filter={filter}")).await;
        let names: Vec<_> = answer.body["items"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
        assert_eq!(names, [found], "{filter}");
    }
}

#[actix_web::test]
async fn r010_r018_a_phone_shows_trust_profile_and_where_its_switches_come_from() {
    let phone = get("/api/v1/phones/SEPFFFFFFFFFFFF").await.body;
    assert_eq!(phone["trusted"]["value"], true);
    assert!(phone["trusted"]["setting"].as_str().unwrap().contains("Cisco 8845"));
    assert_eq!(phone["assigned"]["security_profile"], "Digest/one");
    for (switch, value, origin) in [
        ("settings_access", "disabled", "phone"),
        ("pc_port", "disabled", "common_phone_profile"),
        ("web_access", "disabled", "enterprise_phone"),
        ("gratuitous_arp", "enabled", "default"),
    ] {
        let found = &phone["hardening"][switch];
        assert_eq!(
            (found["value"].as_str(), found["origin"].as_str()),
            (Some(value), Some(origin)),
            "{switch}"
        );
    }
}

#[actix_web::test]
async fn r056_features_lead_to_models_and_models_to_features() {
    let answer = get("/api/v1/phone-models?limit=1000&filter=capability:is_exactly:srtp").await;
    let models = answer.body["items"].as_array().unwrap();
    assert!(
        !models.is_empty()
            && models.iter().all(|m| m["capabilities"].as_array().unwrap().contains(&"srtp".into()))
    );
}

#[actix_web::test]
async fn no_answer_shows_a_secret() {
    for path in ["phones", "end-users", "end-users/user7", "phones/SEP000000000007", "application-users"] {
        let answer = get(&format!("/api/v1/{path}")).await;
        assert!(!answer.body.to_string().contains("Secret"), "{path}");
    }
}

#[actix_web::test]
async fn a_role_allows_what_it_says_and_no_more() {
    for (token, path, status) in [
        ("Bearer reader", "/api/v1/phones", 200),
        ("Bearer reader", "/api/v1/trace/phones/x", 403),
        ("Bearer operator", "/api/v1/trace/phones/x", 404),
        ("Bearer correct-horse", "/api/v1/trace/calls/x", 404),
        ("Bearer nobody", "/api/v1/trace/calls/x", 401),
    ] {
        let answer = ask(&Arc::default(), Method::GET, path, Some(token)).await;
        assert_eq!(answer.status, status, "{token} {path} {}", answer.body);
    }
    let answer = ask(&Arc::default(), Method::GET, "/api/v1/trace/phones/x", Some("Bearer reader")).await;
    assert_problem(&answer, 403, "forbidden");
}

#[actix_web::test]
async fn who_guesses_tokens_is_soon_not_looked_at() {
    let node: Arc<dyn NodeApi> = Arc::<Fake>::default();
    let app = App::new()
        .app_data(api::data(&node))
        .app_data(guard_of(3))
        .wrap(from_fn(guard::authorize))
        .configure(api::configure);
    let app = init_service(app).await;
    let status = async |token: &str| {
        let request = TestRequest::with_uri("/api/v1/phones").insert_header(("Authorization", token));
        let answer = call_service(&app, request.to_request()).await;
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    for _ in 0..5 {
        assert_eq!(status(TOKEN).await, (200, false));
    }
    for _ in 0..3 {
        assert_eq!(status("Bearer guess").await, (401, false));
    }
    assert_eq!(status("Bearer guess").await, (429, true));
    // The right one is not looked at either: a guess that hits must not be told from one that does not.
    assert_eq!(status(TOKEN).await, (429, true));
}
