//! What is typed, what comes out, and the exit code; node and store are made up.

mod asking;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use keyline_actors::catalog::{ChangeError, ChangeRequest, Changed};
use tempfile::TempDir;

use super::*;
use crate::admin::tests::fake::{ROWS, controlled};
use crate::admin::views::{ImportDone, ImportRefused, RowRefusal};
use crate::admin::{OfflineApi, Problem, Reading};
use crate::config::Config;

/// Remembers what it was asked for.
#[derive(Default)]
struct Fake {
    asked: RefCell<Vec<String>>,
}

struct Store {
    data: PathBuf,
}

impl Backend for Fake {
    fn serve(&self, config: Config) -> Result<(), Failure> {
        self.asked.borrow_mut().push(format!("serve {}", config.node.data_dir.display()));
        Err(Failure::Refused("the port is taken".to_owned()))
    }

    fn open(&self, config: &Config) -> Result<Box<dyn OfflineApi>, Failure> {
        self.asked.borrow_mut().push("open".to_owned());
        Ok(Box::new(Store { data: config.node.data_dir.clone() }))
    }

    fn restore(&self, _: &Config, file: &Path) -> Result<u64, Failure> {
        Err(Failure::Refused(format!("{} is no backup", file.display())))
    }
}

impl OfflineApi for Store {
    fn backup(&self, out: &mut dyn Write) -> Result<(), String> {
        out.write_all(b"no backup").map_err(|e| e.to_string())
    }

    fn import(&mut self, file: &Path) -> Result<ImportDone, ImportRefused> {
        let text = std::fs::read_to_string(file).unwrap();
        let wrong = |row| RowRefusal { row, reason: "phone: two\nlines".to_owned(), code: "bad".to_owned() };
        match text.as_str() {
            "bad" => Err(ImportRefused::Rows { errors: (1..=30).map(wrong).collect(), more: 5 }),
            "locked" => Err(ImportRefused::Failed { code: "locked".to_owned(), reason: "held".to_owned() }),
            _ => Ok(ImportDone { rows: text.lines().count(), changed: 0, warnings: Vec::new() }),
        }
    }

    fn export(&self, out: &mut dyn Write) -> Result<(), String> {
        writeln!(out, "{}", self.data.display()).map_err(|e| e.to_string())
    }

    fn tokens(&self) -> Vec<keyline_actors::board::Token> {
        Vec::new()
    }

    fn change_token(
        &mut self,
        change: keyline_actors::catalog::TokenChange,
    ) -> Result<(), keyline_actors::catalog::TokenRefused> {
        match change {
            keyline_actors::catalog::TokenChange::Create(_) => Ok(()),
            keyline_actors::catalog::TokenChange::Revoke(name) => {
                Err(keyline_actors::catalog::TokenRefused::Unknown(name))
            }
        }
    }

    fn audit(&self) -> keyline_actors::audit::AuditReader {
        keyline_actors::audit::AuditReader::of(Vec::new())
    }

    fn change(&mut self, request: ChangeRequest) -> Result<Changed, ChangeError> {
        let step = request.steps.first().ok_or(ChangeError::Steps(0))?;
        let (kind, name) = step.subject();
        let name = name.unwrap_or_default().to_owned();
        Ok(Changed { kind, name, before: None, after: None, etag: None, warnings: Vec::new(), impact: None })
    }

    fn own(&mut self, name: &str, _: &crate::pki::own::Asked, _: bool) -> Result<serde_json::Value, Problem> {
        Ok(
            serde_json::json!({ "name": name, "csr": "request\n", "changed": false, "after": {}, "warnings": [] }),
        )
    }

    fn read(&self, read: Reading) -> Result<serde_json::Value, Problem> {
        let (inventory, find) = (crate::admin::tests::fake::inventory(), crate::admin::tests::fake::index());
        let etag = |_, _: &str| Some("\"tag\"".to_owned());
        read(&crate::admin::lists::World { inventory, find, live: None, own: &[], etag: &etag })
    }

    fn certificate(&self, name: &str) -> Option<String> {
        (name == "TFTP").then(|| rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem())
    }
}

struct Outcome {
    code: u8,
    out: Vec<u8>,
    err: String,
    asked: Vec<String>,
}

impl Outcome {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Failed with one line that has all of `parts`.
    #[track_caller]
    fn assert_refused(&self, parts: &[&str]) {
        assert_eq!(self.code, FAILED, "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.out.is_empty());
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
    }
}

/// Runs a command line on a data directory of its own.
fn keyline(data: &Path, line: &[&str]) -> Outcome {
    typed(data, line, "", false)
}

/// The same, with something on stdin, which may be a terminal.
fn typed(data: &Path, line: &[&str], input: &str, terminal: bool) -> Outcome {
    let fake = Fake::default();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut typed: Vec<OsString> = vec!["keyline".into()];
    typed.extend(line.iter().map(Into::into));
    typed.extend(["--data".into(), data.into()]);
    let mut input = input.as_bytes();
    let world = &mut World {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        terminal,
        env: &|_| None,
        backend: &fake,
    };
    let code = run(typed, world);
    Outcome { code, out, err: String::from_utf8(err).unwrap(), asked: fake.asked.take() }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_command_line_is_put_together_rightly() {
    Arguments::command().debug_assert();
}

#[test]
fn what_is_not_understood_is_usage() {
    let data = folder();
    for wrong in [
        &[][..],
        &["nonsense"],
        &["serve", "now"],
        &["import"],
        &["import", "a", "b"],
        &["export", "--secrets"],
        &["explain"],
        &["explain", "call"],
        &["cert", "export"],
        &["cert", "export", "--name", "CAPF"],
        &["cert", "export", "--name", "TFTP", "--format", "p12"],
        &["serve", "--port", "1"],
    ] {
        let outcome = keyline(data.path(), wrong);
        assert_eq!(outcome.code, USAGE, "{wrong:?}");
        assert!(outcome.out.is_empty() && !outcome.err.is_empty() && outcome.asked.is_empty(), "{wrong:?}");
    }
}

#[test]
fn help_and_version_are_results() {
    for line in [&["--version"][..], &["--help"], &["serve", "--help"], &["explain", "call", "--help"]] {
        let outcome = keyline(folder().path(), line);
        assert_eq!((outcome.code, outcome.err.as_str()), (DONE, ""), "{line:?}");
    }
    let version = keyline(folder().path(), &["--version"]);
    assert_eq!(version.text(), format!("keyline {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_takes_the_configuration_in_front_or_behind() {
    let data = folder();
    let file = data.path().join("k.toml");
    std::fs::write(&file, "[node]\ndata_dir = \"elsewhere\"\n").unwrap();
    let file = file.to_str().unwrap();
    for line in [
        &["--config", file, "check-config"][..],
        &["check-config", "--config", file],
        &["export", "--config", file],
        &["init", "--config", file],
        &["cert", "export", "--name", "TFTP", "--config", file],
    ] {
        assert_eq!(keyline(data.path(), line).code, DONE, "{line:?}");
    }
    let serve = keyline(data.path(), &["serve", "--config", file]);
    assert_eq!(serve.asked, [format!("serve {}", data.path().display())]);
    serve.assert_refused(&["keyline: the port is taken"]);
}

#[test]
fn a_wrong_configuration_stops_every_command_with_a_line_for_each_problem() {
    let data = folder();
    let file = data.path().join("k.toml");
    std::fs::write(&file, "[node]\nnmae = \"x\"\n[shards]\ncount = 0\n").unwrap();
    for command in ["serve", "init", "check-config", "export", "calls", "registrations"] {
        let outcome = keyline(data.path(), &[command, "--config", file.to_str().unwrap()]);
        assert_eq!((outcome.code, outcome.err.lines().count()), (FAILED, 2), "{}", outcome.err);
        assert!(outcome.err.contains("k.toml:2") && outcome.err.contains("k.toml:4"), "{}", outcome.err);
        assert!(outcome.asked.is_empty());
    }
    keyline(data.path(), &["serve", "--config", "/nowhere/k.toml"]).assert_refused(&["/nowhere/k.toml"]);
}

#[test]
fn check_config_says_what_would_be_done() {
    let outcome = keyline(Path::new("/some/place"), &["check-config"]);
    assert_eq!(outcome.code, DONE);
    assert!(outcome.text().contains("/some/place") && outcome.text().contains("sip_udp 127.0.0.1:5060"));
    assert_eq!(outcome.text().lines().count(), 1);
    assert!(outcome.err.lines().all(|line| line.starts_with("keyline: warning: ")));
    assert!(outcome.asked.is_empty());
}

#[test]
fn without_a_node_the_store_is_opened() {
    let data = folder();
    let file = data.path().join("i.ndjson");
    let file = file.to_str().unwrap();
    std::fs::write(file, "a\nb\n").unwrap();
    let outcome = keyline(data.path(), &["import", file]);
    assert_eq!((outcome.code, outcome.text()), (DONE, "imported 2 rows, 0 changed\n"));
    assert_eq!(outcome.asked, ["open"]);
    assert_eq!(keyline(data.path(), &["export"]).text(), format!("{}\n", data.path().display()));
    let pem = keyline(data.path(), &["cert", "export", "--name", "TFTP"]);
    assert!(pem.text().starts_with("-----BEGIN CERTIFICATE-----"));
    let der = keyline(data.path(), &["cert", "export", "--name", "TFTP", "--format", "der"]);
    assert_eq!(der.out[0], 0x30);
    keyline(data.path(), &["cert", "export", "--name", "CallManager"])
        .assert_refused(&["CallManager", "keyline init"]);
    let init = keyline(data.path(), &["init"]);
    assert!(init.text().contains("admin.token") && init.asked == ["open"]);
}

#[test]
fn refused_rows_are_named_by_number_and_the_rest_counted() {
    let data = folder();
    let file = data.path().join("i.ndjson");
    std::fs::write(&file, "bad").unwrap();
    let outcome = keyline(data.path(), &["import", file.to_str().unwrap()]);
    assert_eq!((outcome.code, outcome.out.len()), (FAILED, 0));
    let lines: Vec<_> = outcome.err.lines().collect();
    assert_eq!(lines.len(), 21);
    assert!(lines[1].ends_with("i.ndjson:2: phone: two lines (bad)"), "{}", lines[1]);
    assert!(lines[20].contains("35 of the rows are wrong") && lines[20].contains("15 more"), "{}", lines[20]);
    std::fs::write(&file, "locked").unwrap();
    keyline(data.path(), &["import", file.to_str().unwrap()]).assert_refused(&["held (locked)"]);
    let missing = keyline(data.path(), &["import", "/nowhere/i.ndjson"]);
    missing.assert_refused(&["/nowhere/i.ndjson"]);
    assert!(missing.asked.is_empty());
}

#[test]
fn secrets_are_not_exported_yet() {
    let outcome = keyline(folder().path(), &["export", "--secrets", "file"]);
    outcome.assert_refused(&["not available yet"]);
    assert!(outcome.asked.is_empty());
}

#[test]
fn what_only_a_node_knows_needs_one() {
    let data = folder();
    for line in [&["calls"][..], &["registrations"], &["explain", "call", "1"]] {
        let outcome = keyline(data.path(), line);
        outcome.assert_refused(&["no node runs on", "keyline serve"]);
        assert!(outcome.asked.is_empty());
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn a_running_node_is_asked_instead_of_the_store() {
    let data = folder();
    let node = controlled(data.path());
    let file = data.path().join("i.ndjson");
    let file = file.to_str().unwrap();
    std::fs::write(file, "a\nb\nc\n").unwrap();
    let outcome = keyline(data.path(), &["import", file]);
    assert_eq!((outcome.code, outcome.text()), (DONE, "imported 3 rows, 1 changed\n"));
    assert!(outcome.err.contains("warning: set it to mixed (cluster_non_secure, 1 row: SEP000000000001)"));
    assert!(outcome.asked.is_empty());
    std::fs::write(file, "bad").unwrap();
    let refused = keyline(data.path(), &["import", file]);
    assert_eq!((refused.code, refused.err.lines().count()), (FAILED, 2));
    assert!(refused.err.contains(":2: phone: no field `name` (missing_field)"), "{}", refused.err);
    assert!(refused.err.contains("2 of the rows are wrong") && refused.err.contains("1 more"));
    std::fs::write(file, "locked").unwrap();
    keyline(data.path(), &["import", file]).assert_refused(&["the store took no write"]);

    let export = keyline(data.path(), &["export"]);
    assert_eq!((export.code, export.text().lines().count()), (DONE, 100_000));
    let init = keyline(data.path(), &["init"]);
    assert!(init.code == DONE && init.asked.is_empty());
    let der = keyline(data.path(), &["cert", "export", "--name", "CallManager", "--format", "der"]);
    assert_eq!((der.code, der.out[0]), (DONE, 0x30));
    keyline(data.path(), &["cert", "export", "--name", "TFTP"]).assert_refused(&["TFTP"]);
    node.stop();
}

#[test]
fn listings_show_every_row_once_as_table_or_as_lines_of_json() {
    let data = folder();
    let node = controlled(data.path());
    let table = keyline(data.path(), &["registrations"]);
    assert_eq!((table.code, table.text().lines().count()), (DONE, ROWS + 1));
    assert!(table.text().starts_with("DEVICE"));
    let json = keyline(data.path(), &["registrations", "--json"]);
    for row in json.text().lines() {
        serde_json::from_str::<serde_json::Value>(row).unwrap();
    }
    assert_eq!(json.text().lines().count(), ROWS);
    let calls = keyline(data.path(), &["calls"]);
    assert!(
        calls
            .text()
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("07.0.1  1970-01-01T00:00:00.000Z  SEP000000000001  1002    encrypted")
    );
    node.stop();
}

#[test]
fn a_call_is_explained_and_an_unknown_one_refused() {
    let data = folder();
    let node = controlled(data.path());
    let known = keyline(data.path(), &["explain", "call", "07/0 1"]);
    assert!(known.text().starts_with("call 07/0 1: non_secure, icon none"), "{}", known.text());
    keyline(data.path(), &["explain", "call", "../../ready"]).assert_refused(&["../../ready"]);
    node.stop();
}

/// A reader that has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let data = folder();
    for running in [false, true] {
        let node = running.then(|| controlled(data.path()));
        let mut err = Vec::new();
        let typed = ["keyline".into(), "export".into(), "--data".into(), data.path().into()];
        let fake = Fake::default();
        let world = &mut World {
            out: &mut Gone,
            err: &mut err,
            input: &mut io::empty(),
            terminal: false,
            env: &|_| None,
            backend: &fake,
        };
        let code = run(typed, world);
        assert_eq!((code, err.len()), (DONE, 0), "{running}");
        drop(node);
    }
}

#[test]
fn without_a_node_lists_are_read_from_the_store_and_an_empty_folder_stays_empty() {
    let data = folder();
    keyline(data.path(), &["phone", "list"]).assert_refused(&["holds no data", "keyline init"]);
    std::fs::write(data.path().join(crate::admin::TOKEN_FILE), "x").unwrap();
    let table = keyline(data.path(), &["phone", "list"]);
    assert_eq!((table.code, table.asked.as_slice()), (DONE, &["open".to_owned()][..]), "{}", table.err);
    assert_eq!(table.text().lines().count(), ROWS + 2);
    let line = table.text().lines().nth(1).unwrap();
    assert!(line.starts_with("SEP000000000000  1000"), "{line}");
    let few = keyline(data.path(), &["phone", "list", "--limit", "3", "--format", "csv", "--sort", "-name"]);
    assert_eq!(few.text().lines().count(), 4);
    assert!(
        few.text()
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("SEPFFFFFFFFFFFF,,Cisco 8845,non_secure,,,Digest/one,")
    );
    for (line, rows) in [
        (&["user", "list", "--json"][..], ROWS),
        (&["user", "list", "--application", "--json"], 0),
        (&["line", "list", "--filter", "dn:begins:100", "--json"], 10),
        (&["phone", "list", "--filter", "name:contains:f", "--filter", "line:is_empty", "--json"], 1),
        (&["parameter", "list", "--filter", "name:is_exactly:no_answer_s", "--json"], 1),
        (&["profile", "list", "--filter", "predefined:is_exactly:false", "--json"], 1),
        (&["model", "list", "--filter", "name:is_exactly:cisco 8845", "--json"], 1),
        (&["cert", "list", "--json"], 0),
    ] {
        let outcome = keyline(data.path(), line);
        assert_eq!((outcome.code, outcome.text().lines().count()), (DONE, rows), "{line:?} {}", outcome.err);
    }
    let shown = keyline(data.path(), &["phone", "show", "SEPFFFFFFFFFFFF"]);
    assert!(shown.text().contains("security_profile") && shown.text().contains("common_phone_profile"));
    let json = keyline(data.path(), &["profile", "show", "Digest/one", "--json"]);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&json.out).unwrap()["digest_authentication"],
        true
    );
}

#[test]
fn what_is_asked_wrongly_is_refused_by_store_and_node_alike() {
    let data = folder();
    std::fs::write(data.path().join(crate::admin::TOKEN_FILE), "x").unwrap();
    for running in [false, true] {
        let node = running.then(|| controlled(data.path()));
        keyline(data.path(), &["phone", "show", "SEP1"]).assert_refused(&["no phone", "SEP1"]);
        keyline(data.path(), &["phone", "list", "--filter", "nme:begins:x"]).assert_refused(&["nme", "name"]);
        keyline(data.path(), &["phone", "list", "--sort", "digest_user"]).assert_refused(&["sorted by"]);
        drop(node);
    }
}

#[test]
fn a_node_that_is_asked_says_when_there_is_more() {
    let data = folder();
    let node = controlled(data.path());
    let first = keyline(data.path(), &["phone", "list", "--limit", "5"]);
    assert_eq!((first.text().lines().count(), first.err.as_str()), (6, ""));
    let one = keyline(data.path(), &["call", "show", "07.0.1"]);
    assert!(one.text().contains("caller   SEP000000000001"), "{}", one.text());
    keyline(data.path(), &["call", "show", "none"]).assert_refused(&["neither in progress"]);
    let health = keyline(data.path(), &["health"]);
    assert!(health.code == DONE && health.text().contains("storage_ok"), "{}", health.err);
    node.stop();
}

#[test]
fn a_node_elsewhere_needs_https_a_token_and_its_certificate() {
    let data = folder();
    let token = data.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let token = token.to_str().unwrap();
    assert_eq!(keyline(data.path(), &["calls", "--url", "https://127.0.0.1:1"]).code, USAGE);
    assert_eq!(keyline(data.path(), &["calls", "--token-file", token]).code, USAGE);
    let without = keyline(data.path(), &["calls", "--url", "https://127.0.0.1:1", "--token-file", token]);
    without.assert_refused(&["--ca-file", "cert export"]);
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()).unwrap();
    let ca = ca.to_str().unwrap();
    for (url, part) in [("http://127.0.0.1:1", "https://"), ("https://127.0.0.1:1", "refused")] {
        let line = ["phone", "list", "--url", url, "--token-file", token, "--ca-file", ca];
        keyline(data.path(), &line).assert_refused(&["cannot ask", part]);
    }
    let line = ["export", "--url", "https://127.0.0.1:1", "--token-file", token, "--ca-file", ca];
    keyline(data.path(), &line).assert_refused(&["cannot ask", "refused"]);
}
