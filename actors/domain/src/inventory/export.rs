//! Writing the inventory out as NDJSON that imports again.

use serde::Serialize;

use crate::ids::{DeviceName, Dn, UserId};
use crate::mode::Protocol;
use crate::profile::{Field, SecurityProfile, is_predefined, options};

use super::parameter::addressed;
use super::rows::{EnterprisePhoneRow, SecurityProfileRow, Tag};
use super::store::{PhoneEntry, UserStore};
use super::stored::model_row;
use super::{CapfOperation, Inventory, Kind, ParameterValue, Secret};
use crate::hardening::Hardening;

#[derive(Serialize)]
struct Tagged<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    row: T,
}

#[derive(Serialize)]
struct ParameterOut<'a> {
    name: &'a str,
    value: &'a ParameterValue,
}

#[derive(Serialize)]
struct CommonOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Hardening::is_empty")]
    hardening: Hardening,
}

#[derive(Serialize)]
struct UserOut<'a> {
    id: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_credentials: Option<&'a str>,
}

#[derive(Serialize)]
struct LineOut<'a> {
    dn: &'a Dn,
}

#[derive(Serialize)]
struct CapfOut<'a> {
    operation: CapfOperation,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_string: Option<&'a str>,
}

#[derive(Serialize)]
struct PhoneOut<'a> {
    name: &'a DeviceName,
    model: &'a str,
    protocol: Protocol,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_user: Option<&'a UserId>,
    lines: &'a [Dn],
    #[serde(skip_serializing_if = "Option::is_none")]
    common_phone_profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Hardening::is_empty")]
    hardening: Hardening,
    #[serde(skip_serializing_if = "Option::is_none")]
    capf: Option<CapfOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    em_user: Option<&'a UserId>,
}

impl Inventory {
    /// All rows as JSON, one a line without its line end, in an order that makes equal inventories
    /// equal texts. Secrets are left out unless asked for; importing rows without them keeps what is
    /// stored. Built-in models, predefined profiles and parameters at their default are not rows.
    pub fn export(&self, secrets: bool) -> impl Iterator<Item = String> {
        let parameters =
            self.set.iter().map(|(name, value)| line(Kind::Parameter, ParameterOut { name, value }));
        let models = self.models.values().map(|m| line(Kind::PhoneModel, model_row(m)));
        let profiles = self.profiles.iter().filter(|(id, _)| !is_predefined(**id));
        let profiles =
            profiles.map(|(_, entry)| line(Kind::SecurityProfile, self.profile_row(&entry.profile)));
        let commons = self.commons.iter().map(|(name, common)| {
            line(Kind::CommonPhoneProfile, CommonOut { name, hardening: common.hardening })
        });
        let enterprise = self.enterprise.iter().map(|hardening| {
            line(Kind::EnterprisePhone, EnterprisePhoneRow { tag: Tag, hardening: *hardening })
        });
        let lines = self.lines.keys().map(|dn| line(Kind::Line, LineOut { dn }));
        let phones = self.names.values().filter_map(|index| self.phone(*index));
        let phones = phones.map(move |phone| self.phone_line(phone, secrets));
        let certificates = self.certificates.values().map(|row| line(Kind::Certificate, row));
        parameters
            .chain(models)
            .chain(profiles)
            .chain(commons)
            .chain(enterprise)
            .chain(self.user_lines(UserStore::ApplicationUser, secrets))
            .chain(self.user_lines(UserStore::EndUser, secrets))
            .chain(self.trunking_lines(secrets))
            .chain(lines)
            .chain(phones)
            .chain(certificates)
    }

    /// One row as it stands, predefined profiles, built-in models and parameters at their default included.
    /// `name` is that of [`super::Row::name`].
    pub fn row_text(&self, kind: Kind, name: &str, secrets: bool) -> Option<String> {
        Some(match kind {
            Kind::Counter => return None,
            Kind::Parameter => {
                let (spec, node) = addressed(name).ok()?;
                // What is merged into it may name a node that is refused: the check says so, and why.
                let view = self.parameter(spec, node);
                line(kind, ParameterOut { name: &view.key, value: &view.value })
            }
            Kind::PhoneModel => line(kind, model_row(self.model(name)?)),
            Kind::Package => line(kind, self.packages.get(name)?),
            Kind::SecurityProfile => line(kind, self.profile_row(&*self.profile(self.profile_id(name)?)?)),
            Kind::CommonPhoneProfile => {
                let (name, common) = self.commons.get_key_value(name)?;
                line(kind, CommonOut { name, hardening: common.hardening })
            }
            Kind::EnterprisePhone => {
                line(kind, EnterprisePhoneRow { tag: Tag, hardening: self.enterprise_phone() })
            }
            Kind::ApplicationUser | Kind::EndUser => {
                let (id, user) = self.users.get_key_value(name).filter(|(_, u)| u.store.kind() == kind)?;
                let secret = user.credentials.as_ref().filter(|_| secrets);
                line(kind, UserOut { id, digest_credentials: secret.map(Secret::expose) })
            }
            Kind::SipRealm | Kind::TrunkSecurityProfile | Kind::Trunk => {
                return self.trunking_text(kind, name, secrets);
            }
            Kind::Line => line(kind, LineOut { dn: self.lines.get_key_value(name)?.0 }),
            Kind::Phone => self.phone_line(self.phone(*self.names.get(name)?)?, secrets),
            Kind::Certificate => line(kind, self.certificates.get(&super::remove::certificate_key(name)?)?),
        })
    }

    fn user_lines(&self, store: UserStore, secrets: bool) -> impl Iterator<Item = String> {
        self.users.iter().filter(move |(_, user)| user.store == store).map(move |(id, user)| {
            let secret = user.credentials.as_ref().filter(|_| secrets);
            line(store.kind(), UserOut { id, digest_credentials: secret.map(Secret::expose) })
        })
    }

    fn phone_line(&self, phone: &PhoneEntry, secrets: bool) -> String {
        let extra = phone.extra.as_deref();
        let profile = self.profiles.get(&phone.profile).filter(|_| !is_predefined(phone.profile));
        let pin = extra.and_then(|e| e.capf_string.as_ref()).filter(|_| secrets);
        let operation = extra.map(|e| e.capf_operation).unwrap_or_default();
        let capf = CapfOut { operation, authentication_string: pin.map(Secret::expose) };
        // Also where nothing but a string is set: a row without `capf` would drop it.
        let ordered = operation != CapfOperation::None || extra.is_some_and(|e| e.capf_string.is_some());
        let row = PhoneOut {
            name: &phone.name,
            model: self.model_by_id(phone.model).map_or("", |m| &*m.name),
            protocol: phone.protocol,
            description: &phone.description,
            security_profile: profile.map(|e| e.profile.name.as_str()),
            digest_user: phone.digest_user.as_ref(),
            lines: &phone.lines,
            common_phone_profile: extra.and_then(|e| e.common.as_deref()),
            hardening: extra.map(|e| e.hardening).unwrap_or_default(),
            capf: ordered.then_some(capf),
            em_user: phone.em_user(),
        };
        line(Kind::Phone, row)
    }

    /// The row of a profile: the settings in force, without the fields that its model does not have. A switch that is on
    /// from a time when the model was known to have it stays: whoever saves the profile must hear of it, not lose it.
    pub fn profile_row(&self, profile: &SecurityProfile) -> SecurityProfileRow {
        let offered = self.model(&profile.model).map(|m| options(m, profile.protocol));
        let has = |field| offered.as_ref().is_some_and(|o| o.has(field));
        let s = &profile.settings;
        let switch = |field, on: bool| (on || has(field)).then_some(on);
        SecurityProfileRow {
            tag: Tag,
            name: profile.name.as_str().into(),
            description: profile.description.as_str().into(),
            model: profile.model.as_str().into(),
            protocol: Some(profile.protocol),
            device_security_mode: Some(s.device_security_mode),
            transport: Some(s.transport),
            digest_authentication: switch(Field::DigestAuthentication, s.digest_authentication),
            nonce_validity_s: has(Field::NonceValidityS).then_some(s.nonce_validity_s),
            tftp_encrypted_config: switch(Field::TftpEncryptedConfig, s.tftp_encrypted_config),
            oauth_authentication: switch(Field::OauthAuthentication, s.oauth_authentication),
            exclude_digest_credentials: switch(Field::ExcludeDigestCredentials, s.exclude_digest_credentials),
            capf_authentication_mode: has(Field::CapfAuthenticationMode)
                .then_some(s.capf_authentication_mode),
            key_order: has(Field::KeyOrder).then_some(s.key_order),
            rsa_key_size: has(Field::RsaKeySize).then_some(s.rsa_key_size),
            ec_key_size: has(Field::EcKeySize).then_some(s.ec_key_size),
            sip_phone_port: has(Field::SipPhonePort).then_some(s.sip_phone_port),
        }
    }
}

pub(super) fn line<T: Serialize>(kind: Kind, row: T) -> String {
    serde_json::to_string(&Tagged { kind: kind.as_str(), row })
        .expect("rows have text keys and nothing that can fail")
}
