//! What a model and protocol offer: every field of a profile with its values and conditions, and what a
//! phone of the model can be told.

use crate::hardening;
use crate::mode::{DeviceSecurityMode, Protocol};
use crate::model::{Capability, Model, Topic, VendorClass};

use super::super::CapfOperation;
use super::field::{Field, Value};
use super::{
    EC_KEY_SIZE_DEFAULT, EC_KEY_SIZES, NONCE_VALIDITY_DEFAULT_S, NONCE_VALIDITY_S, RSA_KEY_SIZE_DEFAULT,
    RSA_KEY_SIZE_LEGACY_SIP, RSA_KEY_SIZES, RSA_WEAK_MAX, SIP_PHONE_PORT_DEFAULT,
};

/// A key size that a model is not known to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bits.
    pub bits: u32,
    /// The model is known to support it, or nobody says (`None`).
    pub supported: Option<bool>,
    /// Weak (R146, R172): a warning, or refused under the policy `weak_keys`.
    pub weak: bool,
}

/// The values that a field may have, before conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// On or off.
    Bool,
    /// One of these, the preferred one first.
    Choice(Vec<&'static str>),
    /// One of these sizes.
    Sizes(Vec<Size>),
    /// From the first to the second.
    Range(u32, u32),
}

impl Values {
    /// Holds the value.
    pub fn has(&self, value: Value) -> bool {
        match (self, value) {
            (Self::Bool, Value::Bool(_)) => true,
            (Self::Choice(all), Value::Text(text)) => all.contains(&text),
            (Self::Sizes(all), Value::Number(n)) => all.iter().any(|size| size.bits == n),
            (Self::Range(min, max), Value::Number(n)) => (*min..=*max).contains(&n),
            _ => false,
        }
    }

    /// The values in words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Bool => "true, false".to_owned(),
            Self::Choice(all) => all.join(", "),
            Self::Sizes(all) => all.iter().map(|s| s.bits.to_string()).collect::<Vec<_>>().join(", "),
            Self::Range(min, max) => format!("{min} to {max}"),
        }
    }
}

/// What must hold of other fields where this one has one of some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The values of this field that it is about.
    pub values: &'static [Value],
    /// All of these must hold: the other field has one of the values.
    pub needs: &'static [(Field, &'static [Value])],
}

/// A field that a model and protocol have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldOption {
    /// Which.
    pub field: Field,
    /// What it may be.
    pub values: Values,
    /// What it is when left out; where a condition speaks against it, the first value that none speaks
    /// against.
    pub default: Value,
    /// What else must hold.
    pub conditions: &'static [Condition],
    /// Where the field means something; elsewhere its value waits.
    pub applies: &'static [(Field, &'static [Value])],
    /// The default that the source gives, where ours is a safer one (R172).
    pub legacy_default: Option<Value>,
}

/// A field that a model and protocol do not have (R097).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub field: Field,
    /// The one value that may be written all the same, because it says no more than leaving it out.
    pub accepts: Option<Value>,
    /// What it is in force.
    pub value: Value,
    /// Why the field is not there.
    pub reason: &'static str,
}

/// What can be told to a phone of a model, besides its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneOptions {
    /// Switches with their meaning on the model: `None` where no source says (R032). Those that are known
    /// to mean nothing are left out.
    pub switches: Vec<(&'static str, Option<bool>)>,
    /// CAPF operations (R054, R142); none where the model has no CAPF.
    pub capf_operations: &'static [CapfOperation],
}

/// What a model and protocol offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    fields: [Result<FieldOption, Absent>; Field::ALL.len()],
}

impl Options {
    /// The option of a field.
    ///
    /// # Errors
    /// The model does not have it, and why.
    pub fn field(&self, field: Field) -> Result<&FieldOption, &Absent> {
        self.fields[field as usize].as_ref()
    }

    /// The model has the field.
    pub fn has(&self, field: Field) -> bool {
        self.field(field).is_ok()
    }

    /// The fields that it has.
    pub fn fields(&self) -> impl Iterator<Item = &FieldOption> {
        self.fields.iter().filter_map(|f| f.as_ref().ok())
    }

    /// The fields that it does not have.
    pub fn absent(&self) -> impl Iterator<Item = &Absent> {
        self.fields.iter().filter_map(|f| f.as_ref().err())
    }
}

const NON_SECURE: Value = Value::Text(DeviceSecurityMode::NonSecure.as_str());
const AUTHENTICATED: Value = Value::Text(DeviceSecurityMode::Authenticated.as_str());
const ENCRYPTED: Value = Value::Text(DeviceSecurityMode::Encrypted.as_str());
const TLS: Value = Value::Text("tls");
const OFF: Value = Value::Bool(false);
const ON: Value = Value::Bool(true);

/// R158, R160: the mode decides about TLS.
const TRANSPORT_CONDITIONS: &[Condition] = &[
    Condition {
        values: &[Value::Text("tcp_udp"), Value::Text("tcp"), Value::Text("udp")],
        needs: &[(Field::DeviceSecurityMode, &[NON_SECURE])],
    },
    Condition { values: &[TLS], needs: &[(Field::DeviceSecurityMode, &[AUTHENTICATED, ENCRYPTED])] },
];

/// R166, R168.
const OAUTH_CONDITIONS: &[Condition] = &[Condition {
    values: &[ON],
    needs: &[
        (Field::DeviceSecurityMode, &[ENCRYPTED]),
        (Field::Transport, &[TLS]),
        (Field::DigestAuthentication, &[OFF]),
        (Field::TftpEncryptedConfig, &[OFF]),
    ],
}];

const WITH_DIGEST: &[(Field, &[Value])] = &[(Field::DigestAuthentication, &[ON])];
/// R174.
const WITH_UDP: &[(Field, &[Value])] = &[(Field::Transport, &[Value::Text("udp"), Value::Text("tcp_udp")])];
const WITH_RSA: &[(Field, &[Value])] =
    &[(Field::KeyOrder, &[Value::Text("rsa_only"), Value::Text("ec_preferred_rsa_backup")])];
const WITH_EC: &[(Field, &[Value])] =
    &[(Field::KeyOrder, &[Value::Text("ec_only"), Value::Text("ec_preferred_rsa_backup")])];

/// What `model` offers on `protocol`. For a protocol that the model does not speak the answer is as if it
/// did; [`super::resolve`] refuses that first.
pub fn options(model: &Model, protocol: Protocol) -> Options {
    let fields = Field::ALL.map(|field| offer(model, protocol, field));
    Options { fields }
}

fn offer(model: &Model, protocol: Protocol, field: Field) -> Result<FieldOption, Absent> {
    let own = model.vendor_class == VendorClass::Own;
    let sip = protocol == Protocol::Sip;
    let capf = own && model.can(Capability::Capf);
    let modes = modes(model);
    let plain = |values, default| FieldOption {
        field,
        values,
        default,
        conditions: &[],
        applies: &[],
        legacy_default: None,
    };
    let absent = |accepts: Option<Value>, value, reason| Absent { field, accepts, value, reason };
    // What a switch that is off, or a number at its default, says is what leaving it out says.
    let neutral = |value, reason| absent(Some(value), value, reason);
    match field {
        Field::DeviceSecurityMode if modes.len() > 1 => Ok(plain(Values::Choice(modes), NON_SECURE)),
        Field::DeviceSecurityMode => {
            Err(neutral(NON_SECURE, "the model supports no security mode (R067, R098)"))
        }
        Field::Transport => {
            let (all, conditions): (Vec<_>, &'static [Condition]) = match (sip, modes.len() > 1) {
                (true, true) => (vec!["tcp_udp", "tcp", "udp", "tls"], TRANSPORT_CONDITIONS),
                (true, false) => (vec!["udp"], &[]),
                (false, true) => (vec!["tcp", "tls"], TRANSPORT_CONDITIONS),
                (false, false) => (vec!["tcp"], &[]),
            };
            let default = Value::Text(all[0]);
            Ok(FieldOption { conditions, ..plain(Values::Choice(all), default) })
        }
        Field::DigestAuthentication if sip && model.can(Capability::Digest) => Ok(plain(Values::Bool, OFF)),
        Field::DigestAuthentication => Err(neutral(OFF, "digest authentication is SIP's")),
        Field::NonceValidityS => {
            let default = Value::Number(NONCE_VALIDITY_DEFAULT_S);
            let (min, max) = NONCE_VALIDITY_S;
            match sip {
                true => Ok(FieldOption { applies: WITH_DIGEST, ..plain(Values::Range(min, max), default) }),
                false => Err(neutral(default, "digest authentication is SIP's")),
            }
        }
        Field::TftpEncryptedConfig if own && model.can(Capability::EncryptedConfig) => {
            Ok(plain(Values::Bool, OFF))
        }
        Field::TftpEncryptedConfig => {
            Err(neutral(OFF, "the model is not known to take encrypted configuration files (R064, R164)"))
        }
        Field::OauthAuthentication if sip && modes.contains(&"encrypted") && model.can(Capability::Oauth) => {
            Ok(FieldOption { conditions: OAUTH_CONDITIONS, ..plain(Values::Bool, OFF) })
        }
        Field::OauthAuthentication => Err(neutral(OFF, "the model is not known to support SIP OAuth (R169)")),
        Field::ExcludeDigestCredentials if sip && model.can(Capability::ManualDigest) => {
            Ok(FieldOption { applies: WITH_DIGEST, ..plain(Values::Bool, OFF) })
        }
        Field::ExcludeDigestCredentials => {
            Err(neutral(OFF, "only models into which credentials are typed have it, on SIP (R170)"))
        }
        Field::SipPhonePort => {
            let default = Value::Number(SIP_PHONE_PORT_DEFAULT.into());
            let values = Values::Range(1, u16::MAX.into());
            match sip {
                true => Ok(FieldOption { applies: WITH_UDP, ..plain(values, default) }),
                false => Err(neutral(default, "it is the port of SIP phones (R174)")),
            }
        }
        Field::CapfAuthenticationMode | Field::KeyOrder | Field::RsaKeySize | Field::EcKeySize => {
            let found = certificate_field(model, protocol, field);
            let reason = "CAPF is for own-brand models that are known to have it (R054, R171)";
            if capf { Ok(found) } else { Err(absent(None, found.default, reason)) }
        }
    }
}

fn certificate_field(model: &Model, protocol: Protocol, field: Field) -> FieldOption {
    let plain = |values, default| FieldOption {
        field,
        values,
        default,
        conditions: &[],
        applies: &[],
        legacy_default: None,
    };
    // A size that the model is known to lack is not offered; of the others each says what is known.
    let sizes = |all: &[u32], topic: fn(u32) -> Option<Topic>| {
        let size = |bits: &u32| {
            let supported = topic(*bits).and_then(|t| model.fact(t).value);
            let weak = topic(*bits) == Topic::rsa(*bits) && *bits <= RSA_WEAK_MAX;
            (supported != Some(false)).then_some(Size { bits: *bits, supported, weak })
        };
        all.iter().filter_map(size).collect::<Vec<_>>()
    };
    let preferred = |all: &[Size], wanted: u32| {
        let found = all.iter().map(|s| s.bits).find(|bits| *bits == wanted);
        Value::Number(found.or(all.last().map(|s| s.bits)).unwrap_or(wanted))
    };
    match field {
        Field::CapfAuthenticationMode => {
            let modes = [
                "authentication_string",
                "null_string",
                "existing_certificate_lsc",
                "existing_certificate_mic",
            ];
            plain(Values::Choice(modes.to_vec()), Value::Text(modes[0]))
        }
        Field::KeyOrder => {
            let mut orders = vec!["rsa_only", "ec_only", "ec_preferred_rsa_backup"];
            if model.fact(Topic::EcKeys).value == Some(false) {
                // The backup serves such a phone (R144), EC alone never could.
                orders.retain(|order| *order != "ec_only");
            }
            plain(Values::Choice(orders), Value::Text("rsa_only"))
        }
        Field::EcKeySize => {
            let all = sizes(&EC_KEY_SIZES, Topic::ec);
            let default = preferred(&all, EC_KEY_SIZE_DEFAULT);
            FieldOption { applies: WITH_EC, ..plain(Values::Sizes(all), default) }
        }
        _ => {
            let all = sizes(&RSA_KEY_SIZES, Topic::rsa);
            let default = preferred(&all, RSA_KEY_SIZE_DEFAULT);
            let legacy = (protocol == Protocol::Sip).then_some(Value::Number(RSA_KEY_SIZE_LEGACY_SIP));
            FieldOption { applies: WITH_RSA, legacy_default: legacy, ..plain(Values::Sizes(all), default) }
        }
    }
}

/// The modes that a model's profiles may have, non-secure first (R067, R070).
fn modes(model: &Model) -> Vec<&'static str> {
    let mut all = vec![DeviceSecurityMode::NonSecure.as_str()];
    if model.can(Capability::DeviceSecurityMode) {
        for (topic, mode) in [
            (Topic::SecurityAuthentication, DeviceSecurityMode::Authenticated),
            (Topic::SecurityEncryption, DeviceSecurityMode::Encrypted),
        ] {
            if model.fact(topic).value == Some(true) {
                all.push(mode.as_str());
            }
        }
    }
    all
}

impl PhoneOptions {
    /// What can be told to a phone of the model; CAPF's operations are the same on both protocols (R142).
    pub fn of(model: &Model) -> Self {
        let switches = hardening::switches()
            .map(|name| (name, hardening::meaning(model, name)))
            .filter(|(_, meaning)| *meaning != Some(false))
            .collect();
        let capf = model.vendor_class == VendorClass::Own && model.can(Capability::Capf);
        Self { switches, capf_operations: if capf { &CapfOperation::ALL } else { &[] } }
    }
}
