//! What is wrong with a configuration: one line for each problem.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the environment, by this variable.
    Environment(String),
    /// In the file, at a line that counts from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One thing that is wrong. The text names the place, the key, the value, the reason and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file could not be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Origin,
        /// What the parser says, on one line.
        message: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key {key}; did you mean {nearest}?")]
    UnknownKey {
        /// Where.
        place: Origin,
        /// The key with its section.
        key: String,
        /// The known key most like it.
        nearest: String,
    },
    /// A section that does not exist.
    #[error("{place}: unknown section [{section}]; did you mean [{nearest}]?")]
    UnknownSection {
        /// Where.
        place: Origin,
        /// The section.
        section: String,
        /// The known section most like it.
        nearest: &'static str,
    },
    /// A section's name that is used as a key.
    #[error("{place}: {section} is a section; write [{section}] on a line of its own and its keys below")]
    NotASection {
        /// Where.
        place: Origin,
        /// The section.
        section: String,
    },
    /// A value that the key does not take.
    #[error("{place}: {key} = {value}: {reason}")]
    Value {
        /// Where.
        place: Origin,
        /// The key with its section.
        key: String,
        /// The value as TOML, cut to 100 characters.
        value: String,
        /// Why not, and what to write.
        reason: String,
    },
}

/// Why the configuration was refused: every problem, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
