//! Server transactions: requests that arrived (RFC 3261 §17.2, RFC 6026 §7.1, RFC 4320 §4).

mod list;
mod merged;
mod timers;

use std::collections::HashMap;
use std::sync::Arc;

use keyline_wire::sip::{Message, TransactionKey};

use super::id::{SLOTS_MAX, ServerTxId};
use super::key::{Fingerprint, Fingerprints, Kind, RequestKey};
use super::slots::{NONE, Slots};
use super::wheel::{Armed, Due, Wheel};
use super::{Action, Counts, NEVER, Route, ServerAction, ServerEvent, TableConfig};
use list::List;
use merged::Merged;

/// What a request is to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Not seen before: judge it, then [`ServerTable::open`] a transaction or answer it statelessly.
    New(RequestKey),
    /// A retransmission, or the ACK of a final response other than 2xx. Nothing is left to do.
    Absorbed,
    /// A CANCEL not seen before. Answer it in a transaction of its own with 200, or 481 for
    /// [`CancelTarget::Unknown`]; it is never challenged (§22.1).
    Cancel {
        /// For [`ServerTable::open`].
        key: RequestKey,
        /// The INVITE that it names.
        target: CancelTarget,
    },
    /// An ACK that belongs to a dialog: the user finds the INVITE by the dialog and calls
    /// [`ServerTable::stop_2xx`].
    Ack {
        /// The accepted INVITE, if the ACK bears its branch, as clients of RFC 2543 send it.
        accepted: Option<ServerTxId>,
    },
    /// No request with a readable top Via: it belongs to no transaction.
    Unmatchable,
}

/// What a CANCEL found. Compare [`ServerTable::route`] of the INVITE with the source of the CANCEL
/// before acting on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTarget {
    /// An INVITE without final response: answer it with 487.
    Pending(ServerTxId),
    /// An INVITE that has its final response; the CANCEL has no effect on it (§9.2).
    Answered(ServerTxId),
    /// No INVITE of this branch.
    Unknown,
}

/// Why no transaction was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room, and no completed transaction could give way.
    #[error("all {limit} server transactions of this worker are in use; answer 503 with Retry-After")]
    Full {
        /// The table's limit.
        limit: usize,
    },
    /// The key is in use: the request came through [`ServerTable::receive`] twice.
    #[error("a transaction with this key is open already; drop the request")]
    Duplicate,
    /// An ACK makes no transaction.
    #[error("an ACK has no transaction of its own; hand it to its dialog")]
    Ack,
}

/// Why a response was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The transaction is over.
    #[error("the server transaction is gone; drop the response")]
    Gone,
    /// The transaction has its final response.
    #[error("the transaction has sent a final response already; {code} is dropped")]
    AlreadyFinal {
        /// The late response.
        code: u16,
    },
    /// A provisional response that a non-INVITE request may not get (RFC 4320 §4.1): other than
    /// 100, or 100 before Timer E of the client reached T2.
    #[error(
        "{code} to a non-INVITE request is not allowed now (RFC 4320 section 4.1); send the final response"
    )]
    NotAllowed {
        /// The response.
        code: u16,
    },
    /// Not a status code.
    #[error("{code} is no status code; 100 to 699 are")]
    Code {
        /// What was given.
        code: u16,
    },
}

/// The states of both kinds of server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Non-INVITE or INVITE, no response sent yet.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// A final response was sent; for an INVITE other than 2xx.
    Completed,
    /// INVITE: the ACK of a final other than 2xx came.
    Confirmed,
    /// INVITE: a 2xx was sent and awaits its ACK.
    Accepted,
    /// INVITE: the ACK of the 2xx came; repeats are absorbed until Timer L.
    Acknowledged,
}

struct Transaction<R, T> {
    print: Fingerprint,
    merge: Option<Fingerprint>,
    route: R,
    owner: T,
    /// The last response, or in [`State::Trying`] the 100 to send if the user stays silent.
    message: Option<Arc<[u8]>>,
    opened_at: u64,
    resend_at: u64,
    end_at: u64,
    interval: u32,
    armed: Armed,
    /// The deadline that the entry in the wheel stands for.
    armed_at: u64,
    /// Neighbours in the list of its state; non-INVITE only.
    previous: u32,
    next: u32,
    kind: Kind,
    state: State,
}

/// All server transactions of one worker.
pub struct ServerTable<R, T> {
    config: TableConfig,
    prints: Fingerprints,
    index: HashMap<Fingerprint, u32, foldhash::fast::RandomState>,
    slots: Slots<Transaction<R, T>>,
    wheel: Wheel,
    due: Vec<Due>,
    /// Non-INVITE without final response, oldest first: all have the same time left to live.
    waiting: List,
    /// Non-INVITE with final response, oldest first: Timer J, and the order of eviction.
    completed: List,
    merged: Merged,
    counts: Counts,
}

impl<R: Route, T: Clone> ServerTable<R, T> {
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
            waiting: List::default(),
            completed: List::default(),
            merged: Merged::default(),
            counts: Counts::default(),
        }
    }

    /// Matches a request that arrived, before any authentication. A retransmission is answered
    /// with what was sent last; an ACK for a final response other than 2xx is taken. The source address is
    /// part of the identity: a copy of a request from elsewhere is judged as a request of its own.
    pub fn receive(
        &mut self,
        now: u64,
        request: &Message<'_>,
        source: std::net::IpAddr,
        actions: &mut Vec<ServerAction<R, T>>,
    ) -> Received {
        let (Some(method), Some(identity)) = (request.method(), TransactionKey::server(request)) else {
            return Received::Unmatchable;
        };
        let print = self.prints.from(&identity, source);
        let key = RequestKey { print, kind: Kind::of(method), merge: None };
        match (self.index.get(&key.print).copied(), key.kind) {
            (Some(slot), Kind::Ack) => self.acknowledge(now, slot, actions),
            (Some(slot), _) => {
                self.counts.absorbed += 1;
                self.repeat(slot, actions);
                Received::Absorbed
            }
            (None, Kind::Ack) => Received::Ack { accepted: None },
            (None, Kind::Cancel) => Received::Cancel { key, target: self.cancelled(request, source) },
            (None, _) => Received::New(RequestKey { merge: self.prints.merge(request, source), ..key }),
        }
    }

    /// Opens a transaction for a request that [`Self::receive`] called new. `route` takes its
    /// responses. `trying` is a complete 100 response: an INVITE gets it after 200 ms, another
    /// request after the time of RFC 4320 §4.1, if the user has not responded by then.
    ///
    /// # Errors
    /// [`Refused`]; a full table first evicts the non-INVITE transaction that completed earliest.
    pub fn open(
        &mut self,
        now: u64,
        key: RequestKey,
        route: R,
        trying: Option<Arc<[u8]>>,
        owner: T,
        actions: &mut Vec<ServerAction<R, T>>,
    ) -> Result<ServerTxId, Refused> {
        if key.kind == Kind::Ack {
            return Err(Refused::Ack);
        }
        if self.index.contains_key(&key.print) {
            return Err(Refused::Duplicate);
        }
        if self.slots.is_full() && self.completed.head != NONE {
            self.counts.evicted += 1;
            self.terminate(self.completed.head, actions);
        }
        let timers = self.config.timers;
        let invite = key.kind == Kind::Invite;
        let wait = if invite { u64::from(timers.trying) } else { timers.non_invite_trying() };
        let life = if invite { u64::from(timers.ring_cap) } else { timers.timeout() };
        let transaction = Transaction {
            print: key.print,
            merge: key.merge,
            route,
            owner,
            resend_at: if trying.is_some() { now + wait } else { NEVER },
            message: trying,
            opened_at: now,
            end_at: now + life,
            interval: 0,
            armed: Armed::OFF,
            armed_at: NEVER,
            previous: NONE,
            next: NONE,
            kind: key.kind,
            state: State::Trying,
        };
        let Some((slot, generation)) = self.slots.insert(transaction) else {
            self.counts.refused += 1;
            return Err(Refused::Full { limit: self.config.max_transactions });
        };
        self.counts.opened += 1;
        self.index.insert(key.print, slot);
        self.merged.opened(key.merge, slot);
        if !invite {
            self.waiting.push(&mut self.slots, slot);
        }
        self.arm(now, slot);
        Ok(self.id(slot, generation))
    }

    /// Sends a response of the user and moves the transaction on. The bytes are kept for
    /// retransmissions until the transaction ends.
    ///
    /// A 408 to a non-INVITE request is not sent (RFC 4320 §4.2): the transaction just ends.
    ///
    /// # Errors
    /// [`RespondError`]; nothing was sent then.
    pub fn respond(
        &mut self,
        now: u64,
        tx: ServerTxId,
        code: u16,
        bytes: Arc<[u8]>,
        actions: &mut Vec<ServerAction<R, T>>,
    ) -> Result<(), RespondError> {
        let timers = self.config.timers;
        let transaction = self.get_mut(tx).ok_or(RespondError::Gone)?;
        let (kind, state, reliable) = (transaction.kind, transaction.state, transaction.route.is_reliable());
        let more_2xx = state == State::Accepted && (200..300).contains(&code);
        if !(100..700).contains(&code) {
            return Err(RespondError::Code { code });
        }
        if !matches!(state, State::Trying | State::Proceeding) && !more_2xx {
            return Err(RespondError::AlreadyFinal { code });
        }
        if kind != Kind::Invite {
            let early = !reliable && now < transaction.opened_at + timers.non_invite_trying();
            if code < 200 && (code != 100 || early) {
                return Err(RespondError::NotAllowed { code });
            }
            if code == 408 {
                self.terminate(tx.slot, actions);
                return Ok(());
            }
        }
        let sent = Action::Send { tx, route: transaction.route, bytes: bytes.clone() };
        actions.push(sent);
        transaction.message = Some(bytes);
        transaction.resend_at = NEVER;
        transaction.interval = timers.t1;
        match (kind, code) {
            (_, ..200) => transaction.state = State::Proceeding,
            (Kind::Invite, 200..300) => {
                // The user repeats a 2xx over any transport (§13.3.1.4); the table does it for the user.
                transaction.resend_at = now + u64::from(timers.t1);
                if !more_2xx {
                    transaction.end_at = now + timers.timeout();
                }
                transaction.state = State::Accepted;
            }
            (Kind::Invite, _) => {
                if !reliable {
                    transaction.resend_at = now + u64::from(timers.t1);
                }
                transaction.end_at = now + timers.timeout();
                transaction.state = State::Completed;
            }
            _ if reliable => {
                self.terminate(tx.slot, actions);
                return Ok(());
            }
            _ => {
                transaction.state = State::Completed;
                transaction.end_at = now + timers.timeout();
                self.waiting.remove(&mut self.slots, tx.slot);
                self.completed.push(&mut self.slots, tx.slot);
                return Ok(());
            }
        }
        self.arm(now, tx.slot);
        Ok(())
    }

    /// The ACK of a 2xx arrived, matched by its dialog: the 2xx is repeated no more. False if the
    /// transaction is not waiting for it, so that a repeated ACK is told from the first.
    pub fn stop_2xx(&mut self, tx: ServerTxId) -> bool {
        let Some(transaction) = self.get_mut(tx).filter(|found| found.state == State::Accepted) else {
            return false;
        };
        transaction.state = State::Acknowledged;
        transaction.resend_at = NEVER;
        transaction.message = None;
        true
    }

    /// The transport could not take a response (§17.2.4). The user is told and the transaction
    /// ends; a 2xx goes on being repeated, as the route may recover, and a completed transaction on
    /// datagrams goes on absorbing retransmissions.
    pub fn transport_failed(&mut self, tx: ServerTxId, actions: &mut Vec<ServerAction<R, T>>) {
        let Some(transaction) = self.get_mut(tx) else { return };
        let (kind, state, owner) = (transaction.kind, transaction.state, transaction.owner.clone());
        match state {
            State::Confirmed | State::Acknowledged => return,
            State::Completed if kind != Kind::Invite => return,
            _ => actions.push(Action::Event { tx, owner, event: ServerEvent::TransportFailed }),
        }
        if state != State::Accepted {
            self.terminate(tx.slot, actions);
        }
    }

    /// Ends a transaction without a response, for a user that is going away.
    pub fn abandon(&mut self, tx: ServerTxId, actions: &mut Vec<ServerAction<R, T>>) {
        if self.get_mut(tx).is_some() {
            self.terminate(tx.slot, actions);
        }
    }

    /// Where the responses of a transaction go.
    pub fn route(&self, tx: ServerTxId) -> Option<R> {
        self.get(tx).map(|transaction| transaction.route)
    }

    /// Sends later responses and repeats elsewhere: the connection was replaced (§18.2.2).
    pub fn set_route(&mut self, tx: ServerTxId, route: R) {
        if let Some(transaction) = self.get_mut(tx) {
            transaction.route = route;
        }
    }

    /// The owner of a transaction.
    pub fn owner(&self, tx: ServerTxId) -> Option<&T> {
        self.get(tx).map(|transaction| &transaction.owner)
    }

    /// The owner of a transaction, to be changed in place.
    pub fn owner_mut(&mut self, tx: ServerTxId) -> Option<&mut T> {
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

    fn cancelled(&self, request: &Message<'_>, source: std::net::IpAddr) -> CancelTarget {
        let identity = TransactionKey::cancelled_invite(request);
        let print = identity.map(|identity| self.prints.from(&identity, source));
        let Some(&slot) = print.and_then(|print| self.index.get(&print)) else {
            return CancelTarget::Unknown;
        };
        let generation = self.slots.generation(slot);
        let id = self.id(slot, generation);
        match self.slots.get(slot, generation).map(|found| found.state) {
            Some(State::Trying | State::Proceeding) => CancelTarget::Pending(id),
            Some(_) => CancelTarget::Answered(id),
            None => CancelTarget::Unknown,
        }
    }

    fn acknowledge(&mut self, now: u64, slot: u32, actions: &mut Vec<ServerAction<R, T>>) -> Received {
        let t4 = u64::from(self.config.timers.t4);
        let id = self.id(slot, self.slots.generation(slot));
        let Some(transaction) = self.slots.at(slot) else { return Received::Absorbed };
        match transaction.state {
            State::Accepted | State::Acknowledged => return Received::Ack { accepted: Some(id) },
            State::Completed if transaction.route.is_reliable() => self.terminate(slot, actions),
            State::Completed => {
                transaction.state = State::Confirmed;
                transaction.message = None;
                transaction.resend_at = NEVER;
                transaction.end_at = now + t4;
                self.arm(now, slot);
            }
            State::Trying | State::Proceeding | State::Confirmed => self.counts.absorbed += 1,
        }
        Received::Absorbed
    }

    /// A request came again: what was sent last is sent again, where the state asks for it.
    fn repeat(&mut self, slot: u32, actions: &mut Vec<ServerAction<R, T>>) {
        let tx = self.id(slot, self.slots.generation(slot));
        let Some(transaction) = self.slots.at(slot) else { return };
        if !matches!(transaction.state, State::Proceeding | State::Completed) {
            return;
        }
        if let Some(bytes) = transaction.message.clone() {
            actions.push(Action::Send { tx, route: transaction.route, bytes });
            self.counts.repeated += 1;
        }
    }

    fn terminate(&mut self, slot: u32, actions: &mut Vec<ServerAction<R, T>>) {
        let tx = self.id(slot, self.slots.generation(slot));
        match self.slots.at(slot) {
            Some(found) if found.kind == Kind::Invite => {}
            Some(found) if found.state == State::Completed => self.completed.remove(&mut self.slots, slot),
            Some(_) => self.waiting.remove(&mut self.slots, slot),
            None => return,
        }
        if let Some(transaction) = self.slots.remove(slot) {
            self.index.remove(&transaction.print);
            self.merged.ended(transaction.merge, slot);
            actions.push(Action::Terminated { tx, owner: transaction.owner });
        }
    }

    fn id(&self, slot: u32, generation: u32) -> ServerTxId {
        ServerTxId { worker: self.config.worker, slot, generation }
    }

    fn get(&self, tx: ServerTxId) -> Option<&Transaction<R, T>> {
        if tx.worker == self.config.worker { self.slots.get(tx.slot, tx.generation) } else { None }
    }

    fn get_mut(&mut self, tx: ServerTxId) -> Option<&mut Transaction<R, T>> {
        if tx.worker == self.config.worker { self.slots.get_mut(tx.slot, tx.generation) } else { None }
    }
}
