//! SIGTERM, SIGHUP, and what a service manager is told.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use keyline_loadtest::phone::{End, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;
use keyline_wire::sip::HeaderName;
use nix::sys::signal::Signal;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, refused_with, registered};

on_shards!(
    a_draining_node_takes_nothing_new_and_waits_for_its_calls,
    calls_that_outlast_the_patience_get_a_bye,
    calls_that_are_kept_go_on_at_the_next_start,
);

/// A line that nobody has registered yet.
const THIRD: &str = "1003";
const THIRD_DEVICE: &str = "SEP0000000000C3";

fn inventory(shards: u16) -> Inventory {
    let mut inventory = Inventory::new();
    inventory
        .plain_phone(&caller_device(shards), CALLER)
        .plain_phone(&callee_device(shards), CALLEE)
        .plain_phone(THIRD_DEVICE, THIRD);
    inventory
}

fn draining(node: &Node) {
    wait::until("a draining node", || node.http_get("/ready").contains("stopping").then_some(()));
}

fn a_draining_node_takes_nothing_new_and_waits_for_its_calls(shards: u16) {
    let mut node = Builder::new().shards(shards).inventory(&inventory(shards)).start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Tcp, &caller_device(shards), CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &callee_device(shards), CALLEE)).await;
        let (out, inn) = connect(&caller, &callee).await;
        node.signal(Signal::SIGTERM);
        draining(&node);

        let second = callee.invite(THIRD).unwrap();
        assert_eq!(refused_with(&second).await, 503);
        let mut line = Line::udp(node.udp());
        let answer = line.exchange(&Request::register_from(THIRD, &line));
        assert_eq!(answer.status(), Some(503), "a first registration");
        let after: u32 =
            answer.first(HeaderName::RetryAfter).and_then(|v| v.parse().ok()).expect("Retry-After");
        assert!((5..=30).contains(&after), "{after}");
        // What is there goes on: a binding is renewed, the call is held and resumed.
        caller.refresh().await.unwrap();
        out.hold(keyline_wire::sdp::Direction::SendOnly).await.unwrap();
        out.resume().await.unwrap();
        assert!(node.is_alive());

        inn.hang_up().await.unwrap();
        out.ended().await.unwrap();
        assert_eq!(node.wait_end(), Some(0));
        caller.closed().await.expect("the connection is closed in good order");
    });
}

fn calls_that_outlast_the_patience_get_a_bye(shards: u16) {
    let mut node =
        Builder::new().shards(shards).inventory(&inventory(shards)).setting("node", "drain_s = 1").start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &caller_device(shards), CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &callee_device(shards), CALLEE)).await;
        let (out, inn) = connect(&caller, &callee).await;
        assert_eq!(node.terminate(), Some(0));
        for call in [out, inn] {
            assert_eq!(call.ended().await.unwrap().how, End::PeerBye);
        }
    });
}

fn calls_that_are_kept_go_on_at_the_next_start(shards: u16) {
    let mut node = Builder::new()
        .shards(shards)
        .inventory(&inventory(shards))
        .setting("node", "calls_at_stop = \"keep\"")
        .fixed_ports()
        .start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &caller_device(shards), CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &callee_device(shards), CALLEE)).await;
        let (out, inn) = connect(&caller, &callee).await;
        assert_eq!(node.terminate(), Some(0));
        assert!(out.end().is_none() && inn.end().is_none(), "nobody was told of an end");
        node.start();
        out.hang_up().await.unwrap();
        inn.ended().await.unwrap();
    });
}

/// An operator in a hurry: the second signal ends the wait for calls.
#[test]
fn a_second_signal_skips_the_wait() {
    let mut node = Builder::new().inventory(&inventory(1)).setting("node", "drain_s = 3600").start();
    wait::run(async {
        let caller = registered(node.phone(Transport::Udp, &caller_device(1), CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &callee_device(1), CALLEE)).await;
        let (out, _inn) = connect(&caller, &callee).await;
        node.signal(Signal::SIGTERM);
        draining(&node);
        node.signal(Signal::SIGINT);
        assert_eq!(node.wait_end(), Some(0));
        out.ended().await.expect("a BYE");
    });
}

fn rewrite(node: &Node, change: impl Fn(&str) -> String) {
    let file = node.folder().join("keyline.toml");
    std::fs::write(&file, change(&std::fs::read_to_string(&file).unwrap())).unwrap();
}

fn reloads(node: &Node, result: &str) -> f64 {
    node.metric("keyline_config_reloads_total", &format!("result=\"{result}\""))
}

#[test]
fn sighup_takes_over_what_may_change_and_keeps_the_rest() {
    let mut node = Builder::new().shards(2).inventory(&inventory(2)).start();
    let mut line = Line::udp(node.udp());
    let at = |host: &str, line: &Line| {
        let mut request = Request::register_from(CALLER, line);
        request.uri = format!("sip:{host}");
        request.to = format!("<sip:{CALLER}@{host}>");
        request.from = format!("<sip:{CALLER}@{host}>");
        request
    };
    let before = line.exchange(&at("second.example", &line)).status();
    assert_ne!(before, Some(200), "not one of ours yet");
    rewrite(&node, |t| t.replace("name = \"test\"", "name = \"test\"\naliases = [\"second.example\"]"));
    node.signal(Signal::SIGHUP);
    wait::until("a reload", || (reloads(&node, "done") == 1.0).then_some(()));
    assert_eq!(line.exchange(&at("second.example", &line)).status(), Some(200));
    // A wrong file changes nothing.
    rewrite(&node, |t| t.replace("aliases", "aliasses"));
    node.signal(Signal::SIGHUP);
    wait::until("a refused reload", || (reloads(&node, "refused") == 1.0).then_some(()));
    assert_eq!(line.exchange(&at("second.example", &line)).status(), Some(200));
    assert!(node.stderr().contains("aliasses"), "the log names what is wrong");
    // What needs a restart is named and not done.
    rewrite(&node, |t| t.replace("aliasses", "aliases").replace("count = 2", "count = 3"));
    node.signal(Signal::SIGHUP);
    wait::until("a reload", || (reloads(&node, "done") == 2.0).then_some(()));
    wait::until("the log", || node.stderr().contains("shards.count").then_some(()));
    assert!(node.is_alive());
}

/// A limit on connections acts from the reload on; who is connected stays.
#[test]
fn sighup_lowers_a_limit_without_closing_what_is_open() {
    let node = Builder::new().inventory(&inventory(1)).setting("limits", "connections = 100").start();
    let address: SocketAddr = node.tcp();
    let mut first = Line::tcp(address);
    let register = Request::register_from(CALLER, &first);
    assert_eq!(first.exchange(&register).status(), Some(200));
    rewrite(&node, |t| t.replace("connections = 100", "connections = 1"));
    node.signal(Signal::SIGHUP);
    wait::until("a reload", || (reloads(&node, "done") == 1.0).then_some(()));
    use std::io::Read;
    let mut second = std::net::TcpStream::connect(address).unwrap();
    second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(second.read(&mut [0; 8]).unwrap_or(0), 0, "refused");
    let again = Request::register_from(CALLER, &first);
    assert_eq!(first.exchange(&again).status(), Some(200), "the open one is served");
}

/// The rates of the admin API act from a reload on; what its server was started with is named as waiting.
#[test]
fn sighup_takes_over_the_rates_of_the_admin_api() {
    let node = Builder::new().setting("limits", "admin_requests_per_token = 1000").start();
    let refused = || node.metric("keyline_limits_refused_total", "limit=\"admin_requests_per_token\"");
    let burst = || {
        let (token, address) = (format!("Authorization: Bearer {}", node.token()), node.address("admin"));
        // In one connection, so that they come faster than one a second.
        let url = format!("https://{address}/api/v1/nodes?[1-12]");
        let arguments = ["-sSk", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", &token, &url];
        let out = std::process::Command::new("curl").args(arguments).output().expect("curl runs");
        String::from_utf8_lossy(&out.stdout).lines().filter(|code| *code == "429").count()
    };
    assert_eq!((burst(), refused()), (0, 0.0));
    rewrite(&node, |t| t.replace("_per_token = 1000", "_per_token = 1\nadmin_body_bytes = 8192"));
    node.signal(Signal::SIGHUP);
    wait::until("a reload", || (reloads(&node, "done") == 1.0).then_some(()));
    let now = burst();
    assert!(now >= 6 && refused() >= now as f64, "{now} of 12");
    wait::until("the log", || node.stderr().contains("admin_body_bytes").then_some(()));
}

#[test]
fn a_service_manager_hears_of_every_step_and_the_watchdog_is_fed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let next = |word: &str| {
        wait::until(word, || {
            let mut bytes = [0u8; 512];
            let n = socket.recv(&mut bytes).expect("a message");
            let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
            text.contains(word).then_some(text)
        })
    };
    let mut node = Builder::new()
        .inventory(&inventory(1))
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "600000")
        .start();
    next("READY=1");
    for _ in 0..3 {
        next("WATCHDOG=1");
    }
    node.signal(Signal::SIGHUP);
    let reloading = next("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    next("READY=1");
    node.signal(Signal::SIGTERM);
    next("STOPPING=1");
    assert_eq!(node.wait_end(), Some(0));
}
