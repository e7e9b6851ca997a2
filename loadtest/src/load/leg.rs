//! The called side of a call: one leg a Call-ID, with what it repeats until it is acknowledged.

use std::collections::HashMap;

use keyline_wire::sip::{Message, Method as Named};

use super::core::{Core, T1, T2};
use super::text::{self, Answer};

/// How long an ended leg still answers late copies.
const LINGER: u64 = 64 * T1;

/// What the called phone is to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Answer,
    Busy,
    /// Rings until the caller cancels.
    Ring,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ringing,
    /// 200 sent, not acknowledged.
    Answered,
    Talking,
    /// 486 or 487 sent, not acknowledged.
    Refused,
    Over,
}

struct Leg {
    call_id: Box<str>,
    phone: u32,
    state: State,
    /// CSeq of the INVITE that the state is about.
    cseq: u32,
    port: u16,
    /// The INVITE.
    invite: Vec<u8>,
    /// The last response to it.
    last: String,
    interval: u64,
    give_up: u64,
}

/// Bells of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bell {
    Answer,
    Repeat,
    Limit,
    Forget,
}

/// All legs of called phones.
#[derive(Default)]
pub(super) struct Legs {
    by_call_id: HashMap<Box<str>, u64, foldhash::fast::RandomState>,
    legs: HashMap<u64, Leg, foldhash::fast::RandomState>,
    next: u64,
    open: u64,
    scratch: String,
}

/// When a leg wants to be woken: number, bell, time.
pub(super) type Wake = (u64, Bell, u64);

impl Legs {
    /// Legs that are not over.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// The leg of a Call-ID.
    pub(super) fn of(&self, call_id: &str) -> Option<u64> {
        self.by_call_id.get(call_id).copied()
    }

    /// A first INVITE: the phone rings, answers or refuses. `ring` and `life` in microseconds.
    pub(super) fn begin(
        &mut self,
        core: &mut Core,
        phone: u32,
        request: &Message<'_>,
        bytes: Vec<u8>,
        (conduct, ring, life): (Conduct, u64, u64),
        wake: &mut Vec<Wake>,
    ) {
        let (Some(call_id), Some(cseq)) = (request.call_id(), request.cseq()) else { return };
        let id = self.next;
        self.next += 1;
        self.open += 1;
        self.by_call_id.insert(call_id.into(), id);
        let port = text::audio_port(request.body()).unwrap_or(9).wrapping_add(1);
        let leg = Leg {
            call_id: call_id.into(),
            phone,
            state: State::Ringing,
            cseq: cseq.number,
            port,
            invite: bytes,
            last: String::new(),
            interval: T1,
            give_up: 0,
        };
        self.legs.insert(id, leg);
        wake.push((id, Bell::Limit, core.now + life));
        match conduct {
            Conduct::Busy => self.respond(core, id, (486, "Busy Here"), State::Refused, wake),
            Conduct::Answer if ring == 0 => {
                self.respond(core, id, (180, "Ringing"), State::Ringing, wake);
                self.respond(core, id, (200, "OK"), State::Answered, wake);
            }
            Conduct::Answer | Conduct::Ring => {
                self.respond(core, id, (180, "Ringing"), State::Ringing, wake);
                if conduct == Conduct::Answer {
                    wake.push((id, Bell::Answer, core.now + ring));
                }
            }
        }
    }

    /// A request within a known leg.
    pub(super) fn asked(
        &mut self,
        core: &mut Core,
        id: u64,
        request: &Message<'_>,
        bytes: &[u8],
        wake: &mut Vec<Wake>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (phone, state) = (leg.phone, leg.state);
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let ok = |body| Answer { status: 200, reason: "OK", tag: "leg", body };
        match request.method() {
            Some(Named::Invite) if number > leg.cseq && state == State::Talking => {
                leg.cseq = number;
                leg.invite = bytes.to_vec();
                core.tally.outcome("callee_reinvite");
                self.respond(core, id, (200, "OK"), State::Answered, wake);
            }
            Some(Named::Invite) => core.write(phone, leg.last.as_bytes()),
            Some(Named::Ack) if number == leg.cseq => match state {
                State::Answered => leg.state = State::Talking,
                State::Refused => self.end(core, id, wake),
                _ => {}
            },
            Some(Named::Ack) | None => {}
            Some(Named::Cancel) => {
                core.answer(phone, request, &ok(""));
                if state == State::Ringing {
                    core.tally.outcome("callee_cancelled");
                    self.respond(core, id, (487, "Request Terminated"), State::Refused, wake);
                }
            }
            Some(Named::Bye) => {
                core.answer(phone, request, &ok(""));
                if state != State::Over {
                    core.tally.outcome("callee_bye");
                    self.end(core, id, wake);
                }
            }
            Some(_) if request.body().is_empty() => core.answer(phone, request, &ok("")),
            Some(_) => {
                let mut body = std::mem::take(&mut self.scratch);
                let port = leg.port;
                if let Some(local) = core.local(phone) {
                    text::sdp(&mut body, local.ip(), port, id);
                }
                core.answer(phone, request, &ok(&body));
                self.scratch = body;
            }
        }
    }

    /// A bell rings.
    pub(super) fn ring(&mut self, core: &mut Core, id: u64, bell: Bell, wake: &mut Vec<Wake>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let waits = matches!(leg.state, State::Answered | State::Refused);
        match bell {
            Bell::Answer if leg.state == State::Ringing => {
                self.respond(core, id, (200, "OK"), State::Answered, wake);
            }
            Bell::Repeat if waits && core.now >= leg.give_up => {
                let phone = leg.phone;
                core.tally.failure("callee_no_ack", || {
                    format!("phone {phone}: no ACK of its final response ({})", leg.call_id)
                });
                self.end(core, id, wake);
            }
            Bell::Repeat if waits => {
                leg.interval = (leg.interval * 2).min(T2);
                wake.push((id, Bell::Repeat, core.now + leg.interval));
                let (phone, last) = (leg.phone, std::mem::take(&mut leg.last));
                core.write(phone, last.as_bytes());
                core.tally.repeated += 1;
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.last = last;
                }
            }
            Bell::Limit if leg.state != State::Over => {
                let (phone, state) = (leg.phone, leg.state);
                core.tally.failure("callee_left", || {
                    format!("phone {phone}: its side of a call never ended ({state:?}, {})", leg.call_id)
                });
                self.end(core, id, wake);
            }
            Bell::Forget => {
                if let Some(leg) = self.legs.remove(&id) {
                    self.by_call_id.remove(&leg.call_id);
                }
            }
            Bell::Answer | Bell::Repeat | Bell::Limit => {}
        }
    }

    fn respond(
        &mut self,
        core: &mut Core,
        id: u64,
        (status, reason): (u16, &str),
        state: State,
        wake: &mut Vec<Wake>,
    ) {
        let mut body = std::mem::take(&mut self.scratch);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        body.clear();
        if status == 200
            && let Some(local) = core.local(leg.phone)
        {
            text::sdp(&mut body, local.ip(), leg.port, id);
        }
        if let Ok(invite) = Message::parse(&leg.invite) {
            let tag = format!("k{id:x}");
            let answer = Answer { status, reason, tag: &tag, body: &body };
            text::response(&mut leg.last, &invite, &answer, &core.phones[leg.phone as usize].contact);
        }
        self.scratch = body;
        leg.state = state;
        core.write(leg.phone, leg.last.as_bytes());
        if status >= 200 {
            leg.interval = T1;
            leg.give_up = core.now + 64 * T1;
            wake.push((id, Bell::Repeat, core.now + T1));
        }
    }

    fn end(&mut self, core: &mut Core, id: u64, wake: &mut Vec<Wake>) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.state = State::Over;
            self.open -= 1;
            wake.push((id, Bell::Forget, core.now + LINGER));
        }
    }
}
