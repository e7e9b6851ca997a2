//! REFER in a dialog: taken or refused, and the NOTIFYs that say what becomes of it (RFC 3515, 6665, 4488).

use super::effect::{Effect, Find, Reply};
use super::input::Incoming;
use super::peer::{PeerMessage, Replaced};
use super::state::{Call, LegState, Phase, passed};
use super::transfer::{Stage, Transfer};
use super::types::{ClientTx, Header, Headers, LegId, Method, ServerTx};
use super::{CLAIM_WAIT_MS, TimerKind};
use crate::ids::Dn;
use crate::media::Body;

/// What a REFER says.
#[derive(Debug, Clone)]
pub struct Refer {
    /// Where to; `Err` is the status that it is refused with once its sender is known to be a party.
    pub to: Result<ReferTo, u16>,
    /// The sender wants NOTIFYs (`Refer-Sub` is not `false`, RFC 4488).
    pub subscribe: bool,
}

/// Where a REFER points: a line of this node.
#[derive(Debug, Clone)]
pub struct ReferTo {
    /// The line.
    pub line: Dn,
    /// Its address, without tag.
    pub called_uri: std::sync::Arc<str>,
    /// Only phones over TLS.
    pub sips: bool,
    /// The dialog that shall be replaced: an attended transfer.
    pub replaced: Option<Replaced>,
    /// Headers of the URI that may pass: Subject.
    pub headers: Headers,
}

/// The implicit subscription that a REFER made. NOTIFYs go out one at a time, so that none overtakes another.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) leg: LegId,
    /// CSeq number of the REFER, for all but the first of a dialog (RFC 3515 §2.4.6).
    id: Option<u32>,
    under_way: Option<ClientTx>,
    /// What to say next: only the newest matters.
    next: Option<(u16, bool)>,
    said: u16,
    /// The final NOTIFY is out or under way.
    last: bool,
}

/// Seconds that the subscription is granted for; the transfer is over by then.
const EXPIRES_S: u32 = 240;

impl Call {
    pub(super) fn on_refer(&mut self, id: LegId, incoming: Incoming) {
        let Incoming { tx, cseq, refer, sender, .. } = incoming;
        let Some(refer) = refer else { return self.reply(tx, 400) };
        let Some(keep) = self.other(id) else { return self.reply(tx, 481) };
        let told = self.subscription.as_ref().is_none_or(|s| s.last);
        if self.transfer.is_some() || self.loan.is_some() || !told {
            return self.reply(tx, 491);
        }
        let to = match refer.to {
            Ok(to) => to,
            Err(status) => return self.reply(tx, status),
        };
        self.accept_refer(tx, refer.subscribe);
        // The last word on an earlier one is out; its answer is not waited for any more.
        if let Some(earlier) = self.subscription.take() {
            self.farewell_parting(earlier.leg);
        }
        let first = !self.leg(id).is_some_and(|l| l.referred);
        if let Some(leg) = self.leg_mut(id) {
            leg.referred = true;
        }
        if refer.subscribe {
            let id_param = (!first).then_some(cseq);
            self.subscription = Some(Subscription {
                leg: id,
                id: id_param,
                under_way: None,
                next: None,
                said: 0,
                last: false,
            });
            self.report(100, false);
        }
        self.tickets += 1;
        let ticket = self.tickets;
        self.headers = passed(&to.headers);
        let stage = match &to.replaced {
            None => Stage::Finding,
            Some(replaced) => Stage::Claiming { call: replaced.call },
        };
        let by_uri = self.leg(id).map(|l| l.dialog.remote_uri.clone());
        self.headers.extend(by_uri.map(|uri| Header::new("Referred-By", uri)));
        let replaced = to.replaced.clone();
        self.transfer = Some(Box::new(Transfer::new(id, keep, ticket, to, stage)));
        match replaced {
            None => self.find_targets(),
            Some(replaced) => match replaced.call {
                None => self.transfer_failed(481),
                Some(call) => {
                    let message = PeerMessage::Claim { ticket, replaced, sender };
                    self.out.push(Effect::Tell { to: call, message: Box::new(message) });
                    self.arm(TimerKind::Claim, CLAIM_WAIT_MS);
                }
            },
        }
    }

    fn accept_refer(&mut self, tx: ServerTx, subscribe: bool) {
        let mut headers = Headers::new();
        if !subscribe {
            headers.push(Header::new("Refer-Sub", "false"));
        }
        let (status, reason, to_tag, body, carry_crypto) = (202, None, None, None, false);
        self.out.push(Effect::Reply(Box::new(Reply {
            tx,
            status,
            reason,
            to_tag,
            body,
            carry_crypto,
            headers,
        })));
    }

    /// Asks for the bindings of the line that the REFER names.
    pub(super) fn find_targets(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        transfer.stage = Stage::Finding;
        let (ticket, line, sips) = (transfer.ticket, transfer.to.line.clone(), transfer.to.sips);
        let remote_uri = transfer.to.called_uri.clone();
        let ends = [transfer.by, transfer.keep];
        let keep = transfer.keep;
        let exclude = ends.iter().filter_map(|id| self.leg(*id)).map(|l| l.facts.device.clone()).collect();
        let Some(local_uri) = self.leg(keep).map(|l| l.dialog.remote_uri.clone()) else { return };
        self.out.push(Effect::Find(Box::new(Find { ticket, line, sips, exclude, local_uri, remote_uri })));
    }

    /// Says how far the transfer is; the last word ends the subscription.
    pub(super) fn report(&mut self, status: u16, last: bool) {
        let Some(subscription) = &mut self.subscription else { return };
        if subscription.last || (!last && subscription.said >= status) {
            return;
        }
        subscription.last = last;
        subscription.next = Some((status, last));
        self.notify();
    }

    fn notify(&mut self) {
        let Some(subscription) = &mut self.subscription else { return };
        if subscription.under_way.is_some() {
            return;
        }
        let (leg, last) = (subscription.leg, subscription.last);
        let Some((status, _)) = subscription.next.take() else {
            if last {
                self.subscription = None;
                self.farewell_parting(leg);
            }
            return;
        };
        subscription.said = status;
        let event = match subscription.id {
            None => "refer".to_owned(),
            Some(id) => format!("refer;id={id}"),
        };
        let reachable =
            |l: &super::state::Leg| matches!(l.state, LegState::Up | LegState::Parting) && l.flow.is_live();
        if !self.leg(leg).is_some_and(reachable) {
            self.subscription = None;
            return self.farewell_parting(leg);
        }
        let state = match last {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={EXPIRES_S}"),
        };
        let headers =
            Headers::from_iter([Header::new("Event", event), Header::new("Subscription-State", state)]);
        let line = format!("SIP/2.0 {status} {}\r\n", phrase(status));
        let bytes = std::sync::Arc::from(line.as_bytes());
        let body = Body { content_type: "message/sipfrag;version=2.0".into(), bytes, media: None };
        let token = self.send(leg, Method::Notify, Some(body), headers);
        if let Some(subscription) = &mut self.subscription {
            subscription.under_way = Some(token);
        }
    }

    /// The final answer to a NOTIFY, or none. False if the token is no NOTIFY's.
    pub(super) fn on_notified(&mut self, token: ClientTx, status: u16) -> bool {
        let Some(subscription) = self.subscription.as_mut().filter(|s| s.under_way == Some(token)) else {
            return false;
        };
        subscription.under_way = None;
        // RFC 6665 §4.2.2: a subscriber that knows no such subscription is not told more.
        if status == 481 {
            (subscription.next, subscription.last) = (None, true);
        }
        self.notify();
        true
    }

    /// The dialog of the transferor is over: nobody listens.
    pub(super) fn unsubscribe(&mut self, id: LegId) {
        if let Some(subscription) = self.subscription.take_if(|s| s.leg == id)
            && let Some(token) = subscription.under_way
        {
            self.out.push(Effect::Forget { token });
        }
    }

    /// The last word and the BYE go out together: the call ends.
    pub(super) fn report_end(&mut self, status: u16) {
        if let Some(subscription) = &mut self.subscription
            && !subscription.last
        {
            subscription.under_way = None;
            self.report(status, true);
        }
        self.subscription = None;
    }

    /// A leg that was transferred away has heard how it ended: BYE.
    pub(super) fn farewell_parting(&mut self, id: LegId) {
        let told = self.subscription.as_ref().is_none_or(|s| s.leg != id);
        if told && self.leg(id).is_some_and(|l| l.state == LegState::Parting) {
            self.farewell(id);
        }
    }

    /// The leg is one of the two that talk.
    pub(super) fn is_party(&self, id: LegId) -> bool {
        self.phase == Phase::Up && (id == self.first || Some(id) == self.winner)
    }
}

/// Reason phrases of what a transfer can end with (RFC 3261 §21).
fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        ..=199 => "Progress",
        201..=299 => "OK",
        _ => "Failed",
    }
}
