//! kill -9: what was acknowledged is served afterwards; what was captured serves nobody else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keyline_domain::digest::Algorithm;
use keyline_loadtest::phone::Transport;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::sip::{Line, Login, Request, contact};
use keyline_tests::wait;
use keyline_wire::sip::Message;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, registered};

on_shards!(phones_are_served_after_kill9, captured_requests_serve_nobody_else);

/// Phones of the load test, and how often the node is killed.
const PHONES: u32 = 3_000;
const SEEDS: u32 = 10;

/// REGISTERs begun in a second.
const RATE: u32 = 1_000;

/// Seconds asked for.
const EXPIRES: u64 = 600;

struct Fleet {
    node: Node,
    devices: Vec<String>,
}

/// What one phone of the load sent and got.
#[derive(Default)]
struct Phone {
    request: Option<Request>,
    /// The last authorized REGISTER.
    sent: Option<Vec<u8>>,
    /// When it was granted until, at least: milliseconds since 1970.
    granted_until: Option<u64>,
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn dn(i: u32) -> String {
    format!("{}", 20_000 + i)
}

fn fleet() -> Fleet {
    let devices: Vec<String> = (0..PHONES).map(|i| device_on((i % 2) as u16, 2, 10 + i)).collect();
    let mut inventory = Inventory::new();
    for (i, device) in (0..).zip(&devices) {
        inventory.digest_phone(device, &dn(i));
    }
    let node = Builder::new().shards(2).inventory(&inventory).fixed_ports().start();
    Fleet { node, devices }
}

/// Registers phones at [`RATE`] from one socket until `stop`, and gives what became of each.
fn load(
    line: &mut Line,
    phones: std::ops::Range<u32>,
    stop: impl Fn(Duration) -> bool,
) -> BTreeMap<u32, Phone> {
    let mut state: BTreeMap<u32, Phone> = BTreeMap::new();
    let began = Instant::now();
    let mut next = phones.start;
    while !stop(began.elapsed()) {
        let elapsed = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        let due = phones.start + elapsed / (1_000_000 / RATE);
        while next < due.min(phones.end) {
            let mut request = Request::register(&dn(next)).header("Contact", &contact(&dn(next), line));
            request.set("Expires", &EXPIRES.to_string());
            request.call_id = format!("{next}-{}", request.call_id);
            line.send(&request.print(line));
            state.entry(next).or_default().request = Some(request);
            next += 1;
        }
        let Some(answer) = line.receive_within(Duration::from_millis(1)) else { continue };
        if let (Some(401), Some((i, phone))) = (answer.status(), phone_of(&mut state, &answer)) {
            let mut second = phone.request.clone().expect("it was sent").next();
            let login =
                Login { user: &user_of(&dn(i)), password: &password_of(&dn(i)), algorithm: Algorithm::Md5 };
            second.authorize(&answer, &login, 1);
            let bytes = second.print(line);
            line.send(&bytes);
            phone.sent = Some(bytes);
        }
        grant(&mut state, &answer);
    }
    state
}

/// The phone that an answer is for, by the number in front of its Call-ID.
fn phone_of<'s>(state: &'s mut BTreeMap<u32, Phone>, answer: &Message<'_>) -> Option<(u32, &'s mut Phone)> {
    let i = answer.call_id()?.split('-').next()?.parse().ok()?;
    Some((i, state.get_mut(&i)?))
}

/// Notes a 200. The grant began before the answer came: a lower bound, to the second.
fn grant(state: &mut BTreeMap<u32, Phone>, answer: &Message<'_>) {
    if let (Some(200), Some((_, phone))) = (answer.status(), phone_of(state, answer)) {
        phone.granted_until = Some(now_ms() / 1000 * 1000 + (EXPIRES - 2) * 1000);
    }
}

/// All bindings: device → milliseconds since 1970 at which they end.
fn bindings(node: &Node) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = node.admin_get(&format!("/registrations?limit=1000{after}")).json();
        for row in page["items"].as_array().unwrap() {
            let until = rfc3339_ms(row["expires_at"].as_str().unwrap());
            all.insert(row["device"].as_str().unwrap().to_owned(), until);
        }
        match page["next"].as_str() {
            Some(cursor) => after = format!("&after={cursor}"),
            None => return all,
        }
    }
}

/// Milliseconds of `YYYY-MM-DDThh:mm:ss.mmmZ`.
fn rfc3339_ms(text: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a number");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 by the civil calendar: years begin in March, so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    u64::try_from(seconds * 1000 + number(20..23)).expect("after 1970")
}

#[test]
fn every_acknowledged_binding_survives_kill9_under_load() {
    let _turn = HEAVY.lock();
    let Fleet { mut node, devices } = fleet();
    let share = PHONES / SEEDS;
    let mut total = 0;
    for seed in 0..SEEDS {
        let mut line = Line::udp(node.udp());
        // Another moment each time: spread over the quarter of a second in which all are on their way.
        let moment = Duration::from_millis(100 + u64::from(seed.wrapping_mul(2_654_435_761) >> 23) % 250);
        let mut state = load(&mut line, seed * share..(seed + 1) * share, |elapsed| elapsed >= moment);
        node.kill9();
        // What was sent before the end counts, read or not.
        while let Some(answer) = line.receive_within(Duration::from_millis(20)) {
            grant(&mut state, &answer);
        }
        node.start();
        let after = bindings(&node);
        let mut acknowledged = 0;
        for (i, phone) in &state {
            let found = after.get(&devices[*i as usize]).copied();
            if let Some(until) = phone.granted_until {
                acknowledged += 1;
                let found = found.unwrap_or_else(|| panic!("seed {seed}: {} is lost", devices[*i as usize]));
                assert!(found >= until, "seed {seed}: ends at {found}, granted until {until}");
                // At most one hour longer (design: persisted until granted + min(100 %, 1 h)).
                assert!(found <= until + (EXPIRES + 60) * 1000, "seed {seed}: {found} for {until}");
            }
        }
        // Every REGISTER that was on its way is sent again: the very same bytes.
        for (i, phone) in &state {
            let Some(bytes) = &phone.sent else { continue };
            line.send(bytes);
            let answer = line.receive_final();
            let bound = after.contains_key(&devices[*i as usize]);
            let expected = if bound { 200 } else { 401 };
            assert_eq!(answer.status(), Some(expected), "seed {seed}, phone {i}, bound: {bound}");
        }
        assert!(acknowledged > 0, "seed {seed}: nothing was acknowledged in {moment:?}");
        total += acknowledged;
    }
    println!("{total} acknowledged bindings, all served after {SEEDS} times kill -9");
    let left = bindings(&node).len();
    assert!(left >= total, "of all seeds: {left} bindings, {total} acknowledged");
}

fn phones_are_served_after_kill9(shards: u16) {
    let mut inventory = Inventory::new();
    let (a, b) = (caller_device(shards), callee_device(shards));
    inventory.digest_phone(&a, CALLER).plain_phone(&b, CALLEE);
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().start();
    wait::run(async {
        let caller = registered(node.digest_phone(Transport::Udp, &a, CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &b, CALLEE)).await;
        let (out, _) = connect(&caller, &callee).await;
        node.kill9_and_restart();
        drop(out);
        assert_eq!(node.registrations().len(), 2);
        // Nobody registers again: the bindings are there.
        let (again, _) = connect(&callee, &caller).await;
        again.hang_up().await.unwrap();
        // A nonce of the earlier start is stale once, then the phone goes on.
        let (out, _) = connect(&caller, &callee).await;
        out.hang_up().await.unwrap();
        caller.refresh().await.unwrap();
    });
}

fn captured_requests_serve_nobody_else(shards: u16) {
    let mut inventory = Inventory::new();
    let (a, b) = (caller_device(shards), callee_device(shards));
    inventory.digest_phone(&a, CALLER).plain_phone(&b, CALLEE);
    let mut node = Builder::new().shards(shards).inventory(&inventory).fixed_ports().start();
    wait::run(async {
        let phone = registered(node.digest_phone(Transport::Udp, &a, CALLER)).await;
        let callee = registered(node.phone(Transport::Udp, &b, CALLEE)).await;
        let (out, _) = connect(&phone, &callee).await;
        out.hang_up().await.unwrap();
        let captured = |method: &str| {
            let sent = phone.record().find(0, |e| !e.is_received() && e.is_request(method));
            let with = sent.iter().rfind(|e| e.header("Authorization").is_some());
            with.expect("an authorized request").bytes.to_vec()
        };
        let (register, invite) = (captured("REGISTER"), captured("INVITE"));
        let before = node.registrations_of(&a);
        for restarted in [false, true] {
            if restarted {
                node.kill9_and_restart();
            }
            let calls = callee.record().received_requests("INVITE");
            let mut thief = Line::udp_from("127.0.0.66".parse().unwrap(), node.udp());
            for bytes in [&register, &invite] {
                // As it is (Via leads to the owner, `received` to the thief), and as a new transaction.
                let text = String::from_utf8(bytes.clone()).unwrap();
                let fresh = text.replacen("branch=z9hG4bK", "branch=z9hG4bKreplayed", 1);
                for replay in [text, fresh] {
                    thief.send(replay.as_bytes());
                    let status = tokio::task::block_in_place(|| thief.receive_final()).status();
                    assert!(matches!(status, Some(401 | 403)), "{status:?} after restart: {restarted}");
                }
            }
            assert_eq!(callee.record().received_requests("INVITE"), calls, "nobody's phone rings");
            let flows =
                |rows: &[serde_json::Value]| rows.iter().map(|r| r["flow"].clone()).collect::<Vec<_>>();
            assert_eq!(flows(&node.registrations_of(&a)), flows(&before));
        }
    });
}

#[test]
fn a_graceful_end_keeps_the_bindings_too() {
    let mut inventory = Inventory::new();
    let device = caller_device(2);
    inventory.plain_phone(&device, CALLER);
    let mut node = Builder::new().shards(2).inventory(&inventory).fixed_ports().start();
    wait::run(async {
        let phone = registered(node.phone(Transport::Tcp, &device, CALLER)).await;
        assert_eq!(node.terminate(), Some(0));
        node.start();
        // A connection does not outlive the node: the binding waits for the phone.
        assert_eq!(node.registered(&device)["flow"], "lost");
        phone.reconnect().await.unwrap();
        phone.register().await.unwrap();
        assert_ne!(node.registered(&device)["flow"], "lost");
    });
}

#[test]
fn the_number_of_shards_may_change_at_a_restart() {
    let mut inventory = Inventory::new();
    let devices: Vec<String> = (0..12).map(|i| device_on(i as u16 % 3, 3, i)).collect();
    for (i, device) in (0..).zip(&devices) {
        inventory.plain_phone(device, &dn(i));
    }
    let mut node = Builder::new().shards(3).inventory(&inventory).fixed_ports().start();
    let mut line = Line::udp(node.udp());
    for i in 0..12 {
        assert_eq!(line.exchange(&Request::register_from(&dn(i), &line)).status(), Some(200));
    }
    for count in [1, 2, 3] {
        node.kill9();
        let file = node.folder().join("keyline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let line_of = text.lines().find(|l| l.starts_with("count")).unwrap().to_owned();
        std::fs::write(&file, text.replace(&line_of, &format!("count = {count}"))).unwrap();
        node.start();
        assert_eq!(bindings(&node).len(), 12, "with {count} shards");
        for i in 0..12 {
            let mut again = Request::register_from(&dn(i), &line);
            again.set("Expires", "1200");
            assert_eq!(line.exchange(&again).status(), Some(200), "with {count} shards");
        }
    }
}
