use serde_json::json;

use super::mutating::change;
use super::*;
use crate::mode::{DeviceSecurityMode, Protocol};

fn upgrade(
    inventory: &mut Inventory,
    mac: u32,
    mode: Option<&str>,
    protocol: &str,
) -> Result<Mutated, RowError> {
    let mut body =
        json!({"name": format!("SEP{mac:012X}"), "model": "Cisco 7962", "protocol": protocol, "lines": []});
    if let Some(mode) = mode {
        body["device_security_mode"] = mode.into();
    }
    change(inventory, Step::Upgrade { body })
}

#[test]
fn r110_a_mode_of_an_earlier_schema_becomes_a_profile_of_model_and_protocol() {
    let mut inventory = Inventory::new();
    let made = |inventory: &Inventory, mac: u32| {
        let profile = &inventory.phone_named(&format!("SEP{mac:012X}")).unwrap().profile;
        assert_eq!(profile.model, "Cisco 7962");
        (profile.name.clone(), profile.protocol, profile.settings.device_security_mode, profile.predefined)
    };
    for (mac, mode, protocol) in [
        (1, Some("encrypted"), "sip"),
        (2, Some("encrypted"), "sccp"),
        (3, Some("authenticated"), "sip"),
        (4, Some("non_secure"), "sip"),
        (5, None, "sip"),
        (6, Some("encrypted"), "sip"),
    ] {
        upgrade(&mut inventory, mac, mode, protocol).unwrap();
    }
    use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};
    let own = |name: &str, protocol, mode| (name.to_owned(), protocol, mode, false);
    assert_eq!(made(&inventory, 1), own("Cisco 7962 - SIP Encrypted", Protocol::Sip, Encrypted));
    assert_eq!(made(&inventory, 2), own("Cisco 7962 - SCCP Encrypted", Protocol::Sccp, Encrypted));
    assert_eq!(made(&inventory, 3), own("Cisco 7962 - SIP Authenticated", Protocol::Sip, Authenticated));
    for mac in [4, 5] {
        let (_, protocol, mode, predefined) = made(&inventory, mac);
        assert_eq!((protocol, mode, predefined), (Protocol::Sip, NonSecure, true));
    }
    assert_eq!(made(&inventory, 6), made(&inventory, 1), "phones with one mode share a profile");
    assert_eq!(inventory.all_profiles().filter(|p| !p.predefined).count(), 3);
    // A name that is taken by other settings is not taken over.
    let mut inventory = Inventory::new();
    let taken = json!({"name": "Cisco 7962 - SIP Encrypted", "model": "Cisco 7962", "protocol": "sip"});
    change(&mut inventory, Step::Create { kind: Kind::SecurityProfile, body: taken }).unwrap();
    upgrade(&mut inventory, 1, Some("encrypted"), "sip").unwrap();
    assert_eq!(made(&inventory, 1).0, "Cisco 7962 - SIP Encrypted (2)");
    // A mode that the model has not is refused, and nothing of it stays.
    assert!(upgrade(&mut inventory, 2, Some("secret"), "sip").is_err());
    let body = json!({"name": "SEP000000000003", "model": "Third-party SIP Device (Basic)", "lines": [],
                      "device_security_mode": "encrypted"});
    assert!(change(&mut inventory, Step::Upgrade { body }).is_err());
    assert_eq!(inventory.phone_count(), 1);
}
