//! Tables of what a running node does.

use std::io::Write;

use serde_json::Value;

use super::{Failure, failure::line};
use crate::admin::LIMIT_MAX;
use crate::admin::control::{Control, escape};

/// Columns: title and field.
type Columns<const N: usize> = [(&'static str, &'static str); N];

const CALLS: Columns<4> = [("ID", "id"), ("STARTED", "started"), ("CALLED", "called"), ("CLASS", "class")];

const REGISTRATIONS: Columns<6> = [
    ("DEVICE", "device"),
    ("AOR", "aor"),
    ("FLOW", "flow"),
    ("EXPIRES", "expires_at"),
    ("SUITE", "suite"),
    ("PROFILE", "profile"),
];

pub(super) fn calls(node: &mut Control, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let answer = node.json(&format!("/api/v1/calls?limit={LIMIT_MAX}"))?;
    let rows = items(&answer);
    print(&CALLS, rows, json, true, out)?;
    if answer["more"] == true && !json {
        writeln!(out, "(more than {LIMIT_MAX} calls are in progress)").map_err(Failure::output)?;
    }
    Ok(())
}

/// All pages, each printed as it comes.
pub(super) fn registrations(node: &mut Control, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let cursor = after.as_deref().map(|after| format!("&after={}", escape(after))).unwrap_or_default();
        let answer = node.json(&format!("/api/v1/registrations?limit={LIMIT_MAX}{cursor}"))?;
        print(&REGISTRATIONS, items(&answer), json, after.is_none(), out)?;
        match answer["next"].as_str() {
            // A cursor that does not move would be printed for ever.
            Some(next) if after.as_deref() != Some(next) => after = Some(next.to_owned()),
            _ => return Ok(()),
        }
    }
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

fn print<const N: usize>(
    columns: &Columns<N>,
    rows: &[Value],
    json: bool,
    first: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut text = String::new();
    if json {
        for row in rows {
            text.push_str(&row.to_string());
            text.push('\n');
        }
    } else {
        table(columns, rows, first, &mut text);
    }
    out.write_all(text.as_bytes()).map_err(Failure::output)
}

/// Columns as wide as their widest cell; the last one is not padded.
fn table<const N: usize>(columns: &Columns<N>, rows: &[Value], title: bool, text: &mut String) {
    let titles = title.then(|| columns.map(|(title, _)| title.to_owned()));
    let cells = rows.iter().map(|row| columns.map(|(_, field)| cell(&row[field])));
    let lines: Vec<[String; N]> = titles.into_iter().chain(cells).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        for (place, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if place + 1 < N {
                let gap = widths[place].saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', gap));
            }
        }
        text.push('\n');
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => line(text),
        other => line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_moves_the_cursor() {
        let rows = [
            json!({ "id": "1", "started": "t", "called": "1002", "class": null }),
            json!({ "id": "long-id", "started": "t", "called": "\u{1b}[2Jx", "class": "encrypted" }),
        ];
        let mut text = String::new();
        table(&CALLS, &rows, true, &mut text);
        assert_eq!(
            text,
            "ID       STARTED  CALLED  CLASS\n1        t        1002    -\nlong-id  t         [2Jx   encrypted\n"
        );
    }
}
