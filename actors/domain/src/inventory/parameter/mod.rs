//! Cluster parameters: one table of names, types, defaults, ranges and help (R209), and the values in
//! force as a plain struct.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cipher::{SrtpCiphers, TlsCiphers};
use crate::digest::Algorithm;
use crate::mode::ClusterMode;

use super::parse::{did_you_mean, shorten};
use super::rows::Tag;
use super::{Inventory, RowError};

mod table;

pub use table::{PARAMETERS, ParameterSpec, ParameterType};

/// A policy that may warn or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Allow, with a warning.
    Warn,
    /// Refuse, unless forced.
    Refuse,
}

/// The menu of TLS suites (R121–R127).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMenu {
    /// AES-256-GCM only, RSA first.
    StrongestRsaPreferred,
    /// AES-256-GCM only, ECDSA first.
    StrongestEcdsaPreferred,
    /// Both AES-GCM, RSA first.
    MediumRsaPreferred,
    /// Both AES-GCM, ECDSA first.
    MediumEcdsaPreferred,
    /// Medium and the legacy suite last, RSA first.
    AllRsaPreferred,
    /// Medium and the legacy suite last, ECDSA first.
    AllEcdsaPreferred,
}

impl From<TlsMenu> for TlsCiphers {
    fn from(menu: TlsMenu) -> Self {
        match menu {
            TlsMenu::StrongestRsaPreferred => Self::StrongestRsaPreferred,
            TlsMenu::StrongestEcdsaPreferred => Self::StrongestEcdsaPreferred,
            TlsMenu::MediumRsaPreferred => Self::MediumRsaPreferred,
            TlsMenu::MediumEcdsaPreferred => Self::MediumEcdsaPreferred,
            TlsMenu::AllRsaPreferred => Self::AllRsaPreferred,
            TlsMenu::AllEcdsaPreferred => Self::AllEcdsaPreferred,
        }
    }
}

/// The menu of SRTP suites (R128, R129).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpMenu {
    /// AEAD AES-256 GCM.
    Strongest,
    /// Both AEAD AES-GCM.
    Medium,
    /// AES-CM too.
    All,
}

impl From<SrtpMenu> for SrtpCiphers {
    fn from(menu: SrtpMenu) -> Self {
        match menu {
            SrtpMenu::Strongest => Self::Strongest,
            SrtpMenu::Medium => Self::Medium,
            SrtpMenu::All => Self::All,
        }
    }
}

/// All parameters with the values in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Non-secure on a fresh install (R001).
    pub cluster_security_mode: ClusterMode,
    /// Realm of challenges to phones (R207).
    pub sip_realm_station: Arc<str>,
    /// TLS suites.
    pub tls_ciphers: TlsMenu,
    /// SRTP suites.
    pub srtp_ciphers: SrtpMenu,
    /// Shortest expiry granted, in seconds.
    pub register_expires_min: u32,
    /// Longest expiry granted, in seconds.
    pub register_expires_max: u32,
    /// Expiry granted when none is asked for, in seconds.
    pub register_expires_default: u32,
    /// How long a call rings, in seconds.
    pub no_answer_s: u32,
    /// Session interval asked for (RFC 4028), in seconds.
    pub session_expires_s: u32,
    /// Shortest session interval taken, in seconds.
    pub min_se_s: u32,
    /// Unknown phones may register (R212).
    pub auto_registration: bool,
    /// Dependency records are shown (R187).
    pub dependency_records: bool,
    /// Secure trunks are allowed (R190).
    pub export_controlled_allowed: bool,
    /// TLS with nothing but a manufacturer certificate (R111).
    pub mic_tls_policy: Policy,
    /// Certificates of an authority whose revocation list is out of date.
    pub expired_crl_policy: Policy,
    /// How long the old profile version is taken as well after an apply, in seconds.
    pub apply_grace_s: u32,
    /// Algorithms of challenges, which go out strongest first whatever the order here.
    pub digest_algorithms: Arc<[Algorithm]>,
    /// Secure profile for a phone of which no certificate is known (R181).
    pub certificate_before_secure_profile: Policy,
    /// Several phones may have one digest user (R196).
    pub allow_shared_digest_user: bool,
    /// RSA keys of 512 and 1024 bits in profiles (R146).
    pub weak_keys: Policy,
    /// Accept RFC 2069 answers without qop.
    pub allow_digest_without_qop: bool,
    /// Phones may watch the dialogs of other lines.
    pub watch_other_lines: bool,
    /// Entries of the audit that are kept.
    pub audit_keep: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        let mut all = Self {
            cluster_security_mode: ClusterMode::NonSecure,
            sip_realm_station: Arc::from(""),
            tls_ciphers: TlsMenu::AllRsaPreferred,
            srtp_ciphers: SrtpMenu::All,
            register_expires_min: 0,
            register_expires_max: 0,
            register_expires_default: 0,
            no_answer_s: 0,
            session_expires_s: 0,
            min_se_s: 0,
            auto_registration: false,
            dependency_records: true,
            export_controlled_allowed: true,
            mic_tls_policy: Policy::Warn,
            expired_crl_policy: Policy::Warn,
            apply_grace_s: 0,
            digest_algorithms: Arc::from([]),
            certificate_before_secure_profile: Policy::Warn,
            allow_shared_digest_user: false,
            weak_keys: Policy::Warn,
            allow_digest_without_qop: true,
            watch_other_lines: true,
            audit_keep: 0,
        };
        // The table is the one place that knows the defaults.
        for spec in PARAMETERS {
            all.assign(spec, &spec.default_value());
        }
        all
    }
}

impl Parameters {
    /// Puts a checked value in force.
    pub(super) fn set(&mut self, row: &ParameterRow) {
        // What one node has of its own is put in force by `Inventory::settle_nodes`.
        if row.node.is_none() {
            self.assign(row.spec, &row.value);
        }
    }

    /// Puts the default of a parameter in force.
    pub(super) fn reset(&mut self, spec: &ParameterSpec) {
        self.assign(spec, &spec.default_value());
    }

    /// The SRTP menu is the one that goes with the TLS menu, as far as one is recommended: the source recommends
    /// nothing for `all_*` (R128, R129).
    pub(super) fn srtp_as_recommended(&self) -> bool {
        match TlsCiphers::from(self.tls_ciphers).recommended_srtp() {
            SrtpCiphers::All => true,
            recommended => recommended == SrtpCiphers::from(self.srtp_ciphers),
        }
    }

    /// Checks the parameters against each other.
    pub(super) fn check(&self) -> Result<(), RowError> {
        let (min, default, max) =
            (self.register_expires_min, self.register_expires_default, self.register_expires_max);
        if min <= default && default <= max {
            return Ok(());
        }
        Err(RowError::ParameterConflict(format!(
            "register_expires_min {min}, register_expires_default {default} and register_expires_max {max} \
             must be in this order"
        )))
    }

    fn assign(&mut self, spec: &ParameterSpec, value: &ParameterValue) {
        let number = value.number();
        let on = *value == ParameterValue::Bool(true);
        let text = value.text();
        let policy = if text == "refuse" { Policy::Refuse } else { Policy::Warn };
        match spec.name {
            "cluster_security_mode" => {
                let mixed = text == "mixed";
                self.cluster_security_mode = if mixed { ClusterMode::Mixed } else { ClusterMode::NonSecure };
            }
            "sip_realm_station" => self.sip_realm_station = Arc::from(text),
            "tls_ciphers" => self.tls_ciphers = tls_menu(text),
            "srtp_ciphers" => {
                self.srtp_ciphers = match text {
                    "strongest" => SrtpMenu::Strongest,
                    "medium" => SrtpMenu::Medium,
                    _ => SrtpMenu::All,
                }
            }
            "register_expires_min" => self.register_expires_min = number,
            "register_expires_max" => self.register_expires_max = number,
            "register_expires_default" => self.register_expires_default = number,
            "no_answer_s" => self.no_answer_s = number,
            "session_expires_s" => self.session_expires_s = number,
            "min_se_s" => self.min_se_s = number,
            "auto_registration" => self.auto_registration = on,
            "dependency_records" => self.dependency_records = on,
            "export_controlled_allowed" => self.export_controlled_allowed = on,
            "mic_tls_policy" => self.mic_tls_policy = policy,
            "expired_crl_policy" => self.expired_crl_policy = policy,
            "apply_grace_s" => self.apply_grace_s = number,
            "digest_algorithms" => {
                self.digest_algorithms = value.list().filter_map(Algorithm::parse).collect()
            }
            "certificate_before_secure_profile" => self.certificate_before_secure_profile = policy,
            "allow_shared_digest_user" => self.allow_shared_digest_user = on,
            "weak_keys" => self.weak_keys = policy,
            "allow_digest_without_qop" => self.allow_digest_without_qop = on,
            "watch_other_lines" => self.watch_other_lines = on,
            "audit_keep" => self.audit_keep = number,
            name => debug_assert!(false, "parameter {name} has no field"),
        }
    }
}

fn tls_menu(text: &str) -> TlsMenu {
    match text {
        "strongest_rsa_preferred" => TlsMenu::StrongestRsaPreferred,
        "strongest_ecdsa_preferred" => TlsMenu::StrongestEcdsaPreferred,
        "medium_rsa_preferred" => TlsMenu::MediumRsaPreferred,
        "medium_ecdsa_preferred" => TlsMenu::MediumEcdsaPreferred,
        "all_ecdsa_preferred" => TlsMenu::AllEcdsaPreferred,
        _ => TlsMenu::AllRsaPreferred,
    }
}

/// The value of a parameter, as in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// A switch.
    Bool(bool),
    /// A number.
    Number(u32),
    /// A text or a choice.
    Text(Box<str>),
    /// Choices in order.
    List(Vec<Box<str>>),
}

impl ParameterValue {
    fn number(&self) -> u32 {
        if let Self::Number(n) = self { *n } else { 0 }
    }

    fn text(&self) -> &str {
        if let Self::Text(t) = self { t } else { "" }
    }

    fn list(&self) -> impl Iterator<Item = &str> {
        let all = if let Self::List(l) = self { l.as_slice() } else { &[] };
        all.iter().map(|t| &**t)
    }
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => write!(f, "\"{t}\""),
            Self::List(l) => write!(f, "{l:?}"),
        }
    }
}

/// `parameter`: a known name and a value of its type and range, for the cluster or for one node (R208).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterRow {
    spec: &'static ParameterSpec,
    node: Option<Box<str>>,
    value: ParameterValue,
}

/// The row as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterShape {
    #[serde(default, rename = "kind")]
    _tag: Tag,
    name: String,
    #[serde(default)]
    node: Option<String>,
    value: serde_json::Value,
}

impl ParameterRow {
    /// A checked row. `key` is the name of a parameter, or `name@node` where nodes may differ.
    pub fn new(key: &str, value: ParameterValue) -> Result<Self, RowError> {
        let (spec, node) = addressed(key)?;
        if spec.takes(&value) {
            return Ok(Self { spec, node: node.map(Box::from), value });
        }
        Err(spec.refuse(&value.to_string()))
    }

    pub(super) fn from_shape(shape: ParameterShape) -> Result<Self, RowError> {
        let key = match shape.node {
            Some(node) if !shape.name.contains(AT) => format!("{}{AT}{node}", shape.name),
            Some(node) if shape.name.split_once(AT).is_some_and(|(_, named)| named != node) => {
                return Err(RowError::ParameterConflict(format!(
                    "the name is `{}` and the node `{}`",
                    shorten(&shape.name),
                    shorten(&node)
                )));
            }
            _ => shape.name,
        };
        match ParameterValue::deserialize(&shape.value) {
            Ok(value) => Self::new(&key, value),
            // No type of parameter: a negative number, an object…
            Err(_) => Err(addressed(&key)?.0.refuse(&shape.value.to_string())),
        }
    }

    /// Its key: the name, with `@node` behind it where it is for one node.
    pub fn key(&self) -> String {
        match &self.node {
            Some(node) => format!("{}{AT}{node}", self.spec.name),
            None => self.spec.name.to_owned(),
        }
    }

    /// The node it is for; `None` for all.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Its line in the table.
    pub fn spec(&self) -> &'static ParameterSpec {
        self.spec
    }

    /// Its value.
    pub fn value(&self) -> &ParameterValue {
        &self.value
    }
}

/// Between the name of a parameter and that of a node.
const AT: char = '@';

/// Longest name of a node, in characters: it must fit a certificate's common name.
pub const NODE_NAME_MAX: usize = 64;

/// 1 to [`NODE_NAME_MAX`] letters, digits, `-`, `_` and `.`.
pub fn is_node_name(text: &str) -> bool {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= NODE_NAME_MAX && text.chars().all(right)
}

/// The parameter and the node that a key names.
pub(super) fn addressed(key: &str) -> Result<(&'static ParameterSpec, Option<&str>), RowError> {
    let (name, node) = match key.split_once(AT) {
        Some((name, node)) => (name, Some(node)),
        None => (key, None),
    };
    let Some(spec) = ParameterSpec::named(name) else {
        let known = PARAMETERS.iter().map(|s| s.name);
        return Err(RowError::ParameterUnknown { name: shorten(key), hint: did_you_mean(name, known) });
    };
    match node {
        None => Ok((spec, None)),
        Some(node) if spec.per_node && is_node_name(node) => Ok((spec, Some(node))),
        Some(node) if spec.per_node => Err(RowError::NodeName { name: shorten(node) }),
        Some(node) => Err(RowError::ParameterOfCluster { name: spec.name, node: shorten(node) }),
    }
}

impl Inventory {
    /// Says which nodes run call processing, the own one first: parameters that a node may have of its own
    /// are taken for these only (R208), and those of the first are in force.
    pub fn serve_on(&mut self, nodes: &[&str]) {
        self.nodes = nodes.iter().map(|&node| node.into()).collect();
        self.settle_nodes();
    }

    /// The nodes that run call processing, the own one first.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| &**node)
    }

    /// A value for a node is taken where call processing runs.
    pub(super) fn check_node(&self, row: &ParameterRow) -> Result<(), RowError> {
        match row.node() {
            Some(node) if !self.nodes().any(|active| active == node) => Err(RowError::NodeInactive {
                name: row.spec.name,
                node: node.to_owned(),
                active: self.nodes.join(", "),
            }),
            _ => Ok(()),
        }
    }

    /// Puts in force what holds on this node: its own value, else that of the cluster, else the default.
    pub(super) fn settle_nodes(&mut self) {
        for spec in PARAMETERS.iter().filter(|spec| spec.per_node) {
            let own = self.nodes.first().and_then(|node| self.set.get(&*format!("{}{AT}{node}", spec.name)));
            match own.or_else(|| self.set.get(spec.name)) {
                Some(value) => self.parameters.assign(spec, value),
                None => self.parameters.reset(spec),
            }
        }
    }
}
