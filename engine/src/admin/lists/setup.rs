//! `/phones/{name}/setup`: the way to a secure phone (R059–R065, R182).

use keyline_domain::hardening;
use keyline_domain::ids::UnixMillis;
use keyline_domain::inventory::{Purpose, Switch};
use keyline_domain::model::TlsCertificate;
use keyline_domain::setup::{SetupFacts, Standing, Task, steps};
use serde_json::{Value, json};

use super::World;
use super::live::Status;
use crate::admin::problem::{Code, Problem};

/// All steps with their standing.
///
/// # Errors
/// `phone_not_found`.
pub fn setup(world: &World<'_>, name: &str) -> Result<Value, Problem> {
    let found = world.inventory.phone_named(&name.to_ascii_uppercase());
    let view =
        found.ok_or_else(|| Problem::new(Code::PhoneNotFound, format!("there is no phone {name:?}")))?;
    let live = world.live.as_ref();
    let status = live.and_then(|live| Status::of(live, view.index));
    let seen = live.and_then(|live| live.boards.certificates.of(view.name.as_str()));
    let common = view.common_phone_profile.and_then(|name| world.inventory.common_phone_profile(name));
    let switches =
        hardening::effective(&view.hardening, common.as_ref(), &world.inventory.enterprise_phone());
    let switches: Vec<Switch> = switches.iter().map(|e| e.value).collect();
    let uploaded = match view.model.tls_certificate {
        TlsCertificate::PerDevice => {
            world.inventory.all_certificates().any(|c| c.phone.as_ref() == Some(view.name))
        }
        // A shared one bears the profile's name (R075, R076).
        TlsCertificate::Shared => {
            world.inventory.certificates(Purpose::VendorTrust).filter_map(|c| c.facts.as_ref()).any(|f| {
                let name: &str = &view.profile.name;
                if f.dns_names.is_empty() {
                    !f.other_names && *f.common_name == *name
                } else {
                    f.dns_names.iter().any(|d| **d == *name)
                }
            })
        }
    };
    let digest_user = view
        .digest_user
        .and_then(|id| world.inventory.user(id.as_str()))
        .is_some_and(|user| user.credentials.is_some());
    let facts = SetupFacts {
        cluster: world.inventory.parameters().cluster_security_mode,
        model: view.model,
        assigned: &view.profile.settings,
        applied: status.as_ref().is_none_or(|s| !s.pending),
        seen: seen.as_deref(),
        uploaded,
        digest_user,
        switches: &switches,
        now: live.map_or(UnixMillis(0), |live| live.at),
    };
    let steps: Vec<Value> = steps(&facts).into_iter().map(|(task, standing)| step(task, standing)).collect();
    Ok(json!({ "phone": view.name, "steps": steps }))
}

fn step(task: Task, standing: Standing) -> Value {
    let (standing, by) = match standing {
        Standing::Done => ("done", None),
        Standing::Next => ("next", None),
        Standing::Blocked(by) => ("blocked", Some(by.as_str())),
        Standing::NotNeeded => ("not_needed", None),
        Standing::Unknown => ("unknown", None),
    };
    json!({ "step": task.as_str(), "standing": standing, "blocked_by": by, "what_to_do": task.text() })
}
