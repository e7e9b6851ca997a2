//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// List the calls in progress
    Calls(Listing),
    /// List the phones that are registered
    Registrations(Listing),
    /// The node's own certificates
    #[command(subcommand)]
    Cert(Cert),
}

#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// Class of a call, its icon, and for every leg what holds it back and which setting is behind it
    Call {
        /// Id from `keyline calls`
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// One JSON object a line instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cert {
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
