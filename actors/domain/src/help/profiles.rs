//! Security profiles.

use super::{Help, KindHelp, help};

const BOOL: &str = "true or false";

const FIELDS: &[Help] = &[
    help(
        "name",
        "1 to 253 characters",
        "",
        "Name that phones refer to. Put model and protocol into it. Where phones share a certificate it must equal the \
         certificate's DNS name exactly.",
    ),
    help(
        "description",
        "at most 50 characters of any language, without \" % & \\ < >",
        "empty",
        "Free text for people who choose a profile.",
    ),
    help("model", "the name of a phone model", "", "Phone model that the profile is for; it cannot change."),
    help(
        "protocol",
        "sip or sccp, as the model speaks",
        "sip where the model speaks it",
        "Protocol that the profile is for; it cannot change.",
    ),
    help(
        "device_security_mode",
        "non_secure, authenticated, encrypted, as the model supports",
        "non_secure",
        "Non-secure: images, files and the device are authenticated, no more. Authenticated: TLS without encryption gives \
         integrity and authentication. Encrypted: TLS encrypts the signaling, SRTP the media on all hops that can.",
    ),
    help(
        "transport",
        "tcp, udp or tcp_udp while non-secure; tls otherwise",
        "tcp_udp; udp where the model has no security mode; tls in secure modes",
        "TCP brings packets in order and complete; UDP is fast and may lose or reorder them; both have no security. In \
         secure modes it is TLS and cannot be chosen.",
    ),
    help(
        "digest_authentication",
        BOOL,
        "false",
        "Every request of the phone is challenged for user name and password. It authenticates no device and gives \
         neither integrity nor confidentiality; it never raises the class of a call.",
    ),
    help(
        "nonce_validity_s",
        "1 to 86400 seconds",
        "600",
        "Seconds for which a nonce of a digest challenge is good; afterwards the phone gets a new one.",
    ),
    help(
        "tftp_encrypted_config",
        BOOL,
        "false",
        "The phone's configuration file is served encrypted only. Switch it on, with a key for the phone, where files \
         hold digest credentials or administrator passwords. Own-brand phones only.",
    ),
    help(
        "oauth_authentication",
        BOOL,
        "false",
        "The device may register with a bearer token on the SIP OAuth port. It needs mode encrypted over TLS, no digest \
         and no encrypted configuration file.",
    ),
    help(
        "exclude_digest_credentials",
        BOOL,
        "false",
        "Digest credentials stay out of the configuration file; somebody types them into the phone.",
    ),
    help(
        "capf_authentication_mode",
        "authentication_string, null_string, existing_certificate_lsc, existing_certificate_mic",
        "authentication_string",
        "How a phone proves itself for certificate operations: by digits that the user types, by nothing at all (closed \
         environments only), or by a certificate that it has, LSC or MIC first. Verify that it has one; if the first \
         one is compromised, change the mode.",
    ),
    help(
        "key_order",
        "rsa_only, ec_only, ec_preferred_rsa_backup",
        "rsa_only",
        "Kind of key that the phone makes for its certificate; with a backup it falls back to RSA where it lacks EC.",
    ),
    help(
        "rsa_key_size",
        "512, 1024, 2048, 3072 or 4096 bits",
        "2048",
        "Bits of an RSA key. 512 and 1024 are weak, and a policy may forbid them; large ones may take the phone half an hour and more.",
    ),
    help("ec_key_size", "256, 384 or 521 bits", "384", "Bits of an elliptic-curve key."),
    help(
        "sip_phone_port",
        "1 to 65535",
        "5060",
        "Port on which a UDP phone takes requests; phones on TCP and TLS do not look at it.",
    ),
];

pub(super) const KINDS: &[KindHelp] = &[KindHelp {
    kind: "security_profile",
    text: "Security settings for phones of one model and protocol. What the model does not support has no field.",
    fields: FIELDS,
}];
