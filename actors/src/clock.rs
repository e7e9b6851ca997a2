//! The only place of this crate that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use keyline_domain::ids::UnixMillis;

/// Wall-clock time.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
