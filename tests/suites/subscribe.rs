//! SUBSCRIBE and NOTIFY (RFC 6665): busy lamps, registrations, waiting messages.

use std::time::Duration;

use keyline_loadtest::phone::{Answer, Transport};
use keyline_tests::client::sipp;
use keyline_tests::inventory::{Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, contact, respond, unique};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};
use serde_json::json;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, connect, pair_with, registered};

on_shards!(
    a_line_in_a_call_is_shown_from_ringing_to_the_end,
    contacts_of_the_own_line_come_and_go,
    waiting_messages_are_told_and_outlive_a_restart,
);

const WATCHER: &str = "1003";

/// A phone by hand that subscribes.
struct Watcher {
    line: Line,
    dn: String,
}

/// One NOTIFY, read.
struct Told {
    message: Message<'static>,
    body: String,
}

impl Told {
    fn state(&self) -> &str {
        self.message.first(HeaderName::SubscriptionState).unwrap_or_default()
    }

    fn cseq(&self) -> u32 {
        self.message.cseq().expect("CSeq").number
    }

    /// Value of the first attribute of that name.
    fn attribute(&self, name: &str) -> &str {
        // The XML declaration has a version of its own.
        let document = self.body.split_once("?>").map_or(self.body.as_str(), |(_, rest)| rest);
        let (_, rest) = document.split_once(&format!(" {name}=\"")).unwrap_or(("", ""));
        rest.split('"').next().unwrap_or_default()
    }

    /// Text of the first element of that name.
    fn text(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap_or(("", ""));
        rest.split('<').next().unwrap_or_default()
    }
}

impl Watcher {
    /// Registers a phone that needs no proof.
    fn register(mut line: Line, dn: &str) -> Watcher {
        let answer = line.exchange(&Request::register_from(dn, &line));
        assert_eq!(answer.status(), Some(200));
        Watcher { line, dn: dn.into() }
    }

    fn request(&self, target: &str, event: &str, expires: u32) -> Request {
        let uri = format!("sip:{target}@keyline.local");
        Request::new("SUBSCRIBE", &uri, &self.dn)
            .header("Contact", &contact(&self.dn, &self.line))
            .header("Event", event)
            .header("Expires", &expires.to_string())
    }

    /// Subscribes: the dialog's next request, with the tag that the node gave.
    fn subscribe(&mut self, target: &str, event: &str, expires: u32) -> Request {
        let mut request = self.request(target, event, expires);
        let answer = self.line.exchange(&request);
        assert_eq!(answer.status(), Some(200), "{:?}", answer.first(HeaderName::Warning));
        assert_eq!(answer.expires().map(|e| e.seconds), Some(expires));
        request.to = answer.first(HeaderName::To).expect("To").to_owned();
        request.next()
    }

    /// The next NOTIFY, answered with that status.
    fn told_with(&mut self, status: u16) -> Told {
        loop {
            let message = self.line.receive();
            if message.method().is_some_and(|m| m.as_str() == "NOTIFY") {
                let answer = respond(&self.line, &message, status, "", None);
                self.line.send(&answer);
                let body = String::from_utf8(message.body().to_vec()).expect("text");
                return Told { message, body };
            }
        }
    }

    fn told(&mut self) -> Told {
        self.told_with(200)
    }

    fn nothing_more(&mut self) {
        assert!(self.line.receive_within(Duration::from_millis(300)).is_none());
    }
}

fn watcher_device(shards: u16) -> String {
    device_on(shards - 1, shards, 7)
}

fn subscriptions(node: &Node) -> f64 {
    node.metric("keyline_subscription_active_subscriptions", "")
}

fn a_line_in_a_call_is_shown_from_ringing_to_the_end(shards: u16) {
    wait::run(async {
        let device = watcher_device(shards);
        let rows = |mut inventory: Inventory| {
            inventory.plain_phone(&device, WATCHER);
            inventory
        };
        let ring = |callee: keyline_loadtest::phone::PhoneConfig| callee.answering(Answer::Manual);
        let pair = pair_with(shards, Transport::Udp, Transport::Tcp, rows, |caller| caller, ring).await;
        let mut watcher = Watcher::register(Line::tcp(pair.node.tcp()), WATCHER);
        watcher.subscribe(CALLEE, "dialog", 600);
        let first = watcher.told();
        assert_eq!((first.attribute("state"), first.attribute("version")), ("full", "0"));
        assert_eq!(first.attribute("entity"), format!("sip:{CALLEE}@keyline.local"));
        assert!(first.state().starts_with("active;expires="), "{}", first.state());
        assert!(!first.body.contains("<dialog "), "{}", first.body);
        let out = pair.caller.invite(CALLEE).unwrap();
        let inn = pair.callee.incoming().await.unwrap();
        inn.ring().unwrap();
        let mut early = watcher.told();
        if early.text("state") == "trying" {
            early = watcher.told();
        }
        assert_eq!((early.text("state"), early.attribute("direction")), ("early", "recipient"));
        assert_eq!(early.attribute("uri"), format!("sip:{CALLER}@keyline.local"));
        inn.accept().unwrap();
        out.answered().await.unwrap();
        let up = watcher.told();
        assert_eq!(up.text("state"), "confirmed");
        assert_eq!(up.attribute("id"), early.attribute("id"));
        out.hang_up().await.unwrap();
        let over = watcher.told();
        assert_eq!((over.text("state"), over.attribute("state")), ("terminated", "partial"));
        let versions: Vec<u32> =
            [&first, &early, &up, &over].iter().map(|t| t.attribute("version").parse().unwrap()).collect();
        assert!(versions.windows(2).all(|w| w[0] < w[1]), "{versions:?}");
        assert!(over.cseq() > up.cseq());
        // Nothing in it lets the watcher speak into the call.
        for told in [&early, &up, &over] {
            assert!(!told.body.contains("call-id") && !told.body.contains("tag="), "{}", told.body);
        }
        assert_eq!(subscriptions(&pair.node), 1.0);
    });
}

fn contacts_of_the_own_line_come_and_go(shards: u16) {
    let (one, two) = (caller_device(shards), callee_device(shards));
    let mut inventory = Inventory::new();
    // A shared line on two devices.
    inventory.plain_phone(&one, CALLER).phone(&two, keyline_tests::inventory::CISCO, &[CALLER], json!({}));
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let cisco = |device: &str| format!(";+u.sip!devicename.ccm.cisco.com=\"{device}\"");
    let register = |line: &Line, device: &str, expires: u32| {
        let contact = contact(CALLER, line) + &cisco(device);
        Request::register(CALLER).header("Contact", &contact).header("Expires", &expires.to_string())
    };
    let mut line = Line::tcp(node.tcp());
    assert_eq!(line.exchange(&register(&line, &one, 600)).status(), Some(200));
    let mut watcher = Watcher { line, dn: CALLER.into() };
    watcher.subscribe(CALLER, "reg", 600);
    let first = watcher.told();
    assert_eq!((first.attribute("state"), first.attribute("event")), ("full", "registered"));
    assert_eq!(first.attribute("aor"), format!("sip:{CALLER}@keyline.local"));
    assert_eq!(first.body.matches("<contact ").count(), 1);
    let mut other = Line::udp(node.udp());
    let mut registration = register(&other, &two, 600);
    assert_eq!(other.exchange(&registration).status(), Some(200));
    let second = watcher.told();
    assert_eq!(second.attribute("version"), "1");
    assert!(second.text("uri").contains(&other.local().to_string()), "{}", second.body);
    // A refresh is no news; the end is.
    registration = registration.next();
    assert_eq!(other.exchange(&registration).status(), Some(200));
    registration = registration.next();
    registration.set("Expires", "0");
    assert_eq!(other.exchange(&registration).status(), Some(200));
    let third = watcher.told();
    assert_eq!((third.attribute("version"), third.attribute("event")), ("2", "unregistered"));
    watcher.nothing_more();
}

fn put_messages(node: &Node, dn: &str, body: &str) -> u16 {
    let token = format!("Authorization: Bearer {}", node.token());
    let path = format!("/lines/{dn}/message-waiting");
    let json = "Content-Type: application/json";
    node.admin(&path, &["-X", "PUT", "-H", &token, "-H", json, "-d", body]).status
}

fn waiting_messages_are_told_and_outlive_a_restart(shards: u16) {
    let device = watcher_device(shards);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, WATCHER);
    let mut node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut watcher = Watcher::register(Line::udp(node.udp()), WATCHER);
    watcher.subscribe(WATCHER, "message-summary", 600);
    assert!(watcher.told().body.starts_with("Messages-Waiting: no\r\n"));
    assert_eq!(put_messages(&node, WATCHER, r#"{"new": 2, "old": 1}"#), 200);
    let told = watcher.told();
    assert!(told.body.starts_with("Messages-Waiting: yes\r\n"), "{}", told.body);
    assert!(told.body.contains("Voice-Message: 2/1 (0/0)\r\n"), "{}", told.body);
    assert_eq!(put_messages(&node, "4711", r#"{"new": 1}"#), 404);
    assert_eq!(put_messages(&node, WATCHER, r#"{"new": -1}"#), 400);
    assert_eq!(node.admin(&format!("/lines/{WATCHER}/message-waiting"), &["-X", "PUT"]).status, 401);
    // The count is durable; subscriptions are not, and the phone is told so when it refreshes.
    node.kill9_and_restart();
    let mut watcher = Watcher::register(Line::udp(node.udp()), WATCHER);
    let mut old = watcher.request(WATCHER, "message-summary", 600);
    old.to = format!("{};tag=0123", old.to);
    assert_eq!(watcher.line.exchange(&old).status(), Some(481));
    watcher.subscribe(WATCHER, "message-summary", 600);
    assert!(watcher.told().body.contains("Voice-Message: 2/1 (0/0)\r\n"));
    assert_eq!(put_messages(&node, WATCHER, r#"{"new": 0}"#), 200);
    assert!(watcher.told().body.starts_with("Messages-Waiting: no\r\n"));
}

/// One node with two phones without proof; the first is registered over TCP.
fn watching(settings: &[&str], parameters: &[(&str, serde_json::Value)]) -> (Node, Watcher) {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(2), CALLER).plain_phone(&callee_device(2), CALLEE);
    for (name, value) in parameters {
        inventory.parameter(name, value.clone());
    }
    let mut builder = Builder::new().shards(2).inventory(&inventory);
    for line in settings {
        builder = builder.setting("limits", line);
    }
    let node = builder.start();
    let watcher = Watcher::register(Line::tcp(node.tcp()), CALLER);
    (node, watcher)
}

#[test]
fn what_is_refused_and_how() {
    let (node, mut watcher) = watching(&[], &[]);
    let mut ask = |target: &str, event: &str, expires: u32| {
        let request = watcher.request(target, event, expires);
        watcher.line.exchange(&request).into_owned()
    };
    let unknown = ask(CALLEE, "presence", 600);
    assert_eq!(unknown.status(), Some(489));
    assert_eq!(unknown.first(HeaderName::AllowEvents), Some("dialog, reg, message-summary"));
    let brief = ask(CALLEE, "dialog", 10);
    assert_eq!((brief.status(), brief.min_expires()), (Some(423), Some(60)));
    assert_eq!(ask("4711", "dialog", 600).status(), Some(404));
    assert_eq!(ask(CALLEE, "reg", 600).status(), Some(403), "contacts are nobody else's business");
    assert_eq!(ask(CALLEE, "message-summary", 600).status(), Some(403));
    let mut picky = watcher.request(CALLEE, "dialog", 600);
    picky.set("Accept", "application/pidf+xml");
    let picky = watcher.line.exchange(&picky);
    assert_eq!(
        (picky.status(), picky.first(HeaderName::Accept)),
        (Some(406), Some("application/dialog-info+xml"))
    );
    let mut list = watcher.request(CALLEE, "dialog", 600);
    list.set("Require", "eventlist");
    assert_eq!(watcher.line.exchange(&list).status(), Some(420));
    let mut bare = watcher.request(CALLEE, "dialog", 600);
    bare.headers.retain(|(name, _)| name != "Event");
    assert_eq!(watcher.line.exchange(&bare).status(), Some(489));
    let publish = Request::new("PUBLISH", &format!("sip:{CALLER}@keyline.local"), CALLER);
    assert_eq!(watcher.line.exchange(&publish.header("Event", "presence")).status(), Some(405));
    // A stranger, and a phone that is not registered.
    let mut stranger = Line::udp(node.udp());
    let request = Request::new("SUBSCRIBE", &format!("sip:{CALLER}@keyline.local"), CALLEE)
        .header("Contact", &contact(CALLEE, &stranger))
        .header("Event", "dialog");
    assert_eq!(stranger.exchange(&request).status(), Some(403));
    assert_eq!(subscriptions(&node), 0.0);
    watcher.nothing_more();
}

#[test]
fn other_lines_may_be_closed_to_watchers() {
    let (node, mut watcher) = watching(&[], &[("watch_other_lines", json!(false))]);
    let request = watcher.request(CALLEE, "dialog", 600);
    assert_eq!(watcher.line.exchange(&request).status(), Some(403));
    watcher.subscribe(CALLER, "dialog", 600);
    assert_eq!(watcher.told().attribute("entity"), format!("sip:{CALLER}@keyline.local"));
    assert_eq!(subscriptions(&node), 1.0);
}

#[test]
fn fetch_refresh_and_end() {
    let (node, mut watcher) = watching(&[], &[]);
    watcher.subscribe(CALLEE, "dialog", 0);
    let fetched = watcher.told();
    assert_eq!(fetched.state(), "terminated;reason=timeout");
    assert_eq!(fetched.attribute("state"), "full");
    let next = watcher.subscribe(CALLEE, "dialog;id=7", 600);
    let first = watcher.told();
    assert_eq!(first.message.first(HeaderName::Event), Some("dialog;id=7"));
    assert_eq!(watcher.line.exchange(&next).status(), Some(200));
    let second = watcher.told();
    assert_eq!((second.attribute("version"), second.attribute("state")), ("1", "full"));
    // Out of order, then the end.
    let mut late = next.clone();
    (late.cseq, late.branch) = (1, unique());
    assert_eq!(watcher.line.exchange(&late).status(), Some(500));
    let mut end = next.next();
    end.set("Expires", "0");
    assert_eq!(watcher.line.exchange(&end).status(), Some(200));
    assert_eq!(watcher.told().state(), "terminated;reason=timeout");
    assert_eq!(watcher.line.exchange(&end.next()).status(), Some(481));
    assert_eq!(subscriptions(&node), 0.0);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends() {
    let (node, mut watcher) = watching(&[], &[("register_expires_min", json!(1))]);
    watcher.subscribe(CALLEE, "dialog", 2);
    watcher.told();
    assert_eq!(watcher.told().state(), "terminated;reason=timeout");
    wait::until("no subscription", || (subscriptions(&node) == 0.0).then_some(()));
}

#[test]
fn a_phone_that_knows_no_more_of_it_ends_it() {
    let (node, mut watcher) = watching(&[], &[]);
    watcher.subscribe(CALLEE, "dialog", 600);
    watcher.told_with(481);
    wait::until("no subscription", || (subscriptions(&node) == 0.0).then_some(()));
}

#[test]
fn phones_and_nodes_have_bounds() {
    let (_node, mut watcher) = watching(&["subscriptions_per_phone = 2"], &[]);
    for _ in 0..2 {
        watcher.subscribe(CALLEE, "dialog", 600);
        watcher.told();
    }
    let third = watcher.request(CALLEE, "dialog", 600);
    assert_eq!(watcher.line.exchange(&third).status(), Some(403));
    let (node, mut watcher) = watching(&["subscriptions = 1"], &[]);
    watcher.subscribe(CALLEE, "dialog", 600);
    watcher.told();
    let second = watcher.request(CALLEE, "dialog", 600);
    let shed = watcher.line.exchange(&second);
    assert_eq!(shed.status(), Some(503));
    assert!(shed.retry_after().is_some());
    assert_eq!(node.metric("keyline_sip_shed_total", "subscribe"), 1.0);
}

#[test]
fn a_phone_that_comes_back_on_another_connection_is_told_there() {
    wait::run(async {
        let device = watcher_device(2);
        let rows = |mut inventory: Inventory| {
            inventory.plain_phone(&device, WATCHER);
            inventory
        };
        let same = |phone| phone;
        let pair = pair_with(2, Transport::Udp, Transport::Udp, rows, same, same).await;
        let mut watcher = Watcher::register(Line::tcp(pair.node.tcp()), WATCHER);
        watcher.subscribe(CALLEE, "dialog", 600);
        watcher.told();
        watcher.line = Line::udp(pair.node.udp());
        // The old connection is closed by now; the call happens while nobody can be told.
        let (out, _inn) = connect(&pair.caller, &pair.callee).await;
        let mut watcher = Watcher::register(watcher.line, WATCHER);
        let told = watcher.told();
        assert_eq!((told.attribute("state"), told.text("state")), ("full", "confirmed"));
        out.hang_up().await.unwrap();
        assert_eq!(watcher.told().text("state"), "terminated");
    });
}

#[test]
fn sipp_subscribes_with_digest() {
    let mut inventory = Inventory::new();
    inventory.md5_only().digest_phone(&caller_device(2), CALLER).plain_phone(&callee_device(2), CALLEE);
    let node = Builder::new().shards(2).inventory(&inventory).start();
    for (transport, server) in [("u1", node.udp()), ("t1", node.tcp())] {
        sipp::Run::new("subscribe", transport, server)
            .key("dn", CALLER)
            .key("peer", CALLEE)
            .login(&user_of(CALLER), &password_of(CALLER))
            .passes();
    }
    assert_eq!(subscriptions(&node), 0.0, "it ended what it began");
}

#[test]
fn documents_are_well_formed_for_another_reader() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.plain_phone(&device, CALLER);
    let node = Builder::new().inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    // A contact that XML has to escape.
    let odd = format!("<sip:{CALLER}@{};x=%3c&'a'>", line.local());
    let request = Request::register(CALLER).header("Contact", &odd).header("Expires", "600");
    assert_eq!(line.exchange(&request).status(), Some(200));
    let mut watcher = Watcher { line, dn: CALLER.into() };
    for event in ["reg", "dialog"] {
        watcher.subscribe(CALLER, event, 0);
        let told = watcher.told();
        let file = node.folder().join("told.xml");
        std::fs::write(&file, &told.body).unwrap();
        let script = "import sys, xml.dom.minidom as m; print(m.parse(sys.argv[1]).documentElement.tagName)";
        let out = std::process::Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
        assert!(out.status.success(), "{}\n{}", told.body, String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn subscriptions_of_digest_phones_are_challenged_and_work() {
    wait::run(async {
        let mut inventory = Inventory::new();
        inventory.digest_phone(&caller_device(1), CALLER);
        let node = Builder::new().inventory(&inventory).start();
        let _phone = registered(node.digest_phone(Transport::Udp, &caller_device(1), CALLER)).await;
        let mut line = Line::udp(node.udp());
        let request = Request::new("SUBSCRIBE", &format!("sip:{CALLER}@keyline.local"), CALLER)
            .header("Contact", &contact(CALLER, &line))
            .header("Event", "dialog")
            .header("Expires", "600");
        let challenged = line.exchange(&request);
        assert_eq!(challenged.status(), Some(401));
        let mut request = request.next();
        let login = keyline_tests::sip::Login {
            user: &user_of(CALLER),
            password: &password_of(CALLER),
            algorithm: keyline_domain::digest::Algorithm::Sha512_256,
        };
        request.authorize(&challenged, &login, 1);
        assert_eq!(line.exchange(&request).status(), Some(200));
        assert_eq!(subscriptions(&node), 1.0);
    });
}
