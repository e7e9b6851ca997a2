//! What a service manager is told (sd_notify), and its watchdog.

use std::time::Duration;

use keyline_actors::Handle;
use sd_notify::{NotifyState, notify};

/// Tells the service manager, if there is one; nobody else minds.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// The node serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The node drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// The configuration is read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock"),
    }
}

/// Feeds the watchdog for as long as every shard and the catalog answer: a node that hangs is started anew.
pub(super) async fn watchdog(handle: Handle) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut clock = tokio::time::interval(limit / 3);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match tokio::time::timeout(limit.min(Duration::from_secs(60)), handle.answers()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) => tracing::error!("an actor of the tree is gone: the watchdog is not fed"),
            Err(_) => tracing::error!("an actor of the tree does not answer: the watchdog is not fed"),
        }
    }
}
