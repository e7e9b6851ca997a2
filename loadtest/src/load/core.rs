//! What every scenario of one generator thread stands on: phones, sockets, client transactions, timers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use keyline_wire::sip::{Message, Method as Named};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::digest::Kept;
use super::links::{Dial, Links, is_reliable};
use super::tally::Tally;
use super::text::{self, Answer, Draft, TxId};
use super::transaction::{Method, State, Tx};
use super::users::User;
use super::{Carrier, Options};

/// Challenges that one request answers.
const TRIES_MAX: u8 = 3;
/// Between the first copy of a request and the second, in microseconds.
pub(super) const T1: u64 = 500_000;
/// Longest time between copies.
pub(super) const T2: u64 = 4_000_000;
/// How long a server may ring.
const RING_MAX: u64 = 240_000_000;
/// How long an ended INVITE transaction answers late copies on streams.
const LINGER: u64 = 5_000_000;

/// One simulated phone.
pub(super) struct Phone {
    pub user: User,
    pub link: u32,
    pub cseq: u32,
    pub kept: Option<Box<Kept>>,
    /// Its certificate and its sessions, from its first TLS connection on.
    pub tls: Option<Arc<ClientConfig>>,
    /// `<sip:number@address>` as in Contact.
    pub contact: Box<str>,
    /// Start of a Via.
    pub via: Box<str>,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    pub phone: u32,
    pub method: Method,
    /// The scenario's number of the operation.
    pub item: u64,
    /// When it should have begun, microseconds.
    pub intended: u64,
    /// Challenges answered so far.
    pub tries: u8,
}

/// A response to one of our transactions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub purpose: Purpose,
    pub status: u16,
}

/// A response as the core sees it.
pub(super) enum Received {
    /// For the scenario.
    Heard(Heard),
    /// Of no open transaction.
    Stray,
    /// A repetition that needs nothing more.
    Absorbed,
}

/// Who waits for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A transaction: slot and generation.
    Tx(u32, u32),
    /// The scenario.
    Scenario(u64),
}

/// What a transaction's time brought.
pub(super) enum Fired {
    Nothing,
    TimedOut(Purpose),
    Scenario(u64),
}

pub(super) struct Core {
    pub options: Arc<Options>,
    pub start: Instant,
    pub now: u64,
    pub run: String,
    pub phones: Vec<Phone>,
    pub links: Links,
    pub tally: Tally,
    /// Scratch for texts.
    pub text: String,
    /// Calls begun by earlier runs: no two calls of a fleet have the same number.
    pub calls: u64,
    numbers: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    txs: Vec<Tx>,
    free: Vec<u32>,
    timers: BinaryHeap<Reverse<(u64, Timer)>>,
}

impl Core {
    pub(super) fn new(options: Arc<Options>, users: Vec<User>, links: Links, run: String) -> Core {
        let sockets = match &links {
            Links::Udp(udp) => udp.len() as u32,
            Links::Stream(_) => u32::MAX,
        };
        let phone = |(index, user): (u32, User)| Phone {
            user,
            link: index % sockets,
            cseq: 0,
            kept: None,
            tls: None,
            contact: Box::default(),
            via: Box::default(),
        };
        let phones: Vec<Phone> = (0..).zip(users).map(phone).collect();
        let numbers = (0..).zip(&phones).map(|(index, phone)| (phone.user.number.clone(), index)).collect();
        let mut core = Core {
            options,
            start: Instant::now(),
            now: 0,
            run,
            phones,
            links,
            tally: Tally::default(),
            text: String::with_capacity(2_048),
            calls: 0,
            numbers,
            txs: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
        };
        (0..core.phones.len() as u32).for_each(|phone| core.locate(phone));
        core
    }

    /// Microseconds since the start.
    pub(super) fn clock(&mut self) -> u64 {
        self.now = self.start.elapsed().as_micros() as u64;
        self.now
    }

    /// Writes the phone's own address into its texts.
    pub(super) fn locate(&mut self, phone: u32) {
        let carrier = self.options.target.carrier;
        let phone = &mut self.phones[phone as usize];
        let Some(local) = self.links.local(phone.link) else { return };
        phone.via = format!("SIP/2.0/{} {local}", carrier.via()).into();
        phone.contact = format!("<sip:{}@{local}{}>", phone.user.number, carrier.parameter()).into();
    }

    /// Moves a phone to another address: over UDP to the next socket; a connection is given up.
    pub(super) fn relocate(&mut self, phone: u32) {
        match &mut self.links {
            Links::Udp(links) => {
                let link = &mut self.phones[phone as usize].link;
                *link = (*link + 1) % links.len() as u32;
                self.locate(phone);
            }
            Links::Stream(links) => links.hang_up(phone),
        }
    }

    /// Own address of a phone.
    pub(super) fn local(&self, phone: u32) -> Option<SocketAddr> {
        self.links.local(self.phones[phone as usize].link)
    }

    /// The phone of a number.
    pub(super) fn phone_of(&self, number: &str) -> Option<u32> {
        self.numbers.get(number).copied()
    }

    /// Whether messages of a phone can be sent.
    pub(super) fn is_connected(&self, phone: u32) -> bool {
        match &self.links {
            Links::Udp(_) => true,
            Links::Stream(links) => links.is_open(phone),
        }
    }

    /// Begins the phone's connection.
    ///
    /// # Errors
    /// What the system says at once.
    pub(super) fn connect(&mut self, phone: u32) -> io::Result<()> {
        let tls = self.tls_of(phone)?;
        let Links::Stream(links) = &mut self.links else { return Ok(()) };
        links.dial(self.now, phone, Dial { tls, abort: false })?;
        self.locate(phone);
        Ok(())
    }

    /// The phone's TLS, with what it remembers of earlier connections; `None` over other carriers.
    pub(super) fn tls_of(
        &mut self,
        phone: u32,
    ) -> io::Result<Option<(Arc<ClientConfig>, ServerName<'static>)>> {
        let (Some(setup), Carrier::Tls) = (&self.options.tls, self.options.target.carrier) else {
            return Ok(None);
        };
        let phone = &mut self.phones[phone as usize];
        let config = match &phone.tls {
            Some(config) => config.clone(),
            None => phone.tls.insert(setup.config(&phone.user).map_err(io::Error::other)?).clone(),
        };
        let name = setup.name(self.options.target.address).map_err(io::Error::other)?;
        Ok(Some((config, name)))
    }

    /// Rings the scenario's bell at a time.
    pub(super) fn alarm(&mut self, at: u64, id: u64) {
        self.timers.push(Reverse((at, Timer::Scenario(id))));
    }

    /// Forgets the bells of the scenario before: the next one has numbers of its own.
    pub(super) fn silence(&mut self) {
        self.timers.retain(|Reverse((_, timer))| !matches!(timer, Timer::Scenario(_)));
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Sends a request of a phone in a transaction of its own.
    pub(super) fn send(&mut self, purpose: Purpose, draft: &Draft<'_>) -> TxId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.txs.push(Tx::default());
            self.txs.len() as u32 - 1
        });
        let tx = &mut self.txs[slot as usize];
        let id = TxId { slot, generation: tx.generation };
        let phone = &mut self.phones[purpose.phone as usize];
        let host = &*self.options.domain;
        text::head(&mut tx.bytes, draft, phone, host, &self.run, id);
        if let Some(kept) = &mut phone.kept {
            kept.authorize(&mut tx.bytes, &phone.user, draft.method.as_str(), draft.uri, slot);
        }
        text::end(&mut tx.bytes, draft.body);
        let sent = self.links.send(phone.link, tx.bytes.as_bytes());
        let patience = self.options.timeout.as_micros() as u64;
        tx.begin(purpose, self.now, patience, is_reliable(self.options.target.carrier));
        if !sent {
            // Nothing will come; the time is up at once.
            tx.end_at = self.now;
        }
        self.timers.push(Reverse((tx.due(), Timer::Tx(slot, id.generation))));
        self.tally.sent += 1;
        self.tally.requests += 1;
        if purpose.tries == 0 {
            self.tally.late(purpose.method, self.now.saturating_sub(purpose.intended));
        }
        id
    }

    /// Sends something without a transaction: an ACK, a response.
    pub(super) fn write(&mut self, phone: u32, bytes: &[u8]) {
        let link = self.phones[phone as usize].link;
        // A response that can not be sent is missed by its asker, who repeats and gives up.
        let _ = self.links.send(link, bytes);
        self.tally.sent += 1;
    }

    /// Answers a request that came by a phone's link.
    pub(super) fn answer(&mut self, phone: u32, request: &Message<'_>, answer: &Answer<'_>) {
        let mut out = std::mem::take(&mut self.text);
        text::response(&mut out, request, answer, &self.phones[phone as usize].contact);
        self.write(phone, out.as_bytes());
        self.text = out;
    }

    /// Ends an INVITE that rings: sends a CANCEL for it. `false` when it has its answer.
    pub(super) fn cancel(&mut self, tx: TxId) -> bool {
        let Some(invite) = self.open(tx).filter(|found| found.state == State::Proceeding) else {
            return false;
        };
        let purpose = Purpose { method: Method::Cancel, tries: 0, intended: self.now, ..invite.purpose };
        let Some(bytes) = text::derived(&self.txs[tx.slot as usize].bytes, "CANCEL", None) else {
            return false;
        };
        let link = self.phones[purpose.phone as usize].link;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.txs.push(Tx::default());
            self.txs.len() as u32 - 1
        });
        let _ = self.links.send(link, bytes.as_bytes());
        let patience = self.options.timeout.as_micros() as u64;
        let cancel = &mut self.txs[slot as usize];
        cancel.bytes = bytes;
        cancel.begin(purpose, self.now, patience, is_reliable(self.options.target.carrier));
        self.timers.push(Reverse((cancel.due(), Timer::Tx(slot, cancel.generation))));
        let cancel = TxId { slot, generation: cancel.generation };
        self.txs[tx.slot as usize].cancel = Some(cancel);
        (self.tally.sent, self.tally.requests) = (self.tally.sent + 1, self.tally.requests + 1);
        true
    }

    fn open(&self, tx: TxId) -> Option<&Tx> {
        let found = self.txs.get(tx.slot as usize)?;
        (found.generation == tx.generation && found.state != State::Free).then_some(found)
    }

    /// Matches a response with its transaction.
    pub(super) fn match_response(&mut self, message: &Message<'_>) -> Received {
        let Some(status) = message.status() else { return Received::Stray };
        let branch = message.top_via().and_then(|via| via.branch().and_then(text::transaction_of));
        let Some(mut tx) = branch.filter(|tx| self.open(*tx).is_some()) else { return Received::Stray };
        let cancels = message.cseq().is_some_and(|cseq| cseq.method == Named::Cancel);
        if cancels {
            let cancel = self.txs[tx.slot as usize].cancel;
            let Some(cancel) = cancel.filter(|cancel| self.open(*cancel).is_some()) else {
                return Received::Absorbed;
            };
            tx = cancel;
        }
        let found = &mut self.txs[tx.slot as usize];
        let purpose = found.purpose;
        if found.state == State::Completed {
            if status >= 200 {
                self.repeat_ack(tx.slot);
            }
            return Received::Absorbed;
        }
        let heard = Received::Heard(Heard { purpose, status });
        if status < 200 {
            if found.state == State::Trying && purpose.method == Method::Invite {
                found.end_at = self.now + RING_MAX;
            }
            found.state = State::Proceeding;
            return heard;
        }
        self.tally.status(purpose.method, status);
        if status == 503 {
            let after = message.first(keyline_wire::sip::HeaderName::RetryAfter);
            let seconds = after.and_then(|text| text.trim().parse().ok()).unwrap_or(60);
            *self.tally.retry_after.entry(seconds).or_default() += 1;
        }
        if purpose.method == Method::Invite && status >= 300 {
            self.acknowledge(tx.slot, message);
        } else {
            self.release(tx.slot);
        }
        heard
    }

    /// The ACK of a final response other than 2xx, kept for its repetitions.
    fn acknowledge(&mut self, slot: u32, message: &Message<'_>) {
        let reliable = is_reliable(self.options.target.carrier);
        let linger = if reliable { LINGER } else { 64 * T1 };
        let found = &mut self.txs[slot as usize];
        let to = message.first(keyline_wire::sip::HeaderName::To);
        let Some(ack) = text::derived(&found.bytes, "ACK", to) else { return self.release(slot) };
        found.bytes = ack;
        found.state = State::Completed;
        found.resend_at = u64::MAX;
        found.end_at = self.now + linger;
        let (due, generation) = (found.due(), found.generation);
        self.timers.push(Reverse((due, Timer::Tx(slot, generation))));
        self.repeat_ack(slot);
    }

    fn repeat_ack(&mut self, slot: u32) {
        let found = &self.txs[slot as usize];
        let link = self.phones[found.purpose.phone as usize].link;
        let _ = self.links.send(link, found.bytes.as_bytes());
        self.tally.sent += 1;
    }

    fn release(&mut self, slot: u32) {
        let found = &mut self.txs[slot as usize];
        found.state = State::Free;
        found.generation = found.generation.wrapping_add(1);
        let cancel = found.cancel.take();
        self.free.push(slot);
        // Whatever became of the INVITE, its CANCEL matters no more.
        if let Some(cancel) = cancel.filter(|cancel| self.open(*cancel).is_some()) {
            self.release(cancel.slot);
        }
    }

    /// Takes the challenge of a 401 or 407; `false` when there is none or it was answered often enough.
    pub(super) fn challenged(&mut self, heard: &Heard, message: &Message<'_>) -> bool {
        if !matches!(heard.status, 401 | 407) || heard.purpose.tries + 1 >= TRIES_MAX {
            return false;
        }
        let phone = &mut self.phones[heard.purpose.phone as usize];
        let fresh = Kept::read(message, &phone.user, self.options.algorithm, phone.kept.as_deref());
        let found = fresh.is_some();
        if let Some(fresh) = fresh {
            phone.kept = Some(Box::new(fresh));
        }
        found
    }

    /// What the first timer that is due means; `None` when none is.
    pub(super) fn fire(&mut self) -> Option<Fired> {
        let &Reverse((at, timer)) = self.timers.peek()?;
        if at > self.now {
            return None;
        }
        self.timers.pop();
        let (slot, generation) = match timer {
            Timer::Scenario(id) => return Some(Fired::Scenario(id)),
            Timer::Tx(slot, generation) => (slot, generation),
        };
        let tx = &mut self.txs[slot as usize];
        if tx.generation != generation || tx.state == State::Free {
            return Some(Fired::Nothing);
        }
        if tx.end_at <= self.now {
            let (purpose, ended) = (tx.purpose, tx.state == State::Completed);
            self.release(slot);
            if ended {
                return Some(Fired::Nothing);
            }
            self.tally.timeouts += 1;
            return Some(Fired::TimedOut(purpose));
        }
        if tx.resend_at <= self.now && tx.repeat(self.now) {
            let link = self.phones[tx.purpose.phone as usize].link;
            let _ = self.links.send(link, tx.bytes.as_bytes());
            self.tally.repeated += 1;
            self.tally.sent += 1;
        }
        self.timers.push(Reverse((self.txs[slot as usize].due(), timer)));
        Some(Fired::Nothing)
    }

    /// Ends all transactions of a phone whose connection is gone.
    pub(super) fn drop_transactions(&mut self, phone: u32) -> Vec<Purpose> {
        let of_phone = |tx: &Tx| tx.state != State::Free && tx.purpose.phone == phone;
        let slots: Vec<u32> =
            (0..).zip(&self.txs).filter(|(_, tx)| of_phone(tx)).map(|(slot, _)| slot).collect();
        let mut lost = Vec::new();
        for slot in slots {
            let tx = &self.txs[slot as usize];
            if tx.state == State::Free {
                continue;
            }
            if tx.state != State::Completed {
                lost.push(tx.purpose);
            }
            self.release(slot);
        }
        lost
    }
}
