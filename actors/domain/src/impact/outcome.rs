//! The answer: counts, and the first names of each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::{DeviceName, Dn};
use crate::mode::{DeviceSecurityMode, SecurityClass};

/// Most names of one list; the rest is counted.
pub const NAMES_MAX: usize = 1000;

/// A list that is cut after [`NAMES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Some1000<T> {
    /// How many there are.
    pub count: u64,
    /// The first ones.
    pub first: Vec<T>,
}

impl<T> Default for Some1000<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Some1000<T> {
    /// One more; it is made only if there is room for it.
    pub fn add(&mut self, one: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < NAMES_MAX {
            self.first.push(one());
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A phone that gets another device security mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModeChange {
    /// The phone.
    pub phone: DeviceName,
    /// What it is judged by now.
    pub from: DeviceSecurityMode,
    /// And afterwards, once it is applied.
    pub to: DeviceSecurityMode,
}

/// A registered phone that could not register any more as it does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The phone.
    pub phone: DeviceName,
    /// Cause as in a refusal; `phone_removed` when it is deleted, `cipher_policy` when no suite is left that
    /// its mode takes.
    pub cause: &'static str,
    /// The same in words.
    pub text: &'static str,
}

/// A line that encrypted phones share with others (R015).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MixedLine {
    /// The line.
    pub line: Dn,
    /// Devices set to encrypted.
    pub encrypted: Some1000<DeviceName>,
    /// Devices that are not.
    pub offending: Some1000<DeviceName>,
}

/// A call in progress that would fall to a lower class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallLoss {
    /// The call.
    pub call: String,
    /// Its class now.
    pub from: SecurityClass,
    /// And afterwards.
    pub to: SecurityClass,
    /// The legs that keep it there.
    pub devices: Vec<DeviceName>,
}

/// A phone whose profile asks for an RSA key that is weak (R146), or that its model is not known to make (R148).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyOfPhone {
    /// The phone.
    pub phone: DeviceName,
    /// Its model.
    pub model: Box<str>,
    /// The key's length.
    pub bits: u32,
    /// Whether its model makes such keys; `None`: that is not known.
    pub supported: Option<bool>,
}

/// Something that is worth knowing whoever is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Stable code.
    pub code: &'static str,
    /// What it means.
    pub text: &'static str,
}

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Impact {
    /// Phones that the change touches.
    pub phones: u64,
    /// How many of them are registered now.
    pub registered: u64,
    /// Phones that change their device security mode.
    pub mode_changes: Some1000<ModeChange>,
    /// Registered phones that could not register any more as they do now.
    pub would_fail: Some1000<Failure>,
    /// The same by cause.
    pub would_fail_by_cause: BTreeMap<&'static str, u64>,
    /// Registered phones that would be asked for digest credentials, which they have not shown so far.
    pub asked_for_digest: Some1000<DeviceName>,
    /// Registered phones whose certificate has not been seen since the start of the node: nothing can be said.
    pub unknown: Some1000<DeviceName>,
    /// Shared lines that become mixed, or more so (R015).
    pub mixed_lines: Some1000<MixedLine>,
    /// Calls in progress that lose their lock or shield.
    pub calls_losing_class: Some1000<CallLoss>,
    /// Phones in authenticated mode, for which the TLS menu would have no suite (R130).
    pub cipher_policy: Some1000<DeviceName>,
    /// Phones whose web pages would be off (R023).
    pub web_access_off: Some1000<DeviceName>,
    /// Phones that would have no RSA key for which their encrypted configuration file could be made (R064, R144).
    pub encrypted_config_needs_rsa: Some1000<DeviceName>,
    /// Phones whose profile asks for more than 2048 bits, which their model is not known to make (R148).
    pub long_rsa_keys: Some1000<KeyOfPhone>,
    /// Phones whose profile asks for 512 or 1024 bits (R146).
    pub weak_rsa_keys: Some1000<KeyOfPhone>,
    /// Phones that may not register where the call-processing certificate has an RSA key of more than 2048 bits
    /// (R147).
    pub small_server_key_only: Some1000<DeviceName>,
    /// What else is worth knowing.
    pub notes: Vec<Note>,
}

impl Impact {
    /// Nothing changes for anybody who is registered, calls or shares a line.
    pub fn is_harmless(&self) -> bool {
        self.would_fail.is_empty()
            && self.asked_for_digest.is_empty()
            && self.mixed_lines.is_empty()
            && self.calls_losing_class.is_empty()
            && self.cipher_policy.is_empty()
            && self.web_access_off.is_empty()
            && self.encrypted_config_needs_rsa.is_empty()
            && self.long_rsa_keys.is_empty()
            && self.weak_rsa_keys.is_empty()
            && self.small_server_key_only.is_empty()
    }
}
