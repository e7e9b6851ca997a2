//! Packages of preferred vendors' phone types (R066–R071): what a package file is and what it may say.
//!
//! A package is a DSSE envelope (Dead Simple Signing Envelope, version 1): a payload in base64, its type, and
//! signatures over both. The payload is a manifest in JSON: name, version, types. Whoever reads the file
//! verifies the signature and says what it found ([`Signature`]); the rules are here.

use std::cmp::Ordering;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Capabilities, Capability, MODEL_NAME_MAX, Stated, TlsCertificate, builtin};

/// Type of the payload; another one is another format.
pub const PAYLOAD_TYPE: &str = "application/vnd.keyline.phone-package+json; version=1";

/// Longest package file, in bytes.
pub const PACKAGE_BYTES_MAX: usize = 256 * 1024;

/// Most types of one package: what one commit takes, with room for the package itself.
pub const TYPES_MAX: usize = 64;

/// Most signatures that are looked at.
pub const SIGNATURES_MAX: usize = 8;

/// Longest name of a package, in characters.
pub const PACKAGE_NAME_MAX: usize = 64;

/// Why a package is refused; nothing was installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Not an envelope, or not one of this format.
    #[error("the package cannot be read: {0}")]
    Form(String),
    /// No signature of a signer that is trusted.
    #[error(
        "the package is not signed by anybody who is trusted for packages; add the vendor's certificate with \
         purpose package-trust if the vendor is known to you"
    )]
    Signer,
    /// A trusted signer's signature that does not fit the payload.
    #[error("the signature does not fit the package: it was changed after it was signed; get it again")]
    Signature,
    /// The signer's certificate is not valid at this time.
    #[error("the certificate of the package's signer is not valid now: {0}")]
    SignerExpired(String),
    /// What the manifest says is against the rules.
    #[error("the package's manifest: {0}")]
    Manifest(String),
    /// R066.
    #[error("package `{name}` is installed in version {installed}; version {given} is not newer")]
    NotNewer {
        /// The package.
        name: String,
        /// Installed version.
        installed: Version,
        /// Version of the file.
        given: Version,
    },
    /// A name that another type bears.
    #[error("the package brings a type `{name}`, but that is {by}")]
    TypeTaken {
        /// Name of the type.
        name: String,
        /// Whose it is.
        by: String,
    },
}

impl PackageError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "package_unreadable",
            Self::Signer => "package_signer_unknown",
            Self::Signature => "package_signature",
            Self::SignerExpired(_) => "package_signer_expired",
            Self::Manifest(_) => "package_manifest",
            Self::NotNewer { .. } => "package_not_newer",
            Self::TypeTaken { .. } => "package_type_taken",
        }
    }
}

/// What whoever has the keys found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// Right, by the certificate of this fingerprint (SHA-256 of its DER, lower-case hex).
    Good(Box<str>),
    /// A trusted signer is named, but the signature is not his.
    Wrong,
    /// Nobody who is trusted is named.
    Unknown,
    /// Right, but the signer's certificate is not valid now.
    Expired(String),
}

/// Version of a package: up to four numbers with dots between them, compared number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version([u32; 4]);

impl Version {
    /// Reads `2.1` or `1.0.12`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = [0; 4];
        for (at, part) in text.split('.').enumerate() {
            let number = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
            *parts.get_mut(at)? = number?;
        }
        Some(Self(parts))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().rposition(|n| *n != 0).map_or(1, |at| at + 1).max(2);
        let text: Vec<_> = self.0[..shown].iter().map(u32::to_string).collect();
        f.write_str(&text.join("."))
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let form = "a version is one to four numbers with dots between them";
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(form))
    }
}

/// A package file, opened but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The manifest's bytes, as signed.
    pub payload: Vec<u8>,
    /// Signatures: key id and bytes.
    pub signatures: Vec<(Box<str>, Vec<u8>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<Signed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    #[serde(default)]
    keyid: Box<str>,
    sig: String,
}

/// Opens a package file.
///
/// # Errors
/// [`PackageError::Form`].
pub fn open(file: &[u8]) -> Result<Opened, PackageError> {
    let fault = |text: &str| PackageError::Form(text.to_owned());
    if file.len() > PACKAGE_BYTES_MAX {
        return Err(PackageError::Form(format!(
            "{} bytes; at most {PACKAGE_BYTES_MAX} are taken",
            file.len()
        )));
    }
    let envelope: Envelope = serde_json::from_slice(file).map_err(|e| PackageError::Form(e.to_string()))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(PackageError::Form(format!("payloadType must be {PAYLOAD_TYPE:?}")));
    }
    if envelope.signatures.is_empty() || envelope.signatures.len() > SIGNATURES_MAX {
        return Err(PackageError::Form(format!("it must have 1 to {SIGNATURES_MAX} signatures")));
    }
    let bytes = |text: &str, what| STANDARD.decode(text).map_err(|_| fault(what));
    let payload = bytes(&envelope.payload, "payload is not base64")?;
    let mut signatures = Vec::with_capacity(envelope.signatures.len());
    for one in envelope.signatures {
        signatures.push((one.keyid, bytes(&one.sig, "sig is not base64")?));
    }
    Ok(Opened { payload, signatures })
}

/// The bytes that a signature is over (DSSE's pre-authentication encoding).
pub fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// A package file of a payload and its signatures: what a vendor's tool writes.
pub fn seal(payload: &[u8], signatures: &[(&str, Vec<u8>)]) -> String {
    let signed: Vec<_> = signatures
        .iter()
        .map(|(keyid, sig)| serde_json::json!({ "keyid": keyid, "sig": STANDARD.encode(sig) }))
        .collect();
    serde_json::json!({
        "payloadType": PAYLOAD_TYPE, "payload": STANDARD.encode(payload), "signatures": signed,
    })
    .to_string()
}

/// What a package says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name; newer versions bear the same.
    pub name: Box<str>,
    /// Version.
    pub version: Version,
    /// Fingerprint of the certificate that signed it.
    pub signer: Box<str>,
    /// The types, each once.
    pub types: Vec<PackageType>,
}

/// A type of phone that a package brings. All speak SIP and answer digest (R069).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageType {
    /// Name of the model.
    pub name: Box<str>,
    /// Passed the security criteria (R039).
    pub trusted: bool,
    /// What it can do. Without one of the two kinds of security it has no device security mode (R067).
    pub capabilities: Capabilities,
    /// How its phones get a TLS certificate (R071).
    pub tls_certificate: TlsCertificate,
    /// Other facts.
    pub features: Stated,
    /// Other features in secure calls (R211).
    pub secure_call_features: Vec<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestIn {
    name: Box<str>,
    version: Version,
    types: Vec<TypeIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeIn {
    name: Box<str>,
    #[serde(default)]
    security_encryption: bool,
    #[serde(default)]
    security_authentication: bool,
    #[serde(default)]
    tls_certificate: Option<TlsCertificate>,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    features: Stated,
    #[serde(default)]
    secure_call_features: Vec<Box<str>>,
}

/// Capabilities that a manifest may name itself; the others follow from its two security fields, or are not
/// for preferred vendors (R054, R164).
const NAMED: [Capability; 3] = [Capability::SecureTone, Capability::SecurityIcon, Capability::Websocket];

/// Judges a package by its signature and its manifest; what is installed already is judged with the
/// inventory.
///
/// # Errors
/// [`PackageError`].
pub fn judge(payload: &[u8], signature: Signature) -> Result<Package, PackageError> {
    let signer = match signature {
        Signature::Good(signer) => signer,
        Signature::Wrong => return Err(PackageError::Signature),
        Signature::Unknown => return Err(PackageError::Signer),
        Signature::Expired(text) => return Err(PackageError::SignerExpired(text)),
    };
    let fault = |text: String| PackageError::Manifest(text);
    let manifest: ManifestIn = serde_json::from_slice(payload).map_err(|e| fault(e.to_string()))?;
    label("name", &manifest.name, PACKAGE_NAME_MAX)?;
    if manifest.types.is_empty() || manifest.types.len() > TYPES_MAX {
        return Err(fault(format!("has {} types; 1 to {TYPES_MAX} are allowed", manifest.types.len())));
    }
    let mut types: Vec<PackageType> = Vec::with_capacity(manifest.types.len());
    for one in manifest.types {
        let one = type_of(one)?;
        if types.iter().any(|t| t.name == one.name) {
            return Err(fault(format!("names the type `{}` twice", one.name)));
        }
        if builtin(&one.name).is_some() {
            let (name, by) = (one.name.to_string(), "a built-in model".to_owned());
            return Err(PackageError::TypeTaken { name, by });
        }
        types.push(one);
    }
    Ok(Package { name: manifest.name, version: manifest.version, signer, types })
}

fn type_of(given: TypeIn) -> Result<PackageType, PackageError> {
    label("name of a type", &given.name, MODEL_NAME_MAX)?;
    let fault = |text: &str| PackageError::Manifest(format!("type `{}` {text}", given.name));
    if let Some(other) = given.capabilities.iter().find(|c| !NAMED.contains(c)) {
        return Err(fault(&format!(
            "names the capability {}; say security_encryption and security_authentication instead",
            other.as_str()
        )));
    }
    let secure = given.security_encryption || given.security_authentication;
    let tls_certificate = match given.tls_certificate {
        Some(_) if !secure => {
            return Err(fault(
                "has tls_certificate, but neither security_encryption nor security_authentication",
            ));
        }
        None if secure => return Err(fault("does not say whether tls_certificate is per_device or shared")),
        given => given.unwrap_or_default(),
    };
    if given.trusted && !given.security_encryption {
        return Err(fault("is to be trusted, but has no security_encryption"));
    }
    for feature in &given.secure_call_features {
        label("secure_call_features", feature, MODEL_NAME_MAX)?;
    }
    let mut capabilities = given.capabilities.with(Capability::Digest);
    if secure {
        capabilities = capabilities.with(Capability::Tls).with(Capability::DeviceSecurityMode);
    }
    if given.security_authentication {
        capabilities = capabilities.with(Capability::SecurityAuthentication);
    }
    if given.security_encryption {
        capabilities = capabilities.with(Capability::SecurityEncryption).with(Capability::Srtp);
    }
    Ok(PackageType {
        trusted: given.trusted,
        capabilities,
        tls_certificate,
        features: given.features,
        secure_call_features: given.secure_call_features,
        name: given.name,
    })
}

fn label(what: &str, text: &str, max: usize) -> Result<(), PackageError> {
    let length = text.chars().count();
    let good = (1..=max).contains(&length) && !text.chars().any(char::is_control) && text.trim() == text;
    let limit =
        format!("{what} must have 1 to {max} characters, without control characters and outer blanks");
    if good { Ok(()) } else { Err(PackageError::Manifest(limit)) }
}

#[cfg(test)]
mod tests;
