//! From a line of NDJSON, or the body of an admin request, to a [`Row`].
//!
//! A good row is read twice by serde, once for `kind` and once for the shape, without building a
//! tree. Only a bad one is looked at again, to name the field and the nearest known one.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::{Capability, MODEL_NAME_MAX, Model, ModelId, VendorClass};
use crate::profile::{check_description, check_name};

use super::parameter::ParameterShape;
use super::rows::{LINES_MAX, PEM_MAX, PhoneModelRow, PhoneRow, Row, SUBJECT_MAX, TEXT_MAX, UserRow};
use super::secret::CREDENTIALS_MAX;
use super::{CertificateRow, Kind, ParameterRow, RowError, SecretField};

/// Longest row, in bytes: a certificate with its PEM, whose line ends JSON writes in two bytes.
pub const ROW_BYTES_MAX: usize = 160 * 1024;

/// Most names in `secure_call_features` of a model.
pub const SECURE_CALL_FEATURES_MAX: usize = 16;

/// Longest piece of a wrong value that an error repeats, in characters.
const QUOTE_MAX: usize = 64;

/// Parses and checks one row by itself; what it names is checked by [`super::Inventory::check`].
pub fn parse_row(text: &str) -> Result<Row, RowError> {
    if text.len() > ROW_BYTES_MAX {
        return Err(RowError::TooLong { bytes: text.len() });
    }
    // serde takes an array for a struct too.
    if !text.trim_start().starts_with('{') {
        return Err(RowError::Json { reason: "a row begins with `{`".to_owned() });
    }
    let head: Head = serde_json::from_str(text).map_err(|e| RowError::Json { reason: e.to_string() })?;
    let kind = match head.kind {
        None => return Err(RowError::KindMissing),
        Some(KindName::Known(kind)) => kind,
        Some(KindName::Unknown(kind)) => {
            let hint = did_you_mean(&kind, Kind::rows().map(Kind::as_str));
            return Err(RowError::KindUnknown { kind, hint });
        }
    };
    let row = match kind {
        Kind::Counter | Kind::Package => return Err(RowError::KindMissing),
        Kind::Parameter => Row::Parameter(ParameterRow::from_shape(shape::<ParameterShape>(kind, text)?)?),
        Kind::PhoneModel => Row::PhoneModel(shape(kind, text)?),
        Kind::SecurityProfile => Row::SecurityProfile(shape(kind, text)?),
        Kind::CommonPhoneProfile => Row::CommonPhoneProfile(shape(kind, text)?),
        Kind::EnterprisePhone => Row::EnterprisePhone(shape(kind, text)?),
        Kind::ApplicationUser => Row::ApplicationUser(shape(kind, text)?),
        Kind::EndUser => Row::EndUser(shape(kind, text)?),
        Kind::SipRealm => Row::SipRealm(shape(kind, text)?),
        Kind::TrunkSecurityProfile => Row::TrunkSecurityProfile(shape(kind, text)?),
        Kind::Trunk => Row::Trunk(shape(kind, text)?),
        Kind::Line => Row::Line(shape(kind, text)?),
        Kind::Phone => Row::Phone(shape(kind, text)?),
        Kind::Certificate => Row::Certificate(shape(kind, text)?),
    };
    check_alone(&row)?;
    Ok(row)
}

/// ` (did you mean …?)` for the known name nearest to `given`, or nothing when none is near.
pub fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(given, known).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// The known name nearest to `given`: at most a third of its characters differ.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().take(QUOTE_MAX).collect();
    let limit = (given.len() / 3).max(1);
    known
        .map(|name| (distance(&given, name), name))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// A wrong value, cut for an error text.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Levenshtein distance.
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, cb) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, ca) in a.iter().enumerate() {
            let replaced = diagonal + usize::from(*ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[a.len()]
}

/// The field `kind` alone.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    kind: Option<KindName>,
}

enum KindName {
    Known(Kind),
    Unknown(String),
}

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = KindName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a kind")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<KindName, E> {
                Ok(Kind::parse(name).map_or_else(|| KindName::Unknown(shorten(name)), KindName::Known))
            }
        }
        d.deserialize_str(Name)
    }
}

fn shape<T: DeserializeOwned>(kind: Kind, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|e| diagnose(kind, text, &e))
}

/// Finds the field that serde stumbled over.
fn diagnose(kind: Kind, text: &str, error: &serde_json::Error) -> RowError {
    let Ok(names) = serde_json::from_str::<Names>(text) else {
        return RowError::Json { reason: error.to_string() };
    };
    let known = |field: &str| field == "kind" || kind.fields().contains(&field);
    if let Some(field) = names.0.iter().find(|f| !known(f)) {
        let hint = if kind == Kind::Phone && field == "trusted" {
            "; trust is the model's and cannot be set on a phone".to_owned()
        } else {
            match nearest(field, kind.fields().iter().copied()) {
                Some(name) => format!("; did you mean `{name}`?"),
                None => format!("; known are {}", kind.fields().join(", ")),
            }
        };
        return RowError::FieldUnknown { kind, field: shorten(field), hint };
    }
    let full = error.to_string();
    let reason = full.rfind(" at line ").map_or(&*full, |at| &full[..at]);
    let missing = reason.strip_prefix("missing field `").and_then(|r| r.strip_suffix('`'));
    if let Some(field) = missing
        && kind.fields().contains(&field)
    {
        return RowError::FieldMissing { kind, field: field.to_owned() };
    }
    let offset = offset_of(text, error.line(), error.column());
    let field = field_at(text, offset).unwrap_or_default();
    // serde repeats wrong values, and this field may hold a secret.
    let quotes = reason.starts_with("invalid type") || reason.starts_with("invalid value");
    let reason = if field == "capf" && quotes {
        "must be an object of operation and authentication_string, both texts".to_owned()
    } else {
        shorten_reason(reason)
    };
    RowError::Field { kind, field: shorten(&field), reason }
}

fn shorten_reason(reason: &str) -> String {
    const REASON_MAX: usize = 400;
    let mut short: String = reason.chars().take(REASON_MAX).collect();
    if short.len() < reason.len() {
        short.push('…');
    }
    short
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).min(text.len())
}

/// The key of the outermost object whose value ends at or after `offset`.
fn field_at(text: &str, offset: usize) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut depth, mut at, mut key, mut expect_key) = (0_usize, 0, None, false);
    while at < bytes.len() && at < offset {
        match bytes[at] {
            b'"' => {
                let start = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 && expect_key {
                    let end = (at + 1).min(bytes.len());
                    key = text.get(start..end).and_then(|t| serde_json::from_str(t).ok()).or(key);
                    expect_key = false;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                expect_key = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => expect_key = true,
            _ => {}
        }
        at += 1;
    }
    key
}

/// The keys of an object in order.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(A::Error::custom("empty"));
                }
                Ok(Names(names))
            }
        }
        d.deserialize_map(Keys)
    }
}

fn invalid(kind: Kind, field: &str, reason: impl Into<String>) -> RowError {
    RowError::Field { kind, field: field.to_owned(), reason: reason.into() }
}

/// 1 to `max` characters, no control characters, no outer blanks.
fn check_label(kind: Kind, field: &str, text: &str, max: usize) -> Result<(), RowError> {
    let length = text.chars().count();
    let fault = if text.is_empty() {
        "is empty".to_owned()
    } else if length > max {
        format!("has {length} characters; at most {max} are allowed")
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else if text.trim() != text {
        "begins or ends with a blank".to_owned()
    } else {
        return Ok(());
    };
    Err(invalid(kind, field, fault))
}

fn check_alone(row: &Row) -> Result<(), RowError> {
    for (kind, field, text, max) in super::trunks::labels(row) {
        check_label(kind, field, text, max)?;
    }
    match row {
        Row::SipRealm(r) => check_credentials(Kind::SipRealm, &r.digest_credentials),
        Row::TrunkSecurityProfile(r) => check_description(&r.description)
            .map_err(|error| RowError::Profile { name: shorten(&r.name), error }),
        Row::Trunk(r) if r.description.is_empty() => Ok(()),
        Row::Trunk(r) => check_label(Kind::Trunk, "description", &r.description, TEXT_MAX),
        Row::Parameter(_) | Row::EnterprisePhone(_) | Row::Line(_) => Ok(()),
        Row::PhoneModel(r) => check_model(r),
        Row::Package(_) => Ok(()),
        Row::SecurityProfile(r) => check_name(&r.name)
            .and_then(|()| check_description(&r.description))
            .map_err(|error| RowError::Profile { name: shorten(&r.name), error }),
        Row::CommonPhoneProfile(r) => check_label(Kind::CommonPhoneProfile, "name", &r.name, TEXT_MAX),
        Row::ApplicationUser(r) => check_user(Kind::ApplicationUser, r),
        Row::EndUser(r) => check_user(Kind::EndUser, r),
        Row::Phone(r) => check_phone(r),
        Row::Certificate(r) => check_certificate(r),
    }
}

fn check_model(row: &PhoneModelRow) -> Result<(), RowError> {
    let kind = Kind::PhoneModel;
    check_label(kind, "name", &row.name, MODEL_NAME_MAX)?;
    if row.secure_call_features.len() > SECURE_CALL_FEATURES_MAX {
        let fault = format!(
            "has {} names; at most {SECURE_CALL_FEATURES_MAX} are allowed",
            row.secure_call_features.len()
        );
        return Err(invalid(kind, "secure_call_features", fault));
    }
    for feature in &row.secure_call_features {
        check_label(kind, "secure_call_features", feature, MODEL_NAME_MAX)?;
    }
    let has = |c| row.capabilities.has(c);
    let own_only = [Capability::Mic, Capability::Capf, Capability::EncryptedConfig];
    let kinds = [Capability::SecurityAuthentication, Capability::SecurityEncryption];
    let reason = if let Some(c) = kinds.into_iter().find(|c| has(*c) && !has(Capability::DeviceSecurityMode))
    {
        format!("capability {} needs device_security_mode", c.as_str())
    } else if has(Capability::DeviceSecurityMode) && !has(Capability::Tls) {
        "capability device_security_mode needs tls".to_owned()
    } else if has(Capability::ManualDigest) {
        "capability manual_digest belongs to built-in models only".to_owned()
    } else if let Some(c) =
        own_only.into_iter().find(|c| row.vendor_class == VendorClass::Preferred && has(*c))
    {
        format!("capability {} is for vendor_class own only", c.as_str())
    } else {
        return Ok(());
    };
    Err(RowError::Model { name: row.name.to_string(), reason })
}

impl PhoneModelRow {
    /// The model that this row makes.
    pub fn to_model(&self, id: ModelId) -> Model {
        // R069: every SIP phone of another maker answers digest; so do own ones.
        let capabilities =
            if self.protocols.sip { self.capabilities.with(Capability::Digest) } else { self.capabilities };
        Model {
            id,
            name: self.name.to_string().into(),
            protocols: self.protocols,
            vendor_class: self.vendor_class,
            trusted: self.trusted,
            capabilities,
            tls_certificate: self.tls_certificate,
            stated: self.features,
            secure_call_features: self.secure_call_features.clone().into(),
        }
    }
}

fn check_user(kind: Kind, row: &UserRow) -> Result<(), RowError> {
    check_credentials(kind, &row.digest_credentials)
}

fn check_credentials(kind: Kind, field: &SecretField) -> Result<(), RowError> {
    let SecretField::Set(secret) = field else { return Ok(()) };
    let text = secret.expose();
    let fault = if text.is_empty() {
        "is empty; leave the field out to keep what is stored, or write null to remove it".to_owned()
    } else if text.chars().count() > CREDENTIALS_MAX {
        format!("has more than {CREDENTIALS_MAX} characters")
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        "holds a character that is neither letter nor digit".to_owned()
    } else {
        return Ok(());
    };
    Err(invalid(kind, "digest_credentials", fault))
}

fn check_phone(row: &PhoneRow) -> Result<(), RowError> {
    let kind = Kind::Phone;
    if !row.description.is_empty() {
        check_label(kind, "description", &row.description, TEXT_MAX)?;
    }
    if row.lines.len() > LINES_MAX {
        let fault = format!("has {} lines; at most {LINES_MAX} are allowed", row.lines.len());
        return Err(invalid(kind, "lines", fault));
    }
    let mut sorted: Vec<&str> = row.lines.iter().map(|l| l.as_str()).collect();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Err(invalid(kind, "lines", format!("names {} twice", twice[0])));
    }
    if let Some(SecretField::Set(pin)) = row.capf.as_ref().map(|c| &c.authentication_string) {
        let digits = pin.expose();
        if !(4..=10).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid(kind, "capf", "authentication_string must be 4 to 10 digits"));
        }
    }
    Ok(())
}

fn check_certificate(row: &CertificateRow) -> Result<(), RowError> {
    let kind = Kind::Certificate;
    if row.pem.len() > PEM_MAX {
        let fault = format!("has {} bytes; at most {PEM_MAX} are allowed", row.pem.len());
        return Err(invalid(kind, "pem", fault));
    }
    if !row.pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(invalid(kind, "pem", "holds no `-----BEGIN CERTIFICATE-----`"));
    }
    if row.pem.contains("PRIVATE KEY") {
        return Err(invalid(kind, "pem", "holds a private key, which never belongs here"));
    }
    if let Some(subject) = &row.subject {
        check_label(kind, "subject", subject, SUBJECT_MAX)?;
    }
    if row.phone.is_some() && row.purpose != super::Purpose::VendorTrust {
        return Err(invalid(kind, "phone", "goes with purpose vendor-trust only"));
    }
    Ok(())
}
