//! Finding (R175 to R178, R186): over lists of thousands, where a page looks at a part only.

use std::collections::BTreeSet;

use keyline_domain::find::PhoneIndex;
use keyline_domain::inventory::{Apply, Inventory, Kind, in_order, parse_row};
use serde_json::{Value, json};

use super::fake::Plain;
use crate::admin::lists::{List, Query, World};

const PHONES: usize = 30_000;

/// Phones of two profiles, every tenth of the second.
fn many() -> Inventory {
    let mut rows = vec![
        json!({"kind": "security_profile", "name": "Desk", "model": "Cisco 8845", "digest_authentication": true}),
        json!({"kind": "security_profile", "name": "Lobby", "model": "Cisco 8845", "nonce_validity_s": 60}),
    ];
    rows.extend((0..PHONES).map(|n| {
        let profile = if n % 10 == 3 { "Lobby" } else { "Desk" };
        json!({"kind": "phone", "name": format!("SEP{n:012X}"), "model": "Cisco 8845", "security_profile": profile,
               "description": format!("room {}", n % 7), "lines": []})
    }));
    let rows: Vec<_> = rows.iter().map(|r| parse_row(&r.to_string()).unwrap()).collect();
    let mut inventory = Inventory::new();
    for row in in_order(rows) {
        inventory.apply(row, Apply { sealer: &Plain, offline: true }).unwrap();
    }
    inventory
}

fn world<'a>(inventory: &'a Inventory, find: &'a PhoneIndex) -> World<'a> {
    World { inventory, find, live: None, own: &[], etag: &|_, _| None }
}

fn query(list: List, pairs: &[(&str, &str)]) -> Query {
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Query::parse(list.shape(), &pairs).unwrap()
}

/// Keys of all pages, and how many pages there were.
fn all(inventory: &Inventory, list: List, pairs: &[(&str, &str)]) -> (Vec<String>, usize) {
    let (mut keys, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    let find = PhoneIndex::of(inventory);
    loop {
        let mut asked = pairs.to_vec();
        asked.extend(cursor.as_deref().map(|c| ("cursor", c)));
        let page = list.page(&world(inventory, &find), &query(list, &asked));
        keys.extend(page.items.iter().map(|row| key(list, row)));
        pages += 1;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return (keys, pages),
        }
    }
}

fn key(list: List, row: &Value) -> String {
    row[list.shape().key].as_str().unwrap().to_owned()
}

#[test]
fn r175_no_criteria_list_everything() {
    let inventory = many();
    let models = inventory.models().count();
    for (list, count) in [
        (List::Phones, PHONES),
        (List::SecurityProfiles, inventory.all_profiles().count()),
        (List::PhoneModels, models),
        (List::Parameters, inventory.all_parameters().count()),
        (List::Lines, 0),
        (List::EndUsers, 0),
    ] {
        let (keys, _) = all(&inventory, list, &[("limit", "1000")]);
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), distinct.len()), (count, count), "{list:?}");
    }
    // Predefined profiles are among them: one of each model and protocol.
    let (profiles, _) = all(&inventory, List::SecurityProfiles, &[]);
    assert!(
        profiles.iter().any(|p| p == "Cisco 8845 - Standard SIP Non-Secure Profile")
            && profiles.len() > models
    );
}

#[test]
fn r176_criteria_combine_and_are_taken_away_again() {
    let inventory = many();
    let found = |filters: &[&str]| {
        let pairs: Vec<_> = filters.iter().map(|f| ("filter", *f)).chain([("limit", "1000")]).collect();
        all(&inventory, List::Phones, &pairs).0.len()
    };
    let lobby = PHONES / 10;
    assert_eq!(found(&["security_profile:is_exactly:Lobby"]), lobby);
    let both = found(&["security_profile:begins:Lob", "description:ends:5"]);
    let expected = (0..PHONES).filter(|n| n % 10 == 3 && n % 7 == 5).count();
    assert_eq!(both, expected);
    assert_eq!(
        found(&["security_profile:begins:Lob", "description:ends:5", "name:contains:SEP0000000000"]),
        { (0..256).filter(|n| n % 10 == 3 && n % 7 == 5).count() }
    );
    assert_eq!(found(&["security_profile:begins:Lob", "description:is_empty"]), 0);
    assert_eq!(found(&[]), PHONES);
}

#[test]
fn r177_a_query_goes_on_where_it_was_also_when_its_last_row_is_gone() {
    let mut inventory = many();
    let pairs = [("limit", "5"), ("filter", "security_profile:is_exactly:Lobby")];
    let first =
        List::Phones.page(&world(&inventory, &PhoneIndex::of(&inventory)), &query(List::Phones, &pairs));
    let next = first.next.unwrap();
    let seen: Vec<_> = first.items.iter().map(|row| key(List::Phones, row)).collect();
    inventory.remove(Kind::Phone, &seen[4]).unwrap();
    let mut later = pairs.to_vec();
    later.push(("cursor", &next));
    let second =
        List::Phones.page(&world(&inventory, &PhoneIndex::of(&inventory)), &query(List::Phones, &later));
    let second: Vec<_> = second.items.iter().map(|row| key(List::Phones, row)).collect();
    let expected: Vec<_> = (5..10).map(|n| format!("SEP{:012X}", 10 * n + 3)).collect();
    assert_eq!(second, expected);
}

#[test]
fn r178_pages_of_any_size_are_one_list_in_both_directions() {
    let inventory = many();
    let (forwards, pages) = all(&inventory, List::Phones, &[("limit", "1000"), ("sort", "name")]);
    assert_eq!((forwards.len(), forwards.is_sorted(), pages), (PHONES, true, PHONES / 1000));
    let (mut backwards, _) = all(&inventory, List::Phones, &[("limit", "997"), ("sort", "-name")]);
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let (described, _) = all(&inventory, List::Phones, &[("limit", "990"), ("sort", "-description")]);
    let sorted = |at: usize| format!("room {}", u64::from_str_radix(&described[at][3..], 16).unwrap() % 7);
    assert_eq!((described.len(), sorted(0), sorted(PHONES - 1)), (PHONES, "room 6".into(), "room 0".into()));
    // Rows that are equal in the field that is sorted by have an order too: none is lost between pages.
    for sort in ["protocol", "-protocol", "device_security_mode"] {
        let (small, _) = all(&inventory, List::SecurityProfiles, &[("limit", "3"), ("sort", sort)]);
        let (large, _) = all(&inventory, List::SecurityProfiles, &[("limit", "1000"), ("sort", sort)]);
        assert_eq!(small, large, "{sort}");
        assert_eq!(small.len(), inventory.all_profiles().count());
    }
}

#[test]
fn r186_a_profile_says_how_many_phones_use_it_and_they_are_listed() {
    let mut inventory = many();
    let count = |inventory: &Inventory, name: &str| {
        let shown = List::SecurityProfiles.one(&world(inventory, &PhoneIndex::default()), name).unwrap();
        let filter = format!("security_profile:is_exactly:{name}");
        let (listed, _) = all(inventory, List::Phones, &[("limit", "1000"), ("filter", &filter)]);
        assert_eq!(shown["phones"], listed.len(), "{name}");
        listed.len()
    };
    assert_eq!((count(&inventory, "Lobby"), count(&inventory, "Desk")), (PHONES / 10, PHONES - PHONES / 10));
    inventory.remove(Kind::Phone, "SEP000000000003").unwrap();
    assert_eq!(count(&inventory, "Lobby"), PHONES / 10 - 1);
    assert_eq!(count(&inventory, "Cisco 8845 - Standard SIP Non-Secure Profile"), 0);
}
