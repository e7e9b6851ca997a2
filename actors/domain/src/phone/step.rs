//! The registrar's step: RFC 3261 §10.3 steps 6 to 8 with RFC 5626 §6, on one device's row.

use std::sync::Arc;

use smallvec::SmallVec;

use super::instance::Instance;
use super::register::{
    Accepted, Cause, ContactFact, Context, Event, Gone, Kind, Outcome, Register, Step, Write,
};
use super::row::{
    BINDINGS_MAX, Binding, CALL_ID_MAX, CONTACT_MAX, CONTACTS_PER_LINE_MAX, ContactKey, INSTANCE_MAX, Origin,
    PATH_MAX, PATH_VALUE_MAX, Row,
};
use super::time::{drop_dead, horizon};
use crate::ids::{Dn, UnixMillis};

/// Steps a row by an admitted REGISTER. All or nothing: a refusal, a query, a repeat and a standby
/// keepalive leave the row as it is.
pub fn on(row: &Row, request: &Register, context: &Context) -> Step {
    decide(row, request, context).unwrap_or_else(|cause| Step::answer(Outcome::Refuse(cause)))
}

/// The request only prolongs contacts that the row already has, from the address they came from: all that
/// a nonce of an earlier start may still prove (design §5 Repeats). A repeat of the row's last request is
/// such a one.
pub fn extends_only(row: &Row, request: &Register, now: UnixMillis) -> bool {
    !request.star
        && !request.contacts.is_empty()
        && request.lines.len().saturating_mul(request.contacts.len()) <= BINDINGS_MAX
        && request.contacts.iter().all(|c| {
            let key = key_of(&row.bindings, c);
            c.expires.or(request.expires) != Some(0)
                && request.lines.iter().all(|line| {
                    row.line(line, now).any(|b| {
                        b.key == key
                            && same_instance(b, c)
                            && b.reg_id == c.flow_id()
                            && b.source_ip() == request.source_ip()
                    })
                })
        })
}

fn decide(row: &Row, request: &Register, context: &Context) -> Result<Step, Cause> {
    check_sizes(request)?;
    if request.star && !request.contacts.is_empty() {
        return Err(Cause::StarNotAlone);
    }
    if request.star && request.expires != Some(0) {
        return Err(Cause::StarNeedsZero);
    }
    if request.is_standby_keepalive() {
        return Ok(unchanged(Kind::Keepalive, None, false));
    }
    let source = request.source_ip();
    if !context.proof_due
        && !context.allow_unproven_move
        && row.live(context.now).any(|b| b.source_ip() != source)
    {
        return Err(Cause::SecondSource);
    }
    if request.star {
        return remove_all(row, request, context);
    }
    if request.contacts.is_empty() {
        return Ok(unchanged(Kind::Fetched, None, false));
    }
    bind(row, request, context)
}

fn check_sizes(request: &Register) -> Result<(), Cause> {
    let fits = |what, text: &str, limit| {
        if text.len() > limit { Err(Cause::TooLong { what, length: text.len(), limit }) } else { Ok(()) }
    };
    // Bounds the work below before any of it is done.
    let count = request.lines.len().saturating_mul(request.contacts.len().max(1));
    if count > BINDINGS_MAX {
        return Err(Cause::TooMany { count, limit: BINDINGS_MAX });
    }
    fits("Call-ID", &request.call_id, CALL_ID_MAX)?;
    if request.path.len() > PATH_MAX {
        return Err(Cause::TooMany { count: request.path.len(), limit: PATH_MAX });
    }
    for value in &request.path {
        fits("Path", value, PATH_VALUE_MAX)?;
    }
    for contact in &request.contacts {
        fits("Contact", &contact.uri, CONTACT_MAX)?;
        let length = contact.instance.as_ref().map_or(0, Instance::text_len);
        if length > INSTANCE_MAX {
            return Err(Cause::TooLong { what: "+sip.instance", length, limit: INSTANCE_MAX });
        }
    }
    Ok(())
}

fn unchanged(kind: Kind, expires: Option<u32>, newreg: bool) -> Step {
    Step::answer(Outcome::Ok(Accepted { kind, expires, newreg }))
}

/// `Contact: *`: this device's bindings of the lines go. Those of other devices on a shared line are not
/// its own to remove.
fn remove_all(row: &Row, request: &Register, context: &Context) -> Result<Step, Cause> {
    let mut next = row.clone();
    let mut events = drop_dead(&mut next, context.now);
    let named = |b: &Binding| request.lines.contains(&b.line);
    for b in next.bindings.iter().filter(|b| named(b)) {
        if b.origin.call_id == request.call_id && request.cseq <= b.origin.cseq {
            return Err(Cause::OutOfOrder { given: request.cseq, last: b.origin.cseq });
        }
        events.push(Event::Unregistered(b.line.clone(), Gone::Asked));
    }
    next.bindings.retain(|b| !named(b));
    Ok(changed(next, events, None, false, true))
}

fn changed(
    row: Row,
    events: SmallVec<[Event; 1]>,
    expires: Option<u32>,
    newreg: bool,
    durable: bool,
) -> Step {
    let outcome = Outcome::Ok(Accepted { kind: Kind::Changed, expires, newreg });
    if events.is_empty() {
        // Removal of what is not there.
        return Step::answer(outcome);
    }
    Step { outcome, row: Some(row), write: if durable { Write::Put } else { Write::None }, events }
}

/// The row under work: which of its bindings this request has written, and whether the durable row must
/// follow.
struct Draft {
    row: Row,
    touched: SmallVec<[Option<u32>; 4]>,
    events: SmallVec<[Event; 1]>,
    durable: bool,
    newreg: bool,
    repeat: Option<bool>,
}

fn bind(row: &Row, request: &Register, context: &Context) -> Result<Step, Cause> {
    let mut grants: SmallVec<[u32; 4]> = SmallVec::new();
    for contact in &request.contacts {
        grants.push(context.expiry.grant(contact.expires, request.expires)?);
    }
    let flows = request.contacts.iter().zip(&grants).filter(|(c, s)| c.flow_id().is_some() && **s > 0);
    if flows.count() > 1 {
        return Err(Cause::SeveralRegIds);
    }

    let mut next = row.clone();
    let events = drop_dead(&mut next, context.now);
    let mut draft = Draft {
        touched: SmallVec::from_elem(None, next.bindings.len()),
        durable: !events.is_empty(),
        row: next,
        events,
        newreg: false,
        repeat: None,
    };
    for (contact, &grant) in request.contacts.iter().zip(&grants) {
        let key = key_of(&row.bindings, contact);
        for line in &request.lines {
            draft.place(request, line, contact, key, grant, context.now)?;
        }
    }
    let expires = grants.iter().copied().find(|s| *s > 0);
    if let Some(fresh) = draft.repeat {
        return Ok(unchanged(Kind::Repeated, expires, fresh));
    }
    draft.make_room(&request.lines);
    draft.check_counts(&request.lines)?;
    draft.settle_horizon();
    Ok(changed(draft.row, draft.events, expires, draft.newreg, draft.durable))
}

impl Draft {
    fn place(
        &mut self,
        request: &Register,
        line: &Dn,
        contact: &ContactFact,
        key: ContactKey,
        grant: u32,
        now: UnixMillis,
    ) -> Result<(), Cause> {
        let found = self.find(line, contact, key, grant == 0);
        if let Some(i) = found.filter(|i| self.touched[*i].is_none()) {
            let old = &self.row.bindings[i];
            match order(&old.origin, request) {
                Order::Follows => {}
                Order::Repeats => self.repeat = Some(self.repeat.unwrap_or(false) | old.fresh),
                Order::Precedes => {
                    return Err(Cause::OutOfOrder { given: request.cseq, last: old.origin.cseq });
                }
            }
        }
        match (found, grant) {
            (None, 0) => {}
            (Some(i), 0) => {
                self.row.bindings.remove(i);
                self.touched.remove(i);
                self.durable = true;
                self.events.push(Event::Unregistered(line.clone(), Gone::Asked));
            }
            (Some(i), _) => {
                let old = &self.row.bindings[i];
                let mut new = written(request, line, contact, key, grant, now);
                // A phone that started anew has a new Call-ID and has lost its subscriptions.
                new.fresh = old.origin.call_id != new.origin.call_id;
                new.persisted_until = old.persisted_until;
                self.newreg |= new.fresh;
                self.durable |= durably_differs(old, &new);
                self.events.push(if old.origin.flow == new.origin.flow {
                    Event::Refreshed(line.clone())
                } else {
                    Event::Moved(line.clone())
                });
                self.row.bindings[i] = new;
                self.touched[i] = Some(grant);
            }
            (None, _) => {
                self.row.bindings.push(written(request, line, contact, key, grant, now));
                self.touched.push(Some(grant));
                self.newreg = true;
                self.durable = true;
                self.events.push(Event::Registered(line.clone()));
            }
        }
        Ok(())
    }

    /// The binding that a contact speaks of:
    /// 1. with instance and reg-id, the one of the same flow identity (RFC 5626 §6);
    /// 2. the one with an equivalent URI, unless both name different flow identities;
    /// 3. with an instance alone, the same phone's former contact: it has moved. A removal never takes
    ///    this way, or the removal of an old contact would remove the new one.
    fn find(&self, line: &Dn, contact: &ContactFact, key: ContactKey, removal: bool) -> Option<usize> {
        let mine = || self.row.bindings.iter().enumerate().filter(|(_, b)| b.line == *line);
        let flow = contact.flow_id();
        let by_flow =
            || mine().find(|(_, b)| flow.is_some() && b.reg_id == flow && same_instance(b, contact));
        let by_uri = || {
            let equal = |b: &Binding| b.key == key;
            mine()
                .find(|(_, b)| b.reg_id.is_none() && equal(b))
                .or_else(|| mine().find(|(_, b)| flow.is_none() && equal(b)))
        };
        let by_instance = || {
            mine().find(|(i, b)| {
                !removal
                    && flow.is_none()
                    && contact.instance.is_some()
                    && b.reg_id.is_none()
                    && self.touched[*i].is_none()
                    && same_instance(b, contact)
            })
        };
        by_flow().or_else(by_uri).or_else(by_instance).map(|(i, _)| i)
    }

    /// A phone that names no instance leaves a contact behind at each restart. Instead of locking it out
    /// until those expire, the oldest that this request does not speak of give way.
    fn make_room(&mut self, lines: &[Dn]) {
        for line in lines {
            let of_line = |b: &Binding| b.line == *line;
            let mut over =
                self.row.bindings.iter().filter(|b| of_line(b)).count().saturating_sub(CONTACTS_PER_LINE_MAX);
            while over > 0 {
                let candidates = self.row.bindings.iter().enumerate().zip(&self.touched);
                let oldest = candidates
                    .filter(|((_, b), touched)| of_line(b) && touched.is_none())
                    .min_by_key(|((_, b), _)| b.granted_until)
                    .map(|((i, _), _)| i);
                let Some(i) = oldest else { break };
                self.row.bindings.remove(i);
                self.touched.remove(i);
                self.durable = true;
                self.events.push(Event::Unregistered(line.clone(), Gone::Replaced));
                over -= 1;
            }
        }
    }

    fn check_counts(&self, lines: &[Dn]) -> Result<(), Cause> {
        let count = self.row.bindings.len();
        if count > BINDINGS_MAX {
            return Err(Cause::TooMany { count, limit: BINDINGS_MAX });
        }
        for line in lines {
            let count = self.row.bindings.iter().filter(|b| b.line == *line).count();
            if count > CONTACTS_PER_LINE_MAX {
                return Err(Cause::TooMany { count, limit: CONTACTS_PER_LINE_MAX });
            }
        }
        Ok(())
    }

    /// Leaves the durable expiry alone while it covers every new grant and outlives none of them by more
    /// than the horizon; else the row is to be written, with new ones.
    fn settle_horizon(&mut self) {
        let touched: Vec<(usize, u32)> =
            self.touched.iter().enumerate().filter_map(|(i, grant)| Some((i, (*grant)?))).collect();
        let limit = |b: &Binding, grant: u32| b.granted_until.plus_secs(u64::from(horizon(grant)));
        self.durable |= touched.iter().any(|&(i, grant)| {
            let b = &self.row.bindings[i];
            b.granted_until > b.persisted_until || b.persisted_until > limit(b, grant)
        });
        if self.durable {
            for (i, grant) in touched {
                let b = &mut self.row.bindings[i];
                b.persisted_until = limit(b, grant);
            }
        }
    }
}

/// Place of a request in a binding's history.
enum Order {
    Follows,
    Repeats,
    Precedes,
}

fn order(last: &Origin, request: &Register) -> Order {
    if last.call_id != request.call_id || request.cseq > last.cseq {
        return Order::Follows;
    }
    // An equal request from elsewhere is a copy, not a retransmission.
    let equal = request.cseq == last.cseq
        && request.nonce == last.nonce
        && request.source_ip() == last.flow.remote().ip().to_canonical();
    if equal { Order::Repeats } else { Order::Precedes }
}

fn written(
    request: &Register,
    line: &Dn,
    contact: &ContactFact,
    key: ContactKey,
    grant: u32,
    now: UnixMillis,
) -> Binding {
    let granted_until = now.plus_secs(u64::from(grant));
    Binding {
        line: line.clone(),
        contact: Arc::clone(&contact.uri),
        key,
        instance: contact.instance.clone(),
        reg_id: contact.flow_id(),
        q: contact.q.map(|q| q.min(1000)),
        model: contact.model,
        fresh: true,
        granted_until,
        persisted_until: granted_until,
        origin: Origin {
            call_id: Arc::clone(&request.call_id),
            cseq: request.cseq,
            nonce: request.nonce,
            flow: request.flow,
            peer: request.peer,
            path: request.path.clone(),
        },
    }
}

/// More than expiry, CSeq and nonce count differs in what storage keeps.
fn durably_differs(old: &Binding, new: &Binding) -> bool {
    old.contact != new.contact
        || old.instance != new.instance
        || old.reg_id != new.reg_id
        || old.q != new.q
        || old.model != new.model
        || old.origin.call_id != new.origin.call_id
        || old.origin.nonce.map(|n| n.id) != new.origin.nonce.map(|n| n.id)
        || old.origin.flow.durable() != new.origin.flow.durable()
        || old.origin.peer != new.origin.peer
        || old.origin.path != new.origin.path
}

/// Key of a contact; that of a binding with the same text where there is one, which spares the hash on
/// every refresh.
fn key_of(bindings: &[Binding], contact: &ContactFact) -> ContactKey {
    bindings
        .iter()
        .find(|b| b.contact == contact.uri)
        .map_or_else(|| ContactKey::of(&contact.uri_key), |b| b.key)
}

fn same_instance(b: &Binding, contact: &ContactFact) -> bool {
    match (&b.instance, &contact.instance) {
        (Some(a), Some(c)) => a.is_same(c),
        (None, None) => true,
        _ => false,
    }
}

impl ContactFact {
    /// The reg-id where it counts: together with an instance.
    fn flow_id(&self) -> Option<u32> {
        self.instance.as_ref().and(self.reg_id)
    }
}

impl Register {
    /// `cisco-keep-alive` with nothing that would stay (provisioning.md §7.2). One that asks for time is an
    /// ordinary registration: a 200 to it promises a binding.
    fn is_standby_keepalive(&self) -> bool {
        self.keepalive
            && !self.contacts.is_empty()
            && self.contacts.iter().all(|c| c.expires.or(self.expires) == Some(0))
    }
}
