//! Effects of calls as SIP.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use keyline_actors::outlet::NoTarget;
use keyline_actors::route::CallKey;
use keyline_domain::call::{
    Dialog, Effect, Failure, Header, Input, Method as CallMethod, Outgoing, OutgoingAck, Reply,
};
use keyline_domain::mode::Transport;
use keyline_wire::sdp::bridge::{BridgePolicy, Role};
use keyline_wire::sip::{Method, Printer, reason_phrase};
use smallvec::SmallVec;

use super::owner::{Asked, ClientOwner};
use super::path::{Path, host_port, push_host_port};
use super::shared::Shared;
use super::transaction::{ServerTxId, branch};
use super::worker::State;
use super::{ALLOW, SUPPORTED, SUPPORTED_IN_REQUESTS, media};
use crate::limits::Limit;

/// Max-Forwards of a request that no request of a peer is behind.
const MAX_FORWARDS: u64 = 70;

/// Our Contact on a path: phones send in-dialog requests there, over the same flow.
pub(super) fn contact(path: &Path) -> String {
    let mut text = String::with_capacity(64);
    text.push_str("<sip:");
    push_host_port(&mut text, path.local());
    text.push_str(match path.transport() {
        Transport::Udp => ">",
        Transport::Tcp => ";transport=tcp>",
        Transport::Tls | Transport::Oauth => ";transport=tls>",
        // RFC 7118 §5.3: the same token with and without TLS.
        Transport::Ws | Transport::Wss => ";transport=ws>",
    });
    text
}

impl State {
    pub(super) fn effects(&mut self, shared: &Shared, call: CallKey, effects: SmallVec<[Effect; 4]>) {
        for effect in effects {
            match effect {
                Effect::Reply(reply) => self.reply(shared, call, &reply),
                Effect::Send(out) => self.send(shared, call, &out),
                Effect::Ack(ack) => self.send_ack(shared, call, &ack),
                Effect::Cancel { token, headers, .. } => self.send_cancel(shared, call, token, &headers),
                Effect::Forget { token } => {
                    if let Some(tx) = self.tokens.remove(&(call, token)) {
                        self.clients.abandon(tx, &mut self.client_actions);
                        self.run_actions(shared);
                    }
                }
                Effect::StopRepeat { tx } => {
                    self.servers.stop_2xx(ServerTxId::from_u64(tx.0));
                }
                Effect::Adopt { from, tag, .. } => {
                    shared.media.adopt(CallKey::unpack(from.0), call, &tag);
                }
                Effect::Finished { .. } => shared.media.forget(call),
                // The call's actor keeps these for itself.
                Effect::Arm { .. }
                | Effect::Find(_)
                | Effect::Journal(_)
                | Effect::Locate { .. }
                | Effect::JournalOver { .. }
                | Effect::Publish { .. }
                | Effect::Tell { .. } => {}
            }
        }
    }

    fn reply(&mut self, shared: &Shared, call: CallKey, reply: &Reply) {
        let tx = ServerTxId::from_u64(reply.tx.0);
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let invite = owner.head.method() == Method::Invite;
        let success = (200..300).contains(&reply.status);
        let body = match &reply.body {
            Some(body) if body.media.is_some() => {
                let tag = match (&reply.to_tag, &owner.asked) {
                    (Some(tag), _) => Arc::clone(tag),
                    (None, Asked::InDialog { tag, .. }) => Arc::clone(tag),
                    (None, _) => Arc::from(owner.tag.as_str()),
                };
                let role = if owner.offer.is_some() { Role::Answer } else { Role::Offer };
                let policy = policy(shared, reply.carry_crypto);
                match shared.media.rewrite(call, &tag, role, body, owner.offer.as_deref(), &policy) {
                    Ok(bytes) => Some((Cow::Borrowed(media::SDP_TYPE), Cow::Owned(bytes))),
                    // A provisional without its SDP says less, but nothing wrong. For a final answer the call
                    // decides: nothing was sent, so that the sender gets one answer only.
                    Err(_) if !success => None,
                    Err(status) => {
                        return self.tell_call(shared, call, Input::Unanswerable { tx: reply.tx, status });
                    }
                }
            }
            Some(body) => Some((Cow::Borrowed(&*body.content_type), Cow::Borrowed(&*body.bytes))),
            None => None,
        };
        let reason = reply.reason.as_deref().unwrap_or_else(|| reason_phrase(reply.status));
        let mut p = owner.head.response(reply.status, reason, reply.to_tag.as_deref().or(Some(&owner.tag)));
        let makes_dialog = invite && (101..300).contains(&reply.status);
        if makes_dialog || (success && matches!(owner.head.method(), Method::Update | Method::Refer)) {
            p.header("Contact", &owner.contact);
        }
        if reply.status == 405 || (success && invite) {
            p.header("Allow", ALLOW);
        }
        if success && (invite || owner.head.method() == Method::Update) {
            p.header("Supported", SUPPORTED);
        }
        headers(&mut p, &reply.headers);
        let bytes = match body {
            Some((content_type, bytes)) => p.finish_with(&content_type, &bytes),
            None => p.finish(),
        };
        drop(owner);
        self.respond(shared, tx, reply.status, bytes);
        // What is kept until the transaction ends is the answer; of the request nothing more is needed.
        if reply.status >= 200
            && let Some(owner) = self.servers.owner_mut(tx).and_then(Rc::get_mut)
        {
            owner.head.spend();
            (owner.tag, owner.contact, owner.offer) = (String::new(), String::new(), None);
        }
    }

    fn send(&mut self, shared: &Shared, call: CallKey, out: &Outgoing) {
        let failed = |failure| Input::Failed { token: out.token, failure };
        let Some(path) = self.path_of(&out.flow) else {
            return self.tell_call(shared, call, failed(Failure::Transport));
        };
        let dialog = &out.dialog;
        let invite = out.method == CallMethod::Invite;
        let offered = out.body.as_ref().is_some_and(|b| b.media.is_some());
        let body = match &out.body {
            Some(body) if offered => {
                let policy = policy(shared, out.carry_crypto);
                // What goes with a PRACK of ours answers an offer that came in a provisional (RFC 3262 §5).
                let role = if out.method == CallMethod::Prack { Role::Answer } else { Role::Offer };
                match shared.media.rewrite(call, &dialog.local_tag, role, body, None, &policy) {
                    Ok(bytes) => Some((Cow::Borrowed(media::SDP_TYPE), Cow::Owned(bytes))),
                    Err(status) => return self.tell_call(shared, call, failed(Failure::Unwritable(status))),
                }
            }
            Some(body) => Some((Cow::Borrowed(&*body.content_type), Cow::Borrowed(&*body.bytes))),
            None => None,
        };
        let method = out.method.as_str();
        let id = branch::make(self.id, self.entropy.take());
        // The first INVITE of a leg carries what is left of the caller's hops: a loop of phones ends.
        let hops = match (invite, &dialog.remote_tag) {
            (true, None) => shared.boards.calls.get(call).map_or(MAX_FORWARDS, |e| u64::from(e.max_forwards)),
            _ => MAX_FORWARDS,
        };
        let mut p = begin(&path, method, dialog, id.as_str(), hops);
        p.cseq(dialog.local_cseq, method);
        if matches!(out.method, CallMethod::Invite | CallMethod::Update | CallMethod::Notify) {
            p.header("Contact", &contact(&path));
        }
        if invite {
            p.header("Allow", ALLOW);
        }
        if matches!(out.method, CallMethod::Invite | CallMethod::Update) {
            p.header("Supported", SUPPORTED_IN_REQUESTS);
        }
        headers(&mut p, &out.headers);
        let bytes = match body {
            Some((content_type, bytes)) => p.finish_with(&content_type, &bytes),
            None => p.finish(),
        };
        let owner =
            ClientOwner::Call { call, token: out.token, tag: Arc::clone(&dialog.local_tag), invite, offered };
        let now = self.now();
        let sent = self.clients.send(
            now,
            wire_method(out.method),
            id.as_str(),
            bytes.into(),
            path,
            owner,
            &mut self.client_actions,
        );
        match sent {
            Ok(tx) => {
                self.tokens.insert((call, out.token), tx);
                shared.metrics.sent(method);
            }
            Err(error) => {
                tracing::warn!(%error, %call, "a request was not sent");
                self.tell_call(shared, call, failed(Failure::Transport));
            }
        }
        self.run_actions(shared);
    }

    fn send_ack(&mut self, shared: &Shared, call: CallKey, ack: &OutgoingAck) {
        let Some(path) = self.path_of(&ack.flow) else { return };
        let dialog = &ack.dialog;
        let id = branch::make(self.id, self.entropy.take());
        let body = match &ack.body {
            Some(body) if body.media.is_some() => {
                let policy = policy(shared, ack.carry_crypto);
                // The ACK must go out in any case; without its answer the phone ends the call by itself.
                shared.media.rewrite(call, &dialog.local_tag, Role::Answer, body, None, &policy).ok()
            }
            _ => None,
        };
        let mut p = begin(&path, "ACK", dialog, id.as_str(), MAX_FORWARDS);
        p.cseq(ack.cseq, "ACK");
        let bytes = match body {
            Some(bytes) => p.finish_with(media::SDP_TYPE, &bytes),
            None => p.finish(),
        };
        shared.metrics.sent("ACK");
        self.transmit(shared, &path, bytes);
    }

    fn send_cancel(
        &mut self,
        shared: &Shared,
        call: CallKey,
        token: keyline_domain::call::ClientTx,
        extra: &[Header],
    ) {
        let Some(tx) = self.tokens.get(&(call, token)).copied() else { return };
        let extra: SmallVec<[(&str, &str); 2]> = extra.iter().map(|h| (&*h.name, &*h.value)).collect();
        let now = self.now();
        match self.clients.cancel(now, tx, &extra, ClientOwner::Cancel, &mut self.client_actions) {
            Ok(_) => shared.metrics.sent("CANCEL"),
            Err(error) => tracing::debug!(%error, %call, "a CANCEL was not sent"),
        }
        self.run_actions(shared);
    }

    pub(super) fn no_call(&mut self, shared: &Shared, tx: ServerTxId, why: NoTarget) {
        match why {
            NoTarget::UnknownLine => self.final_answer(shared, tx, 404, None),
            NoTarget::NotRegistered => self.final_answer(shared, tx, 480, None),
            NoTarget::Overloaded => {
                shared.metrics.limit(Limit::Calls);
                let after = self.retry_after().to_string();
                self.final_answer(shared, tx, 503, Some(("Retry-After", &after)));
            }
        }
    }
}

/// Start line, Via, Max-Forwards, From, To, Call-ID and Route of a request in a dialog.
pub(super) fn begin(path: &Path, method: &str, dialog: &Dialog, branch: &str, hops: u64) -> Printer {
    let mut p = Printer::request(method, &dialog.remote_target);
    let local = host_port(path.local());
    p.header_parts("Via", &["SIP/2.0/", path.transport().via_token(), " ", &local, ";rport;branch=", branch]);
    p.header_number("Max-Forwards", hops);
    for route in &dialog.route_set {
        p.header("Route", route);
    }
    p.header_parts("From", &[&dialog.local_uri, ";tag=", &dialog.local_tag]);
    match &dialog.remote_tag {
        Some(tag) => p.header_parts("To", &[&dialog.remote_uri, ";tag=", tag]),
        None => p.header("To", &dialog.remote_uri),
    };
    p.header("Call-ID", &dialog.call_id);
    p
}

fn headers(p: &mut Printer, list: &[Header]) {
    for h in list {
        p.header(&h.name, &h.value);
    }
}

fn policy(shared: &Shared, carry_crypto: bool) -> BridgePolicy {
    BridgePolicy {
        carry_crypto,
        suites: media::suites(shared.boards.settings.load().parameters.srtp_ciphers),
    }
}

fn wire_method(method: CallMethod) -> Method<'static> {
    match method {
        CallMethod::Bye => Method::Bye,
        CallMethod::Info => Method::Info,
        CallMethod::Invite => Method::Invite,
        CallMethod::Message => Method::Message,
        CallMethod::Notify => Method::Notify,
        CallMethod::Refer => Method::Refer,
        CallMethod::Options | CallMethod::Other => Method::Options,
        CallMethod::Prack => Method::Prack,
        CallMethod::Update => Method::Update,
    }
}
