//! `/security-profile-options` and `/help`: what a form for a model and protocol shows, and the help of every
//! field. Both are made from what the rules themselves use (R215).

use keyline_domain::help::{self, KindHelp};
use keyline_domain::mode::{DeviceSecurityMode, Protocol};
use keyline_domain::profile::{
    FieldOption, Options, PhoneOptions, Size, Value as FieldValue, Values, options, proposed_name,
};
use serde_json::{Map, Value, json};

use super::World;
use super::query::refusal;
use crate::admin::problem::{Code, Problem};

/// What profiles and phones of a model and protocol may have.
///
/// # Errors
/// No such model, or one that does not speak the protocol.
pub fn profile_options(world: &World<'_>, model: &str, protocol: Option<&str>) -> Result<Value, Problem> {
    let Some(model) = world.inventory.model(model) else {
        return Err(Problem::new(Code::PhoneModelNotFound, format!("there is no phone model {model:?}")));
    };
    let protocol = match protocol {
        None => model.protocols.default_protocol(),
        Some(text) => {
            let known = [Protocol::Sip, Protocol::Sccp].into_iter().find(|p| p.as_str() == text);
            known.ok_or_else(|| refusal("protocol", format!("protocol is sip or sccp, not {text:?}")))?
        }
    };
    if !model.protocols.has(protocol) {
        let detail = format!("{:?} does not speak {}", model.name, protocol.label());
        return Err(refusal("protocol", detail));
    }
    let offered = options(model, protocol);
    let profiles = world.inventory.profiles_for(&model.name, protocol);
    let phone = PhoneOptions::of(model);
    Ok(json!({
        "model": model.name,
        "protocol": protocol,
        "fields": offered.fields().map(field).collect::<Vec<_>>(),
        "absent": offered.absent().map(|absent| json!({
            "name": absent.field.as_str(),
            "accepts": absent.accepts.map(value),
            "in_force": value(absent.value),
            "reason": absent.reason,
        })).collect::<Vec<_>>(),
        "name_proposals": proposals(model, protocol, &offered),
        "profiles": profiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        "phone": {
            "hardening": phone.switches.iter().map(|(name, meaning)| json!({
                "name": name,
                "values": ["enabled", "disabled"],
                "default": "enabled",
                "known_on_model": meaning,
                "help": help::of("hardening", name).map(|h| h.text),
            })).collect::<Vec<_>>(),
            "capf_operations": phone.capf_operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        },
    }))
}

/// A name to begin with for each mode (R115).
fn proposals(model: &keyline_domain::model::Model, protocol: Protocol, offered: &Options) -> Value {
    let mode = keyline_domain::profile::Field::DeviceSecurityMode;
    let all =
        [DeviceSecurityMode::NonSecure, DeviceSecurityMode::Authenticated, DeviceSecurityMode::Encrypted];
    let has = |m: &DeviceSecurityMode| match offered.field(mode) {
        Ok(option) => option.values.has(FieldValue::Text(m.as_str())),
        Err(_) => *m == DeviceSecurityMode::NonSecure,
    };
    let named = all.into_iter().filter(has);
    named
        .map(|m| (m.as_str().to_owned(), Value::String(proposed_name(model, protocol, m))))
        .collect::<Map<_, _>>()
        .into()
}

fn value(of: FieldValue) -> Value {
    match of {
        FieldValue::Bool(on) => on.into(),
        FieldValue::Text(text) => text.into(),
        FieldValue::Number(n) => n.into(),
    }
}

fn field(option: &FieldOption) -> Value {
    let needs = |all: &[(keyline_domain::profile::Field, &[FieldValue])]| -> Vec<Value> {
        let one = |(field, of): &(keyline_domain::profile::Field, &[FieldValue])| json!({ "field": field.as_str(), "one_of": of.iter().map(|v| value(*v)).collect::<Vec<_>>() });
        all.iter().map(one).collect()
    };
    let conditions: Vec<_> = option
        .conditions
        .iter()
        .map(|c| {
            json!({
                "values": c.values.iter().map(|v| value(*v)).collect::<Vec<_>>(),
                "needs": needs(c.needs),
            })
        })
        .collect();
    json!({
        "name": option.field.as_str(),
        "values": values(&option.values),
        "default": value(option.default),
        "legacy_default": option.legacy_default.map(value),
        "unit": option.field.unit(),
        "help": option.field.help(),
        "conditions": conditions,
        "applies_when": needs(option.applies),
    })
}

fn values(of: &Values) -> Value {
    match of {
        Values::Bool => json!({ "type": "boolean" }),
        Values::Choice(all) => json!({ "type": "choice", "of": all }),
        Values::Range(min, max) => json!({ "type": "range", "min": min, "max": max }),
        Values::Sizes(all) => {
            let size = |s: &Size| json!({ "value": s.bits, "supported": s.supported, "weak": s.weak });
            json!({ "type": "sizes", "of": all.iter().map(size).collect::<Vec<_>>() })
        }
    }
}

/// Help for all kinds, or for one.
///
/// # Errors
/// No such kind.
pub fn help(kind: Option<&str>) -> Result<Value, Problem> {
    let show = |k: &KindHelp| {
        let fields: Vec<_> = k
            .fields
            .iter()
            .map(|h| {
                let default = Some(h.default).filter(|d| !d.is_empty());
                json!({ "name": h.field, "help": h.text, "values": h.values, "default": default })
            })
            .collect();
        json!({ "kind": k.kind, "help": k.text, "fields": fields })
    };
    let Some(kind) = kind else {
        return Ok(json!({ "kinds": help::all().map(show).collect::<Vec<_>>() }));
    };
    let found = help::of_kind(kind).ok_or_else(|| {
        let known: Vec<_> = help::all().map(|k| k.kind).collect();
        refusal("kind", format!("there is no kind {kind:?}; known are {}", known.join(", ")))
    })?;
    Ok(json!({ "kinds": [show(found)] }))
}
