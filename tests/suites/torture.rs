//! RFC 4475 and RFC 5118 against a running node, over UDP and TCP: each message gets the reaction that the
//! index beside the fixtures asks for, with the echo that RFC 3261 §8.2.6 asks for.
//!
//! The answers are read by [`crate::torture_read`], not by the engine's own parser.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyline_tests::inventory::{CISCO, Inventory};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, audio, respond, unique};
use keyline_tests::wait::PATIENCE;
use keyline_wire::sip::Method;
use serde_json::{Value, json};

use crate::torture_read::{Head, cut};

/// What a message must bring about. `Answer` names the status; the statuses of the index are the frame in
/// which it must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// One final answer.
    Answer(u16),
    /// Nothing, and the sender is served further.
    Silence,
    /// The answer, then the end of the connection (stream only).
    AnswerAndClose(u16),
    /// The end of the connection (stream only).
    Close,
    /// Nothing, as more bytes are due (stream only).
    More,
}
use Wanted::{Answer, AnswerAndClose, Close, More, Silence};

/// File, reaction over UDP, reaction over TCP.
///
/// `caller`, `user`, `watson` and `fluffy` are lines of registered phones that owe no proof, so that the
/// request itself is judged; everybody else is challenged, whoever is called. In dblreq the second message
/// has no length, so that a stream ends there; the last two call the phone that they come from.
const TABLE: [(&str, Wanted, Wanted); 41] = [
    ("wsinv.dat", Answer(481), Answer(481)),
    ("transports.dat", Answer(200), Answer(200)),
    ("mpart01.dat", Answer(404), Answer(404)),
    ("noreason.dat", Silence, Silence),
    ("esc01.dat", Answer(401), Answer(401)),
    ("esc02.dat", Answer(405), Answer(405)),
    ("longreq.dat", Answer(401), Answer(401)),
    ("dblreq.dat", Answer(200), AnswerAndClose(400)),
    ("semiuri.dat", Answer(404), Answer(404)),
    ("trws.dat", Answer(400), Answer(400)),
    ("escruri.dat", Answer(400), Answer(400)),
    ("regbadct.dat", Answer(400), Answer(400)),
    ("badaspec.dat", Answer(400), Answer(400)),
    ("baddn.dat", Answer(400), More),
    ("badvers.dat", Answer(505), Answer(505)),
    ("mismatch01.dat", Answer(400), Answer(400)),
    ("clerr.dat", Answer(400), More),
    ("ncl.dat", Answer(400), AnswerAndClose(400)),
    ("scalarlg.dat", Silence, Silence),
    ("quotbal.dat", Answer(400), Answer(400)),
    ("lwsruri.dat", Answer(400), Answer(400)),
    ("badbranch.dat", Answer(200), Answer(200)),
    ("insuf.dat", Answer(400), Answer(400)),
    ("bcast.dat", Silence, Silence),
    ("zeromf.dat", Answer(483), Answer(483)),
    ("cparam01.dat", Answer(200), Answer(200)),
    ("cparam02.dat", Answer(200), Answer(200)),
    ("sdp01.dat", Answer(406), Answer(406)),
    ("unkscm.dat", Answer(416), Answer(416)),
    ("novelsc.dat", Answer(416), Answer(416)),
    ("invut.dat", Answer(415), Answer(415)),
    ("inv2543.dat", Answer(401), AnswerAndClose(400)),
    ("test.dat", Silence, Close),
    ("ipv6-good.sip", Answer(200), Answer(200)),
    ("ipv6-correct-abnf-2-colons.sip", Answer(200), Answer(200)),
    ("ipv6-bad.sip", Answer(400), Answer(400)),
    ("port-unambiguous.sip", Answer(200), Answer(200)),
    ("via-received-param-no-delim.sip", Answer(200), Answer(200)),
    ("ipv6-in-sdp.sip", Answer(480), Answer(480)),
    ("mult-ip-in-header.sip", Answer(481), Answer(481)),
    ("ipv4-mapped-ipv6.sip", Answer(480), Answer(480)),
];

/// Phones of ours that send messages; `user` is also called and answers.
const SENDERS: [&str; 4] = ["caller", "fluffy", "resource", "user"];

/// Time in which nothing must come, where no later answer shows it.
const QUIET: Duration = Duration::from_millis(300);

struct Torture {
    file: String,
    bytes: Vec<u8>,
    ideal: Vec<String>,
    acceptable: Vec<String>,
    note: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The messages of both RFCs in the form for the wire.
fn load() -> Vec<Torture> {
    let mut all = Vec::new();
    for rfc in ["rfc4475", "rfc5118"] {
        let index = std::fs::read(folder(rfc).join("index.json")).expect("the index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        for entry in index["messages"].as_array().expect("messages") {
            let file = entry["wire_file"].as_str().or(entry["file"].as_str()).expect("a file").to_owned();
            let words = |key: &str| {
                entry[key]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            all.push(Torture {
                bytes: std::fs::read(folder(rfc).join(&file)).expect("the message"),
                ideal: words("ideal"),
                acceptable: words("acceptable"),
                note: entry["note"].as_str().unwrap_or_default().to_owned(),
                file,
            });
        }
    }
    all
}

fn wanted(file: &str) -> (Wanted, Wanted) {
    let row = TABLE.iter().find(|(name, ..)| *name == file);
    let (_, udp, tcp) = row.unwrap_or_else(|| panic!("{file} is in the index but not in the table"));
    (*udp, *tcp)
}

/// A node that serves the domains of the messages.
fn node(shards: u16) -> Node {
    let mut inventory = Inventory::new();
    let lines = ["caller", "user", "watson", "fluffy", "j.user", "resource", "local-resource"];
    for (i, line) in (0u32..).zip(lines) {
        inventory.phone(&device_on((i % 2) as u16, shards, i), CISCO, &[line], json!({}));
    }
    let aliases = "aliases = [\"example.org\", \"example.net\", \"registrar.example.com\", \
                   \"chair-dnrc.example.com\", \"host.example.net\", \"[2001:db8::10]\", \
                   \"[2001:db8::192.0.2.1]\"]";
    Builder::new()
        .shards(shards)
        .inventory(&inventory)
        .setting("node", "domain = \"example.com\"")
        .setting("node", aliases)
        // The senders come from many addresses.
        .setting("limits", "allow_unproven_move = 1")
        .start()
}

/// An address of the loopback network for each message, so that equal branches of different messages are
/// not one transaction, and the port 5060 of one test is not another's.
fn own_address(shards: u16, number: usize) -> Ipv4Addr {
    let process = (std::process::id() % 120) as u8;
    Ipv4Addr::new(127, 100 + process, shards as u8, u8::try_from(number + 1).expect("few messages"))
}

/// One sender: sends the bytes and tells what came.
struct Sender {
    shards: u16,
    number: usize,
}

/// What a message brought about.
#[derive(Debug, Default)]
struct Seen {
    answers: Vec<Head>,
    closed: bool,
}

impl Sender {
    fn ip(&self) -> IpAddr {
        own_address(self.shards, self.number).into()
    }

    /// Sends a datagram, and an OPTIONS behind it: its answer ends the waiting, as one socket of the node
    /// serves one source in order. Only the answer to an admitted request may come later.
    fn udp(&self, node: &Node, torture: &Torture, late: bool) -> Seen {
        let port = Head::read(&torture.bytes).via_port();
        let socket = UdpSocket::bind((self.ip(), port)).expect("the Via's port on an own address");
        socket.connect(node.udp()).expect("the node's address");
        let probe = probe(socket.local_addr().expect("own address"), "UDP");
        if let Some(register) = register_of(&torture.bytes, socket.local_addr().expect("own address"), "UDP")
        {
            socket.send(&register).expect("a datagram sent");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut buffer = [0; 65_535];
            let length = socket.recv(&mut buffer).expect("an answer");
            assert_eq!(Head::read(&buffer[..length]).status(), Some(200), "{}", torture.file);
        }
        let mut seen = Seen::default();
        let mut take = |patience: Duration, until_probe: bool| {
            socket.set_read_timeout(Some(patience)).expect("a timeout");
            let mut buffer = [0; 65_535];
            while let Ok(length) = socket.recv(&mut buffer) {
                let head = Head::read(&buffer[..length]);
                if head.first("call-id") == Some(&probe.1) {
                    return true;
                }
                if head.status().is_some_and(|status| status >= 200) {
                    seen.answers.push(head);
                    if !until_probe {
                        return false;
                    }
                }
            }
            false
        };
        socket.send(&torture.bytes).expect("a datagram sent");
        if late {
            take(PATIENCE, false);
        }
        socket.send(&probe.0).expect("a datagram sent");
        assert!(take(PATIENCE, true), "{}: the sender is served no more", torture.file);
        seen
    }

    /// Sends the bytes on a connection of their own, an OPTIONS behind them, and reads what comes.
    fn tcp(&self, node: &Node, torture: &Torture, wanted: Wanted) -> Seen {
        let (answers, may_end) = match wanted {
            Answer(_) => (1, false),
            Silence => (0, false),
            AnswerAndClose(_) => (1, true),
            Close | More => (0, true),
        };
        let mut stream = TcpStream::connect(node.tcp()).expect("a connection");
        let mut seen = Seen::default();
        let mut unread = Vec::new();
        if let Some(register) = register_of(&torture.bytes, stream.local_addr().expect("own address"), "TCP")
        {
            stream.write_all(&register).expect("bytes sent");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).expect("an answer");
            assert_eq!(Head::read(&buffer[..length]).status(), Some(200), "{}", torture.file);
        }
        stream.write_all(&torture.bytes).expect("bytes sent");
        let probe = probe(stream.local_addr().expect("own address"), "TCP");
        let mut probed = false;
        let mut buffer = [0; 65_535];
        loop {
            while let Some((message, rest)) = cut(&unread) {
                let head = Head::read(message);
                let rest = rest.to_vec();
                unread = rest;
                if head.first("call-id") == Some(&probe.1) {
                    return seen;
                }
                if head.status().is_some_and(|status| status >= 200) {
                    seen.answers.push(head);
                }
            }
            if seen.answers.len() >= answers && !may_end && !probed {
                probed = true;
                stream.write_all(&probe.0).expect("bytes sent");
            }
            let patience = if wanted == More { QUIET } else { PATIENCE };
            stream.set_read_timeout(Some(patience)).expect("a timeout");
            match stream.read(&mut buffer) {
                Ok(0) => {
                    seen.closed = true;
                    return seen;
                }
                Ok(length) => unread.extend_from_slice(&buffer[..length]),
                Err(_) => return seen,
            }
        }
    }
}

/// A REGISTER of the message's sender from the same socket, where it is one of our phones: a phone without
/// proof is served on its own flow only.
fn register_of(message: &[u8], own: SocketAddr, transport: &str) -> Option<Vec<u8>> {
    let head = Head::read(message);
    // In dblreq the second message is the caller's.
    let from = match head.first("call-id")?.starts_with("dblreq") {
        true => "sip:caller@",
        false if head.start.starts_with("REGISTER") => return None,
        false => head.first("from")?,
    };
    let dn = SENDERS.iter().find(|dn| from.contains(&format!("sip:{dn}@")))?;
    let word = unique();
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {own};branch=z9hG4bK{word};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{dn}@example.com>;tag={word}\r\nTo: <sip:{dn}@example.com>\r\n\
         Call-ID: {word}@own\r\nCSeq: 1 REGISTER\r\nContact: <sip:{dn}@{own}>\r\nExpires: 600\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Some(text.into_bytes())
}

/// An OPTIONS to the node itself, and its Call-ID.
fn probe(own: SocketAddr, transport: &str) -> (Vec<u8>, String) {
    let (word, call_id) = (unique(), format!("{}@probe", unique()));
    let text = format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {own};branch=z9hG4bK{word};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@example.com>;tag={word}\r\nTo: <sip:example.com>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    (text.into_bytes(), call_id)
}

/// The reactions that the index takes, in words of statuses; "process" takes all that a well-formed request
/// may get.
fn index_takes(torture: &Torture, status: u16) -> bool {
    let word = status.to_string();
    let listed = torture.ideal.iter().chain(&torture.acceptable);
    listed.clone().any(|s| *s == word)
        || (listed.clone().any(|s| s == "process") && !matches!(status, 400 | 416 | 500 | 505 | 513))
}

fn faults(torture: &Torture, over: &str, wanted: Wanted, seen: &Seen) -> Vec<String> {
    let statuses: Vec<u16> = seen.answers.iter().filter_map(Head::status).collect();
    let (asked, closed): (Vec<u16>, bool) = match wanted {
        Answer(status) => (vec![status], false),
        AnswerAndClose(status) => (vec![status], true),
        Silence | More => (Vec::new(), false),
        Close => (Vec::new(), true),
    };
    let mut faults = Vec::new();
    if statuses != asked || seen.closed != closed {
        let end = |closed| if closed { ", then closed" } else { "" };
        faults.push(format!(
            "wanted {asked:?}{}, given {statuses:?}{} ({})",
            end(closed),
            end(seen.closed),
            torture.note
        ));
    }
    if let Some(answer) = seen.answers.first() {
        // In dblreq a second message stands behind the first.
        let second = cut(&torture.bytes).map_or(&[][..], |(_, rest)| rest);
        let requests = [Head::read(&torture.bytes), Head::read(second)];
        let own = requests.iter().find(|r| r.first("call-id") == answer.first("call-id"));
        faults.extend(answer.faults_as_answer_to(own.unwrap_or(&requests[0])));
    }
    faults.into_iter().map(|fault| format!("{} over {over}: {fault}", torture.file)).collect()
}

/// Whether a message is sent at all over that transport, and what it must bring about.
fn each(shards: u16, over: &str, send: impl Fn(&Node, &Sender, &Torture) -> (Wanted, Seen)) {
    let mut node = node(shards);
    let mut callee = Answerer::start(&node, "user");
    let mut all_faults = Vec::new();
    for (number, torture) in load().iter().enumerate() {
        // It bears Call-ID and CSeq of another REGISTER of the set: on one node it would be its repetition.
        if torture.file == "port-unambiguous.sip" {
            assert!(node.metric("keyline_worker_panics_total", "") < 1.0, "a worker panicked");
            drop(callee);
            node = self::node(shards);
            callee = Answerer::start(&node, "user");
        }
        let (wanted, seen) = send(&node, &Sender { shards, number }, torture);
        if let Answer(status) = wanted {
            assert!(index_takes(torture, status), "{}: the index does not take {status}", torture.file);
        }
        all_faults.extend(faults(torture, over, wanted, &seen));
    }
    drop(callee);
    assert!(all_faults.is_empty(), "{} reactions are wrong:\n{}", all_faults.len(), all_faults.join("\n"));
    assert!(node.metric("keyline_worker_panics_total", "") < 1.0, "a worker panicked");
}

fn torture_over_udp(shards: u16) {
    each(shards, "UDP", |node, sender, torture| {
        let (wanted, _) = wanted(&torture.file);
        (wanted, sender.udp(node, torture, matches!(wanted, Answer(_))))
    });
}

fn torture_over_tcp(shards: u16) {
    each(shards, "TCP", |node, sender, torture| {
        let (_, wanted) = wanted(&torture.file);
        (wanted, sender.tcp(node, torture, wanted))
    });
}

on_shards!(torture_over_udp, torture_over_tcp);

/// A registered phone that takes whatever it is asked.
struct Answerer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answerer {
    fn start(node: &Node, dn: &str) -> Answerer {
        let mut line = Line::udp(node.udp());
        let mut request = Request::register_from(dn, &line);
        request.uri = "sip:example.com".into();
        request.to = format!("<sip:{dn}@example.com>");
        assert_eq!(line.exchange(&request).status(), Some(200), "{dn}");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(request) = line.receive_within(QUIET) else { continue };
                let body = match request.method() {
                    Some(Method::Ack) | None => continue,
                    Some(Method::Invite) => Some(audio(4000)),
                    Some(_) => None,
                };
                let answer = respond(&line, &request, 200, "taken", body.as_deref());
                line.send(&answer);
            }
        });
        Answerer { stop, thread: Some(thread) }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would only hide that of the test.
            let _ = thread.join();
        }
    }
}
