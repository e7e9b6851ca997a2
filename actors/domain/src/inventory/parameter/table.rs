//! The table of parameters (design §6).

use super::super::RowError;
use super::super::parse::shorten;
use super::ParameterValue;

/// Longest realm, in characters.
const REALM_MAX: usize = 64;

/// Longest time that a parameter may name, in seconds: a week.
const LONG_S: u32 = 604_800;

/// Type and range of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `true` or `false`.
    Bool,
    /// A number of seconds from the first to the second.
    Seconds(u32, u32),
    /// A number of things from the first to the second.
    Count(u32, u32),
    /// One of these.
    Choice(&'static [&'static str]),
    /// One or more of these, each once, in order of preference.
    Choices(&'static [&'static str]),
    /// Text of 1 to so many printable ASCII characters without quotes and backslash.
    Text(usize),
}

/// Default of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    Bool(bool),
    Number(u32),
    Text(&'static str),
    List(&'static [&'static str]),
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name.
    pub name: &'static str,
    /// Type and range.
    pub kind: ParameterType,
    /// What it does, in a sentence or two (R209).
    pub help: &'static str,
    /// A node may have a value of its own, before that of the cluster (R208).
    pub per_node: bool,
    default: Preset,
}

impl ParameterSpec {
    /// The parameter of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PARAMETERS.iter().find(|s| s.name == name)
    }

    /// Its default.
    pub fn default_value(&self) -> ParameterValue {
        match self.default {
            Preset::Bool(b) => ParameterValue::Bool(b),
            Preset::Number(n) => ParameterValue::Number(n),
            Preset::Text(t) => ParameterValue::Text(t.into()),
            Preset::List(l) => ParameterValue::List(l.iter().map(|t| (*t).into()).collect()),
        }
    }

    /// The value is of the type and in the range.
    pub fn takes(&self, value: &ParameterValue) -> bool {
        match (self.kind, value) {
            (ParameterType::Bool, ParameterValue::Bool(_)) => true,
            (
                ParameterType::Seconds(min, max) | ParameterType::Count(min, max),
                ParameterValue::Number(n),
            ) => (min..=max).contains(n),
            (ParameterType::Choice(all), ParameterValue::Text(t)) => all.contains(&&**t),
            (ParameterType::Choices(all), ParameterValue::List(list)) => {
                let known = list.iter().all(|t| all.contains(&&**t));
                let once = list.iter().enumerate().all(|(i, t)| !list[..i].contains(t));
                !list.is_empty() && list.len() <= all.len() && known && once
            }
            (ParameterType::Text(max), ParameterValue::Text(t)) => {
                let printable = t.bytes().all(|b| (0x20..0x7f).contains(&b) && !matches!(b, b'"' | b'\\'));
                !t.is_empty() && t.len() <= max && printable && t.trim() == &**t
            }
            _ => false,
        }
    }

    /// The allowed values in words.
    pub fn allowed(&self) -> String {
        match self.kind {
            ParameterType::Bool => "true or false".to_owned(),
            ParameterType::Seconds(min, max) => format!("{min} to {max} (seconds)"),
            ParameterType::Count(min, max) => format!("{min} to {max}"),
            ParameterType::Choice(all) => format!("one of {}", all.join(", ")),
            ParameterType::Choices(all) => {
                format!("a list of one or more of {}, each once", all.join(", "))
            }
            ParameterType::Text(max) => {
                format!("1 to {max} printable ASCII characters without quotes, backslash and outer blanks")
            }
        }
    }

    pub(super) fn refuse(&self, value: &str) -> RowError {
        RowError::ParameterValue { name: self.name, value: shorten(value), allowed: self.allowed() }
    }
}

const TLS_MENUS: &[&str] = &[
    "strongest_rsa_preferred",
    "strongest_ecdsa_preferred",
    "medium_rsa_preferred",
    "medium_ecdsa_preferred",
    "all_rsa_preferred",
    "all_ecdsa_preferred",
];

/// The forms without `-sess`: what phones know. The others are offered only where somebody asks for them.
const DIGEST_PLAIN: &[&str] = &["SHA-512-256", "SHA-256", "MD5"];
const DIGEST_ALGORITHMS: &[&str] =
    &["SHA-512-256", "SHA-512-256-sess", "SHA-256", "SHA-256-sess", "MD5", "MD5-sess"];

const fn bool(name: &'static str, default: bool, help: &'static str) -> ParameterSpec {
    ParameterSpec { name, kind: ParameterType::Bool, help, per_node: false, default: Preset::Bool(default) }
}

const fn seconds(name: &'static str, default: u32, range: (u32, u32), help: &'static str) -> ParameterSpec {
    let kind = ParameterType::Seconds(range.0, range.1);
    ParameterSpec { name, kind, help, per_node: false, default: Preset::Number(default) }
}

const fn choice(
    name: &'static str,
    default: &'static str,
    all: &'static [&'static str],
    help: &'static str,
) -> ParameterSpec {
    ParameterSpec {
        name,
        kind: ParameterType::Choice(all),
        help,
        per_node: false,
        default: Preset::Text(default),
    }
}

/// All parameters.
pub static PARAMETERS: &[ParameterSpec] = &[
    choice(
        "cluster_security_mode",
        "non_secure",
        &["non_secure", "mixed"],
        "Security mode of the cluster. Authenticated and encrypted profiles have effect in mixed mode only.",
    ),
    ParameterSpec {
        name: "sip_realm_station",
        kind: ParameterType::Text(REALM_MAX),
        help: "Realm of the digest challenges that phones receive. A change makes phones answer anew. A node on which \
               call processing runs may have one of its own: sip_realm_station@NODE.",
        per_node: true,
        default: Preset::Text("ccmsipline"),
    },
    choice(
        "tls_ciphers",
        "all_rsa_preferred",
        TLS_MENUS,
        "TLS suites for SIP and inbound CTI, in order. Strongest and medium leave out what phones in \
         authenticated mode need, so these do not register then.",
    ),
    choice(
        "srtp_ciphers",
        "all",
        &["strongest", "medium", "all"],
        "SRTP suites for media. Choose the same level as in tls_ciphers.",
    ),
    seconds(
        "register_expires_min",
        60,
        (1, LONG_S),
        "Shortest registration in seconds; a phone that asks for less is told this value.",
    ),
    seconds(
        "register_expires_max",
        7200,
        (1, LONG_S),
        "Longest registration in seconds; a request for more gets this.",
    ),
    seconds(
        "register_expires_default",
        3600,
        (1, LONG_S),
        "Registration in seconds for a phone that does not ask for a time.",
    ),
    seconds("no_answer_s", 30, (1, 3600), "How long a call rings, in seconds, before it is given up."),
    seconds(
        "session_expires_s",
        1800,
        (3, 86_400),
        "Session interval (RFC 4028) of a call's legs in seconds: a phone that vanished without a word is \
         noticed, and its call ended, in about half of it.",
    ),
    seconds(
        "min_se_s",
        90,
        (3, 86_400),
        "Shortest session interval in seconds; a phone that asks for less is told this value. RFC 4028 \
         forbids less than 90: lower values are for a laboratory.",
    ),
    bool(
        "auto_registration",
        false,
        "Unknown phones may register; they get the predefined non-secure profile of their model.",
    ),
    bool("dependency_records", true, "Show which devices use a profile, a line or a user."),
    bool(
        "export_controlled_allowed",
        true,
        "Secure trunks are allowed. Off while the licence does not permit them.",
    ),
    choice(
        "mic_tls_policy",
        "warn",
        &["warn", "refuse"],
        "What to do with a phone that uses its manufacturer certificate for TLS, whose root may be compromised.",
    ),
    choice(
        "expired_crl_policy",
        "warn",
        &["warn", "refuse"],
        "What to do with certificates of an authority whose revocation list is past its next update: judge them by \
         the old list and warn, or refuse them until a new list is uploaded.",
    ),
    seconds(
        "apply_grace_s",
        120,
        (0, 86_400),
        "After a profile is applied, registrations under its old version are taken for so many seconds too.",
    ),
    ParameterSpec {
        name: "digest_algorithms",
        kind: ParameterType::Choices(DIGEST_ALGORITHMS),
        help: "Algorithms of digest challenges; they go out strongest first. Phones that know one only need it here.",
        per_node: false,
        default: Preset::List(DIGEST_PLAIN),
    },
    choice(
        "certificate_before_secure_profile",
        "warn",
        &["warn", "refuse"],
        "What to do when a profile that needs a certificate is chosen for a phone of which none is known.",
    ),
    bool(
        "allow_shared_digest_user",
        false,
        "Several phones may have one digest user, and a user may be logged in on several phones. Off, each phone \
         that registers by digest has a user of its own.",
    ),
    choice(
        "weak_keys",
        "warn",
        &["warn", "refuse"],
        "What to do with a security profile whose RSA keys have 512 or 1024 bits.",
    ),
    bool("allow_digest_without_qop", true, "Take digest answers without qop, as very old phones send them."),
    bool(
        "watch_other_lines",
        true,
        "Phones may subscribe to the dialogs of lines that are not theirs (busy lamps).",
    ),
    ParameterSpec {
        name: "audit_keep",
        kind: ParameterType::Count(1000, 10_000_000),
        help: "Entries of the audit that are kept. The oldest beyond them are taken away; what is kept can still be \
               verified.",
        per_node: false,
        default: Preset::Number(100_000),
    },
];
