//! SIP over WebSocket (RFC 7118): by hand for the rules, by a real browser for the calls.

use std::io::Write;
use std::time::{Duration, Instant};

use keyline_domain::digest::Algorithm;
use keyline_loadtest::phone::Transport;
use keyline_tests::client::browser::{Page, WebPhone};
use keyline_tests::inventory::{Inventory, THIRD_PARTY, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::sip::{Line, Login, Request, warning};
use keyline_tests::wait::{self, PATIENCE};
use keyline_tests::websocket::{BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame, handshake};
use keyline_wire::sip::HeaderName;
use serde_json::json;

use crate::common::{CALLEE, CALLER, callee_device, caller_device, registered};
use crate::limits::counted;

on_shards!(a_websocket_phone_is_reached_over_its_own_flow, browsers_call_each_other_with_audio);

const WEB_PROFILE: &str = "Browsers";

/// Browser phones with digest for these lines, and listeners for both kinds of WebSocket.
fn node(shards: u16, inventory: &mut Inventory, lines: &[(&str, &str)], settings: &[(&str, &str)]) -> Node {
    let fields = json!({"transport": "udp", "digest_authentication": true});
    inventory.md5_only().profile(WEB_PROFILE, THIRD_PARTY, fields);
    for (device, dn) in lines {
        inventory.end_user(&user_of(dn), &password_of(dn));
        let fields = json!({"security_profile": WEB_PROFILE, "digest_user": user_of(dn)});
        inventory.phone(device, THIRD_PARTY, &[dn], fields);
    }
    let builder = Builder::new().shards(shards).inventory(inventory);
    let builder =
        builder.setting("listen", "sip_ws = \"127.0.0.1:0\"").setting("listen", "sip_wss = \"127.0.0.1:0\"");
    settings.iter().fold(builder, |b, (section, line)| b.setting(section, line)).start()
}

fn register(socket: &mut WebSocket, dn: &str) -> u16 {
    let mut request = Request::register(dn).header("Contact", &socket.contact(dn)).header("Expires", "600");
    let challenged = socket.exchange(&request);
    if challenged.status() != Some(401) {
        return challenged.status().unwrap_or_default();
    }
    let login = Login { user: &user_of(dn), password: &password_of(dn), algorithm: Algorithm::Md5 };
    request = request.next();
    request.authorize(&challenged, &login, 1);
    socket.exchange(&request).status().unwrap_or_default()
}

fn options() -> Request {
    Request::new("OPTIONS", "sip:keyline.local", CALLER)
}

fn a_websocket_phone_is_reached_over_its_own_flow(shards: u16) {
    let mut inventory = Inventory::new();
    inventory.plain_phone(&caller_device(shards), CALLER);
    let node = node(shards, &mut inventory, &[(&callee_device(shards), CALLEE)], &[]);
    let mut web = WebSocket::connect(node.address("sip_ws"));
    assert_eq!(register(&mut web, CALLEE), 200);
    let row = node.registered(&callee_device(shards));
    assert_eq!(row["transport"], "ws");
    assert!(row["contact"].to_string().contains(".invalid"), "{row}");
    wait::run(async {
        let phone = registered(node.phone(Transport::Udp, &caller_device(shards), CALLER)).await;
        let sent = async { phone.message(CALLEE, "hello").await.unwrap() };
        let answer = async {
            let message = tokio::task::block_in_place(|| web.sip());
            let local = node.address("sip_ws");
            let via = message.first(HeaderName::Via).unwrap().to_owned();
            assert!(via.starts_with(&format!("SIP/2.0/WS {local};")), "{via}");
            assert_eq!(message.body(), b"hello");
            let mut text = String::from("SIP/2.0 200 OK\r\n");
            for name in
                [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::Cseq]
            {
                text.push_str(&format!("{}: {}\r\n", name.as_str(), message.first(name).unwrap()));
            }
            // No Content-Length: the end of the message is that of the frame.
            web.send(TEXT, format!("{text}\r\n").as_bytes());
        };
        let (sent, ()) = tokio::join!(sent, answer);
        assert_eq!(sent.status(), Some(200));
    });
    drop(web);
    wait::until("loss of the flow", || {
        let row = node.registrations_of(&callee_device(shards)).pop()?;
        (row["flow"] == "lost").then_some(())
    });
}

#[test]
fn the_sub_protocol_and_the_origin_are_checked() {
    let listed = "https://phone.example.com";
    let node =
        node(1, &mut Inventory::new(), &[], &[("websocket", "origins = [\"https://phone.example.com\"]")]);
    let ask = |headers: &[(&str, &str)]| handshake(node.address("sip_ws"), headers).1;
    let sip = ("Sec-WebSocket-Protocol", "sip");
    for (headers, status, result) in [
        (&[sip, ("Origin", listed)][..], "101", "ok"),
        (&[sip], "101", "ok"),
        (&[sip, ("Origin", "https://evil.example")], "403", "origin_refused"),
        (&[sip, ("Origin", "null")], "403", "origin_refused"),
        (&[("Sec-WebSocket-Protocol", "chat")], "400", "no_subprotocol"),
        (&[], "400", "no_subprotocol"),
    ] {
        let label = format!("result=\"{result}\"");
        let before = node.metric("keyline_websocket_handshakes_total", &label);
        let answer = ask(headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers:?}: {answer}");
        wait::until("the count", || {
            (node.metric("keyline_websocket_handshakes_total", &label) > before).then_some(())
        });
    }
    // SIP without a handshake is none.
    let mut line = Line::tcp(node.address("sip_ws"));
    let bytes = options().print(&line);
    line.send(&bytes);
    assert!(line.receive_within(PATIENCE).is_none());
}

#[test]
fn r161_websocket_is_for_models_that_have_it_and_changes_no_other_transport() {
    let mut inventory = Inventory::new();
    inventory.digest_phone(&caller_device(1), CALLER);
    let node = node(1, &mut inventory, &[(&callee_device(1), CALLEE)], &[]);
    // A model without the capability: its profile names TCP and UDP, and WebSocket is neither.
    let mut web = WebSocket::connect(node.address("sip_ws"));
    let answer = web.exchange(
        &Request::register(CALLER).header("Contact", &web.contact(CALLER)).header("Expires", "600"),
    );
    assert_eq!(answer.status(), Some(403));
    assert!(warning(&answer).contains("transport"), "{}", warning(&answer));
    // A third party's phone: UDP by its profile, WebSocket by its model, and still no TCP.
    assert_eq!(register(&mut web, CALLEE), 200);
    let mut tcp = Line::tcp(node.tcp());
    let request = Request::register_from(CALLEE, &tcp);
    assert_eq!(tcp.exchange(&request).status(), Some(403));
    let mut udp = Line::udp(node.udp());
    let request = Request::register_from(CALLEE, &udp);
    assert_eq!(udp.exchange(&request).status(), Some(401));
}

#[test]
fn messages_are_framed_by_the_websocket() {
    let node = node(2, &mut Inventory::new(), &[], &[("limits", "message_body_bytes = 1024")]);
    let mut web = WebSocket::connect(node.address("sip_ws"));
    // Binary is as good as text.
    let bytes = web.print(&options(), "WS");
    web.send(BINARY, &bytes);
    assert_eq!(web.final_answer().status(), Some(200));
    // Fragments, with a ping between them.
    let bytes = web.print(&options(), "WS");
    let (first, rest) = bytes.split_at(40);
    web.frame(TEXT, first, true);
    web.send(PING, b"are you there");
    assert_eq!(web.receive_within(PATIENCE), Some((PONG, b"are you there".to_vec())));
    web.frame(0x80, rest, true);
    assert_eq!(web.final_answer().status(), Some(200));
    // Keepalives of RFC 5626.
    web.send(TEXT, b"\r\n\r\n");
    assert_eq!(web.receive_within(PATIENCE), Some((TEXT, b"\r\n".to_vec())));
    // What cannot be read costs itself only.
    web.send(BINARY, &[0, 159, 146, 150]);
    web.send(TEXT, b"no SIP at all");
    let broken = String::from_utf8(web.print(&options(), "WS")).unwrap().replacen("SIP/2.0", "SIP/7.0", 1);
    web.send(TEXT, broken.as_bytes());
    assert_eq!(web.final_answer().status(), Some(505));
    assert_eq!(web.exchange(&options()).status(), Some(200));
    // Too large: the frame is not even taken.
    web.frame(0x80 | TEXT, &vec![b'x'; 65_535 + 1024 + 1], true);
    assert_eq!(web.receive_within(PATIENCE), Some((CLOSE, 1009_u16.to_be_bytes().to_vec())));
    assert_eq!(counted(&node, "message_body_bytes"), 1.0);
    // Our close is answered.
    let mut web = WebSocket::connect(node.address("sip_ws"));
    web.send(CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(web.receive_within(PATIENCE).map(|(opcode, _)| opcode), Some(CLOSE));
    // A client must mask (RFC 6455 §5.1).
    let mut web = WebSocket::connect(node.address("sip_ws"));
    let bytes = web.print(&options(), "WS");
    web.frame(0x80 | TEXT, &bytes, false);
    let after = web.receive_within(PATIENCE);
    assert!(after.is_none() || after.is_some_and(|(opcode, _)| opcode == CLOSE));
}

#[test]
fn slow_and_silent_clients_are_closed() {
    let limits = [
        ("limits", "message_s = 1"),
        ("limits", "handshake_s = 1"),
        ("limits", "unauthenticated_idle_s = 3"),
    ];
    let node = node(1, &mut Inventory::new(), &[], &limits);
    // Byte by byte, inside a frame.
    let mut slow = WebSocket::connect(node.address("sip_ws"));
    let bytes = frame(0x80 | TEXT, &slow.print(&options(), "WS"), true);
    let began = Instant::now();
    for byte in &bytes {
        if slow.stream().write_all(&[*byte]).is_err()
            || slow.receive_within(Duration::from_millis(100)).is_some()
        {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        if counted(&node, "message_s") > 0.0 {
            break;
        }
    }
    assert_eq!(counted(&node, "message_s"), 1.0);
    // Pings alone keep no stranger's place.
    let mut idle = WebSocket::connect(node.address("sip_ws"));
    wait::until("end of the silent one", || {
        let _ = idle.stream().write_all(&frame(0x80 | PING, b"", true));
        let _ = idle.receive_within(Duration::from_millis(50));
        (counted(&node, "unauthenticated_idle_s") > 0.0).then_some(())
    });
    // Half a handshake.
    let before = counted(&node, "handshake_s");
    let mut half = std::net::TcpStream::connect(node.address("sip_ws")).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    wait::until("end of the handshake", || (counted(&node, "handshake_s") > before).then_some(()));
}

fn browsers_call_each_other_with_audio(shards: u16) {
    let page = Page::new();
    let devices = [caller_device(shards), callee_device(shards)];
    let lines = [(devices[0].as_str(), CALLER), (devices[1].as_str(), CALLEE)];
    let origins = format!("origins = [\"{}\"]", page.origin());
    let node = node(shards, &mut Inventory::new(), &lines, &[("websocket", &origins)]);
    let phone =
        |dn: &str, server: String| WebPhone { dn: dn.into(), login: (user_of(dn), password_of(dn)), server };
    // One over each kind of WebSocket.
    let phones = [
        phone(CALLER, format!("ws://{}", node.address("sip_ws"))),
        phone(CALLEE, format!("wss://{}", node.address("sip_wss"))),
    ];
    let browser = page.open(&phones);
    for dn in [CALLER, CALLEE] {
        browser.event(dn, "registered");
    }
    let transports: Vec<_> = devices.iter().map(|d| node.registered(d)["transport"].clone()).collect();
    assert_eq!(transports, ["ws", "wss"]);
    for (from, to) in [(CALLER, CALLEE), (CALLEE, CALLER)] {
        browser.tell(from, json!({"do": "call", "target": to}));
        assert_eq!(browser.event(to, "incoming")["from"], from);
        browser.tell(to, json!({"do": "answer"}));
        for dn in [from, to] {
            browser.event(dn, "established");
        }
        for dn in [from, to] {
            let media = browser.event(dn, "media");
            assert!(media["bytesReceived"].as_u64() > Some(2000), "{media}");
            assert!(media["srtpCipher"].is_string(), "{media}");
        }
        // The media is under DTLS-SRTP from end to end; a browser proves no device all the same.
        let security = node.call_security(&node.answered_call());
        assert_eq!(security["class"], "non_secure", "{security}");
        browser.tell(from, json!({"do": "hangup"}));
        for dn in [from, to] {
            browser.event(dn, "terminated");
        }
        wait::until("end of all calls", || node.calls().is_empty().then_some(()));
    }
    browser.tell(CALLER, json!({"do": "unregister"}));
    browser.event(CALLER, "unregistered");
    wait::until("end of the binding", || node.registrations_of(&devices[0]).is_empty().then_some(()));
}
