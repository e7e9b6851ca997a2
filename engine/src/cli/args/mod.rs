//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod forms;
mod node;
mod nouns;

pub(in crate::cli) use forms::{Bulk, Fields, Form, How, Listing, Showing};
pub(in crate::cli) use node::{Audit, Call, Explain, Format, Oauth, OwnName, Token, Trace, Tracing};
pub(in crate::cli) use nouns::{
    Cert, Crl, Delete, Dependencies, Enterprise, Line, Named, Object, Parameter, Phone, Profile, RollOut,
    RollOuts, Show, User, Write,
};
pub(in crate::cli) use nouns::{Known, Package};

/// Keyline, a phone signaling engine.
#[derive(Debug, Parser)]
#[command(name = "keyline", version, subcommand_required = true, arg_required_else_help = false)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
}

/// Which node is meant.
#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    /// Configuration file [default: keyline.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Data directory, instead of the one in the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub(in crate::cli) data: Option<PathBuf>,
    /// Ask the admin API of another node: https://HOST:PORT
    #[arg(long, global = true, value_name = "URL", requires = "token_file")]
    pub(in crate::cli) url: Option<String>,
    /// File with the bearer token for --url
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(in crate::cli) token_file: Option<PathBuf>,
    /// Certificate that the node of --url must prove (PEM): what `keyline cert export --name CallManager` prints there
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(in crate::cli) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
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
    /// Phones: list, show, change them; tell one to reset, restart or apply its configuration
    #[command(subcommand)]
    Phone(Phone),
    /// Phone security profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Roll-outs of profiles that run or ran lately; `profile apply|restart|reset` begins one
    #[command(subcommand)]
    Rollout(RollOuts),
    /// End users, with --application application users, and their digest credentials
    User(User),
    /// Lines, their phones and their waiting messages
    #[command(subcommand)]
    Line(Line),
    /// Cluster parameters with their values
    #[command(subcommand)]
    Parameter(Parameter),
    /// Tokens of the admin API
    #[command(subcommand)]
    Token(Token),
    /// Bearer tokens with which phones register on the SIP OAuth port, from the node's own issuer
    #[command(subcommand)]
    Oauth(Oauth),
    /// Watch the signaling of a phone or a call as it happens, secrets masked
    #[command(subcommand)]
    Trace(Trace),
    /// Common phone profiles: switches that many phones share
    #[command(subcommand)]
    CommonProfile(Named),
    /// SIP realms: what answers the challenges of trunks' far ends
    #[command(subcommand)]
    SipRealm(Object),
    /// Trunk security profiles
    #[command(subcommand)]
    TrunkProfile(Object),
    /// Trunks
    #[command(subcommand)]
    Trunk(Object),
    /// Switches of all phones that neither the phone nor its common profile sets
    #[command(subcommand)]
    Enterprise(Enterprise),
    /// Phone models and their features
    #[command(subcommand)]
    Model(Named),
    /// Packages of preferred vendors' phone models
    #[command(subcommand)]
    Package(Package),
    /// Features of phone models, and which models have them
    #[command(subcommand)]
    Feature(Known),
    /// Gateway types and whether they are trusted
    #[command(subcommand)]
    Gateway(Known),
    /// Sets of hardening switches for many phones
    #[command(subcommand)]
    HardeningTemplate(Known),
    /// What security profiles and phones of a model may have: values, defaults, conditions
    Options {
        /// Phone model
        model: String,
        /// sip or sccp [default: what the model speaks]
        #[arg(long)]
        protocol: Option<String>,
        #[command(flatten)]
        form: Showing,
    },
    /// Help for the fields of every kind of object, or of one
    HelpText {
        /// The kind, as phone or security_profile
        kind: Option<String>,
        #[command(flatten)]
        form: Showing,
    },
    /// Do many changes, one a line of a file: {"op": "create", "kind": "line", "body": {"dn": "1001"}}; op is create,
    /// replace, merge, delete, rename or copy
    Bulk(Bulk),
    /// Who changed what, and whether the record of it is whole
    #[command(subcommand)]
    Audit(Audit),
    /// The node with its shards and their queues
    Nodes(Listing),
    /// Print the description of the admin API (OpenAPI 3.1)
    Openapi,
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Certificates: the node's own, and those it trusts
    #[command(subcommand)]
    Cert(Cert),
}
