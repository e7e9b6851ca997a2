//! What can be done with the objects of the configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::forms::{Fields, How, Listing, Showing};
use super::node::{Format, OwnName};

/// What every kind of object has.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Object {
    /// List them
    List(Listing),
    /// Show one with everything that is known of it
    Show(Show),
    /// Add a new one
    Add(Write),
    /// Change some fields; all others stay
    Set(Write),
    /// Put another one in its place; fields that are not given have their defaults again, secrets stay
    Replace(Write),
    /// Delete it, or several
    Delete(Delete),
}

/// Packages of phone models.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Package {
    /// List the installed ones
    List(Listing),
    /// Show one
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Showing,
    },
    /// Install a signed package, or a newer version of one; its signer must be trusted (purpose package-trust)
    Install {
        /// The package
        file: PathBuf,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the record of a package whose models are deleted
    Delete {
        /// Its name
        name: String,
    },
}

/// What facts have that nobody configures.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Known {
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

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// Its name
    pub(in crate::cli) name: String,
    /// Only its ETag as configured, for --if-match
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) etag: bool,
    #[command(flatten)]
    pub(in crate::cli) form: Showing,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Write {
    /// Its name
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) fields: Fields,
    #[command(flatten)]
    pub(in crate::cli) how: How,
}

/// Objects that others may name.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Named {
    #[command(flatten)]
    Object(Object),
    /// List what names it, and so keeps it from being deleted
    Dependencies(Dependencies),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Dependencies {
    /// Its name
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) form: Listing,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// Names
    #[arg(required_unless_present_any = ["filters", "all"], value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// All that fit: FIELD:PATTERN:TEXT as of `list`; at most 1000 at once
    #[arg(long = "filter", value_name = "FILTER", conflicts_with = "names")]
    pub(in crate::cli) filters: Vec<String>,
    /// All that can be deleted; at most 1000 at once
    #[arg(long, conflicts_with_all = ["names", "filters"])]
    pub(in crate::cli) all: bool,
    /// Do not ask
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) how: How,
}

/// Phones.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Phone {
    #[command(flatten)]
    Object(Object),
    /// Log a user in (Extension Mobility): his digest credentials take the place of the phone's own user's
    Login {
        /// Its name
        name: String,
        /// The end user
        user: String,
        #[command(flatten)]
        how: How,
    },
    /// Log out whoever is logged in
    Logout {
        /// Its name
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Change its CAPF settings and order: operation=install, authentication_string by --secret-file or --ask-secret;
    /// other settings than its profile's find or make another profile
    Capf(Write),
    /// Tell it to start anew, configuration included
    Reset(One),
    /// Tell it to register anew
    Restart(One),
    /// Tell it to fetch its configuration and apply it
    Apply(One),
    /// Show the way to a secure phone: what is done, what comes next, what waits for it
    Setup {
        /// Its name
        name: String,
        #[command(flatten)]
        form: Showing,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    /// Its name
    pub(in crate::cli) name: String,
}

/// Security profiles.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Profile {
    #[command(flatten)]
    Named(Named),
    /// Make a new one with the settings of this one, which may be predefined
    Copy {
        /// Name of the one to copy
        name: String,
        /// Name of the new one
        to: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        how: How,
    },
    /// Bring its saved version to its phones: each applies its configuration
    Apply(RollOut),
    /// Bring its saved version to its phones: each registers anew
    Restart(RollOut),
    /// Bring its saved version to its phones: each starts anew
    Reset(RollOut),
    /// Give it another name; its phones follow
    Rename {
        /// Its name now
        name: String,
        /// Its name afterwards
        to: String,
        #[command(flatten)]
        how: How,
    },
}

/// A roll-out that is asked for.
#[derive(Debug, Args)]
pub(in crate::cli) struct RollOut {
    /// The profile
    pub(in crate::cli) name: String,
    /// Most phones a second
    #[arg(long, value_name = "N")]
    pub(in crate::cli) per_second: Option<u32>,
    /// Stop by itself where so many percent of the phones failed
    #[arg(long, value_name = "N")]
    pub(in crate::cli) failed_percent: Option<u32>,
    /// Judge that only after so many phones
    #[arg(long, value_name = "N")]
    pub(in crate::cli) of_at_least: Option<u32>,
    /// Seconds in which a phone must be back
    #[arg(long, value_name = "N")]
    pub(in crate::cli) window_s: Option<u32>,
    /// Only these phones, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::cli) phones: Vec<String>,
    /// Only the phones that fit: FIELD:PATTERN:TEXT as of `phone list`
    #[arg(long = "filter", value_name = "FILTER", conflicts_with = "phones")]
    pub(in crate::cli) filters: Vec<String>,
    /// Say to how many phones it would go, and begin nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// The whole answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Stay until it has ended, with a line for each change; exit code 1 where it stops by itself or is stopped
    #[arg(long, conflicts_with = "dry_run")]
    pub(in crate::cli) wait: bool,
}

/// Roll-outs that there are.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RollOuts {
    /// List those that run, and the last ones that ended
    List(Listing),
    /// Show one with its counts and failures
    Show {
        /// Its number
        id: u64,
        #[command(flatten)]
        form: Showing,
    },
    /// Hold one where it is
    Pause {
        /// Its number
        id: u64,
    },
    /// Let one go on
    Resume {
        /// Its number
        id: u64,
    },
    /// Stay until one has ended, with a line for each change; exit code 1 where it stops by itself or is stopped
    Wait {
        /// Its number
        id: u64,
        /// Each change as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// End one; phones that it has not reached keep their version
    Stop {
        /// Its number
        id: u64,
    },
}

/// Users.
#[derive(Debug, Args)]
pub(in crate::cli) struct User {
    /// Application users instead of end users
    #[arg(long, global = true)]
    pub(in crate::cli) application: bool,
    #[command(subcommand)]
    pub(in crate::cli) what: Named,
}

/// Lines.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Line {
    #[command(flatten)]
    Named(Named),
    /// Set the messages that wait for it, so that its phones light their lamps
    Messages {
        /// Its number
        dn: String,
        /// New messages
        #[arg(long, value_name = "N")]
        new: u32,
        /// Old messages
        #[arg(long, value_name = "N", default_value_t = 0)]
        old: u32,
        /// New urgent messages, among the new ones
        #[arg(long, value_name = "N", default_value_t = 0)]
        urgent_new: u32,
        /// Old urgent messages, among the old ones
        #[arg(long, value_name = "N", default_value_t = 0)]
        urgent_old: u32,
    },
}

/// Cluster parameters: they are always there, so none is added.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Parameter {
    /// List them
    List(Listing),
    /// Show one with its range and help
    Show(Show),
    /// Give one a value
    Set {
        /// Its name; NAME@NODE for one node, where nodes may differ
        name: String,
        /// Its value; of a list, separated by commas
        value: String,
        #[command(flatten)]
        how: How,
    },
    /// Put one back to its default
    Delete(Delete),
}

/// The switches of all phones: there is one object.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Enterprise {
    /// Show them
    Show {
        /// Only the ETag, for --if-match
        #[arg(long, conflicts_with = "json")]
        etag: bool,
        #[command(flatten)]
        form: Showing,
    },
    /// Change some; all others stay
    Set {
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        how: How,
    },
    /// Change all; those that are not given are not set any more
    Replace {
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        how: How,
    },
    /// Set none any more
    Delete {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
}

/// Certificates.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Cert {
    /// List the node's own certificates and those it trusts
    List(Listing),
    /// Show one
    Show(Show),
    /// Trust one
    Add {
        /// What for: CallManager-trust, CAPF-trust, Phone-SAST-trust, vendor-trust or trunk-trust
        purpose: String,
        /// File with the certificate, PEM; - for stdin
        #[arg(long, value_name = "FILE")]
        pem: PathBuf,
        /// The phone that a vendor certificate belongs to
        #[arg(long, value_name = "NAME")]
        phone: Option<String>,
        /// Its subject, to be sure that it is the right one
        #[arg(long)]
        subject: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Change some fields of a trusted one, PURPOSE/FINGERPRINT
    Set(Write),
    /// Change all fields of a trusted one; those that are not given are gone
    Replace(Write),
    /// Trust one, or several, no longer: PURPOSE/FINGERPRINT
    Delete(Delete),
    /// Show the node's own certificates, or one with its chain
    Own {
        /// Which one
        name: Option<OwnName>,
        #[command(flatten)]
        form: Showing,
    },
    /// Print a certificate request for one of the node's own certificates, for an authority to sign
    Csr {
        /// Which one
        #[arg(long)]
        name: OwnName,
        /// For a new key, which waits until its certificate is installed; else for the key in force
        #[arg(long)]
        new_key: bool,
        /// Bits of a new RSA key
        #[arg(long, value_name = "BITS", requires = "new_key")]
        rsa_bits: Option<u32>,
    },
    /// Serve a certificate that an authority has signed; its root must be in CallManager-trust
    Install {
        /// Which one
        #[arg(long)]
        name: OwnName,
        /// File with the certificate and its chain, PEM; - for stdin
        #[arg(long, value_name = "FILE")]
        pem: PathBuf,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// The whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make one anew, self-signed with a new key: phones that trust the old one must learn it
    Regenerate {
        /// Which one
        #[arg(long)]
        name: OwnName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// The whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Carry an OCSP response for one of the node's own certificates along in handshakes, until its nextUpdate
    Staple {
        /// Which one
        #[arg(long)]
        name: OwnName,
        /// File with the response, DER
        #[arg(required_unless_present = "delete")]
        file: Option<PathBuf>,
        /// Carry none along
        #[arg(long, conflicts_with = "file")]
        delete: bool,
        /// Say whether it would be taken, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Revocation lists of the authorities that phones are verified against
    #[command(subcommand)]
    Crl(Crl),
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

/// Revocation lists.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Crl {
    /// List them
    List {
        #[command(flatten)]
        form: Showing,
    },
    /// Take one; it replaces the one of the same authority, and acts from the next handshake on
    Add {
        /// File with the list, PEM; - for stdin
        file: PathBuf,
        /// Say whose certificate would be refused, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take one away: what stands on it is believed again
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}
