//! Roll-outs: a saved version is brought to the phones of its profile.

use keyline_tests::admin::Answer;
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::raw::Raw;
use keyline_tests::sip::{Line, Request};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};
use serde_json::{Value, json};

use crate::rollouts_save::{FLEET, add, counters, open_profile, save, view, with_digest};

on_one_and_three!(
    r102_r184_r206_apply_tells_each_phone_and_judges_it_by_the_new_version,
    a_phone_is_taken_under_the_old_version_while_its_grace_runs,
    it_is_held_stopped_and_let_go,
    it_goes_on_where_it_was_after_kill_9,
    it_stops_by_itself_when_phones_do_not_come_back,
);

/// POST below `/api/v1`.
fn post(node: &Node, path: &str, body: &Value) -> Answer {
    let token = format!("Authorization: Bearer {}", node.token());
    node.admin(
        path,
        &["-X", "POST", "-H", &token, "-H", "Content-Type: application/json", "-d", &body.to_string()],
    )
}

/// Begins a roll-out with what the node asks to confirm.
fn begin(node: &Node, order: &str, mut body: Value) -> u64 {
    let path = format!("/security-profiles/{FLEET}/{order}");
    let asked = post(node, &path, &body);
    assert_eq!((asked.status, &asked.json()["code"]), (428, &json!("confirmation_required")), "{asked:?}");
    body["confirm"] = asked.json()["confirm"].clone();
    let begun = post(node, &path, &body);
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.json()["id"].as_u64().expect("a number")
}

fn rollout(node: &Node, id: u64) -> Value {
    node.admin_get(&format!("/rollouts/{id}")).json()
}

/// Waits until a roll-out is in that state.
fn becomes(node: &Node, id: u64, state: &str) -> Value {
    let mut last = Value::Null;
    wait::until(&format!("state {state}"), || {
        last = rollout(node, id);
        (last["state"] == state).then(|| last.clone())
    })
}

/// Phones of the profile, registered, without a profile of digest.
struct Fleet {
    node: Node,
    devices: Vec<String>,
    phones: Vec<Raw>,
}

fn dn(n: usize) -> String {
    (1001 + n).to_string()
}

/// `count` phones of the profile on shards in turn; the first `registered` of them are registered over UDP.
fn fleet(shards: u16, count: usize, registered: usize, change: impl FnOnce(Builder) -> Builder) -> Fleet {
    let mut inventory = Inventory::new();
    inventory.parameter("apply_grace_s", 120);
    open_profile(&mut inventory);
    let mut devices: Vec<String> =
        (0u32..).take(count).map(|n| device_on((n % u32::from(shards)) as u16, shards, n)).collect();
    devices.sort();
    for (n, device) in devices.iter().enumerate() {
        add(&mut inventory, device, &dn(n));
    }
    let node = change(Builder::new().shards(shards)).inventory(&inventory).start();
    let phones = (0..registered).map(|n| Raw::register(&dn(n), Line::udp(node.udp()))).collect();
    Fleet { node, devices, phones }
}

/// The next signal, answered.
fn signalled(phone: &mut Raw, status: u16) -> Message<'static> {
    let notify = phone.expect("NOTIFY");
    phone.answer(&notify, status, &[], "");
    notify
}

fn registers(phone: &mut Raw) -> Option<u16> {
    let request = Request::register_from(&phone.dn, &phone.line);
    loop {
        let bytes = request.print(&phone.line);
        phone.line.send(&bytes);
        let answer = phone.line.receive();
        // A signal may come between.
        if answer.method().is_none() {
            return answer.status();
        }
    }
}

fn r102_r184_r206_apply_tells_each_phone_and_judges_it_by_the_new_version(shards: u16) {
    let mut fleet = fleet(shards, 5, 3, |b| b);
    let node = &fleet.node;
    save(node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
    let path = format!("/security-profiles/{FLEET}/apply");
    // R184: it is asked first, with the number of phones; what is confirmed is what happens.
    let asked = post(node, &path, &json!({}));
    assert_eq!((asked.status, &asked.json()["phones"]), (428, &json!(5)), "{asked:?}");
    let other = post(node, &path, &json!({"confirm": "0123"}));
    assert_eq!(other.status, 428);
    let confirm = asked.json()["confirm"].clone();
    assert_eq!(post(node, &path, &json!({"per_second": 2, "confirm": confirm})).status, 428);
    save(node, json!({"transport": "tcp_udp", "nonce_validity_s": 400}));
    assert_eq!(post(node, &path, &json!({"confirm": confirm})).status, 428, "saved again since");
    assert_eq!(node.admin_get("/rollouts").json()["items"], json!([]));
    let before = counters(node);
    let id = begin(node, "apply", json!({"gate": {"window_s": 20}}));
    for phone in &mut fleet.phones {
        let notify = signalled(phone, 200);
        assert_eq!(notify.first(HeaderName::Event), Some("service-control"));
        let body = String::from_utf8(notify.body().to_vec()).expect("text");
        assert!(body.starts_with("action=apply-config\r\n"), "{body}");
        assert!(body.contains("ConfigVersionStamp={00000001-00000003}"), "{body}");
        assert_eq!(registers(phone), Some(200));
    }
    let done = becomes(node, id, "finished");
    let phones = &done["phones"];
    for (member, number) in [
        ("total", 5),
        ("reached", 5),
        ("left", 0),
        ("unregistered", 2),
        ("signalled", 3),
        ("confirmed", 3),
        ("failed", 0),
    ] {
        assert_eq!(phones[member], json!(number), "{member} of {done}");
    }
    assert_eq!(counters(node)[1] - before[1], 3.0, "one signal a phone");
    for device in &fleet.devices {
        let shown = view(node, device);
        assert_eq!((&shown["pending"], &shown["applied"]["version"]), (&json!(false), &json!(3)), "{shown}");
    }
    assert_eq!(node.metric("keyline_rollout_phones_total", "confirmed"), 3.0);
    assert_eq!(node.metric("keyline_rollout_open_rollouts", ""), 0.0);
    for (order, refused) in [("pause", 409), ("resume", 409), ("stop", 409)] {
        assert_eq!(post(node, &format!("/rollouts/{id}/{order}"), &json!({})).status, refused);
    }
    assert_eq!(post(node, "/rollouts/999/pause", &json!({})).json()["code"], json!("rollout_not_found"));
    assert_eq!(post(node, "/security-profiles/None/apply", &json!({})).status, 404);
    let stranger = json!({"phones": ["SEP0000000000FF"]});
    assert_eq!(post(node, &path, &stranger).json()["code"], json!("rollout_refused"));
}

fn a_phone_is_taken_under_the_old_version_while_its_grace_runs(shards: u16) {
    let mut fleet = fleet(shards, 3, 2, |b| b);
    save(&fleet.node, with_digest(600));
    // One of them alone: chosen by its name.
    let body = json!({"phones": [fleet.devices[0]], "gate": {"window_s": 1}});
    let id = begin(&fleet.node, "reset", body);
    let notify = signalled(&mut fleet.phones[0], 200);
    assert!(notify.body().starts_with(b"action=reset\r\n"));
    // Without its password, as the old version had it; and it never raises what the phone may do.
    assert_eq!(registers(&mut fleet.phones[0]), Some(200));
    let shown = view(&fleet.node, &fleet.devices[0]);
    assert_eq!((&shown["pending"], &shown["applied"]["version"]), (&json!(false), &json!(2)), "{shown}");
    assert_eq!(view(&fleet.node, &fleet.devices[1])["pending"], json!(true), "not chosen");
    becomes(&fleet.node, id, "finished");
    // No grace: the next one must prove itself at once. An order to a single phone brings the version too.
    let mut change = Inventory::new();
    change.parameter("apply_grace_s", 0);
    assert!(fleet.node.import(&change.ndjson()).status.success());
    let done = std::thread::scope(|scope| {
        let (node, path) = (&fleet.node, format!("/phones/{}/apply", fleet.devices[1]));
        let asked = scope.spawn(move || post(node, &path, &json!({})));
        signalled(&mut fleet.phones[1], 200);
        asked.join().expect("an answer")
    });
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(registers(&mut fleet.phones[1]), Some(401));
    assert_eq!(view(&fleet.node, &fleet.devices[1])["applied"]["version"], json!(2));
}

fn it_is_held_stopped_and_let_go(shards: u16) {
    let mut fleet = fleet(shards, 12, 12, |b| b);
    save(&fleet.node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
    let gate = json!({"failed_percent": 100, "window_s": 1});
    let id = begin(&fleet.node, "apply", json!({"per_second": 1, "gate": gate}));
    let again = post(&fleet.node, &format!("/security-profiles/{FLEET}/reset"), &json!({}));
    assert_eq!(again.status, 428);
    let body = json!({"confirm": again.json()["confirm"]});
    let again = post(&fleet.node, &format!("/security-profiles/{FLEET}/reset"), &body);
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("rollout_open")), "{again:?}");
    // The first phone by name is the first one that is told.
    signalled(&mut fleet.phones[0], 200);
    let held = post(&fleet.node, &format!("/rollouts/{id}/pause"), &json!({}));
    assert_eq!((held.status, &held.json()["state"]), (200, &json!("paused")), "{held:?}");
    let reached =
        becomes(&fleet.node, id, "paused")["phones"]["signalled"].as_u64().expect("a number") as usize;
    assert!(reached < 12, "{reached}");
    // While it is held the others are pending and hear nothing; the last one is judged as before.
    assert_eq!(registers(&mut fleet.phones[11]), Some(200));
    assert_eq!(view(&fleet.node, &fleet.devices[11])["pending"], json!(true));
    assert_eq!(post(&fleet.node, &format!("/rollouts/{id}/pause"), &json!({})).status, 409);
    let resumed = fleet.node.run(&["rollout", "resume", &id.to_string()]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    signalled(&mut fleet.phones[reached], 200);
    let stopped = post(&fleet.node, &format!("/rollouts/{id}/stop"), &json!({}));
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &json!("stopped")), "{stopped:?}");
    let pending = fleet.node.admin_get("/phones?filter=pending:is_exactly:true").json();
    assert!(!pending["items"].as_array().expect("items").is_empty(), "some were not reached");
    // Another one may begin then. From the command line; without --yes it is only said what it would do.
    let asked = fleet.node.run(&["profile", "reset", FLEET]);
    let text = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && text.contains("--yes"), "{text}");
    let asked = fleet.node.run(&["profile", "reset", FLEET, "--dry-run"]);
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() && text.contains("12 phones"), "{text}");
    let listed = fleet.node.run(&["rollout", "list", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 1);
    let order = ["profile", "reset", FLEET, "--yes", "--per-second", "100", "--window-s", "60"];
    let begun = fleet.node.run(&order);
    let text = String::from_utf8_lossy(&begun.stdout).into_owned();
    assert!(begun.status.success() && text.contains("12 phones"), "{text}");
    for phone in &mut fleet.phones {
        // What the roll-out before had still under way may come first.
        while !signalled(phone, 200).body().starts_with(b"action=reset\r\n") {}
        assert_eq!(registers(phone), Some(200));
    }
    let done = becomes(&fleet.node, id + 1, "finished");
    assert_eq!(done["phones"]["confirmed"], json!(12), "{done}");
}

fn it_goes_on_where_it_was_after_kill_9(shards: u16) {
    const PHONES: usize = 24;
    let mut fleet = fleet(shards, PHONES, PHONES, |b| b.fixed_ports());
    save(&fleet.node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
    let id = begin(&fleet.node, "apply", json!({"per_second": 8, "gate": {"window_s": 1}}));
    for phone in &mut fleet.phones[..PHONES / 3] {
        signalled(phone, 200);
    }
    // What is stored is behind what was done by less than a second.
    wait::until("a stored cursor", || {
        (rollout(&fleet.node, id)["phones"]["signalled"].as_u64()? >= 6).then_some(())
    });
    fleet.node.kill9_and_restart();
    let found = rollout(&fleet.node, id);
    assert!(matches!(found["state"].as_str(), Some("running" | "finished")), "{found}");
    for phone in &mut fleet.phones[PHONES / 3..] {
        signalled(phone, 200);
    }
    let done = becomes(&fleet.node, id, "finished");
    assert_eq!((&done["phones"]["left"], &done["phones"]["total"]), (&json!(0), &json!(PHONES)), "{done}");
    // None was left out, and those before the cursor were not told again.
    for phone in &mut fleet.phones {
        assert_eq!(registers(phone), Some(200));
    }
    for device in &fleet.devices {
        assert_eq!(view(&fleet.node, device)["pending"], json!(false), "{device}");
    }
    let sent = fleet.node.metric("keyline_sip_requests_sent_total", "NOTIFY") as usize;
    assert!(sent <= PHONES - 6 + 2, "{sent} of {PHONES} signals after the restart");
}

fn it_stops_by_itself_when_phones_do_not_come_back(shards: u16) {
    let mut fleet = fleet(shards, 16, 16, |b| b);
    save(&fleet.node, json!({"transport": "tcp_udp", "nonce_validity_s": 300}));
    let gate = json!({"failed_percent": 25, "of_at_least": 3, "window_s": 30});
    let id = begin(&fleet.node, "apply", json!({"per_second": 1, "gate": gate}));
    // Each refuses to take its configuration.
    for phone in &mut fleet.phones[..3] {
        signalled(phone, 489);
    }
    let gated = becomes(&fleet.node, id, "gated");
    assert!(gated["reason"].as_str().expect("a reason").contains("did not come back"), "{gated}");
    assert!(gated["phones"]["left"].as_u64().expect("a number") >= 1, "{gated}");
    assert_eq!(gated["failures"]["refused"], gated["phones"]["failed"]);
    assert_eq!(gated["failed_phones"][0], json!(fleet.devices[0]));
    assert_eq!(view(&fleet.node, &fleet.devices[15])["pending"], json!(true));
    assert_eq!(fleet.node.metric("keyline_rollout_gated_total", ""), 1.0);
    // Who waits for it on the command line is told, and fails.
    let waited = fleet.node.run(&["rollout", "wait", &id.to_string()]);
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    let (said, why) = (String::from_utf8_lossy(&waited.stdout), String::from_utf8_lossy(&waited.stderr));
    assert!(said.contains("is gated") && why.contains("did not come back"), "{said}{why}");
    assert_eq!(post(&fleet.node, &format!("/rollouts/{id}/resume"), &json!({})).status, 200);
    let resumed = rollout(&fleet.node, id);
    assert_eq!((&resumed["state"], &resumed["reason"]), (&json!("running"), &Value::Null), "{resumed}");
    assert_eq!(post(&fleet.node, &format!("/rollouts/{id}/stop"), &json!({})).status, 200);
}

/// A phone that is refused under the new version counts at once; a stranger's refusals do not.
#[test]
fn a_refused_registration_counts_against_the_gate() {
    let mut inventory = Inventory::new();
    inventory.mixed().parameter("apply_grace_s", 0);
    open_profile(&mut inventory);
    let device = device_on(0, 1, 1);
    add(&mut inventory, &device, "1001");
    let node = Builder::new().inventory(&inventory).start();
    let mut phone = Raw::register("1001", Line::udp(node.udp()));
    save(&node, json!({"device_security_mode": "encrypted", "transport": "tls"}));
    let gate = json!({"failed_percent": 0, "of_at_least": 1, "window_s": 60});
    let id = begin(&node, "apply", json!({"gate": gate}));
    signalled(&mut phone, 200);
    let mut stranger = Line::udp_from("127.0.0.2".parse().expect("an address"), node.udp());
    let foreign = stranger.exchange(&Request::register_from("1001", &stranger));
    assert_eq!(foreign.status(), Some(403));
    assert_eq!(rollout(&node, id)["phones"]["failed"], json!(0));
    assert_eq!(registers(&mut phone), Some(403));
    let gated = becomes(&node, id, "gated");
    assert_eq!(gated["failures"]["registration_refused"], json!(1), "{gated}");
}
