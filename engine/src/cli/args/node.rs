//! What only a node or its data directory has: tokens, traces, calls, own certificates.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use keyline_actors::board::Role;

use super::forms::{Listing, Showing};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Token {
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
    /// Show one, without its text
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Showing,
    },
    /// Void one, at once
    Revoke {
        /// Its name
        #[arg(long)]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Oauth {
    /// Issue a token and print it: whoever has it is the phone until it ends
    Issue {
        /// The phone that it is for
        #[arg(long, required_unless_present = "user", conflicts_with = "user")]
        phone: Option<String>,
        /// The user whose phones it is for
        #[arg(long)]
        user: Option<String>,
        /// A line that it is for; several times for several [default: all of the phone's]
        #[arg(long = "line", value_name = "DN")]
        lines: Vec<String>,
        /// When it ends: a number with s, m, h or d [default: oauth.token_s]
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        expires: Option<u64>,
        /// The whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the issuer's public keys (JSON Web Key Set)
    Keys,
    /// Sign with another key from now on; tokens of the present key are still taken until the next rotation
    Rotate {
        /// Do not ask
        #[arg(long)]
        yes: bool,
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
pub(in crate::cli) enum Trace {
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
pub(in crate::cli) struct Tracing {
    /// Whole messages instead of their first lines
    #[arg(long)]
    pub(in crate::cli) full: bool,
    /// One JSON object a message
    #[arg(long, conflicts_with = "full")]
    pub(in crate::cli) json: bool,
    /// Write the messages to a file too, for Wireshark and its like (pcapng)
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) pcap: Option<PathBuf>,
    /// Send the messages to a capture server too (HEPv3 over UDP)
    #[arg(long, value_name = "HOST:PORT")]
    pub(in crate::cli) hep: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(in crate::cli) seconds: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Call {
    /// Show one
    Show {
        /// Id from `keyline calls`
        id: String,
        #[command(flatten)]
        form: Showing,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Explain {
    /// Class of a call, its icon, and for every leg what holds it back and which setting is behind it
    Call {
        /// Id from `keyline calls`
        id: String,
    },
}

/// Own certificates that this version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OwnName {
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
    pub(in crate::cli) fn as_str(self) -> &'static str {
        match self {
            Self::CallManager => "CallManager",
            Self::CallManagerEc => "CallManager-EC",
            Self::Tftp => "TFTP",
        }
    }
}

/// Form of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Text (RFC 7468)
    Pem,
    /// Bytes
    Der,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Audit {
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
