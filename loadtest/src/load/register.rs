//! `register` and `refresh`.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use keyline_wire::sip::Message;

use super::core::{Core, Heard, Purpose};
use super::links::{Links, Opened};
use super::scenario::Scenario;
use super::text::Draft;
use super::transaction::Method;
use crate::inventory::MODEL_NUMBER;

/// Registers phones one after the other, again from the first when there are more operations than phones.
pub(super) struct Register {
    /// Keep nonces and connections: what phones do until something breaks.
    refresh: bool,
    /// Come from another address each time.
    moves: bool,
    /// Try again what is refused or lost: times of what waits, by phone, with the number of tries.
    again: Option<HashMap<u32, (u64, u32)>>,
    busy: Vec<bool>,
    /// A phone never has two REGISTERs under way (RFC 3261 §10.2): what is due meanwhile waits here.
    backlog: HashMap<u32, VecDeque<u64>>,
    /// Operations whose connection is being made.
    connecting: HashMap<u32, u64>,
    open: u64,
    text: Texts,
}

/// Scratch.
#[derive(Default)]
struct Texts {
    call_id: String,
    contact: String,
    tag: String,
}

impl Register {
    pub(super) fn new(refresh: bool, phones: usize) -> Register {
        Register {
            refresh,
            moves: false,
            again: None,
            busy: vec![false; phones],
            backlog: HashMap::new(),
            connecting: HashMap::new(),
            open: 0,
            text: Texts::default(),
        }
    }

    /// Phones that come back with what they have kept, and do not give up.
    pub(super) fn returning(phones: usize) -> Register {
        Register { again: Some(HashMap::new()), ..Register::new(true, phones) }
    }

    /// Phones that come from another address each time, and keep their nonces.
    pub(super) fn moving(phones: usize) -> Register {
        Register { moves: true, ..Register::new(true, phones) }
    }

    /// Tries once more after a while, if this run does so: in 0.2 to 0.6 s, doubled up to four times. Phones
    /// spread themselves by their numbers.
    fn retry(&mut self, core: &mut Core, phone: u32, intended: u64, why: &'static str) -> bool {
        let Some(again) = &mut self.again else { return false };
        let (_, tries) = again.remove(&phone).unwrap_or((intended, 0));
        core.tally.outcome(why);
        if let Links::Stream(links) = &mut core.links {
            links.hang_up(phone);
        }
        let spread = u64::from((phone + 7 * tries).wrapping_mul(2_654_435_761) >> 16) * 6;
        core.alarm(core.now + ((200_000 + spread) << tries.min(4)), u64::from(phone));
        again.insert(phone, (intended, tries + 1));
        true
    }

    fn start(&mut self, core: &mut Core, phone: u32, intended: u64) {
        self.busy[phone as usize] = true;
        if !self.refresh {
            core.phones[phone as usize].kept = None;
        }
        if self.moves {
            core.relocate(phone);
        }
        // Whoever comes back believes no connection that he had.
        if self.again.is_none() && core.is_connected(phone) {
            self.send(core, phone, intended, 0);
            return;
        }
        match core.connect(phone) {
            Ok(()) => drop(self.connecting.insert(phone, intended)),
            Err(e) => {
                core.tally.broken += 1;
                if self.retry(core, phone, intended, "connection_refused") {
                    return;
                }
                core.tally.failure("no_connection", || e.to_string());
                self.finish(core, phone);
            }
        }
    }

    fn send(&mut self, core: &mut Core, phone: u32, intended: u64, tries: u8) {
        let options = core.options.clone();
        let Texts { call_id, contact, tag } = &mut self.text;
        let number = &mut core.phones[phone as usize];
        number.cseq += 1;
        let cseq = number.cseq;
        for text in [&mut *call_id, contact, tag] {
            text.clear();
        }
        // Writing to a String can not fail.
        let _ = write!(call_id, "{}r{phone:x}@{}", core.run, options.domain);
        let _ = write!(tag, "{phone:x}");
        if let Some(device) = &number.user.device {
            let mac = device.strip_prefix("SEP").unwrap_or(device).to_ascii_lowercase();
            let _ = write!(
                contact,
                ";+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{mac}>\";+u.sip!devicename.ccm.cisco.com=\
                 \"{device}\";+u.sip!model.ccm.cisco.com=\"{MODEL_NUMBER}\""
            );
        }
        let draft = Draft {
            method: Method::Register,
            uri: &options.registrar,
            to: None,
            to_tag: "",
            from_tag: tag,
            call_id,
            cseq,
            contact: Some(contact),
            route: &[],
            more: &options.expires_line,
            body: "",
        };
        core.send(Purpose { phone, method: Method::Register, item: 0, intended, tries }, &draft);
    }

    fn finish(&mut self, core: &mut Core, phone: u32) {
        self.open -= 1;
        self.busy[phone as usize] = false;
        let Some(queue) = self.backlog.get_mut(&phone) else { return };
        let next = queue.pop_front();
        if queue.is_empty() {
            self.backlog.remove(&phone);
        }
        if let Some(intended) = next {
            self.start(core, phone, intended);
        }
    }
}

impl Scenario for Register {
    fn begin(&mut self, core: &mut Core, number: u64, intended: u64) {
        let phone = (number % self.busy.len() as u64) as u32;
        self.open += 1;
        if self.busy[phone as usize] {
            self.backlog.entry(phone).or_default().push_back(intended);
        } else {
            self.start(core, phone, intended);
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
        if status == 200 && is_bound(core, phone, message) {
            core.tally.success(core.now.saturating_sub(intended));
        } else if status == 200 {
            let contact = core.phones[phone as usize].contact.clone();
            core.tally.failure("binding_missing", || format!("the 200 does not list {contact} with a time"));
        } else {
            if status == 503 && self.retry(core, phone, intended, "asked_to_wait") {
                return;
            }
            let why = || format!("REGISTER: {status} {}", message.reason().unwrap_or_default());
            core.tally.failure("refused", why);
        }
        self.finish(core, phone);
    }

    fn gone(&mut self, core: &mut Core, purpose: Purpose) {
        if self.retry(core, purpose.phone, purpose.intended, "register_lost") {
            return;
        }
        core.tally.failure("no_answer", || "REGISTER: no answer".into());
        self.finish(core, purpose.phone);
    }

    fn opened(&mut self, core: &mut Core, link: u32, opened: Opened) {
        core.tally.record(super::Span::Handshake, opened.took);
        if self.again.is_some() {
            core.tally.outcome(if opened.resumed { "resumed" } else { "full" });
        }
        if let Some(intended) = self.connecting.remove(&link) {
            self.send(core, link, intended, 0);
        }
    }

    fn lost(&mut self, core: &mut Core, link: u32, why: &str) {
        core.tally.broken += 1;
        if let Some(intended) = self.connecting.remove(&link) {
            if self.retry(core, link, intended, "connection_refused") {
                return;
            }
            core.tally.failure("no_connection", || format!("no connection: {why}"));
            self.finish(core, link);
            return;
        }
        core.tally.fault(|| format!("connection lost: {why}"));
        for purpose in core.drop_transactions(link) {
            self.gone(core, purpose);
        }
    }

    fn alarm(&mut self, core: &mut Core, id: u64) {
        let phone = id as u32;
        let Some(&(intended, _)) = self.again.as_ref().and_then(|again| again.get(&phone)) else { return };
        self.start(core, phone, intended);
    }

    fn open(&self) -> u64 {
        self.open
    }
}

/// Whether a 200 lists the phone's contact with a time to live.
fn is_bound(core: &Core, phone: u32, message: &Message<'_>) -> bool {
    let own = core.phones[phone as usize].contact.trim_matches(['<', '>']);
    let own = own.split(';').next().unwrap_or(own);
    message.values(keyline_wire::sip::HeaderName::Contact).any(|value| {
        let after = value.find(own).map(|at| &value[at + own.len()..]);
        // The whole address: no longer port may follow.
        let whole = after.filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        let expires = whole.and_then(|rest| rest.split(";expires=").nth(1));
        let seconds = expires.and_then(|rest| rest.split([';', ',', ' ']).next()?.parse::<u32>().ok());
        match (whole, seconds) {
            (Some(_), Some(seconds)) => seconds > 0,
            (Some(_), None) => message.expires().is_some(),
            (None, _) => false,
        }
    })
}
