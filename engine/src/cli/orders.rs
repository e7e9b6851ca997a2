//! What a running node is told to do at once: phones that shall restart, lamps that shall light.

use std::path::Path;

use keyline_actors::catalog::ChangeRequest;
use keyline_domain::audit::{COMMAND_LINE, Who};
use keyline_domain::inventory::{Kind, Step};
use serde_json::{Value, json};

use super::source::{Source, refused};
use super::{Failure, World, ask, failure::line, said};
use crate::admin::changes::{answered, package_of, package_signers};
use crate::admin::control::{Ask, Method, escape};
use crate::admin::{OfflineApi, PhoneOrder};

/// Gives a phone an order and prints its answer.
pub(super) fn phone(
    name: &str,
    order: PhoneOrder,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let path = format!("/api/v1/phones/{}/{}", escape(name), order.as_str());
    let answer = send(Method::POST, &path, None, source)?;
    let status = answer["status"].as_u64().unwrap_or_default();
    writeln!(world.out, "phone {} answered {} with {status}", line(name), order.as_str())
        .map_err(Failure::output)
}

/// Sets the messages that wait for a line.
pub(super) fn messages(
    dn: &str,
    waiting: Value,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let path = format!("/api/v1/lines/{}/message-waiting", escape(dn));
    let answer = send(Method::PUT, &path, Some(waiting), source)?;
    let count = |field: &str| answer["message_waiting"][field].as_u64().unwrap_or_default();
    writeln!(world.out, "line {} has {} new and {} old messages", line(dn), count("new"), count("old"))
        .map_err(Failure::output)
}

/// Installs a package.
pub(super) fn install(
    file: &Path,
    dry_run: bool,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let package = Value::Object(ask::object(file, world)?);
    let query = if dry_run { "?dry_run=true" } else { "" };
    let answer = match source {
        Source::Node(_) => send(Method::POST, &format!("/api/v1/packages{query}"), Some(package), source)?,
        Source::Store(store) => {
            let trusted = store.read(Box::new(package_signers)).map_err(refused)?;
            let package = package_of(package.to_string().as_bytes(), &trusted).map_err(refused)?;
            offline(&mut **store, Step::Install(Box::new(package)), dry_run)?
        }
    };
    said::warnings(&answer, world);
    let name = answer["name"].as_str().unwrap_or_default();
    let version = answer["after"]["version"].as_str().unwrap_or_default();
    let done = if dry_run { "would be installed" } else { "is installed" };
    writeln!(world.out, "package {} {done} in version {}", line(name), line(version)).map_err(Failure::output)
}

/// Removes the record of a package.
pub(super) fn uninstall(name: &str, source: &mut Source, world: &mut World<'_>) -> Result<(), Failure> {
    match source {
        Source::Node(_) => send(Method::DELETE, &format!("/api/v1/packages/{}", escape(name)), None, source)?,
        Source::Store(store) => {
            offline(&mut **store, Step::Remove { kind: Kind::Package, name: name.to_owned() }, false)?
        }
    };
    writeln!(world.out, "package {} is removed", line(name)).map_err(Failure::output)
}

/// A change of a store that no node holds.
fn offline(store: &mut dyn OfflineApi, step: Step, dry_run: bool) -> Result<Value, Failure> {
    let who = Who::local(COMMAND_LINE);
    let request = ChangeRequest { steps: vec![step], dry_run, who, ..ChangeRequest::default() };
    answered(store.change(request), dry_run).map_err(refused)
}

/// The counts of messages as the API takes them.
pub(super) fn waiting(new: u32, old: u32, urgent_new: u32, urgent_old: u32) -> Value {
    json!({ "new": new, "old": old, "urgent_new": urgent_new, "urgent_old": urgent_old })
}

fn send(method: Method, path: &str, body: Option<Value>, source: &mut Source) -> Result<Value, Failure> {
    let media = body.as_ref().map(|_| "application/json");
    let body = body.map(|body| body.to_string().into_bytes());
    Ok(source.node()?.ask(Ask { method, path, media, body, headers: Vec::new() })?.body)
}
