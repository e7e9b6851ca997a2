//! Calls: requests and responses become inputs of the call that they belong to.

use std::borrow::Cow;
use std::sync::Arc;

use keyline_actors::Load;
use keyline_actors::route::{CallKey, ShardId};
use keyline_actors::shard::{Intent, Invite};
use keyline_domain::call::{
    CallerLeg, DialogId, Failure, Header, Headers, Incoming, Input, Method as CallMethod, Privacy, Response,
    ServerTx, passes,
};
use keyline_domain::ids::Dn;
use keyline_domain::media::Body;
use keyline_domain::phone::Peer;
use keyline_domain::subscription::Answered;
use keyline_wire::sdp::Summary;
use keyline_wire::sdp::bridge::Role;
use keyline_wire::sip::text::push_quoted;
use keyline_wire::sip::{HeaderName, Message, Method, NameAddr, Scheme, multipart};
use smallvec::SmallVec;

use super::extension::{answer_extensions, extensions, features};
use super::identity::{claimed_line, of_caller};
use super::inbound::contact_device;
use super::media;
use super::owner::{Asked, ClientOwner, ServerRef};
use super::path::Path;
use super::refer;
use super::shared::{Shared, ToWorker};
use super::transaction::{RequestKey, ServerTxId, Verdict};
use super::worker::State;
use crate::admission::Speaker;

use crate::limits::Limit;

impl State {
    /// An INVITE that begins a call.
    pub(super) fn invite(&mut self, shared: &Shared, path: Path, message: &Message<'_>, key: RequestKey) {
        let Some(caller) = self.speak(shared, &path, message, false) else { return };
        let called = message.uri().and_then(|u| u.aor_user().map(Cow::into_owned));
        let Some(called) = called.and_then(|u| Dn::parse(&u).ok()) else {
            return self.refuse_stateless(shared, &path, message, 404, "no such line");
        };
        if !takes_sdp(message) {
            return self.refuse_stateless(
                shared,
                &path,
                message,
                406,
                "only application/sdp can be answered",
            );
        }
        let (body, offer) = match read_body(message) {
            Ok(read) => read,
            Err(415) => {
                return self.answer_stateless(shared, &path, message, 415, &UNSUPPORTED_MEDIA);
            }
            Err(status) => return self.refuse_stateless(shared, &path, message, status, "unusable body"),
        };
        let (Some(contact), Some(tag)) = (message.contact(), message.from_tag()) else {
            return self.refuse_stateless(shared, &path, message, 400, "INVITE without Contact or From tag");
        };
        if Privacy::parse(message.all(HeaderName::Privacy)).fails() {
            return self.refuse_stateless(
                shared,
                &path,
                message,
                500,
                "privacy of the session is not provided",
            );
        }
        let Some(device) = shared.boards.devices.device(caller.device) else { return };
        let row = shared.boards.devices.slot(caller.device).and_then(|s| s.row());
        let registered = row.as_ref().is_some_and(|r| r.is_registered(keyline_actors::clock::now()));
        if !registered {
            return self.refuse_stateless(shared, &path, message, 403, "register before calling");
        }
        let shard = shared.handle.shard(device.name.partition());
        if shared.is_draining() || !shared.handle.admit(shard, Load::New) {
            shared.metrics.shed("invite");
            if !shared.is_draining() {
                shared.metrics.limit(Limit::Queue);
            }
            return self.overloaded(shared, &path, message);
        }
        let Some(tx) = self.open(shared, &path, message, key, Asked::Invite, Some(caller.device), offer)
        else {
            return self.credit_back(shared, shard);
        };
        let (caller_uri, identity) = of_caller(shared, message, &device, &caller.line);
        let leg = CallerLeg {
            facts: shared.boards.leg_facts(&device, row.as_deref(), path.transport(), caller.peer),
            flow: path.flow(),
            call_id: message.call_id().unwrap_or_default().into(),
            remote_tag: tag.into(),
            remote_uri: without_tag(message.from()),
            local_uri: without_tag(message.to()),
            cseq: message.cseq().map_or(0, |c| c.number),
            record_route: route_values(message),
            contact: contact.uri.raw.into(),
            peer: features(message).unwrap_or_default(),
            ext: extensions(message),
            identity,
        };
        let invite = Invite {
            tx: ServerTx(tx.to_u64()),
            caller: caller.device,
            caller_uri,
            called_uri: name_addr("", called.as_str(), &shared.domain),
            called,
            leg,
            body,
            headers: passed_headers(message),
            seed: self.entropy.number(),
            max_forwards: message.max_forwards().saturating_sub(1),
            sips: message.uri().is_some_and(|u| u.scheme == Scheme::Sips),
        };
        self.intend(shard, Intent::Invite(Box::new(invite)));
    }

    /// A request inside a dialog of ours: the To tag says which call.
    pub(super) fn in_dialog(
        &mut self,
        shared: &Shared,
        path: Path,
        message: &Message<'_>,
        method: Method<'_>,
        key: RequestKey,
    ) {
        let tag = message.to_tag().unwrap_or_default();
        let Some((made, _)) = shared.boards.keys.load().tags.parse(tag) else {
            return self.refuse_stateless(shared, &path, message, 481, "no such dialog");
        };
        let call = shared.boards.calls.home_of(tag, made);
        let Some(voice) = self.speak_in(shared, &path, message, true, Some(call)) else { return };
        let Some(sender) = shared.boards.devices.device(voice.device).map(|d| d.name.clone()) else { return };
        let (body, offer) = match read_body(message) {
            Ok(read) => read,
            Err(415) => {
                return self.answer_stateless(shared, &path, message, 415, &UNSUPPORTED_MEDIA);
            }
            Err(status) => return self.refuse_stateless(shared, &path, message, status, "unusable body"),
        };
        let shard = shared.handle.shard(call.partition);
        if !shared.handle.admit(shard, Load::Dialog) {
            shared.metrics.shed("dialog");
            shared.metrics.limit(Limit::Queue);
            return self.overloaded(shared, &path, message);
        }
        let asked = Asked::InDialog { call, tag: tag.into() };
        let Some(tx) = self.open(shared, &path, message, key, asked, None, offer) else {
            return self.credit_back(shared, shard);
        };
        let input = Input::Request(Box::new(Incoming {
            tx: ServerTx(tx.to_u64()),
            sender,
            dialog: dialog_id(message),
            method: call_method(method),
            cseq: message.cseq().map_or(0, |c| c.number),
            contact: message.contact().map(|c| c.uri.raw.into()),
            body,
            peer: features(message),
            ext: extensions(message),
            headers: passed_headers(message),
            refer: (method == Method::Refer).then(|| Box::new(refer::read(shared, message))),
        }));
        self.intend(shard, Intent::Call { call, input: Box::new(input), tx: Some(tx.to_u64()) });
    }

    /// ACK of a 2xx: never challenged, never answered.
    pub(super) fn ack(&mut self, shared: &Shared, path: &Path, message: &Message<'_>) {
        let Some(tag) = message.to_tag() else { return };
        let Some((made, _)) = shared.boards.keys.load().tags.parse(tag) else { return };
        let call = shared.boards.calls.home_of(tag, made);
        let (body, summary) = read_body(message).unwrap_or_default();
        if let Some(summary) = &summary {
            shared.media.receive(call, &tag.into(), Role::Answer, summary);
        }
        let input = Input::Ack {
            dialog: dialog_id(message),
            cseq: message.cseq().map_or(0, |c| c.number),
            source: path.remote().ip(),
            body,
        };
        self.tell_call(shared, call, input);
    }

    /// A response to a request of ours.
    pub(super) fn response(&mut self, shared: &Shared, path: Path, message: &Message<'_>, bytes: &[u8]) {
        let now = self.now();
        let verdict = self.clients.receive_from(now, &path, message, &mut self.client_actions);
        self.run_actions(shared);
        let owner = match verdict {
            Verdict::Provisional { owner, .. }
            | Verdict::Final { owner, .. }
            | Verdict::Accepted { owner, .. } => owner,
            Verdict::Absorbed | Verdict::Unknown => return,
            Verdict::Foreign(worker) => {
                if let Path::Udp { local, remote } = path
                    && worker != self.id
                {
                    shared.inboxes.send(worker, ToWorker::Datagram { local, remote, bytes: bytes.into() });
                }
                return;
            }
        };
        match owner {
            ClientOwner::Cancel => {}
            ClientOwner::Relay { worker, relay } => self.relay_response(shared, worker, relay, message),
            ClientOwner::Order { number } => {
                if let Some(status) = message.status().filter(|s| *s >= 200) {
                    self.ordered(shared, number, Some(status));
                }
            }
            ClientOwner::Notify { device, id, number } => {
                let status = message.status().unwrap_or(500);
                if status >= 200 {
                    self.notified(shared, device, id, number, Answered::Status(status));
                }
            }
            ClientOwner::Call { call, token, tag, invite, offered } => {
                let status = message.status().unwrap_or(500);
                // A body that cannot be used is none: the call treats the answer accordingly.
                let (body, summary) = read_body(message).unwrap_or_default();
                if let Some(summary) = summary.filter(|_| invite) {
                    let role = if offered { Role::Answer } else { Role::Offer };
                    shared.media.receive(call, &tag, role, &summary);
                }
                let input = Input::Response(Box::new(Response {
                    token,
                    status,
                    reason: message.reason().map(Into::into),
                    to_tag: message.to_tag().map(Into::into),
                    contact: message.contact().map(|c| c.uri.raw.into()),
                    record_route: route_values(message),
                    body,
                    peer: features(message),
                    ext: answer_extensions(shared, message),
                    headers: passed_headers(message),
                }));
                self.tell_call(shared, call, input);
            }
        }
    }

    /// A request of ours got no response.
    pub(super) fn request_failed(&mut self, shared: &Shared, owner: ClientOwner, timeout: bool) {
        match owner {
            ClientOwner::Cancel => {}
            ClientOwner::Relay { worker, relay } => {
                self.relay_failed(shared, worker, relay, if timeout { 408 } else { 480 });
            }
            ClientOwner::Order { number } => self.ordered(shared, number, None),
            ClientOwner::Notify { device, id, number } => {
                self.notified(shared, device, id, number, Answered::Failed);
            }
            ClientOwner::Call { call, token, .. } => {
                let failure = if timeout { Failure::Timeout } else { Failure::Transport };
                self.tell_call(shared, call, Input::Failed { token, failure });
            }
        }
    }

    /// Nobody acknowledged a 2xx of ours. The transaction is gone by now; its owner is what is left of it.
    pub(super) fn ack_missing(&mut self, shared: &Shared, tx: ServerTxId, owner: &ServerRef) {
        self.tell_call_of(shared, tx, owner, Input::AckTimeout { tx: ServerTx(tx.to_u64()) });
    }

    /// Hands an input to the call that an INVITE began or belongs to, wherever it lives.
    pub(super) fn tell_call_of(
        &mut self,
        shared: &Shared,
        invite: ServerTxId,
        owner: &ServerRef,
        input: Input,
    ) {
        if let Asked::InDialog { call, .. } = &owner.asked {
            return self.tell_call(shared, *call, input);
        }
        let Some(device) = owner.device.and_then(|d| shared.boards.devices.device(d)) else { return };
        let shard = shared.handle.shard(device.name.partition());
        shared.handle.admit(shard, Load::Always);
        self.intend(shard, Intent::CallOfInvite { invite: invite.to_u64(), input: Box::new(input) });
    }

    pub(super) fn tell_call(&mut self, shared: &Shared, call: CallKey, input: Input) {
        let shard: ShardId = shared.handle.shard(call.partition);
        shared.handle.admit(shard, Load::Always);
        self.intend(shard, Intent::Call { call, input: Box::new(input), tx: None });
    }

    /// Judges the sender of a request that is no REGISTER; answers it when it is not served.
    pub(super) fn speak(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        in_dialog: bool,
    ) -> Option<Voice> {
        self.speak_in(shared, path, message, in_dialog, None)
    }

    /// The same inside a call: its caller may be anonymous to all but the node.
    fn speak_in(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        in_dialog: bool,
        call: Option<CallKey>,
    ) -> Option<Voice> {
        let line = claimed_line(shared, message, call);
        let device_name = contact_device(message);
        let judged = self.judge(
            shared,
            path,
            message,
            &Speaker {
                contact_device: device_name.as_deref(),
                aors: &[line.as_str()],
                in_dialog,
                standby_keepalive: false,
                to_server: false,
                register: None,
            },
        );
        let admitted = self.verdict(shared, path, message, &judged)?;
        let peer = Peer { proof: admitted.proof, ..self.peer(path) };
        match judged.device {
            Some(device) => Some(Voice { device, line, peer }),
            None => {
                self.refuse_stateless(shared, path, message, 403, "no such device");
                None
            }
        }
    }
}

/// Who speaks, proven.
pub(super) struct Voice {
    pub(super) device: keyline_domain::ids::DeviceIndex,
    pub(super) line: String,
    pub(super) peer: Peer,
}

/// What a 415 says is taken.
const UNSUPPORTED_MEDIA: [(&str, &str); 2] = [("Accept", media::SDP_TYPE), ("Accept-Encoding", "identity")];

/// Whether the answer of a call may be a session description: an Accept that leaves it out says that no
/// answer of ours could be read (RFC 3261 §8.2.3, §20.1). Without Accept it may.
fn takes_sdp(message: &Message<'_>) -> bool {
    !message.has(HeaderName::Accept)
        || message.tokens(HeaderName::Accept).any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            [media::SDP_TYPE, "application/*", "*/*"].iter().any(|t| t.eq_ignore_ascii_case(range))
        })
}

/// Body of a message, and what it says of media; nothing without one.
type Read = (Option<Body>, Option<Summary>);

fn read_body(message: &Message<'_>) -> Result<Read, u16> {
    if message.body().is_empty() {
        return Ok((None, None));
    }
    // RFC 3261 §8.2.3: an encoding that we do not know hides what the body says.
    if message.other("Content-Encoding").is_some_and(|e| !e.trim().eq_ignore_ascii_case("identity")) {
        return Err(415);
    }
    let content_type = message.first(HeaderName::ContentType).unwrap_or(media::SDP_TYPE);
    let invite =
        message.cseq().is_some_and(|c| matches!(c.method, Method::Invite | Method::Update | Method::Prack));
    // RFC 5621 §3.1: of a multipart body the session description counts; the other parts are the sender's
    // server's business.
    if invite && content_type.trim_start().get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/")) {
        let parts = multipart::parts(content_type, message.body()).map_err(|_| 400u16)?;
        let part = parts.iter().find(|p| p.is(media::SDP_TYPE)).ok_or(415u16)?;
        return media::body(media::SDP_TYPE, part.body).map(|(body, summary)| (Some(body), summary));
    }
    let (body, summary) = media::body(content_type, message.body())?;
    if invite && message.is_request() && body.media.is_none() {
        return Err(415);
    }
    Ok((Some(body), summary))
}

fn dialog_id(message: &Message<'_>) -> DialogId {
    DialogId {
        call_id: message.call_id().unwrap_or_default().into(),
        local_tag: message.to_tag().unwrap_or_default().into(),
        remote_tag: message.from_tag().unwrap_or_default().into(),
    }
}

fn call_method(method: Method<'_>) -> CallMethod {
    match method {
        Method::Bye => CallMethod::Bye,
        Method::Info => CallMethod::Info,
        Method::Invite => CallMethod::Invite,
        Method::Message => CallMethod::Message,
        Method::Options => CallMethod::Options,
        Method::Prack => CallMethod::Prack,
        Method::Refer => CallMethod::Refer,
        Method::Update => CallMethod::Update,
        _ => CallMethod::Other,
    }
}

/// Headers that a call may pass to the other leg.
pub(super) fn passed_headers(message: &Message<'_>) -> Headers {
    message
        .headers()
        .filter(|h| passes(h.text))
        .take(8)
        .map(|h| Header { name: Cow::Owned(h.text.to_owned()), value: h.value.into() })
        .collect()
}

pub(super) fn route_values(message: &Message<'_>) -> SmallVec<[Arc<str>; 1]> {
    message.values(HeaderName::RecordRoute).take(16).map(Into::into).collect()
}

/// An address as it stands, without its tag.
pub(super) fn without_tag(address: Option<NameAddr<'_>>) -> Arc<str> {
    address.map_or_else(
        || Arc::from("<sip:anonymous@anonymous.invalid>"),
        |a| {
            let display = a.display();
            let mut text = String::with_capacity(display.len() + a.uri.raw.len() + 5);
            if !display.is_empty() {
                push_quoted(&mut text, &display);
                text.push(' ');
            }
            text.push('<');
            text.push_str(a.uri.raw);
            text.push('>');
            text.into()
        },
    )
}

/// `"Display" <sip:user@domain>`.
pub(super) fn name_addr(display: &str, user: &str, domain: &str) -> Arc<str> {
    let mut uri = String::with_capacity(64);
    if !display.is_empty() {
        push_quoted(&mut uri, display);
        uri.push(' ');
    }
    uri.push_str("<sip:");
    keyline_wire::sip::text::push_user_escaped(&mut uri, user);
    uri.push('@');
    uri.push_str(domain);
    uri.push('>');
    uri.into()
}
