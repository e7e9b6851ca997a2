//! The keyline binary.

use std::process::ExitCode;

/// Threads hand rows, commits and messages to each other, each freed where it was not made, and every message
/// makes some dozens of small ones: this allocator does both in half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(keyline_engine::cli::main())
}
