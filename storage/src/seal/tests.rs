use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn key(seed: u8) -> NodeKey {
    NodeKey::from_bytes(Zeroizing::new([seed; KEY_BYTES]))
}

proptest! {
    #[test]
    fn what_is_sealed_opens(secret in proptest::collection::vec(any::<u8>(), 0..200), row in proptest::collection::vec(any::<u8>(), 0..40)) {
        let sealed = key(1).seal(Table::Keys, &row, &secret).unwrap();
        let read = Sealed::from_bytes(sealed.as_bytes());
        prop_assert_eq!(&*key(1).open(Table::Keys, &row, &read).unwrap(), &secret);
    }

    #[test]
    fn any_changed_bit_is_noticed(place: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = key(1).seal(Table::Keys, b"row", b"hunter2").unwrap().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(key(1).open(Table::Keys, b"row", &Sealed::from_bytes(bytes)).is_err());
    }

    #[test]
    fn any_bytes_open_or_fail(bytes: Vec<u8>) {
        prop_assert!(key(1).open(Table::Keys, b"row", &Sealed::from_bytes(bytes)).is_err());
    }
}

#[test]
fn a_secret_is_neither_readable_nor_repeated() {
    let first = key(1).seal(Table::Keys, b"row", b"hunter2").unwrap();
    let second = key(1).seal(Table::Keys, b"row", b"hunter2").unwrap();
    assert_ne!(first, second);
    assert!(!first.as_bytes().windows(7).any(|window| window == b"hunter2"));
    assert_eq!(format!("{first:?}"), "Sealed(52 bytes)");
}

#[test]
fn a_secret_opens_only_in_its_row() {
    let sealed = key(1).seal(Table::Keys, b"row", b"hunter2").unwrap();
    for (table, row) in [(Table::Config, b"row".as_slice()), (Table::Keys, b"ro"), (Table::Keys, b"")] {
        let error = key(1).open(table, row, &sealed).unwrap_err();
        assert!(matches!(error, SealError::Damaged { .. }), "{error}");
    }
}

#[test]
fn another_node_key_is_named() {
    let sealed = key(1).seal(Table::Keys, b"row", b"hunter2").unwrap();
    let error = key(2).open(Table::Keys, b"row", &sealed).unwrap_err();
    assert!(
        matches!(error, SealError::WrongKey { sealed_by, given } if sealed_by == key(1).id() && given == key(2).id())
    );
    assert!(error.to_string().contains(&key(1).id().to_string()), "{error}");
    let later = Sealed::from_bytes(vec![FORM + 1; 60]);
    assert!(matches!(key(1).open(Table::Keys, b"row", &later), Err(SealError::Form { found: 2, .. })));
}

#[test]
fn a_secret_beyond_the_limit_is_refused() {
    assert!(key(1).seal(Table::Keys, b"row", &vec![0; SECRET_BYTES_MAX]).is_ok());
    let error = key(1).seal(Table::Keys, b"row", &vec![0; SECRET_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, SealError::TooLong { .. }));
}

fn refusal(path: &std::path::Path) -> SealError {
    match NodeKey::load(path) {
        Ok(_) => panic!("{} loaded", path.display()),
        Err(error) => error,
    }
}

#[test]
fn a_key_file_is_made_once_and_read_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("node.key");
    assert!(matches!(refusal(&path), SealError::KeyFileMissing { .. }));
    let made = NodeKey::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap().trim_end().len(), 64);
    assert_eq!(NodeKey::load_or_create(&path).unwrap().id(), made.id());
    let sealed = made.seal(Table::Keys, b"row", b"hunter2").unwrap();
    assert_eq!(&**NodeKey::load(&path).unwrap().open(Table::Keys, b"row", &sealed).unwrap(), b"hunter2");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let other = NodeKey::load_or_create(&folder.path().join("other.key")).unwrap();
    assert_ne!(other.id(), made.id());
    let lost = folder.path().join("no/such/folder/node.key");
    assert!(matches!(NodeKey::load_or_create(&lost), Err(SealError::KeyFile { operation: "create", .. })));
}

#[test]
fn a_key_file_has_a_form_and_a_mode() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("node.key");
    let write = |content: &[u8], mode: u32| {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(&[7; KEY_BYTES], 0o600);
    assert_eq!(NodeKey::load(&path).unwrap().id(), key(7).id());
    write(format!("  {}\n", "07".repeat(KEY_BYTES)).as_bytes(), 0o400);
    assert_eq!(NodeKey::load(&path).unwrap().id(), key(7).id());
    for mode in [0o640, 0o604, 0o660] {
        write(&[7; KEY_BYTES], mode);
        assert!(matches!(refusal(&path), SealError::KeyFileMode { mode: found, .. } if found == mode));
        assert!(matches!(NodeKey::load_or_create(&path), Err(SealError::KeyFileMode { .. })));
    }
    for content in [b"".as_slice(), &[7; 31], &[7; 33], "0g".repeat(KEY_BYTES).as_bytes(), &[b'0'; 1000]] {
        write(content, 0o600);
        assert!(matches!(refusal(&path), SealError::KeyFileForm { .. }));
    }
}
