//! What facts are about: the features of the feature report (R056).

use serde::{Serialize, Serializer};

use super::super::Capability;

macro_rules! topics {
    ($($name:ident $text:literal $capability:expr, $help:literal;)*) => {
        /// What a fact is about; each is a question that a model answers with yes or no.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Topic {
            $(#[doc = $help] $name,)*
        }

        impl Topic {
            /// All of them, in order.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// Name in rows and in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a sentence or two.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }

            /// The capability that a yes gives.
            pub const fn capability(self) -> Option<Capability> {
                match self { $(Self::$name => $capability,)* }
            }
        }
    };
}

use Capability as C;

topics! {
    Trusted "trusted" None,
        "The type passed the security criteria, so it may take part in secure calls (R039). Nobody but the catalogue decides this.";
    Sip "sip" None, "The model speaks SIP.";
    Sccp "sccp" None, "The model speaks SCCP.";
    Tls "tls" Some(C::Tls), "The model speaks TLS.";
    DeviceSecurityMode "device_security_mode" Some(C::DeviceSecurityMode),
        "Its security profiles have a device security mode, which means that it speaks TLS (R070).";
    SecurityAuthentication "security_authentication" Some(C::SecurityAuthentication),
        "The mode authenticated: TLS that proves and protects, without encryption (R067, R119).";
    SecurityEncryption "security_encryption" Some(C::SecurityEncryption),
        "The mode encrypted: TLS with encryption, and secure RTP (R067, R120).";
    Srtp "srtp" Some(C::Srtp), "Secure RTP for its media.";
    Digest "digest" Some(C::Digest), "Digest authentication of SIP requests (R069).";
    EncryptedConfig "encrypted_config" Some(C::EncryptedConfig), "Encrypted configuration files (R064, R164).";
    ManualConfigKey "manual_config_key" None,
        "When it runs SIP, the key of its encrypted file is typed into the phone instead of being wrapped with its certificate.";
    Oauth "oauth" Some(C::Oauth), "Registration with a bearer token on the SIP OAuth port (R169).";
    Mic "mic" Some(C::Mic), "A manufacturer-installed certificate (R051).";
    Capf "capf" Some(C::Capf), "Locally significant certificates by CAPF (R051, R053).";
    ManualDigest "manual_digest" Some(C::ManualDigest),
        "When it runs SIP, digest user and password are typed into the phone (R063), so they may be left out of its file (R170).";
    SecureTone "secure_tone" Some(C::SecureTone), "Plays a tone at the start of a secure call (R040).";
    SecurityIcon "security_icon" Some(C::SecurityIcon), "Shows shield and lock for the class of a call (R037, R058).";
    Websocket "websocket" Some(C::Websocket), "May register over WebSocket (RFC 7118).";
    PcPort "pc_port" None, "Has a PC port; without one the switch pc_port means nothing (R032).";
    PcVoiceVlanDrop "pc_voice_vlan_drop" None,
        "With pc_voice_vlan_access disabled it drops packets tagged with the voice VLAN in and out of the PC port (R026).";
    EcKeys "ec_keys" None, "Takes certificates with elliptic-curve keys (R144).";
    Rsa512 "rsa_512" None, "RSA keys of 512 bits in its certificate (R146; weak).";
    Rsa1024 "rsa_1024" None, "RSA keys of 1024 bits in its certificate (R146; weak).";
    Rsa2048 "rsa_2048" None, "RSA keys of 2048 bits in its certificate (R146).";
    Rsa3072 "rsa_3072" None, "RSA keys of 3072 bits in its certificate (R146, R148).";
    Rsa4096 "rsa_4096" None, "RSA keys of 4096 bits in its certificate (R146, R148).";
    Ec256 "ec_256" None, "EC keys of 256 bits in its certificate (R149).";
    Ec384 "ec_384" None, "EC keys of 384 bits in its certificate (R149).";
    Ec521 "ec_521" None, "EC keys of 521 bits in its certificate (R149).";
    SmallServerKeyOnly "small_server_key_only" None,
        "May not register when the call-processing certificate has an RSA key of more than 2048 bits (R147).";
    Sha256Lsc "sha256_lsc" None, "Takes LSCs and external identity certificates that are signed with SHA-256 (R089).";
    Sha1SignaturesOnly "sha1_signatures_only" None,
        "Checks all signatures but those of certificates with SHA-1 only: of files and of trust lists (R089).";
    EndOfMaintenance "end_of_maintenance" None,
        "Gets no firmware any more, so it should stay on releases before the change to SHA-256 (R090).";
}

impl Topic {
    /// The topic of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }

    /// Topics that the row of an imported model states under `features`; the others are its fields and
    /// capabilities.
    pub fn is_stated(self) -> bool {
        self.capability().is_none() && !matches!(self, Self::Trusted | Self::Sip | Self::Sccp)
    }

    /// The topic of an RSA key size.
    pub fn rsa(bits: u32) -> Option<Self> {
        Some(match bits {
            512 => Self::Rsa512,
            1024 => Self::Rsa1024,
            2048 => Self::Rsa2048,
            3072 => Self::Rsa3072,
            4096 => Self::Rsa4096,
            _ => return None,
        })
    }

    /// The topic of an EC key size.
    pub fn ec(bits: u32) -> Option<Self> {
        Some(match bits {
            256 => Self::Ec256,
            384 => Self::Ec384,
            521 => Self::Ec521,
            _ => return None,
        })
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
