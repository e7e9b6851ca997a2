//! A call with fake phones around it: remembers what was sent and checks what must hold in every story.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::call::*;
use crate::class::LegFacts;
use crate::flow::{Flow, StreamId};
use crate::ids::{DeviceName, Dn, UnixMillis};
use crate::media::{Body, CryptoFact, CryptoSuite, Direction, LegMedia, MediaFacts, MediaProto, StreamFacts};
use crate::mode::{ClusterMode, DeviceSecurityMode, PeerProof, SuiteKind, Transport};

pub(super) const A: LegId = LegId::CALLER;
pub(super) const B: LegId = LegId(1);
pub(super) const C: LegId = LegId(2);
pub(super) const INVITE: ServerTx = ServerTx(1);

/// A secure phone: trusted, TLS with encryption, certificate, encrypted profile in a mixed cluster.
pub(super) fn secure(leg: u16) -> LegFacts {
    LegFacts {
        device: DeviceName::parse(&format!("SEP00000000000{leg}")).unwrap(),
        model: "Cisco 8845".into(),
        trusted: true,
        transport: Transport::Tls,
        suite: SuiteKind::Encrypting,
        proof: PeerProof::Certificate,
        profile: "secure".into(),
        applied_mode: DeviceSecurityMode::Encrypted,
        digest_authentication: false,
        cluster: ClusterMode::Mixed,
        answered: false,
        media: LegMedia::default(),
    }
}

/// A phone over UDP without any security.
pub(super) fn plain(leg: u16) -> LegFacts {
    LegFacts {
        transport: Transport::Udp,
        suite: SuiteKind::None,
        proof: PeerProof::None,
        applied_mode: DeviceSecurityMode::NonSecure,
        ..secure(leg)
    }
}

pub(super) fn remote(leg: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, leg as u8], 5061))
}

pub(super) fn stream(leg: u16, generation: u32) -> Flow {
    let id = StreamId { worker: 0, index: u32::from(leg), generation };
    Flow::Stream { id, transport: Transport::Tls, remote: remote(leg) }
}

pub(super) fn lost(leg: u16) -> Flow {
    Flow::Lost { transport: Transport::Tls, remote: remote(leg) }
}

fn sdp(text: &str, proto: MediaProto, direction: Direction, crypto: bool) -> Body {
    let line = CryptoFact { tag: 1, suite: CryptoSuite::AeadAes256Gcm, protects: true };
    let crypto: SmallVec<[CryptoFact; 2]> = crypto.then_some(line).into_iter().collect();
    let audio = StreamFacts { kind: "audio".into(), active: true, proto, direction, crypto };
    let media = MediaFacts { streams: SmallVec::from_elem(audio, 1) };
    let bytes = text.as_bytes().into();
    Body { content_type: "application/sdp".into(), bytes, media: Some(Arc::new(media)) }
}

pub(super) fn srtp(text: &str) -> Body {
    sdp(text, MediaProto::Srtp, Direction::SendRecv, true)
}

/// RTP/AVP with a=crypto: SRTP with fallback.
pub(super) fn fallback(text: &str) -> Body {
    sdp(text, MediaProto::Rtp, Direction::SendRecv, true)
}

pub(super) fn rtp(text: &str) -> Body {
    sdp(text, MediaProto::Rtp, Direction::SendRecv, false)
}

pub(super) fn srtp_hold(text: &str, direction: Direction) -> Body {
    sdp(text, MediaProto::Srtp, direction, true)
}

pub(super) fn text(body: Option<&Body>) -> String {
    body.map(|b| String::from_utf8_lossy(&b.bytes).into_owned()).unwrap_or_default()
}

pub(super) fn target(leg: u16, q: u16, facts: LegFacts) -> Target {
    Target {
        facts,
        flow: stream(leg, 1),
        call_id: format!("cid-{leg}").into(),
        contact: format!("sip:phone{leg}@192.0.2.{leg}").into(),
        local_uri: "<sip:1000@keyline.local>".into(),
        remote_uri: format!("<sip:100{leg}@keyline.local>").into(),
        q,
        peer: PeerFeatures::default(),
        spare: false,
        route: SmallVec::new(),
        identity: Identity::Shown(format!("<sip:100{leg}@keyline.local>").into()),
    }
}

pub(super) fn args(caller: LegFacts, targets: Vec<Target>, body: Option<Body>) -> StartArgs {
    StartArgs {
        invite: INVITE,
        caller: CallerLeg {
            facts: caller,
            flow: stream(0, 1),
            call_id: "cid-0".into(),
            remote_tag: "r0".into(),
            remote_uri: "<sip:1000@keyline.local>".into(),
            local_uri: "<sip:1001@keyline.local>".into(),
            cseq: 101,
            record_route: SmallVec::new(),
            contact: "sip:phone0@192.0.2.0".into(),
            peer: PeerFeatures::default(),
            ext: Extensions::default(),
            identity: Identity::Shown("<sip:1000@keyline.local>".into()),
        },
        targets,
        body,
        headers: Headers::new(),
        called: Dn::parse("1001").unwrap(),
        no_answer_s: 30,
        session: SessionPolicy::default(),
        seed: 7,
    }
}

pub(super) struct World {
    pub(super) call: Call,
    pub(super) now: u64,
    /// Effects of the last step.
    pub(super) last: Vec<Effect>,
    pub(super) all: Vec<Effect>,
    pub(super) timers: HashMap<TimerKind, u32>,
    pub(super) open: HashSet<ServerTx>,
    pub(super) finished: Option<End>,
    pub(super) next_tx: u64,
    pub(super) cseq: u32,
    /// Extensions and headers of the next message, and what every response says that its phone can do.
    pub(super) ext: Extensions,
    pub(super) headers: Headers,
    pub(super) peer: Option<PeerFeatures>,
}

pub(super) fn tags(number: u16) -> Arc<str> {
    format!("l{number}").into()
}

impl World {
    pub(super) fn start(args: StartArgs) -> Self {
        let (call, effects) = Call::start(args, Env { now: UnixMillis(1000), tags: &tags });
        let mut world = Self::around(call);
        world.open.insert(INVITE);
        world.take(effects);
        world
    }

    pub(super) fn around(call: Call) -> Self {
        Self {
            call,
            now: 1000,
            last: Vec::new(),
            all: Vec::new(),
            timers: HashMap::new(),
            open: HashSet::new(),
            finished: None,
            next_tx: 1,
            cseq: 200,
            ext: Extensions::default(),
            headers: Headers::new(),
            peer: None,
        }
    }

    /// `n` secure phones rung together with an SRTP offer.
    pub(super) fn secure(n: u16) -> Self {
        let targets = (1..=n).map(|i| target(i, 1000, secure(i))).collect();
        Self::start(args(secure(0), targets, Some(srtp("offer A"))))
    }

    /// A and B connected, everything acknowledged.
    pub(super) fn connected() -> Self {
        let mut world = Self::secure(1);
        world.connect();
        world
    }

    /// B answers with SRTP, A acknowledges.
    pub(super) fn connect(&mut self) {
        self.answer(B, "b", Some(srtp("answer B")));
        self.ack(A, 101, None);
        assert!(self.call.row().is_some());
    }

    pub(super) fn on(&mut self, input: Input) -> &mut Self {
        if let Input::Request(r) = &input {
            assert!(self.open.insert(r.tx), "test reuses a transaction");
        }
        if let Input::Unanswerable { tx, .. } = &input {
            assert!(self.open.insert(*tx), "a reply that was not sent leaves its request open");
        }
        self.now += 1;
        let effects = self.call.on(input, Env { now: UnixMillis(self.now), tags: &tags });
        self.take(effects);
        self
    }

    pub(super) fn take(&mut self, effects: Effects) {
        self.last = effects.into_vec();
        for effect in &self.last {
            assert!(self.finished.is_none(), "nothing may follow Finished: {effect:?}");
            match effect {
                Effect::Arm { timer, generation, .. } => {
                    self.timers.insert(*timer, *generation);
                }
                Effect::Reply(r) if r.status >= 200 => {
                    assert!(self.open.remove(&r.tx), "second final {} for {:?}", r.status, r.tx);
                }
                Effect::Reply(r) => assert!(self.open.contains(&r.tx), "1xx after the final"),
                Effect::Finished { why } => self.finished = Some(*why),
                _ => {}
            }
        }
        self.all.extend(self.last.iter().cloned());
        if self.finished.is_some() {
            assert!(self.open.is_empty(), "finished with open transactions {:?}", self.open);
        }
    }

    /// Token of the last request of this method to this leg.
    pub(super) fn token(&self, leg: LegId, method: Method) -> ClientTx {
        self.sent(leg, method).unwrap_or_else(|| panic!("no {method:?} to {leg:?}")).token
    }

    pub(super) fn sent(&self, leg: LegId, method: Method) -> Option<&Outgoing> {
        self.all.iter().rev().find_map(|e| match e {
            Effect::Send(s) if s.leg == leg && s.method == method => Some(&**s),
            _ => None,
        })
    }

    /// RSeq of the last reliable provisional that the caller was sent.
    pub(super) fn rseq(&self) -> Option<u32> {
        self.all.iter().rev().find_map(|e| match e {
            Effect::Reply(r) => {
                r.headers.iter().find(|h| h.name == "RSeq").and_then(|h| h.value.parse().ok())
            }
            _ => None,
        })
    }

    /// Requests of the last step: (leg, method, body).
    pub(super) fn sends(&self) -> Vec<(LegId, Method, String)> {
        let send = |e: &Effect| match e {
            Effect::Send(s) => Some((s.leg, s.method, text(s.body.as_ref()))),
            _ => None,
        };
        self.last.iter().filter_map(send).collect()
    }

    /// Answers of the last step: (transaction, status, body).
    pub(super) fn replies(&self) -> Vec<(ServerTx, u16, String)> {
        let reply = |e: &Effect| match e {
            Effect::Reply(r) => Some((r.tx, r.status, text(r.body.as_ref()))),
            _ => None,
        };
        self.last.iter().filter_map(reply).collect()
    }

    pub(super) fn reply_to(&self, tx: ServerTx) -> &Reply {
        let find = |e: &&Effect| matches!(e, Effect::Reply(r) if r.tx == tx);
        match self.all.iter().rev().find(find) {
            Some(Effect::Reply(r)) => r,
            _ => panic!("no reply to {tx:?}"),
        }
    }

    /// ACKs of the last step: (leg, remote tag, CSeq, body).
    pub(super) fn acks(&self) -> Vec<(LegId, String, u32, String)> {
        let ack = |e: &Effect| match e {
            Effect::Ack(a) => {
                let tag = a.dialog.remote_tag.as_deref().unwrap_or_default().to_owned();
                Some((a.leg, tag, a.cseq, text(a.body.as_ref())))
            }
            _ => None,
        };
        self.last.iter().filter_map(ack).collect()
    }

    pub(super) fn cancels(&self) -> Vec<LegId> {
        let cancel = |e: &Effect| match e {
            Effect::Cancel { leg, .. } => Some(*leg),
            _ => None,
        };
        self.last.iter().filter_map(cancel).collect()
    }

    pub(super) fn respond(
        &mut self,
        token: ClientTx,
        status: u16,
        tag: &str,
        body: Option<Body>,
    ) -> &mut Self {
        let (ext, headers) = (std::mem::take(&mut self.ext), std::mem::take(&mut self.headers));
        self.on(Input::Response(Box::new(Response {
            token,
            status,
            reason: None,
            to_tag: (!tag.is_empty()).then(|| tag.into()),
            contact: Some(format!("sip:{tag}@192.0.2.99").into()),
            record_route: SmallVec::new(),
            body,
            peer: self.peer,
            ext,
            headers,
        })))
    }

    /// A response to the last INVITE of a leg.
    pub(super) fn invite_response(
        &mut self,
        leg: LegId,
        status: u16,
        tag: &str,
        body: Option<Body>,
    ) -> &mut Self {
        let token = self.token(leg, Method::Invite);
        self.respond(token, status, tag, body)
    }

    pub(super) fn ringing(&mut self, leg: LegId, tag: &str) -> &mut Self {
        self.invite_response(leg, 180, tag, None)
    }

    pub(super) fn answer(&mut self, leg: LegId, tag: &str, body: Option<Body>) -> &mut Self {
        self.invite_response(leg, 200, tag, body)
    }

    /// The leg's dialog as its phone names it.
    pub(super) fn dialog(&self, leg: LegId) -> DialogId {
        let call_id = format!("cid-{}", leg.0).into();
        let row = self.call.row().map(|r| [r.caller, r.callee]);
        if let Some(leg) = row.into_iter().flatten().find(|l| l.leg == leg && l.leg != A && l.leg != B) {
            let Dialog { call_id, local_tag, remote_tag, .. } = leg.dialog;
            return DialogId { call_id, local_tag, remote_tag: remote_tag.unwrap_or_default() };
        }
        if leg == A {
            let row = self.call.row();
            let local = row.map(|r| r.caller.dialog.local_tag);
            return DialogId {
                call_id,
                local_tag: local.unwrap_or_else(|| "l0".into()),
                remote_tag: "r0".into(),
            };
        }
        let row = self.call.row().filter(|r| r.callee.leg == leg);
        let remote = row.and_then(|r| r.callee.dialog.remote_tag).unwrap_or_else(|| "b".into());
        DialogId { call_id, local_tag: tags(leg.0), remote_tag: remote }
    }

    pub(super) fn request(&mut self, leg: LegId, method: Method, body: Option<Body>) -> ServerTx {
        self.cseq += 1;
        let (dialog, cseq) = (self.dialog(leg), self.cseq);
        self.request_in(dialog, method, cseq, body)
    }

    pub(super) fn request_in(
        &mut self,
        dialog: DialogId,
        method: Method,
        cseq: u32,
        body: Option<Body>,
    ) -> ServerTx {
        let sender = self.call.device_in(&dialog).unwrap_or_else(|| secure(0).device);
        self.request_from(sender, dialog, method, cseq, body)
    }

    pub(super) fn request_from(
        &mut self,
        sender: DeviceName,
        dialog: DialogId,
        method: Method,
        cseq: u32,
        body: Option<Body>,
    ) -> ServerTx {
        self.next_tx += 1;
        let tx = ServerTx(self.next_tx);
        let (contact, peer, headers) = (None, self.peer, std::mem::take(&mut self.headers));
        let ext = std::mem::take(&mut self.ext);
        self.on(Input::Request(Box::new(Incoming {
            tx,
            sender,
            dialog,
            method,
            cseq,
            contact,
            body,
            peer,
            ext,
            headers,
            refer: None,
        })));
        tx
    }

    pub(super) fn ack(&mut self, leg: LegId, cseq: u32, body: Option<Body>) -> &mut Self {
        let dialog = self.dialog(leg);
        self.on(Input::Ack { dialog, cseq, source: remote(leg.0).ip(), body })
    }

    /// ACK to the answer to the last request that a phone made.
    pub(super) fn ack_last(&mut self, leg: LegId, body: Option<Body>) -> &mut Self {
        let cseq = self.cseq;
        self.ack(leg, cseq, body)
    }

    pub(super) fn fire(&mut self, timer: TimerKind) -> &mut Self {
        let generation = *self.timers.get(&timer).unwrap_or_else(|| panic!("{timer:?} was never armed"));
        self.on(Input::Timer { timer, generation })
    }

    /// The final answer to the BYE that a leg got.
    pub(super) fn bye_done(&mut self, leg: LegId) -> &mut Self {
        let token = self.token(leg, Method::Bye);
        self.respond(token, 200, "", None)
    }

    pub(super) fn class(&self) -> Option<crate::mode::SecurityClass> {
        self.call.security().map(|s| s.class)
    }

    pub(super) fn call_info(headers: &[Header]) -> Option<String> {
        headers.iter().find(|h| h.name == "Call-Info").map(|h| h.value.to_string())
    }
}
