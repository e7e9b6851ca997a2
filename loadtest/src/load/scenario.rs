//! What a scenario is to the loop that runs it.

use keyline_wire::sip::{Message, Method as Named};

use super::core::{Core, Heard, Purpose};
use super::links::Opened;
use super::text::Answer;

/// One kind of load. All times are microseconds of the core's clock.
pub(super) trait Scenario {
    /// Operation `number` is due.
    fn begin(&mut self, core: &mut Core, number: u64, intended: u64);

    /// A response came.
    fn heard(&mut self, core: &mut Core, heard: &Heard, message: &Message<'_>);

    /// A request has no answer in time, or its connection is gone.
    fn gone(&mut self, core: &mut Core, purpose: Purpose);

    /// A request came for a phone.
    fn asked(&mut self, core: &mut Core, phone: u32, request: &Message<'_>) {
        attend(core, phone, request);
    }

    /// A response of no open transaction.
    fn stray(&mut self, _core: &mut Core, _message: &Message<'_>) {}

    /// A time that it asked for.
    fn alarm(&mut self, _core: &mut Core, _id: u64) {}

    /// A connection stands.
    fn opened(&mut self, _core: &mut Core, _link: u32, _opened: Opened) {}

    /// A connection could not be made or ended.
    fn lost(&mut self, core: &mut Core, link: u32, why: &str) {
        core.tally.broken += 1;
        core.tally.fault(|| format!("connection lost: {why}"));
        for purpose in core.drop_transactions(link) {
            self.gone(core, purpose);
        }
    }

    /// The answer to a keepalive.
    fn pong(&mut self, _core: &mut Core, _link: u32) {}

    /// Operations that are not over.
    fn open(&self) -> u64;

    /// All operations were begun and are over: what remains is counted.
    fn end(&mut self, _core: &mut Core) {}
}

/// What a phone says to a request that belongs to nothing it knows.
pub(super) fn attend(core: &mut Core, phone: u32, request: &Message<'_>) {
    let (status, reason) = match request.method() {
        None | Some(Named::Ack) => return,
        Some(Named::Bye | Named::Cancel | Named::Update | Named::Info | Named::Prack) => {
            (481, "Call/Transaction Does Not Exist")
        }
        Some(Named::Invite) => (486, "Busy Here"),
        _ => (200, "OK"),
    };
    core.answer(phone, request, &Answer { status, reason, tag: "attend", body: "" });
}

/// Only serves what comes in.
#[derive(Default)]
pub(super) struct Attend;

impl Scenario for Attend {
    fn begin(&mut self, _core: &mut Core, _number: u64, _intended: u64) {}
    fn heard(&mut self, _core: &mut Core, _heard: &Heard, _message: &Message<'_>) {}
    fn gone(&mut self, _core: &mut Core, _purpose: Purpose) {}
    fn open(&self) -> u64 {
        0
    }
}
