//! Lists as tables, lines of JSON, or comma-separated values; each page is printed as it comes.

use serde_json::Value;

use super::args::{Form, Listing};
use super::noun::Noun;
use super::source::{Pairs, Source};
use super::{Failure, World, failure::line};
use crate::admin::LIMIT_MAX;
use crate::admin::lists::List;

/// A list and its columns: title and field.
#[derive(Debug)]
pub(super) struct Table {
    /// Path below `/api/v1`.
    pub(super) path: &'static str,
    /// What the store can answer too.
    pub(super) list: Option<List>,
    columns: &'static [(&'static str, &'static str)],
}

/// Columns of calls in progress.
pub(super) static CALLS: Table = Table {
    path: "calls",
    list: None,
    columns: &[
        ("ID", "id"),
        ("STARTED", "started"),
        ("CALLER", "caller"),
        ("CALLED", "called"),
        ("CLASS", "class"),
    ],
};

/// Columns of bindings.
pub(super) static REGISTRATIONS: Table = Table {
    path: "registrations",
    list: None,
    columns: &[
        ("DEVICE", "device"),
        ("AOR", "aor"),
        ("FLOW", "flow"),
        ("EXPIRES", "expires_at"),
        ("SUITE", "suite"),
        ("PROFILE", "profile"),
    ],
};

/// Columns of phones.
pub(super) static PHONES: Table = Table {
    path: "phones",
    list: Some(List::Phones),
    columns: &[
        ("NAME", "name"),
        ("LINES", "lines"),
        ("MODEL", "model"),
        ("MODE", "device_security_mode"),
        ("REGISTERED", "registered"),
        ("PENDING", "pending"),
        ("PROFILE", "security_profile"),
        ("DESCRIPTION", "description"),
    ],
};

/// Columns of profiles.
pub(super) static PROFILES: Table = Table {
    path: "security-profiles",
    list: Some(List::SecurityProfiles),
    columns: &[
        ("NAME", "name"),
        ("MODEL", "model"),
        ("PROTOCOL", "protocol"),
        ("MODE", "device_security_mode"),
        ("TRANSPORT", "transport"),
        ("DIGEST", "digest_authentication"),
        ("PHONES", "phones"),
        ("VERSION", "version"),
    ],
};

/// Columns of end users.
pub(super) static END_USERS: Table = Table {
    path: "end-users",
    list: Some(List::EndUsers),
    columns: &[("ID", "id"), ("PHONE", "phone"), ("CREDENTIALS", "digest_credentials_set")],
};

/// Columns of application users.
pub(super) static APPLICATION_USERS: Table =
    Table { path: "application-users", list: Some(List::ApplicationUsers), columns: END_USERS.columns };

/// Columns of lines.
pub(super) static LINES: Table =
    Table { path: "lines", list: Some(List::Lines), columns: &[("DN", "dn"), ("PHONES", "phones")] };

/// Columns of parameters.
pub(super) static PARAMETERS: Table = Table {
    path: "parameters",
    list: Some(List::Parameters),
    columns: &[("NAME", "name"), ("VALUE", "value"), ("SET", "set"), ("HELP", "help")],
};

/// Columns of models.
pub(super) static MODELS: Table = Table {
    path: "phone-models",
    list: Some(List::PhoneModels),
    columns: &[
        ("NAME", "name"),
        ("VENDOR", "vendor_class"),
        ("PROTOCOLS", "protocols"),
        ("TRUSTED", "trusted"),
        ("CAPABILITIES", "capabilities"),
    ],
};

/// Columns of common phone profiles.
pub(super) static COMMON_PROFILES: Table = Table {
    path: "common-phone-profiles",
    list: Some(List::CommonPhoneProfiles),
    columns: &[("NAME", "name"), ("PHONES", "phones"), ("HARDENING", "hardening")],
};

/// Columns of SIP realms.
pub(super) static SIP_REALMS: Table = Table {
    path: "sip-realms",
    list: Some(List::SipRealms),
    columns: &[("REALM", "realm"), ("USER", "user"), ("CREDENTIALS", "digest_credentials_set")],
};

/// Columns of trunk security profiles.
pub(super) static TRUNK_PROFILES: Table = Table {
    path: "trunk-security-profiles",
    list: Some(List::TrunkSecurityProfiles),
    columns: &[("NAME", "name"), ("MODE", "device_security_mode"), ("DIGEST", "digest_authentication")],
};

/// Columns of trunks.
pub(super) static TRUNKS: Table = Table {
    path: "trunks",
    list: Some(List::Trunks),
    columns: &[("NAME", "name"), ("DESTINATION", "destination"), ("SECURITY PROFILE", "security_profile")],
};

/// The one object of the enterprise level; it has no list.
pub(super) static ENTERPRISE: Table =
    Table { path: "enterprise-phone", list: None, columns: &[("HARDENING", "hardening")] };

/// Columns of nodes.
pub(super) static NODES: Table = Table {
    path: "nodes",
    list: None,
    columns: &[
        ("NAME", "name"),
        ("VERSION", "version"),
        ("STARTED", "started"),
        ("READY", "ready"),
        ("SHARDS", "shards_alive"),
        ("DEVICES", "devices"),
        ("CALLS", "calls"),
    ],
};

/// Columns of roll-outs.
pub(super) static ROLLOUTS: Table = Table {
    path: "rollouts",
    list: None,
    columns: &[
        ("ID", "id"),
        ("PROFILE", "profile"),
        ("VERSION", "version"),
        ("ORDER", "order"),
        ("STATE", "state"),
        ("TOTAL", "phones.total"),
        ("REACHED", "phones.reached"),
        ("LEFT", "phones.left"),
        ("FAILED", "phones.failed"),
        ("STARTED", "started"),
        ("BY", "by"),
    ],
};

/// Columns of gateway types.
pub(super) static GATEWAYS: Table = Table {
    path: "gateways",
    list: Some(List::Gateways),
    columns: &[("NAME", "name"), ("NUMBER", "number"), ("TRUSTED", "trusted")],
};

/// Columns of features.
pub(super) static FEATURES: Table = Table {
    path: "features",
    list: Some(List::Features),
    columns: &[("NAME", "name"), ("YES", "yes"), ("NO", "no"), ("UNKNOWN", "unknown"), ("HELP", "help")],
};

/// Columns of hardening templates.
pub(super) static TEMPLATES: Table = Table {
    path: "hardening-templates",
    list: Some(List::HardeningTemplates),
    columns: &[("NAME", "name"), ("HARDENING", "hardening"), ("TEXT", "text")],
};

/// Columns of packages.
pub(super) static PACKAGES: Table = Table {
    path: "packages",
    list: Some(List::Packages),
    columns: &[("NAME", "name"), ("VERSION", "version"), ("TYPES", "types"), ("SIGNER", "signer")],
};

/// Columns of certificates.
pub(super) static CERTIFICATES: Table = Table {
    path: "certificates",
    list: Some(List::Certificates),
    columns: &[
        ("PURPOSE", "purpose"),
        ("NAME", "name"),
        ("SUBJECT", "subject"),
        ("UNTIL", "not_after"),
        ("PHONE", "phone"),
        ("FINGERPRINT", "fingerprint"),
    ],
};

/// Columns of the audit.
pub(super) static AUDIT: Table = Table {
    path: "audit",
    list: None,
    columns: &[
        ("SEQ", "seq"),
        ("AT", "at"),
        ("WHO", "who"),
        ("SOURCE", "source"),
        ("OPERATION", "operation"),
        ("KIND", "kind"),
        ("NAME", "name"),
        ("RESULT", "result"),
        ("CODE", "code"),
    ],
};

/// Columns of tokens.
pub(super) static TOKENS: &[(&str, &str)] =
    &[("NAME", "name"), ("ROLE", "role"), ("CREATED", "created"), ("EXPIRES", "expires")];

/// Columns of dependency records.
static DEPENDENCIES: &[(&str, &str)] = &[("KIND", "kind"), ("NAME", "name")];

/// Prints what names an object, page by page.
pub(super) fn dependencies(
    source: &mut Source,
    noun: &Noun,
    name: &str,
    form: &Listing,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    pages(DEPENDENCIES, form, world, |pairs| source.dependencies(noun, name, pairs))
}

/// Prints rows that are all there.
pub(super) fn rows(
    columns: &'static [(&'static str, &'static str)],
    rows: &[Value],
    form: Form,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    world.out.write_all(Printer::new(columns, form).page(rows).as_bytes()).map_err(Failure::output)
}

/// Prints the rows that are asked for, page by page.
pub(super) fn list(
    source: &mut Source,
    table: &Table,
    form: &Listing,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    list_with(source, table, form, &[], world)
}

/// The same, with parameters that no other list has.
pub(super) fn list_with(
    source: &mut Source,
    table: &Table,
    form: &Listing,
    more: &[(String, String)],
    world: &mut World<'_>,
) -> Result<(), Failure> {
    pages(table.columns, form, world, |mut pairs| {
        pairs.extend_from_slice(more);
        source.page(table.path, table.list, pairs)
    })
}

/// Prints the rows that are asked for, as long as there are pages.
fn pages(
    columns: &'static [(&'static str, &'static str)],
    form: &Listing,
    world: &mut World<'_>,
    mut page: impl FnMut(Pairs) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    let mut printer = Printer::new(columns, form.form());
    let mut left = form.limit();
    let mut cursor: Option<String> = None;
    loop {
        let limit = left.min(LIMIT_MAX as u64);
        let mut pairs = vec![("limit".to_owned(), limit.to_string())];
        pairs.extend(form.filters.iter().map(|f| ("filter".to_owned(), f.clone())));
        pairs.extend(form.sort.iter().map(|s| ("sort".to_owned(), s.clone())));
        pairs.extend(cursor.iter().map(|c| ("cursor".to_owned(), c.clone())));
        let answer = page(pairs)?;
        let rows = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
        left = left.saturating_sub(rows.len() as u64);
        world.out.write_all(printer.page(rows).as_bytes()).map_err(Failure::output)?;
        match answer["next"].as_str() {
            // A cursor that does not move would be printed for ever.
            Some(next) if left > 0 && cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
            Some(_) if left == 0 && !form.is_bounded() => {
                let _ =
                    writeln!(world.err, "keyline: there are more; --all prints them, --limit some of them");
                return Ok(());
            }
            _ => return Ok(()),
        }
    }
}

/// Columns as wide as their widest cell so far; the last one is not padded.
struct Printer {
    columns: &'static [(&'static str, &'static str)],
    form: Form,
    widths: Vec<usize>,
    titled: bool,
}

impl Printer {
    fn new(columns: &'static [(&'static str, &'static str)], form: Form) -> Self {
        Self { columns, form, widths: vec![0; columns.len()], titled: false }
    }

    fn page(&mut self, rows: &[Value]) -> String {
        let mut text = String::new();
        let titles = (!std::mem::replace(&mut self.titled, true))
            .then(|| self.columns.iter().map(|(title, _)| (*title).to_owned()).collect());
        let cells =
            rows.iter().map(|row| self.columns.iter().map(|(_, field)| cell(inner(row, field))).collect());
        match self.form {
            Form::Json => rows.iter().for_each(|row| text.push_str(&format!("{row}\n"))),
            Form::Csv => titles.into_iter().chain(cells).for_each(|line: Vec<String>| csv(&line, &mut text)),
            Form::Table => {
                let lines: Vec<Vec<String>> = titles.into_iter().chain(cells).collect();
                self.table(&lines, &mut text);
            }
        }
        text
    }

    fn table(&mut self, lines: &[Vec<String>], text: &mut String) {
        for line in lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(shown(cell).chars().count());
            }
        }
        for line in lines {
            for (place, cell) in line.iter().enumerate() {
                let cell = shown(cell);
                text.push_str(cell);
                if place + 1 < self.columns.len() {
                    let gap = self.widths[place].saturating_sub(cell.chars().count()) + 2;
                    text.extend(std::iter::repeat_n(' ', gap));
                }
            }
            text.push('\n');
        }
    }
}

/// A field, or by dots one inside it.
fn inner<'a>(row: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(row, |value, part| &value[part])
}

fn shown(cell: &str) -> &str {
    if cell.is_empty() { "-" } else { cell }
}

fn csv(cells: &[String], text: &mut String) {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        match cell.contains([',', '"', '\n', '\r']) {
            true => text.push_str(&format!("\"{}\"", cell.replace('"', "\"\""))),
            false => text.push_str(cell),
        }
    }
    text.push_str("\r\n");
}

/// A value on one line, without what moves a terminal's cursor.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => line(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(members) => {
            let pair = |(name, value): (&String, &Value)| format!("{}={}", line(name), cell(value));
            members.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        other => line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_over_pages_and_nothing_moves_the_cursor() {
        let rows = [
            json!({ "dn": "1", "phones": ["a", "b"] }),
            json!({ "dn": "long-dn", "phones": ["\u{1b}[2Jx"] }),
            json!({ "dn": "2", "phones": [] }),
        ];
        let mut printer = Printer::new(LINES.columns, Form::Table);
        assert_eq!(printer.page(&rows[..2]), "DN       PHONES\n1        a b\nlong-dn   [2Jx\n");
        assert_eq!(printer.page(&rows[2..]), "2        -\n");
    }

    #[test]
    fn values_with_commas_and_quotes_are_quoted() {
        let mut printer = Printer::new(LINES.columns, Form::Csv);
        let text =
            printer.page(&[json!({ "dn": "a,\"b\"", "phones": [] }), json!({ "dn": "1", "phones": ["x"] })]);
        assert_eq!(text, "DN,PHONES\r\n\"a,\"\"b\"\"\",\r\n1,x\r\n");
    }
}
