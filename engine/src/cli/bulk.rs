//! Many changes from a file, with a report for every line.

use serde_json::{Map, Value, json};

use super::args::{Bulk, Place};
use super::failure::line;
use super::said::{self, Deed};
use super::source::Source;
use super::{Failure, World, ask, noun};
use crate::config::Config;

/// Operations of one request, as many as the API takes.
const AT_ONCE: usize = 1000;

/// One line of the file: its number, and what it asks.
struct Operation {
    line: usize,
    value: Map<String, Value>,
}

impl Operation {
    fn text(&self, field: &str) -> &str {
        self.value.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Does what the lines ask, after asking once if any of them deletes something.
pub(super) fn execute(
    what: &Bulk,
    (place, config): (&Place, &Config),
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let operations = read(&ask::text(&what.file, world)?)?;
    let deletes = operations.iter().filter(|o| o.text("op") == "delete").count();
    if deletes > 0 && !what.yes && !what.dry_run {
        let phones =
            operations.iter().filter(|o| o.text("op") == "delete" && o.text("kind") == "phone").count();
        ask::confirm(&format!("{deletes} lines delete something, {phones} of them phones. Go on?"), world)?;
    }
    let mut source = Source::changing_unless(what.dry_run, place, config, world)?;
    if what.atomic {
        return all_or_none(what, &operations, &mut source, world);
    }
    let mut refused = 0;
    for part in operations.chunks(AT_ONCE) {
        let answer = source.bulk(&body(part, false), what.dry_run, what.force)?;
        let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
        for (operation, result) in part.iter().zip(results) {
            refused += usize::from(!report(what, operation, result, world)?);
        }
    }
    let all = operations.len();
    if !what.json {
        let would = if what.dry_run { "would be " } else { "" };
        writeln!(world.out, "{} of {all} {would}done", all - refused).map_err(Failure::output)?;
    }
    match refused {
        0 => Ok(()),
        refused => Err(Failure::Some { refused, all }),
    }
}

/// One commit for all lines. A refusal names the line.
fn all_or_none(
    what: &Bulk,
    operations: &[Operation],
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let answer = source.bulk(&body(operations, true), what.dry_run, what.force);
    let answer = answer.map_err(|failure| match failure.problem() {
        Some(problem) => {
            let step = problem["step"].as_u64().and_then(|at| usize::try_from(at).ok());
            let at = step
                .and_then(|at| operations.get(at))
                .map_or(String::new(), |o| format!("line {}: ", o.line));
            Failure::Refused(format!("{at}{failure}; nothing was done"))
        }
        None => failure,
    })?;
    if what.json {
        return said::whole(&answer, world);
    }
    for result in answer["results"].as_array().into_iter().flatten() {
        said::warnings(&result["changed"], world);
        for text in super::impact::words(&result["changed"]["impact"]) {
            writeln!(world.out, "{}", line(&text)).map_err(Failure::output)?;
        }
    }
    let would = if what.dry_run { "would be " } else { "" };
    writeln!(world.out, "all {} {would}done", operations.len()).map_err(Failure::output)
}

/// Tells what became of one line; whether it was done.
fn report(
    what: &Bulk,
    operation: &Operation,
    result: &Value,
    world: &mut World<'_>,
) -> Result<bool, Failure> {
    let done = result["problem"].is_null();
    if what.json {
        let mut result = result.clone();
        result["line"] = operation.line.into();
        writeln!(world.out, "{result}").map_err(Failure::output)?;
        return Ok(done);
    }
    if !done {
        let problem = &result["problem"];
        let text = |field: &str| problem[field].as_str().unwrap_or_default();
        let _ = writeln!(
            world.err,
            "keyline: line {}: {} ({})",
            operation.line,
            line(text("detail")),
            line(text("code"))
        );
        return Ok(false);
    }
    let deed = match operation.text("op") {
        "create" => Deed::Added,
        "delete" => Deed::Deleted,
        "rename" => Deed::RenamedFrom(operation.text("name")),
        "copy" => Deed::CopiedFrom(operation.text("name")),
        _ => Deed::Changed,
    };
    let Some(noun) = noun::of(operation.text("kind")) else { return Ok(true) };
    said::change(noun, deed, operation.value.get("body"), &result["changed"], world)?;
    Ok(true)
}

fn body(operations: &[Operation], atomic: bool) -> Value {
    json!({ "atomic": atomic, "operations": operations.iter().map(|o| &o.value).collect::<Vec<_>>() })
}

/// The lines with their numbers; empty ones are left out.
fn read(text: &str) -> Result<Vec<Operation>, Failure> {
    let lines = text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty());
    let operations: Result<Vec<_>, _> = lines
        .map(|(at, text)| match serde_json::from_str(text) {
            Ok(Value::Object(value)) => Ok(Operation { line: at + 1, value }),
            Ok(_) => Err(Failure::Refused(format!("line {}: this is no JSON object", at + 1))),
            Err(e) => Err(Failure::Refused(format!("line {}: this is no JSON object: {e}", at + 1))),
        })
        .collect();
    match operations? {
        none if none.is_empty() => Err(Failure::Refused("there is no line with an operation".to_owned())),
        operations => Ok(operations),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_wrong_ones_are_named() {
        let read_ok = read("\n{\"op\":\"create\"}\n\n{\"op\":\"delete\"}\n").unwrap();
        assert_eq!(
            read_ok.iter().map(|o| (o.line, o.text("op"))).collect::<Vec<_>>(),
            [(2, "create"), (4, "delete")]
        );
        for (text, part) in [("", "no line"), ("{}\n[1]", "line 2"), ("{", "line 1")] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
