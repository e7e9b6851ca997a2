//! Deleting what filters find, or all that can be deleted (R188): first how many that would be, then the deed.

use keyline_domain::inventory::Step;
use serde_json::{Value, json};

use super::args::Delete;
use super::failure::line;
use super::noun::Noun;
use super::said::{self, Deed};
use super::source::{Order, Source};
use super::{Failure, World, ask};
use crate::admin::LIMIT_MAX;
use crate::admin::control::Method;

/// Most objects that are deleted at once, as many as the API takes.
const AT_ONCE: usize = 1000;

pub(super) fn delete(
    noun: &Noun,
    what: &Delete,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let results = match source.is_node() {
        true => by_node(noun, what, source, world)?,
        false => in_store(noun, what, source, world)?,
    };
    let mut refused = 0;
    for result in &results {
        let problem = &result["problem"];
        if problem.is_null() {
            match what.how.json {
                true => said::whole(&result["changed"], world)?,
                false => said::change(noun, Deed::Deleted, None, &result["changed"], world)?,
            }
            continue;
        }
        refused += 1;
        let text = |field: &str| line(problem[field].as_str().unwrap_or_default());
        let _ = writeln!(world.err, "keyline: {} ({})", text("detail"), text("code"));
    }
    match (results.len(), refused) {
        (0, _) => writeln!(world.out, "nothing fits").map_err(Failure::output),
        (_, 0) => Ok(()),
        (all, refused) => Err(Failure::Some { refused, all }),
    }
}

/// The node finds them, says how many there are, and deletes exactly these.
fn by_node(
    noun: &Noun,
    what: &Delete,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<Vec<Value>, Failure> {
    let path = format!("{}/delete", noun.path());
    let mut body = match what.all {
        true => json!({ "all": true }),
        false => json!({ "filter": what.filters }),
    };
    let answer = match source.post(&path, &body, &what.how) {
        Err(failure) => match failure.problem().filter(|p| p["code"] == "confirmation_required") {
            Some(problem) => {
                let count = problem["count"].as_u64().unwrap_or_default();
                let examples: Vec<_> =
                    problem["examples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let more = problem["more"] == true;
                if count == 0 {
                    return Ok(Vec::new());
                }
                if !what.yes {
                    ask::confirm(&question(noun, count, more, &examples), world)?;
                }
                body["confirm"] = problem["confirm"].clone();
                source.post(&path, &body, &what.how)?
            }
            None => return Err(failure),
        },
        Ok(answer) => answer,
    };
    Ok(answer["results"].as_array().cloned().unwrap_or_default())
}

/// The same on the closed store, where nobody else changes anything meanwhile.
fn in_store(
    noun: &Noun,
    what: &Delete,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<Vec<Value>, Failure> {
    let (names, more) = found(noun, &what.filters, source)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    if !what.yes && !what.how.dry_run {
        let examples: Vec<_> = names.iter().take(10).map(String::as_str).collect();
        ask::confirm(&question(noun, names.len() as u64, more, &examples), world)?;
    }
    let mut results = Vec::with_capacity(names.len());
    for name in names {
        let order = Order {
            method: Method::DELETE,
            path: noun.path_of(&name),
            body: None,
            step: Step::Remove { kind: noun.kind, name },
            how: &what.how,
        };
        results.push(match source.change(order) {
            Ok(changed) => json!({ "changed": changed, "problem": null }),
            Err(failure) => match failure.problem() {
                Some(problem) => json!({ "changed": null, "problem": problem }),
                None => return Err(failure),
            },
        });
    }
    Ok(results)
}

fn question(noun: &Noun, count: u64, more: bool, examples: &[&str]) -> String {
    let rest = if more { "; there are more, for another time" } else { "" };
    let dots = if count > examples.len() as u64 { ", …" } else { "" };
    format!("delete {count} {}s ({}{dots}){rest}?", noun.word, examples.join(", "))
}

/// Names of what fits and may be deleted; whether there are more.
fn found(noun: &Noun, filters: &[String], source: &mut Source) -> Result<(Vec<String>, bool), Failure> {
    let (mut names, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut pairs = vec![("limit".to_owned(), LIMIT_MAX.to_string())];
        pairs.extend(filters.iter().map(|f| ("filter".to_owned(), f.clone())));
        pairs.extend(cursor.take().map(|c| ("cursor".to_owned(), c)));
        let page = source.page(noun.path(), noun.table.list, pairs)?;
        let rows = page["items"].as_array().into_iter().flatten();
        // Predefined profiles, built-in models and own certificates are not to be deleted.
        let rows = rows.filter(|r| r["predefined"] != true && r["built_in"] != true && r["purpose"] != "own");
        names.extend(rows.filter_map(|row| noun.name_in(row)));
        if names.len() > AT_ONCE {
            names.truncate(AT_ONCE);
            return Ok((names, true));
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok((names, false)),
        }
    }
}
