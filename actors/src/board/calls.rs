//! Calls in progress, for the API and for those who must tell a call that a device changed.
//!
//! `dashmap`: sharded locks, not lock-free. A packet meets it once a call, for the hop count of the INVITE
//! that goes out; registrations never.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use keyline_domain::class::{CallSecurity, LegFacts, class_of_call};
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::mode::SecurityClass;
use smallvec::SmallVec;

use crate::route::CallKey;

/// A call as the API shows it.
#[derive(Debug, Clone)]
pub struct CallEntry {
    /// When the INVITE was admitted.
    pub started: UnixMillis,
    /// The device that called.
    pub caller: Arc<str>,
    /// The number that was called.
    pub called: Arc<str>,
    /// Class as last found; `None` before the answer.
    pub class: Option<SecurityClass>,
    /// Facts that the class was made of.
    pub legs: Arc<[LegFacts]>,
    /// Hops left for the INVITEs that go out.
    pub max_forwards: u8,
}

impl CallEntry {
    /// The class with its reasons; `None` before the answer.
    pub fn security(&self) -> Option<CallSecurity> {
        self.class.map(|_| class_of_call(&self.legs))
    }
}

/// Ended calls whose security can still be asked for.
const ENDED_KEPT: usize = 1024;

/// Keys are of our own making, hashed under a seed of the process.
type Map<K, V> = DashMap<K, V, foldhash::fast::RandomState>;

/// The board.
#[derive(Debug, Default)]
pub struct CallBoard {
    calls: Map<CallKey, CallEntry>,
    /// Calls that must hear of changes of a device.
    watchers: Map<DeviceIndex, SmallVec<[CallKey; 2]>>,
    ended: Map<CallKey, CallEntry>,
    ended_order: EndedOrder,
    /// Tags of legs that went over to another call than the one that made them.
    moved: DashMap<Arc<str>, CallKey>,
    /// Size of `moved`, so that a node without transfers looks nothing up.
    moved_count: AtomicUsize,
}

#[derive(Debug)]
struct EndedOrder(crossbeam_queue::ArrayQueue<CallKey>);

impl Default for EndedOrder {
    fn default() -> Self {
        Self(crossbeam_queue::ArrayQueue::new(ENDED_KEPT))
    }
}

impl CallBoard {
    /// A call in progress, or one of the last that ended.
    pub fn get(&self, call: CallKey) -> Option<CallEntry> {
        self.calls.get(&call).map(|e| e.clone()).or_else(|| self.ended.get(&call).map(|e| e.clone()))
    }

    /// Calls in progress.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// No call is in progress.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The call has not ended.
    pub fn is_in_progress(&self, call: CallKey) -> bool {
        self.calls.contains_key(&call)
    }

    /// Visits all calls in progress, in no order.
    pub fn visit(&self, mut visit: impl FnMut(CallKey, &CallEntry)) {
        for entry in &self.calls {
            visit(*entry.key(), entry.value());
        }
    }

    pub(crate) fn begin(&self, call: CallKey, entry: CallEntry) {
        self.calls.insert(call, entry);
    }

    pub(crate) fn classify(&self, call: CallKey, class: SecurityClass, legs: Arc<[LegFacts]>) {
        if let Some(mut e) = self.calls.get_mut(&call) {
            (e.legs, e.class) = (legs, Some(class));
        }
    }

    pub(crate) fn end(&self, call: CallKey) {
        let Some((_, entry)) = self.calls.remove(&call) else { return };
        if entry.class.is_none() {
            return;
        }
        if let Some(oldest) = self.ended_order.0.force_push(call) {
            self.ended.remove(&oldest);
        }
        self.ended.insert(call, entry);
    }

    /// The call that the leg with this tag belongs to now; `made` is the one that made the tag.
    pub fn home_of(&self, tag: &str, made: CallKey) -> CallKey {
        if self.moved_count.load(Ordering::Acquire) == 0 {
            return made;
        }
        self.moved.get(tag).map_or(made, |call| *call)
    }

    /// The leg with this tag belongs to `call` from now on.
    pub(crate) fn moved(&self, tag: Arc<str>, call: CallKey) {
        if self.moved.insert(tag, call).is_none() {
            self.moved_count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// `call` is over: forgets the tag, unless its leg has gone on.
    pub(crate) fn left(&self, tag: &str, call: CallKey) {
        if self.moved.remove_if(tag, |_, home| *home == call).is_some() {
            self.moved_count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn watch(&self, device: DeviceIndex, call: CallKey) {
        let mut calls = self.watchers.entry(device).or_default();
        if !calls.contains(&call) {
            calls.push(call);
        }
    }

    pub(crate) fn unwatch(&self, device: DeviceIndex, call: CallKey) {
        if let Some(mut calls) = self.watchers.get_mut(&device) {
            calls.retain(|c| *c != call);
        }
        self.watchers.remove_if(&device, |_, calls| calls.is_empty());
    }

    pub(crate) fn watchers(&self, device: DeviceIndex) -> SmallVec<[CallKey; 2]> {
        self.watchers.get(&device).map(|c| c.clone()).unwrap_or_default()
    }
}
