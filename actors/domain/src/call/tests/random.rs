//! Random stories: whatever happens in whatever order, the promises hold. `World` checks in every step that no
//! transaction is answered twice and that nothing follows Finished.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::world::*;
use crate::call::*;
use crate::ids::Dn;
use crate::media::{Body, Direction};

#[derive(Debug, Clone, Copy)]
enum Op {
    Ack { pick: usize, body: u8 },
    AckTimeout { pick: usize },
    Back { leg: u16 },
    Cancel { pick: usize },
    Facts { leg: u16, trusted: bool },
    Fail { pick: usize, kind: u8 },
    FlowLost { leg: u16 },
    Bindings { leg: u16, none: bool },
    Peer { kind: u8 },
    Refer { leg: u16, attended: bool, subscribe: bool },
    Located { leg: u16, some: bool },
    Rekey,
    Release,
    Request { leg: u16, tag: u8, method: u8, body: u8, low: bool },
    Respond { pick: usize, status: usize, tag: u8, body: u8, rseq: u32 },
    Timer { pick: usize },
    Unregistered { leg: u16 },
}

fn op() -> impl Strategy<Value = Op> {
    let leg = 0_u16..4;
    let leg2 = 1_u16..8;
    let pick = 0_usize..8;
    prop_oneof![
        12 => (pick.clone(), 0_usize..STATUSES.len(), 0_u8..3, 0_u8..5, 0_u32..4)
            .prop_map(|(pick, status, tag, body, rseq)| Op::Respond { pick, status, tag, body, rseq }),
        6 => (leg.clone(), 0_u8..3, 0_u8..9, 0_u8..5, prop::bool::weighted(0.1))
            .prop_map(|(leg, tag, method, body, low)| Op::Request { leg, tag, method, body, low }),
        5 => (pick.clone(), 0_u8..5).prop_map(|(pick, body)| Op::Ack { pick, body }),
        1 => pick.clone().prop_map(|pick| Op::AckTimeout { pick }),
        1 => (pick.clone(), 0_u8..3).prop_map(|(pick, kind)| Op::Fail { pick, kind }),
        1 => leg.clone().prop_map(|leg| Op::FlowLost { leg }),
        2 => leg.clone().prop_map(|leg| Op::Back { leg }),
        1 => (leg.clone(), any::<bool>()).prop_map(|(leg, trusted)| Op::Facts { leg, trusted }),
        1 => pick.clone().prop_map(|pick| Op::Cancel { pick }),
        1 => pick.prop_map(|pick| Op::Timer { pick }),
        1 => leg.clone().prop_map(|leg| Op::Unregistered { leg }),
        3 => (leg, any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(leg, attended, subscribe)| Op::Refer { leg, attended, subscribe }),
        4 => (4_u16..8, prop::bool::weighted(0.1)).prop_map(|(leg, none)| Op::Bindings { leg, none }),
        4 => (0_u8..10).prop_map(|kind| Op::Peer { kind }),
        3 => (leg2, any::<bool>()).prop_map(|(leg, some)| Op::Located { leg, some }),
        1 => Just(Op::Rekey),
        1 => Just(Op::Release),
    ]
}

fn peer() -> impl Strategy<Value = PeerFeatures> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(callinfo, update, rel100, timer)| PeerFeatures { callinfo, update, rel100, timer })
}

const STATUSES: [u16; 16] = [100, 180, 183, 200, 200, 200, 200, 202, 302, 401, 405, 408, 481, 486, 491, 603];

const METHODS: [Method; 9] = [
    Method::Bye,
    Method::Info,
    Method::Invite,
    Method::Invite,
    Method::Message,
    Method::Options,
    Method::Update,
    Method::Other,
    Method::Prack,
];

fn body(kind: u8) -> Option<Body> {
    match kind {
        0 => None,
        1 => Some(srtp("s")),
        2 => Some(fallback("f")),
        3 => Some(rtp("r")),
        _ => Some(srtp_hold("h", Direction::SendOnly)),
    }
}

struct Client {
    token: ClientTx,
    leg: LegId,
    method: Method,
    /// Remote tag; `None` for the INVITE that makes a leg.
    tag: Option<String>,
    /// A 2xx came: only further 2xx may follow.
    accepted: bool,
}

/// What the engine knows of a call.
struct Engine {
    w: World,
    clients: Vec<Client>,
    /// INVITEs of phones answered 2xx and not acknowledged: (transaction, leg, CSeq, To tag of ours).
    repeating: Vec<(ServerTx, LegId, u32)>,
    invites: HashMap<ServerTx, (LegId, u32)>,
    accepted: HashSet<(ClientTx, String)>,
    acks: HashMap<(ClientTx, String), usize>,
    flows: [u32; 4],
    /// REFERs so far.
    transfers: usize,
    /// Tickets of the last question for bindings and of the last claim.
    find: Option<u64>,
    claim: Option<u64>,
    /// Legs of other calls that are here.
    guests: usize,
    /// The lender said that its leg is gone.
    gone: bool,
}

impl Engine {
    fn new(world: World) -> Self {
        let (clients, repeating, accepted) = (Vec::new(), Vec::new(), HashSet::new());
        let invites = HashMap::from([(INVITE, (A, 101))]);
        let mut engine = Self {
            transfers: 0,
            w: world,
            clients,
            repeating,
            invites,
            accepted,
            acks: HashMap::new(),
            flows: [1; 4],
            find: None,
            claim: None,
            guests: 0,
            gone: false,
        };
        engine.after();
        engine
    }

    fn on(&mut self, input: Input) {
        self.w.on(input);
        self.after();
    }

    /// Takes in the effects of the last step.
    fn after(&mut self) {
        for effect in &self.w.last {
            match effect {
                Effect::Send(s) => {
                    let tag = s.dialog.remote_tag.as_deref().map(str::to_owned);
                    let (token, leg, method) = (s.token, s.leg, s.method);
                    assert!(self.clients.iter().all(|c| c.token != token), "token used twice");
                    self.clients.push(Client { token, leg, method, tag, accepted: false });
                }
                Effect::Ack(a) => {
                    let tag = a.dialog.remote_tag.as_deref().unwrap_or_default().to_owned();
                    *self.acks.entry((a.token, tag)).or_default() += 1;
                }
                Effect::Reply(r) if (200..300).contains(&r.status) => {
                    if let Some((leg, cseq)) = self.invites.get(&r.tx) {
                        self.repeating.push((r.tx, *leg, *cseq));
                    }
                }
                Effect::Find(find) => self.find = Some(find.ticket),
                Effect::Tell { message, .. } => match &**message {
                    PeerMessage::Claim { ticket, .. } => self.claim = Some(*ticket),
                    PeerMessage::Taken { .. } | PeerMessage::GaveBack { .. } => {
                        self.guests = self.guests.saturating_sub(1);
                    }
                    _ => {}
                },
                Effect::StopRepeat { tx } => self.repeating.retain(|r| r.0 != *tx),
                Effect::Forget { token } => self.clients.retain(|c| c.token != *token),
                Effect::Cancel { token, .. } => {
                    let client = self.clients.iter().find(|c| c.token == *token);
                    assert!(client.is_some_and(|c| !c.accepted), "CANCEL of a finished INVITE");
                }
                _ => {}
            }
        }
    }

    fn respond(&mut self, pick: usize, status: u16, tag: u8, kind: u8) {
        let open = self.clients.len();
        if open == 0 {
            return;
        }
        let index = pick % open;
        let client = &mut self.clients[index];
        let success = (200..300).contains(&status);
        if client.accepted && !success {
            return;
        }
        let (token, leg, method, first) = (client.token, client.leg, client.method, client.tag.is_none());
        // Only the INVITE that made a leg can fork.
        let tag = client.tag.clone().unwrap_or_else(|| format!("t{tag}"));
        let tag_sent = if status == 100 { "" } else { &tag };
        if success && method == Method::Invite {
            if !first && client.accepted {
                return;
            }
            client.accepted = true;
            let repeat = !self.accepted.insert((token, tag.clone()));
            if repeat {
                return;
            }
        } else if status >= 200 {
            self.clients.swap_remove(index);
        }
        self.w.respond(token, status, tag_sent, body(kind));
        self.after();
        let of_invite = usize::from(leg.0) < self.flows.len() && self.transfers == 0;
        if first && success && of_invite {
            let row = self.w.call.row();
            let won = row.is_some_and(|r| {
                r.callee.leg == leg && r.callee.dialog.remote_tag.as_deref() == Some(tag.as_str())
            });
            let bye = |e: &Effect| match e {
                Effect::Send(s) => {
                    s.method == Method::Bye
                        && s.leg == leg
                        && s.dialog.remote_tag.as_deref() == Some(tag.as_str())
                }
                _ => false,
            };
            let said = self.w.last.iter().any(bye);
            // A forwarded leg lives on the connection of the third phone.
            let reachable = self.flows[usize::from(leg.0).min(3)] != 0;
            assert!(
                won || said || !reachable || self.w.call.is_holding(),
                "a loser's 2xx must be ended: {:?}",
                self.w.last
            );
        }
    }

    fn request(&mut self, leg: LegId, tag: u8, method: Method, kind: u8, low: bool) {
        let mut dialog = self.w.dialog(leg);
        if leg != A && self.w.call.row().is_none() {
            dialog.remote_tag = format!("t{tag}").into();
        }
        self.w.cseq += 1;
        let cseq = if low { 5 } else { self.w.cseq };
        if method == Method::Invite {
            let tx = ServerTx(self.w.next_tx + 1);
            self.invites.insert(tx, (leg, cseq));
        }
        if method == Method::Prack {
            let rseq = self.w.rseq().unwrap_or(1);
            self.w.ext.rack = Some(Rack { rseq, cseq: 101, invite: true });
        }
        self.w.request_in(dialog, method, cseq, body(kind));
        self.after();
    }

    fn flow(&self, leg: u16) -> crate::flow::Flow {
        stream(leg, self.flows[usize::from(leg)])
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Ack { pick, body: kind } if !self.repeating.is_empty() => {
                let (_, leg, cseq) = self.repeating[pick % self.repeating.len()];
                let dialog = self.w.dialog(leg);
                let source = remote(leg.0).ip();
                self.on(Input::Ack { dialog, cseq, source, body: body(kind) });
            }
            Op::AckTimeout { pick } if !self.repeating.is_empty() => {
                let index = pick % self.repeating.len();
                let (tx, ..) = self.repeating.swap_remove(index);
                self.on(Input::AckTimeout { tx });
            }
            Op::Ack { .. } | Op::AckTimeout { .. } => {}
            Op::Back { leg } => {
                let generation = self.w.now as u32;
                self.flows[usize::from(leg)] = generation;
                let (flow, facts) = (stream(leg, generation), Box::new(secure(leg)));
                self.on(Input::TargetBack { flow, contact: "sip:back@h".into(), facts });
            }
            Op::Cancel { pick } => {
                let mut open: Vec<_> =
                    self.w.open.iter().copied().filter(|tx| self.invites.contains_key(tx)).collect();
                open.sort_by_key(|tx| tx.0);
                if !open.is_empty() {
                    let tx = open[pick % open.len()];
                    self.on(Input::Cancel { tx, headers: Headers::new() });
                }
            }
            Op::Facts { leg, trusted } => {
                let facts = crate::class::LegFacts { trusted, ..secure(leg) };
                self.on(Input::DeviceFacts(Box::new(facts)));
            }
            Op::Fail { pick, kind } => {
                let open: Vec<_> = self.clients.iter().filter(|c| !c.accepted).map(|c| c.token).collect();
                if !open.is_empty() {
                    let failure = [Failure::Timeout, Failure::Transport, Failure::Unwritable(488)];
                    self.fail(open[pick % open.len()], failure[usize::from(kind)]);
                }
            }
            Op::FlowLost { leg } => {
                let flow = self.flow(leg);
                self.flows[usize::from(leg)] = 0;
                self.on(Input::FlowLost { flow });
            }
            Op::Bindings { leg, none } => {
                if let Some(ticket) = self.find.take() {
                    let found = if none { Err(404) } else { Ok(vec![target(leg, 1000, secure(leg))]) };
                    self.on(Input::Targets { ticket, found, no_answer_s: 30 });
                }
            }
            Op::Peer { kind } => self.peer(kind),
            Op::Refer { leg, attended, subscribe } => self.refer(LegId(leg), attended, subscribe),
            Op::Located { leg, some } => {
                let targets = if some { vec![target(3, 1000, secure(3))] } else { Vec::new() };
                self.on(Input::Located { leg: LegId(leg), targets });
            }
            Op::Rekey => self.on(Input::Rekey),
            Op::Release => self.on(Input::Release),
            Op::Request { leg, tag, method, body, low } => {
                self.request(LegId(leg), tag, METHODS[usize::from(method)], body, low);
            }
            Op::Respond { pick, status, tag, body, rseq } => {
                // 0 is a provisional that is not reliable.
                self.w.ext.require_100rel = rseq > 0;
                self.w.ext.rseq = (rseq > 0).then_some(rseq);
                if STATUSES[status] == 302 {
                    let line = Dn::parse(&format!("20{rseq}{tag}")).unwrap();
                    self.w.ext.redirects = vec![Redirect { line, uri: "<sip:2@keyline.local>".into() }];
                }
                self.respond(pick, STATUSES[status], tag, body);
            }
            Op::Timer { pick } => {
                let mut armed: Vec<_> = self.w.timers.iter().map(|(k, g)| (*g, *k)).collect();
                armed.sort_by_key(|t| t.0);
                let (generation, timer) = armed[pick % armed.len()];
                self.on(Input::Timer { timer, generation });
            }
            Op::Unregistered { leg } => self.on(Input::Unregistered { device: secure(leg).device }),
        }
    }

    fn refer(&mut self, leg: LegId, attended: bool, subscribe: bool) {
        self.transfers += 1;
        let (mut refer, dialog) = (super::transfer::refer_to(None), self.w.dialog(leg));
        refer.subscribe = subscribe;
        if let (true, Ok(to)) = (attended, &mut refer.to) {
            let (call, dialog) = (Some(CallRef(9)), dialog.clone());
            to.replaced = Some(Replaced { call, dialog, early_only: false });
        }
        super::transfer::refer_in(&mut self.w, dialog, refer);
        self.after();
    }

    /// Another call says something, whether it fits or not.
    fn peer(&mut self, kind: u8) {
        let ticket = self.claim.unwrap_or(1);
        let message = match kind {
            0 => PeerMessage::Denied { ticket, status: 481 },
            1 => PeerMessage::Ringing { ticket },
            2..=4 => {
                self.guests += 1;
                PeerMessage::Lent { ticket, leg: super::transfer::parcel(), carries: true }
            }
            // A lender says so once.
            5 if std::mem::replace(&mut self.gone, true) => PeerMessage::Denied { ticket, status: 481 },
            5 => PeerMessage::LegGone { dialog: super::transfer::parcel().0.name() },
            6 | 7 => {
                let dialog = self.w.dialog(if kind == 6 { A } else { B });
                let sender = self.w.call.device_in(&dialog).unwrap_or_else(|| secure(0).device);
                let replaced = Replaced { call: None, dialog, early_only: false };
                PeerMessage::Claim { ticket: 1, replaced, sender }
            }
            8 => PeerMessage::GaveBack { ticket: 1, cseq: 9, restore: true, lost: false },
            _ => PeerMessage::Taken { dialog: self.w.dialog(B) },
        };
        // A call takes a leg only from one that lent it.
        if kind == 9 && !self.w.call.is_lent() {
            return;
        }
        self.on(Input::Peer { from: CallRef(9), message: Box::new(message) });
    }

    fn fail(&mut self, token: ClientTx, failure: Failure) {
        self.clients.retain(|c| c.token != token);
        self.on(Input::Failed { token, failure });
    }

    /// Everybody falls silent: the call must end by the engine's own timers.
    fn silence(&mut self) {
        self.play(Op::Release);
        for _ in 0..12 {
            if self.w.finished.is_some() {
                return;
            }
            let open: Vec<_> = self.clients.iter().filter(|c| !c.accepted).map(|c| c.token).collect();
            for token in open {
                if self.w.finished.is_none() {
                    self.fail(token, Failure::Timeout);
                }
            }
            while let Some((tx, ..)) = self.repeating.pop() {
                if self.w.finished.is_none() {
                    self.on(Input::AckTimeout { tx });
                }
            }
        }
        panic!("the call does not end");
    }
}

fn story(targets: Vec<Target>, offer: Option<Body>, peer: PeerFeatures, ops: &[Op]) {
    let mut start = args(secure(0), targets, offer);
    start.caller.ext.require_100rel = peer.rel100 && peer.timer;
    start.caller.peer = peer;
    for target in &mut start.targets {
        target.peer = peer;
    }
    let mut engine = Engine::new(World::start(start));
    for op in ops {
        if engine.w.finished.is_none() {
            engine.play(*op);
        }
    }
    if engine.w.finished.is_none() {
        engine.silence();
    }
    assert!(engine.w.open.is_empty(), "open: {:?}", engine.w.open);
    assert_eq!(engine.guests, 0, "a leg of another call was kept");
    for accepted in &engine.accepted {
        assert_eq!(engine.acks.get(accepted), Some(&1), "ACKs to {accepted:?}");
    }
    let acked: usize = engine.acks.values().sum();
    assert_eq!(acked, engine.accepted.len(), "an ACK to nothing");
    let call = &mut engine.w.call;
    let env = Env { now: crate::ids::UnixMillis(0), tags: &tags };
    assert!(call.on(Input::Release, env).is_empty() && call.row().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_story_keeps_the_promises(
        ops in proptest::collection::vec(op(), 0..60),
        q in proptest::collection::vec((1_u16..4, prop_oneof![Just(1000_u16), Just(500)], any::<bool>()), 1..4),
        offer in 0_u8..4,
        peer in peer(),
    ) {
        let mut seen = HashSet::new();
        let targets: Vec<_> = (1..=q.len() as u16)
            .zip(&q)
            .filter(|(leg, _)| seen.insert(*leg))
            .map(|(leg, (_, q, live))| {
                let mut target = target(leg, *q, secure(leg));
                if !live && leg > 1 {
                    target.flow = lost(leg);
                }
                target
            })
            .collect();
        story(targets, body(offer), peer, &ops);
    }

    #[test]
    fn any_answered_story_keeps_the_promises(
        ops in proptest::collection::vec(op(), 0..60),
        peer in peer(),
    ) {
        let connect = [
            Op::Respond { pick: 0, status: 3, tag: 0, body: 1, rseq: 0 },
            Op::Ack { pick: 0, body: 0 },
        ];
        let ops: Vec<_> = connect.into_iter().chain(ops).collect();
        story(vec![target(1, 1000, secure(1))], Some(srtp("s")), peer, &ops);
    }
}
