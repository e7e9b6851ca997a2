//! Backup of a running node, and the way back.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;
use serde_json::json;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};
use crate::rollouts_save::{FLEET, add, open_profile, save, view};

on_shards!(a_restored_node_serves_the_phones_that_were_backed_up);

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The command fails with exit code 1 and one line that has these words.
fn refused(node: &Node, arguments: &[&str], words: &[&str]) {
    let output = node.run(arguments);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// Moves the data away and makes a new data directory that holds the node key alone.
fn lose_data(node: &Node) -> PathBuf {
    let old = node.folder().join("old");
    fs::rename(node.data(), &old).unwrap();
    fs::create_dir(node.data()).unwrap();
    fs::copy(old.join("node.key"), node.data().join("node.key")).unwrap();
    old
}

fn a_restored_node_serves_the_phones_that_were_backed_up(shards: u16) {
    let (a, b) = (caller_device(shards), callee_device(shards));
    let mut inventory = Inventory::new();
    inventory.digest_phone(&a, CALLER).plain_phone(&b, CALLEE);
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().start();
    let file = node.folder().join("backup");
    let file = file.to_str().unwrap();
    wait::run(async {
        let caller = registered(node.digest_phone(Transport::Udp, &a, CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &b, CALLEE)).await;
        let (out, _) = connect(&caller, &callee).await;
        let output = node.run(&["backup", file]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(node.is_alive(), "the node goes on");
        refused(&node, &["backup", file], &["exists"]);
        refused(&node, &["restore", file], &["a node runs"]);
        out.hang_up().await.unwrap();
        let before = node.registrations();
        node.kill9();
        refused(&node, &["restore", file], &["empty data directory"]);

        let certificate = node.certificate("CallManager");
        let old = lose_data(&node);
        let output = node.run(&["restore", file]);
        assert!(output.status.success(), "{}", text(&output));
        node.start();
        assert_eq!(node.registrations().len(), before.len());
        assert_eq!(node.certificate("CallManager"), certificate, "the same node to its phones");
        assert!(old.exists());
        // The call of the past is not resumed; the phones are served without registering again.
        assert_eq!(node.admin_get("/calls").json()["items"].as_array().map(Vec::len), Some(0));
        let (out, _) = connect(&callee, &caller).await;
        out.hang_up().await.unwrap();
        let (out, _) = connect(&caller, &callee).await;
        out.hang_up().await.unwrap();
        caller.refresh().await.unwrap();
    });
}

/// Rows change while the backup is read: it shows one moment, and every file that appears is whole.
#[test]
fn a_backup_under_writes_is_of_one_moment() {
    let mut inventory = Inventory::new();
    for i in 0..400u32 {
        inventory.plain_phone(&format!("SEP{:012X}", 0xA000 + i), &(3000 + i).to_string());
    }
    let mut node = Builder::new().shards(2).inventory(&inventory).fixed_ports().start();
    let mut line = Line::udp(node.udp());
    let mut taken = 0;
    std::thread::scope(|scope| {
        let (node, folder) = (&node, node.folder().to_owned());
        let backups = scope.spawn(move || {
            (0..4).all(|i| {
                let file = folder.join(format!("backup{i}"));
                let output = node.run(&["backup", file.to_str().unwrap()]);
                assert!(output.status.success(), "{}", text(&output));
                true
            })
        });
        let mut i = 0;
        while !backups.is_finished() || i < 400 {
            let answer = line.exchange(&Request::register_from(&(3000 + i % 400).to_string(), &line));
            assert_eq!(answer.status(), Some(200));
            i += 1;
        }
        taken = i;
    });
    assert!(taken >= 400);
    let registered = node.registrations().len();
    node.kill9();
    lose_data(&node);
    let output = node.run(&["restore", node.folder().join("backup3").to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    node.start();
    assert!(node.registrations().len() <= registered);
}

#[test]
fn a_damaged_or_cut_backup_restores_nothing() {
    let mut inventory = Inventory::new();
    inventory.digest_phone(&caller_device(1), CALLER);
    let node = Builder::new().inventory(&inventory).prepare();
    let place = node.folder().join("backup");
    let file = place.to_str().unwrap();
    refused(&node, &["restore", file], &["exists"]);
    assert!(node.run(&["backup", file]).status.success());
    let whole = fs::read(&place).unwrap();
    let old = lose_data(&node);
    for (bytes, word) in [
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (
            {
                let mut b = whole.clone();
                let n = b.len() / 2;
                b[n] ^= 1;
                b
            },
            "unreadable",
        ),
        (b"no backup at all".to_vec(), "unreadable"),
    ] {
        fs::write(&place, bytes).unwrap();
        refused(&node, &["restore", file], &[word]);
        assert!(!node.data().join("store").exists(), "nothing is left behind");
    }
    fs::write(&place, &whole).unwrap();
    // Without the node key, and with another one.
    let key = node.data().join("node.key");
    fs::remove_file(&key).unwrap();
    refused(&node, &["restore", file], &["node.key", "does not hold the node key"]);
    fs::write(&key, [7u8; 32]).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    refused(&node, &["restore", file], &["sealed under node key"]);
    fs::copy(old.join("node.key"), &key).unwrap();
    let output = node.run(&["restore", file]);
    assert!(output.status.success(), "{}", text(&output));
    let rows = |output: &Output| text(output).lines().count();
    assert!(rows(&node.run(&["export"])) > 1);
}

/// A roll-out that was open in the backup tells nobody anything until somebody says that it is still meant.
#[test]
fn a_restored_roll_out_is_held_until_it_is_resumed() {
    let devices: Vec<String> = (0..3u32).map(|n| device_on(0, 1, n)).collect();
    let dn = |n: usize| (1001 + n).to_string();
    let mut inventory = Inventory::new();
    open_profile(&mut inventory);
    for (n, device) in devices.iter().enumerate() {
        add(&mut inventory, device, &dn(n));
    }
    let mut node = Builder::new().inventory(&inventory).fixed_ports().start();
    let file = node.folder().join("backup");
    wait::run(async {
        let mut phones = Vec::new();
        for (n, device) in devices.iter().enumerate() {
            phones.push(registered(node.phone(Transport::Udp, device, &dn(n))).await);
        }
        save(&node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
        let path = format!("/security-profiles/{FLEET}/apply");
        let mut body = json!({"per_second": 1, "gate": {"window_s": 1}});
        let asked = node.ask("POST", &path, Some(&body)).refused(428, "confirmation_required");
        body["confirm"] = asked["confirm"].clone();
        let id = node.ask("POST", &path, Some(&body)).expect(202)["id"].to_string();
        let output = node.run(&["backup", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output));
        node.kill9();
        lose_data(&node);
        let output = node.run(&["restore", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output));
        node.start();
        let found = node.ask("GET", &format!("/rollouts/{id}"), None).expect(200);
        assert_eq!(found["state"], "paused", "{found:#}");
        assert!(found["reason"].as_str().is_some_and(|r| r.contains("backup")), "{found:#}");
        // More than the pace of it allows would have been told by now, were it not held.
        for phone in &phones {
            phone.refresh().await.unwrap();
        }
        assert_eq!(node.metric("keyline_sip_requests_sent_total", "NOTIFY"), 0.0);
        // Whoever waits for it sees it go on and end.
        let waiting = node.command(&["rollout", "wait", &id]).stdout(Stdio::piped()).spawn().unwrap();
        let resumed = node.run(&["rollout", "resume", &id]);
        assert!(resumed.status.success(), "{}", text(&resumed));
        let ended = waiting.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(
            ended.status.success() && told.lines().last().is_some_and(|l| l.contains("is finished")),
            "{told}"
        );
        for device in &devices {
            assert_eq!(view(&node, device)["pending"], false, "{device}");
        }
    });
}
