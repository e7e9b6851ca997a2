//! An operation from its order to its end (R135, R142, R173).

use subtle::ConstantTimeEq;

use super::{Held, Proof, ProofFault, Used, proof_of};
use crate::ids::UnixMillis;
use crate::inventory::{CapfOperation, Secret};
use crate::mode::Protocol;
use crate::profile::CapfMode;

/// Wrong strings after which an operation fails and must be ordered anew (R135).
pub const STRING_ATTEMPTS_MAX: u8 = 3;

/// Seconds after which an operation that was ordered and not finished fails: ten days. A phone makes its
/// key when it has nothing better to do, which may take longer than an hour (R173), and may be off when the
/// order is given.
pub const COMPLETE_WITHIN_S: u64 = 10 * 86_400;

/// The operations that a phone of this protocol takes: all for both (R142; the source leaves `delete` out
/// for SIP).
pub fn operations(protocol: Protocol) -> &'static [CapfOperation] {
    match protocol {
        Protocol::Sip | Protocol::Sccp => &[
            CapfOperation::Install,
            CapfOperation::Upgrade,
            CapfOperation::Delete,
            CapfOperation::Troubleshoot,
        ],
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The phone has not come yet.
    Ordered,
    /// It has come and must show its proof.
    Proving,
    /// It has shown its proof and makes its key, since then (R173: this may take longer than an hour).
    MakingKey(UnixMillis),
    /// Its request for a certificate is here, or nothing but the end is left.
    Closing,
    /// Done.
    Done,
    /// Failed; another order begins anew.
    Failed(Fault),
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Before anything was asked of the phone.
    #[error("{0}")]
    Proof(#[from] ProofFault),
    /// [`STRING_ATTEMPTS_MAX`] wrong strings.
    #[error(
        "the string was wrong {STRING_ATTEMPTS_MAX} times; order the operation again, with another string"
    )]
    StringWrongTooOften,
    /// The phone showed another certificate than the one that counts (R140, R141).
    #[error("the phone showed another certificate than the one that has precedence")]
    OtherCertificate,
    /// [`COMPLETE_WITHIN_S`] are over.
    #[error("the phone did not finish within {} days of the order", COMPLETE_WITHIN_S / 86_400)]
    TooLate,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance<'a> {
    /// The phone connected; what it holds is known.
    Came(Held),
    /// Somebody typed this at the phone.
    Typed(&'a str),
    /// The phone proved that it has the key of this certificate.
    Showed(Used),
    /// The phone sent its request, or what was asked for.
    Sent,
    /// The node has answered, and the phone has taken it.
    Finished,
    /// Nothing but time.
    Tick,
}

/// What a typed string is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StringVerdict {
    /// Right.
    Right,
    /// Wrong; so many attempts are left.
    Wrong(u8),
}

/// One operation on one phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub what: CapfOperation,
    /// How the phone proves itself.
    pub mode: CapfMode,
    /// How far it is.
    pub stage: Stage,
    /// When it was ordered.
    pub ordered: UnixMillis,
    /// The certificate in use, once it is known (R140).
    pub used: Option<Used>,
    string: Option<Secret>,
    wrong: u8,
}

impl Operation {
    /// An operation that was ordered.
    pub fn new(what: CapfOperation, mode: CapfMode, string: Option<Secret>, now: UnixMillis) -> Self {
        Self { what, mode, stage: Stage::Ordered, ordered: now, used: None, string, wrong: 0 }
    }

    /// Takes what happened. What does not belong to the stage changes nothing; after its end nothing does.
    pub fn advance(&mut self, event: Advance<'_>, now: UnixMillis) {
        if matches!(self.stage, Stage::Done | Stage::Failed(_)) {
            return;
        }
        if now >= self.ordered.plus_secs(COMPLETE_WITHIN_S) {
            self.stage = Stage::Failed(Fault::TooLate);
            return;
        }
        self.stage = match (self.stage, event) {
            (Stage::Ordered, Advance::Came(held)) => match proof_of(self.mode, held) {
                Err(fault) => Stage::Failed(fault.into()),
                Ok(Proof::Nothing) => self.proven(now),
                Ok(Proof::AuthenticationString) => Stage::Proving,
                Ok(Proof::Certificate(used)) => {
                    self.used = Some(used);
                    Stage::Proving
                }
            },
            (Stage::Proving, Advance::Typed(text)) if self.mode == CapfMode::AuthenticationString => {
                match self.typed(text) {
                    StringVerdict::Right => self.proven(now),
                    StringVerdict::Wrong(0) => Stage::Failed(Fault::StringWrongTooOften),
                    StringVerdict::Wrong(_) => Stage::Proving,
                }
            }
            (Stage::Proving, Advance::Showed(shown)) if self.used.is_some() => match self.used == Some(shown)
            {
                true => self.proven(now),
                false => Stage::Failed(Fault::OtherCertificate),
            },
            (Stage::MakingKey(_), Advance::Sent) => Stage::Closing,
            (Stage::Closing, Advance::Finished) => Stage::Done,
            (stage, _) => stage,
        };
    }

    /// Seconds for which the phone has been making its key, for whoever watches (R173).
    pub fn making_key_s(&self, now: UnixMillis) -> Option<u64> {
        match self.stage {
            Stage::MakingKey(since) => Some(now.secs_after(since)),
            _ => None,
        }
    }

    /// Attempts at the string that are left.
    pub fn attempts_left(&self) -> u8 {
        STRING_ATTEMPTS_MAX.saturating_sub(self.wrong)
    }

    fn typed(&mut self, text: &str) -> StringVerdict {
        // No string was set: no text is right.
        let right = self.string.as_ref().is_some_and(|s| s.expose().as_bytes().ct_eq(text.as_bytes()).into());
        if right {
            return StringVerdict::Right;
        }
        self.wrong = self.wrong.saturating_add(1);
        StringVerdict::Wrong(self.attempts_left())
    }

    fn proven(&self, now: UnixMillis) -> Stage {
        match self.what {
            CapfOperation::Install | CapfOperation::Upgrade => Stage::MakingKey(now),
            CapfOperation::Delete | CapfOperation::Troubleshoot | CapfOperation::None => Stage::Closing,
        }
    }
}
