//! Auto-registration (R212): a phone that nobody configured gets a row of its own, under the predefined
//! non-secure profile of its type and protocol.

use crate::ids::{DeviceName, Dn};
use crate::mode::Protocol;
use crate::model::builtin_by_number;

use super::mutate::Op;
use super::rows::{LineRow, PhoneRow, Row, Tag};
use super::{Hardening, Inventory, Kind, RowError};

/// The type of a phone that does not say its own.
const GENERIC: &str = "Third-party SIP Device (Basic)";

/// A phone that asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Device name that it gives itself.
    pub name: DeviceName,
    /// Cisco's number of its model, when it says it.
    pub model: Option<u32>,
    /// The line that it registers.
    pub line: Dn,
}

impl Newcomer {
    /// Makes one of what a REGISTER says: the device name parameter of its Contact, else the MAC address at the
    /// end of its instance (`urn:uuid:00000000-0000-0000-0000-<MAC>`), else its line when that is a phone's name.
    pub fn of(name: Option<&str>, instance: Option<&str>, model: Option<u32>, line: &Dn) -> Option<Self> {
        let of_mac = |mac: &str| DeviceName::parse(&format!("SEP{mac}")).ok();
        let from_instance = || {
            let uuid = instance?.trim_matches(['<', '>']);
            let (head, mac) = uuid.rsplit_once('-')?;
            head.to_ascii_lowercase()
                .strip_prefix("urn:uuid:00000000-0000-0000-0000")?
                .is_empty()
                .then(|| of_mac(mac))?
        };
        let from_line = || line.as_str().strip_prefix("SEP").and_then(of_mac);
        let name = match name {
            Some(name) => DeviceName::parse(name).ok(),
            None => from_instance().or_else(from_line),
        };
        Some(Self { name: name?, model, line: line.clone() })
    }
}

impl Inventory {
    /// The rows that let a newcomer in.
    pub(super) fn adopt(&self, new: &Newcomer) -> Result<Vec<Op>, RowError> {
        let refused = |reason: String| RowError::Adoption { name: new.name.to_string(), reason };
        if !self.parameters.auto_registration {
            return Err(refused("the parameter auto_registration is off".to_owned()));
        }
        if self.names.contains_key(&new.name) {
            return Err(RowError::Exists { kind: Kind::Phone, name: new.name.to_string() });
        }
        let model = match new.model {
            Some(number) => builtin_by_number(number),
            None => self.model(GENERIC),
        };
        let Some(model) = model.filter(|m| m.protocols.has(Protocol::Sip)) else {
            return Err(refused(format!("no SIP model has the number {}", new.model.unwrap_or_default())));
        };
        // A line that somebody has is not given to a stranger.
        if self.devices_on(new.line.as_str()).next().is_some() {
            return Err(refused(format!("line {} belongs to another phone", new.line)));
        }
        let line = Row::Line(LineRow { tag: Tag, dn: new.line.clone() });
        let phone = PhoneRow {
            tag: Tag,
            name: new.name.clone(),
            model: (*model.name).into(),
            protocol: Some(Protocol::Sip),
            description: format!("Auto {}", new.line).into(),
            security_profile: None,
            digest_user: None,
            lines: vec![new.line.clone()],
            common_phone_profile: None,
            hardening: Hardening::default(),
            capf: None,
            em_user: super::Login::Keep,
        };
        Ok(vec![Op::Put(Box::new(line)), Op::Put(Box::new(Row::Phone(Box::new(phone))))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(dn: &str) -> Dn {
        Dn::parse(dn).unwrap()
    }

    #[test]
    fn a_name_comes_from_the_contact_the_instance_or_the_line() {
        let name = |n, i, l| Newcomer::of(n, i, None, &line(l)).map(|n| n.name.to_string());
        let uuid = Some("<urn:uuid:00000000-0000-0000-0000-00aabbccdd01>");
        assert_eq!(name(Some("SEP00AABBCCDD02"), uuid, "1"), Some("SEP00AABBCCDD02".to_owned()));
        assert_eq!(name(None, uuid, "1"), Some("SEP00AABBCCDD01".to_owned()));
        assert_eq!(name(None, None, "SEP00AABBCCDD03"), Some("SEP00AABBCCDD03".to_owned()));
        for (given, instance, dn) in [
            (None, None, "2001"),
            (Some("<script>"), uuid, "1"),
            (None, Some("<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"), "1"),
            (None, None, "SEP00"),
        ] {
            assert_eq!(name(given, instance, dn), None, "{given:?} {instance:?} {dn}");
        }
    }
}
