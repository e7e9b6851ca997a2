//! `attack`: what a hostile network sends all day. Nothing of it may be let in.

use std::fmt::Write as _;

use keyline_wire::sip::Message;

use super::core::{Core, Heard, Purpose};
use super::links::{Links, Opened};
use super::scenario::Scenario;
use super::text::Draft;
use super::transaction::Method;
use super::users::User;

/// Kinds of attackers, in turn.
const KINDS: u64 = 3;

/// Attackers of a fleet: every third guesses names, every third passwords of phones that exist, and every third
/// sends what no parser can read.
pub fn attackers(known: &[User], count: usize) -> Vec<User> {
    let one = |n: usize| {
        let password: Box<str> = format!("guess{n:07}").into();
        match known.get(n).filter(|_| n as u64 % KINDS == 1) {
            Some(user) => User { password, ..user.clone() },
            None => {
                let number = format!("9{n:07}");
                User { user: format!("nobody{n}").into(), number: number.into(), password, device: None }
            }
        }
    };
    (0..count).map(one).collect()
}

/// Sends what attackers send and sees that nobody is let in.
#[derive(Default)]
pub(super) struct Attack {
    open: u64,
    text: String,
    bytes: Vec<u8>,
}

impl Attack {
    fn send(&mut self, core: &mut Core, phone: u32, (number, intended): (u64, u64), tries: u8) {
        let options = core.options.clone();
        let one = &mut core.phones[phone as usize];
        one.cseq += 1;
        let cseq = one.cseq;
        self.text.clear();
        // Writing to a String can not fail.
        let _ = write!(self.text, "{}a{phone:x}@{}", core.run, options.domain);
        let draft = Draft {
            method: Method::Register,
            uri: &options.registrar,
            to: None,
            to_tag: "",
            from_tag: "a",
            call_id: &self.text,
            cseq,
            contact: Some(""),
            route: &[],
            more: "Expires: 3600\r\n",
            body: "",
        };
        core.send(Purpose { phone, method: Method::Register, item: number, intended, tries }, &draft);
    }

    /// Something that is no message: cut off, of another protocol, with lengths that lie, or noise.
    fn garbage(&mut self, core: &mut Core, phone: u32, number: u64) {
        self.bytes.clear();
        match number / KINDS % 6 {
            0 => self.bytes.extend((0..200 + number % 900).map(|n| (n.wrapping_mul(number | 1) >> 3) as u8)),
            1 => self.bytes.extend_from_slice(b"REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP"),
            2 => self.bytes.extend_from_slice(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            3 => {
                let text = "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nContent-Length: 99999\r\n\r\nx";
                self.bytes.extend_from_slice(text.as_bytes());
            }
            4 => {
                self.bytes.extend_from_slice(b"REGISTER sip:x SIP/2.0\r\n");
                self.bytes.extend((0..1_200).map(|n| if n % 40 == 39 { b'\n' } else { b'a' }));
            }
            _ => self.bytes.extend(std::iter::repeat_n(b"\r\n\0", 100).flatten()),
        }
        core.write(phone, &self.bytes);
    }

    /// As it should be.
    fn held(&mut self, core: &mut Core, outcome: &'static str, took: u64) {
        core.tally.outcome(outcome);
        core.tally.success(took);
        self.open -= 1;
    }
}

impl Scenario for Attack {
    fn begin(&mut self, core: &mut Core, number: u64, intended: u64) {
        let phone = (number % core.phones.len() as u64) as u32;
        self.open += 1;
        core.phones[phone as usize].kept = None;
        if u64::from(phone) % KINDS == 2 && matches!(core.links, Links::Udp(_)) {
            self.garbage(core, phone, number);
            return self.held(core, "garbage", 0);
        }
        if core.is_connected(phone) {
            return self.send(core, phone, (number, intended), 0);
        }
        // Each connection serves one attempt; who finds the last one still being made is too many.
        match core.connect(phone) {
            Ok(()) => self.held(core, "connecting", 0),
            Err(_) => self.held(core, "no_connection", 0),
        }
    }

    fn heard(&mut self, core: &mut Core, heard: &Heard, message: &Message<'_>) {
        let Heard { purpose: Purpose { phone, intended, tries, item, .. }, status, .. } = *heard;
        if status < 200 {
            return;
        }
        if tries == 0 && core.challenged(heard, message) {
            return self.send(core, phone, (item, intended), 1);
        }
        if status < 300 {
            core.tally.failure("let_in", || format!("an attacker got {status}"));
            self.open -= 1;
            return;
        }
        self.held(core, "refused", core.now.saturating_sub(intended));
    }

    fn gone(&mut self, core: &mut Core, purpose: Purpose) {
        self.held(core, "ignored", core.now.saturating_sub(purpose.intended));
    }

    fn opened(&mut self, core: &mut Core, _link: u32, opened: Opened) {
        core.tally.record(super::Span::Handshake, opened.took);
    }

    fn lost(&mut self, core: &mut Core, link: u32, _why: &str) {
        core.tally.broken += 1;
        for purpose in core.drop_transactions(link) {
            self.gone(core, purpose);
        }
    }

    fn open(&self) -> u64 {
        self.open
    }
}
