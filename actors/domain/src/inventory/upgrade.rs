//! Phones of an earlier schema, which had their device security mode themselves: each keeps its mode, by a profile of
//! its model and protocol that is found or made (R003, R110).

use serde_json::{Map, Value, json};

use crate::mode::{DeviceSecurityMode, Protocol};
use crate::profile::{is_predefined, resolve};

use super::mutate::Op;
use super::parse::{parse_row, shorten};
use super::rows::{Row, SecurityProfileRow};
use super::{Inventory, Kind, RowError};

/// The field that later schemas have in the profile alone.
const MODE: &str = "device_security_mode";

impl Inventory {
    /// The operations that bring a phone of the earlier schema over: its row is what it is today, but for the mode.
    pub(super) fn upgraded(&self, body: &Map<String, Value>) -> Result<Vec<Op>, RowError> {
        let mut body = body.clone();
        let mode = match body.remove(MODE) {
            None => DeviceSecurityMode::NonSecure,
            Some(value) => serde_json::from_value(value).map_err(|e| RowError::Field {
                kind: Kind::Phone,
                field: MODE.to_owned(),
                reason: shorten(&e.to_string()),
            })?,
        };
        body.insert("kind".to_owned(), Kind::Phone.as_str().into());
        let Row::Phone(mut phone) = parse_row(&Value::Object(body).to_string())? else {
            return Err(RowError::Json { reason: "it is no phone".to_owned() });
        };
        let mut ops = Vec::with_capacity(2);
        // The predefined profile is non-secure; a model that is not known is refused by the check.
        if mode != DeviceSecurityMode::NonSecure
            && let Some(model) = self.model(&phone.model)
        {
            let protocol = phone.protocol.unwrap_or_else(|| model.protocols.default_protocol());
            let (name, new) = self.profile_for(&phone.model, protocol, mode)?;
            ops.extend(new.map(|row| Op::Put(Box::new(Row::SecurityProfile(Box::new(row))))));
            phone.security_profile = Some(name.into());
        }
        ops.push(Op::Put(Box::new(Row::Phone(phone))));
        Ok(ops)
    }

    /// The profile of a model and protocol with this mode and every default: the one of the lowest number, else a
    /// new row.
    fn profile_for(
        &self,
        model: &str,
        protocol: Protocol,
        mode: DeviceSecurityMode,
    ) -> Result<(String, Option<SecurityProfileRow>), RowError> {
        let label = match mode {
            DeviceSecurityMode::NonSecure => "Non-Secure",
            DeviceSecurityMode::Authenticated => "Authenticated",
            DeviceSecurityMode::Encrypted => "Encrypted",
        };
        let family = if protocol == Protocol::Sip { "SIP" } else { "SCCP" };
        let base = format!("{model} - {family} {label}");
        let body = json!({
            "kind": Kind::SecurityProfile.as_str(), "name": base, "model": model, "protocol": protocol, MODE: mode,
        });
        let Row::SecurityProfile(mut row) = parse_row(&body.to_string())? else {
            return Err(RowError::Json { reason: "it is no profile".to_owned() });
        };
        let Some(known) = self.model(model) else { return Ok((base, None)) };
        let wanted = resolve(&row.fields(), known, protocol)
            .map_err(|error| RowError::Profile { name: shorten(&base), error })?;
        let same = self.profiles.iter().find(|(id, entry)| {
            let p = &entry.profile;
            !is_predefined(**id) && p.model == model && p.protocol == protocol && p.settings == wanted
        });
        if let Some((_, entry)) = same {
            return Ok((entry.profile.name.clone(), None));
        }
        let name = |n: usize| if n == 1 { base.clone() } else { format!("{base} ({n})") };
        let name = (1..).map(name).find(|n| self.profile_id(n).is_none()).unwrap_or_default();
        row.name = name.as_str().into();
        Ok((name, Some(*row)))
    }
}
