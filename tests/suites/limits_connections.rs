//! `[limits]` on connections: how many, how long without a handshake, a message or a registration, and what
//! happens when the process has no descriptor left.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority;
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait::{self, PATIENCE};

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};
use crate::limits::{counted, limited};

on_shards!(connections_are_limited_in_all_and_by_source);

/// Pause between two bytes of a slow peer.
const DRIP: Duration = Duration::from_millis(100);

fn loopback(n: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, n])
}

/// A connection from another address of the loopback network.
fn connect_from(own: IpAddr, server: SocketAddr) -> TcpStream {
    let connect = || {
        wait::run(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            // Small, so that what is not read fills it at once.
            socket.set_recv_buffer_size(4096).expect("a buffer size");
            socket.bind(SocketAddr::new(own, 0)).expect("an own address");
            socket.connect(server).await.expect("a connection").into_std().expect("a stream")
        })
    };
    // A thread of its own: the caller may be inside a runtime.
    let stream = std::thread::scope(|scope| scope.spawn(connect).join().expect("a connection"));
    stream.set_nonblocking(false).expect("a blocking stream");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The server has closed it: nothing more comes.
fn is_closed(stream: &mut TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(_) => return true,
        }
    }
}

/// It answers OPTIONS: it was accepted and is served.
fn is_served(stream: &mut TcpStream) -> bool {
    let local = stream.local_addr().expect("own address");
    let text = format!(
        "OPTIONS sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:keyline.local>\r\nCall-ID: {}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        keyline_tests::sip::unique(),
        keyline_tests::sip::unique(),
    );
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = [0; 2048];
    stream.write_all(text.as_bytes()).is_ok()
        && stream.read(&mut answer).is_ok_and(|n| answer[..n].starts_with(b"SIP/2.0 200"))
}

fn connections_are_limited_in_all_and_by_source(shards: u16) {
    let limits = ["connections = 5", "connections_per_source = 3"];
    let node = limited(shards, &Inventory::new(), &limits);
    let open = |n| connect_from(loopback(n), node.tcp());
    let mut held: Vec<TcpStream> = [1, 1, 1].map(open).into();
    assert!(held.iter_mut().all(is_served));
    assert!(is_closed(&mut open(1), PATIENCE));
    assert_eq!(counted(&node, "connections_per_source"), 1.0);
    // Another source has its own three, but the node only five.
    held.extend([2, 2].map(open));
    assert!(held.iter_mut().all(is_served));
    assert!(is_closed(&mut open(3), PATIENCE));
    assert_eq!(counted(&node, "connections"), 1.0);
    held.pop();
    wait::until("room for another one", || is_served(&mut open(3)).then_some(()));
    assert!(held.iter_mut().all(is_served), "those that were open stay open");
}

#[test]
fn strangers_cannot_take_the_places_of_phones() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(2), CALLER).plain_phone(&callee_device(2), CALLEE);
    let limits = ["unauthenticated_connections = 4", "unauthenticated_per_source = 2"];
    let node = limited(2, &inventory, &limits);
    let open = |n| connect_from(loopback(n), node.tcp());
    let mut strangers: Vec<TcpStream> = [6, 6].map(open).into();
    assert!(strangers.iter_mut().all(is_served));
    assert!(is_closed(&mut open(6), PATIENCE));
    assert_eq!(counted(&node, "unauthenticated_per_source"), 1.0);
    wait::run(async {
        // Who registers is no stranger: any number of phones may follow one another.
        let first = registered(node.phone(Transport::Tcp, &caller_device(2), CALLER)).await;
        let second = registered(node.phone(Transport::Tcp, &callee_device(2), CALLEE)).await;
        strangers.extend([7, 7].map(open));
        assert!(strangers.iter_mut().all(is_served));
        assert!(is_closed(&mut open(8), PATIENCE));
        assert_eq!(counted(&node, "unauthenticated_connections"), 1.0);
        for phone in [&first, &second] {
            phone.register().await.unwrap();
        }
    });
}

/// Sends one byte after the other until the server closes; how long that took.
fn drip(stream: &mut TcpStream, text: &[u8]) -> Duration {
    let began = Instant::now();
    for byte in text.iter().cycle() {
        if stream.write_all(&[*byte]).is_err() || is_closed(stream, DRIP) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "a slow peer is never closed");
    }
    unreachable!("the text is not empty")
}

#[test]
fn a_message_that_comes_byte_by_byte_ends_its_connection() {
    let limits = ["message_s = 1", "unauthenticated_idle_s = 3600"];
    let node = limited(2, &Inventory::new(), &limits);
    let mut slow = connect_from(loopback(1), node.tcp());
    // The deadline counts from the first byte: that bytes keep coming does not help.
    let took = drip(&mut slow, b"OPTIONS sip:keyline.local SIP/2.0\r\nSubject: slow\r\n");
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(counted(&node, "message_s"), 1.0);

    // A whole message each time is no slow one, whatever goes before it.
    let mut steady = connect_from(loopback(1), node.tcp());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(is_served(&mut steady));
        assert!(!is_closed(&mut steady, DRIP));
    }

    // The same over TLS, by OpenSSL.
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &node.tls().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut input = client.stdin.take().expect("a pipe");
    wait::until("end of the slow TLS client", || {
        let _ = input.write_all(b"x").and_then(|()| input.flush());
        client.try_wait().expect("its status")
    });
    assert_eq!(counted(&node, "message_s"), 2.0);
}

#[test]
fn who_never_registers_is_closed_and_pings_do_not_help() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(1), CALLER);
    let node = limited(1, &inventory, &["unauthenticated_idle_s = 1"]);
    let mut silent = connect_from(loopback(1), node.tcp());
    let mut pinging = connect_from(loopback(1), node.tcp());
    wait::run(async {
        let phone = registered(node.phone(Transport::Tcp, &caller_device(1), CALLER)).await;
        let began = Instant::now();
        loop {
            let _ = pinging.write_all(b"\r\n\r\n");
            if is_closed(&mut pinging, DRIP) {
                break;
            }
            assert!(began.elapsed() < PATIENCE);
        }
        assert!(is_closed(&mut silent, PATIENCE));
        assert_eq!(counted(&node, "unauthenticated_idle_s"), 2.0);
        assert!(phone.is_open());
        phone.register().await.expect("the phone's own connection stays");
    });
}

#[test]
fn an_unfinished_handshake_is_closed_in_time() {
    let node = limited(2, &Inventory::new(), &["handshake_s = 1"]);
    let mut silent = connect_from(loopback(1), node.tls());
    let mut slow = connect_from(loopback(1), node.tls());
    // The record layer announces a ClientHello of 512 bytes, which come one by one.
    let took = drip(&mut slow, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7, 7, 7]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(is_closed(&mut silent, PATIENCE));
    assert_eq!(counted(&node, "handshake_s"), 2.0);
}

#[test]
fn half_open_handshakes_leave_room_for_phones() {
    let authority = Authority::new("Test CAPF");
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem()).encrypted_phone(&caller_device(2), CALLER);
    let node = limited(2, &inventory, &["handshakes = 3", "handshake_s = 60"]);
    let mut half: Vec<TcpStream> = (0..2).map(|_| connect_from(loopback(7), node.tls())).collect();
    let tls = || Transport::Tls(Box::new(node.tls_options(Some(&authority.issue(&caller_device(2))))));
    wait::run(async {
        // Two are under way: a third fits, and is no handshake any more when it is done.
        let phone = registered(node.phone(tls(), &caller_device(2), CALLER)).await;
        wait::until("a refusal", || {
            let mut probe = connect_from(loopback(8), node.tls());
            let refused = is_closed(&mut probe, DRIP);
            half.push(probe);
            refused.then_some(())
        });
        assert!(half.len() <= 5, "{} half-open handshakes", half.len());
        assert!(counted(&node, "handshakes") >= 1.0);
        phone.register().await.unwrap();
        half.clear();
        wait::until("room for a handshake", || {
            let mut probe = connect_from(loopback(8), node.tls());
            (!is_closed(&mut probe, DRIP)).then_some(())
        });
    });
}

/// OPTIONS whose answer is as long as itself: it repeats the Via values.
fn long_options(node: &Node) -> Vec<u8> {
    let long = format!("SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKy;x={}", "x".repeat(8000));
    let line = Line::tcp(node.tcp());
    Request::new("OPTIONS", "sip:keyline.local", CALLER).header("Via", &long).print(&line)
}

#[test]
fn a_peer_that_never_reads_is_closed() {
    let limits = ["write_s = 1", "unauthenticated_idle_s = 3600"];
    let node = limited(1, &Inventory::new(), &limits);
    let mut deaf = connect_from(loopback(1), node.tcp());
    let request = long_options(&node);
    // Once all buffers are full the node writes no further byte, and reads none.
    deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    while deaf.write_all(&request).is_ok() {}
    wait::until("end of the connection", || (counted(&node, "write_s") > 0.0).then_some(()));
}

#[test]
fn answers_that_pile_up_end_the_connection() {
    let node = limited(1, &Inventory::new(), &["write_queue_bytes = 16384"]);
    let mut greedy = connect_from(loopback(1), node.tcp());
    greedy.write_all(&long_options(&node).repeat(7)).unwrap();
    assert!(is_closed(&mut greedy, PATIENCE));
    wait::until("the count", || (counted(&node, "write_queue_bytes") > 0.0).then_some(()));
}

/// Processor time of the node so far, user and system.
fn cpu(node: &Node) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).expect("/proc");
    let (_, fields) = stat.rsplit_once(')').expect("the program's name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn set_descriptors(node: &Node, soft: u64) {
    let done = Command::new("prlimit")
        .args(["--pid", &node.pid().to_string(), &format!("--nofile={soft}:")])
        .status()
        .expect("prlimit of util-linux runs");
    assert!(done.success());
}

/// Waits until the store's own threads open no files any more, as they do for a while after a start: what they cannot
/// open fails the next write, and here nobody keeps a reserve for them.
fn store_at_rest(node: &Node) {
    let files = || {
        let all = std::fs::read_dir(node.data().join("store")).unwrap().filter_map(Result::ok);
        let mut all: Vec<_> = all.map(|file| file.file_name()).collect();
        all.sort();
        all
    };
    let (mut before, mut same) = (files(), 0);
    wait::until("a store at rest", || {
        let now = files();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        (same == 50).then_some(())
    });
}

#[test]
fn without_descriptors_phones_are_served_and_nothing_spins() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(2), CALLER).plain_phone(&callee_device(2), CALLEE);
    let node = limited(2, &inventory, &[]);
    wait::run(async {
        let phone = registered(node.phone(Transport::Tcp, &caller_device(2), CALLER)).await;
        store_at_rest(&node);
        // Not one more file may be opened from here on.
        set_descriptors(&node, 3);
        let mut waiting: Vec<TcpStream> = (0..8).map(|_| connect_from(loopback(9), node.tcp())).collect();
        waiting.extend((0..8).map(|_| connect_from(loopback(9), node.tls())));
        let (began, before) = (Instant::now(), cpu(&node));
        // The phone that is there keeps its service meanwhile.
        let mut turns = 0;
        while began.elapsed() < Duration::from_secs(2) {
            phone.register().await.unwrap();
            assert!(!is_closed(&mut waiting[turns % 8], DRIP), "what waits in the backlog is not lost");
            turns += 1;
        }
        let (used, took) = (cpu(&node) - before, began.elapsed());
        println!("{used:?} of processor time in {took:?} without descriptors");
        assert!(used < took / 5, "{used:?} of processor time in {took:?}: the accept loop spins");
        set_descriptors(&node, 4096);
        assert!(waiting[..8].iter_mut().all(is_served), "the backlog is served when there is room again");
        assert!(counted(&node, "descriptors_reserved") > 0.0);
        registered(node.phone(Transport::Tcp, &callee_device(2), CALLEE)).await;
    });
}

#[test]
fn connections_leave_the_reserve_of_descriptors_alone() {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(1), CALLER);
    let node = Builder::new()
        .inventory(&inventory)
        .setting("limits", "descriptors_reserved = 64")
        .descriptors(256)
        .start();
    wait::run(async {
        let phone = registered(node.phone(Transport::Tcp, &caller_device(1), CALLER)).await;
        let mut flood: Vec<TcpStream> =
            (0..300).map(|i| connect_from(loopback(10 + (i % 8) as u8), node.tcp())).collect();
        wait::until("a refusal", || (counted(&node, "descriptors_reserved") > 0.0).then_some(()));
        let open = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count();
        // Some of the reserve is in use: by those who ask for metrics, for instance.
        assert!(open <= 256 - 32, "{open} of 256 descriptors are open");
        assert!(node.stderr().contains("LimitNOFILE"), "it says so at its start");
        // The store and the admin API have what they need.
        phone.register().await.unwrap();
        assert_eq!(node.registrations().len(), 1);
        assert!(is_served(&mut flood[0]));
        flood.clear();
        wait::until("room again", || is_served(&mut connect_from(loopback(30), node.tcp())).then_some(()));
    });
}
