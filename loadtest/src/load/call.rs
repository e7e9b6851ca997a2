//! `call`: pairs of phones that call, talk and hang up.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use keyline_wire::sip::{HeaderName, Message, Method as Named};

use super::Span;
use super::core::{Core, Heard, Purpose, T1};
use super::leg::{Bell, Conduct, Legs, Wake};
use super::scenario::{Scenario, attend};
use super::text::{self, Answer, Draft, TxId};
use super::transaction::Method;

/// How calls go.
#[derive(Debug, Clone, Copy)]
pub struct CallPlan {
    /// From the answer to the BYE.
    pub hold: Duration,
    /// From the INVITE to the answer.
    pub ring: Duration,
    /// Percent of calls that meet a busy phone.
    pub busy: u8,
    /// Percent of calls that the caller cancels while it rings.
    pub cancel: u8,
    /// The server must be a back-to-back user agent: both sides of a call differ in Call-ID and tags.
    pub b2bua: bool,
}

/// Ports of calls begin here; each has two.
const PORTS: u64 = 10_000;
const PORT_PAIRS: u64 = 25_000;
/// Calls jump over that many pairs, so that a few calls reach phones everywhere. A prime: all have their turn.
const STRIDE: u64 = 7_919;
/// A caller who has heard no 180 cancels anyhow after this time, microseconds.
const CANCEL_AT: u64 = 3_000_000;
/// How long an ended call still acknowledges late copies of its 2xx.
const LINGER: u64 = 64 * T1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Inviting,
    Talking,
    Releasing,
    Over,
}

struct Call {
    caller: u32,
    intended: u64,
    conduct: Conduct,
    state: State,
    tx: TxId,
    cseq: u32,
    rang: bool,
    cancelled: bool,
    to_tag: Box<str>,
    /// Request URI within the dialog.
    remote: Box<str>,
    route: Vec<String>,
    /// CSeq of the INVITE that was answered.
    answered: u32,
}

/// All calls of one thread.
pub(super) struct Calls {
    plan: CallPlan,
    calls: HashMap<u64, Call, foldhash::fast::RandomState>,
    /// Which call an audio port stands for.
    ports: HashMap<u16, u64, foldhash::fast::RandomState>,
    legs: Legs,
    open: u64,
    wake: Vec<Wake>,
    text: Texts,
}

/// Scratch.
#[derive(Default)]
struct Texts {
    call_id: String,
    tag: String,
    uri: String,
    body: String,
}

/// Bells of calls, in the low bits of an alarm; those of legs follow.
const HANG_UP: u64 = 0;
const FORGET: u64 = 1;
const CANCEL: u64 = 2;
const LEG: [(u64, Bell); 4] = [(4, Bell::Answer), (5, Bell::Repeat), (6, Bell::Limit), (7, Bell::Forget)];

impl Calls {
    pub(super) fn new(plan: CallPlan) -> Calls {
        Calls {
            plan,
            calls: HashMap::default(),
            ports: HashMap::default(),
            legs: Legs::default(),
            open: 0,
            wake: Vec::new(),
            text: Texts::default(),
        }
    }

    fn conduct(&self, number: u64) -> Conduct {
        // Spread evenly over every hundred calls.
        let percent = (number * 37 % 100) as u8;
        if percent < self.plan.busy {
            Conduct::Busy
        } else if percent < self.plan.busy.saturating_add(self.plan.cancel) {
            Conduct::Ring
        } else {
            Conduct::Answer
        }
    }

    fn invite(&mut self, core: &mut Core, number: u64, tries: u8) {
        let options = core.options.clone();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Texts { call_id, tag, uri, body } = &mut self.text;
        for text in [&mut *call_id, tag, uri] {
            text.clear();
        }
        if tries == 0 && options.challenge_calls {
            core.phones[call.caller as usize].kept = None;
        }
        let callee = core.phones[call.caller as usize + 1].user.number.clone();
        // Writing to a String can not fail.
        let _ = write!(call_id, "{}c{number:x}@{}", core.run, options.domain);
        let _ = write!(tag, "c{number:x}");
        let _ = write!(uri, "sip:{callee}@{}", options.domain);
        if let Some(local) = core.local(call.caller) {
            text::sdp(body, local.ip(), port_of(number), number);
        }
        call.cseq += 1;
        let draft = Draft {
            method: Method::Invite,
            uri,
            to: Some(&callee),
            to_tag: "",
            from_tag: tag,
            call_id,
            cseq: call.cseq,
            contact: Some(""),
            route: &[],
            more: "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY\r\n",
            body,
        };
        let purpose = Purpose {
            phone: call.caller,
            method: Method::Invite,
            item: number,
            intended: call.intended,
            tries,
        };
        call.tx = core.send(purpose, &draft);
    }

    /// ACK or BYE within the dialog.
    fn within(&mut self, core: &mut Core, number: u64, method: Method, (intended, tries): (u64, u8)) {
        let options = core.options.clone();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Texts { call_id, tag, .. } = &mut self.text;
        for text in [&mut *call_id, tag] {
            text.clear();
        }
        let callee = core.phones[call.caller as usize + 1].user.number.clone();
        // Writing to a String can not fail.
        let _ = write!(call_id, "{}c{number:x}@{}", core.run, options.domain);
        let _ = write!(tag, "c{number:x}");
        let cseq = if method == Method::Ack {
            call.answered
        } else {
            call.cseq += 1;
            call.cseq
        };
        let draft = Draft {
            method,
            uri: &call.remote,
            to: Some(&callee),
            to_tag: &call.to_tag,
            from_tag: tag,
            call_id,
            cseq,
            contact: None,
            route: &call.route,
            more: "",
            body: "",
        };
        if method != Method::Ack {
            core.send(Purpose { phone: call.caller, method, item: number, intended, tries }, &draft);
            return;
        }
        let mut out = std::mem::take(&mut core.text);
        // An ACK has no transaction; a slot that no transaction ever has keeps its branch apart.
        let branch = TxId { slot: u32::MAX, generation: number as u32 };
        let caller = &core.phones[call.caller as usize];
        text::head(&mut out, &draft, caller, &options.domain, &core.run, branch);
        text::end(&mut out, "");
        core.write(call.caller, out.as_bytes());
        core.text = out;
    }

    fn over(&mut self, core: &mut Core, number: u64) {
        if let Some(call) = self.calls.get_mut(&number).filter(|call| call.state != State::Over) {
            call.state = State::Over;
            self.open -= 1;
            core.alarm(core.now + LINGER, number << 3 | FORGET);
        }
    }

    fn fail(&mut self, core: &mut Core, number: u64, outcome: &'static str, why: impl FnOnce() -> String) {
        core.tally.failure(outcome, why);
        self.over(core, number);
    }

    fn hear_invite(&mut self, core: &mut Core, heard: &Heard, message: &Message<'_>) {
        let number = heard.purpose.item;
        let Some(call) = self.calls.get_mut(&number) else { return };
        let took = core.now.saturating_sub(call.intended);
        match heard.status {
            100 => {}
            ..200 => {
                if !call.rang {
                    call.rang = true;
                    core.tally.record(Span::Ringing, took);
                }
                self.cancel(core, number);
            }
            200..300 => {
                call.to_tag = message.to_tag().unwrap_or_default().into();
                let contact = message.contact().map(|contact| contact.uri.to_string());
                call.remote = contact.unwrap_or_else(|| core.options.registrar.clone()).into();
                call.route = message.values(HeaderName::RecordRoute).map(str::to_owned).collect();
                call.route.reverse();
                call.answered = call.cseq;
                if text::audio_port(message.body()).is_none() {
                    core.tally.fault(|| format!("call {number:x}: a 200 without SDP"));
                    core.tally.outcome("answer_without_sdp");
                }
                let cancelled = call.cancelled;
                call.state = State::Talking;
                self.within(core, number, Method::Ack, (0, 0));
                if cancelled {
                    core.tally.outcome("answered_before_cancel");
                    self.hang_up(core, number);
                } else {
                    core.tally.record(Span::Operation, took);
                    core.alarm(core.now + self.plan.hold.as_micros() as u64, number << 3 | HANG_UP);
                }
            }
            _ if core.challenged(heard, message) => self.invite(core, number, heard.purpose.tries + 1),
            486 if call.conduct == Conduct::Busy => self.good(core, number, "busy"),
            487 if call.cancelled => self.good(core, number, "cancelled"),
            status => {
                let reason = message.reason().unwrap_or_default().to_owned();
                self.fail(core, number, "refused", || format!("call {number:x}: {status} {reason}"));
            }
        }
    }

    fn good(&mut self, core: &mut Core, number: u64, outcome: &'static str) {
        core.tally.good += 1;
        core.tally.outcome(outcome);
        self.over(core, number);
    }

    fn cancel(&mut self, core: &mut Core, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.conduct == Conduct::Ring && call.state == State::Inviting && !call.cancelled {
            call.cancelled = core.cancel(call.tx);
        }
    }

    fn hang_up(&mut self, core: &mut Core, number: u64) {
        let Some(call) = self.calls.get_mut(&number).filter(|call| call.state == State::Talking) else {
            return;
        };
        call.state = State::Releasing;
        self.within(core, number, Method::Bye, (core.now, 0));
    }

    /// A request within a caller's call.
    fn caller_asked(&mut self, core: &mut Core, number: u64, request: &Message<'_>) {
        let Some(call) = self.calls.get(&number) else { return };
        let (caller, state) = (call.caller, call.state);
        let mut body = std::mem::take(&mut self.text.body);
        body.clear();
        if !request.body().is_empty()
            && let Some(local) = core.local(caller)
        {
            text::sdp(&mut body, local.ip(), port_of(number), number);
        }
        if request.method() != Some(Named::Ack) {
            core.answer(caller, request, &Answer { status: 200, reason: "OK", tag: "", body: &body });
        }
        self.text.body = body;
        if request.method() == Some(Named::Bye) && state == State::Talking {
            self.fail(core, number, "ended_by_server", || format!("call {number:x}: the server ended it"));
        }
    }

    fn callee_asked(&mut self, core: &mut Core, phone: u32, request: &Message<'_>) {
        let call_id = request.call_id().unwrap_or_default();
        // The response is made from the request's own text; only an INVITE is kept.
        let is_invite = request.method() == Some(Named::Invite);
        let bytes = if is_invite { raw(request) } else { Vec::new() };
        let mut wake = std::mem::take(&mut self.wake);
        match self.legs.of(call_id) {
            Some(id) => self.legs.asked(core, id, request, &bytes, &mut wake),
            None if is_invite => {
                let port = text::audio_port(request.body());
                let number = port.and_then(|port| self.ports.get(&port).copied());
                let conduct = number.map_or(Conduct::Answer, |number| self.conduct(number));
                self.check(core, request, number);
                let (ring, hold) = (self.plan.ring.as_micros() as u64, self.plan.hold.as_micros() as u64);
                // Longer than any call that ends rightly, losses and all.
                let life = ring + hold + 4 * 64 * T1;
                self.legs.begin(core, phone, request, bytes, (conduct, ring, life), &mut wake);
            }
            None => attend(core, phone, request),
        }
        self.book(core, wake);
    }

    /// Looks whether what reached the called phone is what the caller sent.
    fn check(&self, core: &mut Core, request: &Message<'_>, number: Option<u64>) {
        let Some((number, call)) = number.and_then(|number| Some((number, self.calls.get(&number)?))) else {
            core.tally.outcome("media_port_changed");
            return;
        };
        let caller = &core.phones[call.caller as usize].user.number;
        let from = request.from().map(|from| from.uri.to_string()).unwrap_or_default();
        if !from.contains(&**caller) {
            core.tally.outcome("caller_number_changed");
        }
        if !self.plan.b2bua {
            return;
        }
        let own_id = request.call_id().is_some_and(|id| id.starts_with(&core.run));
        let own_tag = request.from_tag() == Some(&format!("c{number:x}"));
        if own_id || own_tag {
            core.tally.failure("legs_not_apart", || {
                "Call-ID or tag of one side of a call reached the other".into()
            });
        }
    }

    fn book(&mut self, core: &mut Core, mut wake: Vec<Wake>) {
        for (id, bell, at) in wake.drain(..) {
            let bits = LEG.iter().find(|(_, known)| *known == bell).map_or(0, |(bits, _)| *bits);
            core.alarm(at, id << 3 | bits);
        }
        self.wake = wake;
    }
}

impl Scenario for Calls {
    fn begin(&mut self, core: &mut Core, _: u64, intended: u64) {
        let number = core.calls;
        core.calls += 1;
        let pairs = core.phones.len() as u64 / 2;
        self.open += 1;
        let call = Call {
            caller: (number.wrapping_mul(STRIDE) % pairs.max(1)) as u32 * 2,
            intended,
            conduct: self.conduct(number),
            state: State::Inviting,
            tx: TxId { slot: u32::MAX, generation: 0 },
            cseq: 0,
            rang: false,
            cancelled: false,
            to_tag: Box::default(),
            remote: Box::default(),
            route: Vec::new(),
            answered: 0,
        };
        if call.conduct == Conduct::Ring {
            core.alarm(core.now + CANCEL_AT, number << 3 | CANCEL);
        }
        self.calls.insert(number, call);
        self.ports.insert(port_of(number), number);
        self.invite(core, number, 0);
    }

    fn heard(&mut self, core: &mut Core, heard: &Heard, message: &Message<'_>) {
        let Purpose { method, item: number, intended, tries, .. } = heard.purpose;
        match method {
            Method::Invite => self.hear_invite(core, heard, message),
            Method::Bye if heard.status >= 200 => {
                if core.challenged(heard, message) {
                    return self.within(core, number, Method::Bye, (intended, tries + 1));
                }
                core.tally.record(Span::Release, core.now.saturating_sub(intended));
                let status = heard.status;
                let cancelled = self.calls.get(&number).is_some_and(|call| call.cancelled);
                match status {
                    200 if cancelled => self.good(core, number, "cancelled_late"),
                    200 => self.good(core, number, "completed"),
                    _ => self
                        .fail(core, number, "release_refused", || format!("call {number:x}: BYE {status}")),
                }
            }
            _ => {}
        }
    }

    fn stray(&mut self, core: &mut Core, message: &Message<'_>) {
        let is_2xx = message.status().is_some_and(|status| (200..300).contains(&status));
        let of_invite = message.cseq().is_some_and(|cseq| cseq.method == Named::Invite);
        if is_2xx
            && of_invite
            && let Some(number) = message.call_id().and_then(|id| number_of(id, &core.run))
        {
            self.within(core, number, Method::Ack, (0, 0));
        }
    }

    fn asked(&mut self, core: &mut Core, phone: u32, request: &Message<'_>) {
        let call_id = request.call_id().unwrap_or_default();
        // A server that is no back-to-back user agent uses the caller's Call-ID on both sides.
        let own = number_of(call_id, &core.run)
            .filter(|number| self.calls.get(number).is_some_and(|call| call.caller == phone));
        match own {
            Some(number) => self.caller_asked(core, number, request),
            None => self.callee_asked(core, phone, request),
        }
    }

    fn gone(&mut self, core: &mut Core, purpose: Purpose) {
        match purpose.method {
            Method::Invite => {
                self.fail(core, purpose.item, "invite_unanswered", || "INVITE: no answer".into())
            }
            Method::Bye => self.fail(core, purpose.item, "release_unanswered", || {
                format!("call {:x}: no answer to BYE", purpose.item)
            }),
            Method::Cancel => {
                core.tally.outcome("cancel_unanswered");
            }
            _ => {}
        }
    }

    fn alarm(&mut self, core: &mut Core, id: u64) {
        let number = id >> 3;
        match id & 7 {
            HANG_UP => self.hang_up(core, number),
            CANCEL => self.cancel(core, number),
            FORGET => {
                self.calls.remove(&number);
                if self.ports.get(&port_of(number)) == Some(&number) {
                    self.ports.remove(&port_of(number));
                }
            }
            bits => {
                let Some((_, bell)) = LEG.iter().find(|(known, _)| *known == bits) else { return };
                let mut wake = std::mem::take(&mut self.wake);
                self.legs.ring(core, number, *bell, &mut wake);
                self.book(core, wake);
            }
        }
    }

    fn open(&self) -> u64 {
        self.open + self.legs.open()
    }
}

fn port_of(number: u64) -> u16 {
    (PORTS + 2 * (number % PORT_PAIRS)) as u16
}

/// The call of one of our Call-IDs.
fn number_of(call_id: &str, run: &str) -> Option<u64> {
    let rest = call_id.strip_prefix(run)?.strip_prefix('c')?;
    u64::from_str_radix(rest.split('@').next()?, 16).ok()
}

/// The headers of a request that its responses repeat, as a message of its own.
fn raw(request: &Message<'_>) -> Vec<u8> {
    let mut out = format!("INVITE {} SIP/2.0\r\n", request.request_uri().unwrap_or_default());
    let kept = [
        (HeaderName::Via, "Via"),
        (HeaderName::RecordRoute, "Record-Route"),
        (HeaderName::From, "From"),
        (HeaderName::To, "To"),
        (HeaderName::CallId, "Call-ID"),
        (HeaderName::Cseq, "CSeq"),
    ];
    for (header, name) in kept {
        for value in request.all(header) {
            // Writing to a String can not fail.
            let _ = write!(out, "{name}: {value}\r\n");
        }
    }
    out.push_str("Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
    out.into_bytes()
}
