//! Requests that arrive: matched, judged, handed on. A retransmission is absorbed before anything is judged
//! (sip.md §3): its nonce count must not be checked twice.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use keyline_actors::Load;
use keyline_actors::board::{Refused, RefusedAt};
use keyline_actors::shard::Intent;
use keyline_domain::admit::{Admission as Admitted, Cause, Refusal, Under, Verdict};
use keyline_domain::call::Input;
use keyline_domain::identity::SeenKind;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::mode::Transport;
use keyline_domain::phone::{NonceUse, Peer};
use keyline_wire::sip::{Contacts, HeaderName, Message, Method, ReplyHead, Scheme, Uri, quoted};

use super::answer::{reply_path, top_via};
use super::owner::{Asked, ServerOwner};
use super::path::Path;
use super::shared::Shared;
use super::transaction::{CancelTarget, Received, RequestKey, ServerTxId};
use super::worker::{State, shard_of};
use super::{ALLOW, ALLOW_EVENTS, CALL_EXTENSIONS, REGISTER_EXTENSIONS, SUPPORTED, cisco, media, register};
use crate::admission::{Arrival, Judged, Speaker, judge};
use crate::limits::{Limit, source};

/// Seconds after which a phone may come back with a token whose key is being asked for.
const KEYS_PENDING_S: &str = "2";

impl State {
    pub(super) fn request(&mut self, shared: &Shared, path: Path, message: &Message<'_>) {
        let now = self.now();
        let Some(method) = message.method() else { return };
        shared.metrics.request(method.as_str());
        let received = self.servers.receive(now, message, path.remote().ip(), &mut self.server_actions);
        match received {
            Received::Absorbed => self.run_actions(shared),
            Received::Unmatchable => {}
            Received::Ack { .. } => self.ack(shared, &path, message),
            Received::Cancel { key, target } => self.cancel(shared, path, message, key, target),
            Received::New(key) => self.new_request(shared, path, message, method, key),
        }
    }

    fn new_request(
        &mut self,
        shared: &Shared,
        path: Path,
        message: &Message<'_>,
        method: Method<'_>,
        key: RequestKey,
    ) {
        let uri = message.uri();
        if uri.as_ref().is_some_and(|u| !u.is_sip()) {
            return self.answer_stateless(shared, &path, message, 416, &[]);
        }
        // RFC 5630 §3.1: sips is TLS on every hop, the first one included.
        if uri.as_ref().is_some_and(|u| u.scheme == Scheme::Sips) && !path.transport().is_tls() {
            return self.refuse_stateless(shared, &path, message, 403, "sips needs TLS on every hop");
        }
        let to_us = uri.as_ref().is_some_and(|u| serves(shared, u));
        if !to_us {
            // Another domain is not served here, and nothing is relayed for strangers (RFC 3261 §16.3).
            return self.refuse_stateless(
                shared,
                &path,
                message,
                404,
                "this host does not serve that domain",
            );
        }
        if self.servers.is_merged(&key) {
            return self.answer_stateless(shared, &path, message, 482, &[]);
        }
        if let Some(unsupported) = unsupported(message, method) {
            return self.answer_stateless(shared, &path, message, 420, &[("Unsupported", &unsupported)]);
        }
        let to_server = uri.as_ref().is_some_and(|u| u.user.is_none());
        if message.max_forwards() == 0
            && method != Method::Register
            && !(method == Method::Options && to_server)
        {
            return self.refuse_stateless(shared, &path, message, 483, "Max-Forwards is 0");
        }
        if method == Method::Refer
            && message.to_tag().is_none()
            && let Some(about) = cisco::read(message)
        {
            return self.cisco_refer(shared, path, message, about);
        }
        match method {
            Method::Register => self.register(shared, path, message, key),
            Method::Subscribe => self.subscribe(shared, path, message, key),
            _ if message.to_tag().is_some() => self.in_dialog(shared, path, message, method, key),
            Method::Invite => self.invite(shared, path, message, key),
            Method::Options if to_server => self.options(shared, path, message),
            Method::Options | Method::Message => self.relay(shared, path, message, method, key),
            Method::Bye | Method::Info | Method::Update | Method::Prack => {
                self.refuse_stateless(shared, &path, message, 481, "no such dialog");
            }
            Method::Refer => self.refer_outside(shared, &path, message),
            // Whoever sends it is asked who it is first (R162, RFC 3261 §8.2).
            _ => {
                if self.speak(shared, &path, message, false).is_some() {
                    self.answer_stateless(shared, &path, message, 405, &[("Allow", ALLOW)]);
                }
            }
        }
    }

    /// OPTIONS to the server itself: 200 with what we can (RFC 3261 §11.2), unchallenged, limited per source (R193).
    fn options(&mut self, shared: &Shared, path: Path, message: &Message<'_>) {
        if !shared.admission.options.take(path.remote().ip(), self.now_us()) && !self.registered_here(&path) {
            shared.metrics.limit(Limit::Options);
            return shared.metrics.shed("options");
        }
        let headers = [
            ("Allow", ALLOW),
            ("Accept", media::SDP_TYPE),
            ("Supported", SUPPORTED),
            ("Allow-Events", ALLOW_EVENTS),
        ];
        self.answer_stateless(shared, &path, message, 200, &headers);
    }

    pub(super) fn registered_here(&self, path: &Path) -> bool {
        match path {
            Path::Stream { id, .. } => self.connections.get(*id).is_some_and(|c| !c.devices.is_empty()),
            Path::Udp { .. } => false,
        }
    }

    fn register(&mut self, shared: &Shared, path: Path, message: &Message<'_>, key: RequestKey) {
        let read = match register::read(message) {
            Ok(read) => read,
            Err(fault) => return self.refuse_stateless(shared, &path, message, fault.status, fault.text),
        };
        // RFC 3261 §10.3 step 5: the address of record is one of a domain that we serve.
        if !message.to().is_some_and(|to| serves(shared, &to.uri)) {
            return self.refuse_stateless(
                shared,
                &path,
                message,
                404,
                "this host does not serve that domain",
            );
        }
        // RFC 5626 §6: flows can be kept apart only when nothing stands between the phone and us.
        if message.lists(HeaderName::Require, "outbound")
            && read.has_flow()
            && message.vias().nth(1).is_some()
            && !register::edge_keeps_flows(message)
        {
            return self.answer_stateless(shared, &path, message, 439, &[]);
        }
        // RFC 3327 §5.3: a phone that does not know of a Path would not send its requests that way.
        if message.has(HeaderName::Path) && !message.lists(HeaderName::Supported, "path") {
            return self.answer_stateless(shared, &path, message, 420, &[("Unsupported", "path")]);
        }
        let peer = self.peer(&path);
        let facts = || read.facts(message, &path, peer, &[], keyline_domain::phone::SIP_PORT);
        let judged = self.judge(
            shared,
            &path,
            message,
            &Speaker {
                contact_device: read.device_name.as_deref(),
                aors: &[read.line.as_str()],
                in_dialog: false,
                standby_keepalive: read.keepalive,
                to_server: false,
                register: Some(&facts),
            },
        );
        if judged.device.is_none() && self.adopt(shared, &path, message, &read) {
            return;
        }
        let Some(admitted) = self.verdict(shared, &path, message, &judged) else { return };
        if admitted.under == Under::Exempt {
            return self.standby_keepalive(shared, &path, message, read.cisco);
        }
        let (Some(device), Some(applied)) = (judged.device, judged.applied) else { return };
        let Some(shard) = shard_of(shared, device) else {
            return self.refuse_stateless(shared, &path, message, 404, "no such device");
        };
        let Some(config) = shared.boards.devices.device(device) else { return };
        if let Some(kind) = admitted.certificate.and_then(SeenKind::of)
            && let Path::Stream { id, .. } = path
            && let Some(shown) = self.connections.get(id).and_then(|c| c.facts.certificate.as_ref())
        {
            shared.handle.see_certificate(&config.name, kind, &shown.facts);
        }
        let slot = shared.boards.devices.slot(device);
        let refresh = slot.and_then(|s| s.row()).is_some_and(|r| !r.bindings.is_empty());
        let load = if refresh { Load::Refresh } else { Load::Register };
        // A phone that is registered already keeps its binding while the node drains.
        if (shared.is_draining() && !refresh) || !shared.handle.admit(shard, load) {
            shared.metrics.shed(if refresh { "refresh" } else { "register" });
            if !shared.is_draining() {
                shared.metrics.limit(Limit::Queue);
            }
            return self.overloaded(shared, &path, message);
        }
        let phone_port = shared
            .boards
            .profiles
            .settings(applied)
            .map_or(keyline_domain::phone::SIP_PORT, |s| s.sip_phone_port);
        let peer = Peer { proof: admitted.proof, ..peer };
        let mut facts = read.facts(message, &path, peer, &config.lines, phone_port);
        facts.nonce = admitted.nonce.map(|(id, nc)| NonceUse { id, nc });
        let asked = Asked::Register {
            cisco: read.cisco,
            options_indication: read.options_indication,
            outbound: (message.lists(HeaderName::Supported, "outbound")
                || message.lists(HeaderName::Require, "outbound"))
                && facts.contacts.iter().any(|c| c.reg_id.is_some() && c.instance.is_some()),
            path: facts.path.clone(),
        };
        let Some(tx) = self.open(shared, &path, message, key, asked, Some(device), None) else {
            return self.credit_back(shared, shard);
        };
        if let Path::Stream { id, .. } = path
            && !facts.contacts.is_empty()
            && !facts.keepalive
        {
            self.connections.registered(id, device);
        }
        let proof_due = judged.proof_due;
        let shown = match path {
            Path::Stream { id, .. } => self.connections.get(id).and_then(|c| c.facts.certificate.clone()),
            Path::Udp { .. } => None,
        };
        let request = Box::new(facts);
        let tx = tx.to_u64();
        self.intend(shard, Intent::Register { device, tx, request, proof_due, judged: applied, shown });
    }

    /// The credit of an intent that will not be sent: an empty batch gives nothing back, so it is done here.
    pub(super) fn credit_back(&self, shared: &Shared, shard: keyline_actors::route::ShardId) {
        shared.handle.release(shard);
    }

    /// What the connection proved, without the proof of this request.
    pub(super) fn peer(&self, path: &Path) -> Peer {
        match path {
            Path::Stream { id, .. } => self.connections.get(*id).map(|c| c.facts.peer()).unwrap_or_default(),
            Path::Udp { .. } => Peer::default(),
        }
    }

    pub(super) fn judge(
        &self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        speaker: &Speaker<'_>,
    ) -> Judged {
        let stream = match path {
            Path::Stream { id, .. } => Some(*id),
            Path::Udp { .. } => None,
        };
        let connection = stream.and_then(|id| self.connections.get(id));
        let facts = connection.map(|c| Arc::clone(&c.facts));
        let arrival = Arrival {
            transport: path.transport(),
            source: path.remote(),
            stream,
            facts: facts.as_deref(),
            token: connection.and_then(|c| c.token.as_ref()),
            now: keyline_actors::clock::now(),
        };
        judge(&shared.admission, &shared.boards, message, &arrival, speaker)
    }

    /// Acts on a verdict; gives back the terms when the request is served.
    pub(super) fn verdict<'j>(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        judged: &'j Judged,
    ) -> Option<&'j Admitted> {
        shared.metrics.verdict(&judged.verdict);
        match &judged.verdict {
            Verdict::Admit(admitted) => {
                if let (Some(token), Path::Stream { id, .. }) = (&judged.token, path)
                    && let Some(connection) = self.connections.get_mut(*id)
                {
                    connection.token = Some(Arc::clone(token));
                }
                Some(admitted)
            }
            Verdict::Challenge { cause, .. } if path.transport() == Transport::Oauth => {
                self.challenge_bearer(shared, path, message, *cause);
                None
            }
            Verdict::Challenge { stale, .. } => {
                self.challenge(shared, path, message, *stale);
                None
            }
            Verdict::Refuse(refusal) => {
                if refusal.cause == Cause::DigestWrongTooOften {
                    shared.metrics.limit(Limit::WrongDigests);
                }
                self.log_refusal(shared, path, judged.device, refusal);
                self.tell_rollout(shared, path, message, judged.device);
                let warning = format!("399 keyline {}", quoted(refusal.cause.text()));
                let after = [("Warning", warning.as_str()), ("Retry-After", KEYS_PENDING_S)];
                // 503 is said only while keys are on their way, which takes no longer.
                let headers = if refusal.status == 503 { &after[..] } else { &after[..1] };
                self.answer_stateless(shared, path, message, refusal.status, headers);
                None
            }
        }
    }

    /// A phone that a roll-out watches is refused: said only of where it is registered from, or anybody could
    /// stop a roll-out.
    fn tell_rollout(&self, shared: &Shared, path: &Path, message: &Message<'_>, device: Option<DeviceIndex>) {
        let Some(device) = device.filter(|_| message.method() == Some(Method::Register)) else { return };
        let slot = shared.boards.devices.slot(device).filter(|slot| slot.is_watched());
        let source = path.remote().ip().to_canonical();
        if slot.and_then(|s| s.row()).is_some_and(|r| r.bindings.iter().any(|b| b.source_ip() == source)) {
            shared.handle.refused(device);
        }
    }

    fn log_refusal(&self, shared: &Shared, path: &Path, device: Option<DeviceIndex>, refusal: &Refusal) {
        if !shared.refusal_log.take(path.remote().ip(), self.now_us()) {
            return;
        }
        if let Some(device) = device {
            let refused = Refused {
                at: keyline_actors::clock::now(),
                stage: RefusedAt::Request,
                reason: refusal.cause.as_str(),
                peer: path.remote(),
            };
            shared.boards.refusals.note(device, &refused);
        }
        let device = device.and_then(|d| shared.boards.devices.device(d));
        let name = device.as_ref().map_or("-", |d| d.name.as_str());
        tracing::info!(
            device = name,
            peer = %path.remote(),
            status = refusal.status,
            cause = refusal.cause.as_str(),
            event = refusal.event.map_or("-", |e| e.as_str()),
            "refused"
        );
    }

    /// Opens the server transaction of a request that was admitted. Answers 503 itself when there is no room.
    #[allow(clippy::too_many_arguments, reason = "the parts of one transaction")]
    pub(super) fn open(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        key: RequestKey,
        asked: Asked,
        device: Option<DeviceIndex>,
        offer: Option<keyline_wire::sdp::Summary>,
    ) -> Option<ServerTxId> {
        let head = ReplyHead::capture(message, path.remote(), false)?;
        let route = reply_path(path, &head);
        let trying = (message.method() == Some(Method::Invite))
            .then(|| head.response(100, "Trying", None).finish().into());
        let stream = match path {
            Path::Stream { id, .. } => Some(*id),
            Path::Udp { .. } => None,
        };
        let owner = ServerOwner {
            tag: shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default()),
            // A REGISTER's answer says where we are only to a proxy that has put itself onto the path.
            contact: match &asked {
                Asked::Register { path: through, .. } if through.is_empty() => String::new(),
                _ => super::outbound::contact(path),
            },
            head,
            asked,
            offer: offer.map(Box::new),
            device,
            stream,
            held: Cell::new(true),
            began: Cell::new(Some(self.now_us())),
        };
        let now = self.now();
        let from = source(path.remote().ip());
        // A CANCEL and what belongs to a dialog make work less, not more: they pass while there is room at all.
        let more = matches!(owner.asked, Asked::Register { .. } | Asked::Invite | Asked::Relay);
        if more && self.held.get(&from).is_some_and(|n| *n >= self.limits.transactions_per_source) {
            shared.metrics.limit(Limit::TransactionsPerSource);
            self.overloaded(shared, path, message);
            return None;
        }
        match self.servers.open(now, key, route, trying, Rc::new(owner), &mut self.server_actions) {
            Ok(tx) => {
                *self.held.entry(from).or_default() += 1;
                self.run_actions(shared);
                Some(tx)
            }
            Err(error) => {
                tracing::warn!(%error, "a request was shed");
                shared.metrics.shed("transaction");
                shared.metrics.limit(Limit::Transactions);
                self.overloaded(shared, path, message);
                None
            }
        }
    }

    /// CANCEL: its own transaction, answered at once; never challenged. Only the INVITE's own source may.
    fn cancel(
        &mut self,
        shared: &Shared,
        path: Path,
        message: &Message<'_>,
        key: RequestKey,
        target: CancelTarget,
    ) {
        let found = match target {
            CancelTarget::Pending(tx) => Some((tx, true)),
            CancelTarget::Answered(tx) => Some((tx, false)),
            CancelTarget::Unknown => None,
        };
        let same = found.filter(|(tx, _)| {
            self.servers.owner(*tx).is_some_and(|o| match (o.stream, path) {
                (Some(id), Path::Stream { id: own, .. }) => id == own,
                (None, Path::Udp { remote, .. }) => o.head.source().ip() == remote.ip(),
                _ => false,
            })
        });
        let Some((invite, pending)) = same else {
            return self.refuse_stateless(shared, &path, message, 481, "no such INVITE");
        };
        let Some(tx) = self.open(shared, &path, message, key, Asked::Done, None, None) else { return };
        self.final_answer(shared, tx, 200, None);
        if pending {
            let input = Input::Cancel {
                tx: keyline_domain::call::ServerTx(invite.to_u64()),
                headers: super::invite::passed_headers(message),
            };
            if let Some(owner) = self.servers.owner(invite).cloned() {
                self.tell_call_of(shared, invite, &owner, input);
            }
        }
    }
}

/// The URI is of a domain or address that we serve.
pub(super) fn serves(shared: &Shared, uri: &Uri<'_>) -> bool {
    uri.is_sip() && uri.host.is_some_and(|host| shared.admission.is_our_host(&host))
}

/// Option tags of Require that we do not understand.
fn unsupported(message: &Message<'_>, method: Method<'_>) -> Option<String> {
    if matches!(method, Method::Ack | Method::Cancel) {
        return None;
    }
    let known = |t: &str| {
        let own: &[&str] = if method == Method::Register { &REGISTER_EXTENSIONS } else { &CALL_EXTENSIONS };
        own.iter().any(|e| e.eq_ignore_ascii_case(t))
    };
    let unknown: Vec<&str> = message.tokens(HeaderName::Require).filter(|t| !known(t)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

/// Device name parameter of the first Contact.
pub(super) fn contact_device(message: &Message<'_>) -> Option<String> {
    match message.contacts() {
        Contacts::List(l) => l.iter().find_map(|c| c.device_name().map(|n| n.into_owned())),
        Contacts::None | Contacts::Star => None,
    }
}
