//! Import and export.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::Value;

use super::args::Place;
use super::source::remote;
use super::{Failure, World, failure::line};
use crate::admin::IMPORT_MAX;
use crate::admin::control::{Control, ControlError};
use crate::admin::views::{ImportDone, ImportRefused, RowRefusal};
use crate::config::Config;

pub(super) fn import(
    (place, config): (&Place, &Config),
    file: &Path,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let done = match elsewhere_or_here(place, config)? {
        Some(mut node) => {
            let answer = node.post("/api/v1/import", read(file)?).map_err(|e| explained(file, e))?;
            serde_json::from_value(answer).map_err(|_| Failure::Control(ControlError::Strange))?
        }
        None => {
            // Before the store is opened: a wrong name should not make a data directory.
            open(file)?;
            world.backend.open(config)?.import(file).map_err(|refused| explain_refusal(file, refused))?
        }
    };
    report(&done, world)
}

/// The node of `--url`, or the one that runs here; `None`: the store is opened.
fn elsewhere_or_here(place: &Place, config: &Config) -> Result<Option<Control>, Failure> {
    match remote(place)? {
        Some(remote) => Ok(Some(Control::remote(&remote)?)),
        None => Ok(Control::connect(&config.node.data_dir)?),
    }
}

pub(super) fn export((place, config): (&Place, &Config), world: &mut World<'_>) -> Result<(), Failure> {
    match elsewhere_or_here(place, config)? {
        Some(mut node) => Ok(node.copy("/api/v1/export", world.out)?),
        None => {
            let store = world.backend.open(config)?;
            let mut out = Noting { out: world.out, error: None };
            match (store.export(&mut out), out.error) {
                (Err(_), Some(error)) => Err(Failure::Output(error)),
                (Err(reason), None) => Err(Failure::Refused(reason)),
                (Ok(()), _) => Ok(()),
            }
        }
    }
}

/// Remembers what went wrong on the output, so that it is not taken for the store's fault.
struct Noting<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl Write for Noting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|e| self.error = Some(e.kind().into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|e| self.error = Some(e.kind().into()))
    }
}

fn open(file: &Path) -> Result<File, Failure> {
    File::open(file).map_err(|e| Failure::Refused(format!("cannot read {}: {e}", file.display())))
}

/// The whole file: it is sent as one body, which the node checks before it stores anything.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    open(file)?
        .take(IMPORT_MAX as u64 + 1)
        .read_to_end(&mut whole)
        .map_err(|e| Failure::Refused(format!("cannot read {}: {e}", file.display())))?;
    if whole.len() > IMPORT_MAX {
        let limit = IMPORT_MAX >> 20;
        return Err(Failure::Refused(format!(
            "{} has more than {limit} MiB; split it, or stop the node and import it then",
            file.display()
        )));
    }
    Ok(whole)
}

/// What the running node refused, as if the store had been opened here.
fn explained(file: &Path, error: ControlError) -> Failure {
    let ControlError::Refused(problem) = error else { return Failure::Control(error) };
    let rows =
        problem.get("errors").cloned().and_then(|rows| serde_json::from_value::<Vec<RowRefusal>>(rows).ok());
    match rows {
        Some(errors) => {
            let more = problem.get("more").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            explain_refusal(file, ImportRefused::Rows { errors, more: more.unwrap_or(0) })
        }
        None => Failure::Control(ControlError::Refused(problem)),
    }
}

fn explain_refusal(file: &Path, refused: ImportRefused) -> Failure {
    match refused {
        ImportRefused::Rows { errors, more } => {
            Failure::Rows { file: file.display().to_string(), count: errors.len() + more, errors }
        }
        ImportRefused::Failed { code, reason } => Failure::Refused(format!("{reason} ({code})")),
    }
}

fn report(done: &ImportDone, world: &mut World<'_>) -> Result<(), Failure> {
    for warning in &done.warnings {
        let examples = match warning.examples.as_slice() {
            [] => String::new(),
            names => format!(": {}", line(&names.join(", "))),
        };
        let rows = if warning.count == 1 { "row" } else { "rows" };
        let _ = writeln!(
            world.err,
            "keyline: warning: {} ({}, {} {rows}{examples})",
            line(&warning.text),
            warning.code,
            warning.count
        );
    }
    writeln!(world.out, "imported {} rows, {} changed", done.rows, done.changed).map_err(Failure::output)
}
