//! A phone's subscriptions on the actor's side: what stands on the boards as snapshots, effects as the actor's.

use std::sync::Arc;

use keyline_domain::flow::{Flow, StreamId};
use keyline_domain::phone::Row;
use keyline_domain::subscription::{
    ContactItem, Effect, Effects, Env, Package, Snapshot, Subscribe, SubscriptionId, Subscriptions, Watched,
};

use super::state::{PhoneEffect, PhoneEffects, PhoneEnv, PhoneTimer};
use crate::board::Boards;
use crate::clock::now;
use crate::outlet::{Emission, worker_of};

/// Contacts of one line that a document tells at most.
const CONTACTS_TOLD: usize = 64;

/// Runs one step of the subscriptions and turns its effects into the actor's.
pub(super) fn step(
    own: &mut Subscriptions,
    env: &PhoneEnv<'_>,
    out: &mut PhoneEffects,
    f: impl FnOnce(&mut Subscriptions, &Env<'_>) -> Effects,
) {
    let snapshot = |what: &Watched| snapshot(env.boards, what);
    let expiry = env.boards.settings.expiry_limits();
    let effects = f(own, &Env { now: env.now, expiry, max: env.subscriptions_max, snapshot: &snapshot });
    for effect in effects {
        out.push(match effect {
            Effect::Accept { tx, expires, tag } => {
                let emission = Emission::Subscribed { tx: tx.0, outcome: Ok((expires, tag)) };
                PhoneEffect::Emit { worker: worker_of(tx.0), emission: Box::new(emission) }
            }
            Effect::Refuse { tx, why } => {
                let emission = Emission::Subscribed { tx: tx.0, outcome: Err(why) };
                PhoneEffect::Emit { worker: worker_of(tx.0), emission: Box::new(emission) }
            }
            Effect::Notify(notify) => {
                let worker = match notify.flow {
                    Flow::Stream { id, .. } => id.worker,
                    Flow::Udp { .. } | Flow::Lost { .. } => notify.worker,
                };
                let emission = Emission::Notify { device: env.device, notify };
                PhoneEffect::Emit { worker, emission: Box::new(emission) }
            }
            Effect::Watch(what) => PhoneEffect::Watch(what),
            Effect::Unwatch(what) => PhoneEffect::Unwatch(what),
            Effect::Counted(by) => PhoneEffect::Counted(by),
            Effect::Arm(SubscriptionId(id), at) => PhoneEffect::Arm {
                timer: PhoneTimer::Subscription(id),
                generation: 0,
                after_ms: at.0.saturating_sub(env.now.0),
            },
        });
    }
}

/// What stands at a watched line now.
fn snapshot(boards: &Boards, what: &Watched) -> Snapshot {
    match what.package {
        Package::Dialog => Snapshot::Dialogs(boards.watch.dialogs(&what.line)),
        Package::MessageSummary => Snapshot::Messages(boards.watch.messages(what.line.as_str())),
        Package::Registration => {
            let at = now();
            let mut contacts = Vec::new();
            for device in boards.devices.by_line(what.line.as_str()) {
                let Some(row) = boards.devices.slot(device).and_then(|s| s.row()) else { continue };
                for b in row.line(&what.line, at).take(CONTACTS_TOLD.saturating_sub(contacts.len())) {
                    let key = u64::from_be_bytes(std::array::from_fn(|i| b.key.0[i]));
                    let reg_id = b.reg_id.unwrap_or_default();
                    contacts.push(ContactItem {
                        id: format!("{:x}-{key:016x}-{reg_id}", device.0).into(),
                        uri: Arc::clone(&b.contact),
                        until: b.granted_until,
                        q: b.q,
                    });
                }
            }
            Snapshot::Contacts(contacts)
        }
    }
}

/// The flow that a phone is reached on now, other than that connection.
pub(super) fn other_flow(row: Option<&Row>, lost: Option<StreamId>) -> Option<Flow> {
    let at = now();
    let live = row.into_iter().flat_map(|row| row.live(at)).map(|b| b.origin.flow).filter(Flow::is_live);
    live.into_iter().find(|f| !matches!((f, lost), (Flow::Stream { id, .. }, Some(lost)) if *id == lost))
}

/// A SUBSCRIBE. One for a line that is no more ends what was known of it.
pub(super) fn subscribe(
    own: &mut Subscriptions,
    request: Subscribe,
    env: &PhoneEnv<'_>,
    out: &mut PhoneEffects,
) {
    step(own, env, out, |own, env| own.subscribe(request, env));
}

/// Something changed at a watched line.
pub(super) fn changed(own: &mut Subscriptions, what: &Watched, env: &PhoneEnv<'_>, out: &mut PhoneEffects) {
    let exists = env.boards.devices.has_line(what.line.as_str());
    step(own, env, out, |own, env| if exists { own.changed(what, env) } else { own.gone(what, env) });
}
