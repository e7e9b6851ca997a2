//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keyline_actors::board::Role;

/// Keyline, a phone signaling engine.
#[derive(Debug, Parser)]
#[command(name = "keyline", version, subcommand_required = true, arg_required_else_help = false)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Which node is meant.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Configuration file [default: keyline.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Data directory, instead of the one in the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Ask the admin API of another node: https://HOST:PORT
    #[arg(long, global = true, value_name = "URL", requires = "token_file")]
    pub(super) url: Option<String>,
    /// File with the bearer token for --url
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(super) token_file: Option<PathBuf>,
    /// Certificate that the node of --url must prove (PEM): what `keyline cert export --name CallManager` prints there
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a node until it is told to stop (SIGTERM or SIGINT)
    Serve,
    /// Make the data directory: keys, the node's own certificates and the admin token
    Init,
    /// Read the configuration and say what is wrong with it
    CheckConfig,
    /// Take in an inventory (NDJSON), all rows or none
    Import {
        /// The inventory
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the inventory (NDJSON), without secrets
    Export {
        /// Export secrets too, sealed under the passphrase in this file
        #[arg(long, value_name = "PASSPHRASE-FILE")]
        secrets: Option<PathBuf>,
    },
    /// Write all durable state as of one moment to a file; a running node goes on. Without the node key, which must
    /// be kept apart
    Backup {
        /// A file that does not exist yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Fill an empty data directory from a backup; the node key file must be in place
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say why something is as it is
    #[command(subcommand)]
    Explain(Explain),
    /// Whether the node is well; exit code 1 if it is not
    Health(Showing),
    /// List the calls in progress
    Calls(Listing),
    /// One call
    #[command(subcommand)]
    Call(Call),
    /// List the phones that are registered
    Registrations(Listing),
    /// Phones: list them, show one with registration, certificates, trust, profile and hardening
    #[command(subcommand)]
    Phone(Object),
    /// Phone security profiles
    #[command(subcommand)]
    Profile(Object),
    /// Users and whether they have digest credentials
    #[command(subcommand)]
    User(User),
    /// Lines and their phones
    #[command(subcommand)]
    Line(ListOnly),
    /// Cluster parameters with their values
    #[command(subcommand)]
    Parameter(Object),
    /// Tokens of the admin API
    #[command(subcommand)]
    Token(Token),
    /// Watch the signaling of a phone or a call as it happens, secrets masked
    #[command(subcommand)]
    Trace(Trace),
    /// Phone models and their features
    #[command(subcommand)]
    Model(Object),
    /// Certificates: the node's own, and those it trusts
    #[command(subcommand)]
    Cert(Cert),
    /// Who changed what, and whether the record of it is whole
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List entries, newest first
    List {
        /// Only from this instant on (UTC), as 2026-01-31 or 2026-01-31T08:30:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only before this instant
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        form: Listing,
    },
    /// Show one entry with the object before and after
    Show {
        /// Its number
        number: u64,
        #[command(flatten)]
        form: Showing,
    },
    /// Check the whole chain; exit code 1 names the first entry that is wrong
    Verify {
        /// A mark that an earlier verification printed and somebody kept elsewhere: it must be part of the chain
        #[arg(long, value_name = "NUMBER:HASH")]
        expect: Option<String>,
        #[command(flatten)]
        form: Showing,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Object {
    /// List them
    List(Listing),
    /// Show one with everything that is known of it
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Showing,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ListOnly {
    /// List them
    List(Listing),
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// List them
    List {
        /// Application users instead of end users
        #[arg(long)]
        application: bool,
        #[command(flatten)]
        form: Listing,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make one and print it: it cannot be shown again
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// What it allows: read-only, operator (also traces), admin
        #[arg(long, value_parser = role)]
        role: Role,
        /// When it ends: a number with s, m, h or d, as 12h or 90d [default: when it is revoked]
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        expires: Option<u64>,
    },
    /// List them, without their texts
    List(Listing),
    /// Void one, at once
    Revoke {
        /// Its name
        #[arg(long)]
        name: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    let all = Role::ALL.map(Role::as_str).join(", ");
    text.parse().map_err(|()| format!("use {all}"))
}

fn seconds(text: &str) -> Result<u64, String> {
    let split = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("use a number with s, m, h or d".to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    seconds.filter(|s| (1..=MOST_SECONDS).contains(s)).ok_or_else(|| "use 1s to 36500d".to_owned())
}

/// A hundred years.
const MOST_SECONDS: u64 = 36_500 * 86_400;

#[derive(Debug, Subcommand)]
pub(super) enum Trace {
    /// Everything between a phone and the node
    Phone {
        /// Its name
        name: String,
        #[command(flatten)]
        how: Tracing,
    },
    /// Everything that belongs to a call, on all its legs
    Call {
        /// Id from `keyline calls`
        id: String,
        #[command(flatten)]
        how: Tracing,
    },
}

#[derive(Debug, Args)]
pub(super) struct Tracing {
    /// Whole messages instead of their first lines
    #[arg(long)]
    pub(super) full: bool,
    /// One JSON object a message
    #[arg(long, conflicts_with = "full")]
    pub(super) json: bool,
    /// Write the messages to a file too, for Wireshark and its like (pcapng)
    #[arg(long, value_name = "FILE")]
    pub(super) pcap: Option<PathBuf>,
    /// Send the messages to a capture server too (HEPv3 over UDP)
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) hep: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Call {
    /// Show one
    Show {
        /// Id from `keyline calls`
        id: String,
        #[command(flatten)]
        form: Showing,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// Class of a call, its icon, and for every leg what holds it back and which setting is behind it
    Call {
        /// Id from `keyline calls`
        id: String,
    },
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
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
pub(super) struct Listing {
    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Only rows that fit: FIELD:PATTERN:TEXT with begins, contains, is_exactly, ends, is_empty, is_not_empty;
    /// all of several must hold
    #[arg(long = "filter", value_name = "FILTER")]
    pub(super) filters: Vec<String>,
    /// Field to sort by; with - in front, backwards
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub(super) sort: Option<String>,
    /// Most rows [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// All rows
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Listing {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { self.format }
    }

    pub(super) fn limit(&self) -> u64 {
        if self.all { u64::MAX } else { self.limit.unwrap_or(ROWS) }
    }

    /// The number of rows was asked for.
    pub(super) fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }
}

#[derive(Debug, Args)]
pub(super) struct Showing {
    /// JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cert {
    /// List the node's own certificates and those it trusts
    List(Listing),
    /// Print one of the node's own certificates
    Export {
        /// Which one
        #[arg(long)]
        name: OwnName,
        /// Form
        #[arg(long, default_value = "pem")]
        format: Format,
    },
}

/// Own certificates that this version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnName {
    /// Call processing, RSA
    #[value(name = "CallManager")]
    CallManager,
    /// Call processing, EC
    #[value(name = "CallManager-EC")]
    CallManagerEc,
    /// Signs configuration files
    #[value(name = "TFTP")]
    Tftp,
}

impl OwnName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CallManager => "CallManager",
            Self::CallManagerEc => "CallManager-EC",
            Self::Tftp => "TFTP",
        }
    }
}

/// Form of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text (RFC 7468)
    Pem,
    /// Bytes
    Der,
}
