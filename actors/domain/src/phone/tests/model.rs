//! The registrar against a plain model of RFC 3261 §10.3, through random requests, ticks, lost
//! connections and crashes; storage holds only what a step asked to be written.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// Contacts (index, expires), Call-ID, how CSeq relates to the last one, nonce id, connection.
    Register {
        contacts: Vec<(usize, Option<u32>)>,
        call: usize,
        step: i32,
        nonce: Option<u64>,
        flow: u32,
    },
    Star {
        call: usize,
        step: i32,
    },
    Fetch,
    Wait(u64),
    Close(u32),
    /// The node is killed and comes back after so many seconds.
    Crash(u64),
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    call: String,
    cseq: u32,
    nonce: Option<NonceUse>,
    /// What the last answer promised.
    until: UnixMillis,
    /// Most that a restart may add.
    slack: u64,
}

const CONTACTS: [&str; 3] = [A, B, "sip:1001@10.0.0.1:5070"];

fn action() -> impl Strategy<Value = Action> {
    let expires = prop_oneof![
        1 => Just(Some(0)),
        1 => Just(Some(30)),
        2 => Just(Some(60)),
        4 => Just(Some(120)),
        2 => Just(Some(3600)),
        1 => Just(Some(90_000)),
        1 => Just(None)
    ];
    let step = || prop_oneof![1 => Just(-1), 1 => Just(0), 6 => Just(1)];
    let nonce = prop_oneof![2 => Just(None), 4 => Just(Some(1)), 1 => Just(Some(2))];
    prop_oneof![
        10 => (vec((0..3usize, expires), 1..3), 0..2usize, step(), nonce, 0..3u32).prop_map(
            |(contacts, call, step, nonce, flow)| Action::Register { contacts, call, step, nonce, flow }
        ),
        1 => (0..2usize, step()).prop_map(|(call, step)| Action::Star { call, step }),
        1 => Just(Action::Fetch),
        6 => prop_oneof![0..130u64, 0..4000u64].prop_map(Action::Wait),
        1 => (0..3u32).prop_map(Action::Close),
        2 => prop_oneof![Just(0), 0..200u64, 0..8000u64].prop_map(Action::Crash),
    ]
}

struct World {
    now: u64,
    row: Row,
    stored: Vec<u8>,
    model: BTreeMap<&'static str, Known>,
    cseq: [u32; 2],
}

impl World {
    fn new() -> Self {
        let row = phone();
        Self { now: 0, stored: row.encode(), row, model: BTreeMap::new(), cseq: [10; 2] }
    }

    fn carry_out(&mut self, step: Step) {
        if step.write == Write::Put {
            self.stored = step.row.as_ref().expect("a write has a row").encode();
        }
        if let Some(row) = step.row {
            self.row = row;
        }
    }

    fn number(&mut self, call: usize, step: i32) -> u32 {
        let cseq = self.cseq[call].saturating_add_signed(step);
        self.cseq[call] = cseq.max(self.cseq[call]);
        cseq
    }

    /// What RFC 3261 says of the request: `None` for a refusal, else the new model; unchanged for a repeat.
    fn expect(&self, request: &Register) -> Option<BTreeMap<&'static str, Known>> {
        let mut next = self.model.clone();
        let mut repeat = false;
        for c in &request.contacts {
            if matches!(c.expires, Some(1..60)) {
                return None;
            }
        }
        for c in &request.contacts {
            let uri = CONTACTS.into_iter().find(|u| **u == *c.uri).unwrap();
            if let Some(known) = self.model.get(uri) {
                let same_call = known.call == *request.call_id;
                let equal = known.cseq == request.cseq && known.nonce == request.nonce;
                repeat |= same_call && equal;
                if same_call && request.cseq <= known.cseq && !equal {
                    return None;
                }
            }
            let grant = c.expires.unwrap_or(3600).min(7200);
            if grant == 0 {
                next.remove(uri);
            } else {
                let known = Known {
                    call: request.call_id.to_string(),
                    cseq: request.cseq,
                    nonce: request.nonce,
                    until: t(self.now).plus_secs(u64::from(grant)),
                    slack: u64::from(grant.min(3600)),
                };
                next.insert(uri, known);
            }
        }
        Some(if repeat { self.model.clone() } else { next })
    }

    fn register(&mut self, request: &Register) {
        let expected = self.expect(request);
        let step = on(&self.row, request, &at(self.now));
        match (&step.outcome, expected) {
            (Outcome::Ok(_), Some(next)) => self.model = next,
            (Outcome::Refuse(_), None) => assert!(matches!(refused(&step).status(), 423 | 500)),
            (outcome, expected) => panic!("{outcome:?} where the model has {expected:?}"),
        }
        self.carry_out(step);
    }

    fn play(&mut self, action: Action) {
        match action {
            Action::Register { contacts, call, step, nonce, flow } => {
                let cseq = self.number(call, step);
                let contacts =
                    contacts.into_iter().map(|(i, expires)| ContactFact { expires, ..contact(CONTACTS[i]) });
                let mut r = request(cseq, contacts).call(["c1", "c2"][call]);
                r.nonce = nonce.map(|id| NonceUse { id, nc: cseq });
                r.flow = stream(flow, "10.0.0.1:5061");
                self.register(&r);
            }
            Action::Star { call, step } => {
                let cseq = self.number(call, step);
                let r = request(cseq, []).header(0).star().call(["c1", "c2"][call]);
                let late = self.model.values().any(|k| k.call == *r.call_id && cseq <= k.cseq);
                let step = on(&self.row, &r, &at(self.now));
                assert_eq!(matches!(step.outcome, Outcome::Refuse(_)), late);
                if !late {
                    self.model.clear();
                }
                self.carry_out(step);
            }
            Action::Fetch => {
                let step = on(&self.row, &request(1, []), &at(self.now));
                assert_eq!((accepted(&step).kind, &step.row), (Kind::Fetched, &None));
            }
            Action::Wait(s) => {
                self.now += s;
                self.model.retain(|_, k| k.until > t(self.now));
                let due = next_deadline(&self.row).is_some_and(|d| d <= t(self.now));
                let step = expire(&self.row, t(self.now));
                assert_eq!(step.row.is_some(), due, "the deadline says when");
                self.carry_out(step);
            }
            Action::Close(index) => {
                let id = StreamId { worker: 1, index, generation: 7 };
                if let Some(row) = on_flow_lost(&self.row, id) {
                    self.row = row;
                }
            }
            Action::Crash(s) => self.crash(s),
        }
    }

    fn crash(&mut self, down: u64) {
        self.now += down;
        let step = recover(Row::decode(&self.stored).unwrap(), t(self.now));
        self.row = Row { bindings: Bindings::new(), ..self.row.clone() };
        self.carry_out(step);
        for (uri, known) in &self.model {
            let found = self.row.bindings.iter().find(|b| *b.contact == **uri);
            assert!(found.is_some() || known.until <= t(self.now), "{uri} is gone before its time");
        }
        let mut next = BTreeMap::new();
        for b in &self.row.bindings {
            let uri = CONTACTS.into_iter().find(|u| **u == *b.contact).unwrap();
            let known = &self.model[uri];
            assert!(b.granted_until >= known.until, "shorter than granted");
            assert!(b.granted_until <= known.until.plus_secs(known.slack), "longer than the horizon");
            assert!(!b.origin.flow.is_live());
            assert_eq!(*b.origin.call_id, *known.call);
            assert!(b.origin.cseq <= known.cseq);
            let (cseq, nonce, until) = (b.origin.cseq, b.origin.nonce, b.granted_until);
            next.insert(uri, Known { cseq, nonce, until, slack: 0, ..known.clone() });
        }
        self.model = next;
    }

    fn check(&self) {
        let line = dn("1001");
        let mut list: Vec<_> = self.row.line(&line, t(self.now)).collect();
        list.sort_by_key(|b| b.contact.clone());
        assert_eq!(list.len(), self.model.len(), "{list:#?}\n{:#?}", self.model);
        for b in list {
            let known = &self.model[&*b.contact];
            assert_eq!(
                (b.granted_until, &*b.origin.call_id, b.origin.cseq),
                (known.until, known.call.as_str(), known.cseq)
            );
            assert!(b.persisted_until >= b.granted_until);
            assert!(b.persisted_until <= b.granted_until.plus_secs(known.slack));
        }
        // Storage is never behind a promise: every binding is in it, to the end of its grant at least.
        let stored = Row::decode(&self.stored).unwrap();
        assert_eq!(stored.bindings.len(), self.row.bindings.len());
        for b in &self.row.bindings {
            let s = stored.bindings.iter().find(|s| s.contact == b.contact).unwrap();
            assert_eq!(s.persisted_until, b.persisted_until);
        }
        assert_eq!(Row::decode(&self.row.pack()).as_ref(), Ok(&self.row));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn random_histories_follow_the_model(actions in vec(action(), 1..40)) {
        let mut world = World::new();
        for action in actions {
            world.play(action);
            world.check();
        }
    }

    #[test]
    fn an_equal_request_is_idempotent(actions in vec(action(), 0..20), e in prop_oneof![Just(60u32), Just(600), Just(7200)]) {
        let mut world = World::new();
        for action in actions {
            world.play(action);
        }
        let r = request(1000, [contact(A).expires(e), contact(B).expires(e)]).nonce(3, 1);
        let _ = take(&mut world.row, &r, &at(world.now));
        let after = world.row.clone();
        let again = on(&after, &r, &at(world.now + 33));
        prop_assert_eq!(accepted(&again).kind, Kind::Repeated);
        prop_assert_eq!((again.row, again.write), (None, Write::None));
    }
}
