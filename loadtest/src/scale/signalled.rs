//! Many registered phones on a few datagram sockets that do as they are told: on NOTIFY they answer and register
//! anew, first without credentials, as they did before. What the node answers shows by which version of the profile
//! it judges them.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyline_wire::sip::{HeaderName, Message};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::Series;
use crate::inventory;
use crate::load::Kept;
use crate::load::users::User;

/// Sockets that phones share.
const SOCKETS: usize = 8;
/// REGISTERs without an answer, at most, while phones register for the first time.
const OPEN_MAX: usize = 400;
/// First repetition of what got no answer; then twice that, up to four seconds (RFC 3261 §17.1.2).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// What the phones are to do, and how far they are: shared with whoever directs them.
#[derive(Default)]
pub(super) struct Board {
    /// End.
    pub stop: AtomicBool,
    /// Times that the node went or came: what is under way meanwhile tells nothing of its latency.
    pub breaks: AtomicU32,
    /// Refresh the registration of phones that were not told anything, so many a second.
    pub refresh_per_s: AtomicU32,
    /// Phones registered once.
    pub registered: AtomicU64,
    /// Phones that were told.
    pub told: AtomicU64,
    /// Phones that were told and registered with their password since.
    pub back: AtomicU64,
}

/// What they saw.
pub(super) struct Seen {
    /// Latency of refreshes by phones that were not told anything.
    pub refresh: Series,
    /// Latency of a registration after the signal, both REGISTERs.
    pub back: Series,
    /// Signals, each repetition by a restart included, of the transport not.
    pub signals: u64,
    /// Phones that were told more than once.
    pub told_again: u64,
    /// Served without credentials although told before: judged by the old version after the signal.
    pub old_after: u64,
    /// Asked for credentials and never told: judged by the new version, and nobody said so.
    pub new_untold: u64,
    /// Refreshes without credentials that were served before the signal.
    pub old_before: u64,
    /// Final answers that are neither 200 nor 401, each repeated.
    pub others: u64,
}

struct Open {
    cseq: u32,
    first: Instant,
    resend: Instant,
    wait: Duration,
    bytes: String,
    authorized: bool,
    /// The phone had been told when it was first sent.
    told: bool,
    tries: u8,
    /// Breaks until it was first sent.
    breaks: u32,
}

struct Phone {
    user: User,
    call_id: String,
    cseq: u32,
    registered: bool,
    signals: u32,
    last_signal: (String, u32),
    /// To register anew as soon as nothing is open.
    again: bool,
    back: bool,
    asked_untold: bool,
    kept: Option<Kept>,
    open: Option<Open>,
    since: Option<(Instant, u32)>,
}

/// The phones.
pub(super) struct Phones {
    board: Arc<Board>,
    target: SocketAddr,
    sockets: Vec<(UdpSocket, SocketAddr)>,
    phones: Vec<Phone>,
    waiting: Vec<usize>,
    seen: Seen,
}

impl Phones {
    pub(super) fn open(target: SocketAddr, count: u32, board: Arc<Board>) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            let socket = UdpSocket::bind((target.ip(), 0))?;
            // The kernel clamps to its maximum; a smaller buffer is no error.
            let _ = SockRef::from(&socket).set_recv_buffer_size(8 << 20);
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            sockets.push((socket, local));
        }
        let phones = inventory::fleet(1, count).into_iter().map(|phone| Phone {
            call_id: format!("{}-roll", phone.dn),
            user: User::from(phone),
            cseq: 0,
            registered: false,
            signals: 0,
            last_signal: (String::new(), 0),
            again: false,
            back: false,
            asked_untold: false,
            kept: None,
            open: None,
            since: None,
        });
        let seen = Seen {
            refresh: Series::new(),
            back: Series::new(),
            signals: 0,
            told_again: 0,
            old_after: 0,
            new_untold: 0,
            old_before: 0,
            others: 0,
        };
        Ok(Self { board, target, sockets, phones: phones.collect(), waiting: Vec::new(), seen })
    }

    /// Runs until the board says stop.
    pub(super) fn run(mut self) -> Seen {
        let mut buffer = vec![0; 16 * 1024];
        let (mut next, mut probe) = (0, 0_usize);
        let (mut swept, mut refreshed) = (Instant::now(), Instant::now());
        while !self.board.stop.load(Ordering::Relaxed) {
            let mut fds: Vec<_> = self
                .sockets
                .iter()
                .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut fds, PollTimeout::from(2_u8));
            drop(fds);
            for at in 0..SOCKETS {
                for _ in 0..256 {
                    let Ok((length, _)) = self.sockets[at].0.recv_from(&mut buffer) else { break };
                    self.heard(at, &buffer[..length]);
                }
            }
            let now = Instant::now();
            while next < self.phones.len() && self.waiting.len() < OPEN_MAX {
                self.register(next, false, now);
                next += 1;
            }
            let rate = u64::from(self.board.refresh_per_s.load(Ordering::Relaxed));
            let due = (now - refreshed).as_micros() as u64 * rate / 1_000_000;
            if due > 0 || rate == 0 {
                refreshed = now;
            }
            for _ in 0..due.min(1000) {
                probe = (probe + 7919) % self.phones.len();
                let phone = &self.phones[probe];
                if phone.registered && phone.signals == 0 && phone.open.is_none() && !phone.asked_untold {
                    self.register(probe, false, now);
                }
            }
            if now - swept > Duration::from_millis(20) {
                swept = now;
                self.sweep(now);
            }
        }
        for phone in &self.phones {
            self.seen.new_untold += u64::from(phone.asked_untold && phone.signals == 0);
            self.seen.told_again += u64::from(phone.signals > 1);
        }
        self.seen
    }

    fn register(&mut self, at: usize, authorized: bool, now: Instant) {
        let (host, via) = (self.target, self.sockets[at % SOCKETS].1);
        let phone = &mut self.phones[at];
        phone.cseq += 1;
        let (dn, cseq, call_id) = (&phone.user.number, phone.cseq, &phone.call_id);
        let uri = format!("sip:{host}");
        let mut bytes = String::with_capacity(700);
        // Writing to a String can not fail.
        let _ = write!(
            bytes,
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{dn}x{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{dn}@{host}>;tag=t{cseq}\r\nTo: <sip:{dn}@{host}>\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:{dn}@{via}>\r\nExpires: 3600\r\n"
        );
        if authorized && let Some(kept) = &mut phone.kept {
            kept.authorize(&mut bytes, &phone.user, "REGISTER", &uri, cseq);
        }
        bytes.push_str("Content-Length: 0\r\n\r\n");
        let breaks = self.board.breaks.load(Ordering::Relaxed);
        let (first, told, tries, breaks) = match phone.open.take() {
            Some(open) if authorized => (open.first, open.told, open.tries + 1, open.breaks),
            _ => (now, phone.signals > 0, 0, breaks),
        };
        if tries == 0 {
            self.waiting.push(at);
        }
        let _ = self.sockets[at % SOCKETS].0.send_to(bytes.as_bytes(), self.target);
        let (resend, wait) = (now + T1, T1);
        self.phones[at].open =
            Some(Open { cseq, first, resend, wait, bytes, authorized, told, tries, breaks });
    }

    /// Repeats what got no answer.
    fn sweep(&mut self, now: Instant) {
        let (phones, sockets, target) = (&mut self.phones, &self.sockets, self.target);
        self.waiting.retain(|at| {
            let Some(open) = &mut phones[*at].open else { return false };
            if open.resend <= now {
                open.wait = (open.wait * 2).min(T2);
                open.resend = now + open.wait;
                let _ = sockets[*at % SOCKETS].0.send_to(open.bytes.as_bytes(), target);
            }
            true
        });
    }

    fn heard(&mut self, socket: usize, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        let now = Instant::now();
        let (Some(call_id), Some(cseq)) = (message.call_id(), message.cseq().map(|c| c.number)) else {
            return;
        };
        match message.status() {
            Some(status) => {
                let number = call_id.strip_suffix("-roll");
                let Some(at) = number.and_then(|dn| self.place(dn)) else { return };
                if self.phones[at].open.as_ref().is_some_and(|open| open.cseq == cseq) && status >= 200 {
                    self.answered(at, status, &message, now);
                }
            }
            None => {
                let uri = message.request_uri().unwrap_or_default();
                let dn = uri.strip_prefix("sip:").and_then(|rest| rest.split('@').next());
                let Some(at) = dn.and_then(|dn| self.place(dn)) else { return };
                let _ = self.sockets[socket].0.send_to(accepted(&message).as_bytes(), self.target);
                let signal = (call_id.to_owned(), cseq);
                if self.phones[at].last_signal != signal {
                    self.phones[at].last_signal = signal;
                    self.told(at, now);
                }
            }
        }
    }

    fn place(&self, dn: &str) -> Option<usize> {
        let at = dn.parse::<usize>().ok()?.checked_sub(10_000_000)?;
        (at < self.phones.len()).then_some(at)
    }

    fn told(&mut self, at: usize, now: Instant) {
        let phone = &mut self.phones[at];
        phone.signals += 1;
        self.seen.signals += 1;
        if phone.signals == 1 {
            self.board.told.fetch_add(1, Ordering::Relaxed);
        }
        phone.since = Some((now, self.board.breaks.load(Ordering::Relaxed)));
        match phone.open {
            Some(_) => phone.again = true,
            None => self.register(at, false, now),
        }
    }

    fn answered(&mut self, at: usize, status: u16, response: &Message<'_>, now: Instant) {
        let phone = &mut self.phones[at];
        let Some(open) = phone.open.as_ref() else { return };
        let (authorized, told, first, tries) = (open.authorized, open.told, open.first, open.tries);
        let breaks = self.board.breaks.load(Ordering::Relaxed);
        let whole = open.breaks == breaks;
        match status {
            200 => {
                phone.open = None;
                if !std::mem::replace(&mut phone.registered, true) {
                    self.board.registered.fetch_add(1, Ordering::Relaxed);
                } else if told && authorized {
                    if let Some((since, _)) = phone.since.filter(|(_, then)| *then == breaks) {
                        self.seen.back.add(now - since);
                    }
                    if !std::mem::replace(&mut phone.back, true) {
                        self.board.back.fetch_add(1, Ordering::Relaxed);
                    }
                } else if told {
                    self.seen.old_after += 1;
                } else {
                    if whole {
                        self.seen.refresh.add(now - first);
                    }
                    self.seen.old_before += u64::from(!authorized);
                }
            }
            401 if tries < 4 => {
                phone.asked_untold |= phone.signals == 0;
                let kept = Kept::read(response, &phone.user, None, phone.kept.as_ref());
                phone.kept = kept;
                self.register(at, true, now);
                return;
            }
            // Overload, or a node that stops: the same once more, later.
            _ => {
                self.seen.others += 1;
                if let Some(open) = &mut phone.open {
                    open.resend = now + T2;
                    open.wait = T2;
                }
                return;
            }
        }
        if std::mem::take(&mut self.phones[at].again) {
            self.register(at, false, now);
        }
    }
}

/// 200 to a request.
fn accepted(request: &Message<'_>) -> String {
    let mut out = String::from("SIP/2.0 200 OK\r\n");
    for via in request.all(HeaderName::Via) {
        let _ = write!(out, "Via: {via}\r\n");
    }
    let first = |header| request.first(header).unwrap_or_default();
    let cseq = first(HeaderName::Cseq);
    let to = first(HeaderName::To);
    let tag = if to.contains(";tag=") { "" } else { ";tag=phone" };
    let (from, call_id) = (first(HeaderName::From), first(HeaderName::CallId));
    let _ = write!(
        out,
        "From: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
    );
    out
}
