//! Judging a whole file against the inventory: the state after it must be sound, whatever the order
//! of its rows. Linear in the file (times the depth of a map).

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::hardening::{advice, meaningless};
use crate::ids::DeviceName;
use crate::mode::{ClusterMode, DeviceSecurityMode, Protocol};
use crate::model::{FIRST_IMPORTED_MODEL, Model, ModelId, TlsCertificate, Topic, builtin};
use crate::profile::{
    CapfMode, Field, PhoneOptions, ProfileSettings, SecurityProfile, key_remarks, options, predefined,
    predefined_name, resolve, split_predefined_name,
};

use super::capf::{by_certificate, is_secure};
use super::parse::shorten;
use super::remove::counted;
use super::report::{ERRORS_MAX, Report, Warning, WarningCode};
use super::rows::{CertificateRow, PhoneModelRow, PhoneRow, Row, SecurityProfileRow, UserRow};
use super::{CapfOperation, Inventory, Kind, Login, Parameters, Policy, Purpose, RowError};

/// The inventory with a file laid over it. The last row of a name counts.
pub(super) struct Scope<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) parameters: Parameters,
    models: HashMap<&'a str, Model>,
    profiles: HashMap<&'a str, &'a SecurityProfileRow>,
    commons: HashSet<&'a str>,
    pub(super) users: HashMap<&'a str, (Kind, &'a UserRow)>,
    lines: HashSet<&'a str>,
    pub(super) phones: HashMap<&'a str, &'a PhoneRow>,
    /// Models that a package of the file brings.
    packed: HashSet<&'a str>,
    certified: HashSet<&'a str>,
    /// The phone that holds a digest user; the first of the file where several ask.
    pub(super) holders: HashMap<&'a str, &'a DeviceName>,
    /// The phone on which a user logs in; the first of the file where several do.
    pub(super) logins: HashMap<&'a str, &'a DeviceName>,
}

impl Inventory {
    /// Judges rows as a whole; nothing is changed. `forced` is an import or an administrator who
    /// insists: R181 then warns whatever the policy.
    pub fn check(&self, rows: &[Row], forced: bool) -> Report {
        self.check_knowing(rows, forced, &|_| false)
    }

    /// As [`Inventory::check`], with the caller's knowledge of certificates seen on or issued to a
    /// phone, besides those of the inventory (R214).
    pub fn check_knowing(
        &self,
        rows: &[Row],
        forced: bool,
        has_certificate: &dyn Fn(&DeviceName) -> bool,
    ) -> Report {
        let scope = Scope::over(self, rows);
        let mut report = Report::default();
        let mut warnings: BTreeMap<WarningCode, Warning> = BTreeMap::new();
        let mut failed_parameter = false;
        for (at, row) in rows.iter().enumerate() {
            let mut warn = |code| {
                let first = || Warning { code, first_row: at, first_name: row.name(), rows: 0 };
                warnings.entry(code).or_insert_with(first).rows += 1;
            };
            let result = match row {
                Row::Parameter(_) if failed_parameter => Ok(()),
                Row::Parameter(r) => {
                    let result = scope.parameters.check();
                    failed_parameter = result.is_err();
                    if matches!(r.spec().name, "tls_ciphers" | "srtp_ciphers")
                        && !scope.parameters.srtp_as_recommended()
                    {
                        warn(WarningCode::SrtpCiphersDiffer);
                    }
                    result.and_then(|()| self.check_node(r))
                }
                Row::PhoneModel(r) => scope.check_model(r),
                // Its signature and its types were judged when it was planned.
                Row::Package(_) => Ok(()),
                Row::SecurityProfile(r) => scope.check_profile(r, &mut warn),
                Row::CommonPhoneProfile(r) => {
                    advice(&r.hardening).for_each(|a| warn(a.into()));
                    Ok(())
                }
                Row::EnterprisePhone(r) => {
                    advice(&r.hardening).for_each(|a| warn(a.into()));
                    Ok(())
                }
                Row::Line(_) => Ok(()),
                Row::SipRealm(_) | Row::TrunkSecurityProfile(_) | Row::Trunk(_) => {
                    scope.check_trunking(row, rows)
                }
                Row::ApplicationUser(r) => scope.check_user(Kind::ApplicationUser, r),
                Row::EndUser(r) => scope.check_user(Kind::EndUser, r),
                Row::Phone(r) => scope.check_phone(r, forced, has_certificate, &mut warn),
                Row::Certificate(r) => scope.check_certificate(r),
            };
            match result {
                Ok(()) => {}
                Err(e) if report.errors.len() < ERRORS_MAX => report.errors.push((at, e)),
                Err(_) => report.more_errors += 1,
            }
        }
        report.warnings = warnings.into_values().collect();
        report
    }
}

impl<'a> Scope<'a> {
    fn over(inventory: &'a Inventory, rows: &'a [Row]) -> Self {
        let mut scope = Self {
            inventory,
            parameters: inventory.parameters.clone(),
            models: HashMap::new(),
            profiles: HashMap::new(),
            commons: HashSet::new(),
            users: HashMap::new(),
            lines: HashSet::new(),
            phones: HashMap::new(),
            packed: HashSet::new(),
            certified: HashSet::new(),
            holders: HashMap::new(),
            logins: HashMap::new(),
        };
        for row in rows {
            match row {
                Row::Parameter(r) => scope.parameters.set(r),
                Row::PhoneModel(r) => {
                    // The number does not matter to any rule, only that it is not a built-in one.
                    let id = inventory.models.get(&*r.name).map_or(ModelId(FIRST_IMPORTED_MODEL), |m| m.id);
                    scope.models.insert(&r.name, r.to_model(id));
                }
                Row::SecurityProfile(r) => {
                    scope.profiles.insert(&r.name, r);
                }
                Row::CommonPhoneProfile(r) => {
                    scope.commons.insert(&r.name);
                }
                Row::ApplicationUser(r) => {
                    scope.users.insert(r.id.as_str(), (Kind::ApplicationUser, r));
                }
                Row::EndUser(r) => {
                    scope.users.insert(r.id.as_str(), (Kind::EndUser, r));
                }
                Row::Line(r) => {
                    scope.lines.insert(r.dn.as_str());
                }
                Row::Phone(r) => {
                    scope.phones.insert(r.name.as_str(), r);
                }
                Row::Certificate(r) => {
                    scope.certified.extend(r.phone.iter().map(DeviceName::as_str));
                }
                Row::EnterprisePhone(_) | Row::SipRealm(_) | Row::TrunkSecurityProfile(_) | Row::Trunk(_) => {
                }
                Row::Package(r) => scope.packed.extend(r.types.iter().map(|t| &**t)),
            }
        }
        for row in rows {
            if let Row::Phone(r) = row {
                let last = scope.phones.get(r.name.as_str()).is_some_and(|p| std::ptr::eq(*p, &**r));
                if let Some(user) = r.digest_user.as_ref().filter(|_| last) {
                    scope.holders.entry(user.as_str()).or_insert(&r.name);
                }
                if let (Login::In(user), true) = (&r.em_user, last) {
                    scope.logins.entry(user.as_str()).or_insert(&r.name);
                }
            }
        }
        scope
    }

    fn model(&self, name: &str) -> Option<&Model> {
        builtin(name).or_else(|| self.models.get(name)).or_else(|| self.inventory.model(name))
    }

    fn has_phone(&self, name: &DeviceName) -> bool {
        self.phones.contains_key(name.as_str()) || self.inventory.names.contains_key(name)
    }

    fn check_model(&self, row: &PhoneModelRow) -> Result<(), RowError> {
        if builtin(&row.name).is_some() {
            return Err(RowError::ModelBuiltin { name: row.name.to_string() });
        }
        // A row that says what the package said changes nothing, as when an export is imported again.
        let same = |old: &Model| row.to_model(old.id) == *old;
        if let Some(package) = self.inventory.package_of(&row.name)
            && !self.packed.contains(&*row.name)
            && !self.inventory.models.get(&row.name).is_some_and(|old| same(old))
        {
            let (name, package) = (row.name.to_string(), package.name.to_string());
            return Err(RowError::ModelOfPackage { name, package });
        }
        for protocol in row.protocols.iter() {
            let name = predefined_name(&row.name, protocol);
            if self.inventory.profile_names.contains_key(&*name) {
                let reason =
                    format!("a profile bears the name `{name}` of its predefined one; rename that first");
                return Err(RowError::Model { name: row.name.to_string(), reason });
            }
        }
        let Some(old) = self.inventory.models.get(&*row.name) else { return Ok(()) };
        let new = row.to_model(old.id);
        let lost = old.protocols.iter().any(|p| !new.protocols.has(p))
            || old.capabilities.iter().any(|c| !new.can(c))
            || old.vendor_class != new.vendor_class;
        let profiles = self.inventory.profiles.values().filter(|e| *e.profile.model == *row.name).count();
        if lost && profiles > 0 {
            let by =
                format!("{}; only protocols and capabilities may be added", counted(profiles, "profile"));
            return Err(RowError::InUse { kind: Kind::PhoneModel, name: row.name.to_string(), by });
        }
        Ok(())
    }

    fn check_profile(
        &self,
        row: &SecurityProfileRow,
        warn: &mut dyn FnMut(WarningCode),
    ) -> Result<(), RowError> {
        let (settings, model, protocol) = self.settings_of(row)?;
        if settings.device_security_mode != DeviceSecurityMode::NonSecure
            && self.parameters.cluster_security_mode == ClusterMode::NonSecure
        {
            warn(WarningCode::ClusterNonSecure);
        }
        if options(model, protocol).has(Field::TftpEncryptedConfig)
            && settings.digest_authentication
            && !settings.tftp_encrypted_config
            && !settings.exclude_digest_credentials
        {
            warn(WarningCode::CredentialsInPlainFile);
        }
        if row.capf_authentication_mode == Some(CapfMode::NullString) {
            warn(WarningCode::NullString);
        }
        let keys = key_remarks(&settings, model, protocol);
        if let Some(bits) = keys.weak {
            if self.parameters.weak_keys == Policy::Refuse {
                return Err(RowError::WeakKey { name: row.name.to_string(), bits });
            }
            warn(WarningCode::WeakRsaKey);
        }
        if keys.long.is_some() {
            warn(WarningCode::LongRsaKey);
        }
        if keys.file_needs_rsa {
            warn(WarningCode::EncryptedConfigNeedsRsa);
        }
        Ok(())
    }

    /// Settings, model and protocol of a profile of the file.
    fn settings_of(&self, row: &SecurityProfileRow) -> Result<(ProfileSettings, &Model, Protocol), RowError> {
        let name = || row.name.to_string();
        if let Some((model, _)) = split_predefined_name(&row.name)
            && self.model(model).is_some()
        {
            return Err(RowError::ProfilePredefined { name: name() });
        }
        let Some(model) = self.model(&row.model) else {
            return Err(RowError::ReferenceMissing {
                by: format!("security profile `{}`", row.name),
                kind: Kind::PhoneModel.as_str(),
                name: shorten(&row.model),
            });
        };
        let protocol = row.protocol.unwrap_or_else(|| model.protocols.default_protocol());
        if let Some(id) = self.inventory.profile_names.get(&*row.name)
            && let Some(old) = self.inventory.profiles.get(id).map(|e| &e.profile)
            && (old.model != *row.model || old.protocol != protocol)
        {
            return Err(RowError::ProfileIdentity {
                name: name(),
                model: old.model.clone(),
                protocol: old.protocol,
            });
        }
        let settings = resolve(&row.fields(), model, protocol)
            .map_err(|error| RowError::Profile { name: name(), error })?;
        Ok((settings, model, protocol))
    }

    fn check_phone(
        &self,
        row: &PhoneRow,
        forced: bool,
        has_certificate: &dyn Fn(&DeviceName) -> bool,
        warn: &mut dyn FnMut(WarningCode),
    ) -> Result<(), RowError> {
        let missing = |kind: &'static str, name: &str| RowError::ReferenceMissing {
            by: format!("phone {}", row.name),
            kind,
            name: shorten(name),
        };
        let model = self.model(&row.model).ok_or_else(|| missing(Kind::PhoneModel.as_str(), &row.model))?;
        let protocol = row.protocol.unwrap_or_else(|| model.protocols.default_protocol());
        if !model.protocols.has(protocol) {
            let (phone, model) = (row.name.to_string(), row.model.to_string());
            return Err(RowError::PhoneProtocol { phone, model, protocol });
        }
        let line = row
            .lines
            .iter()
            .find(|l| !self.lines.contains(l.as_str()) && !self.inventory.lines.contains_key(l.as_str()));
        if let Some(line) = line {
            return Err(missing(Kind::Line.as_str(), line.as_str()));
        }
        if let Some(name) = &row.common_phone_profile
            && !self.commons.contains(&**name)
            && !self.inventory.commons.contains_key(name)
        {
            return Err(missing(Kind::CommonPhoneProfile.as_str(), name));
        }
        if let Some(switch) = meaningless(model, &row.hardening) {
            let (phone, model) = (row.name.to_string(), row.model.to_string());
            return Err(RowError::SwitchMeaningless { phone, model, switch });
        }
        advice(&row.hardening).for_each(|a| warn(a.into()));
        if !self.inventory.names.contains_key(&row.name)
            && model.fact(Topic::EndOfMaintenance).value == Some(true)
        {
            warn(WarningCode::EndOfMaintenance);
        }
        if let Some(user) = &row.digest_user {
            self.check_digest_user(row, user)?;
        }
        let (settings, profile_model, profile_protocol) = match &row.security_profile {
            None => {
                self.check_login(row, false)?;
                let settings = predefined(model, protocol).map(|p| p.settings);
                return settings
                    .map_or(Ok(()), |s| self.check_capf(row, model, &s, forced, has_certificate, warn));
            }
            Some(name) => {
                self.profile_for_phone(name).ok_or_else(|| missing(Kind::SecurityProfile.as_str(), name))?
            }
        };
        if profile_model != *model.name || profile_protocol != protocol {
            return Err(RowError::ProfileOfOtherModel {
                phone: row.name.to_string(),
                model: row.model.to_string(),
                protocol,
                profile: row.security_profile.as_deref().unwrap_or_default().to_owned(),
                profile_model,
                profile_protocol,
            });
        }
        let Some(settings) = settings else { return Ok(()) };
        self.check_login(row, settings.digest_authentication)?;
        if settings.digest_authentication && row.digest_user.is_none() && !self.somebody_in(row) {
            warn(WarningCode::DigestWithoutUser);
        }
        let needs_certificate = is_secure(&settings)
            && !settings.oauth_authentication
            && model.tls_certificate == TlsCertificate::PerDevice;
        if needs_certificate && !self.is_certified(&row.name) && !has_certificate(&row.name) {
            if !forced && self.parameters.certificate_before_secure_profile == Policy::Refuse {
                return Err(RowError::NoKnownCertificate { phone: row.name.to_string() });
            }
            warn(WarningCode::NoKnownCertificate);
        }
        self.check_capf(row, model, &settings, forced, has_certificate, warn)
    }

    /// An operation needs a model that has CAPF (R054), the settings that its mode works with (R105), and a
    /// known certificate where one is to prove the phone (R214).
    fn check_capf(
        &self,
        row: &PhoneRow,
        model: &Model,
        settings: &ProfileSettings,
        forced: bool,
        has_certificate: &dyn Fn(&DeviceName) -> bool,
        warn: &mut dyn FnMut(WarningCode),
    ) -> Result<(), RowError> {
        let Some(capf) = row.capf.as_ref().filter(|c| c.operation != CapfOperation::None) else {
            return Ok(());
        };
        let phone = row.name.to_string();
        if !PhoneOptions::of(model).capf_operations.contains(&capf.operation) {
            return Err(RowError::CapfUnsupported { phone, model: row.model.to_string() });
        }
        if by_certificate(settings) && !self.is_certified(&row.name) && !has_certificate(&row.name) {
            if !forced {
                return Err(RowError::CapfCertificateUnknown { phone });
            }
            warn(WarningCode::CapfCertificateUnknown);
        }
        match settings.capf_authentication_mode {
            CapfMode::AuthenticationString => {
                let stored = self.inventory.names.get(&row.name).and_then(|i| self.inventory.phone(*i));
                let stored = stored.and_then(|p| p.extra.as_ref()).is_some_and(|e| e.capf_string.is_some());
                if !capf.authentication_string.leaves_one(stored) {
                    return Err(RowError::CapfSettingsMissing { phone });
                }
            }
            CapfMode::NullString => warn(WarningCode::NullString),
            CapfMode::ExistingCertificateLsc | CapfMode::ExistingCertificateMic => {}
        }
        Ok(())
    }

    fn is_certified(&self, phone: &DeviceName) -> bool {
        self.certified.contains(phone.as_str()) || self.inventory.phone_certificates.contains_key(phone)
    }

    /// Settings (none when the profile's own row is refused), model and protocol of a profile.
    fn profile_for_phone(&self, name: &str) -> Option<(Option<ProfileSettings>, String, Protocol)> {
        let of = |p: &SecurityProfile| (Some(p.settings.clone()), p.model.clone(), p.protocol);
        if let Some(row) = self.profiles.get(name) {
            return Some(match self.settings_of(row) {
                Ok((settings, model, protocol)) => (Some(settings), model.name.to_string(), protocol),
                Err(_) => (None, row.model.to_string(), row.protocol.unwrap_or_default()),
            });
        }
        if let Some(id) = self.inventory.profile_names.get(name) {
            return self.inventory.profiles.get(id).map(|e| of(&e.profile));
        }
        let (model, protocol) = split_predefined_name(name)?;
        predefined(self.model(model)?, protocol).map(|p| of(&p))
    }

    fn check_certificate(&self, row: &CertificateRow) -> Result<(), RowError> {
        let Some(facts) = &row.facts else { return Err(RowError::CertificateUnread) };
        if let Some(given) = row.subject.as_ref().filter(|s| **s != facts.subject) {
            let (given, found) = (given.to_string(), facts.subject.to_string());
            return Err(RowError::CertificateSubject { given, found });
        }
        match &row.phone {
            Some(phone) if !self.has_phone(phone) => Err(RowError::ReferenceMissing {
                by: "certificate".to_owned(),
                kind: Kind::Phone.as_str(),
                name: phone.to_string(),
            }),
            // R071: the type's supplier says which mode its phones have.
            Some(phone) if row.purpose == Purpose::VendorTrust => match self.model_of(phone) {
                Some(model) if model.tls_certificate == TlsCertificate::Shared => {
                    let (phone, model) = (phone.to_string(), model.name.to_string());
                    Err(RowError::CertificateMode { phone, model })
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The model of a phone of the file, or of the inventory.
    fn model_of(&self, phone: &DeviceName) -> Option<&Model> {
        match self.phones.get(phone.as_str()) {
            Some(row) => self.model(&row.model),
            None => {
                let index = self.inventory.names.get(phone)?;
                self.inventory.model_by_id(self.inventory.phone(*index)?.model)
            }
        }
    }
}
