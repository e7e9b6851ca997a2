//! A trace as its reader sees it: NDJSON, in order of time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{Record, Tap, Trace, now_us};

/// How often rings are emptied.
const TICK: Duration = Duration::from_millis(50);

/// Records wait so long for earlier ones of other workers.
const HOLD_US: u64 = 20_000;

/// Without anything to tell, an empty line is sent so often: a reader that has gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Ends with it: dropping it ends the trace.
pub struct Stream {
    tap: Arc<Tap>,
    trace: Arc<Trace>,
    tick: Option<Interval>,
    waiting: Vec<Record>,
    told: u64,
    last: Instant,
    until: Option<Instant>,
    greeting: Option<Bytes>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({:?})", self.trace.subject)
    }
}

impl Stream {
    pub(super) fn new(tap: Arc<Tap>, trace: Arc<Trace>) -> Self {
        let greeting = Bytes::from_static(b"{\"event\":\"tracing\"}\n");
        Self {
            tap,
            trace,
            tick: None,
            waiting: Vec::new(),
            told: 0,
            last: Instant::now(),
            until: None,
            greeting: Some(greeting),
        }
    }

    /// Ends by itself after some time.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.until = Some(Instant::now() + time);
        self
    }

    /// The next lines; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            let tick = self.tick.get_or_insert_with(|| {
                let mut tick = interval(TICK);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                tick
            });
            tick.tick().await;
            let over = self.tap.is_closing() || self.until.is_some_and(|end| Instant::now() >= end);
            let lines = self.drain(if over { u64::MAX } else { now_us().saturating_sub(HOLD_US) });
            if !lines.is_empty() {
                self.last = Instant::now();
                return Some(lines.into());
            }
            if over {
                return None;
            }
            if self.last.elapsed() >= HEARTBEAT {
                self.last = Instant::now();
                return Some(Bytes::from_static(b"\n"));
            }
        }
    }

    /// Lines of all records up to a moment.
    fn drain(&mut self, up_to: u64) -> Vec<u8> {
        for ring in &self.trace.rings {
            while let Some(record) = ring.pop() {
                self.trace.bytes.fetch_sub(record.bytes.len(), Ordering::AcqRel);
                self.waiting.push(record);
            }
        }
        self.waiting.sort_by_key(|r| r.at_us);
        let ready = self.waiting.partition_point(|r| r.at_us <= up_to);
        let mut lines = Vec::new();
        for record in self.waiting.drain(..ready) {
            lines.extend_from_slice(record.json().to_string().as_bytes());
            lines.push(b'\n');
        }
        let dropped = self.trace.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            self.told = dropped;
            lines
                .extend_from_slice(json!({ "event": "dropped", "messages": dropped }).to_string().as_bytes());
            lines.push(b'\n');
        }
        lines
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tap.end(self.trace.id);
    }
}
