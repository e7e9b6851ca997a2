//! `/phone-models`, `/features`, `/gateways` and `/hardening-templates`: what is known of types of devices.

use keyline_domain::hardening::{TEMPLATES, Template};
use keyline_domain::inventory::Inventory;
use keyline_domain::model::{Fact, GatewayType, Model, Topic, gateway_type, gateway_types, trust_shown};
use keyline_domain::profile::PhoneOptions;
use serde_json::{Value, json};

use super::{Page, Query, Row, Shape, World, pick};

pub(super) static MODELS: Shape = Shape {
    name: "phone-models",
    key: "name",
    filters: &["name", "vendor_class", "protocol", "trusted", "capability", "tls_certificate"],
    sorts: &["name", "vendor_class", "trusted"],
};

pub(super) static GATEWAYS: Shape =
    Shape { name: "gateways", key: "name", filters: &["name", "trusted"], sorts: &["name"] };

pub(super) static FEATURES: Shape =
    Shape { name: "features", key: "name", filters: &["name", "help"], sorts: &["name"] };

pub(super) static TEMPLATES_SHAPE: Shape =
    Shape { name: "hardening-templates", key: "name", filters: &["name"], sorts: &["name"] };

/// Text of something that serializes as text.
pub(super) fn text(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn yes(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

impl Row for &Model {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(&self.name),
            "vendor_class" => each(&text(self.vendor_class)),
            "protocol" => self.protocols.iter().for_each(|p| each(p.as_str())),
            "trusted" => each(yes(self.trusted)),
            "capability" => self.capabilities.iter().for_each(|c| each(c.as_str())),
            "tls_certificate" => each(&text(self.tls_certificate)),
            _ => {}
        }
    }
}

pub(super) fn models(world: &World<'_>, query: &Query) -> Page {
    pick(query, MODELS.key, world.inventory.models(), |model| short(model))
}

fn short(model: &Model) -> Value {
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

/// A model with all that is known of it, and from where (R056: from the model to its features).
pub(super) fn model(world: &World<'_>, name: &str) -> Option<Value> {
    let model = world.inventory.model(name)?;
    let mut out = short(model);
    let object = out.as_object_mut()?;
    object.insert("trust".to_owned(), trust(model.fact(Topic::Trusted)));
    object.insert("facts".to_owned(), model.facts().map(|fact| fact_of(fact, true)).collect());
    object.insert("secure_call_features".to_owned(), json!(model.secure_call_features));
    let phone = PhoneOptions::of(model);
    let operations: Vec<_> = phone.capf_operations.iter().map(|o| o.as_str()).collect();
    object.insert("capf_operations".to_owned(), json!(operations));
    Some(out)
}

/// What a window shows of trust (R043, R044). It follows from the type; no request can set it (R042).
pub(super) fn trust(fact: Fact) -> Value {
    let (text, icon) = trust_shown(fact.value == Some(true));
    json!({ "text": text, "icon": icon, "certainty": fact.certainty, "source": fact.source })
}

fn fact_of(fact: Fact, help: bool) -> Value {
    let mut out = json!({
        "name": fact.name, "value": fact.value, "certainty": fact.certainty, "source": fact.source,
    });
    if help {
        out["help"] = fact.name.help().into();
    }
    out
}

impl Row for &GatewayType {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(self.name),
            "trusted" => each(yes(self.trust().value == Some(true))),
            _ => {}
        }
    }
}

fn gateway_of(gateway: &GatewayType) -> Value {
    let fact = gateway.trust();
    json!({
        "name": gateway.name,
        "number": gateway.number,
        "trusted": fact.value == Some(true),
        "trust": trust(fact),
    })
}

pub(super) fn gateways(_: &World<'_>, query: &Query) -> Page {
    pick(query, GATEWAYS.key, gateway_types().iter(), |gateway| gateway_of(gateway))
}

pub(super) fn gateway(_: &World<'_>, name: &str) -> Option<Value> {
    gateway_type(name).map(gateway_of)
}

struct Feature<'a> {
    topic: Topic,
    inventory: &'a Inventory,
}

impl Row for Feature<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        match field {
            "name" => each(self.topic.as_str()),
            "help" => each(self.topic.help()),
            _ => {}
        }
    }
}

impl Feature<'_> {
    /// How many models have it, have it not, and of how many nobody knows.
    fn show(&self) -> Value {
        let (mut have, mut lack, mut unknown) = (0, 0, 0);
        for model in self.inventory.models() {
            *match model.fact(self.topic).value {
                Some(true) => &mut have,
                Some(false) => &mut lack,
                None => &mut unknown,
            } += 1;
        }
        json!({
            "name": self.topic.as_str(),
            "help": self.topic.help(),
            "capability": self.topic.capability().is_some(),
            "yes": have, "no": lack, "unknown": unknown,
        })
    }
}

pub(super) fn features(world: &World<'_>, query: &Query) -> Page {
    let inventory = world.inventory;
    let all = Topic::ALL.into_iter().map(|topic| Feature { topic, inventory });
    pick(query, FEATURES.key, all, Feature::show)
}

/// A feature with all models (R056: from the feature to the models).
pub(super) fn feature(world: &World<'_>, name: &str) -> Option<Value> {
    let topic = Topic::parse(name)?;
    let mut out = Feature { topic, inventory: world.inventory }.show();
    let mut models: Vec<&Model> = world.inventory.models().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    let models: Vec<_> = models
        .into_iter()
        .map(|model| {
            let mut fact = fact_of(model.fact(topic), false);
            fact["name"] = json!(model.name);
            fact
        })
        .collect();
    out.as_object_mut()?.insert("models".to_owned(), Value::Array(models));
    Some(out)
}

impl Row for &Template {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        if field == "name" {
            each(self.name);
        }
    }
}

fn template_of(template: &Template) -> Value {
    json!({ "name": template.name, "text": template.text, "hardening": template.hardening })
}

pub(super) fn templates(_: &World<'_>, query: &Query) -> Page {
    pick(query, TEMPLATES_SHAPE.key, TEMPLATES.iter(), |template| template_of(template))
}

pub(super) fn template(_: &World<'_>, name: &str) -> Option<Value> {
    TEMPLATES.iter().find(|t| t.name == name).map(template_of)
}
