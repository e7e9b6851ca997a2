//! Client transactions: requests that we sent (RFC 3261 §17.1, RFC 6026 §7.2).

mod timers;

use std::collections::HashMap;
use std::sync::Arc;

use keyline_wire::sip::{HeaderName, Message, Method, TransactionKey};

use super::branch;
use super::derive::derive;
use super::id::{ClientTxId, SLOTS_MAX};
use super::key::{Fingerprint, Fingerprints};
use super::slots::Slots;
use super::wheel::{Armed, Due, Wheel};
use super::{Action, ClientAction, ClientEvent, Counts, NEVER, Route, TableConfig};

/// What a response is to the table, and what the caller does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<T> {
    /// A provisional response: for the user.
    Provisional {
        /// The transaction.
        tx: ClientTxId,
        /// Who owns it.
        owner: T,
    },
    /// The final response, once for each transaction: for the user. For an INVITE other than 2xx;
    /// its ACK is among the actions.
    Final {
        /// The transaction.
        tx: ClientTxId,
        /// Who owns it.
        owner: T,
    },
    /// A 2xx to an INVITE: for the user, which sends the ACK for every one of them (§13.2.2.4). One
    /// of another To tag than the first is another dialog, to be acknowledged and ended.
    Accepted {
        /// The transaction.
        tx: ClientTxId,
        /// Who owns it.
        owner: T,
        /// The first 2xx of this transaction.
        first: bool,
    },
    /// A repeat; nothing is left to do.
    Absorbed,
    /// The branch was made by another worker: hand the datagram to it.
    Foreign(u16),
    /// No transaction waits for it: drop it.
    Unknown,
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No room.
    #[error("all {limit} client transactions of this worker are in use; treat the request as answered 503")]
    Full {
        /// The table's limit.
        limit: usize,
    },
    /// The branch is in use: make another one.
    #[error("a client transaction with this branch and method is open already; use a new branch")]
    Duplicate,
    /// An ACK makes no transaction.
    #[error("an ACK has no transaction of its own; send it directly")]
    Ack,
}

/// Why a CANCEL was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The INVITE is over or is not an INVITE.
    #[error("no INVITE transaction to cancel; nothing is left to do")]
    Gone,
    /// The INVITE has its final response (§9.1): end the dialog instead.
    #[error("the INVITE has its final response; send a BYE if it was a 2xx")]
    Answered,
    /// No provisional response came yet (§9.1).
    #[error("no provisional response came yet; cancel when the first one arrives (RFC 3261 section 9.1)")]
    NotYet,
    /// It was cancelled before.
    #[error("the INVITE was cancelled already; wait for its final response")]
    Repeated,
    /// The INVITE lacks a header that a CANCEL needs.
    #[error("the stored INVITE lacks Via, From, To, Call-ID or CSeq; it can't be cancelled")]
    Malformed,
    /// The CANCEL's own transaction was refused.
    #[error("the CANCEL was not sent")]
    Send(#[source] SendError),
}

/// The states of both kinds of client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Sent, no response yet; §17.1.1 calls it Calling for an INVITE.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came; for an INVITE other than 2xx.
    Completed,
    /// INVITE: a 2xx came.
    Accepted,
}

struct Transaction<R, T> {
    print: Fingerprint,
    route: R,
    owner: T,
    /// The request; once an INVITE is completed its ACK.
    message: Option<Arc<[u8]>>,
    resend_at: u64,
    end_at: u64,
    interval: u32,
    armed: Armed,
    /// The deadline that the entry in the wheel stands for.
    armed_at: u64,
    invite: bool,
    cancelled: bool,
    state: State,
}

/// All client transactions of one worker.
pub struct ClientTable<R, T> {
    config: TableConfig,
    prints: Fingerprints,
    index: HashMap<Fingerprint, u32, foldhash::fast::RandomState>,
    slots: Slots<Transaction<R, T>>,
    wheel: Wheel,
    due: Vec<Due>,
    counts: Counts,
}

impl<R: Route, T: Clone> ClientTable<R, T> {
    /// An empty table. `max_transactions` is cut to [`SLOTS_MAX`].
    pub fn new(config: TableConfig) -> Self {
        let limit = config.max_transactions.min(SLOTS_MAX);
        Self {
            config: TableConfig { max_transactions: limit, ..config },
            prints: Fingerprints::new(),
            index: HashMap::default(),
            slots: Slots::new(limit),
            wheel: Wheel::new(),
            due: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Sends a request. `branch` is the one in its top Via, from [`branch::make`] with this
    /// worker's number; `bytes` is the whole message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    #[allow(clippy::too_many_arguments, reason = "each is a different thing that the caller has at hand")]
    pub fn send(
        &mut self,
        now: u64,
        method: Method<'_>,
        branch: &str,
        bytes: Arc<[u8]>,
        route: R,
        owner: T,
        actions: &mut Vec<ClientAction<R, T>>,
    ) -> Result<ClientTxId, SendError> {
        if method == Method::Ack {
            return Err(SendError::Ack);
        }
        let print = self.prints.of(&TransactionKey::client(branch, method));
        self.insert(now, print, method == Method::Invite, bytes, route, owner, actions)
    }

    /// Matches a response that arrived by `from` (§17.1.3); one that came another way than its request
    /// could go is nobody's.
    pub fn receive_from(
        &mut self,
        now: u64,
        from: &R,
        response: &Message<'_>,
        actions: &mut Vec<ClientAction<R, T>>,
    ) -> Verdict<T> {
        let slot = TransactionKey::from_response(response)
            .and_then(|k| self.index.get(&self.prints.of(&k)).copied());
        if slot.and_then(|slot| self.slots.at(slot)).is_some_and(|found| !found.route.admits(from)) {
            return Verdict::Unknown;
        }
        self.receive(now, response, actions)
    }

    /// Matches a response that arrived (§17.1.3).
    pub fn receive(
        &mut self,
        now: u64,
        response: &Message<'_>,
        actions: &mut Vec<ClientAction<R, T>>,
    ) -> Verdict<T> {
        let identity = TransactionKey::from_response(response);
        let (Some(identity), Some(code)) = (identity, response.status()) else {
            return Verdict::Unknown;
        };
        let Some(&slot) = self.index.get(&self.prints.of(&identity)) else {
            let maker = response.top_via().and_then(|via| branch::worker_of(via.branch()?));
            return match maker.filter(|worker| *worker != self.config.worker) {
                Some(worker) => Verdict::Foreign(worker),
                None => Verdict::Unknown,
            };
        };
        let tx = self.id(slot);
        let Some(transaction) = self.slots.at(slot) else { return Verdict::Unknown };
        let owner = transaction.owner.clone();
        let verdict = match (transaction.state, code) {
            (State::Trying | State::Proceeding, 100..200) => {
                self.proceed(now, slot);
                return Verdict::Provisional { tx, owner };
            }
            (State::Trying | State::Proceeding, 200..300) if transaction.invite => {
                self.accept(now, slot);
                return Verdict::Accepted { tx, owner, first: true };
            }
            (State::Accepted, 200..300) => return Verdict::Accepted { tx, owner, first: false },
            (State::Trying | State::Proceeding, 200..700) => {
                self.complete(now, slot, response.first(HeaderName::To), actions);
                return Verdict::Final { tx, owner };
            }
            (State::Completed, 300..700) if transaction.invite => {
                if let Some(bytes) = transaction.message.clone() {
                    actions.push(Action::Send { tx, route: transaction.route, bytes });
                    self.counts.repeated += 1;
                }
                Verdict::Absorbed
            }
            _ => Verdict::Absorbed,
        };
        self.counts.absorbed += 1;
        verdict
    }

    /// Sends the CANCEL of an INVITE, a transaction of its own with the same branch, over the same
    /// route. `extra` are further headers by name and value, such as a Reason. From now on the
    /// INVITE waits 64 × T1 at most for its final response (§9.1), then it times out.
    ///
    /// # Errors
    /// [`CancelError`]; nothing was sent then.
    pub fn cancel(
        &mut self,
        now: u64,
        invite: ClientTxId,
        extra: &[(&str, &str)],
        owner: T,
        actions: &mut Vec<ClientAction<R, T>>,
    ) -> Result<ClientTxId, CancelError> {
        let timeout = self.config.timers.timeout();
        let transaction = self.get(invite).filter(|found| found.invite).ok_or(CancelError::Gone)?;
        match transaction.state {
            State::Trying => return Err(CancelError::NotYet),
            State::Completed | State::Accepted => return Err(CancelError::Answered),
            State::Proceeding if transaction.cancelled => return Err(CancelError::Repeated),
            State::Proceeding => {}
        }
        let route = transaction.route;
        let (print, bytes) = transaction
            .message
            .as_deref()
            .and_then(|request| self.cancel_of(request, extra))
            .ok_or(CancelError::Malformed)?;
        let tx =
            self.insert(now, print, false, bytes.into(), route, owner, actions).map_err(CancelError::Send)?;
        if let Some(transaction) = self.get_mut(invite) {
            transaction.cancelled = true;
            transaction.end_at = now + timeout;
        }
        self.arm(now, invite.slot);
        Ok(tx)
    }

    /// The transport could not take the request or the ACK (§17.1.4). While no final response came
    /// the user is told; the transaction ends.
    pub fn transport_failed(&mut self, tx: ClientTxId, actions: &mut Vec<ClientAction<R, T>>) {
        let Some(transaction) = self.get(tx) else { return };
        match transaction.state {
            State::Trying | State::Proceeding => {
                let owner = transaction.owner.clone();
                actions.push(Action::Event { tx, owner, event: ClientEvent::TransportFailed });
            }
            // Repeats are still to be passed up or absorbed.
            State::Accepted => return,
            State::Completed if !transaction.invite => return,
            State::Completed => {}
        }
        self.terminate(tx.slot, actions);
    }

    /// Ends a transaction whose outcome no longer matters. Later responses are unknown.
    pub fn abandon(&mut self, tx: ClientTxId, actions: &mut Vec<ClientAction<R, T>>) {
        if self.get(tx).is_some() {
            self.terminate(tx.slot, actions);
        }
    }

    /// Where the request went.
    pub fn route(&self, tx: ClientTxId) -> Option<R> {
        self.get(tx).map(|transaction| transaction.route)
    }

    /// The owner of a transaction.
    pub fn owner(&self, tx: ClientTxId) -> Option<&T> {
        self.get(tx).map(|transaction| &transaction.owner)
    }

    /// The owner of a transaction, to be changed in place.
    pub fn owner_mut(&mut self, tx: ClientTxId) -> Option<&mut T> {
        self.get_mut(tx).map(|transaction| &mut transaction.owner)
    }

    /// Transactions now.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// No transaction is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counters since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one transaction")]
    fn insert(
        &mut self,
        now: u64,
        print: Fingerprint,
        invite: bool,
        bytes: Arc<[u8]>,
        route: R,
        owner: T,
        actions: &mut Vec<ClientAction<R, T>>,
    ) -> Result<ClientTxId, SendError> {
        if self.index.contains_key(&print) {
            return Err(SendError::Duplicate);
        }
        let timers = self.config.timers;
        let reliable = route.is_reliable();
        let transaction = Transaction {
            print,
            route,
            owner,
            message: Some(bytes.clone()),
            resend_at: if reliable { NEVER } else { now + u64::from(timers.t1) },
            end_at: now + timers.timeout(),
            interval: timers.t1,
            armed: Armed::OFF,
            armed_at: NEVER,
            invite,
            cancelled: false,
            state: State::Trying,
        };
        let Some((slot, _)) = self.slots.insert(transaction) else {
            self.counts.refused += 1;
            return Err(SendError::Full { limit: self.config.max_transactions });
        };
        self.counts.opened += 1;
        self.index.insert(print, slot);
        self.arm(now, slot);
        let tx = self.id(slot);
        actions.push(Action::Send { tx, route, bytes });
        Ok(tx)
    }

    /// The CANCEL of a stored INVITE and its key.
    fn cancel_of(&self, invite: &[u8], extra: &[(&str, &str)]) -> Option<(Fingerprint, Vec<u8>)> {
        let invite = Message::parse(invite).ok()?;
        let identity = TransactionKey::client(invite.top_via()?.branch()?, Method::Cancel);
        Some((self.prints.of(&identity), derive(&invite, Method::Cancel, None, extra)?))
    }

    fn proceed(&mut self, now: u64, slot: u32) {
        let timers = self.config.timers;
        let Some(transaction) = self.slots.at(slot) else { return };
        let first = transaction.state == State::Trying;
        transaction.state = State::Proceeding;
        if !first {
            return;
        }
        if transaction.invite {
            transaction.resend_at = NEVER;
            transaction.end_at = now + u64::from(timers.ring_cap);
        } else if transaction.resend_at != NEVER {
            transaction.interval = timers.t2;
            transaction.resend_at = now + u64::from(timers.t2);
        }
        self.arm(now, slot);
    }

    fn accept(&mut self, now: u64, slot: u32) {
        let timeout = self.config.timers.timeout();
        let Some(transaction) = self.slots.at(slot) else { return };
        transaction.state = State::Accepted;
        transaction.message = None;
        transaction.resend_at = NEVER;
        transaction.end_at = now + timeout;
        self.arm(now, slot);
    }

    /// A final response, for an INVITE other than 2xx.
    fn complete(&mut self, now: u64, slot: u32, to: Option<&str>, actions: &mut Vec<ClientAction<R, T>>) {
        let tx = self.id(slot);
        let timers = self.config.timers;
        let Some(transaction) = self.slots.at(slot) else { return };
        let request = transaction.message.take();
        let reliable = transaction.route.is_reliable();
        transaction.state = State::Completed;
        transaction.resend_at = NEVER;
        transaction.end_at = now + if transaction.invite { timers.timeout() } else { u64::from(timers.t4) };
        if transaction.invite {
            let ack: Option<Arc<[u8]>> = request
                .as_deref()
                .and_then(|request| Message::parse(request).ok())
                .and_then(|request| derive(&request, Method::Ack, to, &[]))
                .map(Into::into);
            if let Some(bytes) = ack {
                transaction.message = Some(bytes.clone());
                actions.push(Action::Send { tx, route: transaction.route, bytes });
            }
        }
        if reliable {
            self.terminate(slot, actions);
        } else {
            self.arm(now, slot);
        }
    }

    fn terminate(&mut self, slot: u32, actions: &mut Vec<ClientAction<R, T>>) {
        let tx = self.id(slot);
        if let Some(transaction) = self.slots.remove(slot) {
            self.index.remove(&transaction.print);
            actions.push(Action::Terminated { tx, owner: transaction.owner });
        }
    }

    fn id(&self, slot: u32) -> ClientTxId {
        ClientTxId { worker: self.config.worker, slot, generation: self.slots.generation(slot) }
    }

    fn get(&self, tx: ClientTxId) -> Option<&Transaction<R, T>> {
        if tx.worker == self.config.worker { self.slots.get(tx.slot, tx.generation) } else { None }
    }

    fn get_mut(&mut self, tx: ClientTxId) -> Option<&mut Transaction<R, T>> {
        if tx.worker == self.config.worker { self.slots.get_mut(tx.slot, tx.generation) } else { None }
    }
}
