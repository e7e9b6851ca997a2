//! Phones that are alike in all that a verdict depends on get one verdict: of a million phones there are few kinds.

use std::collections::HashMap;

use crate::hardening;
use crate::identity::{
    CertificateFault, ChainedTo, Expected, PeerCertificate, Proven, ShownCertificate, prove,
};
use crate::ids::UnixMillis;
use crate::inventory::{Hardening, Inventory, PhoneView, Switch};
use crate::mode::{PeerProof, SuiteKind, Transport};
use crate::model::{ModelId, TlsCertificate, VendorClass};
use crate::profile::ProfileSettings;

use super::fate::newest;
use super::keys::Keys;
use super::{Fate, Knows, LivePhone, fate};

/// All that [`fate`] depends on, of phones of one inventory. What of a certificate counts is what it proves; what
/// of names and lines, whether they fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// Settings by their place in memory: they live as long as the inventory is looked at.
    settings: usize,
    model: ModelId,
    transport: Transport,
    suite: SuiteKind,
    proof: PeerProof,
    shown: bool,
    proves: Option<Result<Proven, CertificateFault>>,
    uploaded: bool,
    own_lines: bool,
    nonce: bool,
    user: bool,
    knows: Knows,
}

/// Verdicts by kind.
pub(super) struct Groups<'a> {
    inventory: &'a Inventory,
    chain: &'a dyn Fn(&ShownCertificate) -> ChainedTo,
    now: UnixMillis,
    last: Option<(Kind, Fate)>,
    known: HashMap<Kind, Fate>,
    keys: HashMap<(usize, ModelId), Keys>,
    last_keys: Option<((usize, ModelId), Keys)>,
    /// Web access by the phone's own switches and its common phone profile; the last answer.
    web: Option<(Hardening, Option<&'a str>, bool)>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        chain: &'a dyn Fn(&ShownCertificate) -> ChainedTo,
        now: UnixMillis,
    ) -> Self {
        let (known, keys) = (HashMap::new(), HashMap::new());
        Self { inventory, chain, now, last: None, known, keys, last_keys: None, web: None }
    }

    /// What stands to be said of the keys of phones with this profile and model.
    pub(super) fn keys(&mut self, phone: &PhoneView<'a>) -> Keys {
        let kind = (std::ptr::from_ref(phone.profile).addr(), phone.model.id);
        if let Some((last, keys)) = self.last_keys
            && last == kind
        {
            return keys;
        }
        let keys = *self.keys.entry(kind).or_insert_with(|| Keys::of(phone));
        self.last_keys = Some((kind, keys));
        keys
    }

    /// Web access of the phone is off.
    pub(super) fn web_off(&mut self, phone: &PhoneView<'a>) -> bool {
        let (own, common) = (phone.hardening, phone.common_phone_profile);
        if let Some((_, _, off)) = self.web.filter(|(last, name, _)| *last == own && *name == common) {
            return off;
        }
        let switches = common.and_then(|name| self.inventory.common_phone_profile(name));
        let all = hardening::effective(&own, switches.as_ref(), &self.inventory.enterprise_phone());
        let off = all.iter().any(|s| s.name == "web_access" && s.value == Switch::Disabled);
        self.web = Some((own, common, off));
        off
    }

    /// [`fate`] of the first phone of its kind, and of all others of it.
    pub(super) fn fate(
        &mut self,
        phone: &PhoneView<'_>,
        live: Option<&LivePhone>,
        settings: &ProfileSettings,
        knows: Knows,
    ) -> Fate {
        let Some((live, kind)) = live.and_then(|live| Some((live, self.kind(phone, live, settings, knows)?)))
        else {
            return Fate::NotRegistered;
        };
        if let Some((last, fate)) = self.last
            && last == kind
        {
            return fate;
        }
        let (inventory, chain, now) = (self.inventory, self.chain, self.now);
        let found = self.known.entry(kind);
        let fate = *found.or_insert_with(|| fate(inventory, phone, live, settings, chain, knows, now));
        self.last = Some((kind, fate));
        fate
    }

    /// `None`: it is not registered.
    fn kind(
        &self,
        phone: &PhoneView<'_>,
        live: &LivePhone,
        settings: &ProfileSettings,
        knows: Knows,
    ) -> Option<Kind> {
        let (row, binding) = (live.row.as_ref()?, newest(live, self.now)?);
        let origin = &binding.origin;
        let transport = origin.flow.transport();
        let uploaded = self.inventory.uploaded_certificate_of(phone.name);
        let proves = live.shown.as_ref().filter(|_| transport == Transport::Tls).map(|shown| {
            let certificate = PeerCertificate { facts: &shown.facts, chain: (self.chain)(shown) };
            let expected = Expected {
                name: phone.name,
                model: &phone.model.name,
                profile_name: &phone.profile.name,
                preferred_vendor: phone.model.vendor_class == VendorClass::Preferred,
                shared_certificate: phone.model.tls_certificate == TlsCertificate::Shared,
                uploaded: uploaded.as_ref(),
            };
            prove(&certificate, &expected)
        });
        let mut bound = row.live(self.now).peekable();
        let own = |line: &str| phone.lines.iter().any(|dn| dn.as_str() == line);
        Some(Kind {
            settings: std::ptr::from_ref(settings).addr(),
            model: phone.model.id,
            transport,
            suite: origin.peer.suite_kind,
            proof: origin.peer.proof,
            shown: live.shown.is_some(),
            proves,
            uploaded: uploaded.is_some(),
            own_lines: bound.peek().is_some() && bound.all(|b| own(b.line.as_str())),
            nonce: origin.nonce.is_some(),
            user: phone.em_user.or(phone.digest_user).is_some(),
            knows,
        })
    }
}
