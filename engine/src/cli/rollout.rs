//! Roll-outs: a saved version of a profile goes to its phones at a pace.

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
        Ok(begun) => return told(&begun, what.json, world),
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
    told(&post(&path, &body, source)?, what.json, world)
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
        RollOuts::List(form) => listing::list(source, &listing::ROLLOUTS, form, world),
        RollOuts::Show { id, form } => show::one(source, "rollouts", &id.to_string(), form, world),
    }
}
