//! What the sources say of the built-in models, by family and then of single ones. Sources are the
//! project's requirements (Rnnn) and the references `sccp.md` and `provisioning.md` by section; what
//! they do not say is left out.

use super::super::{Capabilities, Model, Protocols, VendorClass, builtin};
use super::{Certainty, Fact, Topic};

/// A fact of a table.
pub(in crate::model) struct Known {
    topic: Topic,
    value: bool,
    source: &'static str,
    certainty: Certainty,
}

const fn documented(topic: Topic, value: bool, source: &'static str) -> Known {
    Known { topic, value, source, certainty: Certainty::Documented }
}

const fn family(topic: Topic, value: bool, source: &'static str) -> Known {
    Known { topic, value, source, certainty: Certainty::Family }
}

/// What the models of one family have in common.
pub(in crate::model) struct Family {
    pub(in crate::model) vendor_class: VendorClass,
    facts: &'static [&'static [Known]],
}

impl Family {
    /// The capabilities that the facts give: those whose value is yes.
    pub(in crate::model) const fn capabilities(&self) -> Capabilities {
        let mut set = Capabilities::NONE;
        let mut part = 0;
        while part < self.facts.len() {
            let facts = self.facts[part];
            let mut i = 0;
            while i < facts.len() {
                if facts[i].value
                    && let Some(capability) = facts[i].topic.capability()
                {
                    set = set.with(capability);
                }
                i += 1;
            }
            part += 1;
        }
        set
    }

    /// Trusted, if a fact says so (R041).
    pub(in crate::model) const fn trusted(&self) -> bool {
        let mut part = 0;
        while part < self.facts.len() {
            let facts = self.facts[part];
            let mut i = 0;
            while i < facts.len() {
                if matches!(facts[i].topic, Topic::Trusted) && facts[i].value {
                    return true;
                }
                i += 1;
            }
            part += 1;
        }
        false
    }

    fn find(&self, topic: Topic) -> Option<&'static Known> {
        self.facts.iter().flat_map(|part| part.iter()).find(|known| known.topic == topic)
    }
}

/// Own-brand desk phones in general: the category that supports security (R050).
const SECURE_DESK: &[Known] = &[
    family(Topic::Trusted, true, "R039, R050"),
    family(Topic::Tls, true, "provisioning.md §6 (deviceSecurityMode)"),
    family(Topic::DeviceSecurityMode, true, "provisioning.md §6 (deviceSecurityMode)"),
    family(Topic::SecurityAuthentication, true, "provisioning.md §6 (deviceSecurityMode 2)"),
    family(Topic::SecurityEncryption, true, "provisioning.md §6 (deviceSecurityMode 3)"),
    family(Topic::Srtp, true, "provisioning.md §6 (deviceSecurityMode 3)"),
    family(Topic::SecurityIcon, true, "R058, provisioning.md §7.3"),
];

/// Models that the table of encrypted files names: it wraps the key with the phone's LSC or MIC.
const IN_TABLE: &[Known] = &[
    documented(Topic::EncryptedConfig, true, "provisioning.md §2.4"),
    documented(Topic::Mic, true, "provisioning.md §2.4, R051"),
    documented(Topic::Capf, true, "provisioning.md §2.4, R051"),
];

/// Variants of models that the table names.
const LIKE_TABLE: &[Known] = &[
    family(Topic::EncryptedConfig, true, "provisioning.md §2.4"),
    family(Topic::Mic, true, "provisioning.md §2.4, R051"),
    family(Topic::Capf, true, "provisioning.md §2.4, R051"),
];

const TYPED_IN: &[Known] = &[
    documented(Topic::ManualDigest, true, "R063, R170"),
    documented(Topic::ManualConfigKey, true, "provisioning.md §2.4"),
    documented(Topic::PcPort, true, "R026"),
    documented(Topic::PcVoiceVlanDrop, true, "R026"),
];

const KEY_IS_WRAPPED: &[Known] = &[documented(Topic::ManualConfigKey, false, "provisioning.md §2.4")];

/// Own-brand desk phones in the table.
pub(in crate::model) const DESK: Family =
    Family { vendor_class: VendorClass::Own, facts: &[SECURE_DESK, IN_TABLE, KEY_IS_WRAPPED] };

/// Variants of these.
pub(in crate::model) const DESK_FAMILY: Family =
    Family { vendor_class: VendorClass::Own, facts: &[SECURE_DESK, LIKE_TABLE] };

/// Desk phones into which digest credentials are typed by hand when they run SIP (R063, R170).
pub(in crate::model) const DESK_MANUAL: Family =
    Family { vendor_class: VendorClass::Own, facts: &[SECURE_DESK, IN_TABLE, TYPED_IN] };

/// Soft clients: bearer tokens, for which the mode must be encrypted over TLS (R166, R168).
pub(in crate::model) const JABBER: Family = Family {
    vendor_class: VendorClass::Own,
    facts: &[&[
        family(Topic::Trusted, true, "R039, R169"),
        family(Topic::Oauth, true, "R169"),
        family(Topic::Tls, true, "R168, R169"),
        family(Topic::DeviceSecurityMode, true, "R168, R169"),
        family(Topic::SecurityEncryption, true, "R168, R169"),
        family(Topic::Srtp, true, "provisioning.md §6 (deviceSecurityMode 3)"),
        family(Topic::PcPort, false, "provisioning.md §5.3 (soft clients)"),
        family(Topic::PcVoiceVlanDrop, false, "provisioning.md §5.3 (soft clients)"),
    ]],
};

/// Own-brand models of which no security feature is written anywhere.
pub(in crate::model) const PLAIN: Family = Family { vendor_class: VendorClass::Own, facts: &[] };

const OTHER_MAKERS: &[Known] = &[
    family(Topic::Mic, false, "R054"),
    family(Topic::Capf, false, "R054"),
    family(Topic::EncryptedConfig, false, "R164"),
];

/// Other makers' types: digest only, no device security mode, not trusted.
pub(in crate::model) const THIRD_PARTY: Family =
    Family { vendor_class: VendorClass::Preferred, facts: &[OTHER_MAKERS] };

/// Generic third-party SIP types: a soft phone in a browser is one of them.
pub(in crate::model) const GENERIC: Family = Family {
    vendor_class: VendorClass::Preferred,
    facts: &[OTHER_MAKERS, &[documented(Topic::Websocket, true, "ARCHITECTURE.md §2")]],
};

/// Families by number, which R089 names: the SHA-1 ones.
const SHA1_FAMILIES: [&str; 3] = ["Cisco 79", "Cisco 89", "Cisco 99"];

const SHA1: [Known; 2] =
    [family(Topic::Sha256Lsc, true, "R089"), family(Topic::Sha1SignaturesOnly, true, "R089")];

const DIGEST: [Known; 2] = [family(Topic::Digest, true, "RFC 3261 §22"), family(Topic::Digest, true, "R069")];

const NO_DIGEST: Known = documented(Topic::Digest, false, "sccp.md §12 (no SIP)");

/// Models whose own firmware shows that they speak SIP (sccp.md §12, first paragraph).
const SIP_SEEN: [&str; 10] = [
    "Cisco 7906",
    "Cisco 7911",
    "Cisco 7931",
    "Cisco 7940",
    "Cisco 7960",
    "Cisco 7970",
    "Cisco 7971",
    "Cisco 8961",
    "Cisco 9951",
    "Cisco 9971",
];

/// SCCP stations that one source alone lists (sccp.md §12.2, [RIS]).
const SCCP_BY_FAMILY: [&str; 4] =
    ["Cisco VGC Virtual Phone", "Motorola CN622", "SCCP gateway virtual phone", "IP-STE"];

/// What is known of a built-in model.
pub(super) fn of_builtin(model: &Model, topic: Topic) -> Fact {
    let name = &*model.name;
    let fact =
        |value, source, certainty| Fact { name: topic, value: Some(value), source: Some(source), certainty };
    let of = |known: &Known| fact(known.value, known.source, known.certainty);
    let Protocols { sip, sccp } = model.protocols;
    let section = match (sip, sccp) {
        (true, true) => "sccp.md §12.1",
        (false, _) => "sccp.md §12.2",
        (true, false) => "sccp.md §12.3",
    };
    match topic {
        Topic::Sip => {
            let seen = !sip || SIP_SEEN.contains(&name);
            fact(sip, section, if seen { Certainty::Documented } else { Certainty::Family })
        }
        Topic::Sccp => {
            let guessed = SCCP_BY_FAMILY.contains(&name);
            fact(sccp, section, if guessed { Certainty::Family } else { Certainty::Documented })
        }
        Topic::Digest if !sip => of(&NO_DIGEST),
        Topic::Digest => of(&DIGEST[usize::from(model.vendor_class == VendorClass::Preferred)]),
        Topic::Sha256Lsc | Topic::Sha1SignaturesOnly
            if SHA1_FAMILIES.iter().any(|f| name.strip_prefix(f).is_some_and(is_two_digits)) =>
        {
            of(&SHA1[usize::from(topic == Topic::Sha1SignaturesOnly)])
        }
        _ => match builtin::family(name).and_then(|family| family.find(topic)) {
            Some(known) => of(known),
            None => Fact::unknown(topic),
        },
    }
}

/// `65` of `Cisco 7965`, also with letters behind it.
fn is_two_digits(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits == 2
}
