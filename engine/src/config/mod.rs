//! `keyline.toml`: what an operator sets for one node (design §6).
//!
//! Three steps: the *raw* form is the file, the environment and the command line, every value with
//! its place; the *checked* form, [`Config`], has only values that are right; whatever is wrong is
//! reported at once, one line each ([`ConfigError`]). Nothing here opens a socket or a store.

mod check;
mod error;
mod keys;
mod listen;
mod oauth;
mod raw;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, Origin, Problem};
pub use listen::{Listen, Listener, Socket};
pub use oauth::{KeySource, Oauth};

use crate::limits::Limits;

/// The file that is read if no other is named; it may be absent then.
pub const DEFAULT_FILE: &str = "keyline.toml";

/// Data folder if none is named, beside the file.
pub const DEFAULT_DATA_DIR: &str = "keyline-data";

/// The variable that sets the administrator's token at the first initialisation.
pub const ADMIN_TOKEN_VARIABLE: &str = "KEYLINE_ADMIN_TOKEN";

/// Largest keyline.toml, in bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// Everything a node is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that was read; none if there is none.
    pub file: Option<PathBuf>,
    /// `[node]`.
    pub node: Node,
    /// `[listen]`.
    pub listen: Listen,
    /// `[shards] count`: shards of the node, 1 to 256; the number of cores if not set.
    pub shards: u16,
    /// `[storage]`.
    pub storage: Storage,
    /// `[tls]`.
    pub tls: Tls,
    /// `[websocket]`.
    pub websocket: Websocket,
    /// `[oauth]`.
    pub oauth: Oauth,
    /// `[limits]`.
    pub limits: Limits,
    /// Token of the administrator for the first initialisation, from `KEYLINE_ADMIN_TOKEN`.
    pub admin_token: Option<Secret>,
    /// What is allowed but will surprise somebody, one line each, for the log.
    pub warnings: Vec<String>,
}

/// `[node]`: who this node is and where its data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `name`: of the node among others and in its certificates.
    pub name: String,
    /// `data_dir`. A relative path counts from the folder of the file, on the command line and in
    /// the environment from the working directory.
    pub data_dir: PathBuf,
    /// `domain`: the SIP domain served, in lower case.
    pub domain: String,
    /// `aliases`: other host names served, in lower case. Bound addresses are served besides.
    pub aliases: Vec<String>,
    /// `key_file`: the key that seals secrets at rest; `node.key` in the data folder if not set.
    pub key_file: PathBuf,
    /// `drain_s`: seconds that calls get to end by themselves when the node is told to stop.
    pub drain_s: u64,
    /// `calls_at_stop`: what becomes of those that do not.
    pub calls_at_stop: CallsAtStop,
}

/// What becomes of calls that are up when the node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallsAtStop {
    /// They get `drain_s` to end, then a BYE.
    Release,
    /// They are not waited for and go on when the node is back: for a quick restart.
    Keep,
}

/// `[storage]`: where durable state goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// `engine`.
    pub engine: Engine,
    /// `durability`.
    pub durability: Durability,
}

/// A storage engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Nothing is kept: for trials only.
    Memory,
    /// One node, on disk.
    RocksDb,
}

/// What a committed change survives (design §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the power supply: synced before the answer.
    Power,
    /// The end of the process, kill -9 included: in the write-ahead log before the answer.
    Process,
}

/// `[tls]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls {
    /// `legacy`: TLS 1.0, 1.1 and static-RSA suites for old phones.
    pub legacy: bool,
}

/// `[websocket]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Websocket {
    /// `origins`: origins of the pages whose phones may connect, in lower case; `*` stands for all. Clients that
    /// name none are no browsers and always may.
    pub origins: Vec<String>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the configuration comes from. The command line beats the environment, which beats the
/// file.
pub struct Sources<'a> {
    /// `--config`: it must exist. Without it [`DEFAULT_FILE`] is read if it exists.
    pub file: Option<&'a Path>,
    /// `--data`: replaces `node.data_dir`.
    pub data: Option<&'a Path>,
    /// Looks up a variable; `std::env::var_os` outside tests.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Cores of the machine, for `[shards] count`.
    pub cores: usize,
}

impl Config {
    /// Reads and checks the configuration of a node.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let (path, must_exist) = match sources.file {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let text = raw::read(path, must_exist)?;
        let file = text.as_ref().map(|_| path);
        Self::from_text(file, text.as_deref().unwrap_or_default(), sources)
    }

    /// Checks the text of a file; `file` is its name for messages and relative paths.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn from_text(file: Option<&Path>, text: &str, sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let name = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut given = raw::parse(name, text, &mut problems);
        raw::overlay(&mut given, sources.env, &mut problems);
        let config = check::check(file, &given, sources, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }
}
