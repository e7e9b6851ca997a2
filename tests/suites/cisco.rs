//! What Cisco phones say and hear outside calls (provisioning.md §7.2).

use keyline_tests::inventory::{Inventory, THIRD_PARTY};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, challenges, contact, respond};
use keyline_wire::sip::{HeaderName, Message};
use serde_json::json;

use crate::common::{CALLER, caller_device};

on_shards!(orders_reach_the_phone_and_its_answer_comes_back, alarms_and_tokens_are_taken_without_a_challenge,);

fn order(node: &Node, device: &str, what: &str) -> std::thread::JoinHandle<keyline_tests::admin::Answer> {
    let token = format!("Authorization: Bearer {}", node.token());
    let path = format!("/phones/{device}/{what}");
    // The certificate file is written once, before threads ask for it.
    node.admin("/health", &[]);
    let (roots, address) = (node.folder().join("server.pem"), node.address("admin"));
    std::thread::spawn(move || {
        let out = std::process::Command::new("curl")
            .args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "-X", "POST", "-H", &token, "--cacert"])
            .arg(roots)
            .arg(format!("https://{address}/api/v1{path}"))
            .output()
            .expect("curl runs");
        let text = String::from_utf8(out.stdout).expect("text");
        let (body, status) = text.rsplit_once('\n').expect("a status line");
        keyline_tests::admin::Answer { status: status.trim().parse().expect("a status"), body: body.into() }
    })
}

fn notified(line: &mut Line) -> Message<'static> {
    let message = line.receive();
    assert_eq!(message.method().map(|m| m.as_str()), Some("NOTIFY"));
    message
}

fn orders_reach_the_phone_and_its_answer_comes_back(shards: u16) {
    let (cisco, other) = (device_on(shards - 1, shards, 1), device_on(0, shards, 2));
    let mut inventory = Inventory::new();
    inventory.plain_phone(&cisco, CALLER).phone(&other, THIRD_PARTY, &["1002"], json!({}));
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let mut line = Line::tcp(node.tcp());
    let registration = Request::register_from(CALLER, &line);
    assert_eq!(line.exchange(&registration).status(), Some(200));
    for (what, action) in [("reset", "reset"), ("restart", "restart"), ("apply", "apply-config")] {
        let waiting = order(&node, &cisco, what);
        let notify = notified(&mut line);
        assert_eq!(notify.first(HeaderName::Event), Some("service-control"));
        assert_eq!(notify.first(HeaderName::SubscriptionState), Some("active"));
        let body = String::from_utf8(notify.body().to_vec()).unwrap();
        assert!(body.starts_with(&format!("action={action}\r\n")), "{body}");
        assert!(body.contains(&format!("RegisterCallId={{{}}}\r\n", registration.call_id)), "{body}");
        assert!(body.contains("ConfigVersionStamp={"), "{body}");
        let answer = respond(&line, &notify, 200, "t", None);
        line.send(&answer);
        let done = waiting.join().unwrap();
        assert_eq!((done.status, &done.json()["status"]), (200, &json!(200)), "{}", done.body);
    }
    // Another maker's phone knows check-sync; what it refuses is said.
    let mut line = Line::udp(node.udp());
    assert_eq!(line.exchange(&Request::register_from("1002", &line)).status(), Some(200));
    let waiting = order(&node, &other, "reset");
    let notify = notified(&mut line);
    assert_eq!(notify.first(HeaderName::Event), Some("check-sync;reboot=true"));
    line.send(&respond(&line, &notify, 489, "t", None));
    let refused = waiting.join().unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (500, &json!("phone_refused")));
    for (device, status, code) in
        [("SEP0000000000FF", 404, "phone_not_found"), (&cisco, 409, "phone_not_registered")]
    {
        if device == cisco {
            let mut gone = Line::tcp(node.tcp());
            let star = Request::register(CALLER).header("Contact", "*").header("Expires", "0");
            // The first connection's own phone takes its binding away.
            let _ = gone.exchange(&star);
        }
        let refused = order(&node, device, "reset").join().unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (status, &json!(code)), "{}", refused.body);
    }
}

fn alarms_and_tokens_are_taken_without_a_challenge(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, CALLER);
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    let refer = |line: &Line, refer_to: &str| {
        Request::new("REFER", "sip:keyline.local", CALLER)
            .header("Contact", &contact(CALLER, line))
            .header("Require", "norefersub")
            .header("Refer-To", refer_to)
    };
    // Nobody is registered: the token is granted, since it changes nothing; an alarm is challenged.
    let mut line = Line::tcp(node.tcp());
    let token = refer(&line, "<urn:X-cisco-remotecc:token-registration>");
    assert_eq!(line.exchange(&token).status(), Some(202));
    assert!(node.registrations().is_empty());
    let with = |mut request: Request, media_type: &str, body: &str| {
        request.body = Some((media_type.into(), body.into()));
        request
    };
    let alarm = |line: &Line| {
        let body = "<?xml version=\"1.0\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\"></Alarm>\n</x-cisco-alarm>";
        with(refer(line, "<cid:1@a>"), "application/x-cisco-alarm+xml", body)
    };
    let stranger = line.exchange(&alarm(&line));
    assert_eq!(stranger.status(), Some(401));
    assert!(!challenges(&stranger).is_empty());
    // Registered on this connection: taken as it is.
    let first = Request::register_from(CALLER, &line);
    let challenged = line.exchange(&first);
    let mut second = first.next();
    let login = keyline_tests::sip::Login {
        user: "user1001",
        password: "Secret1001",
        algorithm: keyline_domain::digest::Algorithm::Md5,
    };
    second.authorize(&challenged, &login, 1);
    assert_eq!(line.exchange(&second).status(), Some(200));
    assert_eq!(line.exchange(&alarm(&line)).status(), Some(202));
    assert_eq!(node.metric("keyline_cisco_alarms_total", "DeviceTLInfo"), 1.0);
    let remotecc = "application/x-cisco-remotecc-request+xml";
    let options = with(
        refer(&line, "<cid:2@a>"),
        remotecc,
        "<x-cisco-remotecc-request><optionsind/></x-cisco-remotecc-request>",
    );
    assert_eq!(line.exchange(&options).status(), Some(202));
    let other = with(
        refer(&line, "<cid:3@a>"),
        remotecc,
        "<x-cisco-remotecc-request><softkeyeventmsg/></x-cisco-remotecc-request>",
    );
    assert_eq!(line.exchange(&other).status(), Some(603));
    // And it is still registered.
    assert_eq!(node.registrations_of(&device).len(), 1);
}

#[test]
fn options_says_what_is_served() {
    let node = Builder::new().start();
    let mut line = Line::udp(node.udp());
    let answer = line.exchange(&Request::new("OPTIONS", "sip:keyline.local", CALLER));
    assert_eq!(answer.status(), Some(200));
    assert!(answer.lists(HeaderName::Allow, "SUBSCRIBE"));
    assert!(answer.lists(HeaderName::AllowEvents, "dialog"));
    assert_eq!(answer.first(HeaderName::Accept), Some("application/sdp"));
    assert!(answer.first(HeaderName::Supported).is_some());
}
