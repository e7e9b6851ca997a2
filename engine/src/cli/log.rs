//! The log: lines on stderr, since stdout is for results.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Chooses what is logged, such as `info` or `warn,keyline_engine::tls=debug`.
const VARIABLE: &str = "KEYLINE_LOG";

/// Starts the log at `level`, or at what the environment says. One that runs already stays.
pub(super) fn start(level: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    // An error means that a log runs already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}
