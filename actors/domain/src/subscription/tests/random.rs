//! Any order of events: a phone that takes every document in turn knows what stands there in the end.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Subscribe(u32),
    Refresh(u32),
    End(u32),
    Change(u8, u8),
    Answer(usize, u16),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u32..4).prop_map(Op::Subscribe),
        (0u32..4).prop_map(Op::Refresh),
        (0u32..4).prop_map(Op::End),
        (0u8..4, 0u8..4).prop_map(|(d, s)| Op::Change(d, s)),
        (0usize..8, prop_oneof![Just(200u16), Just(200), Just(200), Just(500), Just(481)])
            .prop_map(|(n, s)| Op::Answer(n, s)),
        (1u64..2000).prop_map(Op::Wait),
    ]
}

/// What a phone that reads every document believes.
#[derive(Default)]
struct Believes {
    version: Option<u32>,
    dialogs: BTreeMap<String, DialogState>,
    ended: bool,
}

impl Believes {
    fn read(&mut self, notify: &Notify) {
        assert!(!self.ended, "a NOTIFY after the last one");
        let expected = self.version.map_or(0, |v| v + 1);
        assert_eq!(notify.document.version, expected, "versions count by one");
        self.version = Some(notify.document.version);
        let Items::Dialogs(list) = &notify.document.items else { panic!("another package") };
        if notify.document.full {
            self.dialogs.clear();
        }
        for item in list {
            match item.state {
                DialogState::Terminated => {
                    self.dialogs.remove(&*item.id);
                }
                state => {
                    self.dialogs.insert(item.id.to_string(), state);
                }
            }
        }
        self.ended = notify.state.is_err();
    }
}

proptest! {
    #[test]
    fn a_phone_knows_what_stands_there(ops in prop::collection::vec(op(), 1..60)) {
        let what = watched(Package::Dialog, "1002");
        let mut w = world();
        let mut cseq = 1;
        let mut open: Vec<Notify> = Vec::new();
        let mut phones: HashMap<SubscriptionId, Believes> = HashMap::new();
        let mut count = 0i64;
        let mut take = |seen: Seen, open: &mut Vec<Notify>| {
            for effect in seen.0 {
                match effect {
                    Effect::Notify(n) => {
                        phones.entry(n.id).or_default().read(&n);
                        if n.state.is_ok() {
                            open.push(*n);
                        }
                    }
                    Effect::Counted(by) => count += by,
                    _ => {}
                }
            }
        };
        for op in ops {
            cseq += 1;
            match op {
                Op::Subscribe(n) => take(w.subscribe(request(n, what.clone(), Some(600))), &mut open),
                Op::Refresh(n) => take(w.subscribe(again(n, what.clone(), cseq, Some(600))), &mut open),
                Op::End(n) => take(w.subscribe(again(n, what.clone(), cseq, Some(0))), &mut open),
                Op::Change(d, s) => {
                    let id = format!("d{d}");
                    w.dialogs.borrow_mut().retain(|i| *i.id != *id);
                    let state = [DialogState::Trying, DialogState::Early, DialogState::Confirmed];
                    if let Some(state) = state.get(usize::from(s)) {
                        w.dialogs.borrow_mut().push(dialog(&id, *state));
                    }
                    take(w.changed(&what), &mut open);
                }
                Op::Answer(n, status) => {
                    if !open.is_empty() {
                        let notify = open.remove(n % open.len());
                        // A phone that refused a document has not read it.
                        take(w.answer(&notify, status), &mut open);
                    }
                }
                Op::Wait(secs) => {
                    w.now = w.now.plus_secs(secs);
                    for id in (0..64).map(SubscriptionId) {
                        take(w.step(|own, env| own.timer(id, env)), &mut open);
                    }
                }
            }
            prop_assert!(w.own.len() <= MAX);
        }
        // Everything is answered in the end.
        while !open.is_empty() {
            let notify = open.remove(0);
            take(w.answer(&notify, 200), &mut open);
        }
        take(w.changed(&what), &mut open);
        prop_assert_eq!(count, i64::try_from(w.own.len()).unwrap());
        let stands: BTreeMap<String, DialogState> =
            w.dialogs.borrow().iter().map(|d| (d.id.to_string(), d.state)).collect();
        let living = phones.values().filter(|p| !p.ended);
        let knowing = living.filter(|p| p.dialogs == stands).count();
        prop_assert!(knowing >= w.own.len(), "{knowing} of {}", w.own.len());
    }
}
