//! Changes by the command line: the same words into a closed store, over the control socket and over HTTPS.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use keyline_tests::inventory::CISCO;
use keyline_tests::node::{Builder, Node};
use serde_json::Value;

/// How a command reaches the configuration.
enum Way {
    /// By the configuration file: the running node's control socket, else the store.
    Here,
    /// Over HTTPS, from a folder of its own.
    There { url: String, token: PathBuf, roots: PathBuf, folder: tempfile::TempDir },
}

struct Place {
    node: Node,
    way: Way,
}

impl Place {
    fn offline() -> Place {
        Place { node: Builder::new().prepare(), way: Way::Here }
    }

    fn socket() -> Place {
        Place { node: Builder::new().start(), way: Way::Here }
    }

    fn https() -> Place {
        let node = Builder::new().start();
        let (token, roots) = (node.data().join("admin.token"), node.folder().join("node.pem"));
        std::fs::write(&roots, node.server_certificates()).unwrap();
        let url = format!("https://{}", node.address("admin"));
        let folder = tempfile::tempdir().unwrap();
        Place { node, way: Way::There { url, token, roots, folder } }
    }

    fn command(&self, line: &[&str]) -> Command {
        match &self.way {
            Way::Here => self.node.command(line),
            Way::There { url, token, roots, folder } => {
                let mut command = Command::new(keyline_tests::node::binary());
                command.args(line).args(["--url", url, "--token-file"]).arg(token);
                command.arg("--ca-file").arg(roots).current_dir(folder.path()).stdin(Stdio::null());
                command
            }
        }
    }

    fn run(&self, line: &[&str], stdin: Option<&str>) -> Output {
        let mut command = self.command(line);
        let Some(text) = stdin else { return command.output().unwrap() };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses before it reads closes the pipe: no fault of this test.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Exit code, stdout and stderr of a command, as one text.
    fn told(&self, line: &[&str], stdin: Option<&str>) -> String {
        let out = self.run(line, stdin);
        format!(
            "$ keyline {}\n{}{}[{}]\n",
            line.join(" "),
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
            out.status.code().unwrap()
        )
    }

    fn done(&self, line: &[&str]) -> String {
        let out = self.run(line, None);
        assert_eq!(out.status.code(), Some(0), "{line:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// The exit code, with stderr.
    fn refused(&self, line: &[&str], stdin: Option<&str>) -> (i32, String) {
        let out = self.run(line, stdin);
        assert!(out.stdout.is_empty(), "{line:?}: {}", String::from_utf8_lossy(&out.stdout));
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    }

    fn export(&self) -> String {
        let out = self.node.run(&["export"]);
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    }
}

/// Two lines are right, one is not, one deletes.
const BULK: &str = r#"{"op":"create","kind":"line","body":{"dn":"3001"}}

{"op":"create","kind":"line","body":{"dn":"3002"}}
{"op":"create","kind":"line","body":{"dn":"3001"}}
{"op":"delete","kind":"line","name":"3002"}
{"op":"create","kind":"line","body":{"dn":"3003"}}
"#;

/// The second line cannot be done; without the last letter nothing can even be read.
const ATOMIC: &str = r#"{"op":"create","kind":"line","body":{"dn":"3009"}}
{"op":"delete","kind":"line","name":"1002"}
{"op":"create","kind":"line","body":{"dn":"3008"}}"#;

/// ETags are made with each node's own key.
fn without_tags(text: &str) -> String {
    let tag = |word: &&str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    text.split('"').filter(|word| !tag(word)).collect()
}

/// What is typed, and what stands on stdin. It uses every verb, and ends in a configuration with traces of all.
fn script() -> Vec<(Vec<&'static str>, Option<&'static str>)> {
    const PROFILE: [&str; 4] =
        ["model=Cisco 8845", "protocol=sip", "device_security_mode=authenticated", "transport=tls"];
    let mut script: Vec<(Vec<&str>, Option<&str>)> = Vec::new();
    let mut say = |line: &[&'static str], stdin| script.push((line.to_vec(), stdin));
    say(&["line", "add", "1001"], None);
    say(&["line", "add", "1002"], None);
    say(&["line", "add", "1001"], None);
    say(&["line", "add", "1009", "--idempotency-key", "k1"], None);
    say(&["line", "add", "1009", "--idempotency-key", "k1"], None);
    say(&["line", "add", "1008", "--idempotency-key", "k1"], None);
    say(&["line", "add", "1008", "--idempotency-key", "a b"], None);
    say(&["line", "delete", "1009", "--yes"], None);
    say(&[&["profile", "add", "Auth"][..], &PROFILE].concat(), None);
    say(&["profile", "copy", "Auth", "Enc", "device_security_mode=encrypted", "description=copied"], None);
    say(&["profile", "rename", "Enc", "Encrypted"], None);
    say(&["profile", "set", "Auth", "nonce_validity_s=60", "digest_authentication=true"], None);
    say(&["profile", "set", "Auth", "nonce_validity_s=soon"], None);
    say(&["user", "add", "alice", "--secret-file", "-"], Some("Secret1\n"));
    say(&["user", "add", "bob", "--ask-secret"], Some("Secret2\nSecret2\n"));
    say(&["user", "add", "carol", "--ask-secret"], Some("Secret2\nSecret3\n"));
    say(&["user", "add", "app", "--application", "digest_credentials=Secret4"], None);
    say(&["user", "add", "app", "digest_credentials=Secret4"], None);
    say(&["user", "set", "bob", "digest_credentials=not-alphanumeric"], None);
    say(&["common-profile", "add", "Lobby", "hardening.pc_port=disabled"], None);
    say(&["enterprise", "set", "hardening.web_access=disabled", "hardening.pc_port=enabled"], None);
    say(&["enterprise", "set", "hardening.pc_port="], None);
    let phone = ["model=Cisco 8845", "lines=1001,1002", "security_profile=Auth", "digest_user=alice"];
    say(&[&["phone", "add", "SEP000000000001"][..], &phone].concat(), None);
    say(
        &["phone", "add", "SEP000000000002", "--file", "-"],
        Some(r#"{"model":"Cisco 8845","lines":["1001"]}"#),
    );
    say(
        &[
            "phone",
            "set",
            "sep000000000002",
            "description=Lobby, left \"door\"",
            "hardening.web_access=enabled",
        ],
        None,
    );
    say(&["phone", "set", "SEP000000000002", "common_phone_profile=Lobby", "capf.operation=install"], None);
    say(&["phone", "set", "SEP000000000002", "common_phone_profile=Lobby"], None);
    say(&["phone", "capf", "SEP000000000002", "operation=install", "--secret-file", "-"], Some("1234\n"));
    say(&["phone", "login", "SEP000000000002", "bob"], None);
    say(&["phone", "login", "SEP000000000002", "nobody"], None);
    say(&["user", "delete", "bob", "--yes"], None);
    say(&["phone", "logout", "SEP000000000002"], None);
    say(&["phone", "set", "SEP000000000002", "descripton=x"], None);
    say(&["phone", "set", "SEP000000000003", "description=x"], None);
    say(&["phone", "set", "SEP000000000002", "digest_user=alice"], None);
    say(&["phone", "replace", "SEP000000000001", "model=Cisco 8845", "lines=1002", "description=new"], None);
    say(&["phone", "set", "SEP000000000001", "description=new"], None);
    say(&["phone", "set", "SEP000000000001", "description=never", "--if-match", "\"00\""], None);
    say(&["line", "delete", "1001", "--yes"], None);
    say(&["line", "dependencies", "1001"], None);
    say(&["common-profile", "dependencies", "Lobby", "--format", "csv"], None);
    say(&["line", "dependencies", "9999"], None);
    say(&["phone", "set", "SEP000000000002", "lines="], None);
    say(&["line", "delete", "1001", "9999", "--yes"], None);
    say(&["profile", "delete", "Auth", "--dry-run"], None);
    say(&["profile", "delete", "Auth", "--yes"], None);
    say(&["profile", "delete", "Cisco 8845 - Standard SIP Non-Secure Profile", "--yes"], None);
    say(&["common-profile", "delete", "Lobby", "--yes"], None);
    say(&["parameter", "set", "no_answer_s", "20"], None);
    say(&["parameter", "set", "digest_algorithms", "SHA-256,MD5"], None);
    say(&["parameter", "set", "register_expires_min", "120"], None);
    say(&["parameter", "delete", "register_expires_min", "--yes"], None);
    say(&["parameter", "set", "no_answer", "20"], None);
    say(&["parameter", "set", "no_answer_s", "long"], None);
    say(&["model", "add", "Door", "vendor_class=preferred", "protocols=sip", "capabilities=tls,srtp"], None);
    say(&["model", "set", "Door", "trusted=true"], None);
    say(&["model", "set", CISCO, "trusted=false"], None);
    say(&["cert", "add", "CallManager-trust", "--pem", "-"], Some("no certificate"));
    say(&["cert", "delete", "CallManager-trust/00", "--yes"], None);
    say(&["user", "delete", "app", "--application", "--yes"], None);
    say(&["bulk", "-"], Some(BULK));
    say(&["bulk", "-", "--yes"], Some(BULK));
    say(&["bulk", "-", "--dry-run"], Some("{\"op\":\"delete\",\"kind\":\"line\",\"name\":\"3003\"}\n"));
    say(&["bulk", "-", "--atomic", "--yes"], Some(ATOMIC));
    say(&["bulk", "-", "--atomic", "--yes"], Some(&ATOMIC[..ATOMIC.len() - 1]));
    say(&["bulk", "-"], Some("{\"op\":\"make\",\"kind\":\"line\"}\n"));
    say(&["line", "delete", "--filter", "dn:begins:300"], None);
    say(&["line", "delete", "--filter", "dn:begins:300", "--yes"], None);
    say(&["line", "delete", "--filter", "dn:begins:300", "--yes"], None);
    say(&["user", "show", "bob"], None);
    say(&["line", "list", "--format", "csv"], None);
    say(&["common-profile", "list"], None);
    say(&["enterprise", "show"], None);
    script
}

#[test]
fn the_same_script_says_and_does_the_same_offline_by_the_socket_and_over_https() {
    let told: Vec<(String, String)> = [Place::offline, Place::socket, Place::https]
        .into_iter()
        .map(|place| {
            let place = place();
            let told: String = script().iter().map(|(line, stdin)| place.told(line, *stdin)).collect();
            (without_tags(&told), place.export())
        })
        .collect();
    let (text, export) = &told[0];
    assert_eq!(text, &told[1].0, "offline and by the socket");
    assert_eq!(text, &told[2].0, "offline and over HTTPS");
    assert!(export == &told[1].1 && export == &told[2].1, "{export}");
    for part in [
        "line 1001 added\n[0]",
        "there is a line `1001` already; change that one, or take another name (exists)\n[1]",
        "$ keyline line add 1009 --idempotency-key k1\nline 1009 added\n[0]\n$ keyline line add 1009 --idempotency-key k1\nline 1009 added\n[0]",
        "(idempotency_key_reused)\n[1]",
        "Idempotency-Key has 1 to",
        "security profile Enc made from Auth\n",
        "security profile Enc is now Encrypted\n[0]",
        "security profile Auth changed: digest_authentication, nonce_validity_s\n",
        "end user bob added\n[0]",
        "the two entries differ; nothing was changed (credentials_mismatch)\n[1]",
        "is seen by every user of this machine",
        "did you mean `description`?",
        "phone SEP000000000001 is as it was\n[0]",
        "(precondition_failed)\n[1]",
        "(in_use)\n[1]",
        "line 1001 deleted\n",
        "1 of 2 were refused\n[1]",
        "security profile Auth would be deleted\nno phone is concerned\n[0]",
        "$ keyline phone login SEP000000000002 bob\nphone SEP000000000002 changed: em_user\n[0]",
        "$ keyline phone logout SEP000000000002\nphone SEP000000000002 changed: em_user\n[0]",
        "(profile_predefined)\n[1]",
        "parameter no_answer_s changed: value\n[0]",
        "parameter register_expires_min put back to its default\n[0]",
        "did you mean `no_answer_s`?) (parameter_not_found)\n[1]",
        "(model_builtin)\n[1]",
        "application user app deleted\n[0]",
        "KIND   NAME\nphone  SEP000000000002\n[0]",
        "KIND,NAME\r\nphone,SEP000000000002\r\n[0]",
        "keyline: line 4: there is a line `3001` already; change that one, or take another name (exists)\n",
        "line 3002 deleted\n",
        "4 of 5 done\n",
        "line 3003 would be deleted\n",
        "keyline: line 2: line `1002` is in use by",
        "keyline: line 3: this is no JSON object",
        "line 3001 deleted\nline 3003 deleted\n[0]",
        "nothing fits\n[0]",
        "DN,PHONES\r\n1002,SEP000000000001\r\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    for secret in ["Secret1", "Secret2", "not-alphanumeric\n"] {
        assert!(
            !text
                .replace("$ keyline user set bob digest_credentials=not-alphanumeric\n", "")
                .contains(secret)
        );
    }
    let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |name: &str| rows.iter().find(|r| r["name"] == name || r["id"] == name).cloned();
    let phone = row("SEP000000000001").unwrap();
    assert_eq!((&phone["description"], &phone["lines"]), (&"new".into(), &serde_json::json!(["1002"])));
    assert_eq!(row("SEP000000000002").unwrap()["hardening"]["web_access"], "enabled");
    assert!(
        row("Encrypted").is_some() && row("Enc").is_none() && row("Auth").is_none() && row("app").is_none()
    );
    assert_eq!(row("no_answer_s").unwrap()["value"], 20);
    assert!(row("register_expires_min").is_none());
    assert!(!export.contains("300"), "what the bulk files made is gone again: {export}");
}

#[test]
fn wrong_input_of_each_kind_is_refused_before_anything_is_touched() {
    let place = Place::offline();
    place.done(&["line", "add", "1001"]);
    let before = place.export();
    let usage: [&[&str]; 9] = [
        &["phone", "add"],
        &["phone", "add", "SEP000000000001", "model"],
        &["phone", "set", "SEP000000000001"],
        &["phone", "set", "SEP000000000001", "lines=1", "lines=2"],
        &["phone", "set", "SEP000000000001", "hardening=x", "hardening.pc_port=enabled"],
        &["phone", "set", "SEP000000000001", "lines:=[1"],
        &["line", "set", "1001", "--ask-secret", "x=y"],
        &["line", "delete", "1001"],
        &["user", "add", "a", "--ask-secret", "--secret-file", "f"],
    ];
    for line in usage {
        let (code, text) = place.refused(line, None);
        assert_eq!(code, 2, "{line:?}: {text}");
        assert!(!text.is_empty());
    }
    assert!(place.refused(&["line", "delete", "1001"], None).1.contains("--yes"));
    let failures: [(&[&str], Option<&str>, &str); 6] = [
        (&["phone", "add", "SEP000000000001", "--file", "-"], Some("[1]"), "no JSON object"),
        (&["phone", "add", "SEP000000000001", "--file", "-"], Some("{"), "no JSON object"),
        (&["phone", "add", "SEP000000000001", "--file", "/nowhere"], None, "/nowhere"),
        (&["user", "add", "a", "--ask-secret"], Some("only-one\n"), "stdin ended"),
        (&["phone", "add", "SEP1", "model=Cisco 8845"], None, "(field_invalid)"),
        (&["phone", "add", "SEP000000000001", "model=Cisco 8846"], None, "(reference_missing)"),
    ];
    for (line, stdin, part) in failures {
        let (code, text) = place.refused(line, stdin);
        assert_eq!((code, text.lines().count()), (1, 1), "{line:?}: {text}");
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(place.export(), before);
    // A dry run, and a question, do not make a data directory.
    let empty = Place::offline();
    assert_eq!(empty.refused(&["line", "add", "1", "--dry-run"], None).0, 1);
    assert!(!empty.node.data().exists());
}

#[test]
fn a_dry_run_changes_nothing_and_an_etag_keeps_others_changes() {
    let mut place = Place::offline();
    for running in [false, true] {
        if running {
            place.node.start();
        } else {
            place.done(&["line", "add", "1001"]);
            place.done(&["phone", "add", "SEP000000000001", "model=Cisco 8845", "lines=1001"]);
        }
        let before = place.export();
        for line in [
            &["line", "add", "1002", "--dry-run"][..],
            &["phone", "set", "SEP000000000001", "description=x", "--dry-run"],
            &["phone", "replace", "SEP000000000001", "model=Cisco 8845", "--dry-run"],
            &["phone", "delete", "SEP000000000001", "--dry-run"],
            &["parameter", "set", "no_answer_s", "20", "--dry-run"],
        ] {
            assert!(place.done(line).contains("would be"), "{line:?}");
        }
        let answer: Value = serde_json::from_str(&place.done(&[
            "phone",
            "set",
            "SEP000000000001",
            "description=x",
            "--dry-run",
            "--json",
        ]))
        .unwrap();
        assert_eq!((&answer["dry_run"], &answer["after"]["description"]), (&true.into(), &"x".into()));
        assert_eq!(place.export(), before, "running: {running}");
        let tag = place.done(&["phone", "show", "SEP000000000001", "--etag"]);
        let tag = tag.trim();
        let set = |text: &str| {
            place.run(
                &["phone", "set", "SEP000000000001", &format!("description={text}"), "--if-match", tag],
                None,
            )
        };
        assert_eq!(set(&format!("first {running}")).status.code(), Some(0));
        let late = set("late");
        assert_eq!(late.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&late.stderr).contains("(precondition_failed)"));
        assert!(place.done(&["phone", "show", "SEP000000000001"]).contains(&format!("first {running}")));
    }
}

#[test]
fn what_a_change_would_do_is_told_in_words_by_a_node_and_by_a_store() {
    let mut place = Place::offline();
    place.done(&["parameter", "set", "cluster_security_mode", "mixed"]);
    place.done(&["line", "add", "1001"]);
    for (name, mode) in [("Enc", "encrypted"), ("Auth", "authenticated")] {
        let mode = format!("device_security_mode={mode}");
        place.done(&["profile", "add", name, "model=Cisco 8845", "protocol=sip", &mode, "transport=tls"]);
    }
    for (phone, profile) in [("SEP000000000001", "Enc"), ("SEP000000000002", "Enc")] {
        let profile = format!("security_profile={profile}");
        place.done(&["phone", "add", phone, "model=Cisco 8845", "lines=1001", &profile]);
    }
    let ask = ["phone", "set", "SEP000000000002", "security_profile=Auth", "--dry-run"];
    let offline = place.done(&ask);
    for part in [
        "phone SEP000000000002 would be changed: security_profile\n",
        "it concerns 1 phone, of which 0 are registered\n",
        "1 phone would get another mode:\n  SEP000000000002: encrypted becomes authenticated\n",
        "1 line would be mixed:\n  line 1001: encrypted SEP000000000001; not encrypted SEP000000000002\n",
    ] {
        assert!(offline.contains(part), "{part:?} is not in\n{offline}");
    }
    place.node.start();
    assert_eq!(place.done(&ask), offline);
}

#[test]
fn tokens_are_made_and_voided_from_elsewhere() {
    let place = Place::https();
    let token = place.done(&["token", "create", "--name", "far", "--role", "read-only"]);
    assert!(token.starts_with("keyline_"), "{token}");
    assert!(place.done(&["token", "list", "--format", "csv"]).contains("\r\nfar,read-only,"));
    let header = format!("Authorization: Bearer {}", token.trim());
    assert_eq!(place.node.admin("/phones", &["-H", &header]).status, 200);
    assert_eq!(place.refused(&["token", "revoke", "--name", "far"], None).0, 2);
    place.done(&["token", "revoke", "--name", "far", "--yes"]);
    assert_eq!(place.node.admin("/phones", &["-H", &header]).status, 401);
    // A role that may not change anything is refused like everything else.
    let Way::There { token: file, .. } = &place.way else { unreachable!() };
    let admin = std::fs::read_to_string(file).unwrap();
    let low = place.done(&["token", "create", "--name", "low", "--role", "read-only"]);
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let before = place.export();
    std::fs::write(file, low).unwrap();
    let (code, text) = place.refused(&["line", "add", "1001"], None);
    std::fs::write(file, admin).unwrap();
    assert_eq!((code, text.contains("(forbidden)")), (1, true), "{text}");
    assert_eq!(place.export(), before);
}

#[test]
fn csv_is_what_another_reader_takes_it_for() {
    let place = Place::offline();
    place.done(&["line", "add", "1001"]);
    let odd = "a \"quoted\", and; comma";
    let field = format!("description={odd}");
    place.done(&["phone", "add", "SEP000000000001", "model=Cisco 8845", "lines=1001", &field]);
    place.done(&["phone", "add", "SEP000000000002", "model=Cisco 8845"]);
    let csv = place.done(&["phone", "list", "--format", "csv"]);
    let file = place.node.folder().join("phones.csv");
    std::fs::write(&file, &csv).unwrap();
    let program =
        "import csv, json, sys\nprint(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
    let out = Command::new("python3").args(["-c", program]).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let rows: Value = serde_json::from_slice(&out.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["NAME"], &rows[0]["DESCRIPTION"]), (&"SEP000000000001".into(), &odd.into()));
    assert_eq!((&rows[0]["LINES"], &rows[1]["LINES"]), (&"1001".into(), &"".into()));
}

#[test]
fn completion_scripts_load_and_know_the_commands() {
    let place = Place::offline();
    let script = place.node.folder().join("keyline.bash");
    std::fs::write(&script, place.done(&["completion", "bash"])).unwrap();
    let syntax = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(syntax.status.success(), "{}", String::from_utf8_lossy(&syntax.stderr));
    let probe = |words: &str, at: usize| {
        let program = format!(
            "source \"$1\"; COMP_WORDS=({words}); COMP_CWORD={at}; _keyline keyline \"${{COMP_WORDS[{at}]}}\" \
             \"${{COMP_WORDS[{}]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            at - 1
        );
        let out = Command::new("bash").args(["-c", &program, "bash"]).arg(&script).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(probe("keyline prof", 1).trim(), "profile");
    assert_eq!(probe("keyline phone repl", 2).trim(), "replace");
    let verbs = probe("keyline profile ''", 2);
    for verb in ["list", "show", "add", "set", "replace", "delete", "copy", "rename"] {
        assert!(verbs.lines().any(|line| line == verb), "{verb} is not in {verbs}");
    }
    assert!(place.done(&["completion", "zsh"]).starts_with("#compdef keyline"));
    assert!(place.done(&["completion", "fish"]).contains("complete -c keyline"));
    assert_eq!(place.refused(&["completion", "tcsh"], None).0, 2);
    assert!(!place.node.data().exists());
}
