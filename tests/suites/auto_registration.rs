//! Phones that nobody configured (R212).

use keyline_loadtest::phone::{Answer, Transport};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Request, warning};
use keyline_tests::wait;

use crate::common::registered;

on_shards!(
    r212_an_unknown_phone_gets_the_predefined_profile_of_its_type,
    r212_off_an_unknown_phone_is_a_stranger,
    newcomers_take_nothing_from_others,
);

fn node(shards: u16, on: bool) -> Node {
    let mut inventory = Inventory::new();
    inventory.parameter("auto_registration", on).plain_phone(&device_on(0, shards, 1), "1001");
    Builder::new().shards(shards).inventory(&inventory).fixed_ports().start()
}

fn register(dn: &str, device: &str, model: Option<u32>, line: &Line) -> Request {
    let model = model.map(|m| format!(";+u.sip!model.ccm.cisco.com=\"{m}\"")).unwrap_or_default();
    let contact = format!(
        "<sip:{dn}@{};transport={}>;+u.sip!devicename.ccm.cisco.com=\"{device}\"{model}",
        line.local(),
        line.token().to_ascii_lowercase()
    );
    Request::register(dn).header("Contact", &contact)
}

fn phones(node: &Node) -> usize {
    let out = node.run(&["export"]);
    String::from_utf8(out.stdout).unwrap().lines().filter(|l| l.contains(r#""kind":"phone""#)).count()
}

fn r212_an_unknown_phone_gets_the_predefined_profile_of_its_type(shards: u16) {
    let mut node = node(shards, true);
    let devices: Vec<String> =
        (0..2).map(|i| device_on((i % shards.max(1) as u32) as u16, shards, 10 + i)).collect();
    for (i, device) in devices.iter().enumerate() {
        let mut line = if i == 0 { Line::udp(node.udp()) } else { Line::tcp(node.tcp()) };
        let dn = format!("200{i}");
        let answer = line.exchange(&register(&dn, device, Some(36224), &line));
        assert_eq!(answer.status(), Some(200), "{}", warning(&answer));
        let phone = node.admin_get(&format!("/phones/{device}")).json();
        assert_eq!(phone["model"], "Cisco 8845");
        let profile = serde_json::to_string(&phone).unwrap();
        assert!(profile.contains("Cisco 8845 - Standard SIP Non-Secure Profile"), "{profile}");
        assert_eq!(phone["description"], format!("Auto {dn}"));
        // It is there for good: a second REGISTER meets a phone like any other.
        assert_eq!(line.exchange(&register(&dn, device, Some(36224), &line).next()).status(), Some(200));
    }
    assert_eq!(phones(&node), 3);
    // They call each other like phones that somebody configured.
    wait::run(async {
        let caller = registered(node.phone(Transport::Tcp, &devices[0], "2000")).await;
        let called =
            registered(node.phone(Transport::Tcp, &devices[1], "2001").answering(Answer::AtOnce)).await;
        let out = caller.invite("2001").unwrap();
        let inn = called.incoming().await.unwrap();
        out.answered().await.unwrap();
        inn.acked(1).await.unwrap();
        out.hang_up().await.unwrap();
    });
    node.kill9_and_restart();
    assert_eq!(phones(&node), 3, "what was acknowledged is there after kill -9");
}

fn r212_off_an_unknown_phone_is_a_stranger(shards: u16) {
    let node = node(shards, false);
    let mut line = Line::udp(node.udp());
    let device = device_on(0, shards, 20);
    let answer = line.exchange(&register("2000", &device, Some(36224), &line));
    assert_eq!(answer.status(), Some(401), "challenged like anybody unknown, so that nothing is told");
    assert_eq!(phones(&node), 1);
}

fn newcomers_take_nothing_from_others(shards: u16) {
    let node = node(shards, true);
    let mut line = Line::udp(node.udp());
    let stranger = device_on(shards - 1, shards, 30);
    // The line of another phone; a model that there is not; no name at all.
    let taken = line.exchange(&register("1001", &stranger, Some(36224), &line));
    assert_eq!(taken.status(), Some(403), "{}", warning(&taken));
    assert_eq!(line.exchange(&register("2000", &stranger, Some(4_000_000), &line)).status(), Some(403));
    let mut nameless = Request::register("2000");
    nameless.set("Contact", &format!("<sip:2000@{};transport=udp>", line.local()));
    assert_eq!(line.exchange(&nameless).status(), Some(401));
    // Taking away what was never there makes no phone.
    let mut gone = register("2000", &stranger, Some(36224), &line);
    gone.set("Expires", "0");
    gone.set(
        "Contact",
        &format!("<sip:2000@{}>;expires=0;+u.sip!devicename.ccm.cisco.com=\"{stranger}\"", line.local()),
    );
    assert_eq!(line.exchange(&gone).status(), Some(401));
    assert_eq!(phones(&node), 1);
    // Without a number it is a generic third-party phone.
    let answer = line.exchange(&register("2000", &stranger, None, &line));
    assert_eq!(answer.status(), Some(200), "{}", warning(&answer));
    let phone = node.admin_get(&format!("/phones/{stranger}")).json();
    assert_eq!(phone["model"], "Third-party SIP Device (Basic)");
}

/// However many come, auto-registration makes no more phones than it may, also over a restart; one that is deleted makes
/// room for another.
#[test]
fn r212_auto_registration_makes_no_more_phones_than_it_may() {
    let mut inventory = Inventory::new();
    inventory.parameter("auto_registration", true);
    let builder = Builder::new().inventory(&inventory).setting("limits", "auto_registered_phones = 2");
    let mut node = builder.fixed_ports().start();
    let device = |n: u32| device_on(0, 1, 50 + n);
    let comes = |node: &Node, n: u32| {
        let mut line = Line::udp(node.udp());
        line.exchange(&register(&format!("30{n:02}"), &device(n), Some(36224), &line)).status()
    };
    assert_eq!([0, 1, 2, 3].map(|n| comes(&node, n)), [Some(200), Some(200), Some(403), Some(403)]);
    let refused =
        |node: &Node| node.metric("keyline_limits_refused_total", "limit=\"auto_registered_phones\"");
    assert_eq!((phones(&node), refused(&node)), (2, 2.0));
    // Those that are in stay in.
    assert_eq!(comes(&node, 0), Some(200));
    node.kill9_and_restart();
    assert_eq!((comes(&node, 4), comes(&node, 1), phones(&node)), (Some(403), Some(200), 2));
    // What an administrator adds is not counted, and what he deletes no more.
    let own = serde_json::json!({"name": device(5), "model": "Cisco 8845"});
    node.ask("POST", "/phones", Some(&own)).expect(201);
    assert_eq!(comes(&node, 6), Some(403));
    node.ask("DELETE", &format!("/phones/{}", device(0)), None).expect(200);
    assert_eq!((comes(&node, 6), comes(&node, 7)), (Some(200), Some(403)));
}
