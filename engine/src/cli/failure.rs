//! Why a command ended without its work done.

use std::io::{self, Write};

use crate::admin::control::ControlError;
use crate::admin::views::RowRefusal;
use crate::config::ConfigError;

/// Wrong rows that are printed one by one; the rest is counted.
const ROWS_PRINTED: usize = 20;

/// Why a command ended without its work done: exit code 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The running node could not be asked, or refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Rows of an import are wrong.
    #[error("{file}: {count} of the rows are wrong, nothing was imported")]
    Rows {
        /// The inventory.
        file: String,
        /// All wrong rows.
        count: usize,
        /// The first of them.
        errors: Vec<RowRefusal>,
    },
    /// The command line is wrong in a way that only its meaning shows: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Some of several things were not done; each was told.
    #[error("{refused} of {all} were refused")]
    Some {
        /// Refused.
        refused: usize,
        /// Asked for.
        all: usize,
    },
    /// Anything else, with what to do.
    #[error("{0}")]
    Refused(String),
    /// Stdout does not take the result.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl Failure {
    pub(super) fn output(source: io::Error) -> Self {
        Self::Output(source)
    }

    /// The problem document of a refusal.
    pub(super) fn problem(&self) -> Option<&serde_json::Value> {
        match self {
            Self::Control(ControlError::Refused(problem)) => Some(problem),
            _ => None,
        }
    }

    /// The exit code that goes with it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => super::USAGE,
            _ => super::FAILED,
        }
    }

    /// Whoever read the output has gone.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(e) | Self::Control(ControlError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// One line, or one for each thing that is wrong.
    pub(super) fn print(&self, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Config(problems) => {
                for problem in &problems.problems {
                    writeln!(err, "keyline: {}", line(&problem.to_string()))?;
                }
                Ok(())
            }
            Self::Rows { file, count, errors } => {
                let file_name = line(file);
                for row in errors.iter().take(ROWS_PRINTED) {
                    writeln!(err, "keyline: {file_name}:{}: {} ({})", row.row, line(&row.reason), row.code)?;
                }
                let shown = errors.len().min(ROWS_PRINTED);
                let rest = if *count > shown {
                    format!("; {} more are not shown", count - shown)
                } else {
                    String::new()
                };
                writeln!(err, "keyline: {}{rest}", line(&self.to_string()))
            }
            other => writeln!(err, "keyline: {}", line(&other.to_string())),
        }
    }
}

/// A text as one line without control characters: what came from a peer must not move a terminal's cursor.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
