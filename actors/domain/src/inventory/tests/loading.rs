//! A start reads in halves and enters in bulk; what comes of it is what row by row comes to.

use super::*;
use crate::ids::{DeviceIndex, DeviceName};

/// Records of a store with some of everything that refers to something.
fn records() -> Vec<(Kind, String, Vec<u8>)> {
    let common = r#"{"kind":"common_phone_profile","name":"Lobby"}"#;
    let operator = r#"{"kind":"application_user","id":"zoe","digest_credentials":"secret2"}"#;
    let bob = r#"{"kind":"end_user","id":"bob"}"#;
    let mut texts = vec![DIGEST.to_owned(), ALICE.into(), bob.into(), operator.into(), common.into()];
    for n in 0..50 {
        texts.push(format!(r#"{{"kind":"line","dn":"{}"}}"#, 1000 + n));
        let more = match n % 5 {
            0 => r#","digest_user":"alice","security_profile":"Digest""#,
            1 => r#","em_user":"alice","description":"desk""#,
            2 => r#","common_phone_profile":"Lobby","digest_user":"zoe""#,
            _ => "",
        };
        texts.push(format!(
            r#"{{"kind":"phone","name":"SEP00AABBCC{n:04X}","model":"Cisco 8845","lines":["{}","1000"]{more}}}"#,
            1000 + n.max(1)
        ));
    }
    let mut inventory = Inventory::new();
    let rows: Vec<Row> = in_order(texts.iter().map(|t| row(t)).collect());
    let puts = rows.into_iter().flat_map(|r| inventory.apply(r, ONLINE).unwrap());
    let mut all: Vec<_> = puts
        .filter_map(|change| match change {
            Change::Put { kind, key, value } => Some((kind, key, value)),
            _ => None,
        })
        .collect();
    let place = |kind: Kind| Kind::LOAD_ORDER.iter().position(|k| *k == kind);
    all.sort_by(|a, b| (place(a.0), &a.1).cmp(&(place(b.0), &b.1)));
    all.dedup_by(|later, earlier| (later.0, &later.1) == (earlier.0, &earlier.1));
    all
}

fn bulk(records: &[(Kind, String, Vec<u8>)]) -> Result<Inventory, LoadError> {
    let mut loading = Loading::new("node");
    for (kind, key, value) in records {
        loading.take(Stored::read(*kind, key, value, &Mask)?, &Mask)?;
    }
    loading.finish()
}

#[test]
fn in_bulk_or_row_by_row_is_the_same() {
    let mut records = records();
    for _ in 0..2 {
        let mut single = Inventory::new();
        single.serve_on(&["node"]);
        for (kind, key, value) in &records {
            single.load(*kind, key, value, &Mask).unwrap();
        }
        let all = bulk(&records).unwrap();
        assert!(all == single);
        assert_eq!(all.phone_count(), 50);
        assert_eq!(all.devices_on("1000").count(), 50);
        assert_eq!(all.secrets().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["alice", "zoe"]);
        assert_eq!(all.export(true).collect::<String>(), single.export(true).collect::<String>());
        // Within a kind any order does.
        let mut turned: Vec<_> = Vec::new();
        for kind in Kind::LOAD_ORDER {
            turned.extend(records.iter().filter(|r| r.0 == kind).rev().cloned());
        }
        records = turned;
    }
}

#[test]
fn a_name_is_in_memory_once() {
    let all = bulk(&records()).unwrap();
    let device = all.device_at(DeviceIndex(5)).unwrap();
    let (user, _) = all.secret_of("alice").unwrap();
    let dn = all.lines_after(None).find(|dn| **dn == device.lines[0]).unwrap();
    let address = |text: &str| text.as_ptr();
    assert_eq!(address(device.digest_user.as_ref().unwrap().as_str()), address(user.as_str()));
    assert_eq!(address(device.lines[0].as_str()), address(dn.as_str()));
    let (name, same) = (device.name.clone(), all.device(&device.name).unwrap().name);
    assert_eq!(address(name.as_str()), address(same.as_str()));
}

#[test]
fn what_does_not_fit_is_named() {
    let whole = records();
    let without = |what: Kind, key: &str| -> Vec<_> {
        whole.iter().filter(|r| !(r.0 == what && r.1 == key)).cloned().collect()
    };
    let refused = |records: &[_]| bulk(records).map(|_| ()).unwrap_err().to_string();
    assert!(refused(&without(Kind::Line, "1007")).contains("line 1007"));
    assert!(refused(&without(Kind::EndUser, "alice")).contains("user `alice`"));
    let mut twice = whole.clone();
    twice.push(whole.iter().find(|r| r.0 == Kind::Phone).cloned().unwrap());
    assert!(refused(&twice).contains("twice"));
    let phone = whole.iter().position(|r| r.0 == Kind::Phone).unwrap();
    let mut damaged = whole.clone();
    damaged[phone].2.truncate(5);
    let error = bulk(&damaged).map(|_| ()).unwrap_err();
    assert_eq!(error.row(), (Kind::Phone, damaged[phone].1.as_str()));
}

#[test]
fn a_store_read_again_takes_the_numbers_that_a_running_node_gave() {
    let whole = bulk(&records()).unwrap();
    let count = whole.phone_count() as u32;
    // As if phones had come in another order, and every third number belonged to a phone that is gone.
    let given = |name: &DeviceName| {
        let at = whole.device(name).unwrap().index.0;
        (at != 7).then(|| DeviceIndex((count - 1 - at) * 3 / 2))
    };
    let next = DeviceIndex(count * 2);
    let mut again = bulk(&records()).unwrap();
    again.renumber(given, next).unwrap();
    assert_eq!(again.phone_count(), whole.phone_count());
    for name in whole.devices_after(None).map(|view| view.name.clone()) {
        let index = again.device(&name).unwrap().index;
        assert_eq!(index, given(&name).unwrap_or(next), "{name}");
        assert_eq!(again.device_at(index).unwrap().name, name);
    }
    // What refers to phones refers to the same ones, in the order of their numbers.
    let names = |all: &Inventory, indexes: Vec<DeviceIndex>| -> std::collections::BTreeSet<String> {
        indexes.into_iter().map(|i| all.device_at(i).unwrap().name.to_string()).collect()
    };
    for dn in whole.lines_after(None) {
        let (old, new) =
            (whole.devices_on(dn.as_str()).collect(), again.devices_on(dn.as_str()).collect::<Vec<_>>());
        assert!(new.is_sorted());
        assert_eq!(names(&whole, old), names(&again, new));
    }
    for id in ["alice", "zoe", "bob"] {
        let of = |all: &Inventory| all.devices_with_user(id).collect::<Vec<_>>();
        assert_eq!(names(&whole, of(&whole)), names(&again, of(&again)));
    }
    for profile in whole.profiles_after(None) {
        let of = |all: &Inventory| all.device_indexes_of(profile.id).collect::<Vec<_>>();
        assert_eq!(names(&whole, of(&whole)), names(&again, of(&again)));
    }
    assert_eq!(again.export(true).collect::<String>(), whole.export(true).collect::<String>());
    // The next phone gets a number that nobody ever had.
    let phone = r#"{"kind":"phone","name":"SEP000000000001","model":"Cisco 8845"}"#;
    again.apply(row(phone), ONLINE).unwrap();
    let index = again.device(&DeviceName::parse("SEP000000000001").unwrap()).unwrap().index;
    assert_eq!(index, DeviceIndex(next.0 + 1));
    let mut twice = bulk(&records()).unwrap();
    assert!(twice.renumber(|_| Some(DeviceIndex(3)), next).is_err());
}
