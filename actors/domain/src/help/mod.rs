//! Help for every field that an administrator sees (R036, R209): what it does, what it may be, what it is
//! when left out. The API serves it; forms and the command line show it.
//!
//! Fields are found by kind and name. `hardening` and `capf` are the parts that kinds share (R213).
//! Parameters have their help in their own table.

mod devices;
mod others;
mod profiles;
mod trunks;

/// Help for one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Help {
    /// Name of the field.
    pub field: &'static str,
    /// What it does and what follows from it.
    pub text: &'static str,
    /// What it may be.
    pub values: &'static str,
    /// What it is when left out; empty where it must be given.
    pub default: &'static str,
}

/// Help for the fields of one kind, or of one part that kinds share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindHelp {
    /// Name of the kind or part.
    pub kind: &'static str,
    /// What it is.
    pub text: &'static str,
    /// Its fields in their order.
    pub fields: &'static [Help],
}

const fn help(field: &'static str, values: &'static str, default: &'static str, text: &'static str) -> Help {
    Help { field, text, values, default }
}

/// Everything.
pub fn all() -> impl Iterator<Item = &'static KindHelp> {
    [devices::KINDS, profiles::KINDS, others::KINDS, trunks::KINDS].into_iter().flatten()
}

/// Help for a kind or part.
pub fn of_kind(kind: &str) -> Option<&'static KindHelp> {
    all().find(|k| k.kind == kind)
}

/// Help for a field.
pub fn of(kind: &str, field: &str) -> Option<&'static Help> {
    of_kind(kind)?.fields.iter().find(|h| h.field == field)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_text_says_something_of_its_own() {
        let mut kinds = HashSet::new();
        for kind in all() {
            assert!(kinds.insert(kind.kind), "{} twice", kind.kind);
            let (mut names, mut texts) = (HashSet::new(), HashSet::new());
            for h in kind.fields {
                assert!(names.insert(h.field), "{}.{} twice", kind.kind, h.field);
                assert!(texts.insert(h.text), "{}.{}: text twice", kind.kind, h.field);
                assert!(h.text.len() >= 20 && !h.values.is_empty(), "{}.{}", kind.kind, h.field);
                assert!(h.text.ends_with('.'), "{}.{}", kind.kind, h.field);
                assert_eq!(of(kind.kind, h.field), Some(h));
            }
        }
    }

    #[test]
    fn r020_r023_r025_r027_r029_r030_r031_r033_the_switches_say_what_follows() {
        let text = |field| of("hardening", field).map(|h| h.text).unwrap_or_default();
        for (field, words) in [
            ("gratuitous_arp", &["default router"][..]),
            ("web_access", &["port 80", "quality report tool", "serviceability"]),
            ("pc_voice_vlan_access", &["voice VLAN", "dropped"]),
            (
                "settings_access",
                &[
                    "contrast",
                    "ring type",
                    "network configuration",
                    "model information",
                    "status",
                    "volume",
                    "saved",
                    "enabled again",
                ],
            ),
            ("pc_port", &["lobby", "conference room"]),
        ] {
            for word in words {
                assert!(text(field).contains(word), "{field}: {word}");
            }
        }
    }

    #[test]
    fn r159_r163_the_profile_says_what_does_not_protect() {
        let transport = of("security_profile", "transport").unwrap().text;
        for word in ["in order", "may lose", "no security"] {
            assert!(transport.contains(word), "{word}");
        }
        let digest = of("security_profile", "digest_authentication").unwrap().text;
        for word in ["authenticates no device", "integrity", "confidentiality"] {
            assert!(digest.contains(word), "{word}");
        }
    }
}
