//! The API's description (OpenAPI 3.1), at `/api/v1/openapi.json`.

use serde_json::{Value, json};

use super::api::{CURSOR_MAX, LIMIT_DEFAULT, LIMIT_MAX};
use super::problem::{Code, PROBLEM_JSON};

/// The description of what this version serves.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyline admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": {
            "/api/v1/health": open(
                "What is broken, if anything is", "Health", "Something is broken; the body says what"),
            "/api/v1/ready": open(
                "Whether the node takes registrations and calls", "Readiness", "Not ready; the body says why"),
            "/api/v1/openapi.json": { "get": {
                "summary": "This description",
                "security": [],
                "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": {} } } },
            } },
            "/api/v1/calls": { "get": {
                "summary": "Calls in progress",
                "parameters": [limit()],
                "responses": responses("Calls", &[Code::BadRequest]),
            } },
            "/api/v1/calls/{id}/security": { "get": {
                "summary": "Class of a call, its icon, and every leg's criteria with cause and setting",
                "description": "With Accept: text/plain the text of `keyline explain call`.",
                "parameters": [{
                    "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
                    "description": "Id from /api/v1/calls, also of a call that ended lately",
                }],
                "responses": responses("CallSecurity", &[Code::CallNotFound]),
            } },
            "/api/v1/registrations": { "get": {
                "summary": "Bindings, in pages",
                "parameters": [limit(), {
                    "name": "after", "in": "query", "description": "`next` of the page before",
                    "schema": { "type": "string", "maxLength": CURSOR_MAX },
                }],
                "responses": responses("Registrations", &[Code::BadRequest]),
            } },
        },
        "components": { "securitySchemes": { "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The text of admin.token in the node's data directory",
        } }, "schemas": schemas() },
    })
}

fn limit() -> Value {
    json!({
        "name": "limit", "in": "query", "description": "Most rows of the answer",
        "schema": { "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn open(summary: &str, schema: &str, failing: &str) -> Value {
    let content = json!({ "application/json": { "schema": reference(schema) } });
    json!({ "get": {
        "summary": summary,
        "security": [],
        "responses": {
            "200": { "description": "Fine", "content": content },
            "503": { "description": failing, "content": content },
        },
    } })
}

fn responses(schema: &str, problems: &[Code]) -> Value {
    let mut out = json!({
        "200": { "description": "Done", "content": { "application/json": { "schema": reference(schema) } } },
    });
    for code in problems.iter().chain(&[Code::Unauthorized]) {
        out[code.status().as_str()] = json!({
            "description": code.as_str(),
            "content": { PROBLEM_JSON: { "schema": reference("Problem") } },
        });
    }
    out
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let count = json!({ "type": "integer", "minimum": 0 });
    let boolean = json!({ "type": "boolean" });
    let instant = json!({ "type": "string", "format": "date-time" });
    let class = json!({ "type": "string", "enum": ["non_secure", "authenticated", "encrypted"] });
    let transport = json!({ "type": "string", "enum": ["udp", "tcp", "tls", "oauth"] });
    let list = |items: Value| json!({ "type": "array", "items": items });
    json!({
        "Health": object(json!({
            "status": { "type": "string", "enum": ["ok", "failing"] },
            "storage_ok": boolean, "storage_detail": text, "shards_alive": count, "shards": count,
            "uptime_s": count, "version": text,
        }), &["status", "storage_ok", "shards_alive", "shards", "uptime_s", "version"]),
        "Readiness": object(json!({ "ready": boolean, "reasons": list(text.clone()) }), &["ready", "reasons"]),
        "Calls": object(json!({ "items": list(object(json!({
            "id": text, "started": instant, "called": text,
            "class": { "anyOf": [class, { "type": "null" }], "description": "null before the answer" },
        }), &["id", "started", "called", "class"])), "more": boolean }), &["items", "more"]),
        "CallSecurity": object(json!({
            "id": text, "class": class,
            "icon": { "type": "string", "enum": ["lock", "shield", "none"] },
            "legs": list(object(json!({
                "device": text, "class": class,
                "criteria": list(object(json!({
                    "name": { "type": "string", "enum": ["trusted", "signaling", "media"] },
                    "pass": boolean, "cause": maybe, "setting": maybe,
                    "also": list(object(json!({ "cause": text, "setting": text }), &["cause", "setting"])),
                }), &["name", "pass", "cause", "setting"])),
            }), &["device", "class", "criteria"])),
        }), &["id", "class", "icon", "legs"]),
        "Registrations": object(json!({ "items": list(object(json!({
            "aor": text, "device": text, "contact": text, "expires_at": instant, "transport": transport,
            "flow": { "type": "string", "description": "`lost` when the phone must come back first" },
            "suite": maybe, "profile": text,
        }), &["aor", "device", "contact", "expires_at", "transport", "flow", "suite", "profile"])),
            "next": maybe }), &["items", "next"]),
        "Problem": object(json!({
            "type": text, "title": text, "status": count, "detail": text,
            "code": { "type": "string", "description": "Stable" },
        }), &["type", "title", "status", "detail", "code"]),
    })
}
