//! The built-in phone models as data, sorted by name (byte order) for binary search.
//!
//! Names and numbers are the device types that Cisco's registration protocol and management
//! interfaces share. A capability is listed only where it is publicly documented for the family: the
//! encrypted-configuration table (which presupposes a certificate in the phone) for desk phones, the
//! SIP OAuth notes for clients and the 7800/8800 series. What is not known is not a capability.

use super::{Capabilities, Capability, Model, ModelId, Protocols, TlsCertificate, VendorClass};

const BOTH: Protocols = Protocols::BOTH;
const SCCP: Protocols = Protocols::SCCP;
const SIP: Protocols = Protocols::SIP;

/// What the models of one family have in common.
struct Family {
    vendor_class: VendorClass,
    trusted: bool,
    capabilities: Capabilities,
}

/// Own-brand desk phones with a manufacturer certificate.
const DESK: Family = Family {
    vendor_class: VendorClass::Own,
    trusted: true,
    capabilities: Capabilities::of(&[
        Capability::Tls,
        Capability::DeviceSecurityMode,
        Capability::Srtp,
        Capability::EncryptedConfig,
        Capability::Mic,
        Capability::Capf,
    ]),
};

/// Desk phones whose loads also register on the OAuth port.
const DESK_OAUTH: Family = Family { capabilities: DESK.capabilities.with(Capability::Oauth), ..DESK };

/// Desk phones into which digest credentials are typed by hand when they run SIP (R063, R170).
const DESK_MANUAL: Family = Family { capabilities: DESK.capabilities.with(Capability::ManualDigest), ..DESK };

/// Soft clients: TLS and bearer tokens, certificate by CAPF, none from manufacture.
const JABBER: Family = Family {
    vendor_class: VendorClass::Own,
    trusted: true,
    capabilities: Capabilities::of(&[
        Capability::Tls,
        Capability::DeviceSecurityMode,
        Capability::Srtp,
        Capability::EncryptedConfig,
        Capability::Capf,
        Capability::Oauth,
    ]),
};

/// Own-brand models of which no security feature is documented to us.
const PLAIN: Family =
    Family { vendor_class: VendorClass::Own, trusted: false, capabilities: Capabilities::NONE };

/// Other makers' types: digest only, no device security mode, not trusted.
const THIRD_PARTY: Family =
    Family { vendor_class: VendorClass::Preferred, trusted: false, capabilities: Capabilities::NONE };

/// Generic third-party SIP types: a soft phone in a browser is one of them.
const GENERIC: Family =
    Family { capabilities: THIRD_PARTY.capabilities.with(Capability::Websocket), ..THIRD_PARTY };

const fn model(name: &'static str, number: u32, protocols: Protocols, family: &Family) -> Model {
    // Every SIP phone answers a digest challenge (RFC 3261 section 22, R069).
    let capabilities =
        if protocols.sip { family.capabilities.with(Capability::Digest) } else { family.capabilities };
    Model {
        id: ModelId(number),
        name: std::borrow::Cow::Borrowed(name),
        protocols,
        vendor_class: family.vendor_class,
        trusted: family.trusted,
        capabilities,
        tls_certificate: TlsCertificate::PerDevice,
    }
}

/// All built-in models, sorted by name.
#[rustfmt::skip]
pub(super) const MODELS: &[Model] = &[
    model("Analog Phone", 30027, SCCP, &PLAIN),
    model("Cisco 12 S", 4, SCCP, &PLAIN),
    model("Cisco 12 SP", 3, SCCP, &PLAIN),
    model("Cisco 12 SP+", 2, SCCP, &PLAIN),
    model("Cisco 30 SP+", 1, SCCP, &PLAIN),
    model("Cisco 30 VIP", 5, SCCP, &PLAIN),
    model("Cisco 3905", 592, SIP, &PLAIN),
    model("Cisco 3911", 446, SIP, &PLAIN),
    model("Cisco 3951", 412, SIP, &PLAIN),
    model("Cisco 6901", 547, BOTH, &DESK),
    model("Cisco 6911", 548, BOTH, &DESK),
    model("Cisco 6921", 495, BOTH, &DESK),
    model("Cisco 6941", 496, BOTH, &DESK),
    model("Cisco 6945", 564, BOTH, &DESK),
    model("Cisco 6961", 497, BOTH, &DESK),
    model("Cisco 7811", 36213, SIP, &DESK_OAUTH),
    model("Cisco 7821", 621, SIP, &DESK_OAUTH),
    model("Cisco 7832", 36247, SIP, &DESK_OAUTH),
    model("Cisco 7841", 622, SIP, &DESK_OAUTH),
    model("Cisco 7861", 623, SIP, &DESK_OAUTH),
    model("Cisco 7902", 30008, SCCP, &PLAIN),
    model("Cisco 7905", 20000, BOTH, &PLAIN),
    model("Cisco 7906", 369, BOTH, &DESK),
    model("Cisco 7910", 6, SCCP, &PLAIN),
    model("Cisco 7911", 307, BOTH, &DESK),
    model("Cisco 7912", 30007, BOTH, &PLAIN),
    model("Cisco 7920", 30002, SCCP, &PLAIN),
    model("Cisco 7921", 365, SCCP, &PLAIN),
    model("Cisco 7925", 484, SCCP, &DESK),
    model("Cisco 7926", 577, SCCP, &DESK),
    model("Cisco 7931", 348, BOTH, &DESK),
    model("Cisco 7935", 9, SCCP, &PLAIN),
    model("Cisco 7936", 30019, SCCP, &PLAIN),
    model("Cisco 7937", 431, SCCP, &PLAIN),
    model("Cisco 7940", 8, BOTH, &PLAIN),
    model("Cisco 7941", 115, BOTH, &DESK),
    model("Cisco 7941G-GE", 309, BOTH, &DESK),
    model("Cisco 7942", 434, BOTH, &DESK_MANUAL),
    model("Cisco 7945", 435, BOTH, &DESK),
    model("Cisco 7960", 7, BOTH, &PLAIN),
    model("Cisco 7961", 30018, BOTH, &DESK),
    model("Cisco 7961G-GE", 308, BOTH, &DESK),
    model("Cisco 7962", 404, BOTH, &DESK_MANUAL),
    model("Cisco 7965", 436, BOTH, &DESK),
    model("Cisco 7970", 30006, BOTH, &DESK),
    model("Cisco 7971", 119, BOTH, &DESK),
    model("Cisco 7975", 437, BOTH, &DESK),
    model("Cisco 7985", 302, SCCP, &PLAIN),
    model("Cisco 840", 36320, SIP, &PLAIN),
    model("Cisco 860", 36319, SIP, &PLAIN),
    model("Cisco 8811", 36217, SIP, &DESK_OAUTH),
    model("Cisco 8811NS", 36339, SIP, &DESK),
    model("Cisco 8821", 36216, SIP, &DESK),
    model("Cisco 8831", 659, SIP, &DESK),
    model("Cisco 8832", 36258, SIP, &DESK_OAUTH),
    model("Cisco 8832NR", 36260, SIP, &DESK_OAUTH),
    model("Cisco 8841", 683, SIP, &DESK_OAUTH),
    model("Cisco 8841NS", 36340, SIP, &DESK),
    model("Cisco 8845", 36224, SIP, &DESK_OAUTH),
    model("Cisco 8851", 684, SIP, &DESK_OAUTH),
    model("Cisco 8851NR", 36232, SIP, &DESK_OAUTH),
    model("Cisco 8851NS", 36338, SIP, &DESK),
    model("Cisco 8861", 685, SIP, &DESK_OAUTH),
    model("Cisco 8865", 36225, SIP, &DESK_OAUTH),
    model("Cisco 8865NR", 36248, SIP, &DESK_OAUTH),
    model("Cisco 8875", 36336, SIP, &DESK),
    model("Cisco 8875NR", 36337, SIP, &DESK),
    model("Cisco 8941", 586, BOTH, &DESK),
    model("Cisco 8945", 585, BOTH, &DESK),
    model("Cisco 8961", 540, SIP, &DESK),
    model("Cisco 9841", 36345, SIP, &DESK),
    model("Cisco 9851", 36348, SIP, &DESK),
    model("Cisco 9861", 36347, SIP, &DESK),
    model("Cisco 9861NR", 36353, SIP, &DESK),
    model("Cisco 9871", 36350, SIP, &DESK),
    model("Cisco 9871NR", 36354, SIP, &DESK),
    model("Cisco 9951", 537, SIP, &DESK),
    model("Cisco 9971", 493, SIP, &DESK),
    model("Cisco ATA 186", 12, BOTH, &PLAIN),
    model("Cisco ATA 187", 550, SIP, &PLAIN),
    model("Cisco ATA 190", 681, SIP, &PLAIN),
    model("Cisco ATA 191", 36262, SIP, &PLAIN),
    model("Cisco Ata 188", 13, BOTH, &PLAIN),
    model("Cisco Board Pro 55 G2", 36351, SIP, &PLAIN),
    model("Cisco Board Pro 75 G2", 36352, SIP, &PLAIN),
    model("Cisco Cius", 593, SIP, &PLAIN),
    model("Cisco Collaboration Mobile Convergence", 36263, SIP, &PLAIN),
    model("Cisco DX650", 647, SIP, &PLAIN),
    model("Cisco DX70", 36043, SIP, &PLAIN),
    model("Cisco DX80", 36042, SIP, &PLAIN),
    model("Cisco Dual Mode for Android", 575, SIP, &JABBER),
    model("Cisco Dual Mode for iPhone", 562, SIP, &JABBER),
    model("Cisco E20", 580, SIP, &PLAIN),
    model("Cisco IP Communicator", 30016, BOTH, &PLAIN),
    model("Cisco Jabber for Tablet", 652, SIP, &JABBER),
    model("Cisco Room Bar Pro", 36343, SIP, &PLAIN),
    model("Cisco Room Kit EQ", 36341, SIP, &PLAIN),
    model("Cisco Room Kit EQX", 36344, SIP, &PLAIN),
    model("Cisco SPA 303G", 80011, SCCP, &PLAIN),
    model("Cisco SPA 502G", 80003, SCCP, &PLAIN),
    model("Cisco SPA 504G", 80004, SCCP, &PLAIN),
    model("Cisco SPA 508G", 80006, SCCP, &PLAIN),
    model("Cisco SPA 509G", 80007, SCCP, &PLAIN),
    model("Cisco SPA 512G", 80012, SCCP, &PLAIN),
    model("Cisco SPA 514G", 80013, SCCP, &PLAIN),
    model("Cisco SPA 521S", 80000, SCCP, &PLAIN),
    model("Cisco SPA 524SG", 80001, SCCP, &PLAIN),
    model("Cisco SPA 525G", 80005, SCCP, &PLAIN),
    model("Cisco SPA 525G2", 80009, SCCP, &PLAIN),
    model("Cisco Spark Remote Device", 36235, SIP, &PLAIN),
    model("Cisco TelePresence 1000", 478, SIP, &PLAIN),
    model("Cisco TelePresence 1100", 520, SIP, &PLAIN),
    model("Cisco TelePresence 1300-65", 505, SIP, &PLAIN),
    model("Cisco TelePresence 200", 557, SIP, &PLAIN),
    model("Cisco TelePresence 3000", 479, SIP, &PLAIN),
    model("Cisco TelePresence 3200", 480, SIP, &PLAIN),
    model("Cisco TelePresence 400", 558, SIP, &PLAIN),
    model("Cisco TelePresence 500-37", 481, SIP, &PLAIN),
    model("Cisco TelePresence Codec C40", 608, SIP, &PLAIN),
    model("Cisco TelePresence Codec C60", 607, SIP, &PLAIN),
    model("Cisco TelePresence Codec C90", 606, SIP, &PLAIN),
    model("Cisco TelePresence DX70", 36241, SIP, &PLAIN),
    model("Cisco TelePresence EX60", 604, SIP, &PLAIN),
    model("Cisco TelePresence EX90", 584, SIP, &PLAIN),
    model("Cisco TelePresence IX5000", 36210, SIP, &PLAIN),
    model("Cisco TelePresence MX200", 617, SIP, &PLAIN),
    model("Cisco TelePresence MX200 G2", 689, SIP, &PLAIN),
    model("Cisco TelePresence MX300", 627, SIP, &PLAIN),
    model("Cisco TelePresence MX300 G2", 690, SIP, &PLAIN),
    model("Cisco TelePresence MX700", 36207, SIP, &PLAIN),
    model("Cisco TelePresence MX800", 36208, SIP, &PLAIN),
    model("Cisco TelePresence MX800 Dual", 36227, SIP, &PLAIN),
    model("Cisco TelePresence Quick Set C20", 609, SIP, &PLAIN),
    model("Cisco TelePresence SX10", 682, SIP, &PLAIN),
    model("Cisco TelePresence SX20", 626, SIP, &PLAIN),
    model("Cisco TelePresence SX80", 688, SIP, &PLAIN),
    model("Cisco Unified Client Services Framework", 503, SIP, &JABBER),
    model("Cisco Unified Mobile Communicator", 468, SIP, &PLAIN),
    model("Cisco Unified Personal Communicator", 358, SIP, &PLAIN),
    model("Cisco VGC Phone", 10, SCCP, &PLAIN),
    model("Cisco VGC Virtual Phone", 11, SCCP, &PLAIN),
    model("Cisco VXC 6215", 634, SIP, &PLAIN),
    model("Cisco Webex Board 55", 36304, SIP, &PLAIN),
    model("Cisco Webex Board 70", 36305, SIP, &PLAIN),
    model("Cisco Webex Board 85", 36306, SIP, &PLAIN),
    model("Cisco Webex Board Pro 55", 36333, SIP, &PLAIN),
    model("Cisco Webex Board Pro 75", 36334, SIP, &PLAIN),
    model("Cisco Webex DX80", 36239, SIP, &PLAIN),
    model("Cisco Webex Desk", 36324, SIP, &PLAIN),
    model("Cisco Webex Desk Hub", 36327, SIP, &PLAIN),
    model("Cisco Webex Desk LE", 36322, SIP, &PLAIN),
    model("Cisco Webex Desk Mini", 36326, SIP, &PLAIN),
    model("Cisco Webex Desk Pro", 36307, SIP, &PLAIN),
    model("Cisco Webex Room 55", 36254, SIP, &PLAIN),
    model("Cisco Webex Room 55 Dual", 36295, SIP, &PLAIN),
    model("Cisco Webex Room 70 Dual", 36265, SIP, &PLAIN),
    model("Cisco Webex Room 70 Dual G2", 36297, SIP, &PLAIN),
    model("Cisco Webex Room 70 Single", 36259, SIP, &PLAIN),
    model("Cisco Webex Room 70 Single G2", 36296, SIP, &PLAIN),
    model("Cisco Webex Room Bar", 36335, SIP, &PLAIN),
    model("Cisco Webex Room Kit", 36251, SIP, &PLAIN),
    model("Cisco Webex Room Kit Mini", 36299, SIP, &PLAIN),
    model("Cisco Webex Room Kit Plus", 36255, SIP, &PLAIN),
    model("Cisco Webex Room Kit Pro", 36292, SIP, &PLAIN),
    model("Cisco Webex Room Phone", 36312, SIP, &PLAIN),
    model("Cisco Webex VDI Svc Framework", 36302, SIP, &PLAIN),
    model("IP-STE", 30035, SCCP, &THIRD_PARTY),
    model("ISDN BRI Phone", 30028, SCCP, &PLAIN),
    model("Motorola CN622", 335, SCCP, &THIRD_PARTY),
    model("Nokia E Series", 275, SCCP, &THIRD_PARTY),
    model("Nokia S60", 376, SCCP, &THIRD_PARTY),
    model("SCCP gateway virtual phone", 30032, SCCP, &PLAIN),
    model("SIP Station", 36298, SIP, &THIRD_PARTY),
    model("Third-party AS-SIP Endpoint", 631, SIP, &THIRD_PARTY),
    model("Third-party SIP Device (Advanced)", 374, SIP, &GENERIC),
    model("Third-party SIP Device (Basic)", 336, SIP, &GENERIC),
    model("Transnova S3", 521, SIP, &THIRD_PARTY),
];
