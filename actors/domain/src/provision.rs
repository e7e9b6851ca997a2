//! Which form of its configuration file a phone gets (R118, R134, R170, R200), as far as the applied profile
//! decides. Making and sending the files is not done here.

use crate::model::{Capability, Model};
use crate::profile::ProfileSettings;

/// A name under which a phone asks for its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileName {
    /// `SEP<MAC>.cnf.xml`: a phone without trust list.
    Plain,
    /// `SEP<MAC>.cnf.xml.sgn`.
    Signed,
    /// `SEP<MAC>.cnf.xml.enc.sgn`.
    Encrypted,
}

impl FileName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Signed, Self::Encrypted];

    /// What follows the device name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => ".cnf.xml",
            Self::Signed => ".cnf.xml.sgn",
            Self::Encrypted => ".cnf.xml.enc.sgn",
        }
    }

    /// Reads `<device>.cnf.xml…`: the device's name as written, and the form.
    pub fn parse(name: &str) -> Option<(&str, Self)> {
        // The longest first: each is the beginning of the next.
        Self::ALL.into_iter().rev().find_map(|form| {
            let device = name.strip_suffix(form.suffix())?;
            (!device.is_empty()).then_some((device, form))
        })
    }
}

/// What is served under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Served {
    /// The whole configuration. `credentials`: digest user and password are in it.
    Full {
        /// See above.
        credentials: bool,
    },
    /// Only what leads the phone to the encrypted file: `fullConfig` false, CAPF settings, the hash of its
    /// certificate. No setting and no secret.
    Pointer,
    /// "File not found": the phone asks for another form.
    NotFound,
}

impl Served {
    /// Whoever reads it learns a password.
    pub const fn tells_credentials(self) -> bool {
        matches!(self, Self::Full { credentials: true })
    }
}

/// What a phone gets under a name. `has_digest_user`: one with credentials is chosen on it. `settings` are those
/// that were applied: Save alone changes no file (R035).
pub fn served(name: FileName, model: &Model, settings: &ProfileSettings, has_digest_user: bool) -> Served {
    let encrypted = settings.tftp_encrypted_config && model.can(Capability::EncryptedConfig);
    let full = Served::Full {
        credentials: has_digest_user
            && settings.digest_authentication
            && !settings.exclude_digest_credentials,
    };
    match (name, encrypted) {
        (FileName::Encrypted, true) | (FileName::Plain | FileName::Signed, false) => full,
        (FileName::Plain | FileName::Signed, true) => Served::Pointer,
        (FileName::Encrypted, false) => Served::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::{DeviceSecurityMode, Protocol};
    use crate::model::builtin;
    use crate::profile::{ProfileFields, resolve};

    const MODEL: &str = "Cisco 8845";

    fn profile(
        model: &str,
        mode: DeviceSecurityMode,
        digest: bool,
        encrypted: bool,
        exclude: Option<bool>,
    ) -> ProfileSettings {
        let fields = ProfileFields {
            device_security_mode: Some(mode),
            digest_authentication: Some(digest),
            tftp_encrypted_config: Some(encrypted),
            exclude_digest_credentials: exclude,
            ..Default::default()
        };
        resolve(&fields, builtin(model).unwrap(), Protocol::Sip).unwrap()
    }

    fn all(model: &str, settings: &ProfileSettings, user: bool) -> [Served; 3] {
        FileName::ALL.map(|name| served(name, builtin(model).unwrap(), settings, user))
    }

    #[test]
    fn r118_signed_files_are_served_in_every_mode() {
        use DeviceSecurityMode::{Authenticated, Encrypted, NonSecure};
        for mode in [NonSecure, Authenticated, Encrypted] {
            let settings = profile(MODEL, mode, false, false, None);
            let [plain, signed, encrypted] = all(MODEL, &settings, false);
            assert_eq!(
                (plain, signed),
                (Served::Full { credentials: false }, Served::Full { credentials: false })
            );
            assert_eq!(encrypted, Served::NotFound, "the phone then asks for the signed one");
        }
    }

    #[test]
    fn r134_with_encrypted_config_nothing_is_told_under_another_name() {
        for digest in [false, true] {
            let settings = profile(MODEL, DeviceSecurityMode::Encrypted, digest, true, None);
            let [plain, signed, encrypted] = all(MODEL, &settings, true);
            assert_eq!((plain, signed), (Served::Pointer, Served::Pointer));
            assert_eq!(encrypted, Served::Full { credentials: digest });
        }
    }

    #[test]
    fn r200_credentials_are_in_the_file_unless_excluded() {
        let mode = DeviceSecurityMode::NonSecure;
        let with = |exclude, digest, user| {
            let settings = profile("Cisco 7962", mode, digest, false, Some(exclude));
            all("Cisco 7962", &settings, user).map(Served::tells_credentials)
        };
        assert_eq!(with(false, true, true), [true, true, false]);
        // R170; without digest in the profile, or without a user, there is nothing to tell (R205).
        for (exclude, digest, user) in [(true, true, true), (false, false, true), (false, true, false)] {
            assert_eq!(with(exclude, digest, user), [false; 3], "{exclude} {digest} {user}");
        }
    }

    #[test]
    fn names_are_read_as_phones_write_them() {
        let device = "SEP00AABBCCDD01";
        for form in FileName::ALL {
            assert_eq!(FileName::parse(&format!("{device}{}", form.suffix())), Some((device, form)));
        }
        for other in ["", ".cnf.xml", "SEP00AABBCCDD01.xml", "SEP00AABBCCDD01.cnf.xml.enc"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
