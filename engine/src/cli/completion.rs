//! Completion scripts for shells, made from the commands themselves.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::args::Arguments;
use super::{Failure, World};

/// Prints the script of a shell.
pub(super) fn print(shell: Shell, world: &mut World<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "keyline", &mut script);
    world.out.write_all(&script).map_err(Failure::output)
}
