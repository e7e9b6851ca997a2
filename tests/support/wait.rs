//! Waiting for conditions, and the runtime in which simulated phones live.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition is waited for. Generous: the suites share few cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest time for the asynchronous part of one test.
const TEST_MAX: Duration = Duration::from_secs(240);

/// Looks until `look` gives something.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// Looks until `look` gives something, for at most `patience`.
///
/// # Panics
/// After that time, naming what was waited for.
pub fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "no {what} within {patience:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Runs the asynchronous part of a test on threads of its own.
///
/// # Panics
/// When the future does, or after four minutes.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(async { tokio::time::timeout(TEST_MAX, future).await });
    runtime.shutdown_background();
    result.expect("the test ends in time")
}
