//! The changes as the description has them.

use keyline_domain::inventory::Kind;
use serde_json::{Value, json};

use super::super::changes::{DEPENDENCIES, dependency_lists};
use super::super::lists::List;
use super::super::problem::{Code, PROBLEM_JSON};
use super::{bodies, key, problem, reference};

/// Path, method, operation.
pub(super) type Operation = (String, &'static str, Value);

/// Every change of an object, and the orders of security profiles.
pub(super) fn operations() -> Vec<Operation> {
    let mut out = Vec::new();
    for list in List::ALL {
        let name = list.shape().name;
        let Some(kind) = list.kind() else { continue };
        if list.is_open() {
            let operation = change(Change {
                id: format!("create_{}", kind.as_str()),
                summary: format!("Add to {name}"),
                keys: &[],
                body: Some((JSON, bodies::row(kind))),
                created: true,
                not_found: None,
            });
            out.push((format!("/{name}"), "post", operation));
        }
        let (path, keys): (_, &[&str]) = match list {
            List::Certificates => {
                (format!("/{name}/{{purpose}}/{{fingerprint}}"), &["purpose", "fingerprint"])
            }
            _ => (format!("/{name}/{{key}}"), &["key"]),
        };
        let of_one = of_object(&path, keys, kind, Some(list.not_found()));
        if list == List::Packages {
            out.push((format!("/{name}"), "post", install()));
            out.extend(of_one.into_iter().filter(|(_, method, _)| *method == "delete"));
            continue;
        }
        out.extend(of_one);
    }
    out.extend(of_object("/enterprise-phone", &[], Kind::EnterprisePhone, Some(Code::NotFound)));
    for (path, method, id, summary, body) in [
        (
            "login",
            "post",
            "login",
            "Extension Mobility: this end user's credentials count now",
            Some((JSON, "Login")),
        ),
        ("logout", "post", "logout", "Extension Mobility: the owner's credentials count again", None),
        (
            "capf",
            "patch",
            "change_capf",
            "CAPF settings and order of a phone; other settings find or make another profile",
            Some((PATCH, "CapfOfPhone")),
        ),
    ] {
        let operation = change(Change {
            id: format!("{id}_phone"),
            summary: summary.to_owned(),
            keys: &["key"],
            body: body.map(|(media, schema)| (media, schema.to_owned())),
            created: false,
            not_found: Some(Code::PhoneNotFound),
        });
        out.push((format!("/phones/{{key}}/{path}"), method, operation));
    }
    let profile = Some(Code::SecurityProfileNotFound);
    for (order, summary, created, schema) in [
        ("copy", "A new profile with the settings of this one and a name of its own", true, "CopyOf"),
        ("rename", "Another name for this profile", false, "NewName"),
    ] {
        let operation = change(Change {
            id: format!("{order}_security_profile"),
            summary: summary.to_owned(),
            keys: &["key"],
            body: Some((JSON, schema.to_owned())),
            created,
            not_found: profile,
        });
        out.push((format!("/security-profiles/{{key}}/{order}"), "post", operation));
    }
    out.extend(several());
    out.extend(tokens());
    out
}

/// What changes several objects.
fn several() -> Vec<Operation> {
    let mut bulk = change(Change {
        id: "bulk".to_owned(),
        summary: "Many changes: each by itself with a report, or with `atomic` all of them or none"
            .to_owned(),
        keys: &[],
        body: Some((JSON, "Bulk".to_owned())),
        created: false,
        not_found: Some(Code::NotFound),
    });
    answers(&mut bulk, "BulkReport");
    let mut out = vec![("/bulk".to_owned(), "post", bulk)];
    for list in List::ALL.into_iter().filter(|list| list.is_open() && list.kind().is_some()) {
        let name = list.shape().name;
        let mut delete = change(Change {
            id: format!("delete_several_{}", name.replace('-', "_")),
            summary: format!(
                "Delete several of {name}: those named, those found, or all that can be configured"
            ),
            keys: &[],
            body: Some((JSON, "Selection".to_owned())),
            created: false,
            not_found: None,
        });
        answers(&mut delete, "BulkReport");
        delete["responses"]["428"] = problem(Code::ConfirmationRequired);
        out.push((format!("/{name}/delete"), "post", delete));
    }
    for list in dependency_lists() {
        let name = list.shape().name;
        let mut read = super::list(&format!("What names one of {name}"), &DEPENDENCIES, "Dependents");
        read["operationId"] = format!("dependencies_{}", name.replace('-', "_")).into();
        if let Some(parameters) = read["parameters"].as_array_mut() {
            parameters.retain(|p| p["name"] == "limit" || p["name"] == "cursor");
            parameters.push(key("key"));
        }
        read["responses"]["404"] = problem(list.not_found());
        read["responses"]["409"] = problem(Code::DependencyRecordsOff);
        out.push((format!("/{name}/{{key}}/dependencies"), "get", read));
    }
    out
}

fn answers(operation: &mut Value, schema: &str) {
    operation["responses"]["200"]["content"]["application/json"]["schema"] = reference(schema);
}

/// Tokens of the API.
fn tokens() -> Vec<Operation> {
    let of = |id: &str, summary: &str, schema: &str, problems: &[Code]| json!({ "operationId": id, "summary": summary, "responses": super::responses(schema, problems) });
    let list = of("tokens", "Tokens but the one of the data directory; never their text", "Tokens", &[]);
    let problems = [Code::BadRequest, Code::TokenRefused, Code::BodyTooLarge, Code::Internal];
    let mut make = of("create_token", "Make a token; its text is told once, here", "NewToken", &problems);
    make["requestBody"] = json!({
        "required": true, "content": { "application/json": { "schema": reference("WantedToken") } },
    });
    let mut made = make["responses"]["200"].take();
    made["description"] = "Made".into();
    made["headers"] = json!({ "Location": { "description": "The token", "schema": { "type": "string" } } });
    if let Some(responses) = make["responses"].as_object_mut() {
        responses.remove("200");
        responses.insert("201".to_owned(), made);
    }
    let mut one = of("token", "A token; never its text", "Token", &[Code::TokenNotFound]);
    one["parameters"] = json!([key("name")]);
    let problems = [Code::BadRequest, Code::TokenNotFound, Code::Internal];
    let mut revoke = of("revoke_token", "Void a token at once", "RevokedToken", &problems);
    revoke["parameters"] = json!([key("name")]);
    vec![
        ("/tokens".to_owned(), "get", list),
        ("/tokens".to_owned(), "post", make),
        ("/tokens/{name}".to_owned(), "get", one),
        ("/tokens/{name}".to_owned(), "delete", revoke),
    ]
}

/// A package is sent as its file.
fn install() -> Value {
    let mut install = change(Change {
        id: "install_package".to_owned(),
        summary: "Install a signed package of phone models, or a newer version of one".to_owned(),
        keys: &[],
        body: Some((JSON, "PackageFile".to_owned())),
        created: true,
        not_found: None,
    });
    install["description"] = json!("The signer's certificate must be trusted with purpose package-trust.");
    install
}

const JSON: &[&str] = &["application/json"];
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

fn of_object(
    path: &str,
    keys: &'static [&'static str],
    kind: Kind,
    not_found: Option<Code>,
) -> Vec<Operation> {
    let of = |verb: &str, summary: &str, body: Option<(&'static [&'static str], String)>| {
        change(Change {
            id: format!("{verb}_{}", kind.as_str()),
            summary: summary.to_owned(),
            keys,
            body,
            created: false,
            not_found,
        })
    };
    let put = of(
        "replace",
        "Another row in its place; secrets that are left out stay",
        Some((JSON, bodies::row(kind))),
    );
    let patch = of("change", "Change some fields (RFC 7396)", Some((PATCH, bodies::patch(kind))));
    let delete = of("delete", "Delete it; refused while something names it", None);
    vec![
        (path.to_owned(), "put", put),
        (path.to_owned(), "patch", patch),
        (path.to_owned(), "delete", delete),
    ]
}

/// One operation that changes something.
struct Change {
    id: String,
    summary: String,
    keys: &'static [&'static str],
    body: Option<(&'static [&'static str], String)>,
    created: bool,
    not_found: Option<Code>,
}

fn change(of: Change) -> Value {
    let flag = |name: &str, what: &str| json!({ "name": name, "in": "query", "description": what, "schema": { "type": "boolean", "default": false } });
    let mut parameters: Vec<_> = of.keys.iter().map(|name| key(name)).collect();
    parameters.push(flag("dry_run", "Say what would happen, and do nothing"));
    parameters.push(flag("force", "The administrator insists, where a rule allows it"));
    if of.created {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "description": "The same request under the same key is done once and answered as before for a day",
            "schema": { "type": "string", "pattern": "^[!-~]{1,64}$" },
        }));
    } else if !of.keys.is_empty() {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "description": "The ETag that the object must have",
            "schema": { "type": "string", "pattern": "^(\\*|\"[0-9a-f-]{1,80}\")$" },
        }));
    }
    let done = json!({
        "description": "Done, or with dry_run what would be done",
        "headers": { "ETag": { "schema": { "type": "string" } } },
        "content": { "application/json": { "schema": reference("Changed") } },
    });
    let mut responses = json!({ "200": done });
    if of.created {
        let mut made = done;
        made["description"] = "Made".into();
        made["headers"]["Location"] = json!({ "schema": { "type": "string" } });
        responses["201"] = made;
    }
    let always = [
        Code::BadRequest,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotAcceptable,
        Code::Conflict,
        Code::PreconditionFailed,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::RuleBroken,
        Code::MethodNotAllowed,
        Code::TooManyAttempts,
        Code::Internal,
        Code::Busy,
    ];
    for code in of.not_found.iter().chain(&always) {
        responses[code.status().as_str()] = problem(*code);
    }
    let broken = json!({
        "description": "A rule is broken; `code` says which (docs/PROBLEMS.md)",
        "content": { PROBLEM_JSON: { "schema": reference("Problem") } },
    });
    for status in ["409", "422"] {
        responses[status] = broken.clone();
    }
    let mut operation = json!({
        "summary": of.summary, "operationId": of.id, "parameters": parameters, "responses": responses,
    });
    if let Some((media, schema)) = of.body {
        let content: serde_json::Map<_, _> =
            media.iter().map(|m| ((*m).to_owned(), json!({ "schema": reference(&schema) }))).collect();
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}
