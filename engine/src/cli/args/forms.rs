//! How answers are printed, and what every change takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// Aligned columns
    Table,
    /// One JSON object a line, with all fields
    Json,
    /// Comma-separated values (RFC 4180), with the columns of the table
    Csv,
}

/// Rows that are printed if no number is given.
const ROWS: u64 = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct Listing {
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Only rows that fit: FIELD:PATTERN:TEXT with begins, contains, is_exactly, ends, is_empty, is_not_empty;
    /// all of several must hold
    #[arg(long = "filter", value_name = "FILTER")]
    pub(in crate::cli) filters: Vec<String>,
    /// Field to sort by; with - in front, backwards
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub(in crate::cli) sort: Option<String>,
    /// Most rows [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// All rows
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Listing {
    pub(in crate::cli) fn form(&self) -> Form {
        if self.json { Form::Json } else { self.format }
    }

    pub(in crate::cli) fn limit(&self) -> u64 {
        if self.all { u64::MAX } else { self.limit.unwrap_or(ROWS) }
    }

    /// The number of rows was asked for.
    pub(in crate::cli) fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Showing {
    /// JSON instead of text
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// How a change is asked for.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct How {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Insist, where a rule refuses only those who do not
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Only if the object still has this ETag (`show --etag` prints it)
    #[arg(long, value_name = "ETAG")]
    pub(in crate::cli) if_match: Option<String>,
    /// A name for this request: repeated under the same one within a day, it adds nothing twice
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) idempotency_key: Option<String>,
    /// The whole answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Fields of an object.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fields {
    /// Fields: field=value, hardening.web_access=disabled, lines=1001,1002; field= or field=null for the default;
    /// field:=JSON for any value
    #[arg(value_name = "FIELD=VALUE")]
    pub(in crate::cli) pairs: Vec<String>,
    /// Read the fields from a file with one JSON object, - for stdin; pairs stand above it
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Read the secret (digest_credentials of a user, capf.authentication_string of a phone) from the first line of
    /// a file, - for stdin
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) secret_file: Option<PathBuf>,
    /// Ask for the secret, twice, without showing it
    #[arg(long, conflicts_with = "secret_file")]
    pub(in crate::cli) ask_secret: bool,
}

/// Many changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Bulk {
    /// The file (NDJSON), - for stdin
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// All of them or none; at most 32 lines
    #[arg(long)]
    pub(in crate::cli) atomic: bool,
    /// Say what would happen to each line by itself, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Insist, where a rule refuses only those who do not
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Do not ask, though lines delete something
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// The report as JSON, one result a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
