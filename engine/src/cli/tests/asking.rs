//! Questions, and secrets on stdin.

use super::*;

fn made() -> TempDir {
    let data = folder();
    std::fs::write(data.path().join(crate::admin::TOKEN_FILE), "x").unwrap();
    data
}

#[test]
fn deletion_asks_somebody_and_names_the_phones() {
    let data = made();
    let line = ["profile", "delete", "Digest/one"];
    for (answer, code) in [("y\n", DONE), ("Yes\n", DONE), ("n\n", FAILED), ("\n", FAILED), ("", FAILED)] {
        let outcome = typed(data.path(), &line, answer, true);
        assert_eq!(outcome.code, code, "{answer:?}: {}", outcome.err);
        assert!(outcome.err.contains("delete security profile \"Digest/one\"? 1 phone is concerned. [y/N]"));
        assert_eq!(outcome.out.is_empty(), code == FAILED, "{answer:?}");
    }
    let lines = typed(data.path(), &["line", "delete", "1000", "1001"], "n\n", true);
    assert!(lines.err.contains("delete 2 lines? 2 phones are concerned."), "{}", lines.err);
    let phones = typed(data.path(), &["phone", "delete", "SEPFFFFFFFFFFFF"], "n\n", true);
    assert!(phones.err.contains("delete phone \"SEPFFFFFFFFFFFF\"? 1 phone is concerned."), "{}", phones.err);
    // Who names nothing is not asked.
    typed(data.path(), &["phone", "delete", "SEP1"], "y\n", true).assert_refused(&["no phone", "SEP1"]);
}

#[test]
fn where_nobody_can_be_asked_yes_is_needed_and_nothing_is_opened() {
    let data = made();
    for line in [
        &["phone", "delete", "SEPFFFFFFFFFFFF"][..],
        &["parameter", "delete", "no_answer_s"],
        &["enterprise", "delete"],
        &["token", "revoke", "--name", "x"],
    ] {
        let outcome = typed(data.path(), line, "y\n", false);
        assert_eq!(outcome.code, USAGE, "{line:?}");
        assert!(outcome.err.contains("--yes") && outcome.asked.is_empty(), "{line:?}: {}", outcome.err);
        let sure = [line, &["--yes"]].concat();
        assert_ne!(typed(data.path(), &sure, "", false).code, USAGE, "{sure:?}");
    }
    let dry = typed(data.path(), &["phone", "delete", "SEPFFFFFFFFFFFF", "--dry-run"], "", false);
    assert_eq!(dry.code, DONE, "{}", dry.err);
}

#[test]
fn a_secret_is_asked_for_twice_and_never_told() {
    let data = made();
    let line = ["user", "set", "user1", "--ask-secret"];
    for terminal in [false, true] {
        let good = typed(data.path(), &line, "Secret9\nSecret9\n", terminal);
        assert_eq!(good.code, DONE, "{}", good.err);
        let differ = typed(data.path(), &line, "Secret9\nSecret8\n", terminal);
        assert_eq!(differ.code, FAILED);
        assert!(differ.err.contains("differ"), "{}", differ.err);
        for outcome in [good, differ] {
            assert!(!format!("{}{}", outcome.text(), outcome.err).contains("Secret"));
        }
    }
    let asked = typed(data.path(), &line, "Secret9\nSecret9\n", true);
    assert!(asked.err.contains("digest_credentials: ") && asked.err.contains("again: "), "{}", asked.err);
    let none = typed(data.path(), &["line", "set", "1000", "--ask-secret"], "a\na\n", false);
    assert_eq!(none.code, USAGE, "{}", none.err);
}
