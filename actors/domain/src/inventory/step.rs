//! What an administrator asks, and the operations that it comes to.

use serde_json::{Map, Value};

use crate::model::Package;

use super::capf::CapfSettings;
use super::mutate::Op;
use super::parameter::addressed;
use super::parse::{parse_row, shorten};
use super::rows::{CertificateFacts, Row};
use super::{Inventory, Kind, Newcomer, RowError};

/// What is asked of one object. A body is the row's JSON object without secrets that shall stay; its `kind`
/// may be left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A new object; refused when one of that name is there.
    Create {
        /// What.
        kind: Kind,
        /// The row.
        body: Value,
    },
    /// Another row in its place; what the body leaves out has its default again, secrets stay.
    Replace {
        /// What.
        kind: Kind,
        /// Which.
        name: String,
        /// The row; its name may be left out.
        body: Value,
    },
    /// Some fields (RFC 7396): `null` puts a field back to its default and removes a secret.
    Merge {
        /// What.
        kind: Kind,
        /// Which.
        name: String,
        /// The fields.
        body: Value,
    },
    /// Delete it.
    Remove {
        /// What.
        kind: Kind,
        /// Which.
        name: String,
    },
    /// Give a security profile another name (R103).
    Rename {
        /// Name now.
        name: String,
        /// Name afterwards.
        to: String,
    },
    /// Install a package whose signature was verified: its phone models, and its record (R066).
    Install(Box<Package>),
    /// A new security profile with the settings of another, which may be a predefined one (R179, R216).
    Copy {
        /// Name of the other.
        name: String,
        /// Name of the new one.
        to: String,
        /// Fields that shall differ.
        body: Value,
    },
    /// Let a phone in that nobody configured (R212); the node asks it by itself.
    Adopt(Newcomer),
    /// Bring a phone of an earlier schema over (R003, R110); the node asks it by itself, when it starts.
    Upgrade {
        /// The row as it was.
        body: Value,
    },
}

/// Reads a certificate's PEM; whoever calls has the parser.
pub type ReadCertificate<'a> = &'a dyn Fn(&str) -> Result<CertificateFacts, String>;

impl Step {
    /// What is asked, as the audit calls it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Replace { .. } => "replace",
            Self::Merge { .. } => "merge",
            Self::Remove { .. } => "remove",
            Self::Rename { .. } => "rename",
            Self::Copy { .. } => "copy",
            Self::Adopt(_) => "adopt",
            Self::Upgrade { .. } => "upgrade",
            Self::Install(_) => "install",
        }
    }

    /// Kind and name of what it is about; a new object's name stands in its body. Certificates that are yet to
    /// be read have none.
    pub fn subject(&self) -> (Kind, Option<&str>) {
        match self {
            Self::Create { kind, body } => (*kind, name_in(*kind, body)),
            Self::Replace { kind, name, .. }
            | Self::Merge { kind, name, .. }
            | Self::Remove { kind, name } => (*kind, Some(name)),
            Self::Rename { name, .. } => (Kind::SecurityProfile, Some(name)),
            Self::Install(package) => (Kind::Package, Some(&package.name)),
            Self::Copy { to, .. } => (Kind::SecurityProfile, Some(to)),
            Self::Adopt(new) => (Kind::Phone, Some(new.name.as_str())),
            Self::Upgrade { body } => (Kind::Phone, name_in(Kind::Phone, body)),
        }
    }
}

/// The field that names a row of this kind; `None` where there is one row only, or the name is computed.
pub const fn name_field(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Counter | Kind::EnterprisePhone | Kind::Certificate => None,
        Kind::ApplicationUser | Kind::EndUser => Some("id"),
        Kind::Line => Some("dn"),
        Kind::SipRealm => Some("realm"),
        _ => Some("name"),
    }
}

/// Fields that `null` removes and that stay when they are left out: paths of one or two names.
const NULL_SPEAKS: [(Kind, &[&str]); 5] = [
    (Kind::SipRealm, &["digest_credentials"]),
    (Kind::EndUser, &["digest_credentials"]),
    (Kind::ApplicationUser, &["digest_credentials"]),
    (Kind::Phone, &["capf", "authentication_string"]),
    (Kind::Phone, &["em_user"]),
];

fn name_in(kind: Kind, body: &Value) -> Option<&str> {
    body.get(name_field(kind)?)?.as_str()
}

impl Inventory {
    /// The operations that a step comes to now.
    ///
    /// # Errors
    /// [`RowError`]: what is named does not exist or exists already, or the row cannot be read.
    pub fn plan(&self, step: &Step, read: ReadCertificate<'_>) -> Result<Vec<Op>, RowError> {
        Ok(vec![match step {
            Step::Create { kind, body } => {
                let mut body = object(body)?.clone();
                let capf = CapfSettings::take(*kind, &mut body)?;
                let row = parsed(*kind, body, read)?;
                self.must_be_new(&row)?;
                return self.put_with_capf(row, &capf);
            }
            Step::Replace { kind, name, body } => {
                self.must_exist(*kind, name)?;
                let mut body = object(body)?.clone();
                let capf = CapfSettings::take(*kind, &mut body)?;
                bear_name(*kind, name, &mut body)?;
                return self.put_with_capf(same(*kind, name, parsed(*kind, body, read)?)?, &capf);
            }
            Step::Merge { kind, name, body } => {
                let mut now = self.body_of(*kind, name)?;
                let mut patch = object(body)?.clone();
                let capf = CapfSettings::take(*kind, &mut patch)?;
                merge(*kind, &mut now, &patch);
                bear_name(*kind, name, &mut now)?;
                return self.put_with_capf(same(*kind, name, parsed(*kind, now, read)?)?, &capf);
            }
            Step::Remove { kind, name } => Op::Remove { kind: *kind, name: name.clone() },
            Step::Install(package) => return self.install(package),
            Step::Rename { name, to } => Op::Rename { name: name.clone(), to: to.clone() },
            Step::Copy { name, to, body } => {
                let kind = Kind::SecurityProfile;
                let mut copy = self.body_of(kind, name)?;
                merge(kind, &mut copy, object(body)?);
                copy.insert("name".to_owned(), to.as_str().into());
                let row = parsed(kind, copy, read)?;
                self.must_be_new(&row)?;
                Op::Put(Box::new(row))
            }
            Step::Adopt(new) => return self.adopt(new),
            Step::Upgrade { body } => return self.upgraded(object(body)?),
        }])
    }

    /// Something of this kind and name is there; predefined profiles and built-in models count.
    pub fn contains(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Counter => false,
            Kind::Parameter => addressed(name).is_ok(),
            Kind::PhoneModel => self.model(name).is_some(),
            Kind::Package => self.packages.contains_key(name),
            Kind::SecurityProfile => self.profile_id(name).is_some(),
            Kind::CommonPhoneProfile => self.commons.contains_key(name),
            Kind::EnterprisePhone => name == super::stored::ENTERPRISE_KEY,
            Kind::ApplicationUser | Kind::EndUser => {
                self.users.get(name).is_some_and(|u| u.store.kind() == kind)
            }
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => self.trunking.contains(kind, name),
            Kind::Line => self.lines.contains_key(name),
            Kind::Phone => self.names.contains_key(name),
            Kind::Certificate => {
                super::remove::certificate_key(name).is_some_and(|key| self.certificates.contains_key(&key))
            }
        }
    }

    fn must_exist(&self, kind: Kind, name: &str) -> Result<(), RowError> {
        if kind == Kind::Parameter
            && let Err(fault @ (RowError::ParameterOfCluster { .. } | RowError::NodeName { .. })) =
                addressed(name)
        {
            return Err(fault);
        }
        match self.contains(kind, name) {
            true => Ok(()),
            false => Err(RowError::NotFound { kind, name: shorten(name) }),
        }
    }

    fn must_be_new(&self, row: &Row) -> Result<(), RowError> {
        let (kind, name) = (row.kind(), row.name());
        // A user's id is unique over both stores.
        let other = match kind {
            Kind::ApplicationUser => Some(Kind::EndUser),
            Kind::EndUser => Some(Kind::ApplicationUser),
            _ => None,
        };
        if let Some(other) = other.filter(|o| self.contains(*o, &name)) {
            return Err(RowError::UserInOtherStore { user: name, other });
        }
        match self.contains(kind, &name) {
            true => Err(RowError::Exists { kind, name: shorten(&name) }),
            false => Ok(()),
        }
    }

    /// The row as it stands, without secrets, as an object.
    fn body_of(&self, kind: Kind, name: &str) -> Result<Map<String, Value>, RowError> {
        let text = self.row_text(kind, name, false);
        let gone = || RowError::NotFound { kind, name: shorten(name) };
        match serde_json::from_str(&text.ok_or_else(gone)?) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err(gone()),
        }
    }
}

fn object(body: &Value) -> Result<&Map<String, Value>, RowError> {
    body.as_object().ok_or_else(|| RowError::Json { reason: "the body is no object".to_owned() })
}

/// A body may leave its name out; another name is a mistake.
fn bear_name(kind: Kind, name: &str, body: &mut Map<String, Value>) -> Result<(), RowError> {
    let Some(field) = name_field(kind) else { return Ok(()) };
    body.entry(field).or_insert_with(|| name.into());
    Ok(())
}

/// The row of that name, or the refusal of one that bears another.
fn same(kind: Kind, name: &str, row: Row) -> Result<Row, RowError> {
    let given = row.name();
    if given != name {
        let reason =
            format!("is {:?}, but the object that is changed is {:?}", shorten(&given), shorten(name));
        let field = name_field(kind).unwrap_or("pem").to_owned();
        return Err(RowError::Field { kind, field, reason });
    }
    Ok(row)
}

fn parsed(kind: Kind, mut body: Map<String, Value>, read: ReadCertificate<'_>) -> Result<Row, RowError> {
    match body.get("kind") {
        None => {
            body.insert("kind".to_owned(), kind.as_str().into());
        }
        Some(Value::String(given)) if given == kind.as_str() => {}
        Some(other) => {
            let reason = format!("is {}, but this is about a {kind}", shorten(&other.to_string()));
            return Err(RowError::Field { kind, field: "kind".to_owned(), reason });
        }
    }
    let mut row = parse_row(&Value::Object(body).to_string())?;
    if let Row::Certificate(certificate) = &mut row {
        let unread = |reason| RowError::Field { kind, field: "pem".to_owned(), reason };
        certificate.facts = Some(read(&certificate.pem).map_err(unread)?);
    }
    Ok(row)
}

/// RFC 7396, with `null` kept where it removes a secret.
fn merge(kind: Kind, now: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if kind == Kind::SecurityProfile
        && patch.contains_key("device_security_mode")
        && !patch.contains_key("transport")
    {
        // The transports that go with a mode are few, often one (R160): another mode brings its own default.
        now.remove("transport");
    }
    patch_object(now, patch);
    for (_, path) in NULL_SPEAKS.iter().filter(|(of, _)| *of == kind) {
        match path {
            [field] if patch.get(*field) == Some(&Value::Null) => {
                now.insert((*field).to_owned(), Value::Null);
            }
            [outer, field] if patch.get(*outer).and_then(|o| o.get(*field)) == Some(&Value::Null) => {
                if let Some(Value::Object(inner)) = now.get_mut(*outer) {
                    inner.insert((*field).to_owned(), Value::Null);
                }
            }
            _ => {}
        }
    }
}

fn patch_object(now: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, value) in patch {
        match (now.get_mut(field), value) {
            (_, Value::Null) => {
                now.remove(field);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => patch_object(inner, patch),
            (_, Value::Object(patch)) => {
                let mut inner = Map::new();
                patch_object(&mut inner, patch);
                now.insert(field.clone(), Value::Object(inner));
            }
            (_, value) => {
                now.insert(field.clone(), value.clone());
            }
        }
    }
}
