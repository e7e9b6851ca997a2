//! The file that holds the node key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{KEY_BYTES, NodeKey, SealError};

impl NodeKey {
    /// Reads a key file: 64 hex digits (white space around them allowed) or 32 raw bytes, mode 0600
    /// or stricter.
    ///
    /// # Errors
    /// [`SealError::KeyFileMissing`], [`SealError::KeyFileMode`], [`SealError::KeyFileForm`],
    /// [`SealError::KeyFile`].
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let failed = |source| failure("read", path, source);
        let mut file = File::open(path).map_err(failed)?;
        // Of the open file, so that nobody swaps it between look and read.
        let meta = file.metadata().map_err(failed)?;
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SealError::KeyFileMode { path: path.to_owned(), mode });
        }
        let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        (&mut file).take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content).map_err(failed)?;
        parse(&content)
            .map(Self::from_bytes)
            .ok_or_else(|| SealError::KeyFileForm { path: path.to_owned(), length: content.len() })
    }

    /// Reads a key file, or makes one with a random key, mode 0600, if there is none. To be used
    /// only where nothing was sealed yet; a node with sealed rows uses [`NodeKey::load`].
    ///
    /// # Errors
    /// As [`NodeKey::load`]; [`SealError::Random`].
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        match Self::load(path) {
            Err(SealError::KeyFileMissing { .. }) => {}
            other => return other,
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(|_| SealError::Random)?;
        match create(path, &key) {
            Ok(()) => Ok(Self::from_bytes(key)),
            // Another process was first: its key counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(failure("create", path, error)),
        }
    }
}

/// Writes a key file that is whole as soon as it has its name, and on the disk before it is used.
fn create(path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = folder.join(name);
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, fails if the name is taken.
        fs::hard_link(&aside, path)?;
        File::open(&folder)?.sync_all()
    })();
    // What stays behind after a crash here is harmless: nothing was sealed under it.
    let _ = fs::remove_file(&aside);
    made
}

fn parse(content: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if content.len() == KEY_BYTES {
        key.copy_from_slice(content);
        return Some(key);
    }
    let digits = content.trim_ascii();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(key)
}

fn failure(operation: &'static str, path: &Path, source: io::Error) -> SealError {
    if operation == "read" && source.kind() == io::ErrorKind::NotFound {
        return SealError::KeyFileMissing { path: path.to_owned() };
    }
    SealError::KeyFile { operation, path: path.to_owned(), source: Arc::new(source) }
}

/// More than any form of a key with some white space.
const FILE_BYTES_MAX: usize = 256;
