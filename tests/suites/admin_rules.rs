//! The rules of the administrator's windows, asked over HTTPS.

use keyline_tests::inventory::{CISCO, Inventory, THIRD_PARTY};
use keyline_tests::node::{Builder, Node};
use serde_json::{Value, json};

const PREDEFINED: &str = "Cisco 8845 - Standard SIP Non-Secure Profile";
const PREDEFINED_PATH: &str = "/security-profiles/Cisco%208845%20-%20Standard%20SIP%20Non-Secure%20Profile";

fn phone(n: u32) -> String {
    format!("SEP{n:012X}")
}

fn started(phones: u32) -> Node {
    let mut inventory = Inventory::new();
    for n in 0..phones {
        inventory.plain_phone(&phone(n), &(1000 + n).to_string());
    }
    Builder::new().shards(1).inventory(&inventory).start()
}

fn add(node: &Node, list: &str, row: Value) {
    node.ask("POST", &format!("/{list}"), Some(&row)).expect(201);
}

fn found(node: &Node, query: &str) -> Vec<String> {
    let page = node.ask("GET", query, None).expect(200);
    let rows = page["items"].as_array().expect("rows");
    rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn r034_find_disable_all_switches_and_the_speaker_flags_save_and_reset() {
    let node = started(3);
    let names = found(&node, "/phones?filter=name:begins:SEP&filter=description:is_empty&sort=-name");
    let path = format!("/phones/{}", names[0]);
    let five = ["gratuitous_arp", "web_access", "pc_voice_vlan_access", "settings_access", "pc_port"];
    let off: serde_json::Map<_, _> = five.iter().map(|s| ((*s).to_owned(), json!("disabled"))).collect();
    node.ask("PATCH", &path, Some(&json!({ "hardening": off }))).expect(200);
    let effective = |switch: &str| node.ask("GET", &path, None).expect(200)["hardening"][switch].clone();
    for switch in five {
        assert_eq!(effective(switch), json!({"value": "disabled", "origin": "phone"}), "{switch}");
    }
    // Speakerphone alone, then speakerphone and headset: two flags.
    node.ask("PATCH", &path, Some(&json!({"hardening": {"speakerphone": "disabled"}}))).expect(200);
    assert_eq!(
        (&effective("speakerphone")["value"], &effective("headset")["value"]),
        (&json!("disabled"), &json!("enabled"))
    );
    node.ask("PATCH", &path, Some(&json!({"hardening": {"headset": "disabled"}}))).expect(200);
    assert_eq!(effective("headset")["origin"], "phone");
    // The others keep what they have, and no phone is told by saving.
    let other = node.ask("GET", &format!("/phones/{}", names[1]), None).expect(200);
    assert_eq!(other["hardening"]["web_access"]["origin"], "default");
    node.ask("POST", &format!("{path}/reset"), None).refused(409, "phone_not_registered");
}

#[test]
fn r042_nobody_sets_trust() {
    let node = started(1);
    let path = format!("/phones/{}", phone(0));
    let problem = node.ask("PATCH", &path, Some(&json!({"trusted": true}))).refused(422, "field_unknown");
    assert_eq!(problem["field"], "trusted");
    node.ask("PATCH", "/phone-models/Cisco%208845", Some(&json!({"trusted": false})))
        .refused(409, "model_builtin");
    assert_eq!(node.ask("GET", &path, None).expect(200)["trusted"]["value"], true);
}

#[test]
fn r095_r096_r180_a_profile_of_the_phones_type_is_made_and_chosen_on_it() {
    let node = started(1);
    let path = format!("/phones/{}", phone(0));
    add(&node, "security-profiles", json!({"name": "Ours", "model": CISCO, "digest_authentication": true}));
    add(&node, "security-profiles", json!({"name": "Other type", "model": THIRD_PARTY}));
    add(
        &node,
        "security-profiles",
        json!({"name": "Other protocol", "model": "Cisco 7962", "protocol": "sccp"}),
    );
    let offered = found(
        &node,
        "/security-profiles?filter=model:is_exactly:Cisco%208845&filter=protocol:is_exactly:sip",
    );
    assert_eq!(offered, [PREDEFINED, "Ours"]);
    for wrong in ["Other type", "Other protocol"] {
        let body = json!({"security_profile": wrong});
        let problem = node.ask("PATCH", &path, Some(&body)).refused(422, "profile_of_other_model");
        assert_eq!((&problem["field"], &problem["step"]), (&json!("security_profile"), &json!(0)));
    }
    node.ask("PATCH", &path, Some(&json!({"security_profile": "Nobody"}))).refused(422, "reference_missing");
    node.ask("PATCH", &path, Some(&json!({"security_profile": "Ours"}))).expect(200);
    assert_eq!(node.ask("GET", &path, None).expect(200)["security_profile"], "Ours");
}

#[test]
fn r099_r100_r216_predefined_profiles_are_copied_and_nothing_else() {
    let node = started(1);
    let patch = json!({"digest_authentication": true});
    node.ask("PATCH", PREDEFINED_PATH, Some(&patch)).refused(409, "profile_predefined");
    let row = json!({"model": CISCO, "protocol": "sip"});
    node.ask("PUT", PREDEFINED_PATH, Some(&row)).refused(409, "profile_predefined");
    node.ask("DELETE", PREDEFINED_PATH, None).refused(409, "profile_predefined");
    let rename = json!({"name": "Mine"});
    node.ask("POST", &format!("{PREDEFINED_PATH}/rename"), Some(&rename)).refused(409, "profile_predefined");
    let copy = node.ask("POST", &format!("{PREDEFINED_PATH}/copy"), Some(&rename));
    copy.expect(201);
    assert_eq!(copy.header("location"), Some("/api/v1/security-profiles/Mine"));
    assert_eq!(node.ask("GET", "/security-profiles/Mine", None).expect(200)["predefined"], false);
    node.ask("PATCH", "/security-profiles/Mine", Some(&patch)).expect(200);
    node.ask("DELETE", "/security-profiles/Mine", None).expect(200);
}

#[test]
fn r101_r185_r186_r217_a_profile_in_use_stays_until_its_phones_are_elsewhere_or_gone() {
    let node = started(12);
    add(&node, "security-profiles", json!({"name": "A/B", "model": CISCO}));
    for n in 0..12 {
        node.ask("PATCH", &format!("/phones/{}", phone(n)), Some(&json!({"security_profile": "A/B"})))
            .expect(200);
    }
    let path = "/security-profiles/A%2FB";
    let refused = node.ask("DELETE", path, None).refused(409, "in_use");
    assert_eq!(refused["dependencies"]["count"], 12);
    assert_eq!(refused["dependencies"]["items"].as_array().unwrap().len(), 10);
    assert_eq!(refused["dependencies"]["items"][0], json!({"kind": "phone", "name": phone(0)}));
    // The records, page by page.
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node.ask("GET", &format!("{path}/dependencies?limit=5{cursor}"), None).expect(200);
        assert_eq!(page["count"], 12);
        names
            .extend(page["items"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, (0..12).map(phone).collect::<Vec<_>>());
    for (other, count) in [("phone-models/Cisco%208845", 13), ("lines/1000", 1)] {
        let found = node.ask("GET", &format!("/{other}/dependencies"), None).expect(200);
        assert_eq!(found["count"], count, "{other}");
    }
    node.ask("GET", "/security-profiles/none/dependencies", None).refused(404, "security_profile_not_found");
    // Another profile, or no phone any more.
    for n in 0..6 {
        node.ask("PATCH", &format!("/phones/{}", phone(n)), Some(&json!({"security_profile": null})))
            .expect(200);
    }
    node.ask("DELETE", path, None).refused(409, "in_use");
    for n in 6..12 {
        node.ask("DELETE", &format!("/phones/{}", phone(n)), None).expect(200);
    }
    node.ask("DELETE", path, None).expect(200);
    node.ask("GET", path, None).refused(404, "security_profile_not_found");
}

#[test]
fn r103_phones_follow_a_profile_to_its_new_name() {
    let node = started(1);
    add(&node, "security-profiles", json!({"name": "Old", "model": CISCO}));
    let path = format!("/phones/{}", phone(0));
    node.ask("PATCH", &path, Some(&json!({"security_profile": "Old"}))).expect(200);
    node.ask("POST", "/security-profiles/Old/rename", Some(&json!({"name": PREDEFINED})))
        .refused(409, "exists");
    let renamed =
        node.ask("POST", "/security-profiles/Old/rename", Some(&json!({"name": "New"}))).expect(200);
    assert_eq!((&renamed["name"], &renamed["after"]["name"]), (&json!("New"), &json!("New")));
    assert_eq!(node.ask("GET", &path, None).expect(200)["security_profile"], "New");
    node.ask("GET", "/security-profiles/Old", None).expect(404);
}

#[test]
fn r114_r175_r177_r178_r189_profiles_and_phones_are_found() {
    let node = started(30);
    for (n, name) in ["Beta", "Alpha"].into_iter().enumerate() {
        add(&node, "security-profiles", json!({"name": name, "model": CISCO}));
        let row = json!({"security_profile": name, "description": format!("desk {}", 9 - n)});
        node.ask("PATCH", &format!("/phones/{}", phone(n as u32)), Some(&row)).expect(200);
    }
    let problem =
        node.ask("POST", "/security-profiles", Some(&json!({"model": CISCO}))).refused(422, "field_missing");
    assert_eq!(problem["field"], "name");
    // No criteria: all.
    assert_eq!(found(&node, "/phones").len(), 30);
    // By profile, whatever the pattern and the case.
    for (pattern, n) in [("is_exactly:alpha", 1), ("begins:BE", 0), ("ends:eta", 0), ("contains:lph", 1)] {
        assert_eq!(
            found(&node, &format!("/phones?filter=security_profile:{pattern}")),
            [phone(n)],
            "{pattern}"
        );
    }
    // Sorted by any column, both ways, page by page.
    for column in ["name", "model", "security_profile", "description", "device_security_mode", "protocol"] {
        let mut orders = Vec::new();
        for minus in ["", "-"] {
            let (mut rows, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = node
                    .ask("GET", &format!("/phones?limit=11&sort={minus}{column}{cursor}"), None)
                    .expect(200);
                let items = page["items"].as_array().unwrap().clone();
                rows.extend(items.iter().map(|r| (r[column].to_string(), r["name"].to_string())));
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            orders.push(rows);
        }
        let distinct: std::collections::BTreeSet<_> = orders[0].iter().map(|(_, name)| name).collect();
        assert_eq!((orders[0].len(), distinct.len()), (30, 30), "{column}");
        assert!(orders[0].iter().map(|(value, _)| value).is_sorted(), "{column}: {:?}", orders[0]);
        orders[1].reverse();
        assert_eq!(orders[0], orders[1], "{column}");
    }
    // The place of an earlier query is refused under another, so rows of it never show there.
    let next = node.ask("GET", "/phones?limit=3&sort=description", None).expect(200)["next"]
        .as_str()
        .unwrap()
        .to_owned();
    node.ask("GET", &format!("/phones?limit=3&cursor={next}"), None).refused(400, "bad_request");
}

#[test]
fn r179_new_copied_and_existing_profiles_open_with_their_settings() {
    let node = started(0);
    add(&node, "security-profiles", json!({"name": "New", "model": CISCO}));
    let defaults = node.ask("GET", "/security-profiles/New", None).expect(200);
    assert_eq!(
        (&defaults["device_security_mode"], &defaults["nonce_validity_s"]),
        (&json!("non_secure"), &json!(600))
    );
    node.ask("PATCH", "/security-profiles/New", Some(&json!({"nonce_validity_s": 60}))).expect(200);
    let copy = |name: &str| {
        node.ask(
            "POST",
            "/security-profiles/New/copy",
            Some(&json!({"name": name, "description": "like it"})),
        )
    };
    copy("Copy").expect(201);
    let copied = node.ask("GET", "/security-profiles/Copy", None).expect(200);
    assert_eq!((&copied["nonce_validity_s"], &copied["description"]), (&json!(60), &json!("like it")));
    copy("New").refused(409, "exists");
    assert_eq!(node.ask("GET", "/security-profiles/New", None).expect(200)["nonce_validity_s"], 60);
}

#[test]
fn r187_dependency_records_can_be_switched_off() {
    let node = started(1);
    node.ask("PUT", "/parameters/dependency_records", Some(&json!({"value": false}))).expect(200);
    let off = node.ask("GET", "/lines/1000/dependencies", None).refused(409, "dependency_records_off");
    assert!(
        off["detail"].as_str().unwrap().contains("switch on the enterprise parameter dependency_records")
    );
    let refused = node.ask("DELETE", "/lines/1000", None).refused(409, "in_use");
    assert_eq!(refused.get("dependencies"), None);
    node.ask("DELETE", "/parameters/dependency_records", None).expect(200);
    assert_eq!(node.ask("GET", "/lines/1000/dependencies", None).expect(200)["count"], 1);
}

#[test]
fn r188_several_or_all_configurable_ones_are_deleted_after_a_question() {
    let node = started(2);
    for name in ["A", "B", "C", "Used"] {
        add(&node, "security-profiles", json!({"name": name, "model": CISCO}));
    }
    node.ask("PATCH", &format!("/phones/{}", phone(0)), Some(&json!({"security_profile": "Used"})))
        .expect(200);
    let delete = |body: &Value| node.ask("POST", "/security-profiles/delete", Some(body));
    let asked = delete(&json!({"names": ["A", PREDEFINED]})).refused(428, "confirmation_required");
    assert_eq!(asked["count"], 2);
    let confirm = &asked["confirm"];
    // The word is good for these names only.
    delete(&json!({"names": ["B"], "confirm": confirm})).refused(409, "confirmation_stale");
    let report = delete(&json!({"names": ["A", PREDEFINED], "confirm": confirm})).expect(200);
    assert_eq!((&report["done"], &report["refused"]), (&json!(1), &json!(1)));
    assert_eq!(report["results"][1]["problem"]["code"], "profile_predefined");
    // All that can be configured: predefined ones are not among them.
    let asked = delete(&json!({"all": true})).refused(428, "confirmation_required");
    assert_eq!((&asked["count"], &asked["examples"]), (&json!(3), &json!(["B", "C", "Used"])));
    assert_eq!(found(&node, "/security-profiles?filter=predefined:is_exactly:false").len(), 3, "nothing yet");
    let report = delete(&json!({"all": true, "confirm": asked["confirm"]})).expect(200);
    assert_eq!((&report["done"], &report["results"][2]["problem"]["code"]), (&json!(2), &json!("in_use")));
    assert_eq!(found(&node, "/security-profiles?filter=predefined:is_exactly:false"), ["Used"]);
    let filter = json!({"filter": ["name:ends:1"]});
    let asked = node.ask("POST", "/phones/delete", Some(&filter)).refused(428, "confirmation_required");
    assert_eq!(asked["examples"], json!([phone(1)]));
}

#[test]
fn r204_r210_credentials_are_entered_twice_and_never_shown() {
    let node = started(0);
    let user = |confirm: &str, secret: &str| {
        let row = json!({"id": "alice", "digest_credentials": secret, "digest_credentials_confirm": confirm});
        node.ask("POST", "/end-users", Some(&row))
    };
    user("Secret2", "Secret1").refused(422, "credentials_mismatch");
    let refused = user("not so", "not so").refused(422, "field_invalid");
    assert_eq!(refused["field"], "digest_credentials");
    let made = user("Secret1", "Secret1");
    made.expect(201);
    let change = json!({"digest_credentials": "Secret3"});
    let changed = node.ask("PATCH", "/end-users/alice", Some(&change));
    let shown = node.ask("GET", "/end-users/alice", None);
    assert_eq!(shown.expect(200)["digest_credentials_set"], true);
    for answer in [&made, &changed, &shown] {
        assert!(!answer.body.contains("Secret"), "{answer:?}");
    }
    node.ask(
        "PATCH",
        "/end-users/alice",
        Some(&json!({"digest_credentials": "a", "digest_credentials_confirm": "b"})),
    )
    .refused(422, "credentials_mismatch");
}
