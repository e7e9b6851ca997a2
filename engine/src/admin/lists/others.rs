//! Users, lines and parameters. Credentials are never shown, only whether there are some.

use keyline_domain::ids::{DeviceIndex, Dn};
use keyline_domain::inventory::{
    Inventory, ParameterType, ParameterValue, ParameterView, UserStore, UserView,
};
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick, place, walk};

pub(super) static END_USERS: Shape = Shape {
    name: "end-users",
    key: "id",
    filters: &["id", "phone", "digest_credentials_set"],
    sorts: &["id"],
};

pub(super) static APPLICATION_USERS: Shape = Shape {
    name: "application-users",
    key: "id",
    filters: &["id", "phone", "digest_credentials_set"],
    sorts: &["id"],
};

pub(super) static LINES: Shape =
    Shape { name: "lines", key: "dn", filters: &["dn", "phone"], sorts: &["dn"] };

pub(super) static PARAMETERS: Shape =
    Shape { name: "parameters", key: "name", filters: &["name", "node", "value", "set"], sorts: &["name"] };

struct User<'a> {
    view: UserView,
    inventory: &'a Inventory,
}

impl User<'_> {
    fn phone(&self) -> Option<&str> {
        self.inventory.phone_view(self.view.device?).map(|p| p.name.as_str())
    }

    fn show(&self) -> Value {
        json!({
            "id": self.view.id,
            "digest_credentials_set": self.view.credentials.is_some(),
            "phone": self.phone(),
        })
    }
}

impl Row for User<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "id" => each(self.view.id.as_str()),
            "phone" => self.phone().iter().for_each(|name| each(name)),
            "digest_credentials_set" => {
                each(if self.view.credentials.is_some() { "true" } else { "false" });
            }
            _ => {}
        }
    }
}

pub(super) fn users(world: &World<'_>, store: UserStore, query: &Query) -> Page {
    let place = place(query, None);
    let rows = world.inventory.users_from(store, place.as_ref().map(String::as_str), query.backwards);
    let rows = rows.map(|view| User { view, inventory: world.inventory });
    fn key<'a>(user: &'a User<'_>) -> &'a str {
        user.view.id.as_str()
    }
    walk(query, None, rows, key, User::show)
}

pub(super) fn user(world: &World<'_>, store: UserStore, id: &str) -> Option<Value> {
    let view = world.inventory.user(id).filter(|user| user.store == store)?;
    Some(User { view, inventory: world.inventory }.show())
}

struct Line<'a> {
    dn: &'a Dn,
    devices: &'a [DeviceIndex],
    inventory: &'a Inventory,
}

impl Line<'_> {
    fn phones(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().filter_map(|i| self.inventory.phone_view(*i)).map(|p| p.name.as_str())
    }

    fn show(&self) -> Value {
        json!({ "dn": self.dn, "phones": self.phones().collect::<Vec<_>>() })
    }
}

impl Row for Line<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "dn" => each(self.dn.as_str()),
            "phone" => self.phones().for_each(each),
            _ => {}
        }
    }
}

pub(super) fn lines(world: &World<'_>, query: &Query) -> Page {
    // Where the text has no letters its case cannot matter, and the order of keys leads to it.
    let prefix = query.prefix("dn").filter(|text| !text.bytes().any(|b| b.is_ascii_alphabetic()));
    let place = place(query, prefix);
    let rows = world.inventory.lines_from(place.as_ref().map(String::as_str), query.backwards);
    let rows = rows.map(|(dn, devices)| Line { dn, devices, inventory: world.inventory });
    fn key<'a>(line: &'a Line<'_>) -> &'a str {
        line.dn.as_str()
    }
    walk(query, prefix, rows, key, Line::show)
}

pub(super) fn line(world: &World<'_>, dn: &str) -> Option<Value> {
    let dn = Dn::parse(dn).ok()?;
    let inventory = world.inventory;
    let (found, devices) = inventory.lines_from(std::ops::Bound::Included(dn.as_str()), false).next()?;
    (*found == dn).then(|| Line { dn: found, devices, inventory }.show())
}

impl Row for ParameterView {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match (field, &self.value) {
            ("name", _) => each(&self.key),
            ("node", _) => each(self.node.as_deref().unwrap_or_default()),
            ("set", _) => each(if self.set { "true" } else { "false" }),
            ("value", ParameterValue::Text(text)) => each(text),
            ("value", ParameterValue::List(all)) => all.iter().for_each(|one| each(one)),
            ("value", other) => each(&other.to_string()),
            _ => {}
        }
    }
}

/// With its help (R209), and whether nodes may differ (R208).
fn show_parameter(view: &ParameterView) -> Value {
    json!({
        "name": view.key,
        "node": view.node,
        "active": !view.inactive,
        "value": view.value,
        "set": view.set,
        "default": view.spec.default_value(),
        "takes": takes(view.spec.kind),
        "per_node": view.spec.per_node,
        "help": view.spec.help,
    })
}

fn takes(kind: ParameterType) -> Value {
    match kind {
        ParameterType::Bool => json!({ "type": "boolean" }),
        ParameterType::Seconds(min, max) => json!({ "type": "seconds", "min": min, "max": max }),
        ParameterType::Count(min, max) => json!({ "type": "count", "min": min, "max": max }),
        ParameterType::Choice(all) => json!({ "type": "choice", "of": all }),
        ParameterType::Choices(all) => json!({ "type": "choices", "of": all }),
        ParameterType::Text(max) => json!({ "type": "text", "max": max }),
    }
}

pub(super) fn parameters(world: &World<'_>, query: &Query) -> Page {
    pick(query, PARAMETERS.key, world.inventory.all_parameters(), show_parameter)
}

pub(super) fn parameter(world: &World<'_>, key: &str) -> Option<Value> {
    world.inventory.parameter_view(key).as_ref().map(show_parameter)
}
