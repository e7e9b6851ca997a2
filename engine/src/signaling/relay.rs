//! MESSAGE and OPTIONS from one phone to another outside a call: forked to the line's bindings, one answer
//! back. As everywhere between phones nothing of one leg's identifiers passes to the other.

use std::collections::HashMap;
use std::sync::Arc;

use keyline_actors::Load;
use keyline_domain::call::Dialog;
use keyline_domain::flow::Flow;
use keyline_domain::ids::Dn;
use keyline_domain::phone::{self, Binding};
use keyline_wire::sip::{HeaderName, Message, Method, Scheme, reason_phrase};
use smallvec::SmallVec;

use super::outbound;
use super::owner::{Asked, ClientOwner};
use super::path::Path;
use super::shared::{Shared, ToWorker};
use super::transaction::{RequestKey, ServerTxId, branch};
use super::worker::State;

/// Bindings that one request is forked to at most.
const LEGS_MAX: usize = 16;

/// Relays of one worker at a time.
const RELAYS_MAX: usize = 16_384;

/// One leg, for the worker that owns the flow.
#[derive(Debug)]
pub struct Leg {
    /// Worker that asked.
    pub from: u16,
    /// Its relay.
    pub relay: u64,
    /// Method.
    pub message: bool,
    /// Flow of the binding.
    pub flow: Flow,
    /// Everything the request is written from.
    pub dialog: Dialog,
    /// Content-Type and body.
    pub body: Option<(Arc<str>, Arc<[u8]>)>,
    /// Max-Forwards.
    pub hops: u64,
}

/// Its outcome.
#[derive(Debug)]
pub struct LegResult {
    /// The relay.
    pub relay: u64,
    /// Status of the final response.
    pub status: u16,
    /// Content-Type and body of it.
    pub body: Option<(Arc<str>, Arc<[u8]>)>,
    /// Allow of it.
    pub allow: Option<Arc<str>>,
}

struct Relay {
    tx: ServerTxId,
    open: usize,
    best: Option<LegResult>,
}

/// Relays in progress.
#[derive(Default)]
pub(super) struct Relays {
    next: u64,
    open: HashMap<u64, Relay>,
}

impl State {
    pub(super) fn relay(
        &mut self,
        shared: &Shared,
        path: Path,
        message: &Message<'_>,
        method: Method<'_>,
        key: RequestKey,
    ) {
        let Some(sender) = self.speak(shared, &path, message, false) else { return };
        let now = keyline_actors::clock::now();
        let row = shared.boards.devices.slot(sender.device).and_then(|s| s.row());
        if !row.is_some_and(|r| r.is_registered(now)) {
            return self.refuse_stateless(shared, &path, message, 403, "register first");
        }
        let dn = message.uri().and_then(|u| u.aor_user().and_then(|u| Dn::parse(&u).ok()));
        let Some(dn) = dn.filter(|dn| shared.boards.devices.has_line(dn.as_str())) else {
            return self.refuse_stateless(shared, &path, message, 404, "no such line");
        };
        let config = shared.boards.devices.device(sender.device);
        let room = config
            .is_some_and(|d| shared.handle.has_room_at(shared.handle.shard(d.name.partition()), Load::New));
        if shared.is_draining() || !room || self.relays.open.len() >= RELAYS_MAX {
            shared.metrics.shed("message");
            return self.overloaded(shared, &path, message);
        }
        let mut targets: SmallVec<[(Flow, Arc<str>, phone::Path); 2]> = SmallVec::new();
        for device in shared.boards.devices.by_line(dn.as_str()) {
            if let Some(row) = shared.boards.devices.slot(device).and_then(|s| s.row()) {
                let sips = message.uri().is_some_and(|u| u.scheme == Scheme::Sips);
                let reachable =
                    |b: &&Binding| b.origin.flow.is_live() && (!sips || b.origin.flow.transport().is_tls());
                for (b, spare) in phone::by_phone(row.line(&dn, now).filter(reachable)) {
                    if !spare && targets.len() < LEGS_MAX {
                        targets.push((b.origin.flow, Arc::clone(&b.contact), b.origin.path.clone()));
                    }
                }
            }
        }
        if targets.is_empty() {
            return self.refuse_stateless(shared, &path, message, 480, "nobody is registered on that line");
        }
        self.relays.next += 1;
        let relay = self.relays.next;
        let Some(tx) = self.open(shared, &path, message, key, Asked::Relay, Some(sender.device), None) else {
            return;
        };
        self.relays.open.insert(relay, Relay { tx, open: targets.len(), best: None });
        let body = (!message.body().is_empty()).then(|| {
            let content_type = message.first(HeaderName::ContentType).unwrap_or("text/plain");
            (Arc::from(content_type), Arc::from(message.body()))
        });
        for (flow, contact, route_set) in targets {
            let dialog = Dialog {
                call_id: format!("{:032x}", u128::from_be_bytes(self.entropy.take())).into(),
                local_tag: format!("{:016x}", self.entropy.number()).into(),
                remote_tag: None,
                local_uri: format!("<sip:{}@{}>", sender.line, shared.domain).into(),
                remote_uri: format!("<sip:{dn}@{}>", shared.domain).into(),
                local_cseq: 1,
                remote_cseq: None,
                route_set,
                remote_target: contact,
            };
            let leg = Leg {
                from: self.id,
                relay,
                message: method == Method::Message,
                flow,
                dialog,
                body: body.clone(),
                hops: u64::from(message.max_forwards().saturating_sub(1)),
            };
            match flow {
                Flow::Stream { id, .. } if id.worker != self.id => {
                    if !shared.inboxes.send(id.worker, ToWorker::Relay(Box::new(leg))) {
                        self.relay_result(shared, failed(relay, 503));
                    }
                }
                _ => self.relay_send(shared, leg),
            }
        }
    }

    /// Sends one leg from this worker.
    pub(super) fn relay_send(&mut self, shared: &Shared, leg: Leg) {
        let Some(path) = self.path_of(&leg.flow) else {
            return self.relay_failed(shared, leg.from, leg.relay, 480);
        };
        let (method, name) =
            if leg.message { (Method::Message, "MESSAGE") } else { (Method::Options, "OPTIONS") };
        let id = branch::make(self.id, self.entropy.take());
        let mut p = outbound::begin(&path, name, &leg.dialog, id.as_str(), leg.hops);
        p.cseq(leg.dialog.local_cseq, name);
        let bytes = match &leg.body {
            Some((content_type, bytes)) => p.finish_with(content_type, bytes),
            None => p.finish(),
        };
        let owner = ClientOwner::Relay { worker: leg.from, relay: leg.relay };
        let now = self.now();
        let sent =
            self.clients.send(now, method, id.as_str(), bytes.into(), path, owner, &mut self.client_actions);
        match sent {
            Ok(_) => shared.metrics.sent(name),
            Err(error) => {
                tracing::warn!(%error, "a message between phones was not sent");
                self.relay_failed(shared, leg.from, leg.relay, 503);
            }
        }
        self.run_actions(shared);
    }

    pub(super) fn relay_response(&mut self, shared: &Shared, worker: u16, relay: u64, message: &Message<'_>) {
        let status = message.status().unwrap_or(500);
        if status < 200 {
            return;
        }
        let body = (!message.body().is_empty()).then(|| {
            let content_type = message.first(HeaderName::ContentType).unwrap_or("text/plain");
            (Arc::from(content_type), Arc::from(message.body()))
        });
        let allow = message.first(HeaderName::Allow).map(Into::into);
        self.relay_done(shared, worker, LegResult { relay, status, body, allow });
    }

    pub(super) fn relay_failed(&mut self, shared: &Shared, worker: u16, relay: u64, status: u16) {
        self.relay_done(shared, worker, failed(relay, status));
    }

    fn relay_done(&mut self, shared: &Shared, worker: u16, result: LegResult) {
        if worker == self.id {
            self.relay_result(shared, result);
        } else {
            shared.inboxes.send(worker, ToWorker::Relayed(Box::new(result)));
        }
    }

    /// One leg is done: the first 2xx answers, else the lowest failure when all are done (RFC 3261 §16.7).
    pub(super) fn relay_result(&mut self, shared: &Shared, result: LegResult) {
        let Some(relay) = self.relays.open.get_mut(&result.relay) else { return };
        relay.open = relay.open.saturating_sub(1);
        let number = result.relay;
        let success = (200..300).contains(&result.status);
        if relay.best.as_ref().is_none_or(|b| result.status < b.status) {
            relay.best = Some(result);
        }
        if !success && relay.open > 0 {
            return;
        }
        let Some(Relay { tx, best: Some(best), .. }) = self.relays.open.remove(&number) else { return };
        // A challenge or an overload of one phone is not the other's business (RFC 3261 §16.7 step 6).
        let status = match best.status {
            401 | 407 | 503 => 500,
            300..=399 => 480,
            other => other,
        };
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let mut p = owner.head.response(status, reason_phrase(status), Some(&owner.tag));
        if let Some(allow) = &best.allow {
            p.header("Allow", allow);
        }
        let bytes = match &best.body {
            Some((content_type, bytes)) if success => p.finish_with(content_type, bytes),
            _ => p.finish(),
        };
        self.respond(shared, tx, status, bytes);
    }
}

fn failed(relay: u64, status: u16) -> LegResult {
    LegResult { relay, status, body: None, allow: None }
}
