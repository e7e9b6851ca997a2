//! How often may something fail before what stands above it is suspect too.
//!
//! A phone or a call that panics goes on from its last good state; one that panics again and again is given
//! up. A shard whose children keep failing, with no good step between, starts anew from the board. A shard or
//! the catalog that keeps failing ends the node with a clear word, and whoever runs it starts it again: then
//! everything comes back from storage.

use std::collections::VecDeque;

use tokio::sync::watch;

/// Failures are counted over so long.
pub(crate) const WINDOW_MS: u64 = 10_000;

/// Failures of children in the window, with no good step between, after which their shard starts anew. Far
/// more than one peer's bad message can cause, since good steps of the others lie between.
pub(crate) const CHILDREN_MAX: usize = 32;

/// Restarts of one shard in the window after which the node ends.
pub(crate) const SHARD_MAX: usize = 5;

/// Restarts of the catalog in the window after which the node ends.
pub(crate) const CATALOG_MAX: usize = 5;

/// Counts failures over a window.
#[derive(Debug)]
pub(crate) struct Intensity {
    max: usize,
    recent: VecDeque<u64>,
}

impl Intensity {
    /// At most `max` failures in [`WINDOW_MS`] are borne.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, recent: VecDeque::new() }
    }

    /// A failure at `now` (milliseconds). True when it is one too many; the count then begins anew.
    pub(crate) fn failed(&mut self, now: u64) -> bool {
        while self.recent.front().is_some_and(|at| at + WINDOW_MS <= now) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let too_many = self.recent.len() > self.max;
        if too_many {
            self.recent.clear();
        }
        too_many
    }

    /// Something went well: what failed before was its own fault.
    pub(crate) fn good(&mut self) {
        if !self.recent.is_empty() {
            self.recent.clear();
        }
    }
}

/// The way to end the node from within the tree. Clones share it; the first reason counts.
#[derive(Debug, Clone)]
pub struct Fatal(watch::Sender<Option<String>>);

impl Default for Fatal {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Fatal {
    /// The node must end.
    pub(crate) fn end(&self, reason: String) {
        self.0.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                tracing::error!(reason, "supervision gives the node up");
                *told = Some(reason);
            }
            first
        });
    }

    /// Waits until the node must end, and says why.
    pub async fn reason(&self) -> String {
        let mut told = self.0.subscribe();
        match told.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender is `self`: it outlives this.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// One too many is said exactly when more than `max` lie in one window since the last good step.
        #[test]
        fn too_many_is_more_than_max_in_a_window(
            max in 0usize..6,
            steps in prop::collection::vec((0u64..6_000, prop::bool::weighted(0.15)), 1..80),
        ) {
            let mut intensity = Intensity::new(max);
            let mut now = 0;
            let mut model: Vec<u64> = Vec::new();
            for (gap, good) in steps {
                now += gap;
                if good {
                    intensity.good();
                    model.clear();
                    continue;
                }
                model.push(now);
                let expected = model.iter().filter(|at| **at + WINDOW_MS > now).count() > max;
                prop_assert_eq!(intensity.failed(now), expected);
                if expected {
                    model.clear();
                }
            }
        }
    }

    #[tokio::test]
    async fn the_first_reason_ends_the_node() {
        let fatal = Fatal::default();
        let other = fatal.clone();
        other.end("first".to_owned());
        fatal.end("second".to_owned());
        assert_eq!(fatal.reason().await, "first");
    }
}
