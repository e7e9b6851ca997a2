//! What a token says (RFC 7519 §4, RFC 9068 §2.2), and whether it holds.

use serde_json::{Map, Value};

use super::{Fault, Token};
use crate::ids::UnixMillis;

/// Entries of one list: audiences, scopes, devices, lines.
const LIST_MAX: usize = 64;

/// Longest text of a claim, in bytes.
const TEXT_MAX: usize = 1024;

/// Last second of the year 9999: dates beyond it are nonsense.
const DATE_MAX: u64 = 253_402_300_799;

/// Names of the claims that say whose a token is; issuers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Device names: a text or a list of texts.
    pub device: String,
    /// The user.
    pub user: String,
    /// Directory numbers: a text or a list of texts.
    pub lines: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { device: "device".to_owned(), user: "sub".to_owned(), lines: "lines".to_owned() }
    }
}

/// What a token says, as far as anybody here looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`.
    pub issuer: Box<str>,
    /// `aud`.
    pub audience: Vec<Box<str>>,
    /// `exp`, seconds since 1970.
    pub expires: u64,
    /// `nbf`, seconds since 1970.
    pub not_before: Option<u64>,
    /// `scope`, or `scp` as some issuers write it.
    pub scope: Vec<Box<str>>,
    /// Devices that it is for; none: those of its user.
    pub devices: Vec<Box<str>>,
    /// Its user.
    pub user: Option<Box<str>>,
    /// Lines that it is for; `None`: all of the device's.
    pub lines: Option<Vec<Box<str>>>,
}

/// What a token must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The issuer whose key has signed it.
    pub issuer: &'a str,
    /// Audiences, one of which it must name.
    pub audience: &'a [String],
    /// Scopes, all of which it must have.
    pub scope: &'a [String],
    /// Seconds that the issuer's clock and ours may differ by.
    pub skew_s: u64,
}

impl Claims {
    /// Those of a token that names this device and says nothing else: what a phone will show again, for whoever
    /// asks what would become of it. Nothing that was received is read into it.
    pub fn of_device(name: &str) -> Self {
        Self {
            issuer: "".into(),
            audience: Vec::new(),
            expires: DATE_MAX,
            not_before: None,
            scope: Vec::new(),
            devices: vec![name.into()],
            user: None,
            lines: None,
        }
    }

    /// Reads the claims of a token.
    ///
    /// # Errors
    /// [`Fault::Malformed`]: one that is required is not there, or one is of the wrong shape.
    pub fn read(token: &Token<'_>, claims: &ClaimNames) -> Result<Self, Fault> {
        let all = &token.payload;
        let lines = list(all, &claims.lines)?;
        let mut scope = words(all, "scope")?;
        scope.extend(words(all, "scp")?);
        Ok(Self {
            issuer: text(all, "iss")?.ok_or(Fault::Malformed)?,
            audience: list(all, "aud")?,
            expires: date(all, "exp")?.ok_or(Fault::Malformed)?,
            not_before: date(all, "nbf")?,
            scope,
            devices: list(all, &claims.device)?,
            user: text(all, &claims.user)?,
            lines: all.contains_key(&claims.lines).then_some(lines),
        })
    }
}

/// Whether a token whose signature is right holds at this time.
///
/// # Errors
/// The first thing that is wrong: issuer, audience, time, scope.
pub fn judge(claims: &Claims, expected: &Expected<'_>, now: UnixMillis) -> Result<(), Fault> {
    if &*claims.issuer != expected.issuer {
        return Err(Fault::Issuer);
    }
    if !claims.audience.iter().any(|own| expected.audience.iter().any(|a| **a == **own)) {
        return Err(Fault::Audience);
    }
    let now_s = now.0 / 1000;
    if now_s >= claims.expires.saturating_add(expected.skew_s) {
        return Err(Fault::Expired);
    }
    if claims.not_before.is_some_and(|from| now_s.saturating_add(expected.skew_s) < from) {
        return Err(Fault::NotYetValid);
    }
    if !expected.scope.iter().all(|wanted| claims.scope.iter().any(|own| **own == **wanted)) {
        return Err(Fault::Scope);
    }
    Ok(())
}

fn short(text: &str) -> Result<Box<str>, Fault> {
    if text.len() > TEXT_MAX { Err(Fault::Malformed) } else { Ok(text.into()) }
}

fn text(all: &Map<String, Value>, name: &str) -> Result<Option<Box<str>>, Fault> {
    match all.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => short(value).map(Some),
        Some(_) => Err(Fault::Malformed),
    }
}

/// A text, or a list of texts; none where the claim is not there.
fn list(all: &Map<String, Value>, name: &str) -> Result<Vec<Box<str>>, Fault> {
    let one = |value: &Value| match value {
        Value::String(text) => short(text),
        _ => Err(Fault::Malformed),
    };
    match all.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= LIST_MAX => list.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

/// Words of a text (RFC 8693 §4.2), or a list of texts.
fn words(all: &Map<String, Value>, name: &str) -> Result<Vec<Box<str>>, Fault> {
    match all.get(name) {
        Some(Value::String(text)) => {
            let words: Vec<Box<str>> =
                text.split_ascii_whitespace().map(Into::into).take(LIST_MAX + 1).collect();
            if words.len() > LIST_MAX { Err(Fault::Malformed) } else { Ok(words) }
        }
        _ => list(all, name),
    }
}

/// A NumericDate (RFC 7519 §2): seconds, a fraction is left out.
fn date(all: &Map<String, Value>, name: &str) -> Result<Option<u64>, Fault> {
    let Some(value) = all.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Fault::Malformed) };
    let seconds = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(part)) if (0.0..=DATE_MAX as f64).contains(&part) => part as u64,
        _ => return Err(Fault::Malformed),
    };
    if seconds > DATE_MAX { Err(Fault::Malformed) } else { Ok(Some(seconds)) }
}
