//! `/packages`: what was installed of preferred vendors' phone models (R066).

use keyline_domain::inventory::PackageRow;
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};

pub(super) static SHAPE: Shape =
    Shape { name: "packages", key: "name", filters: &["name", "signer", "type"], sorts: &["name"] };

impl Row for &PackageRow {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "signer" => each(&self.signer),
            "type" => self.types.iter().for_each(|t| each(t)),
            _ => {}
        }
    }
}

fn show(package: &PackageRow) -> Value {
    json!(package)
}

pub(super) fn page(world: &World<'_>, query: &Query) -> Page {
    pick(query, SHAPE.key, world.inventory.packages(), |package| show(package))
}

pub(super) fn one(world: &World<'_>, name: &str) -> Option<Value> {
    world.inventory.packages().find(|p| &*p.name == name).map(show)
}
