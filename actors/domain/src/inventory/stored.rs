//! The stored forms: JSON without what the key says, numbers instead of names that may change,
//! secrets sealed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::{DeviceName, Dn, ProfileId, UserId};
use crate::mode::Protocol;
use crate::model::{Model, ModelId};

use super::rows::{CertificateFacts, CertificateRow, PhoneModelRow, Tag};
use super::store::{PhoneEntry, PhoneExtra};
use super::{CapfOperation, Kind, LoadError, Purpose, Sealer, Secret};
use crate::hardening::Hardening;

/// Key of the one `enterprise_phone` record.
pub(super) const ENTERPRISE_KEY: &str = "enterprise_phone";

/// Key of the counter of profiles.
pub(super) const PROFILE_COUNTER: &str = "profile";

/// Key of the counter of imported models.
pub(super) const MODEL_COUNTER: &str = "model";

#[derive(Serialize, Deserialize)]
pub(super) struct StoredModel {
    pub(super) id: ModelId,
    pub(super) row: PhoneModelRow,
}

#[derive(Serialize, Deserialize, Default)]
pub(super) struct StoredUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCertificate {
    pub(super) row: CertificateRow,
    pub(super) facts: CertificateFacts,
}

#[derive(Serialize)]
struct PhoneOut<'a> {
    model: ModelId,
    protocol: Protocol,
    profile: ProfileId,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_user: Option<&'a UserId>,
    #[serde(skip_serializing_if = "<[Dn]>::is_empty")]
    lines: &'a [Dn],
    #[serde(skip_serializing_if = "Option::is_none")]
    common: Option<&'a str>,
    #[serde(skip_serializing_if = "Hardening::is_empty")]
    hardening: Hardening,
    #[serde(skip_serializing_if = "Option::is_none")]
    capf: Option<CapfOperation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capf_string: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    em_user: Option<&'a UserId>,
}

#[derive(Deserialize)]
struct PhoneIn {
    model: ModelId,
    protocol: Protocol,
    profile: ProfileId,
    #[serde(default)]
    description: Arc<str>,
    #[serde(default)]
    digest_user: Option<UserId>,
    #[serde(default)]
    lines: smallvec::SmallVec<[Dn; 2]>,
    #[serde(default)]
    common: Option<Box<str>>,
    #[serde(default)]
    hardening: Hardening,
    #[serde(default)]
    capf: Option<CapfOperation>,
    #[serde(default)]
    capf_string: Option<String>,
    #[serde(default)]
    em_user: Option<UserId>,
}

pub(super) fn phone_bytes(phone: &PhoneEntry, sealer: &dyn Sealer) -> Vec<u8> {
    let extra = phone.extra.as_deref();
    let capf = extra.map(|e| e.capf_operation).filter(|o| *o != CapfOperation::None);
    let pin = extra.and_then(|e| e.capf_string.as_ref());
    bytes(&PhoneOut {
        model: phone.model,
        protocol: phone.protocol,
        profile: phone.profile,
        description: &phone.description,
        digest_user: phone.digest_user.as_ref(),
        lines: &phone.lines,
        common: extra.and_then(|e| e.common.as_deref()),
        hardening: extra.map(|e| e.hardening).unwrap_or_default(),
        capf,
        capf_string: pin.map(|s| sealed(s, sealer, Kind::Phone, phone.name.as_str())),
        em_user: phone.em_user(),
    })
}

pub(super) fn phone_from(
    name: DeviceName,
    bytes: &[u8],
    sealer: &dyn Sealer,
) -> Result<PhoneEntry, LoadError> {
    let stored: PhoneIn = from_bytes(Kind::Phone, name.as_str(), bytes)?;
    let extra = PhoneExtra {
        common: stored.common,
        hardening: stored.hardening,
        capf_operation: stored.capf.unwrap_or_default(),
        capf_string: opened(stored.capf_string, sealer, Kind::Phone, name.as_str())?,
        em_user: stored.em_user,
    };
    Ok(PhoneEntry {
        name,
        description: stored.description,
        lines: stored.lines.into_iter().collect(),
        digest_user: stored.digest_user,
        extra: (extra != PhoneExtra::default()).then(|| Box::new(extra)),
        model: stored.model,
        profile: stored.profile,
        protocol: stored.protocol,
    })
}

/// The row that makes an imported model again.
pub(super) fn model_row(model: &Model) -> PhoneModelRow {
    PhoneModelRow {
        tag: Tag,
        name: (*model.name).into(),
        vendor_class: model.vendor_class,
        protocols: model.protocols,
        trusted: model.trusted,
        capabilities: model.capabilities,
        tls_certificate: model.tls_certificate,
        features: model.stated,
        secure_call_features: model.secure_call_features.to_vec(),
    }
}

/// Fixed width, so that keys come in the order of numbers.
pub(super) fn profile_key(id: ProfileId) -> String {
    format!("{:010}", id.0)
}

pub(super) fn certificate_key(purpose: Purpose, fingerprint: &str) -> String {
    format!("{}/{fingerprint}", purpose.as_str())
}

/// JSON of a stored form.
pub(super) fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("stored forms have text keys and nothing that can fail")
}

pub(super) fn from_bytes<'a, T: Deserialize<'a>>(
    kind: Kind,
    key: &str,
    bytes: &'a [u8],
) -> Result<T, LoadError> {
    serde_json::from_slice(bytes).map_err(|e| form(kind, key, &e))
}

pub(super) fn form(kind: Kind, key: &str, reason: &dyn std::fmt::Display) -> LoadError {
    LoadError::Form { kind, key: key.to_owned(), reason: reason.to_string() }
}

/// A sealed secret as text, bound to the record it belongs to.
pub(super) fn sealed(secret: &Secret, sealer: &dyn Sealer, kind: Kind, key: &str) -> String {
    STANDARD_NO_PAD.encode(sealer.seal(secret.expose().as_bytes(), &context(kind, key)))
}

pub(super) fn opened(
    sealed: Option<String>,
    sealer: &dyn Sealer,
    kind: Kind,
    key: &str,
) -> Result<Option<Secret>, LoadError> {
    let Some(text) = sealed else { return Ok(None) };
    let raw = STANDARD_NO_PAD.decode(text).map_err(|e| form(kind, key, &e))?;
    let plain: Option<Zeroizing<Vec<u8>>> = sealer.open(&raw, &context(kind, key));
    let plain = plain.ok_or_else(|| LoadError::Sealed { kind, key: key.to_owned() })?;
    let text = std::str::from_utf8(&plain).map_err(|e| form(kind, key, &e))?;
    Ok(Some(Secret::new(text)))
}

fn context(kind: Kind, key: &str) -> String {
    format!("{kind}/{key}")
}
