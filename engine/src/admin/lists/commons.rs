//! `/common-phone-profiles`: switches that many phones share (R017).

use keyline_domain::inventory::Hardening;
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};

pub(super) static SHAPE: Shape =
    Shape { name: "common-phone-profiles", key: "name", filters: &["name"], sorts: &["name", "phones"] };

struct Common<'a> {
    name: &'a str,
    hardening: Hardening,
    phones: usize,
}

impl Row for Common<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(self.name),
            // As wide as the greatest number, so that text sorts as numbers do.
            "phones" => each(&format!("{:020}", self.phones)),
            _ => {}
        }
    }
}

impl Common<'_> {
    fn show(&self) -> Value {
        json!({ "name": self.name, "hardening": self.hardening, "phones": self.phones })
    }
}

fn all<'a>(world: &World<'a>) -> impl Iterator<Item = Common<'a>> {
    let all = world.inventory.all_common_phone_profiles();
    all.map(|(name, hardening, phones)| Common { name, hardening, phones })
}

pub(super) fn page(world: &World<'_>, query: &Query) -> Page {
    pick(query, SHAPE.key, all(world), Common::show)
}

pub(super) fn one(world: &World<'_>, name: &str) -> Option<Value> {
    all(world).find(|common| common.name == name).map(|common| common.show())
}
