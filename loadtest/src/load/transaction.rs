//! The client transactions of simulated phones (RFC 3261 §17.1), stripped to what load needs.

use super::core::{Purpose, T1, T2};
use super::text::TxId;

/// Methods that phones send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Method {
    #[default]
    Register,
    Options,
    Invite,
    Cancel,
    Bye,
    /// Never in a transaction.
    Ack,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Method::Register => "REGISTER",
            Method::Options => "OPTIONS",
            Method::Invite => "INVITE",
            Method::Cancel => "CANCEL",
            Method::Bye => "BYE",
            Method::Ack => "ACK",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Sent, nothing heard.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// INVITE: refused and acknowledged; `bytes` is the ACK.
    Completed,
}

pub(super) struct Tx {
    pub generation: u32,
    pub state: State,
    pub purpose: Purpose,
    /// The request, or the ACK of a refused INVITE.
    pub bytes: String,
    /// When the next copy goes out; never on streams.
    pub resend_at: u64,
    /// When it is given up.
    pub end_at: u64,
    /// The CANCEL of this INVITE. Its slot may serve another transaction meanwhile.
    pub cancel: Option<TxId>,
    interval: u64,
}

impl Default for Tx {
    fn default() -> Tx {
        let purpose = Purpose { phone: 0, method: Method::Register, item: 0, intended: 0, tries: 0 };
        let bytes = String::with_capacity(768);
        Tx {
            generation: 0,
            state: State::Free,
            purpose,
            bytes,
            resend_at: 0,
            end_at: 0,
            cancel: None,
            interval: T1,
        }
    }
}

impl Tx {
    /// Starts the timers of a request that was sent at `now`.
    pub(super) fn begin(&mut self, purpose: Purpose, now: u64, patience: u64, reliable: bool) {
        self.state = State::Trying;
        self.purpose = purpose;
        self.interval = T1;
        self.resend_at = if reliable { u64::MAX } else { now + T1 };
        self.end_at = now + patience;
        self.cancel = None;
    }

    /// When to look at it next.
    pub(super) fn due(&self) -> u64 {
        self.resend_at.min(self.end_at)
    }

    /// Moves on to the next copy (timers A and E); `false` when none is to be sent now.
    pub(super) fn repeat(&mut self, now: u64) -> bool {
        let invite = self.purpose.method == Method::Invite;
        if invite && self.state == State::Proceeding {
            self.resend_at = u64::MAX;
            return false;
        }
        self.interval = match self.state {
            State::Proceeding => T2,
            _ if invite => self.interval * 2,
            _ => (self.interval * 2).min(T2),
        };
        self.resend_at = now + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(method: Method, proceed_after: usize) -> Vec<u64> {
        let mut tx = Tx::default();
        tx.begin(Purpose { method, ..tx.purpose }, 0, 64 * T1, false);
        let (mut times, mut now) = (Vec::new(), 0);
        while tx.end_at > now {
            now = tx.due();
            if tx.resend_at <= now && tx.end_at > now {
                if times.len() == proceed_after {
                    tx.state = State::Proceeding;
                }
                if tx.repeat(now) {
                    times.push(now / 1_000);
                }
            }
        }
        times
    }

    #[test]
    fn copies_follow_timers_a_and_e() {
        assert_eq!(copies(Method::Invite, 99), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(copies(Method::Invite, 1), [500]);
        let every = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(copies(Method::Bye, 99), every);
        assert_eq!(copies(Method::Bye, 0)[..2], [500, 4_500]);
    }
}
