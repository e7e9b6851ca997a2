//! `/security-profiles` and `/phone-models`.

use keyline_domain::model::Model;
use keyline_domain::profile::SecurityProfile;
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};

pub(super) static SHAPE: Shape = Shape {
    name: "security-profiles",
    key: "name",
    filters: &["name", "description", "model", "protocol", "device_security_mode", "transport", "predefined"],
    sorts: &["name", "description", "model", "protocol", "device_security_mode"],
};

pub(super) static MODELS: Shape = Shape {
    name: "phone-models",
    key: "name",
    filters: &["name", "vendor_class", "protocol", "trusted", "capability", "tls_certificate"],
    sorts: &["name", "vendor_class", "trusted"],
};

/// Text of something that serializes as text.
fn text(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

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

impl Row for &Model {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "vendor_class" => each(&text(self.vendor_class)),
            "protocol" => self.protocols.iter().for_each(|p| each(p.as_str())),
            "trusted" => each(if self.trusted { "true" } else { "false" }),
            "capability" => self.capabilities.iter().for_each(|c| each(c.as_str())),
            "tls_certificate" => each(&text(self.tls_certificate)),
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

pub(super) fn models(world: &World<'_>, query: &Query) -> Page {
    pick(query, MODELS.key, world.inventory.models(), |model| show(model))
}

pub(super) fn model(world: &World<'_>, name: &str) -> Option<Value> {
    world.inventory.model(name).map(show)
}

fn show(model: &Model) -> Value {
    json!({
        "name": model.name,
        "vendor_class": model.vendor_class,
        "protocols": model.protocols,
        "trusted": model.trusted,
        "capabilities": model.capabilities,
        "tls_certificate": model.tls_certificate,
        "built_in": model.is_builtin(),
    })
}
