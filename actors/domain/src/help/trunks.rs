//! Help for SIP realms, trunk security profiles and trunks.

use super::{Help, KindHelp, help};

const REALM: &[Help] = &[
    help("realm", "1 to 128 characters", "", "Realm exactly as the far end writes it in its challenges."),
    help("user", "user name", "", "User name with which challenges of this realm are answered."),
    help(
        "digest_credentials",
        "1 to 128 letters and digits",
        "none; left out, they stay as they are",
        "Password for the answers. It is stored sealed and never shown; without it a challenge fails.",
    ),
];

const PROFILE: &[Help] = &[
    help("name", "1 to 128 characters", "", "Name of the trunk security profile, for trunks to refer to."),
    help("description", "at most 50 characters, not \" % & \\ < >", "empty", "What people call the profile."),
    help(
        "device_security_mode",
        "non_secure, authenticated, encrypted",
        "non_secure",
        "Authenticated begins TLS with NULL suites, which many far ends refuse; encrypted offers encrypting ones too. \
         Both need the parameter export_controlled_allowed.",
    ),
    help("digest_authentication", "true, false", "false", "Requests of the far end are challenged."),
    help("x509_subject", "subject", "none", "Subject that the certificate of the far end must have."),
];

const TRUNK: &[Help] = &[
    help("name", "1 to 128 characters", "", "Name of the trunk, unique among all trunks."),
    help("description", "at most 128 characters", "empty", "What people call the trunk."),
    help("destination", "host or host:port", "", "Where the far end is reached."),
    help(
        "security_profile",
        "name of a trunk security profile",
        "none: non-secure",
        "Decides transport and security of the trunk.",
    ),
];

pub(super) const KINDS: &[KindHelp] = &[
    KindHelp { kind: "sip_realm", text: "What answers the challenges of a trunk's far end.", fields: REALM },
    KindHelp {
        kind: "trunk_security_profile",
        text: "Security settings that trunks share.",
        fields: PROFILE,
    },
    KindHelp { kind: "trunk", text: "A connection to another system.", fields: TRUNK },
];
