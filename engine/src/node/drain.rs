//! How a node stops: it takes nothing new, lets calls end, ends the rest, closes connections, and goes.

use std::time::Duration;

use keyline_actors::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::config::CallsAtStop;
use crate::signaling::{Shared, ToWorker};

/// How often is looked whether the calls have ended.
const LOOK: Duration = Duration::from_millis(25);

/// How long phones get to answer their BYE.
const FAREWELL: Duration = Duration::from_secs(4);

/// How long connections get to write what waits and say goodbye.
const CLOSE: Duration = Duration::from_secs(2);

/// Progress is logged so often.
const REPORT: Duration = Duration::from_secs(5);

/// The signals that a node listens to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What an operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// Runs until the node may end. A second signal to stop skips what is left to wait for.
///
/// `calls`: whether calls that outlast `patience` are ended, or left to the journal for the next start.
pub(super) async fn drain(
    signals: &mut Signals,
    shared: &Shared,
    handle: &Handle,
    patience: Duration,
    calls: CallsAtStop,
) {
    shared.drain();
    let calls_left = || handle.boards.calls.len();
    if calls == CallsAtStop::Release {
        tracing::info!(
            calls = calls_left(),
            patience_s = patience.as_secs(),
            "draining: no new work is taken"
        );
        let mut hurried = !empty_within(signals, patience, "calls", calls_left).await;
        if calls_left() > 0 {
            tracing::warn!(calls = calls_left(), "draining: these calls are ended now");
            handle.release_calls();
            hurried = !empty_within(signals, FAREWELL, "calls", calls_left).await;
        }
        if hurried && calls_left() > 0 {
            tracing::warn!(calls = calls_left(), "calls are left behind; the next start goes on with them");
        }
    } else {
        tracing::info!(calls = calls_left(), "stopping: the next start goes on with these calls");
    }
    for worker in 0..handle.arbiters().len() {
        shared.inboxes.send(u16::try_from(worker).unwrap_or(u16::MAX), ToWorker::CloseAll);
    }
    empty_within(signals, CLOSE, "connections", || shared.metrics.connections_open()).await;
}

/// Waits until nothing is left; `false` when time or an operator's patience ran out first.
async fn empty_within(
    signals: &mut Signals,
    patience: Duration,
    what: &str,
    left: impl Fn() -> usize,
) -> bool {
    let began = Instant::now();
    let mut reported = began;
    while left() > 0 {
        if began.elapsed() >= patience {
            return false;
        }
        tokio::select! {
            () = signals.stop() => return false,
            () = tokio::time::sleep(LOOK.min(patience)) => {}
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            tracing::info!(left = left(), "draining: waiting for {what}");
        }
    }
    true
}
