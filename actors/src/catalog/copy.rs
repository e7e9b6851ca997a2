//! The sealed copy of an import under DATA/import: what a start needs to finish one that was cut off.
//!
//! The text is sealed in pieces, each bound to its place and to the number of pieces, so that none can be
//! left out, repeated or moved.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use keyline_storage::Table;
use keyline_storage::seal::{NodeKey, Sealed};

use super::import::ImportError;

/// Bytes of one piece: below what one seal may hold.
const PIECE: usize = 60 * 1024;

/// Writes the copy and waits until it is on the disk.
pub(super) fn write(data: &Path, hash: &str, node_key: &NodeKey, text: &[u8]) -> Result<(), ImportError> {
    let path = path(data, hash);
    let fault = |source| ImportError::Copy { path: path.clone(), source };
    let folder = data.join("import");
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&folder).map_err(fault)?;
    let mut file = std::io::BufWriter::new(File::create(&path).map_err(fault)?);
    let pieces = text.len().div_ceil(PIECE);
    for (i, piece) in text.chunks(PIECE).enumerate() {
        let sealed = node_key
            .seal(Table::Intents, &place(i, pieces), piece)
            .map_err(|e| ImportError::Internal(e.to_string()))?;
        let bytes = sealed.as_bytes();
        let length = u32::try_from(bytes.len()).map_err(|e| ImportError::Internal(e.to_string()))?;
        file.write_all(&length.to_be_bytes()).and_then(|()| file.write_all(bytes)).map_err(fault)?;
    }
    let file = file.into_inner().map_err(|e| fault(e.into_error()))?;
    file.sync_all().map_err(fault)?;
    File::open(&folder).and_then(|d| d.sync_all()).map_err(fault)
}

/// Reads the copy back.
pub(super) fn read(data: &Path, hash: &str, node_key: &NodeKey) -> Result<Vec<u8>, ImportError> {
    let path = path(data, hash);
    let damaged = |reason: &str| ImportError::CopyDamaged { path: path.clone(), reason: reason.to_owned() };
    let bytes = fs::read(&path).map_err(|source| ImportError::Copy { path: path.clone(), source })?;
    let mut pieces = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it is cut short"))?;
        let length = u32::from_be_bytes(*length) as usize;
        if tail.len() < length {
            return Err(damaged("it is cut short"));
        }
        let (piece, tail) = tail.split_at(length);
        pieces.push(piece);
        rest = tail;
    }
    let mut text = Vec::with_capacity(bytes.len());
    for (i, piece) in pieces.iter().enumerate() {
        let open = node_key
            .open(Table::Intents, &place(i, pieces.len()), &Sealed::from_bytes(*piece))
            .map_err(|e| damaged(&e.to_string()))?;
        text.extend_from_slice(&open);
    }
    Ok(text)
}

/// Removes one copy; left behind it goes at the next start.
pub(super) fn remove(data: &Path, hash: &str) {
    let _ = fs::remove_file(path(data, hash));
}

/// Removes all copies: none was announced.
pub(super) fn remove_all(data: &Path) {
    if let Ok(entries) = fs::read_dir(data.join("import")) {
        for e in entries.flatten() {
            let _ = fs::remove_file(e.path());
        }
    }
}

fn place(piece: usize, pieces: usize) -> Vec<u8> {
    format!("import/{piece}/{pieces}").into_bytes()
}

fn path(data: &Path, hash: &str) -> PathBuf {
    // The hash comes back from storage: nothing but hexadecimal digits may become a file name.
    let name: String = hash.chars().filter(char::is_ascii_hexdigit).take(64).collect();
    data.join("import").join(format!("{name}.sealed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_any_size_comes_back_and_a_changed_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::load_or_create(&folder.path().join("node.key")).unwrap();
        for size in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 17] {
            let text: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            write(folder.path(), "ab", &key, &text).unwrap();
            assert_eq!(read(folder.path(), "ab", &key).unwrap(), text);
        }
        let file = path(folder.path(), "ab");
        let whole = fs::read(&file).unwrap();
        // The last piece is gone: the others say how many there were.
        let first = 4 + u32::from_be_bytes(*whole.first_chunk().unwrap()) as usize;
        fs::write(&file, &whole[..first]).unwrap();
        assert!(matches!(read(folder.path(), "ab", &key), Err(ImportError::CopyDamaged { .. })));
        let mut flipped = whole.clone();
        flipped[first + 30] ^= 1;
        fs::write(&file, &flipped).unwrap();
        assert!(matches!(read(folder.path(), "ab", &key), Err(ImportError::CopyDamaged { .. })));
    }
}
