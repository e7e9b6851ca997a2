//! The state machine: SUBSCRIBE, changes of what is watched, answers to NOTIFY, time.

use std::sync::Arc;

use super::document::{Document, difference, full};
use super::package::{Snapshot, Watched};
use super::step::{Answered, Effect, Effects, Ended, Env, Notify, Refusal, Subscribe, SubscriptionId};
use crate::call::Dialog;
use crate::flow::{Flow, StreamId};
use crate::ids::UnixMillis;
use crate::phone::ExpiryLimits;

#[derive(Debug, Clone)]
struct Subscription {
    id: SubscriptionId,
    watched: Watched,
    event_id: Option<Arc<str>>,
    dialog: Dialog,
    flow: Flow,
    worker: u16,
    until: UnixMillis,
    /// Version of the next document.
    version: u32,
    /// What the phone was told last; nothing that may be relied on: the next one is full.
    told: Option<Snapshot>,
    /// The NOTIFY without answer.
    pending: Option<u32>,
    /// Something changed, or a NOTIFY is owed, since the pending one left.
    owed: bool,
}

/// All subscriptions of one phone.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    list: Vec<Subscription>,
    next: u32,
    numbers: u32,
}

impl Subscriptions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What is watched, each once.
    pub fn watched(&self) -> impl Iterator<Item = &Watched> {
        let list = &self.list;
        list.iter().enumerate().filter_map(|(i, s)| {
            list[..i].iter().all(|before| before.watched != s.watched).then_some(&s.watched)
        })
    }

    /// A SUBSCRIBE: new, refresh, end or fetch.
    pub fn subscribe(&mut self, request: Subscribe, env: &Env<'_>) -> Effects {
        let tx = request.tx;
        match self.accept(request, env) {
            Ok(effects) => effects,
            Err(why) => Effects::from_iter([Effect::Refuse { tx, why }]),
        }
    }

    fn accept(&mut self, request: Subscribe, env: &Env<'_>) -> Result<Effects, Refusal> {
        let mut effects = Effects::new();
        let at = match &request.in_dialog {
            Some(tag) => Some(self.find(tag, &request).ok_or(Refusal::Unknown)?),
            None => None,
        };
        if let Some(at) = at {
            // Before the expiry: what is out of order changes and tells nothing.
            let known = self.list[at].dialog.remote_cseq;
            if known.is_some_and(|known| request.dialog.remote_cseq.is_none_or(|new| new <= known)) {
                return Err(Refusal::OutOfOrder);
            }
        }
        let granted = granted(request.expires, request.watched.package.default_expires(), &env.expiry)?;
        let until = env.now.plus_secs(u64::from(granted));
        let tx = request.tx;
        match at {
            Some(at) => {
                let own = &mut self.list[at];
                own.dialog.remote_cseq = request.dialog.remote_cseq;
                // SUBSCRIBE refreshes the target (RFC 6665 §3.1), and the phone is reached where it is now.
                own.dialog.remote_target = request.dialog.remote_target;
                (own.flow, own.worker, own.until) = (request.flow, request.worker, until);
                own.told = None;
                let (id, tag) = (own.id, Arc::clone(&own.dialog.local_tag));
                effects.push(Effect::Accept { tx, expires: granted, tag });
                if granted == 0 {
                    self.end(at, Ended::Timeout, env, &mut effects);
                } else {
                    effects.push(Effect::Arm(id, until));
                    self.tell(at, true, env, &mut effects);
                }
            }
            None => {
                if self.list.len() >= env.max {
                    return Err(Refusal::TooMany { limit: env.max });
                }
                let id = SubscriptionId(self.next);
                self.next = self.next.wrapping_add(1);
                let tag = Arc::clone(&request.dialog.local_tag);
                effects.push(Effect::Accept { tx, expires: granted, tag });
                effects.push(Effect::Counted(1));
                if granted > 0 && self.list.iter().all(|s| s.watched != request.watched) {
                    effects.push(Effect::Watch(request.watched.clone()));
                }
                self.list.push(Subscription {
                    id,
                    watched: request.watched,
                    event_id: request.event_id,
                    dialog: request.dialog,
                    flow: request.flow,
                    worker: request.worker,
                    until,
                    version: 0,
                    told: None,
                    pending: None,
                    owed: false,
                });
                let at = self.list.len() - 1;
                if granted == 0 {
                    self.end(at, Ended::Timeout, env, &mut effects);
                } else {
                    effects.push(Effect::Arm(id, until));
                    self.tell(at, true, env, &mut effects);
                }
            }
        }
        Ok(effects)
    }

    /// Something changed there.
    pub fn changed(&mut self, what: &Watched, env: &Env<'_>) -> Effects {
        let mut effects = Effects::new();
        for at in 0..self.list.len() {
            if self.list[at].watched == *what {
                self.tell(at, false, env, &mut effects);
            }
        }
        effects
    }

    /// The line is gone: its subscriptions end.
    pub fn gone(&mut self, what: &Watched, env: &Env<'_>) -> Effects {
        let mut effects = Effects::new();
        while let Some(at) = self.list.iter().position(|s| s.watched == *what) {
            self.end(at, Ended::NoResource, env, &mut effects);
        }
        effects
    }

    /// An answer to a NOTIFY, or that there is none.
    pub fn notified(
        &mut self,
        id: SubscriptionId,
        number: u32,
        answered: Answered,
        env: &Env<'_>,
    ) -> Effects {
        let mut effects = Effects::new();
        let Some(at) = self.list.iter().position(|s| s.id == id && s.pending == Some(number)) else {
            return effects;
        };
        let own = &mut self.list[at];
        own.pending = None;
        match answered {
            Answered::Status(status) if ends(status) => self.forget(at, &mut effects),
            // RFC 6665 §4.2.2: without an answer the subscription is over, and nobody need be told.
            Answered::Failed => self.forget(at, &mut effects),
            Answered::Status(200..=299) => {
                if std::mem::take(&mut own.owed) {
                    self.tell(at, false, env, &mut effects);
                }
            }
            Answered::Status(_) => {
                // The phone has not taken it: the next change is told in full. At once would be a loop.
                own.told = None;
                own.owed = false;
            }
        }
        effects
    }

    /// The time that [`Effect::Arm`] named has come; an entry that a refresh left behind does nothing.
    pub fn timer(&mut self, id: SubscriptionId, env: &Env<'_>) -> Effects {
        let mut effects = Effects::new();
        if let Some(at) = self.list.iter().position(|s| s.id == id)
            && self.list[at].until <= env.now
        {
            self.end(at, Ended::Timeout, env, &mut effects);
        }
        effects
    }

    /// A connection is gone: what was on it waits for [`Self::flow_back`]. A NOTIFY without answer counts as
    /// never sent, so that its failure does not end the subscription.
    pub fn flow_lost(&mut self, stream: StreamId) {
        for own in &mut self.list {
            if own.flow.is_stream(stream) {
                let (transport, remote) = (own.flow.transport(), own.flow.remote());
                own.flow = Flow::Lost { transport, remote };
                if own.pending.take().is_some() {
                    (own.told, own.owed) = (None, true);
                }
            }
        }
    }

    /// The phone is reached there: subscriptions whose connection was lost go on over this flow.
    pub fn flow_back(&mut self, flow: Flow, env: &Env<'_>) -> Effects {
        let mut effects = Effects::new();
        for at in 0..self.list.len() {
            if !self.list[at].flow.is_live() {
                self.list[at].flow = flow;
                if std::mem::take(&mut self.list[at].owed) {
                    self.list[at].told = None;
                    self.tell(at, true, env, &mut effects);
                }
            }
        }
        effects
    }

    /// All are given up: each phone is told to subscribe anew.
    pub fn give_up(&mut self, env: &Env<'_>) -> Effects {
        let mut effects = Effects::new();
        while !self.list.is_empty() {
            self.end(0, Ended::Deactivated, env, &mut effects);
        }
        effects
    }

    fn find(&self, tag: &str, request: &Subscribe) -> Option<usize> {
        self.list.iter().position(|s| {
            *s.dialog.local_tag == *tag
                && s.dialog.call_id == request.dialog.call_id
                && s.dialog.remote_tag == request.dialog.remote_tag
                && s.watched.package == request.watched.package
                && s.event_id == request.event_id
        })
    }

    /// Sends what is new, or everything where nothing can be relied on. `owed`: a NOTIFY is due even if
    /// nothing changed.
    fn tell(&mut self, at: usize, owed: bool, env: &Env<'_>, effects: &mut Effects) {
        let own = &mut self.list[at];
        if own.pending.is_some() || !own.flow.is_live() {
            own.owed = true;
            return;
        }
        let now = (env.snapshot)(&own.watched);
        let (items, is_full) = match &own.told {
            None => (full(&now), true),
            Some(told) => match difference(told, &now, env.now) {
                Some(items) => (items, false),
                None if owed => (full(&now), true),
                None => return,
            },
        };
        let left = u32::try_from(own.until.secs_after(env.now)).unwrap_or(u32::MAX);
        own.told = Some(now);
        own.owed = false;
        let number = self.numbers;
        self.numbers = self.numbers.wrapping_add(1);
        self.list[at].pending = Some(number);
        self.push(at, number, Ok(left), Document { version: 0, full: is_full, items }, effects);
    }

    /// Ends one with a last NOTIFY, which repeats everything.
    fn end(&mut self, at: usize, why: Ended, env: &Env<'_>, effects: &mut Effects) {
        if self.list[at].flow.is_live() {
            let items = full(&(env.snapshot)(&self.list[at].watched));
            let number = self.numbers;
            self.numbers = self.numbers.wrapping_add(1);
            self.push(at, number, Err(why), Document { version: 0, full: true, items }, effects);
        }
        self.forget(at, effects);
    }

    fn push(
        &mut self,
        at: usize,
        number: u32,
        state: Result<u32, Ended>,
        document: Document,
        effects: &mut Effects,
    ) {
        let own = &mut self.list[at];
        own.dialog.local_cseq = own.dialog.local_cseq.wrapping_add(1);
        let document = Document { version: own.version, ..document };
        own.version = own.version.wrapping_add(1);
        effects.push(Effect::Notify(Box::new(Notify {
            id: own.id,
            number,
            watched: own.watched.clone(),
            event_id: own.event_id.clone(),
            dialog: own.dialog.clone(),
            flow: own.flow,
            worker: own.worker,
            state,
            document,
        })));
    }

    fn forget(&mut self, at: usize, effects: &mut Effects) {
        let gone = self.list.remove(at);
        effects.push(Effect::Counted(-1));
        if self.list.iter().all(|s| s.watched != gone.watched) {
            effects.push(Effect::Unwatch(gone.watched));
        }
    }
}

/// Seconds granted: shortened, never lengthened (RFC 6665 §4.2.1.1).
fn granted(asked: Option<u32>, default: u32, limits: &ExpiryLimits) -> Result<u32, Refusal> {
    match asked {
        Some(0) => Ok(0),
        // What is too brief against the minimum is refused even if it is above the maximum: an hour at least.
        Some(e) if e < limits.min.min(3600) => Err(Refusal::TooBrief { min: limits.min.min(3600) }),
        Some(e) => Ok(e.min(limits.max)),
        None => Ok(default.min(limits.max)),
    }
}

/// Answers to NOTIFY after which the subscription is no more (RFC 6665 §4.2.2, RFC 5057 §5.1).
fn ends(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}
