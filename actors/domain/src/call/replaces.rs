//! Legs that go over from one call to another: both sides of [`super::PeerMessage`] (RFC 3891).

use super::TimerKind;
use super::effect::{Effect, End};
use super::peer::{CallRef, Parcel, PeerMessage, Replaced};
use super::state::{Call, LegState, Phase};
use super::transfer::Stage;
use super::types::{DialogId, Headers, LegId};
use crate::ids::DeviceName;

/// A leg of ours that another call has, or waits for.
#[derive(Debug)]
pub(super) struct Loan {
    to: CallRef,
    ticket: u64,
    /// The leg.
    pub(super) leg: LegId,
    /// The leg of the device that asked: it goes when the other one is taken.
    pub(super) by: LegId,
    /// It is away.
    pub(super) lent: bool,
}

/// Of a leg that is here from another call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) from: CallRef,
    pub(super) ticket: u64,
    /// SDES lines could cross between it and the phone that it talked to.
    pub(super) carries: bool,
}

impl Call {
    pub(super) fn on_peer(&mut self, from: CallRef, message: PeerMessage) {
        match message {
            PeerMessage::Claim { ticket, replaced, sender } => {
                self.on_claim(from, ticket, &replaced, &sender)
            }
            PeerMessage::Denied { ticket, status } => {
                if self.claims(ticket) {
                    self.transfer_failed(status);
                }
            }
            PeerMessage::Ringing { ticket } => {
                if self.claims(ticket) {
                    self.disarm(TimerKind::Claim);
                    self.find_targets();
                }
            }
            PeerMessage::Lent { ticket, leg, carries } => self.adopt(Guest { from, ticket, carries }, leg),
            PeerMessage::LegGone { dialog } => self.on_leg_gone(&dialog),
            PeerMessage::Taken { dialog } => self.on_taken(from, dialog),
            PeerMessage::GaveBack { ticket, cseq, restore, lost } => {
                self.on_gave_back(ticket, cseq, restore, lost);
            }
        }
    }

    fn tell(&mut self, to: CallRef, message: PeerMessage) {
        self.out.push(Effect::Tell { to, message: Box::new(message) });
    }

    fn claims(&self, ticket: u64) -> bool {
        let waits =
            |t: &super::transfer::Transfer| t.ticket == ticket && matches!(t.stage, Stage::Claiming { .. });
        self.transfer.as_deref().is_some_and(waits)
    }

    fn on_claim(&mut self, from: CallRef, ticket: u64, replaced: &Replaced, sender: &DeviceName) {
        let denied = |status| PeerMessage::Denied { ticket, status };
        let Some((by, early)) = self.place_of(&replaced.dialog) else { return self.tell(from, denied(481)) };
        if self.leg(by).is_none_or(|l| l.facts.device != *sender) {
            return self.tell(from, denied(403));
        }
        if early {
            // RFC 3891 §3: an early dialog is replaced only by the side that began it.
            if by != LegId::CALLER {
                return self.tell(from, denied(481));
            }
            self.tell(from, PeerMessage::Ringing { ticket });
            let elsewhere = [super::ring::completed_elsewhere()].into_iter().collect();
            return self.end(End::Transferred, 487, &elsewhere);
        }
        let other = self.other(by).filter(|_| self.leg(by).is_some_and(|l| l.state == LegState::Up));
        let Some(leg) = other.filter(|_| self.phase == Phase::Up) else {
            return self.tell(from, denied(481));
        };
        if replaced.early_only {
            return self.tell(from, denied(486));
        }
        if self.loan.is_some() || self.transfer.is_some() {
            return self.tell(from, denied(491));
        }
        self.loan = Some(Loan { to: from, ticket, leg, by, lent: false });
    }

    /// A leg that is asked for goes as soon as nothing is open on it.
    pub(super) fn lend(&mut self) {
        let Some(loan) = self.loan.as_ref().filter(|l| !l.lent) else { return };
        let (to, ticket, id, by) = (loan.to, loan.ticket, loan.leg, loan.by);
        let carries = self.carries(id, by);
        let leg = self.leg(id).filter(|l| l.state == LegState::Up && l.flow.is_live()).map(Parcel::pack);
        let Some(leg) = leg else {
            self.loan = None;
            return self.tell(to, PeerMessage::Denied { ticket, status: 480 });
        };
        if let Some(loan) = &mut self.loan {
            loan.lent = true;
        }
        self.tell(to, PeerMessage::Lent { ticket, leg, carries });
    }

    /// The leg is away: nothing is begun on this call.
    pub(super) fn is_lent(&self) -> bool {
        self.loan.as_ref().is_some_and(|l| l.lent)
    }

    fn adopt(&mut self, guest: Guest, parcel: Parcel) {
        if !self.claims(guest.ticket) || self.phase != Phase::Up {
            let Guest { from: to, ticket, .. } = guest;
            return self.tell(to, PeerMessage::GaveBack { ticket, cseq: 0, restore: false, lost: false });
        }
        self.disarm(TimerKind::Claim);
        let mut leg = *parcel.0;
        (leg.id, leg.state, leg.guest) = (self.new_leg(), LegState::Joining, Some(guest));
        let (id, tag, flow) = (leg.id, leg.dialog.local_tag.clone(), leg.flow);
        let device = leg.facts.device.clone();
        self.legs.push(leg);
        self.out.push(Effect::Adopt { from: guest.from, tag, flow, device });
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = Stage::Guest { leg: id };
        }
    }

    /// A leg that is only here for a transfer goes back to its call.
    pub(super) fn return_guest(&mut self, id: LegId, restore: bool, lost: bool) {
        let Some(leg) = self.leg(id) else { return };
        let (guest, cseq) = (leg.guest, leg.dialog.local_cseq);
        let Some(Guest { from, ticket, .. }) = guest else { return };
        self.legs.retain(|l| l.id != id);
        self.tell(from, PeerMessage::GaveBack { ticket, cseq, restore, lost });
    }

    /// Legs of other calls do not stay with one that ends or begins anew.
    pub(super) fn return_guests(&mut self) {
        let guests: Vec<LegId> = self.legs.iter().filter(|l| l.guest.is_some()).map(|l| l.id).collect();
        for id in guests {
            self.return_guest(id, true, false);
        }
    }

    /// The phone of a leg that we have said BYE to the call that it came from, or that call ended.
    fn on_leg_gone(&mut self, dialog: &DialogId) {
        let named = |l: &&super::state::Leg| l.is_named(dialog);
        let guest = self.legs.iter().find(|l| l.guest.is_some() && l.is_named(dialog));
        let Some(id) = guest.or_else(|| self.legs.iter().find(named)).map(|l| l.id) else { return };
        let guest = guest.is_some();
        self.set_state(id, LegState::Gone);
        if guest {
            return self.transfer_failed(480);
        }
        if self.is_party(id) {
            self.end(End::Bye, 480, &Headers::new());
        }
    }

    fn on_taken(&mut self, from: CallRef, dialog: DialogId) {
        self.loan = None;
        let Some(leg) = self.legs.iter_mut().find(|l| l.is_named(&dialog)) else {
            // It went while the other call took it.
            return self.tell(from, PeerMessage::LegGone { dialog });
        };
        leg.state = LegState::Gone;
        leg.acked.clear();
        self.handed = Some((from, dialog));
        self.end(End::Transferred, 480, &Headers::new());
    }

    fn on_gave_back(&mut self, ticket: u64, cseq: u32, restore: bool, lost: bool) {
        let Some(loan) = self.loan.take_if(|l| l.ticket == ticket) else { return };
        let Some(leg) = self.leg_mut(loan.leg) else { return };
        leg.dialog.local_cseq = leg.dialog.local_cseq.max(cseq);
        let tag = leg.dialog.local_tag.clone();
        let (flow, device) = (leg.flow, leg.facts.device.clone());
        if loan.lent && cseq != 0 {
            self.out.push(Effect::Adopt { from: loan.to, tag, flow, device });
        }
        self.dirty = true;
        if lost {
            return self.lost(loan.leg, false);
        }
        if !self.leg(loan.by).is_some_and(|l| l.state == LegState::Up) {
            return self.end(End::Bye, 480, &Headers::new());
        }
        self.rekey |= restore;
    }

    /// The call ends while one of its legs is away: whoever has it hears of it.
    pub(super) fn recall(&mut self) {
        let Some(loan) = self.loan.take() else { return };
        match (loan.lent, self.leg(loan.leg).map(super::state::Leg::name)) {
            (true, Some(dialog)) => self.tell(loan.to, PeerMessage::LegGone { dialog }),
            (true, None) => {}
            (false, _) => self.tell(loan.to, PeerMessage::Denied { ticket: loan.ticket, status: 481 }),
        }
    }

    /// The dialog of the device that asked for the other leg is over: the loan decides what becomes of the call.
    pub(super) fn left_loan(&mut self, id: LegId) -> bool {
        self.loan.as_ref().is_some_and(|l| l.lent && l.by == id)
    }
}
