//! What a change did, or would do, in words.

use serde_json::Value;

use super::failure::line;
use super::noun::Noun;
use super::{Failure, World, impact};

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed<'a> {
    Added,
    Changed,
    Deleted,
    CopiedFrom(&'a str),
    RenamedFrom(&'a str),
}

/// The whole answer.
pub(super) fn whole(answer: &Value, world: &mut World<'_>) -> Result<(), Failure> {
    // A value that was read as JSON can be written as JSON.
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    writeln!(world.out, "{text}").map_err(Failure::output)
}

/// One line for the object, one for each warning.
pub(super) fn change(
    noun: &Noun,
    deed: Deed<'_>,
    asked: Option<&Value>,
    answer: &Value,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    warnings(answer, world);
    let mut told = vec![sentence(noun, deed, asked, answer)];
    told.extend(impact::words(&answer["impact"]));
    for text in told {
        writeln!(world.out, "{}", line(&text)).map_err(Failure::output)?;
    }
    Ok(())
}

/// Remarks go to stderr: they are no part of the result.
pub(super) fn warnings(answer: &Value, world: &mut World<'_>) {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let text = |field: &str| line(warning[field].as_str().unwrap_or_default());
        let _ =
            writeln!(world.err, "keyline: warning: {} ({}, {})", text("text"), text("code"), text("name"));
    }
}

fn sentence(noun: &Noun, deed: Deed<'_>, asked: Option<&Value>, answer: &Value) -> String {
    let dry_run = answer["dry_run"] == true;
    let name = answer["name"].as_str().unwrap_or_default();
    let subject = match noun.is_single() {
        true => noun.word.to_owned(),
        false => format!("{} {name}", noun.word),
    };
    let would = |done: &str| match dry_run {
        true => format!("would be {done}"),
        false => done.to_owned(),
    };
    match deed {
        Deed::Added => format!("{subject} {}", would("added")),
        Deed::CopiedFrom(of) => format!("{subject} {} from {of}", would("made")),
        Deed::RenamedFrom(old) => {
            format!("{} {old} {} {name}", noun.word, if dry_run { "would be" } else { "is now" })
        }
        // Predefined values come back where something was deleted.
        Deed::Deleted if answer["after"].is_null() => format!("{subject} {}", would("deleted")),
        Deed::Deleted => format!("{subject} {} to its default", would("put back")),
        Deed::Changed => match fields(asked, answer).as_slice() {
            [] => format!("{subject} is as it was"),
            fields => format!("{subject} {}: {}", would("changed"), fields.join(", ")),
        },
    }
}

/// Fields that differ, and secrets that were given: nobody sees whether they differ.
fn fields(asked: Option<&Value>, answer: &Value) -> Vec<String> {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (before, after) = (object(&answer["before"]), object(&answer["after"]));
    let mut names: Vec<String> =
        before.keys().chain(after.keys()).filter(|k| before.get(*k) != after.get(*k)).cloned().collect();
    let given = |path: &str| asked.is_some_and(|body| body.pointer(path).is_some());
    if given("/digest_credentials") {
        names.push("digest_credentials".to_owned());
    }
    if given("/capf/authentication_string") {
        names.push("capf".to_owned());
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::noun::{END_USER, PARAMETER, PHONE, PROFILE};
    use super::*;

    #[test]
    fn a_change_is_told_in_a_sentence() {
        let answer = |before: Value, after: Value| json!({ "dry_run": false, "name": "N", "before": before, "after": after });
        let row = json!({ "a": 1, "b": 2 });
        let other = json!({ "a": 1, "b": 3, "c": 4 });
        let told = |noun: &Noun, deed: Deed<'_>, answer: &Value| sentence(noun, deed, None, answer);
        assert_eq!(told(&PHONE, Deed::Added, &answer(Value::Null, row.clone())), "phone N added");
        assert_eq!(told(&PHONE, Deed::Changed, &answer(row.clone(), other.clone())), "phone N changed: b, c");
        assert_eq!(told(&PHONE, Deed::Changed, &answer(row.clone(), row.clone())), "phone N is as it was");
        assert_eq!(told(&PHONE, Deed::Deleted, &answer(row.clone(), Value::Null)), "phone N deleted");
        assert_eq!(
            told(&PARAMETER, Deed::Deleted, &answer(row.clone(), row.clone())),
            "parameter N put back to its default"
        );
        assert_eq!(
            told(&PROFILE, Deed::RenamedFrom("M"), &answer(row.clone(), row.clone())),
            "security profile M is now N"
        );
        let secret = json!({ "digest_credentials": "x" });
        assert_eq!(
            sentence(&END_USER, Deed::Changed, Some(&secret), &answer(row.clone(), row.clone())),
            "end user N changed: digest_credentials"
        );
        let mut dry = answer(row, other);
        dry["dry_run"] = true.into();
        assert_eq!(told(&PHONE, Deed::Changed, &dry), "phone N would be changed: b, c");
    }
}
