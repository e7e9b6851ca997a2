//! The raw form: each known key that was given, its value and its place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin, Problem};
use super::{FILE_MAX, keys};

/// Longest value in a message, in characters.
const SHOWN_MAX: usize = 100;

/// A value before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
    /// A whole number.
    Number(i64),
    /// Neither of the others, by the name of its type.
    Other(&'static str),
    /// A text; everything in the environment is one.
    Text(String),
}

impl Value {
    /// The value as TOML, cut to a readable length.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Self::Flag(flag) => flag.to_string(),
            Self::List(list) => format!("{list:?}"),
            Self::Number(number) => number.to_string(),
            Self::Other(kind) => format!("a {kind}"),
            Self::Text(text) => format!("{text:?}"),
        };
        match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}

/// A value and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) place: Origin,
}

/// The values given, by section and key.
pub(super) type Givens = BTreeMap<(&'static str, &'static str), Given>;

/// Reads a file; none if it may be absent and is.
pub(super) fn read(path: &Path, must_exist: bool) -> Result<Option<String>, ConfigError> {
    let refuse =
        |reason: String| Err(ConfigError { problems: vec![Problem::Read { path: path.to_owned(), reason }] });
    let mut text = Vec::new();
    let opened = std::fs::File::open(path);
    match opened.and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut text)) {
        Ok(length) if length as u64 > FILE_MAX => {
            return refuse(format!("larger than {FILE_MAX} bytes; name a keyline.toml with --config"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refuse("no such file; name an existing one with --config".to_owned());
        }
        Err(error) => return refuse(format!("cannot be read: {error}")),
    }
    match String::from_utf8(text) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let line = 1 + newlines(error.as_bytes(), error.utf8_error().valid_up_to());
            refuse(format!("line {line} is not UTF-8; save the file as UTF-8"))
        }
    }
}

/// The values of a file. Problems are added to the list; what can be understood is returned.
pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Givens {
    let place =
        |start: usize| Origin::File { path: path.to_owned(), line: 1 + newlines(text.as_bytes(), start) };
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.into_iter().map(|error| Problem::Syntax {
        place: place(error.span().map_or(0, |span| span.start)),
        message: error.message().trim().replace('\n', ", "),
    }));
    let mut givens = Givens::new();
    // A file that is no TOML yields only what is wrong with its form.
    if !problems.is_empty() {
        return givens;
    }
    for (section, content) in table.get_ref() {
        let (name, start) = (section.get_ref().as_ref(), section.span().start);
        match content.get_ref().as_table() {
            Some(entries) if keys::SECTIONS.contains(&name) => {
                for (key, value) in entries {
                    let place = place(key.span().start);
                    let key = key.get_ref().as_ref();
                    match keys::find(name, key) {
                        Some(known) => {
                            givens.insert(known, Given { value: plain(value), place });
                        }
                        None => problems.push(unknown(name, key, place)),
                    }
                }
            }
            Some(_) => problems.push(Problem::UnknownSection {
                place: place(start),
                section: name.to_owned(),
                nearest: keys::nearest_section(name),
            }),
            None if keys::SECTIONS.contains(&name) => {
                problems.push(Problem::NotASection { place: place(start), section: name.to_owned() });
            }
            None => problems.push(unknown("", name, place(start))),
        }
    }
    givens
}

/// Replaces values by those in the environment: `KEYLINE_SECTION_KEY` for each known pair.
pub(super) fn overlay(
    givens: &mut Givens,
    env: &dyn Fn(&str) -> Option<OsString>,
    problems: &mut Vec<Problem>,
) {
    for (section, key) in keys::all() {
        let name = format!("KEYLINE_{section}_{key}").to_ascii_uppercase();
        let Some(value) = env(&name) else { continue };
        let place = Origin::Environment(name);
        match value.into_string() {
            Ok(text) => {
                givens.insert((section, key), Given { value: Value::Text(text), place });
            }
            Err(bytes) => problems.push(Problem::Value {
                place,
                key: format!("{section}.{key}"),
                value: format!("{bytes:?}").chars().take(SHOWN_MAX).collect(),
                reason: "is not UTF-8; set it to readable text".to_owned(),
            }),
        }
    }
}

fn unknown(section: &str, key: &str, place: Origin) -> Problem {
    let nearest = keys::nearest_key(section, key);
    let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    Problem::UnknownKey { place, key, nearest }
}

fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return Value::Text(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Value::Flag(flag);
    }
    if let Some(number) = value.as_integer() {
        let parsed = i64::from_str_radix(number.as_str(), number.radix());
        return parsed.map_or(Value::Other("number too large"), Value::Number);
    }
    if let Some(list) = value.as_array() {
        let texts: Option<Vec<String>> =
            list.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect();
        return texts.map_or(Value::Other("list with entries that are no texts"), Value::List);
    }
    Value::Other(value.type_str())
}

fn newlines(text: &[u8], end: usize) -> usize {
    text[..end.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
