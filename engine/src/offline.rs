//! A store that no node holds: first initialisation, import, export, certificates.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use keyline_actors::OpenError;
use keyline_actors::audit::AuditReader;
use keyline_actors::backup;
use keyline_actors::board::Token;
use keyline_actors::catalog::{
    ChangeError, ChangeRequest, Changed, FILE_MAX, ImportDone as Done, ImportError, Inspect, RevokedBy,
    TokenChange, TokenRefused,
};
use keyline_actors::keyring::{Own, OwnCertificates};
use keyline_actors::system::{self, Engine, OpenOptions, Opened};
use keyline_domain::audit::{COMMAND_LINE, Who};
use keyline_domain::impact::Chains;
use keyline_domain::impact::small_server_keys;
use keyline_domain::inventory::{CertificateFacts, CertificateRow};
use serde_json::Value;

use crate::admin::lists::World;
use crate::admin::own::{refusal, unknown};
use crate::admin::views::{ImportDone, ImportRefused, ImportWarning, RowRefusal};
use crate::admin::{AdminToken, Code, OfflineApi, Problem, Reading, TokenError};
use crate::config::{self, Config, Durability};
use crate::pki::authority::{self, AuthorityError, OwnCertificate};
use crate::pki::inspect;
use crate::pki::own::{Asked, Grounds, Site, decide};

/// Why a store cannot be used, one line.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The data directory cannot be made.
    #[error("cannot create the data directory {}: {source}; correct [node] data_dir or its permissions", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The admin token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The node's own certificates.
    #[error(transparent)]
    Certificates(#[from] AuthorityError),
    /// No randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
}

/// Reads certificates of inventory rows.
#[derive(Debug, Clone, Copy)]
pub struct PemInspector;

impl Inspect for PemInspector {
    fn inspect(&self, pem: &str) -> Result<CertificateFacts, String> {
        inspect::row_facts(pem).map_err(|e| e.to_string())
    }

    fn chains<'a>(&'a self, trusted: &[CertificateRow], revoked: RevokedBy<'_>) -> Chains<'a> {
        crate::tls::verify::judge_by(trusted, revoked)
    }
}

/// An opened store.
#[derive(Debug)]
pub struct Offline {
    pub(crate) opened: Opened,
    site: Site,
}

/// Opens the store of a configuration; initialises an empty data directory: node key, admin token, own
/// certificates.
///
/// # Errors
/// [`OfflineError`], one line.
pub fn open(config: &Config) -> Result<Offline, OfflineError> {
    let data = &config.node.data_dir;
    make_folder(data)?;
    let options = OpenOptions {
        node: config.node.name.clone(),
        data_dir: data.clone(),
        key_file: config.node.key_file.clone(),
        engine: match config.storage.engine {
            config::Engine::Memory => Engine::Memory,
            config::Engine::RocksDb => Engine::RocksDb,
        },
        power_safe: config.storage.durability == Durability::Power,
    };
    let opened = system::open(options, &PemInspector)?;
    if !data.join(crate::admin::TOKEN_FILE).exists() {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|e| OfflineError::Random(e.to_string()))?;
        AdminToken::create(data, config.admin_token.as_ref().map(config::Secret::expose), random)?;
    }
    let site = Site { node: config.node.name.clone(), hosts: hosts(config) };
    authority::ensure(&opened.keyring(), &site.node, &site.hosts)?;
    Ok(Offline { opened, site })
}

/// Names and addresses that the node's certificates bear.
pub fn hosts(config: &Config) -> Vec<String> {
    let mut hosts = vec![config.node.domain.clone()];
    hosts.extend(config.node.aliases.iter().cloned());
    hosts.extend(config.listen.bound().map(|(_, a)| a.ip().to_string()));
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|h| seen.insert(h.clone()));
    hosts
}

impl OfflineApi for Offline {
    fn import(&mut self, file: &Path) -> Result<ImportDone, ImportRefused> {
        let unreadable = |e: std::io::Error| ImportRefused::Failed {
            code: "file_unreadable".to_owned(),
            reason: format!("cannot read {}: {e}", file.display()),
        };
        let mut text = Vec::new();
        let source = fs::File::open(file).map_err(unreadable)?;
        source.take(FILE_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        self.opened.import(&text, &Who::local(COMMAND_LINE), &PemInspector).map(done).map_err(refused)
    }

    fn backup(&self, out: &mut dyn Write) -> Result<(), String> {
        self.opened.backup().write(out).map(|_| ()).map_err(|e| e.to_string())
    }

    fn export(&self, out: &mut dyn Write) -> Result<(), String> {
        for line in self.opened.catalog().export() {
            writeln!(out, "{line}").map_err(|e| e.to_string())?;
        }
        out.flush().map_err(|e| e.to_string())
    }

    fn certificate(&self, name: &str) -> Option<String> {
        self.opened.keyring().certificate(name).ok().flatten()
    }

    fn own(&mut self, name: &str, asked: &Asked, dry_run: bool) -> Result<Value, Problem> {
        let internal = |reason: String| Problem::new(Code::Internal, reason);
        let which = OwnCertificate::named(name).ok_or_else(|| unknown(name))?;
        let own = self.opened.keyring().own().map_err(|e| internal(e.to_string()))?;
        let present = own.get(which.name()).ok_or_else(|| unknown(name))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| internal(e.to_string()))?;
        let inventory = self.opened.catalog().inventory();
        let trusted: Vec<_> = inventory.all_certificates().cloned().collect();
        let grounds = Grounds {
            site: &self.site,
            trusted: &trusted,
            small_keys: &small_server_keys(inventory),
            now: keyline_actors::clock::now(),
            random,
        };
        let decided = decide(which, asked, present, &grounds).map_err(|e| refusal(&e))?;
        if let Some(change) = decided.change.filter(|_| !dry_run) {
            let who = Who::local(COMMAND_LINE);
            self.opened.change_own(&change, &who).map_err(|e| internal(e.to_string()))?;
        }
        Ok(decided.answer)
    }

    fn tokens(&self) -> Vec<Token> {
        self.opened.catalog().tokens().cloned().collect()
    }

    fn change_token(&mut self, change: TokenChange) -> Result<(), TokenRefused> {
        self.opened.change_token(change, &Who::local(COMMAND_LINE))
    }

    fn audit(&self) -> AuditReader {
        self.opened.audit()
    }

    fn change(&mut self, request: ChangeRequest) -> Result<Changed, ChangeError> {
        self.opened.change(&request, &PemInspector)
    }

    fn read(&self, read: Reading) -> Result<Value, Problem> {
        let own = self.opened.keyring().own().map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
        let catalog = self.opened.catalog();
        let etag = |kind, name: &str| catalog.etag(kind, name);
        let (inventory, find) = (catalog.inventory(), catalog.find());
        read(&World { inventory, find, live: None, own: &own_facts(&own), etag: &etag })
    }
}

/// Rows and revision of a whole backup.
///
/// # Errors
/// Why it cannot be used, on one line.
pub fn check_backup(file: &Path) -> Result<(u64, u64), String> {
    backup::check(file).map(|s| (s.rows, s.revision.0)).map_err(|e| e.to_string())
}

/// Fills the empty data directory of a configuration from a backup; the number of rows.
///
/// # Errors
/// Why nothing was restored, on one line.
pub fn restore(config: &Config, file: &Path) -> Result<u64, String> {
    make_folder(&config.node.data_dir).map_err(|e| e.to_string())?;
    let summary =
        backup::restore(file, &config.node.data_dir, &config.node.key_file).map_err(|e| e.to_string())?;
    Ok(summary.rows)
}

/// The data directory, for its owner alone: keys, tokens and sealed copies live there.
fn make_folder(data: &Path) -> Result<(), OfflineError> {
    let mut folder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder
        .recursive(true)
        .create(data)
        .map_err(|source| OfflineError::Folder { path: data.to_owned(), source })
}

/// What the node's own certificates say, by name.
pub fn own_facts(own: &OwnCertificates) -> Vec<(String, CertificateFacts)> {
    let facts = |own: &Own| inspect::row_facts(&own.material.certificate_pem).ok();
    own.iter().filter_map(|(name, own)| Some((name.to_string(), facts(own)?))).collect()
}

/// What an import did, for operators.
pub fn done(done: Done) -> ImportDone {
    ImportDone {
        rows: done.rows,
        changed: done.written,
        warnings: done
            .warnings
            .into_iter()
            .map(|(code, text, count, line)| ImportWarning {
                code: code.to_owned(),
                text: text.to_owned(),
                count,
                examples: vec![format!("line {line}")],
            })
            .collect(),
    }
}

/// Why an import was refused, for operators.
pub fn refused(error: ImportError) -> ImportRefused {
    let failed = |code: &str, reason: String| ImportRefused::Failed { code: code.to_owned(), reason };
    match error {
        ImportError::Rows { faults, more } => ImportRefused::Rows {
            errors: faults
                .into_iter()
                .map(|f| RowRefusal { row: f.row, reason: f.reason, code: f.code.to_owned() })
                .collect(),
            more,
        },
        ImportError::TooLarge { .. } => failed("file_too_large", error.to_string()),
        ImportError::NotText(_) => failed("file_not_text", error.to_string()),
        ImportError::Store(_) | ImportError::Copy { .. } | ImportError::CopyDamaged { .. } => {
            failed("storage_failed", error.to_string())
        }
        ImportError::Internal(_) => failed("internal", error.to_string()),
    }
}
