//! The way to a secure phone, step by step (R059–R065, R182): what is done, what comes next, and why a later step
//! cannot be taken yet. The source lists the steps; nothing here can be skipped.

use crate::identity::SeenCertificates;
use crate::ids::UnixMillis;
use crate::inventory::Switch;
use crate::mode::{ClusterMode, DeviceSecurityMode};
use crate::model::{Capability, Model, TlsCertificate};
use crate::profile::ProfileSettings;

/// A step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// The cluster is in mixed mode (R059).
    MixedMode,
    /// The phone has a certificate: an LSC by CAPF, or an uploaded one (R060, R182).
    Certificate,
    /// A secure profile of its type is chosen (R061).
    Profile,
    /// It was applied: the phone is judged by it (R061, R183).
    Applied,
    /// The digest user is chosen, where the profile asks for digest (R062).
    DigestUser,
    /// User and password of digest were typed into the phone, where its model takes them no other way (R063).
    DigestByHand,
    /// The configuration file is encrypted, where the phone can (R064).
    EncryptedConfig,
    /// The phone is hardened (R065).
    Hardened,
}

impl Task {
    /// Name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MixedMode => "mixed_mode",
            Self::Certificate => "certificate",
            Self::Profile => "security_profile",
            Self::Applied => "apply",
            Self::DigestUser => "digest_user",
            Self::DigestByHand => "digest_by_hand",
            Self::EncryptedConfig => "encrypted_configuration",
            Self::Hardened => "hardening",
        }
    }

    /// What to do.
    pub const fn text(self) -> &'static str {
        match self {
            Self::MixedMode => "set the parameter cluster_security_mode to mixed and update the CTL file",
            Self::Certificate => {
                "under a non-secure profile, install an LSC by CAPF; for another maker's phone, upload its certificate"
            }
            Self::Profile => {
                "choose an authenticated or encrypted security profile of the phone's type and protocol"
            }
            Self::Applied => "Apply Config or Reset",
            Self::DigestUser => "give the digest user credentials and choose it on the phone",
            Self::DigestByHand => "type the digest user's name and password into the phone",
            Self::EncryptedConfig => "set tftp_encrypted_config in the profile",
            Self::Hardened => {
                "disable what the phone does not need: web access, settings access, PC port and the others"
            }
        }
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Done.
    Done,
    /// This one is to be done now.
    Next,
    /// An earlier one must be done first.
    Blocked(Task),
    /// It means nothing for this model or profile.
    NotNeeded,
    /// Nobody but the person at the phone knows.
    Unknown,
}

/// What is known of a phone.
#[derive(Debug, Clone, Copy)]
pub struct SetupFacts<'a> {
    /// `cluster_security_mode`.
    pub cluster: ClusterMode,
    /// Its model.
    pub model: &'a Model,
    /// Settings of the assigned profile, as saved.
    pub assigned: &'a ProfileSettings,
    /// It is judged by exactly that.
    pub applied: bool,
    /// Certificates that it proved itself by.
    pub seen: Option<&'a SeenCertificates>,
    /// A certificate was uploaded for it, or for its profile.
    pub uploaded: bool,
    /// It has a digest user with credentials.
    pub digest_user: bool,
    /// Effective state of the hardening switches.
    pub switches: &'a [Switch],
    /// Now.
    pub now: UnixMillis,
}

/// All steps with their standing, in order. The first one that is not done is the next, and whatever needs it is
/// blocked by it.
pub fn steps(facts: &SetupFacts<'_>) -> Vec<(Task, Standing)> {
    let secure = facts.model.can(Capability::DeviceSecurityMode);
    let mode = facts.assigned.device_security_mode;
    let certified = match facts.model.tls_certificate {
        TlsCertificate::Shared => facts.uploaded,
        TlsCertificate::PerDevice => {
            facts.uploaded || facts.seen.is_some_and(|s| s.preferred(facts.now).is_some())
        }
    };
    let done = |is: bool| if is { Standing::Done } else { Standing::Next };
    let when = |needed: bool, standing: Standing| if needed { standing } else { Standing::NotNeeded };
    let by_hand = facts.model.can(Capability::ManualDigest);
    let digest = facts.assigned.digest_authentication;
    let all = [
        (Task::MixedMode, when(secure, done(facts.cluster == ClusterMode::Mixed))),
        (Task::Certificate, when(secure && !facts.assigned.oauth_authentication, done(certified))),
        (Task::Profile, when(secure, done(mode != DeviceSecurityMode::NonSecure))),
        (Task::Applied, done(facts.applied)),
        (Task::DigestUser, when(digest, done(facts.digest_user))),
        (Task::DigestByHand, when(digest && by_hand, Standing::Unknown)),
        (
            Task::EncryptedConfig,
            when(facts.model.can(Capability::EncryptedConfig), done(facts.assigned.tftp_encrypted_config)),
        ),
        (Task::Hardened, done(facts.switches.contains(&Switch::Disabled))),
    ];
    // One thing at a time: what comes behind the first open step waits for it, be it done by chance or not.
    let mut open: Option<Task> = None;
    all.into_iter()
        .map(|(task, standing)| match (standing, open) {
            (Standing::Next, Some(first)) => (task, Standing::Blocked(first)),
            (Standing::Next, None) => {
                open = Some(task);
                (task, Standing::Next)
            }
            (other, _) => (task, other),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{SeenCertificate, SeenKind};
    use crate::mode::Protocol;
    use crate::model::builtin;
    use crate::profile::{ProfileFields, resolve};

    fn settings(model: &str, fields: ProfileFields) -> ProfileSettings {
        resolve(&fields, builtin(model).unwrap(), Protocol::Sip).unwrap()
    }

    fn facts<'a>(model: &str, assigned: &'a ProfileSettings) -> SetupFacts<'a> {
        SetupFacts {
            cluster: ClusterMode::NonSecure,
            model: builtin(model).unwrap(),
            assigned,
            applied: true,
            seen: None,
            uploaded: false,
            digest_user: false,
            switches: &[Switch::Enabled; 5],
            now: UnixMillis(50),
        }
    }

    fn with_lsc() -> SeenCertificates {
        let mut seen = SeenCertificates::default();
        let certificate = SeenCertificate {
            sha256: [1; 32],
            subject: "CN=SEP00AABBCCDD01".into(),
            issuer: "CN=CAPF".into(),
            not_before: UnixMillis(0),
            not_after: UnixMillis(100),
            seen: UnixMillis(1),
        };
        seen.set(SeenKind::Lsc, certificate);
        seen
    }

    fn next(facts: &SetupFacts<'_>) -> Option<Task> {
        steps(facts).into_iter().find(|(_, s)| *s == Standing::Next).map(|(task, _)| task)
    }

    fn standing(facts: &SetupFacts<'_>, task: Task) -> Standing {
        steps(facts).into_iter().find(|(t, _)| *t == task).unwrap().1
    }

    const MODEL: &str = "Cisco 8845";

    #[test]
    fn r060_a_phone_without_certificate_gets_one_before_a_secure_profile() {
        let plain = settings(MODEL, ProfileFields::default());
        let mut f = facts(MODEL, &plain);
        f.cluster = ClusterMode::Mixed;
        assert_eq!(next(&f), Some(Task::Certificate));
        assert_eq!(standing(&f, Task::Profile), Standing::Blocked(Task::Certificate), "it cannot be skipped");
        let seen = with_lsc();
        f.seen = Some(&seen);
        assert_eq!(next(&f), Some(Task::Profile));
        f.now = UnixMillis(101);
        assert_eq!(next(&f), Some(Task::Certificate), "one that has run out is none");
    }

    #[test]
    fn r065_hardening_is_the_last_step() {
        let mode = Some(DeviceSecurityMode::Encrypted);
        let secure = settings(
            MODEL,
            ProfileFields {
                device_security_mode: mode,
                tftp_encrypted_config: Some(true),
                ..Default::default()
            },
        );
        let seen = with_lsc();
        let mut f = facts(MODEL, &secure);
        (f.cluster, f.seen) = (ClusterMode::Mixed, Some(&seen));
        assert_eq!(next(&f), Some(Task::Hardened));
        f.switches = &[Switch::Enabled, Switch::Disabled];
        assert_eq!(next(&f), None);
    }

    /// From nothing to the end: each turn does what is next, and the way is that of the source.
    #[test]
    fn r182_non_secure_then_certificate_then_secure() {
        let plain = settings(MODEL, ProfileFields::default());
        let mode = Some(DeviceSecurityMode::Encrypted);
        let secure = settings(MODEL, ProfileFields { device_security_mode: mode, ..Default::default() });
        let digest = settings(
            MODEL,
            ProfileFields {
                device_security_mode: mode,
                digest_authentication: Some(true),
                ..Default::default()
            },
        );
        let sealed = settings(
            MODEL,
            ProfileFields {
                device_security_mode: mode,
                digest_authentication: Some(true),
                tftp_encrypted_config: Some(true),
                ..Default::default()
            },
        );
        let seen = with_lsc();
        let mut f = facts(MODEL, &plain);
        let mut way = Vec::new();
        while let Some(task) = next(&f) {
            way.push(task);
            match task {
                Task::MixedMode => f.cluster = ClusterMode::Mixed,
                Task::Certificate => f.seen = Some(&seen),
                Task::Profile => (f.assigned, f.applied) = (&secure, false),
                Task::Applied => f.applied = true,
                Task::DigestUser => f.digest_user = true,
                Task::EncryptedConfig => f.assigned = &sealed,
                Task::Hardened => f.switches = &[Switch::Disabled],
                Task::DigestByHand => unreachable!("nobody can tell"),
            }
            if task == Task::Applied {
                f.assigned = &digest;
            }
            assert!(way.len() < 20, "{way:?}");
        }
        use Task::{Applied, Certificate, DigestUser, EncryptedConfig, Hardened, MixedMode, Profile};
        assert_eq!(way, [MixedMode, Certificate, Profile, Applied, DigestUser, EncryptedConfig, Hardened]);
    }

    #[test]
    fn what_a_model_cannot_do_is_not_asked_of_it() {
        let model = "Third-party SIP Device (Basic)";
        let plain = settings(model, ProfileFields::default());
        let f = facts(model, &plain);
        for task in [Task::MixedMode, Task::Certificate, Task::Profile, Task::EncryptedConfig] {
            assert_eq!(standing(&f, task), Standing::NotNeeded, "{task:?}");
        }
        let by_hand =
            settings("Cisco 7962", ProfileFields { digest_authentication: Some(true), ..Default::default() });
        assert_eq!(standing(&facts("Cisco 7962", &by_hand), Task::DigestByHand), Standing::Unknown);
    }
}
