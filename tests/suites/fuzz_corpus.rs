//! The kept corpus of the fuzz targets, replayed on the stable compiler: every input as it is, and with
//! mutations under a fixed seed. `make fuzz` searches; this keeps what was found from coming back.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

use keyline_tests::mutate::Dice;

/// Mutations of each input.
const MUTATIONS: usize = 200;

fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("an input")))
        .collect();
    inputs.sort();
    inputs
}

fn mutated(bytes: &[u8], others: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..dice.of(1..6) {
        let at = dice.of(0..out.len() + 1);
        match dice.of(0..6) {
            0 => out.insert(at, dice.roll() as u8),
            1 => out.truncate(at),
            2 => {
                let word =
                    *dice.pick(&["\r\n", " ", ";", ",", "\"", "<", ">", ":", "%", "\\", "\0", "é", "="]);
                out.splice(at..at, word.bytes());
            }
            3 => {
                // A piece of another input.
                let (_, other) = dice.pick(others);
                let from = dice.of(0..other.len() + 1);
                let to = dice.of(from..other.len() + 1);
                out.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let end = out.len().min(at + dice.of(1..40));
                out.drain(at..end);
            }
            _ => {
                if let Some(slot) = out.get_mut(at) {
                    *slot ^= 1 << dice.of(0..8);
                }
            }
        }
    }
    out
}

fn replay(target: &str, more: &[&str], run: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = inputs(&root.join("fuzz/corpus").join(target));
    for fixtures in more {
        all.extend(inputs(&root.join("fixtures").join(fixtures)));
    }
    assert!(all.len() >= 3, "{target}: the corpus is missing");
    let mut dice = Dice::new(0x5EED);
    for (name, bytes) in &all {
        attempt(target, name, bytes, run);
        for _ in 0..MUTATIONS {
            attempt(target, name, &mutated(bytes, &all, &mut dice), run);
        }
    }
}

/// Shows the input of a failure in a form that can be kept.
fn attempt(target: &str, name: &str, bytes: &[u8], run: fn(&[u8])) {
    if let Err(panic) = std::panic::catch_unwind(|| run(bytes)) {
        eprintln!("{target}: from {name}: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn fuzz_corpus_of_messages() {
    replay("message", &["rfc4475", "rfc5118"], targets::message);
}

#[test]
fn fuzz_corpus_of_uris() {
    replay("uri", &[], targets::uri);
}

#[test]
fn fuzz_corpus_of_credentials_and_challenges() {
    replay("auth", &[], targets::auth);
}

#[test]
fn fuzz_corpus_of_session_descriptions() {
    replay("sdp", &[], targets::sdp);
}

#[test]
fn fuzz_corpus_of_streams() {
    replay("stream", &["rfc4475"], targets::stream);
}
