//! Digest authentication on the wire (requirements O).

use keyline_domain::digest::Algorithm;
use keyline_loadtest::phone::{Phone, PhoneError, Transport};
use keyline_tests::inventory::{CISCO, Inventory, password_of, user_of};
use keyline_tests::node::{Builder, Node};
use keyline_tests::place::device_on;
use keyline_tests::sip::{Line, Login, Request, challenges, contact, contacts, warning};
use keyline_tests::wait;
use keyline_wire::sip::{HeaderName, Message};
use serde_json::json;

use crate::common::{caller_device, registered};

on_shards!(
    r192_a_register_is_challenged_with_every_algorithm,
    r194_right_credentials_register_and_wrong_ones_do_not,
    a_nonce_count_serves_once,
);

fn one_phone(shards: u16) -> (Node, String) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    inventory.digest_phone(&device, "1001");
    (Builder::new().shards(shards).inventory(&inventory).start(), device)
}

fn right(algorithm: Algorithm) -> Login<'static> {
    Login { user: "user1001", password: "Secret1001", algorithm }
}

/// Names of a response's headers, in order: its shape without its random parts.
fn shape(response: &Message<'_>) -> (Option<u16>, Vec<String>) {
    (response.status(), response.headers().map(|h| format!("{:?}", h.name)).collect())
}

fn r192_a_register_is_challenged_with_every_algorithm(shards: u16) {
    let (node, _) = one_phone(shards);
    let mut line = Line::udp(node.udp());
    let response = line.exchange(&Request::register_from("1001", &line));
    assert_eq!(response.status(), Some(401));
    assert!(response.to_tag().is_some());
    let offered = challenges(&response);
    let algorithms: Vec<&str> = offered.iter().map(|c| c.algorithm.as_str()).collect();
    // Strongest first (RFC 8760 §2.3).
    assert_eq!(algorithms, ["SHA-512-256", "SHA-256", "MD5"]);
    for challenge in &offered {
        assert_eq!(challenge.realm, "ccmsipline", "R207");
        assert!(challenge.qop_auth && !challenge.stale && !challenge.nonce.is_empty());
    }
}

fn r194_right_credentials_register_and_wrong_ones_do_not(shards: u16) {
    let device = caller_device(shards);
    let mut inventory = Inventory::new();
    let every: Vec<&str> = Algorithm::ALL.iter().map(|a| a.token()).collect();
    inventory.parameter("digest_algorithms", json!(every)).digest_phone(&device, "1001");
    let node = Builder::new().shards(shards).inventory(&inventory).start();
    wait::run(async {
        for algorithm in Algorithm::ALL {
            let mut config = node.digest_phone(Transport::Udp, &device, "1001");
            config.algorithms = vec![algorithm];
            let phone = registered(config).await;
            assert_eq!(phone.nonce().unwrap().1, algorithm.token());
            phone.refresh().await.unwrap();
            assert_eq!(phone.nonce().unwrap().2, 2, "the same nonce serves again");
            phone.unregister().await.unwrap();
        }
        for (user, password) in [("user1001", "Wrong"), ("nobody", "Secret1001")] {
            let config = node.phone(Transport::Udp, &device, "1001").login(user, password);
            let phone = Phone::start(config).await.unwrap();
            assert!(matches!(
                phone.register().await,
                Err(PhoneError::Refused { .. } | PhoneError::Challenge { .. })
            ));
        }
        assert!(node.registrations_of(&device).is_empty());
    });
}

fn a_nonce_count_serves_once(shards: u16) {
    let (node, _) = one_phone(shards);
    let mut line = Line::udp(node.udp());
    let first = Request::register_from("1001", &line);
    let challenged = line.exchange(&first);
    let login = right(Algorithm::Md5);
    let mut next = first;
    let mut send = |nc: u32| {
        next = next.clone().next();
        next.authorize(&challenged, &login, nc);
        line.exchange(&next)
    };
    assert_eq!(send(1).status(), Some(200));
    assert_eq!(send(5).status(), Some(200), "counts may be lost");
    assert_eq!(send(3).status(), Some(200), "and overtake each other on UDP");
    let replayed = send(3);
    assert_eq!(replayed.status(), Some(401));
    assert!(challenges(&replayed).iter().all(|c| c.stale), "the credentials were right");
    assert_eq!(send(6).status(), Some(200));
}

#[test]
fn r194_an_unknown_user_is_answered_like_a_wrong_password() {
    let (node, _) = one_phone(1);
    let mut line = Line::udp(node.udp());
    let mut ask = |dn: &str, user: &str, password: &str| {
        let first = Request::register_from(dn, &line);
        let challenged = line.exchange(&first);
        let mut second = first.next();
        second.authorize(&challenged, &Login { user, password, algorithm: Algorithm::Sha256 }, 1);
        (shape(&challenged), shape(&line.exchange(&second)))
    };
    let wrong_password = ask("1001", "user1001", "Wrong1001");
    assert_eq!(wrong_password.0.0, Some(401));
    assert_eq!(wrong_password.1.0, Some(401));
    assert_eq!(ask("1001", "nobody", "Wrong1001"), wrong_password);
    // A line and a device that do not exist.
    assert_eq!(ask("4711", "nobody", "Wrong1001"), wrong_password);
    assert_eq!(ask("4711", "user1001", "Wrong1001"), wrong_password);
}

#[test]
fn a_wrong_digest_is_never_stale_and_in_the_end_forbidden() {
    let (node, device) = one_phone(1);
    let mut line = Line::udp_from("127.0.0.9".parse().unwrap(), node.udp());
    let wrong = Login { user: "user1001", password: "Guess", algorithm: Algorithm::Md5 };
    let mut statuses = Vec::new();
    let mut request = Request::register_from("1001", &line);
    let mut challenged = line.exchange(&request);
    for _ in 0..20 {
        request = request.next();
        request.authorize(&challenged, &wrong, 1);
        let answer = line.exchange(&request);
        assert!(challenges(&answer).iter().all(|c| !c.stale));
        statuses.push(answer.status().unwrap());
        if answer.status() == Some(401) {
            challenged = answer;
        }
    }
    assert_eq!(statuses.first(), Some(&401));
    assert_eq!(statuses.last(), Some(&403), "{statuses:?}");
    // The owner is not locked out, not even from the same address.
    let mut login = request.next();
    let fresh = right(Algorithm::Md5);
    login.authorize(&challenged, &fresh, 2);
    assert_eq!(line.exchange(&login).status(), Some(200));
    assert_eq!(node.registrations_of(&device).len(), 1);
}

#[test]
fn r153_an_expired_nonce_is_stale_and_the_same_credentials_then_succeed() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    let fields = json!({"transport": "tcp_udp", "digest_authentication": true, "nonce_validity_s": 1});
    inventory.profile("Brief nonce", CISCO, fields);
    inventory.end_user("user1001", "Secret1001");
    let phone = json!({"security_profile": "Brief nonce", "digest_user": "user1001"});
    inventory.phone(&device, CISCO, &["1001"], phone);
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let phone = registered(node.digest_phone(Transport::Udp, &device, "1001")).await;
        let (first, ..) = phone.nonce().unwrap();
        let until = std::time::Instant::now() + wait::PATIENCE;
        loop {
            phone.refresh().await.unwrap();
            if phone.nonce().unwrap().0 != first {
                break;
            }
            assert!(std::time::Instant::now() < until, "the nonce never expired");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let events = phone.record().find(0, |e| e.is_response(401, "REGISTER"));
        let last = challenges(events.last().unwrap().message.as_ref().unwrap());
        assert!(last.iter().all(|c| c.stale), "{last:?}");
        assert_ne!(last[0].nonce, first);
    });
}

#[test]
fn r193_keepalives_pass_and_all_else_is_challenged() {
    let (node, device) = one_phone(2);
    wait::run(async {
        let phone = registered(node.digest_phone(Transport::Tcp, &device, "1001")).await;
        phone.forget_nonce();
        phone.ping().await.unwrap();
        let mark = phone.record().mark();
        assert_eq!(phone.options().await.unwrap().status(), Some(200));
        assert!(phone.record().find(mark, |e| e.is_response(401, "OPTIONS")).is_empty());
        for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH"] {
            let mut line = Line::tcp(node.tcp());
            let mut request = Request::new(method, "sip:1001@keyline.local", "1001");
            request.set("Contact", &contact("1001", &line));
            let response = line.exchange(&request);
            assert_eq!(response.status(), Some(401), "{method}");
        }
        let mut line = Line::tcp(node.tcp());
        // What can only be in a dialog and names none is told so; it tells nobody anything.
        let info = Request::new("INFO", "sip:1001@keyline.local", "1001");
        assert!(matches!(line.exchange(&info).status(), Some(401 | 481)));
        let cancel = Request::new("CANCEL", "sip:1001@keyline.local", "1001");
        assert_eq!(line.exchange(&cancel).status(), Some(481), "never challenged (RFC 3261 §22.1)");
    });
}

#[test]
fn r197_credentials_may_be_an_end_users_or_an_application_users() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.profile("Digest", CISCO, json!({"digest_authentication": true}));
    inventory.application_user("robot", "Secret1001");
    let phone = json!({"security_profile": "Digest", "digest_user": "robot"});
    inventory.phone(&device, CISCO, &["1001"], phone);
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let config = node.phone(Transport::Udp, &device, "1001").login("robot", "Secret1001");
        registered(config).await;
        assert_eq!(node.registrations_of(&device).len(), 1);
    });
}

#[test]
fn r196_the_digest_user_is_one_devices_own() {
    let (a, b) = (device_on(0, 2, 1), device_on(1, 2, 2));
    let mut inventory = Inventory::new();
    inventory.digest_phone(&a, "1001").digest_phone(&b, "1002");
    let node = Builder::new().shards(2).inventory(&inventory).start();
    // The right password, but of another device's user: for its line and for its device name.
    let mut line = Line::udp(node.udp());
    let first = Request::register_from("1002", &line);
    let challenged = line.exchange(&first);
    let mut second = first.next();
    second.authorize(&challenged, &right(Algorithm::Sha256), 1);
    assert_eq!(line.exchange(&second).status(), Some(403));
    assert!(node.registrations().is_empty());
    // Two phones cannot be given one digest user.
    let row = json!({"kind": "phone", "name": b, "model": CISCO, "protocol": "sip", "lines": ["1002"],
        "security_profile": "Digest", "digest_user": user_of("1001")});
    let refused = node.import(&format!("{row}\n"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&a));
}

#[test]
fn r202_the_cluster_mode_has_no_effect_on_digest() {
    let seen = ["non_secure", "mixed"].map(|mode| {
        let device = caller_device(1);
        let mut inventory = Inventory::new();
        inventory.parameter("cluster_security_mode", mode).digest_phone(&device, "1001");
        let node = Builder::new().inventory(&inventory).start();
        let mut line = Line::udp(node.udp());
        let mut request = Request::register_from("1001", &line);
        let challenged = line.exchange(&request);
        let mut answers = vec![shape(&challenged)];
        for password in ["Wrong", password_of("1001").as_str()] {
            request = request.next();
            let login = Login { user: "user1001", password, algorithm: Algorithm::Sha256 };
            request.authorize(&challenged, &login, 1);
            let answer = line.exchange(&request);
            answers.push((answer.status(), vec![contacts(&answer).len().to_string()]));
        }
        answers
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].last().unwrap().0, Some(200));
}

#[test]
fn r205_a_digest_user_without_a_digest_profile_is_not_challenged() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.end_user("user1001", "Secret1001");
    inventory.phone(&device, CISCO, &["1001"], json!({"digest_user": "user1001"}));
    let node = Builder::new().inventory(&inventory).start();
    let mut line = Line::udp(node.udp());
    assert_eq!(line.exchange(&Request::register_from("1001", &line)).status(), Some(200));
}

#[test]
fn r208_the_realm_is_a_parameter() {
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.parameter("sip_realm_station", "example.com").digest_phone(&device, "1001");
    let node = Builder::new().inventory(&inventory).start();
    wait::run(async {
        let phone = registered(node.digest_phone(Transport::Udp, &device, "1001")).await;
        let events = phone.record().find(0, |e| e.is_response(401, "REGISTER"));
        assert_eq!(challenges(events[0].message.as_ref().unwrap())[0].realm, "example.com");
    });
}

#[test]
fn r208_each_node_challenges_with_its_own_realm() {
    const PATH: &str = "/parameters/sip_realm_station@alpha";
    let device = caller_device(1);
    let mut inventory = Inventory::new();
    inventory.parameter("sip_realm_station", "cluster.example").digest_phone(&device, "1001");
    let mut node = Builder::new().setting("node", "name = \"alpha\"").inventory(&inventory).start();
    let realm = |node: &Node| {
        let mut line = Line::udp(node.udp());
        let first = line.exchange(&Request::register_from("1001", &line));
        let offered = challenges(&first);
        assert!(offered.iter().all(|c| c.realm == offered[0].realm), "{offered:?}");
        offered[0].realm.clone()
    };
    assert_eq!(realm(&node), "cluster.example");
    let inherited = node.ask("GET", PATH, None).expect(200);
    assert_eq!((&inherited["value"], &inherited["set"]), (&json!("cluster.example"), &json!(false)));
    let value = json!({"value": "alpha.example"});
    node.ask("PUT", PATH, Some(&value)).expect(200);
    assert_eq!(realm(&node), "alpha.example");
    wait::run(async {
        // The credentials that are kept are those of the realm in force.
        registered(node.digest_phone(Transport::Udp, &device, "1001")).await;
    });
    // A node without call processing has none, and what all nodes share is not given to one.
    node.ask("PUT", "/parameters/sip_realm_station@beta", Some(&value)).refused(422, "node_inactive");
    node.ask("GET", "/parameters/sip_realm_station@beta", None).expect(404);
    let seconds = json!({"value": 20});
    node.ask("PUT", "/parameters/no_answer_s@alpha", Some(&seconds)).refused(422, "parameter_of_cluster");
    // After a restart too, offline by the command line, and on a node of another name not at all.
    node.kill9_and_restart();
    assert_eq!(realm(&node), "alpha.example");
    node.kill9();
    let set = node.run(&["parameter", "set", "sip_realm_station@alpha", "second.example"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let other = node.run(&["parameter", "set", "sip_realm_station@beta", "second.example"]);
    assert_eq!(other.status.code(), Some(1));
    let why = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(why.contains("`beta`") && why.contains("active: alpha"), "{why}");
    node.start();
    assert_eq!(realm(&node), "second.example");
    node.kill9();
    let file = node.folder().join("keyline.toml");
    let text = std::fs::read_to_string(&file).expect("keyline.toml").replace("\"alpha\"", "\"beta\"");
    std::fs::write(&file, text).expect("keyline.toml");
    node.start();
    assert_eq!(realm(&node), "cluster.example");
    let left = node.ask("GET", PATH, None).expect(200);
    assert_eq!((&left["active"], &left["value"]), (&json!(false), &json!("second.example")));
    node.ask("DELETE", PATH, None).expect(200);
    node.ask("GET", PATH, None).expect(404);
}

#[test]
fn auth_int_is_not_offered_and_an_answer_with_it_is_refused() {
    let (node, device) = one_phone(1);
    let mut line = Line::udp(node.udp());
    let first = Request::register_from("1001", &line);
    let challenged = line.exchange(&first);
    let named = challenged.headers().filter(|h| h.name == HeaderName::WwwAuthenticate);
    let offers: Vec<&str> = named.map(|h| h.value).collect();
    assert!(offers.iter().all(|offer| offer.contains("qop=\"auth\"")), "{offers:?}");
    let mut request = first.next();
    let value = right(Algorithm::Sha256).answer(&challenged, "REGISTER", &request.uri, 1);
    request.set("Authorization", &value.replace("qop=auth,", "qop=auth-int,"));
    let refused = line.exchange(&request);
    assert_eq!(refused.status(), Some(400), "RFC 7616 §3.4: only what was offered");
    assert!(warning(&refused).contains("qop=auth"), "{}", warning(&refused));
    assert_eq!(node.metric("keyline_admission_verdicts_total", "digest_qop_not_offered"), 1.0);
    assert!(node.registrations_of(&device).is_empty());
    // The same nonce still serves: nothing was counted against it.
    let mut request = request.next();
    request.authorize(&challenged, &right(Algorithm::Sha512_256), 1);
    assert_eq!(line.exchange(&request).status(), Some(200));
}

#[test]
fn nonce_keys_rotate_and_nonces_of_the_key_before_still_serve() {
    let device = caller_device(2);
    let mut inventory = Inventory::new();
    let fields = json!({"transport": "tcp_udp", "digest_authentication": true, "nonce_validity_s": 2});
    inventory.profile("Brief nonce", CISCO, fields);
    inventory.end_user("user1001", "Secret1001");
    let phone = json!({"security_profile": "Brief nonce", "digest_user": "user1001"});
    inventory.phone(&device, CISCO, &["1001"], phone);
    let mut node =
        Builder::new().shards(2).inventory(&inventory).setting("limits", "nonce_key_s = 1").start();
    let rotations = |node: &Node| node.metric("keyline_nonce_key_rotations_total", "");
    // A nonce that lives over a rotation: minted just after one, so that the next comes before its end.
    let before = rotations(&node);
    wait::until("a first rotation", || (rotations(&node) > before).then_some(()));
    let mut line = Line::udp(node.udp());
    let mut request = Request::register_from("1001", &line);
    let challenged = line.exchange(&request);
    let before = rotations(&node);
    wait::until("another rotation", || (rotations(&node) > before).then_some(()));
    request = request.next();
    request.authorize(&challenged, &right(Algorithm::Sha256), 1);
    let answer = line.exchange(&request);
    // In time or not: the nonce is known for ours. A forged one would be challenged without stale.
    assert!(
        answer.status() == Some(200) || challenges(&answer).iter().all(|c| c.stale),
        "{:?}",
        challenges(&answer)
    );
    // The keys outlive the node: after kill -9 the nonce is stale, not forged.
    let fresh = line.exchange(&Request::register_from("1001", &line));
    node.kill9_and_restart();
    let mut line = Line::udp(node.udp());
    let mut request = Request::register_from("1001", &line);
    request.authorize(&fresh, &right(Algorithm::Sha256), 1);
    let answer = line.exchange(&request);
    assert_eq!(answer.status(), Some(401));
    assert!(challenges(&answer).iter().all(|c| c.stale), "{:?}", challenges(&answer));
}

#[test]
fn a_retransmitted_register_is_absorbed_before_its_count_is_looked_at() {
    let (node, _) = one_phone(1);
    let mut line = Line::udp(node.udp());
    let first = Request::register_from("1001", &line);
    let challenged = line.exchange(&first);
    let mut second = first.next();
    second.authorize(&challenged, &right(Algorithm::Sha256), 1);
    let bytes = second.print(&line);
    for _ in 0..3 {
        line.send(&bytes);
        assert_eq!(line.receive_final().status(), Some(200));
    }
    // The same request in a new transaction while the first one is known is a merged copy (RFC 3261
    // §8.2.2.2); once it is not, the row tells a repeat (suite `survival`).
    let mut again = second.clone();
    again.branch = keyline_tests::sip::unique();
    assert_eq!(line.exchange(&again).status(), Some(482));
}
