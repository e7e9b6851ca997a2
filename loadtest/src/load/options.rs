//! `options`: pings of the server.

use std::fmt::Write as _;

use keyline_wire::sip::Message;

use super::core::{Core, Heard, Purpose};
use super::links::Opened;
use super::scenario::Scenario;
use super::text::Draft;
use super::transaction::Method;

/// Phones ping the server in turn.
#[derive(Default)]
pub(super) struct Ping {
    open: u64,
    /// Phone and intended time of pings that wait for a connection.
    connecting: Vec<(u32, u64)>,
    call_id: String,
}

impl Ping {
    fn send(&mut self, core: &mut Core, phone: u32, intended: u64, tries: u8) {
        let options = core.options.clone();
        let number = &mut core.phones[phone as usize];
        number.cseq += 1;
        let cseq = number.cseq;
        self.call_id.clear();
        // Writing to a String can not fail.
        let _ = write!(self.call_id, "{}o{phone:x}.{cseq:x}@{}", core.run, options.domain);
        let draft = Draft {
            method: Method::Options,
            uri: &options.registrar,
            to: None,
            to_tag: "",
            from_tag: "o",
            call_id: &self.call_id,
            cseq,
            contact: Some(""),
            route: &[],
            more: "Accept: application/sdp\r\n",
            body: "",
        };
        core.send(Purpose { phone, method: Method::Options, item: 0, intended, tries }, &draft);
    }

    fn fail(&mut self, core: &mut Core, outcome: &'static str, why: impl FnOnce() -> String) {
        core.tally.failure(outcome, why);
        self.open -= 1;
    }
}

impl Scenario for Ping {
    fn begin(&mut self, core: &mut Core, number: u64, intended: u64) {
        let phone = (number % core.phones.len() as u64) as u32;
        self.open += 1;
        if core.is_connected(phone) {
            return self.send(core, phone, intended, 0);
        }
        let first = self.connecting.iter().all(|(other, _)| *other != phone);
        match if first { core.connect(phone) } else { Ok(()) } {
            Ok(()) => self.connecting.push((phone, intended)),
            Err(e) => self.fail(core, "no_connection", || e.to_string()),
        }
    }

    fn heard(&mut self, core: &mut Core, heard: &Heard, message: &Message<'_>) {
        let Heard { purpose: Purpose { phone, intended, tries, .. }, status, .. } = *heard;
        if status < 200 {
            return;
        }
        if core.challenged(heard, message) {
            return self.send(core, phone, intended, tries + 1);
        }
        if status == 200 {
            core.tally.success(core.now.saturating_sub(intended));
            self.open -= 1;
        } else {
            self.fail(core, "refused", || format!("OPTIONS: {status}"));
        }
    }

    fn gone(&mut self, core: &mut Core, _purpose: Purpose) {
        self.fail(core, "no_answer", || "OPTIONS: no answer".into());
    }

    fn opened(&mut self, core: &mut Core, link: u32, opened: Opened) {
        core.tally.record(super::Span::Handshake, opened.took);
        let (mine, others) = self.connecting.iter().partition(|(phone, _)| *phone == link);
        self.connecting = others;
        let mine: Vec<(u32, u64)> = mine;
        mine.into_iter().for_each(|(phone, intended)| self.send(core, phone, intended, 0));
    }

    fn lost(&mut self, core: &mut Core, link: u32, why: &str) {
        core.tally.broken += 1;
        let before = self.connecting.len();
        self.connecting.retain(|(phone, _)| *phone != link);
        for _ in self.connecting.len()..before {
            self.fail(core, "no_connection", || format!("no connection: {why}"));
        }
        for purpose in core.drop_transactions(link) {
            self.gone(core, purpose);
        }
    }

    fn open(&self) -> u64 {
        self.open
    }
}
