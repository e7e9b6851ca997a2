//! Requests that arrive: matched, judged, handed on. A retransmission is absorbed before anything is judged
//! (sip.md §3): its nonce count must not be checked twice.

use std::rc::Rc;
use std::sync::Arc;

use keyline_actors::Load;
use keyline_actors::shard::Intent;
use keyline_domain::admit::{Admission as Admitted, Refusal, Verdict};
use keyline_domain::call::Input;
use keyline_domain::ids::DeviceIndex;
use keyline_domain::nonce::mint;
use keyline_domain::phone::{NonceUse, Peer};
use keyline_wire::sip::{Contacts, HeaderName, Message, Method, ReplyHead, Uri, quoted, reason_phrase};

use super::owner::{Asked, ServerOwner};
use super::path::Path;
use super::shared::Shared;
use super::transaction::{CancelTarget, Received, RequestKey, ServerTxId};
use super::worker::{State, shard_of};
use super::{ALLOW, REGISTER_EXTENSIONS, register};
use crate::admission::{Arrival, Judged, Speaker, judge};

/// Realm and nonce of a challenge are made per request; `stale` tells the phone to try the same password.
const QOP: &str = "auth";

impl State {
    pub(super) fn request(&mut self, shared: &Shared, path: Path, message: &Message<'_>) {
        let now = self.now();
        let Some(method) = message.method() else { return };
        shared.metrics.request(method.as_str());
        let received = self.servers.receive(now, message, path.remote().ip(), &mut self.server_actions);
        match received {
            Received::Absorbed => self.run_actions(shared),
            Received::Unmatchable => {}
            Received::Ack { accepted } => self.ack(shared, message, accepted),
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
        let ours = |uri: &Uri<'_>| {
            uri.host.is_some_and(|h| {
                let mut host = String::new();
                h.push_canonical(&mut host);
                shared.admission.is_ours(&host)
            })
        };
        let uri = message.uri();
        let to_us = uri.as_ref().is_some_and(|u| u.is_sip() && ours(u));
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
        match method {
            Method::Register => self.register(shared, path, message, key),
            _ if message.to_tag().is_some() => self.in_dialog(shared, path, message, method, key),
            Method::Invite => self.invite(shared, path, message, key),
            Method::Options if to_server => self.options(shared, path, message),
            Method::Options | Method::Message => self.relay(shared, path, message, method, key),
            Method::Bye | Method::Info | Method::Update => {
                self.refuse_stateless(shared, &path, message, 481, "no such dialog");
            }
            _ => self.answer_stateless(shared, &path, message, 405, &[("Allow", ALLOW)]),
        }
    }

    /// OPTIONS to the server itself: 200 with Allow only, unchallenged, limited per source (R193).
    fn options(&mut self, shared: &Shared, path: Path, message: &Message<'_>) {
        let (source, now) = (path.remote().ip(), keyline_actors::clock::now());
        if shared.admission.options.is_over(source, now) && !self.registered_here(&path) {
            shared.metrics.shed("options");
            return;
        }
        shared.admission.options.wrong(source, now);
        self.answer_stateless(shared, &path, message, 200, &[("Allow", ALLOW)]);
    }

    fn registered_here(&self, path: &Path) -> bool {
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
        let peer = self.peer(&path);
        let facts = read.facts(message, &path, peer, &[], keyline_domain::phone::SIP_PORT);
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
        let Some(admitted) = self.verdict(shared, &path, message, &judged) else { return };
        let Some(device) = judged.device else {
            // A standby keepalive of a phone that nobody knows: no binding, so nothing to change.
            return self.answer_stateless(shared, &path, message, 200, &[]);
        };
        let Some(shard) = shard_of(shared, device) else {
            return self.refuse_stateless(shared, &path, message, 404, "no such device");
        };
        let Some(config) = shared.boards.devices.device(device) else { return };
        let slot = shared.boards.devices.slot(device);
        let refresh = slot.and_then(|s| s.row()).is_some_and(|r| !r.bindings.is_empty());
        let load = if refresh { Load::Refresh } else { Load::Register };
        if shared.is_draining() || !shared.handle.admit(shard, load) {
            shared.metrics.shed("register");
            return self.overloaded(shared, &path, message);
        }
        let phone_port = slot
            .and_then(|s| s.applied())
            .and_then(|a| shared.boards.profiles.settings(a))
            .map_or(keyline_domain::phone::SIP_PORT, |s| s.sip_phone_port);
        let peer = Peer { proof: admitted.proof, ..peer };
        let mut facts = read.facts(message, &path, peer, &config.lines, phone_port);
        facts.nonce = admitted.nonce.map(|(id, nc)| NonceUse { id, nc });
        let asked = Asked::Register { cisco: read.cisco, options_indication: read.options_indication };
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
        self.intend(shard, Intent::Register { device, tx: tx.to_u64(), request: Box::new(facts), proof_due });
    }

    /// The credit of an intent that will not be sent: an empty batch gives nothing back, so it is done here.
    pub(super) fn credit_back(&self, shared: &Shared, shard: keyline_actors::route::ShardId) {
        shared.handle.release(shard);
    }

    pub(super) fn register_reply(
        &mut self,
        shared: &Shared,
        tx: ServerTxId,
        reply: &keyline_actors::outlet::RegisterReply,
    ) {
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let spread = self.retry_after();
        let now_s = keyline_actors::clock::now().0 / 1000;
        let (status, bytes) = register::answer(&owner, reply, now_s, spread);
        self.respond(shared, tx, status, bytes);
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
        let facts = stream.and_then(|id| self.connections.get(id)).map(|c| Arc::clone(&c.facts));
        let arrival = Arrival {
            transport: path.transport(),
            source: path.remote(),
            stream,
            facts: facts.as_deref(),
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
            Verdict::Admit(admitted) => Some(admitted),
            Verdict::Challenge { stale, .. } => {
                self.challenge(shared, path, message, *stale);
                None
            }
            Verdict::Refuse(refusal) => {
                self.log_refusal(shared, path, judged.device, refusal);
                self.refuse_stateless(shared, path, message, refusal.status, refusal.cause.text());
                None
            }
        }
    }

    fn log_refusal(&self, shared: &Shared, path: &Path, device: Option<DeviceIndex>, refusal: &Refusal) {
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

    /// 401 with one challenge for each algorithm, strongest first, all with one nonce. Keeps no state.
    fn challenge(&mut self, shared: &Shared, path: &Path, message: &Message<'_>, stale: bool) {
        let settings = shared.boards.settings.load();
        let keys = shared.boards.keys.load();
        let id = self.entropy.number();
        let nonce = mint(id, keys.start, settings.algorithms, keyline_actors::clock::now(), &keys.nonce);
        let Some(head) = ReplyHead::capture(message, path.remote(), false) else { return };
        let tag = shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default());
        let mut p = head.response(401, reason_phrase(401), Some(&tag));
        let realm = quoted(&settings.parameters.sip_realm_station);
        for algorithm in settings.algorithms.iter() {
            p.header_parts(
                "WWW-Authenticate",
                &[
                    "Digest realm=",
                    &realm,
                    ", nonce=\"",
                    nonce.as_str(),
                    "\", algorithm=",
                    algorithm.token(),
                    ", qop=\"",
                    QOP,
                    "\"",
                    if stale { ", stale=true" } else { "" },
                ],
            );
        }
        self.send_stateless(shared, path, &head, 401, p.finish());
    }

    /// 503 with Retry-After, spread so that the phones do not come back together.
    pub(super) fn overloaded(&mut self, shared: &Shared, path: &Path, message: &Message<'_>) {
        let after = self.retry_after().to_string();
        self.answer_stateless(shared, path, message, 503, &[("Retry-After", &after)]);
    }

    pub(super) fn retry_after(&mut self) -> u64 {
        let (low, high) = (*register::RETRY_AFTER_S.start(), *register::RETRY_AFTER_S.end());
        low + self.entropy.number() % (high - low + 1)
    }

    /// A refusal that keeps no state; `text` goes into a Warning.
    pub(super) fn refuse_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        status: u16,
        text: &str,
    ) {
        let warning = format!("399 keyline {}", quoted(text));
        self.answer_stateless(shared, path, message, status, &[("Warning", &warning)]);
    }

    pub(super) fn answer_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        if message.method() == Some(Method::Ack) {
            return;
        }
        let Some(head) = ReplyHead::capture(message, path.remote(), false) else { return };
        let tag = shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default());
        let bytes = head.respond(status, reason_phrase(status), Some(&tag), headers, None);
        self.send_stateless(shared, path, &head, status, bytes);
    }

    fn send_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        head: &ReplyHead,
        status: u16,
        bytes: Vec<u8>,
    ) {
        shared.metrics.response(status);
        let route = reply_path(path, head);
        self.transmit(shared, &route, bytes.into());
    }

    /// What can still be said before a connection whose framing is lost is closed.
    pub(super) fn refuse_broken(&mut self, shared: &Shared, path: &Path, head: &[u8], status: u16) {
        let parsed = Message::parse(head);
        let message = match &parsed {
            Ok(m) if m.is_request() => Some(m),
            Ok(_) => None,
            Err(rejected) => rejected.answerable(),
        };
        if let Some(message) = message {
            self.refuse_stateless(shared, path, message, status, "framing is lost; the connection closes");
        }
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
            contact: super::outbound::contact(path),
            head,
            asked,
            offer,
            device,
            stream,
        };
        let now = self.now();
        match self.servers.open(now, key, route, trying, Rc::new(owner), &mut self.server_actions) {
            Ok(tx) => {
                self.run_actions(shared);
                Some(tx)
            }
            Err(error) => {
                tracing::warn!(%error, "a request was shed");
                shared.metrics.shed("transaction");
                self.overloaded(shared, path, message);
                None
            }
        }
    }

    /// Sends a response in its transaction.
    pub(super) fn respond(&mut self, shared: &Shared, tx: ServerTxId, status: u16, bytes: Vec<u8>) {
        shared.metrics.response(status);
        let now = self.now();
        if let Err(error) = self.servers.respond(now, tx, status, bytes.into(), &mut self.server_actions) {
            tracing::debug!(%error, status, "a response was not sent");
        }
        self.run_actions(shared);
    }

    /// A final answer without more.
    pub(super) fn final_answer(
        &mut self,
        shared: &Shared,
        tx: ServerTxId,
        status: u16,
        header: Option<(&str, &str)>,
    ) {
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let headers: &[(&str, &str)] = match &header {
            Some(h) => std::slice::from_ref(h),
            None => &[],
        };
        let bytes = owner.head.respond(status, reason_phrase(status), Some(&owner.tag), headers, None);
        self.respond(shared, tx, status, bytes);
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
            self.tell_call_of(shared, invite, input);
        }
    }
}

/// Responses go back the way that the request came; over UDP to rport or the Via's port (RFC 3581).
fn reply_path(path: &Path, head: &ReplyHead) -> Path {
    match *path {
        Path::Udp { local, .. } => Path::Udp { local, remote: head.reply_to().udp },
        stream => stream,
    }
}

/// Top Via as text.
fn top_via<'m>(message: &'m Message<'_>) -> &'m str {
    message.values(HeaderName::Via).next().unwrap_or_default()
}

/// Option tags of Require that we do not understand.
fn unsupported(message: &Message<'_>, method: Method<'_>) -> Option<String> {
    if matches!(method, Method::Ack | Method::Cancel) {
        return None;
    }
    let known =
        |t: &str| method == Method::Register && REGISTER_EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(t));
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
