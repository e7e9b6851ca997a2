//! `/security-profiles`.

use keyline_domain::profile::SecurityProfile;
use serde_json::{Value, json};

use super::catalogue::text;
use super::{Page, Query, Row, Shape, World, pick};

pub(super) static SHAPE: Shape = Shape {
    name: "security-profiles",
    key: "name",
    filters: &["name", "description", "model", "protocol", "device_security_mode", "transport", "predefined"],
    sorts: &["name", "description", "model", "protocol", "device_security_mode"],
};

impl Row for SecurityProfile {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "description" => each(&self.description),
            "model" => each(&self.model),
            "protocol" => each(self.protocol.as_str()),
            "device_security_mode" => each(self.settings.device_security_mode.as_str()),
            "transport" => each(&text(self.settings.transport)),
            "predefined" => each(if self.predefined { "true" } else { "false" }),
            _ => {}
        }
    }
}

pub(super) fn page(world: &World<'_>, query: &Query) -> Page {
    let all = world.inventory.all_profiles();
    pick(query, SHAPE.key, all, |profile| {
        let s = &profile.settings;
        json!({
            "name": profile.name,
            "description": profile.description,
            "model": profile.model,
            "protocol": profile.protocol,
            "device_security_mode": s.device_security_mode,
            "transport": s.transport,
            "digest_authentication": s.digest_authentication,
            "predefined": profile.predefined,
            "version": profile.version.0,
            "phones": world.inventory.device_count_of(profile.id),
        })
    })
}

/// All settings that its model has, and how many phones use it (R186).
pub(super) fn one(world: &World<'_>, name: &str) -> Option<Value> {
    let id = world.inventory.profile_id(name)?;
    let profile = world.inventory.profile(id)?;
    let mut out = serde_json::to_value(world.inventory.profile_row(&profile)).ok()?;
    let object = out.as_object_mut()?;
    object.insert("description".to_owned(), profile.description.as_str().into());
    object.insert("predefined".to_owned(), profile.predefined.into());
    object.insert("version".to_owned(), profile.version.0.into());
    object.insert("phones".to_owned(), world.inventory.device_count_of(id).into());
    Some(out)
}
