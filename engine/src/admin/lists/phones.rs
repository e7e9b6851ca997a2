//! `/phones`: status is held per device (R010).

use keyline_actors::board::RefusedAt;
use keyline_actors::clock::now;
use keyline_domain::hardening;
use keyline_domain::identity::SeenKind;
use keyline_domain::inventory::PhoneView;
use keyline_domain::model::Topic;
use serde_json::{Map, Value, json};

use super::certificates::facts;
use super::live::{Status, suite_text};
use super::{Row, Shape, World};
use crate::admin::views::Timestamp;

pub(super) static SHAPE: Shape = Shape {
    name: "phones",
    key: "name",
    filters: &[
        "name",
        "description",
        "model",
        "protocol",
        "security_profile",
        "device_security_mode",
        "line",
        "digest_user",
        "em_user",
        "certificate",
        "common_phone_profile",
        "registered",
        "pending",
    ],
    sorts: &["name", "security_profile", "model", "protocol", "device_security_mode", "description"],
};

pub(super) struct Phone<'a> {
    pub(super) view: PhoneView<'a>,
    pub(super) world: &'a World<'a>,
}

impl Phone<'_> {
    fn status(&self) -> Option<Status> {
        Status::of(self.world.live.as_ref()?, self.view.index)
    }
}

impl Row for Phone<'_> {
    fn values(&self, field: &str, each: &mut dyn FnMut(&str)) {
        let v = &self.view;
        match field {
            "name" => each(v.name.as_str()),
            "description" => each(v.description),
            "model" => each(&v.model.name),
            "protocol" => each(v.protocol.as_str()),
            "security_profile" => each(&v.profile.name),
            "device_security_mode" => each(v.profile.settings.device_security_mode.as_str()),
            "line" => v.lines.iter().for_each(|dn| each(dn.as_str())),
            "em_user" => v.em_user.iter().for_each(|user| each(user.as_str())),
            "digest_user" => v.digest_user.iter().for_each(|user| each(user.as_str())),
            "common_phone_profile" => v.common_phone_profile.iter().for_each(|name| each(name)),
            other => self.status().and_then(|s| s.value(other)).into_iter().for_each(each),
        }
    }
}

pub(super) fn short(phone: &Phone<'_>) -> Value {
    let (v, status) = (&phone.view, phone.status());
    json!({
        "name": v.name,
        "description": v.description,
        "model": v.model.name,
        "protocol": v.protocol,
        "security_profile": v.profile.name,
        "device_security_mode": v.profile.settings.device_security_mode,
        "lines": v.lines,
        "digest_user": v.digest_user,
        "em_user": v.em_user,
        "common_phone_profile": v.common_phone_profile,
        "registered": status.as_ref().map(|s| s.registered),
        "pending": status.as_ref().map(|s| s.pending),
    })
}

/// Everything about one phone.
pub(super) fn one(world: &World<'_>, name: &str) -> Option<Value> {
    let view = world.inventory.phone_named(&name.to_ascii_uppercase())?;
    let phone = Phone { view, world };
    let mut out = short(&phone);
    let object = out.as_object_mut()?;
    object.insert("trusted".to_owned(), trust(&view));
    object.insert(
        "assigned".to_owned(),
        json!({
            "security_profile": view.profile.name, "version": view.profile.version.0,
        }),
    );
    let (applied, registration) = match (&world.live, phone.status()) {
        (Some(live), Some(status)) => {
            let settings = status.applied.and_then(|applied| {
                let name = live.boards.profiles.name(applied.profile);
                let mode = live.boards.profiles.settings(applied)?.device_security_mode;
                Some(json!({
                    "security_profile": name, "version": applied.version.0, "device_security_mode": mode,
                }))
            });
            (settings.unwrap_or(Value::Null), status.bindings(live))
        }
        _ => (Value::Null, Value::Null),
    };
    object.insert("applied".to_owned(), applied);
    object.insert("registration".to_owned(), registration);
    object.insert("certificates".to_owned(), certificates(&phone));
    object.insert("refusals".to_owned(), refusals(&phone));
    object.insert("hardening".to_owned(), switches(world, &view));
    object.insert("capf".to_owned(), capf(world, &view));
    Some(out)
}

/// CAPF settings of the assigned profile and what is ordered (R104); no settings where the model has none.
fn capf(world: &World<'_>, view: &PhoneView<'_>) -> Value {
    match world.inventory.capf_of(view.name.as_str()) {
        Some(capf) => json!(capf),
        None => json!({
            "operation": view.capf_operation, "authentication_string_set": false, "authentication_mode": null,
            "key_order": null, "rsa_key_size": null, "ec_key_size": null,
        }),
    }
}

/// Trust comes from the model and can be set by no request (R041, R042).
fn trust(view: &PhoneView<'_>) -> Value {
    let shown = super::catalogue::trust(view.model.fact(Topic::Trusted));
    json!({
        "value": view.model.trusted,
        "text": shown["text"],
        "icon": shown["icon"],
        "setting": format!("phone_model `{}`: trusted = {}", view.model.name, view.model.trusted),
    })
}

/// Why it was refused, last: requests that claim to be of it, and handshakes whose certificate names it. Neither
/// is proven to have come from it. `null` where no node runs.
fn refusals(phone: &Phone<'_>) -> Value {
    let Some(live) = phone.world.live else { return Value::Null };
    let all = live.boards.refusals.of(phone.view.index).into_iter().map(|refused| {
        let stage = match refused.stage {
            RefusedAt::Handshake => "handshake",
            RefusedAt::Request => "request",
            RefusedAt::Connection => "connection",
        };
        json!({
            "at": Timestamp(refused.at), "stage": stage, "reason": refused.reason, "peer": refused.peer.to_string(),
        })
    });
    all.collect()
}

/// What is known of its certificates: those uploaded for it, and what its connection last proved (R057).
fn certificates(phone: &Phone<'_>) -> Value {
    let name = phone.view.name;
    let uploaded: Vec<_> = phone
        .world
        .inventory
        .all_certificates()
        .filter(|row| row.phone.as_ref() == Some(name))
        .filter_map(|row| Some(facts(row.purpose.as_str(), row.facts.as_ref()?, None)))
        .collect();
    let last = phone.status().and_then(|s| s.last_peer());
    let presented = last.map(|peer| {
        json!({
            "proof": peer.proof,
            "kind": phone.status().map_or("none", |s| s.certificate()),
            "suite": suite_text(peer.suite),
            "fingerprint_begins": peer.certificate.map(|c| c.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        })
    });
    let seen = phone.world.live.and_then(|live| live.boards.certificates.of(name.as_str()));
    let of = |kind| {
        seen.as_ref().and_then(|s| s.get(kind)).map(|c| {
            json!({
                "subject": c.subject,
                "issuer": c.issuer,
                "not_before": Timestamp(c.not_before),
                "not_after": Timestamp(c.not_after),
                "fingerprint": c.sha256.iter().map(|b| format!("{b:02x}")).collect::<String>(),
                "seen": Timestamp(c.seen),
            })
        })
    };
    // Which one TLS is to rest on (R112).
    let preferred = seen.as_ref().and_then(|s| s.preferred(now())).map(|(kind, _)| match kind {
        SeenKind::Lsc => "lsc",
        SeenKind::Mic => "mic",
    });
    json!({
        "uploaded": uploaded, "presented": presented,
        "lsc": of(SeenKind::Lsc), "mic": of(SeenKind::Mic), "preferred": preferred,
    })
}

/// Effective switches with the level that each value comes from (R018).
fn switches(world: &World<'_>, view: &PhoneView<'_>) -> Value {
    let common = view.common_phone_profile.and_then(|name| world.inventory.common_phone_profile(name));
    let all = hardening::effective(&view.hardening, common.as_ref(), &world.inventory.enterprise_phone());
    // What is known to mean nothing on the model is not shown (R032).
    let all = all.into_iter().filter(|e| hardening::meaning(view.model, e.name) != Some(false));
    let all = all.map(|e| (e.name.to_owned(), json!({ "value": e.value, "origin": e.origin.as_str() })));
    Value::Object(Map::from_iter(all))
}
