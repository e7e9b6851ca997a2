//! CAPF settings on a phone (R104–R109, R145): they are its profile's, so changing them there means another
//! profile, one that is there already or a new one.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::mode::DeviceSecurityMode;
use crate::profile::{
    CapfMode, Field, KeyOrder, NAME_MAX, ProfileSettings, SecurityProfile, is_predefined, predefined_id,
    resolve,
};

use super::mutate::Op;
use super::parse::shorten;
use super::rows::{PhoneRow, Row, SecurityProfileRow};
use super::{CapfOperation, Inventory, Kind, RowError};

/// Fields of a phone's `capf` that are settings of its profile.
const SETTINGS: [&str; 4] = ["authentication_mode", "key_order", "rsa_key_size", "ec_key_size"];

/// What a phone's view shows of CAPF (R104): the settings of its assigned profile as saved, and the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct CapfView {
    /// What is ordered.
    pub operation: CapfOperation,
    /// A string to be typed is set.
    pub authentication_string_set: bool,
    /// How the phone proves itself.
    pub authentication_mode: CapfMode,
    /// Kind of key.
    pub key_order: KeyOrder,
    /// Bits.
    pub rsa_key_size: u32,
    /// Bits.
    pub ec_key_size: u32,
}

/// The settings that somebody wrote into a phone's `capf`; the inner `None` is `null`, the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CapfSettings {
    mode: Option<Option<CapfMode>>,
    order: Option<Option<KeyOrder>>,
    rsa: Option<Option<u32>>,
    ec: Option<Option<u32>>,
}

impl CapfSettings {
    /// Takes the settings out of the body of a phone; what is left is the phone's own.
    pub(super) fn take(kind: Kind, body: &mut Map<String, Value>) -> Result<Self, RowError> {
        let Some(Value::Object(capf)) = body.get_mut("capf").filter(|_| kind == Kind::Phone) else {
            return Ok(Self::default());
        };
        let mut found = Self::default();
        for name in SETTINGS {
            let Some(value) = capf.remove(name) else { continue };
            match name {
                "authentication_mode" => found.mode = Some(read(name, value)?),
                "key_order" => found.order = Some(read(name, value)?),
                "rsa_key_size" => found.rsa = Some(read(name, value)?),
                _ => found.ec = Some(read(name, value)?),
            }
        }
        Ok(found)
    }

    fn over(&self, row: &mut SecurityProfileRow) {
        row.capf_authentication_mode = self.mode.unwrap_or(row.capf_authentication_mode);
        row.key_order = self.order.unwrap_or(row.key_order);
        row.rsa_key_size = self.rsa.unwrap_or(row.rsa_key_size);
        row.ec_key_size = self.ec.unwrap_or(row.ec_key_size);
    }
}

fn read<T: DeserializeOwned>(field: &str, value: Value) -> Result<Option<T>, RowError> {
    Option::<T>::deserialize(&value).map_err(|e| RowError::Field {
        kind: Kind::Phone,
        field: format!("capf.{field}"),
        reason: shorten(&e.to_string()),
    })
}

impl Inventory {
    /// What a phone's view shows of CAPF; `None` for a model without it.
    pub fn capf_of(&self, phone: &str) -> Option<CapfView> {
        let entry = self.phone(*self.names.get(phone)?)?;
        let model = self.model_by_id(entry.model)?;
        if !crate::profile::options(model, entry.protocol).has(Field::CapfAuthenticationMode) {
            return None;
        }
        let settings = &self.profiles.get(&entry.profile)?.profile.settings;
        let extra = entry.extra.as_deref();
        Some(CapfView {
            operation: extra.map(|e| e.capf_operation).unwrap_or_default(),
            authentication_string_set: extra.is_some_and(|e| e.capf_string.is_some()),
            authentication_mode: settings.capf_authentication_mode,
            key_order: settings.key_order,
            rsa_key_size: settings.rsa_key_size,
            ec_key_size: settings.ec_key_size,
        })
    }

    /// Saves a row; a phone with other CAPF settings gets the profile that has them, which is made if there is
    /// none (R106, R108, R109).
    pub(super) fn put_with_capf(&self, row: Row, settings: &CapfSettings) -> Result<Vec<Op>, RowError> {
        let Row::Phone(mut phone) = row else { return Ok(vec![Op::Put(Box::new(row))]) };
        let mut ops = Vec::with_capacity(2);
        if *settings != CapfSettings::default()
            && let Some(old) = self.profile_of_row(&phone)
        {
            let (name, new) = self.profile_with(&old, settings)?;
            ops.extend(new.map(|row| Op::Put(Box::new(Row::SecurityProfile(Box::new(row))))));
            // The predefined one is what a phone has that names none.
            phone.security_profile = (name != old.name || !old.predefined).then(|| name.into());
        }
        ops.push(Op::Put(Box::new(Row::Phone(phone))));
        Ok(ops)
    }

    /// The profile that the row names, if everything it names is there: the check says what is not.
    fn profile_of_row(&self, phone: &PhoneRow) -> Option<std::sync::Arc<SecurityProfile>> {
        let id = match &phone.security_profile {
            Some(name) => self.profile_id(name)?,
            None => {
                let model = self.model(&phone.model)?;
                let protocol = phone.protocol.unwrap_or_else(|| model.protocols.default_protocol());
                predefined_id(model.id, protocol)
            }
        };
        self.profile(id)
    }

    /// Name of the profile that is as `old` but for the CAPF settings, and its row where it is a new one.
    fn profile_with(
        &self,
        old: &SecurityProfile,
        settings: &CapfSettings,
    ) -> Result<(String, Option<SecurityProfileRow>), RowError> {
        let mut row = self.profile_row(old);
        settings.over(&mut row);
        let Some(model) = self.model(&old.model) else { return Ok((old.name.clone(), None)) };
        let wanted = resolve(&row.fields(), model, old.protocol)
            .map_err(|error| RowError::Profile { name: shorten(&old.name), error })?;
        if wanted == old.settings {
            return Ok((old.name.clone(), None));
        }
        // In order of number: always the same one, whatever its name (R108).
        let same = self.profiles.iter().find(|(id, entry)| {
            let p = &entry.profile;
            !is_predefined(**id) && p.model == old.model && p.protocol == old.protocol && p.settings == wanted
        });
        if let Some((_, entry)) = same {
            return Ok((entry.profile.name.clone(), None));
        }
        let name = self.derived_name(old, &wanted);
        row.name = name.as_str().into();
        Ok((name, Some(row)))
    }

    /// A name that nobody has, made of the old one and what is different (R109, R145).
    fn derived_name(&self, old: &SecurityProfile, wanted: &ProfileSettings) -> String {
        let keys = |s: &ProfileSettings| (s.key_order, s.rsa_key_size, s.ec_key_size);
        let suffix = match keys(&old.settings) == keys(wanted) {
            true => mode_label(wanted.capf_authentication_mode).to_owned(),
            false => key_label(wanted),
        };
        // Room for the suffix and a number.
        let room = NAME_MAX - suffix.len() - 14;
        let base: String = own_part(&old.name).chars().take(room).collect();
        let base = base.trim_end();
        let name = |n: usize| match n {
            1 => format!("{base} {suffix}"),
            n => format!("{base} {suffix} ({n})"),
        };
        (1..).map(name).find(|n| self.profile_id(n).is_none()).unwrap_or_default()
    }
}

fn key_label(settings: &ProfileSettings) -> String {
    let (rsa, ec) = (settings.rsa_key_size, settings.ec_key_size);
    match settings.key_order {
        KeyOrder::RsaOnly => format!("RSA-{rsa}"),
        KeyOrder::EcOnly => format!("EC-{ec}"),
        KeyOrder::EcPreferredRsaBackup => format!("EC-{ec} RSA-{rsa}"),
    }
}

const fn mode_label(mode: CapfMode) -> &'static str {
    match mode {
        CapfMode::AuthenticationString => "CAPF-String",
        CapfMode::NullString => "CAPF-Null",
        CapfMode::ExistingCertificateLsc => "CAPF-LSC",
        CapfMode::ExistingCertificateMic => "CAPF-MIC",
    }
}

/// A name without the endings that were made here, so that they do not pile up.
fn own_part(name: &str) -> &str {
    let mut rest = name;
    while let Some((front, word)) = rest.rsplit_once(' ') {
        let digits =
            |t: Option<&str>| t.is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
        let ours = word.starts_with("CAPF-")
            || digits(word.strip_prefix("EC-"))
            || digits(word.strip_prefix("RSA-"))
            || digits(word.strip_prefix('(').and_then(|w| w.strip_suffix(')')));
        if !ours || front.is_empty() {
            break;
        }
        rest = front.trim_end();
    }
    rest
}

/// Whether a phone of these settings is to prove itself by a certificate that it has.
pub(super) fn by_certificate(settings: &ProfileSettings) -> bool {
    matches!(
        settings.capf_authentication_mode,
        CapfMode::ExistingCertificateLsc | CapfMode::ExistingCertificateMic
    )
}

/// Whether the mode wants TLS and so a certificate.
pub(super) fn is_secure(settings: &ProfileSettings) -> bool {
    settings.device_security_mode != DeviceSecurityMode::NonSecure
}
