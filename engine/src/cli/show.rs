//! One object as text, and the node's health.

use std::fmt::Write as _;

use serde_json::Value;

use super::args::{Show, Showing};
use super::failure::line;
use super::noun::Noun;
use super::source::Source;
use super::{Failure, World};

/// Prints one object that is no part of the configuration.
pub(super) fn one(
    source: &mut Source,
    path: &str,
    key: &str,
    form: &Showing,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    print(&source.one(path, key)?, form, world)
}

/// Prints one object, or its ETag.
pub(super) fn object(
    noun: &Noun,
    what: &Show,
    source: &mut Source,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    if what.etag {
        let tag = source.etag(noun, &what.name)?;
        return writeln!(world.out, "{tag}").map_err(Failure::output);
    }
    print(&source.object(noun, &what.name)?, &what.form, world)
}

/// Prints the node's health; not being well is a failure.
pub(super) fn health(source: &mut Source, form: &Showing, world: &mut World<'_>) -> Result<(), Failure> {
    let (status, mut health) = source.node()?.status("/api/v1/health")?;
    let (_, readiness) = source.node()?.status("/api/v1/ready")?;
    if let (Some(health), Some(readiness)) = (health.as_object_mut(), readiness.as_object()) {
        health.extend(readiness.clone());
    }
    print(&health, form, world)?;
    match (status, &health["ready"]) {
        (200, Value::Bool(true)) => Ok(()),
        (200, _) => Err(Failure::Refused("the node is not ready".to_owned())),
        _ => Err(Failure::Refused("the node is not well".to_owned())),
    }
}

pub(super) fn print(value: &Value, form: &Showing, world: &mut World<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    if form.json {
        // A value that was read as JSON can be written as JSON.
        text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.push('\n');
    } else {
        write(value, 0, &mut text);
    }
    world.out.write_all(text.as_bytes()).map_err(Failure::output)
}

/// Members one a line, those of members indented; nothing in it moves a terminal's cursor.
fn write(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(members) = value else {
        let _ = writeln!(text, "{:1$}{2}", "", 2 * depth, scalar(value));
        return;
    };
    let width = members.keys().map(|k| k.chars().count()).max().unwrap_or(0);
    for (name, value) in members {
        let _ = write!(text, "{:1$}{2}", "", 2 * depth, line(name));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                write(value, depth + 1, text);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                text.push('\n');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        let _ = writeln!(text, "{:1$}-", "", 2 * depth + 2);
                    }
                    write(item, depth + 1, text);
                }
            }
            other => {
                let gap = width.saturating_sub(name.chars().count()) + 2;
                let _ = writeln!(text, "{:gap$}{}", "", scalar(other));
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => line(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        other => line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_without_braces() {
        let mut text = String::new();
        let value = json!({
            "name": "SEP1", "lines": ["1", "2"], "none": null,
            "inner": { "a": true, "\u{1b}b": "x\ny" }, "rows": [{ "n": 1 }, { "n": 2 }],
        });
        write(&value, 0, &mut text);
        assert_eq!(
            text,
            "inner\n   b  x y\n  a   true\nlines  1, 2\nname   SEP1\nnone   -\nrows\n  n  1\n  -\n  n  2\n"
        );
    }
}
