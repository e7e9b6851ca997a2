//! Live traces: what they show, what they hide, and whether tshark understands what they write.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use keyline_loadtest::phone::{Srtp, Transport};
use keyline_tests::inventory::{Inventory, password_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::wait;
use serde_json::Value;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, pair, registered};

/// A trace that runs; its standard error has said so.
struct Running {
    child: Child,
}

impl Running {
    fn start(node: &Node, line: &[&str]) -> Self {
        let all: Vec<_> = ["trace"].iter().chain(line).copied().collect();
        let mut command = node.command(&all);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("tracing"), "{said}");
        Self { child }
    }

    /// What it printed, once it ended by itself.
    fn finish(self) -> String {
        let out = self.child.wait_with_output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }
}

/// Fields that tshark finds in a file, one line a packet.
fn tshark(file: &std::path::Path, more: &[&str], fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(more).args(["-T", "fields"]);
    fields.iter().for_each(|f| {
        command.args(["-e", f]);
    });
    let out = command.output().expect("tshark runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

on_shards!(a_registration_is_traced_from_its_first_message_and_read_by_tshark);

fn a_registration_is_traced_from_its_first_message_and_read_by_tshark(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, CALLER).digest_phone(&callee_device(shards), CALLEE);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let file = node.folder().join("phone.pcapng");
    let trace = Running::start(
        &node,
        &["phone", &device, "--full", "--count", "4", "--pcap", file.to_str().unwrap()],
    );
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        // Another phone's messages are not in it.
        let _other = registered(node.digest_phone(Transport::Udp, &callee_device(shards), CALLEE)).await;
        let _phone = registered(node.digest_phone(Transport::Udp, &device, CALLER)).await;
    });
    let text = trace.finish();
    let ladder: Vec<_> = text.lines().filter(|l| l.contains("  udp  ")).collect();
    assert_eq!(ladder.len(), 4, "{text}");
    for (line, part) in ladder.iter().zip(["--> ", "<-- ", "--> ", "<-- "]) {
        assert!(line.contains(part), "{line}");
    }
    assert!(ladder[1].contains("401 Unauthorized") && ladder[3].contains("200 OK"), "{text}");
    assert!(text.contains("response=\"****") && text.contains("username="), "{text}");
    assert!(!text.contains(&password_of(CALLER)));
    assert!(!text.contains(&callee_device(shards)));
    let seen =
        tshark(&file, &[], &["sip.Method", "sip.Status-Code", "sip.CSeq.seq", "sip.auth.digest.response"]);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(
        seen[0].starts_with("REGISTER\t\t") && seen[1].contains("401") && seen[3].contains("200"),
        "{seen:?}"
    );
    assert!(seen[2].contains("***"), "{seen:?}");
    let bad = tshark(
        &file,
        &[
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
            "-Y",
            "_ws.malformed || _ws.expert.severity >= 0x800000",
        ],
        &["frame.number"],
    );
    assert!(bad.is_empty(), "{bad:?}");
    let metric = |name: &str| node.metric(name, "");
    wait::until("end of the trace", || (metric("keyline_trace_running") == 0.0).then_some(()));
    assert_eq!(metric("keyline_trace_dropped_total"), 0.0);
}

/// Over TCP: all legs of one call, by its tags, and HEPv3 as tshark reads it.
#[test]
fn a_call_is_traced_on_both_legs_and_sent_to_a_capture_server() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let to = server.local_addr().unwrap().to_string();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pair = pair(2).await;
        let (out, inn) = connect(&pair.caller, &pair.callee).await;
        let id = pair.node.answered_call();
        // BYE, its 200, BYE to the other, its 200.
        let trace = Running::start(&pair.node, &["call", &id, "--json", "--count", "4", "--hep", &to]);
        out.hang_up().await.unwrap();
        inn.ended().await.unwrap();
        let text = tokio::task::spawn_blocking(|| trace.finish()).await.unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let byes = lines.iter().filter(|l| l["first_line"].as_str().unwrap().starts_with("BYE ")).count();
        assert_eq!((lines.len(), byes), (4, 2), "{text}");
        let remotes: std::collections::BTreeSet<_> = lines.iter().map(|l| l["remote"].to_string()).collect();
        assert_eq!(remotes.len(), 2, "both legs");
        let gone = pair.node.run(&["trace", "call", &id]);
        assert_eq!(gone.status.code(), Some(1));
    });
    // tshark of Debian 12 knows no HEP: the chunks are read here, what they carry is for tshark to judge.
    let mut dump = String::new();
    let mut buffer = vec![0; 65_536];
    for _ in 0..4 {
        let length = server.recv(&mut buffer).expect("a HEP datagram");
        let chunks = chunks(&buffer[..length]);
        let number = |kind: u16| chunks[&kind].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        assert_eq!((number(1), number(2), number(11)), (2, 17, 1), "IPv4, UDP, SIP");
        assert_eq!(
            (chunks[&3].as_slice(), chunks[&4].as_slice()),
            (&[127, 0, 0, 1][..], &[127, 0, 0, 1][..])
        );
        assert!(number(7) > 1024 && number(8) > 1024 && number(9) > 1_700_000_000 && number(10) < 1_000_000);
        let payload = String::from_utf8(chunks[&15].clone()).unwrap();
        let id = String::from_utf8(chunks[&17].clone()).unwrap();
        assert!(payload.contains(&format!("Call-ID: {id}\r\n")), "{id}: {payload}");
        for (row, bytes) in payload.as_bytes().chunks(16).enumerate() {
            let hex: Vec<_> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            dump.push_str(&format!("{:06x} {}\n", row * 16, hex.join(" ")));
        }
        dump.push('\n');
    }
    let folder = tempfile::tempdir().unwrap();
    let (text, file) = (folder.path().join("hep.txt"), folder.path().join("hep.pcap"));
    std::fs::write(&text, dump).unwrap();
    let made = Command::new("text2pcap").args(["-q", "-u", "40000,5060"]).arg(&text).arg(&file).status();
    assert!(made.expect("text2pcap runs").success());
    let seen = tshark(&file, &[], &["sip.CSeq.method", "_ws.malformed"]);
    assert_eq!(seen, ["BYE\t"; 4]);
}

/// Chunks of a HEPv3 datagram by type: `HEP3`, total length, then vendor, type, length with its own six bytes,
/// value.
fn chunks(datagram: &[u8]) -> std::collections::HashMap<u16, Vec<u8>> {
    let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    assert_eq!((&datagram[..4], usize::from(word(4))), (&b"HEP3"[..], datagram.len()));
    let (mut at, mut found) = (6, std::collections::HashMap::new());
    while at < datagram.len() {
        assert_eq!(word(at), 0, "vendor");
        let length = usize::from(word(at + 4));
        found.insert(word(at + 2), datagram[at + 6..at + length].to_vec());
        at += length;
    }
    found
}

/// Decrypted, without its keys.
#[test]
fn a_call_over_tls_is_shown_decrypted_and_its_srtp_keys_are_masked() {
    let authority = Authority::new("Trace Issuer");
    let (a, b) = (caller_device(1), callee_device(1));
    let mut inventory = Inventory::new();
    inventory.mixed().encrypted_phone(&a, CALLER).encrypted_phone(&b, CALLEE);
    inventory.trust("CallManager-trust", &authority.pem());
    let node = Builder::new().shards(1).inventory(&inventory).start();
    let file = node.folder().join("tls.pcapng");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let tls = |device: &str| Transport::Tls(Box::new(node.tls_options(Some(&authority.issue(device)))));
        let caller = registered(node.phone(tls(&a), &a, CALLER).srtp(Srtp::savp())).await;
        let callee = registered(node.phone(tls(&b), &b, CALLEE).srtp(Srtp::savp())).await;
        let trace =
            Running::start(&node, &["phone", &a, "--full", "--count", "3", "--pcap", file.to_str().unwrap()]);
        let (out, _inn) = connect(&caller, &callee).await;
        let text = tokio::task::spawn_blocking(|| trace.finish()).await.unwrap();
        assert!(text.contains("INVITE sip:") && text.contains("  tls  "), "{text}");
        let keys: Vec<_> = text.lines().filter(|l| l.contains("inline:")).collect();
        assert!(!keys.is_empty() && keys.iter().all(|l| l.contains("inline:****")), "{keys:?}");
        out.hang_up().await.unwrap();
    });
    let seen = tshark(&file, &[], &["sip.Method", "sip.Status-Code", "ip.proto"]);
    assert!(seen.iter().any(|l| l.starts_with("INVITE\t\t6")), "{seen:?}");
}

#[test]
fn a_node_that_stops_ends_its_traces() {
    let mut inventory = Inventory::new();
    inventory.plain_phone("SEP000000000001", "1001");
    let mut node = Builder::new().inventory(&inventory).start();
    let trace = Running::start(&node, &["phone", "SEP000000000001"]);
    let begin = std::time::Instant::now();
    assert_eq!(node.terminate(), Some(0));
    assert_eq!(trace.finish(), "");
    assert!(begin.elapsed() < std::time::Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn traces_are_bounded() {
    let mut inventory = Inventory::new();
    inventory.plain_phone("SEP000000000001", "1001");
    let node = Builder::new().setting("limits", "traces = 1").inventory(&inventory).start();
    let first = Running::start(&node, &["phone", "SEP000000000001", "--seconds", "60"]);
    let second = node.run(&["trace", "phone", "SEP000000000001"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("[limits] traces"));
    let mut child = first.child;
    child.kill().unwrap();
    child.wait().unwrap();
    // Its place is free again once the node sees that it has gone.
    wait::until_within(std::time::Duration::from_secs(20), "place of a trace", || {
        (node.metric("keyline_trace_running", "") == 0.0).then_some(())
    });
    let file = node.folder().join("no/such/folder.pcapng");
    let unwritable = node.run(&["trace", "phone", "SEP000000000001", "--pcap", file.to_str().unwrap()]);
    assert_eq!(unwritable.status.code(), Some(1));
}
