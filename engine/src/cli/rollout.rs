//! Roll-outs: a saved version of a profile goes to its phones at a pace.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::{RollOut, RollOuts};
use super::source::Source;
use super::{Failure, World, ask, failure::line, listing, show};
use crate::admin::control::{Ask, ControlError, Method, escape};

/// Begins one. The node answers first with the number of phones, which is what is asked here.
pub(super) fn begin(
    order: &str,
    what: &RollOut,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let path = format!("/api/v1/security-profiles/{}/{order}", escape(&what.name));
    let mut body = body(what);
    let asked = match post(&path, &body, source) {
        // It is about no phone that must be confirmed.
        Ok(begun) => return begun_one(&begun, what, source, world),
        Err(Failure::Control(ControlError::Refused(problem)))
            if problem["code"] == "confirmation_required" =>
        {
            problem
        }
        Err(other) => return Err(other),
    };
    let phones = asked["phones"].as_u64().unwrap_or_default();
    let version = &asked["version"];
    if what.dry_run {
        let profile = line(&what.name);
        return writeln!(
            world.out,
            "{order} of security profile {profile}, version {version}, would go to {phones} phones"
        )
        .map_err(Failure::output);
    }
    if !what.yes {
        let question = format!(
            "{order} security profile {:?}, version {version}? it goes to {phones} phones.",
            what.name
        );
        ask::confirm(&question, world)?;
    }
    body.insert("confirm".to_owned(), asked["confirm"].clone());
    let begun = post(&path, &body, source)?;
    begun_one(&begun, what, source, world)
}

fn begun_one(
    begun: &Value,
    what: &RollOut,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    match begun["id"].as_u64().filter(|_| what.wait) {
        Some(id) => follow(id, what.json, source, world),
        None => told(begun, what.json, world),
    }
}

/// How often it is looked whether something changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Stays until a roll-out has ended, and says each change. One that is held is waited for: somebody may let it go on.
///
/// # Errors
/// Refused where it stopped by itself, or was stopped.
fn follow(id: u64, json: bool, source: &mut Source, world: &mut World<'_>) -> Result<(), Failure> {
    let path = format!("/api/v1/rollouts/{id}");
    let mut last = String::new();
    loop {
        let ask = Ask { method: Method::GET, path: &path, media: None, body: None, headers: Vec::new() };
        let now = source.node()?.ask(ask)?.body;
        let line = if json { now.to_string() } else { progress(&now) };
        if line != last {
            writeln!(world.out, "{line}").and_then(|()| world.out.flush()).map_err(Failure::output)?;
            last = line;
        }
        match now["state"].as_str() {
            Some("finished") => return Ok(()),
            Some(state @ ("gated" | "stopped")) => {
                let reason = now["reason"].as_str().map(|r| format!(": {r}")).unwrap_or_default();
                return Err(Failure::Refused(format!("roll-out {id} is {state}{reason}")));
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn progress(rollout: &Value) -> String {
    let text = |field: &str| line(rollout[field].as_str().unwrap_or_default());
    let phones = &rollout["phones"];
    format!(
        "roll-out {} ({} of {}) is {}: {} of {} phones reached, {} confirmed, {} failed, {} waited for",
        rollout["id"],
        text("order"),
        text("profile"),
        text("state"),
        phones["reached"],
        phones["total"],
        phones["confirmed"],
        phones["failed"],
        phones["waiting"],
    )
}

fn body(what: &RollOut) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("per_second", what.per_second.map(Value::from));
    put("phones", (!what.phones.is_empty()).then(|| json!(what.phones)));
    put("filter", (!what.filters.is_empty()).then(|| json!(what.filters)));
    let gate = [
        ("failed_percent", what.failed_percent),
        ("of_at_least", what.of_at_least),
        ("window_s", what.window_s),
    ];
    let gate: Map<_, _> =
        gate.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?.into()))).collect();
    put("gate", (!gate.is_empty()).then_some(Value::Object(gate)));
    body
}

fn post(path: &str, body: &Map<String, Value>, source: &mut Source) -> Result<Value, Failure> {
    let body = Value::Object(body.clone()).to_string().into_bytes();
    let media = Some("application/json");
    let ask = Ask { method: Method::POST, path, media, body: Some(body), headers: Vec::new() };
    Ok(source.node()?.ask(ask)?.body)
}

fn told(rollout: &Value, json: bool, world: &mut World<'_>) -> Result<(), Failure> {
    if json {
        return super::said::whole(rollout, world);
    }
    let text = |field: &str| line(rollout[field].as_str().unwrap_or_default());
    writeln!(
        world.out,
        "roll-out {} ({} of {}) is {}: {} phones, {} left",
        rollout["id"],
        text("order"),
        text("profile"),
        text("state"),
        rollout["phones"]["total"],
        rollout["phones"]["left"],
    )
    .map_err(Failure::output)
}

/// Lists, shows and orders those that there are.
pub(super) fn execute(what: &RollOuts, source: &mut Source, world: &mut World<'_>) -> Result<(), Failure> {
    let mut order = |id: u64, order: &str, source: &mut Source| {
        let path = format!("/api/v1/rollouts/{id}/{order}");
        let ask = Ask { method: Method::POST, path: &path, media: None, body: None, headers: Vec::new() };
        let answer = source.node()?.ask(ask)?.body;
        told(&answer, false, world)
    };
    match what {
        RollOuts::Pause { id } => order(*id, "pause", source),
        RollOuts::Resume { id } => order(*id, "resume", source),
        RollOuts::Stop { id } => order(*id, "stop", source),
        RollOuts::Wait { id, json } => follow(*id, *json, source, world),
        RollOuts::List(form) => listing::list(source, &listing::ROLLOUTS, form, world),
        RollOuts::Show { id, form } => show::one(source, "rollouts", &id.to_string(), form, world),
    }
}
