//! `/sip-realms`, `/trunk-security-profiles`, `/trunks`. Credentials are never shown, only whether there are some.

use keyline_domain::cipher;
use keyline_domain::inventory::{RealmView, TrunkRow, TrunkSecurityProfileRow};
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};
use crate::admin::views::Timestamp;

pub(super) static REALMS: Shape = Shape {
    name: "sip-realms",
    key: "realm",
    filters: &["realm", "user", "digest_credentials_set"],
    sorts: &["realm", "user"],
};

pub(super) static PROFILES: Shape = Shape {
    name: "trunk-security-profiles",
    key: "name",
    filters: &["name", "description", "device_security_mode"],
    sorts: &["name", "device_security_mode"],
};

pub(super) static TRUNKS: Shape = Shape {
    name: "trunks",
    key: "name",
    filters: &["name", "description", "destination", "security_profile"],
    sorts: &["name", "destination"],
};

impl Row for RealmView<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "realm" => each(self.realm),
            "user" => each(self.user.as_str()),
            "digest_credentials_set" => each(if self.credentials.is_some() { "true" } else { "false" }),
            _ => {}
        }
    }
}

fn realm(view: &RealmView<'_>) -> Value {
    json!({ "realm": view.realm, "user": view.user, "digest_credentials_set": view.credentials.is_some() })
}

impl Row for &TrunkSecurityProfileRow {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "description" => each(&self.description),
            "device_security_mode" => each(self.device_security_mode.as_str()),
            _ => {}
        }
    }
}

fn profile(row: &&TrunkSecurityProfileRow) -> Value {
    json!({
        "name": row.name, "description": row.description, "device_security_mode": row.device_security_mode,
        "digest_authentication": row.digest_authentication, "x509_subject": row.x509_subject,
    })
}

impl Row for &TrunkRow {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "description" => each(&self.description),
            "destination" => each(&self.destination),
            "security_profile" => self.security_profile.iter().for_each(|name| each(name)),
            _ => {}
        }
    }
}

/// With its connection, where a node runs that keeps one.
fn trunk(world: &World<'_>, row: &TrunkRow) -> Value {
    let status = world.live.and_then(|live| live.trunks?.get(&row.name));
    json!({
        "name": row.name, "description": row.description, "destination": row.destination,
        "security_profile": row.security_profile,
        "connection": status.map(|s| json!({
            "state": s.state.as_str(),
            "carries_calls": s.state.carries_calls(),
            "reason": s.detail,
            "suite": cipher::suite(s.suite).map(|suite| suite.name),
            "since": Timestamp(s.since),
        })),
    })
}

pub(super) fn realms(world: &World<'_>, query: &Query) -> Page {
    pick(query, REALMS.key, world.inventory.sip_realms(), realm)
}

pub(super) fn one_realm(world: &World<'_>, name: &str) -> Option<Value> {
    world.inventory.sip_realms().find(|view| view.realm == name).map(|view| realm(&view))
}

pub(super) fn profiles(world: &World<'_>, query: &Query) -> Page {
    pick(query, PROFILES.key, world.inventory.trunk_security_profiles(), profile)
}

pub(super) fn one_profile(world: &World<'_>, name: &str) -> Option<Value> {
    world.inventory.trunk_security_profiles().find(|row| *row.name == *name).map(|row| profile(&row))
}

pub(super) fn trunks(world: &World<'_>, query: &Query) -> Page {
    pick(query, TRUNKS.key, world.inventory.trunks(), |row| trunk(world, row))
}

pub(super) fn one_trunk(world: &World<'_>, name: &str) -> Option<Value> {
    world.inventory.trunks().find(|row| *row.name == *name).map(|row| trunk(world, row))
}
