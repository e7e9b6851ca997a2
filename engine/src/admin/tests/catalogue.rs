//! What the API says of types of devices, of options and of help.

use keyline_domain::hardening;
use keyline_domain::inventory::{Kind, parse_row};
use keyline_domain::mode::Protocol;
use keyline_domain::model::{builtin_models, gateway_types};
use keyline_domain::profile::{ProfileFields, resolve};
use serde_json::{Value, json};

use super::fake::inventory;
use super::routes::{assert_problem, get};

fn escape(text: &str) -> String {
    crate::admin::control::escape(text)
}

fn fact<'a>(model: &'a Value, name: &str) -> &'a Value {
    let facts = model["facts"].as_array().unwrap();
    facts.iter().find(|f| f["name"] == name).unwrap_or(&Value::Null)
}

#[actix_web::test]
async fn r044_r056_a_model_tells_its_facts_with_source_and_certainty() {
    let model = get("/api/v1/phone-models/Cisco%207962").await.body;
    for (name, value, certainty, source) in [
        ("pc_voice_vlan_drop", json!(true), "documented", json!("R026")),
        ("sha1_signatures_only", json!(true), "family", json!("R089")),
        ("end_of_maintenance", Value::Null, "unknown", Value::Null),
    ] {
        let found = fact(&model, name);
        assert_eq!((&found["value"], &found["source"]), (&value, &source), "{name}");
        assert_eq!(found["certainty"], certainty, "{name}");
        assert!(found["help"].as_str().unwrap().len() > 10);
    }
    assert_eq!((&model["trust"]["text"], &model["trust"]["icon"]), (&json!("trusted"), &json!("lock")));
    let other = get("/api/v1/phone-models/Third-party%20SIP%20Device%20(Basic)").await.body;
    assert_eq!((&other["trust"]["text"], &other["trust"]["icon"]), (&json!("not trusted"), &json!("none")));
    assert_eq!(other["capf_operations"], json!([]));
    assert_problem(&get("/api/v1/phone-models/none").await, 404, "phone_model_not_found");
}

#[actix_web::test]
async fn r041_r044_a_phone_shows_the_trust_of_its_type() {
    let phone = get("/api/v1/phones/SEPFFFFFFFFFFFF").await.body;
    assert_eq!((&phone["trusted"]["text"], &phone["trusted"]["icon"]), (&json!("trusted"), &json!("lock")));
}

#[actix_web::test]
async fn r043_every_gateway_type_shows_its_trust() {
    let list = get("/api/v1/gateways?limit=1000").await.body;
    assert_eq!(list["items"].as_array().unwrap().len(), gateway_types().len());
    for row in list["items"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let one = get(&format!("/api/v1/gateways/{}", escape(name))).await.body;
        assert_eq!(&one, row);
        let trusted = one["trusted"] == true;
        assert_eq!(one["trust"]["text"], if trusted { "trusted" } else { "not trusted" });
        assert_eq!(one["trust"]["certainty"] == "unknown", one["trust"]["source"].is_null());
    }
    assert_problem(&get("/api/v1/gateways/none").await, 404, "gateway_not_found");
}

/// The two directions of the report say the same of every model and feature.
#[actix_web::test]
async fn r056_r148_the_report_is_the_same_from_both_sides() {
    let list = get("/api/v1/features?limit=1000").await.body;
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert!(names.contains(&json!("rsa_3072")) && names.contains(&json!("rsa_4096")));
    let model = get("/api/v1/phone-models/Cisco%208845").await.body;
    for name in names {
        let feature = get(&format!("/api/v1/features/{}", name.as_str().unwrap())).await.body;
        let all = feature["models"].as_array().unwrap();
        assert_eq!(all.len(), inventory().models().count());
        let of = |value: &Value| all.iter().filter(|m| m["value"] == *value).count();
        let counts = [of(&json!(true)), of(&json!(false)), of(&Value::Null)];
        assert_eq!(json!(counts), json!([feature["yes"], feature["no"], feature["unknown"]]), "{name}");
        let here = all.iter().find(|m| m["name"] == "Cisco 8845").unwrap();
        let there = fact(&model, name.as_str().unwrap());
        for key in ["value", "certainty", "source"] {
            assert_eq!(here[key], there[key], "{name} {key}");
        }
    }
    assert_problem(&get("/api/v1/features/flight").await, 404, "feature_not_found");
}

/// Every value that the API offers is accepted alone, with what its conditions ask for; every one of its absent
/// fields is refused but for the value that it names.
#[actix_web::test]
async fn r097_r215_what_the_api_offers_the_rules_accept() {
    let models = ["Cisco 7962", "Cisco 8845", "Cisco Unified Client Services Framework", "SIP Station"];
    for model in builtin_models().iter().filter(|m| models.contains(&&*m.name)) {
        for protocol in model.protocols.iter() {
            let path = format!(
                "/api/v1/security-profile-options?model={}&protocol={}",
                escape(&model.name),
                protocol.as_str()
            );
            let offered = get(&path).await.body;
            let accepted = |fields: &serde_json::Map<String, Value>| {
                let mut row = json!({ "kind": "security_profile", "name": "p", "model": model.name });
                row.as_object_mut().unwrap().extend(fields.clone());
                let keyline_domain::inventory::Row::SecurityProfile(row) =
                    parse_row(&row.to_string()).ok()?
                else {
                    return None;
                };
                resolve(&row.fields(), model, protocol).ok()
            };
            let mut values = 0;
            for field in offered["fields"].as_array().unwrap() {
                assert!(field["help"].as_str().unwrap().len() > 20, "{field}");
                for value in all_of(&field["values"]) {
                    let mut fields = serde_json::Map::new();
                    let about = field["conditions"].as_array().unwrap();
                    for c in about.iter().filter(|c| c["values"].as_array().unwrap().contains(&value)) {
                        for need in c["needs"].as_array().unwrap() {
                            // The last one is the mode encrypted, which all conditions on TLS admit.
                            let of = need["one_of"].as_array().unwrap().last().unwrap().clone();
                            let is_there = offered["fields"]
                                .as_array()
                                .unwrap()
                                .iter()
                                .any(|f| f["name"] == need["field"]);
                            if is_there {
                                fields.insert(need["field"].as_str().unwrap().to_owned(), of);
                            }
                        }
                    }
                    fields.insert(field["name"].as_str().unwrap().to_owned(), value.clone());
                    assert!(accepted(&fields).is_some(), "{} {} {fields:?}", model.name, protocol.as_str());
                    values += 1;
                }
            }
            assert!(values >= 1, "{}", model.name);
            for absent in offered["absent"].as_array().unwrap() {
                for value in
                    [json!(true), json!(2048), json!("encrypted"), json!("ec_only"), json!("null_string")]
                {
                    let name = absent["name"].as_str().unwrap().to_owned();
                    let fields = serde_json::Map::from_iter([(name, value.clone())]);
                    let taken = accepted(&fields).is_some();
                    assert!(!taken || absent["accepts"] == value, "{} {fields:?}", model.name);
                }
            }
        }
    }
}

fn all_of(values: &Value) -> Vec<Value> {
    match values["type"].as_str().unwrap() {
        "boolean" => vec![json!(false), json!(true)],
        "range" => vec![values["min"].clone(), values["max"].clone()],
        "sizes" => values["of"].as_array().unwrap().iter().map(|s| s["value"].clone()).collect(),
        _ => values["of"].as_array().unwrap().clone(),
    }
}

#[actix_web::test]
async fn r098_r115_r180_options_name_what_fits() {
    let path = "/api/v1/security-profile-options?model=Cisco%208845";
    let offered = get(path).await.body;
    assert_eq!(offered["protocol"], "sip");
    let profiles = offered["profiles"].as_array().unwrap();
    assert_eq!(profiles, &[json!("Cisco 8845 - Standard SIP Non-Secure Profile"), json!("Digest/one")]);
    assert_eq!(offered["name_proposals"]["encrypted"], "Cisco 8845 - SIP Encrypted");
    let none = get("/api/v1/security-profile-options?model=SIP%20Station&protocol=sip").await.body;
    assert_eq!(none["name_proposals"].as_object().unwrap().len(), 1);
    assert!(none["fields"].as_array().unwrap().iter().all(|f| f["name"] != "device_security_mode"));
    let settings = resolve(
        &ProfileFields::default(),
        keyline_domain::model::builtin("SIP Station").unwrap(),
        Protocol::Sip,
    );
    let absent =
        none["absent"].as_array().unwrap().iter().find(|a| a["name"] == "device_security_mode").unwrap();
    assert_eq!(absent["in_force"], settings.unwrap().device_security_mode.as_str());
    for (query, status, code) in [
        ("", 400, "bad_request"),
        ("?model=none", 404, "phone_model_not_found"),
        ("?model=Cisco%208845&protocol=sccp", 400, "bad_request"),
        ("?model=Cisco%208845&protocol=h323", 400, "bad_request"),
        ("?model=Cisco%208845&model=Cisco%208845", 400, "bad_request"),
        ("?model=Cisco%208845&x=1", 400, "bad_request"),
    ] {
        assert_problem(&get(&format!("/api/v1/security-profile-options{query}")).await, status, code);
    }
}

#[actix_web::test]
async fn r036_help_is_served_for_every_field() {
    let all = get("/api/v1/help").await.body;
    let kinds = all["kinds"].as_array().unwrap();
    for kind in Kind::rows() {
        let found = kinds.iter().find(|k| k["kind"] == kind.as_str()).unwrap();
        for field in kind.fields() {
            let help = found["fields"].as_array().unwrap().iter().find(|f| f["name"] == *field);
            assert!(help.is_some_and(|h| h["help"].as_str().unwrap().len() > 10), "{kind}.{field}");
        }
    }
    let one = get("/api/v1/help?kind=hardening").await.body;
    let names: Vec<_> =
        one["kinds"][0]["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, hardening::switches().collect::<Vec<_>>());
    assert_problem(&get("/api/v1/help?kind=nothing").await, 400, "bad_request");
}

#[actix_web::test]
async fn r032_switches_that_mean_nothing_on_a_model_are_not_offered() {
    let switches = async |model: &str| {
        let path = format!("/api/v1/security-profile-options?model={}", escape(model));
        let all = get(&path).await.body["phone"]["hardening"].clone();
        all.as_array()
            .unwrap()
            .iter()
            .map(|s| (s["name"].as_str().unwrap().to_owned(), s["known_on_model"].clone()))
            .collect::<Vec<_>>()
    };
    assert!(switches("Cisco 7942").await.contains(&("pc_port".to_owned(), json!(true))));
    assert!(switches("Cisco 8845").await.contains(&("pc_port".to_owned(), Value::Null)));
    let client = switches("Cisco Unified Client Services Framework").await;
    assert!(client.iter().all(|(name, _)| name != "pc_port") && client.len() == 5);
}

#[actix_web::test]
async fn r033_the_lobby_template_is_served() {
    let lobby = get("/api/v1/hardening-templates/lobby").await.body;
    assert_eq!(lobby["hardening"]["pc_port"], "disabled");
    assert_problem(&get("/api/v1/hardening-templates/none").await, 404, "template_not_found");
}
