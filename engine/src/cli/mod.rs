//! The command line.
//!
//! Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 not understood. Results go to
//! stdout, everything else to stderr. A command that touches data speaks to the node that runs on the
//! data directory, or opens the store itself if none does.

mod args;
mod ask;
mod audit;
mod backend;
mod backup;
mod body;
mod bulk;
mod change;
mod commands;
mod completion;
mod crl;
mod failure;
mod impact;
mod inventory;
mod listing;
mod log;
mod noun;
mod oauth;
mod orders;
mod own;
mod pem;
mod rollout;
mod said;
mod selected;
mod show;
mod source;
mod token;
mod trace;

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use clap::Parser;

use args::Arguments;
pub use backend::{Backend, Real};
pub use failure::Failure;

/// Exit code: done.
pub const DONE: u8 = 0;

/// Exit code: refused or failed.
pub const FAILED: u8 = 1;

/// Exit code: the command line is wrong.
pub const USAGE: u8 = 2;

/// What a command may use of the world.
pub struct World<'a> {
    /// Where results go.
    pub out: &'a mut dyn Write,
    /// Where everything else goes.
    pub err: &'a mut dyn Write,
    /// Where bodies, secrets and answers to questions come from.
    pub input: &'a mut dyn BufRead,
    /// Somebody sits there: stdin is a terminal.
    pub terminal: bool,
    /// Looks up a variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Node and store.
    pub backend: &'a dyn Backend,
}

/// Runs one command of this process.
pub fn main() -> u8 {
    run(
        std::env::args_os(),
        &mut World {
            // Not locked: the node prints its `ready` line from a thread of its choice.
            out: &mut io::stdout(),
            err: &mut io::stderr(),
            input: &mut BufReader::new(io::stdin()),
            terminal: io::stdin().is_terminal(),
            env: &|name| std::env::var_os(name),
            backend: &Real,
        },
    )
}

/// Runs the command that `arguments` (the program's name first) ask for; the answer is the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, world: &mut World<'_>) -> u8 {
    // What is said on a stream that nobody reads any more is lost; the exit code still tells.
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(help) if !help.use_stderr() => {
            let _ = write!(world.out, "{help}");
            return DONE;
        }
        Err(usage) => {
            let _ = write!(world.err, "{usage}");
            return USAGE;
        }
    };
    let result =
        commands::execute(&arguments, world).and_then(|()| world.out.flush().map_err(Failure::output));
    match result {
        Ok(()) => DONE,
        // `keyline export | head`: the reader has what it wanted.
        Err(failure) if failure.is_closed_pipe() => DONE,
        Err(failure) => {
            let _ = failure.print(world.err);
            failure.exit_code()
        }
    }
}
