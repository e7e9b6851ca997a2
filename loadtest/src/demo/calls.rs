//! The demo's calls and what the node says about them.

use std::collections::BTreeMap;

use keyline_wire::sdp::Direction;
use serde_json::Value;

use crate::admin::{Admin, AdminError};
use crate::phone::{Call, OfferChoice, Phone, PhoneError};

use super::DemoError;
use super::plan::{CALLS, Member, Planned};

/// A call that is up.
pub(super) struct Standing {
    pub what: &'static str,
    pub from: String,
    pub to: String,
    devices: [String; 2],
    pub call: Call,
}

impl Standing {
    /// Sends a re-INVITE that changes nothing, as phones do to see whether a call still stands.
    pub(super) async fn refresh(&self) {
        if let Err(fault) = self.call.reinvite(OfferChoice::Own).await {
            super::say(&format!("call {} to {} ({}): {fault}", self.from, self.to, self.what));
        }
    }
}

/// Places the planned calls whose phones are there.
pub(super) async fn place(
    members: &[Member],
    phones: &BTreeMap<usize, Phone>,
) -> Result<Vec<Standing>, DemoError> {
    let mut standing = Vec::new();
    for planned in &CALLS {
        let (Some(from), Some(to)) = (phones.get(&planned.from), phones.get(&planned.to)) else { continue };
        let (caller, called) = (&members[planned.from], &members[planned.to]);
        let failed = |source| DemoError::Call {
            what: planned.what,
            from: caller.dn.clone(),
            to: called.dn.clone(),
            source: Box::new(source),
        };
        let call = connect(planned, from, to).await.map_err(failed)?;
        standing.push(Standing {
            what: planned.what,
            from: caller.dn.clone(),
            to: called.dn.clone(),
            devices: [caller.device.clone(), called.device.clone()],
            call,
        });
    }
    Ok(standing)
}

async fn connect(planned: &Planned, from: &Phone, to: &Phone) -> Result<Call, PhoneError> {
    let call = from.invite(to.dn())?;
    call.answered().await?;
    to.incoming().await?.acked(1).await?;
    if planned.hold {
        call.hold(Direction::SendOnly).await?;
    }
    Ok(call)
}

/// What the node says about one call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub class: String,
    pub reasons: Vec<String>,
    devices: Vec<String>,
}

impl Verdict {
    pub(super) fn is_of(&self, call: &Standing) -> bool {
        call.devices.iter().all(|device| self.devices.contains(device))
    }
}

/// Asks the node about every call it has.
pub(super) async fn verdicts(admin: &Admin) -> Result<Vec<Verdict>, AdminError> {
    let calls = admin.get("/api/v1/calls?limit=100").await?;
    let ids = calls["items"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str());
    let mut verdicts = Vec::new();
    for id in ids {
        verdicts.push(verdict(&admin.get(&format!("/api/v1/calls/{id}/security")).await?));
    }
    Ok(verdicts)
}

/// Reads the class and, of every leg, the failed criteria with cause and setting.
fn verdict(security: &Value) -> Verdict {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut reasons, mut devices) = (Vec::new(), Vec::new());
    for leg in security["legs"].as_array().into_iter().flatten() {
        let device = text(&leg["device"]);
        let failed = leg["criteria"].as_array().into_iter().flatten().filter(|c| c["pass"] == false);
        for criterion in failed {
            let also = criterion["also"].as_array().into_iter().flatten();
            for finding in std::iter::once(criterion).chain(also) {
                reasons.push(format!(
                    "{device}: {} ({})",
                    text(&finding["cause"]),
                    text(&finding["setting"])
                ));
            }
        }
        devices.push(device);
    }
    Verdict { class: text(&security["class"]), reasons, devices }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_name_device_cause_and_setting() {
        let security = json!({"id": "1", "class": "non_secure", "icon": "none", "legs": [
            {"device": "SEPA", "class": "encrypted", "criteria": [
                {"name": "trusted", "pass": true, "cause": null, "setting": null}]},
            {"device": "SEPB", "class": "non_secure", "criteria": [
                {"name": "trusted", "pass": false, "cause": "device model not trusted",
                 "setting": "phone_model", "also": [{"cause": "x", "setting": "y"}]},
                {"name": "media", "pass": true, "cause": null, "setting": null}]}]});
        assert_eq!(
            verdict(&security),
            Verdict {
                class: "non_secure".into(),
                reasons: vec!["SEPB: device model not trusted (phone_model)".into(), "SEPB: x (y)".into()],
                devices: vec!["SEPA".into(), "SEPB".into()],
            }
        );
    }
}
