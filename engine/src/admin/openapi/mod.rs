//! The API's description (OpenAPI 3.1), at `/api/v1/openapi.json`.

mod bodies;
mod catalogue;
mod changes;
mod impact;
mod schemas;

use serde_json::{Map, Value, json};

use super::api::{CALLS, PREFIX, REGISTRATIONS};
use super::audit::SHAPE as AUDIT;
use super::lists::{CURSOR_MAX, FILTER_TEXT_MAX, LIMIT_DEFAULT, LIMIT_MAX, List, Pattern, Shape};
use super::problem::{Code, PROBLEM_JSON};

/// The description of what this version serves.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    let mut add = |path: &str, get: Value| {
        paths.insert(format!("{PREFIX}{path}"), json!({ "get": get }));
    };
    add(
        "/health",
        open("What is broken, if anything is", "Health", "Something is broken; the body says what"),
    );
    add(
        "/ready",
        open("Whether the node takes registrations and calls", "Readiness", "Not ready; the body says why"),
    );
    add(
        "/openapi.json",
        json!({
            "summary": "This description", "operationId": "openapi", "security": [],
            "responses": responses("Description", &[]),
        }),
    );
    add(
        "/nodes",
        json!({
            "summary": "The node with its shards and their queues", "operationId": "nodes",
            "responses": responses("Nodes", &[]),
        }),
    );
    add("/calls", list("Calls in progress, oldest first", &CALLS, "Calls"));
    add("/calls/{id}", one("A call in progress, or one that ended lately", "id", "Call", Code::CallNotFound));
    let mut security = one(
        "Class of a call, its icon, and every leg's criteria with cause and setting",
        "id",
        "CallSecurity",
        Code::CallNotFound,
    );
    security["description"] = json!("With `Accept: text/plain` the text of `keyline explain call`.");
    security["responses"]["200"]["content"]["text/plain"] = json!({ "schema": { "type": "string" } });
    add("/calls/{id}/security", security);
    add("/registrations", list("Bindings", &REGISTRATIONS, "Registrations"));
    for (what, key, not_found) in
        [("phones", "name", Code::PhoneNotFound), ("calls", "id", Code::CallNotFound)]
    {
        let mut trace = one(&format!("Signaling of one of {what}, live"), key, "TraceLine", not_found);
        trace["description"] =
            json!("NDJSON: first {\"event\":\"tracing\"}, then messages with secrets masked.");
        trace["responses"]["200"]["content"] =
            json!({ "application/x-ndjson": { "schema": reference("TraceLine") } });
        trace["responses"][Code::TooManyTraces.status().as_str()] = problem(Code::TooManyTraces);
        if let Some(parameters) = trace["parameters"].as_array_mut() {
            parameters.push(json!({
                "name": "seconds", "in": "query", "description": "How long; else until the reader goes",
                "schema": { "type": "integer", "minimum": 1, "maximum": 86_400 },
            }));
        }
        add(&format!("/trace/{what}/{{{key}}}"), trace);
    }
    for (of, summary, page, single, not_found) in LISTS {
        let (path, shape) = (of.shape().name, of.shape());
        let mut listed = list(summary, shape, page);
        if of == List::Certificates {
            if let Some(parameters) = listed["parameters"].as_array_mut() {
                parameters.push(json!({
                    "name": "purpose", "in": "query", "description": "Short for filter=purpose:is_exactly:…",
                    "schema": { "type": "string", "minLength": 1, "maxLength": FILTER_TEXT_MAX },
                }));
            }
            add(&format!("/{path}"), listed);
            let mut found = one("One certificate", "purpose", single, not_found);
            if let Some(parameters) = found["parameters"].as_array_mut() {
                parameters.push(key("fingerprint"));
            }
            add(&format!("/{path}/{{purpose}}/{{fingerprint}}"), found);
        } else {
            add(&format!("/{path}"), listed);
            add(&format!("/{path}/{{key}}"), one(&format!("One of {path}"), "key", single, not_found));
        }
    }
    let mut on_mic = list(
        "Phones that prove themselves by their manufacturer's certificate",
        List::Phones.shape(),
        "Phones",
    );
    on_mic["operationId"] = "report_mic".into();
    add("/reports/mic", on_mic);
    add(
        "/phones/{key}/setup",
        one("The way to a secure phone: what is done, what comes next", "key", "Setup", Code::PhoneNotFound),
    );
    let mut entries = list("What was changed, newest first", &AUDIT, "AuditEntries");
    if let Some(parameters) = entries["parameters"].as_array_mut() {
        for (name, what) in
            [("from", "Only from this instant on (UTC)"), ("to", "Only before this instant (UTC)")]
        {
            parameters.push(json!({
                "name": name, "in": "query", "description": what,
                "schema": { "type": "string", "pattern": "^[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,3})?)?)?)?)?Z?$" },
            }));
        }
    }
    add("/audit", entries);
    add("/audit/{seq}", one("One entry of the audit", "seq", "AuditEntry", Code::NotFound));
    add(
        "/audit/verify",
        json!({
            "summary": "Whether the chain of the audit is whole, else the first thing that is wrong",
            "operationId": "audit_verify",
            "parameters": [{
                "name": "expect", "in": "query", "description": "A mark that was noted earlier: it must be part of the chain",
                "schema": { "type": "string", "pattern": "^[0-9]{1,19}:[0-9a-f]{64}$" },
            }],
            "responses": responses("AuditVerification", &[Code::BadRequest, Code::Busy]),
        }),
    );
    for (path, summary, schema, parameters, problem) in [
        ("/help", "Help for every field of every kind", "Help", &[("kind", false)][..], None),
        (
            "/security-profile-options",
            "What profiles and phones of a model and protocol may have: values, conditions, defaults, help",
            "SecurityProfileOptions",
            &[("model", true), ("protocol", false)],
            Some(Code::PhoneModelNotFound),
        ),
    ] {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, required)| {
                let schema = match *name {
                    "protocol" => json!({ "type": "string", "enum": ["sip", "sccp"] }),
                    _ => json!({ "type": "string", "minLength": 1 }),
                };
                json!({ "name": name, "in": "query", "required": required, "schema": schema })
            })
            .collect();
        let mut problems = vec![Code::BadRequest, Code::Busy];
        problems.extend(problem);
        add(
            path,
            json!({
                "summary": summary, "operationId": schema.to_lowercase(), "parameters": parameters,
                "responses": responses(schema, &problems),
            }),
        );
    }
    let mut enterprise = one("Switches of the enterprise level", "none", "EnterprisePhone", Code::NotFound);
    enterprise["parameters"] = json!([]);
    add("/enterprise-phone", enterprise);
    let orders = super::orders::operations().into_iter();
    let orders = orders.chain(super::own::operations()).chain(super::crl::operations());
    let orders = orders.map(|(path, method, operation)| (path.to_owned(), method, operation));
    for (path, method, operation) in orders.chain(changes::operations()) {
        let item = paths.entry(format!("{PREFIX}{path}")).or_insert_with(|| json!({}));
        item[method] = operation;
    }
    let mut rollouts =
        list("Roll-outs: open ones and the last that ended", &super::rollouts::SHAPE, "Rollouts");
    rollouts["operationId"] = "rollouts".into();
    paths.insert(format!("{PREFIX}/rollouts"), json!({ "get": rollouts }));
    let single = one("A roll-out with its progress", "id", "Rollout", Code::RolloutNotFound);
    paths.insert(format!("{PREFIX}/rollouts/{{id}}"), json!({ "get": single }));
    for (path, method, operation) in super::rollouts::operations() {
        paths.insert(format!("{PREFIX}{path}"), json!({ method: operation }));
    }
    for (path, method, operation) in
        super::inventory::operations().into_iter().chain(super::oauth::operations())
    {
        paths.insert(format!("{PREFIX}{path}"), json!({ method: operation }));
    }
    let mut schemas = schemas::all();
    for (name, schema) in super::own::schemas().into_iter().chain(super::crl::schemas()) {
        schemas[name] = schema;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyline admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Problems are RFC 9457 documents; docs/PROBLEMS.md lists their codes.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": { "securitySchemes": { "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The text of admin.token in the node's data directory, or a token of `keyline token create`",
        } }, "schemas": schemas },
    })
}

/// Lists of the configuration: summary, schema of a page, schema of one, and what is said when there is none.
const LISTS: [(List, &str, &str, &str, Code); 16] = [
    (List::Phones, "Phones by name", "Phones", "Phone", Code::PhoneNotFound),
    (
        List::SecurityProfiles,
        "Phone security profiles, predefined ones included",
        "SecurityProfiles",
        "SecurityProfile",
        Code::SecurityProfileNotFound,
    ),
    (List::EndUsers, "End users", "Users", "User", Code::UserNotFound),
    (List::ApplicationUsers, "Application users", "Users", "User", Code::UserNotFound),
    (List::Lines, "Lines with their phones", "Lines", "Line", Code::LineNotFound),
    (List::Parameters, "Cluster parameters with help", "Parameters", "Parameter", Code::ParameterNotFound),
    (
        List::CommonPhoneProfiles,
        "Switches that many phones share",
        "CommonPhoneProfiles",
        "CommonPhoneProfile",
        Code::CommonPhoneProfileNotFound,
    ),
    (
        List::SipRealms,
        "SIP realms: what answers the challenges of trunks' far ends",
        "SipRealms",
        "SipRealm",
        Code::SipRealmNotFound,
    ),
    (
        List::TrunkSecurityProfiles,
        "Trunk security profiles",
        "TrunkSecurityProfiles",
        "TrunkSecurityProfile",
        Code::TrunkSecurityProfileNotFound,
    ),
    (List::Trunks, "Trunks", "Trunks", "Trunk", Code::TrunkNotFound),
    (
        List::PhoneModels,
        "Phone models with their features",
        "PhoneModels",
        "PhoneModel",
        Code::PhoneModelNotFound,
    ),
    (
        List::Certificates,
        "Trusted certificates, and the node's own (purpose own)",
        "Certificates",
        "Certificate",
        Code::CertificateNotFound,
    ),
    (
        List::Gateways,
        "Gateway types with the trust that follows from the type",
        "Gateways",
        "Gateway",
        Code::GatewayNotFound,
    ),
    (
        List::Features,
        "Features of phone models; one of them with every model's answer",
        "Features",
        "Feature",
        Code::FeatureNotFound,
    ),
    (
        List::HardeningTemplates,
        "Sets of hardening switches for many phones",
        "HardeningTemplates",
        "HardeningTemplate",
        Code::TemplateNotFound,
    ),
    (List::Packages, "Installed packages of phone models", "Packages", "Package", Code::PackageNotFound),
];

fn list(summary: &str, shape: &Shape, schema: &str) -> Value {
    let patterns: Vec<_> = Pattern::ALL.iter().map(|(name, _)| *name).collect();
    let sorts: Vec<String> = shape.sorts.iter().flat_map(|s| [(*s).to_owned(), format!("-{s}")]).collect();
    let sorts = if shape.name == REGISTRATIONS.name { vec![sorts[0].clone()] } else { sorts };
    json!({
        "summary": summary,
        "operationId": shape.name.replace('-', "_"),
        "description": "A page may be short, even empty, while `next` is set: ask on until it is null.",
        "parameters": [
            {
                "name": "limit", "in": "query", "description": "Most rows of the answer",
                "schema": { "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT },
            },
            {
                "name": "cursor", "in": "query", "description": "`next` of the page before, for the same filters and sort",
                "schema": { "type": "string", "minLength": 1, "maxLength": CURSOR_MAX },
            },
            {
                "name": "filter", "in": "query", "style": "form", "explode": true,
                "description": "field:pattern:text, letters without regard to case; all of several must hold",
                "schema": { "type": "array", "maxItems": super::lists::FILTERS_MAX, "items": {
                    "type": "string",
                    "pattern": format!("^({}):({})(:.*)?$", shape.filters.join("|"), patterns.join("|")),
                } },
                "example": [format!("{}:begins:a", shape.filters[0])],
            },
            {
                "name": "sort", "in": "query", "description": "Field; with - in front, backwards",
                "schema": { "type": "string", "enum": sorts },
            },
        ],
        "responses": responses(schema, &[Code::BadRequest, Code::Busy]),
    })
}

fn key(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

fn one(summary: &str, parameter: &str, schema: &str, not_found: Code) -> Value {
    json!({
        "summary": summary,
        "operationId": format!("{}_by_{parameter}_{}", schema.to_lowercase(), summary.len()),
        "parameters": [key(parameter)],
        "responses": responses(schema, &[not_found, Code::BadRequest, Code::Busy]),
    })
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn open(summary: &str, schema: &str, failing: &str) -> Value {
    let content = json!({ "application/json": { "schema": reference(schema) } });
    json!({
        "summary": summary,
        "operationId": schema.to_lowercase(),
        "security": [],
        "responses": {
            "200": { "description": "Fine", "content": content },
            "503": { "description": failing, "content": content },
            "406": problem(Code::NotAcceptable), "415": problem(Code::UnsupportedMediaType),
        },
    })
}

fn problem(code: Code) -> Value {
    json!({ "description": code.as_str(), "content": { PROBLEM_JSON: { "schema": reference("Problem") } } })
}

/// A name in the path.
pub(super) fn name_parameter(name: &str) -> Value {
    key(name)
}

/// A JSON body that must be there.
pub(super) fn body_of(schema: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// The answers of an operation that may take a body.
pub(super) fn answers(schema: &str, problems: &[Code]) -> Value {
    let mut out = responses(schema, problems);
    for code in [Code::BodyTooLarge, Code::Internal] {
        out[code.status().as_str()] = problem(code);
    }
    out
}

pub(super) fn responses(schema: &str, problems: &[Code]) -> Value {
    let mut out = json!({
        "200": { "description": "Done", "content": { "application/json": { "schema": reference(schema) } } },
        "304": { "description": "The client has it (If-None-Match)" },
    });
    let always = [
        Code::Unauthorized,
        Code::Forbidden,
        Code::TooManyAttempts,
        Code::NotAcceptable,
        Code::UnsupportedMediaType,
    ];
    for code in problems.iter().chain(&always) {
        out[code.status().as_str()] = problem(*code);
    }
    out
}
