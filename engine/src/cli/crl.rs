//! Revocation lists of a running node.

use serde_json::{Value, json};

use super::args::{Crl, Place};
use super::failure::line;
use super::source::Source;
use super::{Failure, World, ask, impact};
use crate::admin::control::{Ask, Method, escape};
use crate::config::Config;

const PATH: &str = "/api/v1/revocation-lists";

pub(super) fn execute(
    what: &Crl,
    (place, config): (&Place, &Config),
    world: &mut World<'_>,
) -> Result<(), Failure> {
    match what {
        Crl::List { form } => {
            let answer = Source::running(place, config)?.node()?.json(PATH)?;
            if form.json {
                return writeln!(world.out, "{answer:#}").map_err(Failure::output);
            }
            for row in answer["items"].as_array().into_iter().flatten() {
                told(row, world)?;
            }
            Ok(())
        }
        Crl::Add { file, dry_run } => {
            let pem = ask::text(file, world)?.to_string();
            let body = Some(json!({ "pem": pem }).to_string().into_bytes());
            let media = Some("application/json");
            let path = &asked(PATH, *dry_run);
            let ask = Ask { method: Method::POST, path, media, body, headers: Vec::new() };
            let answer = Source::running(place, config)?.node()?.ask(ask)?.body;
            told(&answer, world)?;
            foreseen(&answer, world)
        }
        Crl::Delete { name, yes, dry_run } => {
            let yes = *yes || *dry_run;
            ask::possible(yes, world)?;
            if !yes {
                ask::confirm("take the revocation list away? what stands on it is believed again.", world)?;
            }
            let path = asked(&format!("{PATH}/{}", escape(name)), *dry_run);
            let headers = Vec::new();
            let ask = Ask { method: Method::DELETE, path: &path, media: None, body: None, headers };
            let answer = Source::running(place, config)?.node()?.ask(ask)?.body;
            if *dry_run {
                return foreseen(&answer, world);
            }
            writeln!(world.out, "revocation list {} is gone", line(name)).map_err(Failure::output)
        }
    }
}

fn asked(path: &str, dry_run: bool) -> String {
    if dry_run { format!("{path}?dry_run=true") } else { path.to_owned() }
}

/// What would happen, after a dry run.
fn foreseen(answer: &Value, world: &mut World<'_>) -> Result<(), Failure> {
    if answer["dry_run"] != true {
        return Ok(());
    }
    let words = impact::words(&answer["impact"]).into_iter();
    for text in words.chain(["nothing was changed".to_owned()]) {
        writeln!(world.out, "{text}").map_err(Failure::output)?;
    }
    Ok(())
}

fn told(row: &Value, world: &mut World<'_>) -> Result<(), Failure> {
    let text = |field: &str| line(row[field].as_str().unwrap_or("-"));
    let late = if row["expired"] == true { ", OUT OF DATE" } else { "" };
    writeln!(
        world.out,
        "{}: {}, of {}, next {}{late}, {} revoked",
        text("name"),
        text("issuer"),
        text("this_update"),
        text("next_update"),
        row["revoked"],
    )
    .map_err(Failure::output)
}
