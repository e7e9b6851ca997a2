//! Whatever is sought in whatever order: the index finds what a look at every phone finds, also after changes.

use std::ops::Bound;

use proptest::prelude::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::ids::DeviceIndex;
use crate::inventory::{Apply, Change, Event, Inventory, Kind, PhoneView, Sealer, in_order, parse_row};

struct Plain;

impl Sealer for Plain {
    fn seal(&self, plain: &[u8], _: &str) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, sealed: &[u8], _: &str) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(sealed.to_vec()))
    }
}

/// Applies rows and says which phones and profiles that touched.
fn apply(inventory: &mut Inventory, rows: &[Value]) -> (Vec<DeviceIndex>, Vec<crate::ids::ProfileId>) {
    let rows: Vec<_> = rows.iter().map(|r| parse_row(&r.to_string()).unwrap()).collect();
    let report = inventory.check(&rows, true);
    assert!(report.is_ok(), "{:?}", report.errors);
    let mut changes = Vec::new();
    for row in in_order(rows) {
        changes.extend(inventory.apply(row, Apply { sealer: &Plain, offline: true }).unwrap());
    }
    touched(&changes)
}

fn touched(changes: &[Change]) -> (Vec<DeviceIndex>, Vec<crate::ids::ProfileId>) {
    let (mut phones, mut profiles) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Publish(Event::DeviceChanged { index, .. } | Event::DeviceRemoved { index, .. }) => {
                phones.push(*index);
            }
            Change::Publish(Event::ProfileSaved { id, .. } | Event::ProfileRemoved(id)) => profiles.push(*id),
            _ => {}
        }
    }
    (phones, profiles)
}

/// Which phones are asked for.
type Keep<'a> = &'a dyn Fn(DeviceIndex) -> bool;

const PROFILES: [&str; 3] = ["Desk", "Lobby", "Ward"];

fn base() -> Vec<Value> {
    let mut rows: Vec<_> = PROFILES
        .iter()
        .map(|name| json!({"kind": "security_profile", "name": name, "model": "Cisco 8845"}))
        .collect();
    rows.extend((0..4).map(|n| json!({"kind": "line", "dn": format!("10{n}a")})));
    rows.extend(
        (0..3)
            .map(|n| json!({"kind": "end_user", "id": format!("Anna{n}"), "digest_credentials": "Secret1"})),
    );
    rows.push(json!({"kind": "parameter", "name": "allow_shared_digest_user", "value": true}));
    rows.push(json!({"kind": "common_phone_profile", "name": "Hall"}));
    rows
}

/// A phone that is made up from a few numbers, all with few values so that they meet often.
fn phone(number: u16, look: u32) -> Value {
    let of = |at: u32, n: u32| look / at % n;
    let descriptions = ["", "Lab", "lab 2", "Büro a", "a", "ab\u{e9}", "floor 1A", "Lab"];
    let mut row = json!({
        "kind": "phone", "name": format!("SEP{:012X}", u64::from(number).wrapping_mul(0x9e37_79b9) % 0x1000),
        "model": if of(64, 7) == 0 { "Cisco 7841" } else { "Cisco 8845" },
        "description": descriptions[of(1, 8) as usize],
        "lines": (0..of(8, 3)).map(|n| format!("10{}a", (n + of(16, 3)) % 4)).collect::<Vec<_>>(),
    });
    if of(64, 7) > 1 {
        row["security_profile"] = json!(PROFILES[of(512, 3) as usize]);
    }
    if of(2048, 3) == 0 {
        row["digest_user"] = json!(format!("Anna{}", of(8192, 3)));
    }
    if of(32_768, 5) == 0 {
        row["common_phone_profile"] = json!("Hall");
    }
    row
}

fn values(phone: &PhoneView<'_>, field: Field) -> Vec<String> {
    match field {
        Field::Text(TextField::Name) => vec![phone.name.to_string()],
        Field::Text(TextField::Description) => vec![phone.description.to_owned()],
        Field::Text(TextField::Line) => phone.lines.iter().map(ToString::to_string).collect(),
        Field::Text(TextField::DigestUser) => phone.digest_user.iter().map(ToString::to_string).collect(),
        Field::Text(TextField::EmUser) => phone.em_user.iter().map(ToString::to_string).collect(),
        Field::Text(TextField::Common) => {
            phone.common_phone_profile.iter().map(|n| (*n).to_owned()).collect()
        }
        Field::Profile(ProfileField::Name) => vec![phone.profile.name.clone()],
        Field::Profile(ProfileField::Model) => vec![phone.profile.model.clone()],
        Field::Profile(ProfileField::Protocol) => vec![phone.profile.protocol.as_str().to_owned()],
        Field::Profile(ProfileField::Mode) => {
            vec![phone.profile.settings.device_security_mode.as_str().to_owned()]
        }
    }
}

/// The rules of patterns, written a second time.
fn fits(phone: &PhoneView<'_>, criterion: &Criterion) -> bool {
    let values: Vec<_> = values(phone, criterion.field)
        .into_iter()
        .filter(|v| !v.is_empty())
        .map(|v| v.to_ascii_lowercase())
        .collect();
    let text = criterion.text.to_ascii_lowercase();
    match criterion.pattern {
        Pattern::IsEmpty => values.is_empty(),
        Pattern::IsNotEmpty => !values.is_empty(),
        Pattern::Begins => values.iter().any(|v| v.starts_with(&text)),
        Pattern::Ends => values.iter().any(|v| v.ends_with(&text)),
        Pattern::Contains => values.iter().any(|v| v.contains(&text)),
        Pattern::IsExactly => values.contains(&text),
    }
}

/// Looks at every phone.
fn naive(
    inventory: &Inventory,
    criteria: &[Criterion],
    sort: Sort,
    backwards: bool,
    keep: &dyn Fn(DeviceIndex) -> bool,
) -> Vec<DeviceIndex> {
    let mut found: Vec<_> = inventory
        .phones_from(Bound::Unbounded, false)
        .filter(|phone| criteria.iter().all(|c| fits(phone, c)) && keep(phone.index))
        .map(|phone| {
            let (name, index) = (phone.name.to_string(), phone.index);
            let key = match sort {
                Sort::Name => (name, 0, String::new(), index),
                Sort::Description => (phone.description.to_owned(), 0, name, index),
                Sort::Profile(field) => {
                    let value = values(&phone, Field::Profile(field)).remove(0);
                    (value, phone.profile.id.0, String::new(), index)
                }
            };
            (key, index)
        })
        .collect();
    found.sort();
    if backwards {
        found.reverse();
    }
    found.into_iter().map(|(_, index)| index).collect()
}

/// All pages.
fn paged(
    index: &PhoneIndex,
    criteria: &[Criterion],
    sort: Sort,
    backwards: bool,
    limit: usize,
    keep: Option<&dyn Fn(DeviceIndex) -> bool>,
) -> Vec<DeviceIndex> {
    let (mut all, mut after) = (Vec::new(), None::<Place>);
    loop {
        let search = Search { criteria, sort, backwards, after: after.as_ref(), limit };
        let mut kept = |index| keep.is_some_and(|keep| keep(index));
        let found = match keep {
            Some(_) => index.search(&search, Some(&mut kept)),
            None => index.search(&search, None),
        };
        assert!(found.phones.len() <= limit);
        all.extend(found.phones);
        match found.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

const FIELDS: [Field; 10] = [
    Field::Text(TextField::Name),
    Field::Text(TextField::Description),
    Field::Text(TextField::Line),
    Field::Text(TextField::DigestUser),
    Field::Text(TextField::EmUser),
    Field::Text(TextField::Common),
    Field::Profile(ProfileField::Name),
    Field::Profile(ProfileField::Model),
    Field::Profile(ProfileField::Protocol),
    Field::Profile(ProfileField::Mode),
];

const PATTERNS: [Pattern; 6] = [
    Pattern::Begins,
    Pattern::Contains,
    Pattern::IsExactly,
    Pattern::Ends,
    Pattern::IsEmpty,
    Pattern::IsNotEmpty,
];

const SORTS: [Sort; 6] = [
    Sort::Name,
    Sort::Description,
    Sort::Profile(ProfileField::Name),
    Sort::Profile(ProfileField::Model),
    Sort::Profile(ProfileField::Protocol),
    Sort::Profile(ProfileField::Mode),
];

const TEXTS: [&str; 14] = [
    "sep0",
    "SEP00000000A",
    "a",
    "LAB",
    "1",
    "é",
    "b\u{e9}",
    "103A",
    "anna1",
    "hall",
    "lobby",
    "cisco 78",
    "SIP",
    "2",
];

fn criterion() -> impl Strategy<Value = Criterion> {
    (0..FIELDS.len(), 0..PATTERNS.len(), 0..TEXTS.len()).prop_map(|(field, pattern, text)| Criterion {
        field: FIELDS[field],
        pattern: PATTERNS[pattern],
        text: TEXTS[text].to_owned(),
    })
}

#[derive(Debug, Clone)]
enum Act {
    Put(u16, u32),
    Remove(u16),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..700_u16, any::<u32>()).prop_map(|(n, look)| Act::Put(n, look)),
        1 => (0..700_u16).prop_map(Act::Remove),
    ];
    prop::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn r175_r176_r178_r189_the_index_finds_what_a_look_at_every_phone_finds(
        first in prop::collection::vec((0..700_u16, any::<u32>()), 0..600),
        later in prop::collection::vec(acts(), 0..4),
        criteria in prop::collection::vec(criterion(), 0..3),
        limit in 1..90_usize,
        odd in any::<bool>(),
    ) {
        let mut inventory = Inventory::new();
        let mut rows = base();
        rows.extend(first.iter().map(|(n, look)| phone(*n, *look)));
        apply(&mut inventory, &rows);
        let mut index = PhoneIndex::of(&inventory);
        for acts in later {
            let still = index.clone();
            let before = paged(&still, &criteria, Sort::Description, false, limit, None);
            for act in acts {
                let (phones, profiles) = match act {
                    Act::Put(n, look) => apply(&mut inventory, &[phone(n, look)]),
                    Act::Remove(n) => {
                        let name = phone(n, 0)["name"].as_str().unwrap().to_owned();
                        match inventory.remove(Kind::Phone, &name) {
                            Ok(changes) => touched(&changes),
                            Err(_) => continue,
                        }
                    }
                };
                index.update(&inventory, &phones, &profiles);
            }
            prop_assert_eq!(paged(&still, &criteria, Sort::Description, false, limit, None), before, "a clone stands still");
        }
        let keep = |index: DeviceIndex| index.0.is_multiple_of(2);
        for sort in SORTS {
            for backwards in [false, true] {
                let all = |_| true;
                let asked: (Keep<'_>, Option<Keep<'_>>) =
                    if odd { (&keep, Some(&keep)) } else { (&all, None) };
                let expected = naive(&inventory, &criteria, sort, backwards, asked.0);
                let found = paged(&index, &criteria, sort, backwards, limit, asked.1);
                prop_assert_eq!(found, expected, "{:?} {}", sort, backwards);
            }
        }
        prop_assert_eq!(index.len(), inventory.phone_count());
    }
}

/// Where few of many fit, the texts are scanned as a whole: the same rules again.
#[test]
fn r176_r178_thousands_are_searched_as_a_few_are() {
    let mut inventory = Inventory::new();
    let mut rows = base();
    rows.extend((0..12_000_u32).map(|n| {
        json!({"kind": "phone", "name": format!("SEP{:012X}", u64::from(n) * 7919 % 12_007), "model": "Cisco 8845",
               "security_profile": PROFILES[n as usize % 3], "lines": [],
               "description": format!("Desk {} of {}", n % 97, n)})
    }));
    apply(&mut inventory, &rows);
    let index = PhoneIndex::of(&inventory);
    let criterion = |field, pattern, text: &str| Criterion { field, pattern, text: text.to_owned() };
    let description = Field::Text(TextField::Description);
    let name = Field::Text(TextField::Name);
    for criteria in [
        vec![criterion(description, Pattern::Contains, "OF 117")],
        vec![criterion(description, Pattern::Contains, "96 of 1"), criterion(name, Pattern::Ends, "a")],
        vec![criterion(description, Pattern::Ends, "999"), criterion(name, Pattern::Begins, "sep000000001")],
        vec![criterion(description, Pattern::IsExactly, "desk 5 of 5")],
        vec![
            criterion(Field::Profile(ProfileField::Name), Pattern::Begins, "lob"),
            criterion(name, Pattern::Contains, "7f"),
        ],
        vec![criterion(description, Pattern::Contains, "nowhere")],
    ] {
        for sort in SORTS {
            for backwards in [false, true] {
                let expected = naive(&inventory, &criteria, sort, backwards, &|_| true);
                let found = paged(&index, &criteria, sort, backwards, 50, None);
                assert_eq!(found, expected, "{criteria:?} {sort:?}");
            }
        }
    }
    let each = index.bytes() / inventory.phone_count();
    assert!(each < 100, "{each} bytes a phone, of which 32 are its texts");
}
