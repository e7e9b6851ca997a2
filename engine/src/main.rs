//! The keyline binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(keyline_engine::cli::main())
}
