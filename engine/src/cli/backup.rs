//! Backup and restore.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, World};
use crate::admin::control::Control;
use crate::config::{Config, Engine};
use crate::offline;

/// Writes a backup of the node's state, from the running node or from the store. The file appears under its name
/// only when it is whole, checked and on disk.
pub(super) fn backup(config: &Config, file: &Path, world: &mut World<'_>) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::Refused(format!(
            "{} exists; name another file or remove it first",
            file.display()
        )));
    }
    let mut young = Young::create(file)?;
    match Control::connect(&config.node.data_dir)? {
        Some(mut node) => node.copy("/backup", &mut young.file)?,
        None => {
            if !config.node.data_dir.join(crate::admin::TOKEN_FILE).exists() {
                return Err(Failure::Refused(format!(
                    "{} holds no data and no node runs on it: there is nothing to back up",
                    config.node.data_dir.display()
                )));
            }
            world.backend.open(config)?.backup(&mut young.file).map_err(Failure::Refused)?;
        }
    }
    young.file.sync_all().map_err(|e| unwritable(file, &e))?;
    let (rows, revision) = offline::check_backup(&young.path).map_err(Failure::Refused)?;
    young.keep(file)?;
    writeln!(
        world.out,
        "backed up {rows} rows at revision {revision} to {}; keep a copy of {} apart from it",
        file.display(),
        config.node.key_file.display()
    )
    .map_err(Failure::output)
}

/// Fills an empty data directory from a backup.
pub(super) fn restore(config: &Config, file: &Path, world: &mut World<'_>) -> Result<(), Failure> {
    let place = config.node.data_dir.display();
    if Control::connect(&config.node.data_dir)?.is_some() {
        return Err(Failure::Refused(format!(
            "a node runs on {place}; stop it and move its data away first"
        )));
    }
    if config.storage.engine == Engine::Memory {
        return Err(Failure::Refused(
            "storage.engine is memory, which keeps nothing: set \"rocksdb\"".to_owned(),
        ));
    }
    let rows = world.backend.restore(config, file)?;
    writeln!(world.out, "restored {rows} rows into {place}; start the node with `keyline serve`")
        .map_err(Failure::output)
}

/// A file that is removed again unless it is kept.
struct Young {
    path: PathBuf,
    file: File,
}

impl Young {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = target.with_file_name(name);
        // It holds sealed secrets and who calls whom: for the owner alone.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| unwritable(&path, &e))?;
        Ok(Self { path, file })
    }

    fn keep(self, target: &Path) -> Result<(), Failure> {
        fs::rename(&self.path, target).map_err(|e| unwritable(target, &e))?;
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| unwritable(target, &e))
    }
}

impl Drop for Young {
    fn drop(&mut self) {
        // After `keep` nothing bears that name.
        let _ = fs::remove_file(&self.path);
    }
}

fn unwritable(file: &Path, error: &io::Error) -> Failure {
    Failure::Refused(format!("cannot write {}: {error}", file.display()))
}
