//! The comparison of before and after, slice by slice.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::class::{LegFacts, class_of_call};
use crate::identity::ShownCertificate;
use crate::ids::{DeviceIndex, DeviceName, Dn, UnixMillis, UserId};
use crate::inventory::{Inventory, PhoneView, Policy, Secret};
use crate::mode::{DeviceSecurityMode, SecurityClass, SuiteKind};
use crate::profile::ProfileSettings;

use super::fate::newest;
use super::groups::Groups;
use super::keys::Keys;
use super::{
    CallLoss, Failure, Fate, Impact, Knows, Live, LivePhone, ModeChange, Scope, Slice, lines, notes,
};

/// What slices have found so far.
#[derive(Debug, Default)]
pub struct Progress {
    impact: Impact,
    /// Shared lines that were judged.
    lines: BTreeSet<Dn>,
}

impl Progress {
    /// The answer, once all slices were compared.
    pub fn done(self) -> Impact {
        let mut impact = self.impact;
        impact.notes = notes::of(&impact);
        impact
    }
}

/// What may change of a phone that is touched by itself.
struct Single {
    name: DeviceName,
    user: Option<UserId>,
}

/// One phone before the change.
struct Was {
    mode: DeviceSecurityMode,
    fate: Fate,
    web_off: bool,
    keys: Keys,
    /// Its shared lines, where they may become mixed by the change.
    shared: SmallVec<[Dn; 1]>,
    single: Option<Box<Single>>,
}

/// A phone of the slice: its number, what it was, and what is known of it now.
type Member = (DeviceIndex, Option<Was>, Option<LivePhone>);

/// The state before a change, of one slice of the phones that it touches.
pub struct Before<'a> {
    scope: &'a Scope,
    slice: Slice,
    live: &'a dyn Live,
    now: UnixMillis,
    phones: Vec<Member>,
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
    pub fn take(
        inventory: &Inventory,
        scope: &'a Scope,
        slice: Slice,
        live: &'a dyn Live,
        now: UnixMillis,
        progress: &Progress,
    ) -> Self {
        let secret = |id: &UserId| inventory.user(id.as_str()).and_then(|u| u.credentials);
        let secrets = scope.users.iter().map(|id| (id.clone(), secret(id))).collect();
        let chain = |shown: &ShownCertificate| shown.chain;
        let mut groups = Groups::new(inventory, &chain, now);
        let mut shared: BTreeSet<Dn> = BTreeSet::new();
        let look = |index: DeviceIndex| -> Member {
            let Some(phone) = inventory.phone_view(index) else { return (index, None, None) };
            let known = live.phone(index);
            let settings = settings_of(&phone, known.as_ref(), false);
            let single = scope.is_single(index).then(|| {
                let user = phone.em_user.or(phone.digest_user).cloned();
                Box::new(Single { name: phone.name.clone(), user })
            });
            let lines: SmallVec<[Dn; 1]> = match single.is_some() || scope.changes_mode(&phone) {
                true => lines::shared(inventory, phone.lines.iter()).into_iter().collect(),
                false => SmallVec::new(),
            };
            shared.extend(lines.iter().filter(|line| !progress.lines.contains(*line)).cloned());
            let was = Was {
                mode: settings.device_security_mode,
                fate: groups.fate(&phone, known.as_ref(), settings, Knows::Right),
                web_off: scope.web && groups.web_off(&phone),
                keys: groups.keys(&phone),
                shared: lines,
                single,
            };
            (index, Some(was), known)
        };
        let phones = scope.members(inventory, slice).into_iter().map(look).collect();
        let mixed = shared.into_iter().filter_map(|line| {
            let count = lines::mixed(inventory, &line)?.offending.count;
            Some((line, count))
        });
        let mixed = mixed.collect();
        Self { scope, slice, live, now, phones, secrets, mixed }
    }

    /// Compares with the state after the change.
    pub fn compare(&self, inventory: &Inventory, progress: &mut Progress) {
        let Progress { impact, lines: judged } = progress;
        let trusted: Vec<_> =
            if self.scope.trust { inventory.all_certificates().cloned().collect() } else { Vec::new() };
        let refuse_expired = inventory.parameters().expired_crl_policy == Policy::Refuse;
        let rejudged = self.scope.trust.then(|| self.live.chains(&trusted, refuse_expired));
        let chain = |shown: &ShownCertificate| match &rejudged {
            Some(judge) => judge(shown),
            None => shown.chain,
        };
        let mut groups = Groups::new(inventory, &chain, self.now);
        let menu = inventory.parameters().tls_ciphers;
        let integrity_only = !crate::cipher::TlsCiphers::from(menu).integrity_only().is_empty();
        let mut shared: BTreeSet<Dn> = BTreeSet::new();
        for (index, was, known) in &self.phones {
            impact.phones += 1;
            let was = was.as_ref();
            let single = was.and_then(|w| w.single.as_deref());
            let registered = was.is_some_and(|w| w.fate != Fate::NotRegistered);
            impact.registered += u64::from(registered);
            let Some(phone) = inventory.phone_view(*index) else {
                if let Some(single) = single.filter(|_| registered) {
                    impact.fails(&single.name, "phone_removed", "the phone is deleted");
                }
                continue;
            };
            if self.scope.is_single(*index) {
                shared.extend(lines::shared(inventory, phone.lines.iter()));
            } else if let Some(was) = was {
                shared.extend(was.shared.iter().cloned());
            }
            // One that is new may be known by the boards all the same.
            let new = was.is_none().then(|| self.live.phone(*index)).flatten();
            let known = known.as_ref().or(new.as_ref());
            let applies = self.scope.applies(&phone).unwrap_or_default();
            let settings = settings_of(&phone, known, applies);
            let mode = settings.device_security_mode;
            if let Some(was) = was.filter(|w| w.mode != mode) {
                let (from, to) = (was.mode, mode);
                impact.mode_changes.add(|| ModeChange { phone: phone.name.clone(), from, to });
            }
            if self.scope.web && was.is_some_and(|w| !w.web_off) && groups.web_off(&phone) {
                impact.web_access_off.add(|| phone.name.clone());
            }
            groups.keys(&phone).tell(was.map(|w| w.keys), &phone, impact);
            let no_suite = mode == DeviceSecurityMode::Authenticated && !integrity_only;
            let newly = self.scope.menu || was.is_none_or(|w| w.mode != mode);
            if no_suite && newly {
                impact.cipher_policy.add(|| phone.name.clone());
            }
            let (Some(was), Some(known)) = (was, known) else { continue };
            let knows = self.knows(inventory, &phone, single);
            let after = groups.fate(&phone, Some(known), settings, knows);
            match after {
                // What served before and does not now.
                Fate::Refused(cause) if was.fate != after => {
                    impact.fails(phone.name, cause.as_str(), cause.text());
                }
                Fate::Asked if was.fate != after => impact.asked_for_digest.add(|| phone.name.clone()),
                Fate::Unknown => impact.unknown.add(|| phone.name.clone()),
                // Admission never sees it: no suite is left for its handshake.
                Fate::Admitted if no_suite && newly => {
                    let suite = newest(known, self.now).map(|b| b.origin.peer.suite_kind);
                    if suite == Some(SuiteKind::IntegrityOnly) {
                        let text = "the TLS menu has no suite for authenticated mode";
                        impact.fails(phone.name, "cipher_policy", text);
                    }
                }
                _ => {}
            }
        }
        for line in shared {
            if judged.contains(&line) {
                continue;
            }
            if let Some(mixed) = lines::mixed(inventory, &line)
                && self.mixed.get(&line).is_none_or(|before| mixed.offending.count > *before)
            {
                impact.mixed_lines.add(|| mixed);
            }
            judged.insert(line);
        }
        if self.slice.is_last() {
            self.calls(inventory, impact);
        }
    }

    /// What the credentials are worth that the phone has from before the change. Users and their credentials
    /// change only of phones that are touched by themselves.
    fn knows(&self, inventory: &Inventory, phone: &PhoneView<'_>, single: Option<&Single>) -> Knows {
        let user = phone.em_user.or(phone.digest_user);
        let Some(single) = single else { return if user.is_some() { Knows::Right } else { Knows::Wrong } };
        let Some(had) = &single.user else { return Knows::Wrong };
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
                Some((index, self.scope.applies(&inventory.phone_view(index)?)?))
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
                    let known = self.live.phone(index);
                    let settings = settings_of(&phone, known.as_ref(), applies);
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

/// What a phone is judged by: the saved version of its profile once that is applied, or where nothing is
/// registered; what is applied else.
fn settings_of<'a>(phone: &PhoneView<'a>, live: Option<&'a LivePhone>, applies: bool) -> &'a ProfileSettings {
    let now = live.and_then(|l| l.settings.as_deref()).filter(|_| !applies);
    now.unwrap_or(&phone.profile.settings)
}
