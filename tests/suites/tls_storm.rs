//! Many phones at the door at once: they come back after kill -9, and more than can be served are told so.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use keyline_loadtest::inventory;
use keyline_loadtest::load::users::User;
use keyline_loadtest::load::{
    Amount, Carrier, Certificates, Fleet, Job, Options, Tally, Target, TlsSetup, own_addresses,
};
use keyline_loadtest::phone::{Phone, Srtp, Transport};
use keyline_loadtest::pki::Authority;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::pki::Authority as TestAuthority;
use keyline_tests::wait;
use keyline_wire::sdp::Direction;
use tempfile::TempDir;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};

/// Phones of the fleets.
const PHONES: u32 = 200;

struct Crowd {
    node: Node,
    folder: TempDir,
    authority: String,
}

impl Crowd {
    fn start(builder: Builder) -> Crowd {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap().pem;
        let node = builder.fixed_ports().start();
        let mut rows = Vec::new();
        inventory::write_encrypted(&mut rows, 1, PHONES, &authority).unwrap();
        assert!(node.import(std::str::from_utf8(&rows).unwrap()).status.success());
        Crowd { node, folder, authority }
    }

    fn fleet(&self, phones: std::ops::Range<usize>, resume: bool) -> Fleet {
        let target = Target { carrier: Carrier::Tls, address: self.node.tls() };
        let mut options = Options::new(target, own_addresses(self.node.tls(), PHONES as usize).unwrap());
        let again = Authority::open(self.folder.path()).unwrap();
        assert_eq!(again.pem, self.authority);
        let certificates = Certificates::Made(Box::new(again));
        options.tls = Some(TlsSetup::new(self.node.tls_options(None), certificates, resume));
        let users = inventory::fleet(1, PHONES).into_iter().map(User::from);
        Fleet::open(users.skip(phones.start).take(phones.len()).collect(), options).unwrap()
    }
}

fn all(count: u32) -> Amount {
    Amount { count: u64::from(count), rate: 0.0, ramp: Duration::ZERO }
}

fn outcome(tally: &Tally, name: &str) -> u64 {
    tally.outcomes.get(name).copied().unwrap_or(0)
}

#[test]
fn all_phones_come_back_after_kill9_with_what_they_have_kept() {
    let mut crowd = Crowd::start(Builder::new().shards(2));
    let mut fleet = crowd.fleet(0..PHONES as usize, true);
    let first = fleet.run(&Job::Register, all(PHONES));
    assert_eq!(first.good, u64::from(PHONES), "{first:?}");
    fleet.attend(Duration::from_millis(100));
    crowd.node.kill9_and_restart();
    let back = fleet.run(&Job::Return, all(PHONES));
    assert_eq!(back.good, u64::from(PHONES), "{back:?}");
    let (resumed, full) = (outcome(&back, "resumed"), outcome(&back, "full"));
    assert!(resumed * 100 > (resumed + full) * 95, "{resumed} resumed, {full} full");
    assert_eq!(back.statuses.get(&("REGISTER", 200)), Some(&u64::from(PHONES)), "once each: {back:?}");
    assert_eq!(back.requests, u64::from(PHONES), "none was challenged: {back:?}");
    assert_eq!(fleet.connected(), u64::from(PHONES));
    assert_eq!(crowd.node.metric("keyline_phone_registered_devices", ""), f64::from(PHONES));
    assert!(crowd.node.registrations().iter().all(|row| row["flow"] != "lost"));
}

#[test]
fn a_call_is_changed_and_ended_on_the_flows_that_its_phones_came_back_on() {
    let authority = TestAuthority::new("Test CAPF");
    let (a, b) = (caller_device(2), callee_device(2));
    let mut inventory = Inventory::new();
    inventory.mixed().trust("CAPF-trust", &authority.pem());
    inventory.encrypted_phone(&a, CALLER).encrypted_phone(&b, CALLEE);
    let mut node = Builder::new().shards(2).inventory(&inventory).fixed_ports().start();
    wait::run(async {
        let tls = |device: &str| Transport::Tls(Box::new(node.tls_options(Some(&authority.issue(device)))));
        let caller = registered(node.phone(tls(&a), &a, CALLER).srtp(Srtp::savp())).await;
        let callee = registered(node.phone(tls(&b), &b, CALLEE).srtp(Srtp::savp())).await;
        let (out, inn) = connect(&caller, &callee).await;
        node.answered_call();
        node.kill9_and_restart();
        for phone in [&caller, &callee] {
            phone.reconnect().await.unwrap();
            Phone::register(phone).await.unwrap();
        }
        assert_eq!(node.calls().len(), 1);
        out.hold(Direction::SendOnly).await.unwrap();
        out.resume().await.unwrap();
        out.hang_up().await.unwrap();
        inn.ended().await.unwrap();
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    });
}

#[test]
fn connections_beyond_a_limit_are_closed_with_one_line_and_a_count() {
    let node = Builder::new().setting("limits", "connections = 3").start();
    let mut refused = 0;
    let kept: Vec<TcpStream> = (0..9)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(node.tls()).unwrap();
            // Whoever has a seat is waited for; whoever has none is closed.
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let is_refused =
                !matches!(stream.read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
            refused += u32::from(is_refused);
            (!is_refused).then_some(stream)
        })
        .collect();
    assert_eq!((kept.len(), refused), (3, 6));
    assert_eq!(node.metric("keyline_limits_refused_total", "limit=\"connections\""), 6.0);
    let lines = node.stderr().lines().filter(|l| l.contains("connections are refused")).count();
    assert_eq!(lines, 1, "{}", node.stderr());
}

#[test]
fn more_handshakes_than_wait_are_refused_and_registered_phones_go_on() {
    let builder = Builder::new().setting("limits", "handshakes_waiting = 2");
    let crowd = Crowd::start(builder);
    let mut steady = crowd.fleet(0..20, true);
    let registered = steady.run(&Job::Return, all(20));
    assert_eq!(registered.good, 20, "{registered:?}");
    let mut returning = crowd.fleet(20..40, true);
    let registered = returning.run(&Job::Return, all(20));
    assert_eq!(registered.good, 20, "{registered:?}");
    // Tickets of TLS 1.3 come after the handshake.
    returning.attend(Duration::from_millis(100));
    let mut strangers = crowd.fleet(40..PHONES as usize, false);
    let (storm, asked, returned) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| strangers.run(&Job::Handshake { links: 400 }, all(1_200)));
        let asked = steady.run(&Job::Refresh, all(20));
        let returned = returning.run(&Job::Return, all(20));
        (storm.join().unwrap(), asked, returned)
    });
    assert_eq!(asked.good, 20, "{asked:?}");
    assert_eq!((returned.good, outcome(&returned, "resumed")), (20, 20), "tickets pass: {returned:?}");
    assert!(storm.good > 0, "{storm:?}");
    let metric = |name: &str, label: &str| crowd.node.metric(name, label);
    let overload = metric("keyline_tls_handshakes_total", "result=\"overload\"");
    assert!(overload > 0.0, "{storm:?}");
    assert_eq!(metric("keyline_limits_refused_total", "limit=\"handshakes_waiting\""), overload);
    let lines =
        crowd.node.stderr().lines().filter(|l| l.contains("limit handshakes_waiting is reached")).count();
    assert!((1..=3).contains(&lines), "{}", crowd.node.stderr());
    // When it is over everybody gets in.
    let mut late = crowd.fleet(40..60, false);
    let back = late.run(&Job::Return, all(20));
    assert_eq!(back.good, 20, "{back:?}");
}
