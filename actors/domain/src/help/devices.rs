//! Phones, their models, and the switches that three kinds share.

use super::{KindHelp, help};

const SWITCH: &str = "enabled or disabled";
const FALLS_THROUGH: &str =
    "what the next level says: common phone profile, then enterprise_phone, then enabled";
const HARDENING: &str = "an object of switches, each enabled or disabled; see hardening";

pub(super) const KINDS: &[KindHelp] = &[
    KindHelp {
        kind: "phone",
        text: "A device that registers. Its security status belongs to it, not to its user or its lines.",
        fields: &[
            help(
                "name",
                "SEP and 12 hexadecimal digits, or another device name of letters, digits, dot, dash and underscore",
                "",
                "Name under which the device registers; certificates must bear it.",
            ),
            help(
                "model",
                "the name of a phone model",
                "",
                "Type of the phone. It decides what can be configured, and whether the device is trusted.",
            ),
            help(
                "protocol",
                "sip or sccp, as the model speaks",
                "sip where the model speaks it",
                "Protocol of the phone's firmware.",
            ),
            help(
                "description",
                "at most 128 characters",
                "empty",
                "Free text for people who look for the phone.",
            ),
            help(
                "security_profile",
                "the name of a profile for the same model and protocol",
                "the predefined non-secure profile of model and protocol",
                "Security settings of the phone. A change takes effect when it is applied, or with the phone's next reset. \
                 Before a secure profile, see that the phone has a certificate.",
            ),
            help(
                "digest_user",
                "the id of a user with digest credentials, of one phone only",
                "nobody",
                "User whose digest credentials the phone presents. It has effect only while the profile asks for digest.",
            ),
            help(
                "lines",
                "at most 200 directory numbers, each once",
                "none",
                "Directory numbers of the phone, in the order of its buttons. Several phones may share one; give all of them profiles of the same security mode.",
            ),
            help(
                "common_phone_profile",
                "the name of a common phone profile",
                "none",
                "Source of the switches that the phone itself leaves open.",
            ),
            help(
                "hardening",
                HARDENING,
                "no switch is set",
                "Switches of this phone alone; they come before those of the common phone profile and of enterprise_phone.",
            ),
            help(
                "capf",
                "an object of operation, authentication_string and settings of the profile; see capf",
                "nothing is ordered",
                "Certificate operation that is ordered for the phone; only for models with CAPF.",
            ),
            help(
                "em_user",
                "the id of a user",
                "nobody",
                "User who is logged in by Extension Mobility. While somebody is, his digest credentials count and not \
                 those of digest_user; the phone's security status stays its own.",
            ),
        ],
    },
    KindHelp {
        kind: "capf",
        text: "A certificate operation ordered for a phone. Verify first which certificate the phone holds.",
        fields: &[
            help(
                "operation",
                "none, install, upgrade, delete or troubleshoot",
                "none",
                "What the phone is to do when it next connects: take a first certificate, take another one, drop it, or \
                 show the certificates it has. Making a key may take half an hour and more.",
            ),
            help(
                "authentication_mode",
                "authentication_string, null_string, existing_certificate_lsc, existing_certificate_mic",
                "what the profile says",
                "How the phone proves itself. It is a setting of the profile: another one here gives the phone the profile that has it.",
            ),
            help(
                "key_order",
                "rsa_only, ec_only, ec_preferred_rsa_backup",
                "what the profile says",
                "Kind of key for the certificate; as authentication_mode, a setting of the profile.",
            ),
            help(
                "rsa_key_size",
                "512, 1024, 2048, 3072 or 4096 bits",
                "what the profile says",
                "Bits of an RSA key; as authentication_mode, a setting of the profile.",
            ),
            help(
                "ec_key_size",
                "256, 384 or 521 bits",
                "what the profile says",
                "Bits of an elliptic-curve key; as authentication_mode, a setting of the profile.",
            ),
            help(
                "authentication_string",
                "4 to 10 digits",
                "none",
                "What the user must type into the phone, where the profile's mode is by authentication string. It is never shown again.",
            ),
        ],
    },
    KindHelp {
        kind: "hardening",
        text: "Switches that make a phone harder to misuse. A phone takes them with its next reset.",
        fields: &[
            help(
                "gratuitous_arp",
                SWITCH,
                FALLS_THROUGH,
                "Whether the phone believes ARP messages that nobody asked for, by which its traffic can be led astray. \
                 Disabled, it still finds its default router.",
            ),
            help(
                "web_access",
                SWITCH,
                FALLS_THROUGH,
                "The phone's own web pages. Disabled, it keeps HTTP port 80 closed; the quality report tool and \
                 serviceability applications that read these pages then get nothing from it.",
            ),
            help(
                "pc_voice_vlan_access",
                SWITCH,
                FALLS_THROUGH,
                "Whether the PC behind the phone can use the voice VLAN. Disabled, packets from the PC port that use the \
                 voice VLAN are dropped; some models drop them in both directions (fact pc_voice_vlan_drop of the model).",
            ),
            help(
                "settings_access",
                SWITCH,
                FALLS_THROUGH,
                "The settings key: contrast, ring type, network configuration, model information and status. Disabled, \
                 all of them are hidden and the user cannot save the volume; what they are at that moment, volume \
                 included, is saved. To change them, settings access must be enabled again.",
            ),
            help(
                "pc_port",
                SWITCH,
                FALLS_THROUGH,
                "The port for a PC on phones that have one; it means nothing on others. Disable it where strangers can \
                 reach the phone: in a lobby, in a conference room.",
            ),
            help(
                "speakerphone",
                SWITCH,
                FALLS_THROUGH,
                "The loudspeaker for hands-free calls. Disable it where a room could be listened to.",
            ),
            help(
                "headset",
                SWITCH,
                FALLS_THROUGH,
                "The headset. Phones can switch it off together with the speakerphone only, so it has effect where both are disabled.",
            ),
        ],
    },
    KindHelp {
        kind: "common_phone_profile",
        text: "Switches for the phones that name it.",
        fields: &[
            help("name", "1 to 128 characters", "", "Name that phones refer to."),
            help(
                "hardening",
                HARDENING,
                "no switch is set",
                "Switches of its phones, where they do not set them themselves.",
            ),
        ],
    },
    KindHelp {
        kind: "enterprise_phone",
        text: "Switches of all phones; there is one such row.",
        fields: &[help(
            "hardening",
            HARDENING,
            "no switch is set",
            "Switches of all phones, where neither the phone nor its common phone profile sets them.",
        )],
    },
    KindHelp {
        kind: "phone_model",
        text: "A type of phone. Built-in ones cannot be changed; other makers' come with packages or as rows.",
        fields: &[
            help(
                "name",
                "1 to 64 characters, unlike any other model's",
                "",
                "Name of the model, as phones and profiles name it.",
            ),
            help(
                "vendor_class",
                "own or preferred",
                "",
                "Own-brand phones may have a manufacturer certificate, CAPF and encrypted files; preferred vendors' have none of these.",
            ),
            help("protocols", "a list of sip, sccp", "", "Protocols that the model speaks."),
            help(
                "trusted",
                "true or false",
                "false",
                "The type passed the security criteria: encryption of signaling and media, hardening, assurance. Without it no call of such a phone is secure.",
            ),
            help(
                "capabilities",
                "a list of names; GET /features shows them",
                "none, and digest for SIP models",
                "What the model can do. device_security_mode needs tls; security_authentication and security_encryption narrow the modes that its profiles offer.",
            ),
            help(
                "tls_certificate",
                "per_device or shared",
                "per_device",
                "Whether each phone has a certificate of its own, which names the phone, or all share one, which names the profile. The supplier says which.",
            ),
            help(
                "features",
                "an object of feature names with true or false; GET /features shows them",
                "unknown",
                "Facts that are no capabilities, such as pc_port or rsa_4096. What is left out is unknown, and told as unknown.",
            ),
            help(
                "secure_call_features",
                "at most 16 names of 1 to 64 characters",
                "none",
                "Whatever else phones of a trusted model offer in secure calls.",
            ),
        ],
    },
];
