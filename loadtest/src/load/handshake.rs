//! `handshake`: connections that are made, proven by a keepalive, and closed.

use std::collections::VecDeque;
use std::io;

use keyline_wire::sip::Message;

use super::Span;
use super::core::{Core, Heard, Purpose};
use super::links::{Dial, Links, Opened};
use super::scenario::Scenario;

/// Two line ends: the server answers with one (RFC 5626 §3.5.1). In TLS 1.3 only this proves that it took
/// the client's certificate.
const PING: &[u8] = b"\r\n\r\n";

pub(super) struct Handshake {
    free: Vec<u32>,
    /// What each link is doing: phone, intended time, time of the dial.
    doing: Vec<Option<(u32, u64, u64)>>,
    backlog: VecDeque<(u32, u64)>,
    phones: u64,
    open: u64,
}

impl Handshake {
    pub(super) fn new(phones: usize, links: u32) -> Handshake {
        Handshake {
            free: (0..links).rev().collect(),
            doing: vec![None; links as usize],
            backlog: VecDeque::new(),
            phones: phones as u64,
            open: 0,
        }
    }

    fn dial(&mut self, core: &mut Core, phone: u32, intended: u64) {
        let Some(link) = self.free.pop() else {
            self.backlog.push_back((phone, intended));
            return;
        };
        self.doing[link as usize] = Some((phone, intended, core.now));
        let patience = core.options.timeout.as_micros() as u64;
        core.alarm(core.now + patience, u64::from(link));
        if let Err(e) = self.try_dial(core, link, phone) {
            self.fail(core, link, &e.to_string());
        } else {
            core.tally.late(super::transaction::Method::Options, core.now.saturating_sub(intended));
        }
    }

    fn try_dial(&mut self, core: &mut Core, link: u32, phone: u32) -> io::Result<()> {
        let tls = core.tls_of(phone)?;
        let Links::Stream(links) = &mut core.links else {
            return Err(io::Error::other("handshakes need tcp or tls"));
        };
        links.dial(core.now, link, Dial { tls, abort: true })
    }

    fn fail(&mut self, core: &mut Core, link: u32, why: &str) {
        core.tally.broken += 1;
        core.tally.failure("no_connection", || format!("no connection: {why}"));
        self.done(core, link);
    }

    fn done(&mut self, core: &mut Core, link: u32) {
        if self.doing[link as usize].take().is_none() {
            return;
        }
        if let Links::Stream(links) = &mut core.links {
            links.hang_up(link);
        }
        self.free.push(link);
        self.open -= 1;
        if let Some((phone, intended)) = self.backlog.pop_front() {
            self.dial(core, phone, intended);
        }
    }
}

impl Scenario for Handshake {
    fn begin(&mut self, core: &mut Core, number: u64, intended: u64) {
        self.open += 1;
        self.dial(core, (number % self.phones) as u32, intended);
    }

    fn opened(&mut self, core: &mut Core, link: u32, opened: Opened) {
        core.tally.record(Span::Handshake, opened.took);
        core.tally.outcome(if opened.resumed { "resumed" } else { "full" });
        core.tally.sent += 1;
        if !core.links.send(link, PING) {
            self.fail(core, link, "the ping could not be sent");
        }
    }

    fn pong(&mut self, core: &mut Core, link: u32) {
        if let Some((_, intended, _)) = self.doing[link as usize] {
            core.tally.received += 1;
            core.tally.success(core.now.saturating_sub(intended));
            self.done(core, link);
        }
    }

    fn lost(&mut self, core: &mut Core, link: u32, why: &str) {
        self.fail(core, link, why);
    }

    fn alarm(&mut self, core: &mut Core, id: u64) {
        let link = id as u32;
        let patience = core.options.timeout.as_micros() as u64;
        // The time of the link's dial tells an old bell from a new one. (That of the operation does not: it may
        // have waited for a link for longer than a bell.)
        let late = self.doing[link as usize].is_some_and(|(_, _, dialed)| dialed + patience <= core.now);
        if late {
            core.tally.timeouts += 1;
            self.fail(core, link, "no handshake and answer to the keepalive in time");
        }
    }

    fn heard(&mut self, _core: &mut Core, _heard: &Heard, _message: &Message<'_>) {}

    fn gone(&mut self, _core: &mut Core, _purpose: Purpose) {}

    fn open(&self) -> u64 {
        self.open
    }
}
