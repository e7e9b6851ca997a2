//! The keyline binary with faults on purpose: for tests only.

use std::process::ExitCode;

use keyline_actors::faults;

fn main() -> ExitCode {
    if let Err(wrong) = faults::arm_from_environment() {
        eprintln!("keyline: KEYLINE_FAULTS: {wrong}");
        return ExitCode::from(2);
    }
    ExitCode::from(keyline_engine::cli::main())
}
