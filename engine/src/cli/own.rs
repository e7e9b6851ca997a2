//! The node's own certificates.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;

use serde_json::{Value, json};

use super::args::{OwnName, Place};
use super::failure::line;
use super::source::{Source, refused};
use super::{Failure, World, ask};
use crate::admin::control::{Ask, ControlError, Method, escape};
use crate::config::Config;
use crate::pki::ocsp::OCSP_MAX;
use crate::pki::own::{Asked, Request};

type Site<'a> = (&'a Place, &'a Config);

/// Shows all, or one.
pub(super) fn show(
    name: Option<OwnName>,
    json: bool,
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let mut source = Source::running(site.0, site.1)?;
    let path = match name {
        Some(name) => format!("/api/v1/own-certificates/{}", escape(name.as_str())),
        None => "/api/v1/own-certificates".to_owned(),
    };
    let answer = source.node()?.json(&path)?;
    if json {
        return writeln!(world.out, "{answer:#}").map_err(Failure::output);
    }
    let one = [answer.clone()];
    let rows = answer["items"].as_array().map_or(&one[..], Vec::as_slice);
    for row in rows {
        let text = |field: &str| line(row[field].as_str().unwrap_or_default());
        let kind = if row["self_signed"] == true {
            "self-signed".to_owned()
        } else {
            format!("issued by {}", text("issuer"))
        };
        let waits = if row["request_pending"] == true { "; a new key waits for its certificate" } else { "" };
        writeln!(
            world.out,
            "{}: {}, {kind}, valid until {}, fingerprint {}{waits}",
            text("name"),
            text("subject"),
            text("not_after"),
            text("fingerprint"),
        )
        .map_err(Failure::output)?;
    }
    Ok(())
}

/// Prints a request.
pub(super) fn request(
    name: OwnName,
    new_key: bool,
    rsa_bits: Option<u32>,
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let mut source = Source::changing_unless(false, site.0, site.1, world)?;
    let asked = Asked::Request(Request { new_key, rsa_bits });
    let answer = send(name, &asked, false, &mut source)?;
    let pem = answer["csr"].as_str().ok_or(ControlError::Strange)?;
    write!(world.out, "{pem}").map_err(Failure::output)
}

/// Serves another one.
pub(super) fn install(
    name: OwnName,
    pem: &Path,
    (dry_run, json): (bool, bool),
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let pem = ask::text(pem, world)?.to_string();
    let mut source = Source::changing_unless(dry_run, site.0, site.1, world)?;
    let answer = send(name, &Asked::Upload(pem), dry_run, &mut source)?;
    told(&answer, dry_run, json, world)
}

/// Carries an OCSP response along, or none.
pub(super) fn staple(
    name: OwnName,
    file: Option<&Path>,
    dry_run: bool,
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let read = |file: &Path| {
        let bytes = File::open(file).and_then(|f| {
            let mut bytes = Vec::new();
            // One byte more than is taken says that it is too long.
            f.take(OCSP_MAX as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
        });
        bytes.map_err(|e| Failure::Refused(format!("cannot read {}: {e}", file.display())))
    };
    let response = file.map(read).transpose()?;
    let mut source = Source::changing_unless(dry_run, site.0, site.1, world)?;
    let answer = send(name, &Asked::Staple(response), dry_run, &mut source)?;
    let would = if dry_run { "would be" } else { "is" };
    let said = match answer["after"]["next_update"].as_str() {
        Some(until) => format!("the OCSP response {would} carried along until {}", line(until)),
        None => format!("no OCSP response {would} carried along"),
    };
    writeln!(world.out, "{}: {said}", name.as_str()).map_err(Failure::output)
}

/// Makes one anew.
pub(super) fn regenerate(
    name: OwnName,
    (yes, json): (bool, bool),
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    ask::possible(yes, world)?;
    if !yes {
        let question = format!(
            "make {} anew? every phone that trusts the present one refuses this node until it learns the new one.",
            name.as_str()
        );
        ask::confirm(&question, world)?;
    }
    let mut source = Source::changing_unless(false, site.0, site.1, world)?;
    // What it replaces is named, so that two who do it at once do not do it twice.
    let present = send(name, &Asked::Regenerate(String::new()), true, &mut source);
    let fingerprint = match &present {
        Err(Failure::Control(ControlError::Refused(problem))) => {
            problem["confirm"].as_str().map(str::to_owned)
        }
        _ => None,
    };
    let Some(fingerprint) = fingerprint else {
        return Err(present.err().unwrap_or(Failure::Control(ControlError::Strange)));
    };
    let answer = send(name, &Asked::Regenerate(fingerprint), false, &mut source)?;
    told(&answer, false, json, world)
}

fn told(answer: &Value, dry_run: bool, json: bool, world: &mut World<'_>) -> Result<(), Failure> {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let _ =
            writeln!(world.err, "keyline: warning: {}", line(warning["text"].as_str().unwrap_or_default()));
    }
    if json {
        return writeln!(world.out, "{answer:#}").map_err(Failure::output);
    }
    let done = match (answer["changed"] == true, dry_run) {
        (false, _) => "is served already",
        (true, true) => "would be served",
        (true, false) => "is served",
    };
    let text = |value: &Value| line(value.as_str().unwrap_or_default());
    writeln!(
        world.out,
        "{}: {} {done}, fingerprint {}",
        text(&answer["name"]),
        text(&answer["after"]["subject"]),
        text(&answer["after"]["fingerprint"]),
    )
    .map_err(Failure::output)
}

fn send(name: OwnName, asked: &Asked, dry_run: bool, source: &mut Source) -> Result<Value, Failure> {
    let node = match source {
        Source::Store(store) => return store.own(name.as_str(), asked, dry_run).map_err(refused),
        Source::Node(node) => node,
    };
    let (method, path, body) = match asked {
        Asked::Request(Request { new_key, rsa_bits }) => {
            (Method::POST, "/csr", json!({ "new_key": new_key, "rsa_bits": rsa_bits }))
        }
        Asked::Upload(pem) => (Method::PUT, "", json!({ "pem": pem })),
        Asked::Staple(Some(der)) => {
            let der = base64::engine::general_purpose::STANDARD.encode(der);
            (Method::PUT, "/ocsp", json!({ "der": der }))
        }
        Asked::Staple(None) => (Method::DELETE, "/ocsp", Value::Null),
        Asked::Regenerate(confirm) => (Method::POST, "/regenerate", json!({ "confirm": confirm })),
    };
    let query = if dry_run { "?dry_run=true" } else { "" };
    let path = format!("/api/v1/own-certificates/{}{path}{query}", escape(name.as_str()));
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    let media = body.is_some().then_some("application/json");
    Ok(node.ask(Ask { method, path: &path, media, body, headers: Vec::new() })?.body)
}
