//! Whom a change touches, and the comparison of before and after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::class::{LegFacts, class_of_call};
use crate::hardening;
use crate::identity::ShownCertificate;
use crate::ids::{DeviceIndex, DeviceName, Dn, UnixMillis, UserId};
use crate::inventory::{Change, Event, Inventory, PhoneView, Purpose, Secret, Switch};
use crate::mode::{DeviceSecurityMode, SecurityClass, SuiteKind};
use crate::profile::ProfileSettings;

use super::fate::newest;
use super::keys::Keys;
use super::{
    CallLoss, Failure, Fate, Impact, Knows, Live, LivePhone, MixedLine, ModeChange, fate, lines, notes,
};

/// Whom a change touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Phones, and whether the change has to be applied to them before it acts.
    phones: BTreeMap<DeviceIndex, bool>,
    /// A parameter or an authority: any phone may be touched.
    everybody: bool,
    /// Trust stores change.
    trust: bool,
    /// Hardening switches change.
    web: bool,
    /// The TLS menu changes.
    menu: bool,
    /// Users whose credentials may change.
    users: BTreeSet<UserId>,
    /// A phone that names its common phone profile.
    commons: BTreeSet<String>,
}

impl Scope {
    /// Reads off the changes whom they touch; `inventory` is as it is with them done.
    pub fn of(inventory: &Inventory, changes: &[Change]) -> Self {
        let mut scope = Self::default();
        for change in changes {
            let Change::Publish(event) = change else { continue };
            match event {
                Event::ProfileSaved { id, needs_apply, .. } => {
                    for index in inventory.device_indexes_of(*id) {
                        scope.touch(index, *needs_apply);
                    }
                }
                Event::DeviceChanged { index, assigned, .. } => {
                    scope.touch(*index, *assigned);
                    scope.web = true;
                }
                Event::DeviceRemoved { index, .. } => scope.touch(*index, false),
                Event::ModelChanged(model) => {
                    for index in inventory.device_indexes_of_model(model) {
                        scope.touch(index, false);
                    }
                }
                Event::UserChanged { id, .. } => {
                    scope.users.insert(id.clone());
                    for index in inventory.devices_with_user(id.as_str()) {
                        scope.touch(index, false);
                    }
                }
                Event::ParameterChanged(name) => match *name {
                    "cluster_security_mode" | "mic_tls_policy" => scope.everybody = true,
                    "tls_ciphers" => (scope.everybody, scope.menu) = (true, true),
                    _ => {}
                },
                Event::CertificateChanged { purpose, phone, .. } => match (purpose, phone) {
                    (Purpose::CallManagerTrust | Purpose::CapfTrust, _) | (Purpose::VendorTrust, None) => {
                        (scope.everybody, scope.trust) = (true, true);
                    }
                    (Purpose::VendorTrust, Some(phone)) => {
                        scope.trust = true;
                        if let Some(index) = inventory.device_index(phone) {
                            scope.touch(index, false);
                        }
                    }
                    (Purpose::PhoneSastTrust | Purpose::TrunkTrust | Purpose::PackageTrust, _) => {}
                },
                Event::CommonPhoneProfileChanged(name) => {
                    scope.web = true;
                    scope.commons.insert(name.clone());
                    for index in inventory.devices_of_common(name) {
                        scope.touch(index, false);
                    }
                }
                Event::EnterprisePhoneChanged => (scope.everybody, scope.web) = (true, true),
                _ => {}
            }
        }
        scope
    }

    fn touch(&mut self, index: DeviceIndex, applies: bool) {
        *self.phones.entry(index).or_default() |= applies;
    }

    /// The change touches no phone.
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty() && !self.everybody
    }

    /// All phones in question, and whether the change is to be applied to them.
    fn each<'a>(&'a self, inventory: &'a Inventory) -> Box<dyn Iterator<Item = (DeviceIndex, bool)> + 'a> {
        if !self.everybody {
            return Box::new(self.phones.iter().map(|(index, applies)| (*index, *applies)));
        }
        let applies = |index: DeviceIndex| self.phones.get(&index).copied().unwrap_or_default();
        // Removed ones have no place in the inventory any more.
        let gone = self.phones.keys().filter(|i| inventory.phone_view(**i).is_none()).map(|i| (*i, false));
        Box::new(inventory.device_indexes().map(move |i| (i, applies(i))).chain(gone))
    }
}

/// One phone before the change.
struct Was {
    name: DeviceName,
    mode: DeviceSecurityMode,
    fate: Fate,
    user: Option<UserId>,
    web_off: bool,
    keys: Keys,
}

/// The state before a change, as far as the change touches it.
pub struct Before<'a> {
    scope: &'a Scope,
    live: &'a dyn Live,
    now: UnixMillis,
    phones: HashMap<DeviceIndex, Was>,
    secrets: BTreeMap<UserId, Option<Secret>>,
    /// Offending devices of the shared lines that are mixed already.
    mixed: BTreeMap<Dn, u64>,
}

impl std::fmt::Debug for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Before({} phones)", self.phones.len())
    }
}

impl<'a> Before<'a> {
    /// Looks at what a change touches, before it.
    pub fn take(inventory: &Inventory, scope: &'a Scope, live: &'a dyn Live, now: UnixMillis) -> Self {
        let mut before = Self {
            scope,
            live,
            now,
            phones: HashMap::new(),
            secrets: BTreeMap::new(),
            mixed: BTreeMap::new(),
        };
        for id in &scope.users {
            before.secrets.insert(id.clone(), inventory.user(id.as_str()).and_then(|u| u.credentials));
        }
        let mut shared = BTreeSet::new();
        for (index, _) in scope.each(inventory) {
            let Some(phone) = inventory.phone_view(index) else { continue };
            let known = live.phone(index);
            let settings = settings_of(&phone, known.as_ref(), false);
            let chain = |shown: &ShownCertificate| shown.chain;
            let fate = known.as_ref().map_or(Fate::NotRegistered, |known| {
                fate(inventory, &phone, known, &settings, &chain, Knows::Right, now)
            });
            shared.extend(lines::shared(inventory, phone.lines.iter()));
            let was = Was {
                name: phone.name.clone(),
                mode: settings.device_security_mode,
                fate,
                user: phone.em_user.or(phone.digest_user).cloned(),
                web_off: scope.web && web_off(inventory, &phone),
                keys: Keys::of(&phone),
            };
            before.phones.insert(index, was);
        }
        for line in shared {
            if let Some(mixed) = lines::mixed(inventory, &line) {
                before.mixed.insert(line, mixed.offending.count);
            }
        }
        before
    }

    /// Compares with the state after the change.
    pub fn compare(&self, inventory: &Inventory) -> Impact {
        let mut impact = Impact::default();
        let trusted: Vec<_> =
            if self.scope.trust { inventory.all_certificates().cloned().collect() } else { Vec::new() };
        let rejudged = self.scope.trust.then(|| self.live.chains(&trusted));
        let chain = |shown: &ShownCertificate| match &rejudged {
            Some(judge) => judge(shown),
            None => shown.chain,
        };
        let menu = inventory.parameters().tls_ciphers;
        let integrity_only = !crate::cipher::TlsCiphers::from(menu).integrity_only().is_empty();
        let mut shared = BTreeSet::new();
        for (index, applies) in self.scope.each(inventory) {
            impact.phones += 1;
            let was = self.phones.get(&index);
            let registered = was.is_some_and(|w| w.fate != Fate::NotRegistered);
            impact.registered += u64::from(registered);
            let Some(phone) = inventory.phone_view(index) else {
                if let Some(was) = was.filter(|_| registered) {
                    impact.fails(&was.name, "phone_removed", "the phone is deleted");
                }
                continue;
            };
            shared.extend(lines::shared(inventory, phone.lines.iter()));
            let known = self.live.phone(index);
            let settings = settings_of(&phone, known.as_ref(), applies);
            let mode = settings.device_security_mode;
            if let Some(was) = was.filter(|w| w.mode != mode) {
                let (from, to) = (was.mode, mode);
                impact.mode_changes.add(|| ModeChange { phone: phone.name.clone(), from, to });
            }
            if self.scope.web && web_off(inventory, &phone) && was.is_some_and(|w| !w.web_off) {
                impact.web_access_off.add(|| phone.name.clone());
            }
            Keys::of(&phone).tell(was.map(|w| w.keys), &phone, &mut impact);
            let no_suite = mode == DeviceSecurityMode::Authenticated && !integrity_only;
            let newly = self.scope.menu || was.is_none_or(|w| w.mode != mode);
            if no_suite && newly {
                impact.cipher_policy.add(|| phone.name.clone());
            }
            let (Some(was), Some(known)) = (was, known) else { continue };
            let knows = self.knows(inventory, &phone, was);
            let after = fate(inventory, &phone, &known, &settings, &chain, knows, self.now);
            let suite = newest(&known, self.now).map(|b| b.origin.peer.suite_kind);
            match after {
                // What served before and does not now.
                Fate::Refused(cause) if was.fate != after => {
                    impact.fails(phone.name, cause.as_str(), cause.text());
                }
                Fate::Asked if was.fate != after => impact.asked_for_digest.add(|| phone.name.clone()),
                Fate::Unknown => impact.unknown.add(|| phone.name.clone()),
                // Admission never sees it: no suite is left for its handshake.
                Fate::Admitted if no_suite && newly && suite == Some(SuiteKind::IntegrityOnly) => {
                    impact.fails(
                        phone.name,
                        "cipher_policy",
                        "the TLS menu has no suite for authenticated mode",
                    );
                }
                _ => {}
            }
        }
        for line in shared {
            let Some(mixed) = lines::mixed(inventory, &line) else { continue };
            let more = self.mixed.get(&line).is_none_or(|before| mixed.offending.count > *before);
            if more {
                impact.mixed_lines.add(|| mixed);
            }
        }
        self.calls(inventory, &mut impact);
        impact.notes = notes::of(&impact);
        impact
    }

    /// What the credentials are worth that the phone has from before the change.
    fn knows(&self, inventory: &Inventory, phone: &PhoneView<'_>, was: &Was) -> Knows {
        let user = phone.em_user.or(phone.digest_user);
        let Some(had) = &was.user else { return Knows::Wrong };
        let now = || inventory.user(had.as_str()).and_then(|u| u.credentials);
        if self.secrets.get(had).is_some_and(|before| *before != now()) {
            return Knows::Wrong;
        }
        if user == Some(had) { Knows::Right } else { Knows::OtherUser }
    }

    fn calls(&self, inventory: &Inventory, impact: &mut Impact) {
        if self.scope.is_empty() {
            return;
        }
        let cluster = inventory.parameters().cluster_security_mode;
        self.live.calls(&mut |call| {
            let touched = |leg: &LegFacts| {
                let index = inventory.device_index(&leg.device)?;
                let applies = self.scope.phones.get(&index).copied();
                (self.scope.everybody || applies.is_some()).then(|| (index, applies.unwrap_or_default()))
            };
            if !call.legs.iter().any(|leg| touched(leg).is_some()) {
                return;
            }
            let after: Vec<LegFacts> = call
                .legs
                .iter()
                .map(|leg| {
                    let Some((index, applies)) = touched(leg) else { return leg.clone() };
                    let Some(phone) = inventory.phone_view(index) else { return leg.clone() };
                    let settings = settings_of(&phone, self.live.phone(index).as_ref(), applies);
                    LegFacts {
                        trusted: phone.model.trusted,
                        profile: phone.profile.name.as_str().into(),
                        applied_mode: settings.device_security_mode,
                        digest_authentication: settings.digest_authentication,
                        cluster,
                        ..leg.clone()
                    }
                })
                .collect();
            let (from, to) = (class_of_call(call.legs), class_of_call(&after));
            if from.class > SecurityClass::NonSecure && to.class < from.class {
                let at = to.legs.iter().filter(|leg| leg.class == to.class);
                let devices = at.map(|leg| leg.device.clone()).collect();
                let (from, to) = (from.class, to.class);
                impact.calls_losing_class.add(|| CallLoss { call: call.call.to_owned(), from, to, devices });
            }
        });
    }
}

impl Impact {
    fn fails(&mut self, phone: &DeviceName, cause: &'static str, text: &'static str) {
        *self.would_fail_by_cause.entry(cause).or_default() += 1;
        self.would_fail.add(|| Failure { phone: phone.clone(), cause, text });
    }
}

/// Shared lines that are mixed now, of the phones that a change touches; none when these are more than `most`.
pub fn mixed_now(inventory: &Inventory, scope: &Scope, most: usize) -> Vec<MixedLine> {
    if scope.everybody || scope.phones.len() > most {
        return Vec::new();
    }
    let phones = scope.phones.keys().filter_map(|index| inventory.phone_view(*index));
    let shared: BTreeSet<Dn> = phones.flat_map(|p| lines::shared(inventory, p.lines.iter())).collect();
    shared.iter().filter_map(|line| lines::mixed(inventory, line)).take(most).collect()
}

/// What a phone is judged by: the saved version of its profile once that is applied, or where nothing is
/// registered; what is applied else.
fn settings_of(phone: &PhoneView<'_>, live: Option<&LivePhone>, applies: bool) -> Arc<ProfileSettings> {
    let now = live.and_then(|l| l.settings.as_ref()).filter(|_| !applies);
    now.map_or_else(|| Arc::new(phone.profile.settings.clone()), Arc::clone)
}

fn web_off(inventory: &Inventory, phone: &PhoneView<'_>) -> bool {
    let common = phone.common_phone_profile.and_then(|name| inventory.common_phone_profile(name));
    let all = hardening::effective(&phone.hardening, common.as_ref(), &inventory.enterprise_phone());
    all.iter().any(|s| s.name == "web_access" && s.value == Switch::Disabled)
}
