//! Who is in the demo: 20 phones, one spare for the visitor, and the calls between them.

use std::net::SocketAddr;

use keyline_wire::sdp::CryptoSuite;
use serde_json::{Value, json};

use crate::phone::{PhoneConfig, Srtp, Transport};
use crate::pki::{Authority, PkiError};
use crate::tls::{Identity, TlsOptions};

/// Transport of a demo phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

impl Over {
    /// Listener that it needs.
    pub(super) fn listener(self) -> &'static str {
        match self {
            Over::Udp => "sip_udp",
            Over::Tcp => "sip_tcp",
            Over::Tls => "sip_tls",
        }
    }
}

/// A kind of demo phone: model, profile and how its phones behave.
struct Kind {
    model: &'static str,
    number: u32,
    /// Name of an own profile; the predefined one when `None`.
    profile: Option<&'static str>,
    mode: &'static str,
    digest: bool,
    /// Another maker's: own certificate, uploaded.
    vendor: bool,
    /// Says its device name in Contact.
    cisco: bool,
}

const DESK_DIGEST: Kind = Kind {
    model: "Cisco 7841",
    number: 622,
    profile: Some("Demo 7841 digest"),
    mode: "non_secure",
    digest: true,
    vendor: false,
    cisco: true,
};
const DESK_PLAIN: Kind =
    Kind { model: "Cisco 7821", number: 621, profile: None, digest: false, ..DESK_DIGEST };
const VIDEO: Kind = Kind {
    model: "Cisco 8845",
    number: 36_224,
    profile: Some("Demo 8845 encrypted"),
    mode: "encrypted",
    digest: false,
    vendor: false,
    cisco: true,
};
const VIDEO_DIGEST: Kind = Kind {
    model: "Cisco 8865",
    number: 36_225,
    profile: Some("Demo 8865 encrypted digest"),
    digest: true,
    ..VIDEO
};
const VENDOR: Kind =
    Kind { model: "Demo Maker 100", number: 0, profile: Some("Demo Maker encrypted"), vendor: true, ..VIDEO };
const SOFT: Kind = Kind {
    model: "Third-party SIP Device (Advanced)",
    number: 0,
    profile: Some("Demo third-party digest"),
    mode: "non_secure",
    digest: true,
    vendor: false,
    cisco: false,
};

/// One phone of the demo.
pub(super) struct Member {
    kind: &'static Kind,
    /// Device name.
    pub device: String,
    /// Directory number.
    pub dn: String,
    /// Digest user.
    pub user: String,
    /// Digest password.
    pub password: String,
    /// Transport.
    pub over: Over,
    srtp: Srtp,
    identity: Option<Identity>,
}

/// A call of the demo: who calls whom, and whether it is put on hold.
pub(super) struct Planned {
    /// Caller, by place in the list of members.
    pub from: usize,
    /// Called.
    pub to: usize,
    /// The caller holds it.
    pub hold: bool,
    /// What it shows.
    pub what: &'static str,
}

/// Phones of the demo; the spare one is last.
pub(super) const PHONES: usize = 20;

/// The calls. Each phone is in one of them at most.
pub(super) const CALLS: [Planned; 7] = [
    Planned { from: 8, to: 9, hold: false, what: "TLS and SRTP at both ends" },
    Planned { from: 10, to: 16, hold: false, what: "TLS and SRTP, other suite, digest too" },
    Planned { from: 11, to: 18, hold: false, what: "TLS and SRTP, one model not trusted" },
    Planned { from: 12, to: 13, hold: false, what: "TLS, plain RTP" },
    Planned { from: 14, to: 0, hold: false, what: "TLS to UDP" },
    Planned { from: 15, to: 17, hold: true, what: "TLS and SRTP, on hold" },
    Planned { from: 1, to: 4, hold: false, what: "UDP to TCP" },
];

/// Makes the members and their certificates.
///
/// # Errors
/// [`PkiError`].
pub(super) fn members(authority: &Authority) -> Result<Vec<Member>, PkiError> {
    use CryptoSuite::{AeadAes256Gcm, AesCm128HmacSha1_80};
    let savp = Srtp::Savp(vec![AeadAes256Gcm, AesCm128HmacSha1_80]);
    let cm = Srtp::Savp(vec![AesCm128HmacSha1_80]);
    let fallback = Srtp::fallback();
    let plan: [(&'static Kind, Over, Srtp); PHONES + 1] = [
        (&DESK_DIGEST, Over::Udp, Srtp::None),
        (&DESK_DIGEST, Over::Udp, Srtp::None),
        (&DESK_DIGEST, Over::Udp, Srtp::None),
        (&DESK_DIGEST, Over::Udp, Srtp::None),
        (&DESK_DIGEST, Over::Tcp, Srtp::None),
        (&DESK_DIGEST, Over::Tcp, Srtp::None),
        (&DESK_PLAIN, Over::Udp, Srtp::None),
        (&DESK_PLAIN, Over::Tcp, Srtp::None),
        (&VIDEO, Over::Tls, savp.clone()),
        (&VIDEO, Over::Tls, savp.clone()),
        (&VIDEO, Over::Tls, savp.clone()),
        (&VIDEO, Over::Tls, savp.clone()),
        (&VIDEO, Over::Tls, Srtp::None),
        (&VIDEO, Over::Tls, Srtp::None),
        (&VIDEO, Over::Tls, fallback),
        (&VIDEO, Over::Tls, savp.clone()),
        (&VIDEO_DIGEST, Over::Tls, cm),
        (&VIDEO_DIGEST, Over::Tls, savp.clone()),
        (&VENDOR, Over::Tls, savp),
        (&SOFT, Over::Udp, Srtp::None),
        (&SOFT, Over::Udp, Srtp::None),
    ];
    let member = |(place, (kind, over, srtp)): (usize, (&'static Kind, Over, Srtp))| {
        let device = format!("SEP02DE30000{:03X}", place + 1);
        let identity = match (over, kind.vendor) {
            (Over::Tls, false) => Some(authority.device(&device)?),
            (Over::Tls, true) => Some(authority.vendor(&device)?),
            _ => None,
        };
        let dn = format!("{}", 1001 + place);
        Ok(Member {
            // Many softphones log in under the number only.
            user: if kind.cisco { format!("user{dn}") } else { dn.clone() },
            password: format!("Demo{dn}Keyline"),
            kind,
            device,
            dn,
            over,
            srtp,
            identity,
        })
    };
    plan.into_iter().enumerate().map(member).collect()
}

impl Member {
    /// Name of its profile.
    pub(super) fn profile(&self) -> String {
        let standard = || format!("{} - Standard SIP Non-Secure Profile", self.kind.model);
        self.kind.profile.map_or_else(standard, str::to_owned)
    }

    /// Model and mode in a few words.
    pub(super) fn describe(&self) -> String {
        let digest = if self.kind.digest { "+digest" } else { "" };
        format!("{} {}{digest}", self.kind.model, self.kind.mode)
    }

    /// The phone's configuration towards that server.
    pub(super) fn config(&self, server: SocketAddr, roots: &str) -> PhoneConfig {
        let transport = match self.over {
            Over::Udp => Transport::Udp,
            Over::Tcp => Transport::Tcp,
            Over::Tls => {
                let mut tls = TlsOptions::trusting(roots);
                tls.identity.clone_from(&self.identity);
                Transport::Tls(Box::new(tls))
            }
        };
        let mut config = PhoneConfig::new(server, transport, &self.dn).srtp(self.srtp.clone());
        if self.kind.digest {
            config = config.login(&self.user, &self.password);
        }
        if self.kind.cisco {
            config = config.cisco(&self.device, self.kind.number);
            if self.kind.vendor {
                config.model = None;
            }
        }
        config
    }
}

/// The rows to import.
pub(super) fn rows(authority: &Authority, members: &[Member]) -> Vec<Value> {
    let mut rows = vec![
        json!({"kind": "parameter", "name": "cluster_security_mode", "value": "mixed"}),
        json!({"kind": "phone_model", "name": VENDOR.model, "vendor_class": "preferred",
               "protocols": ["sip"], "trusted": false,
               "capabilities": ["tls", "device_security_mode", "srtp"], "tls_certificate": "per_device"}),
        json!({"kind": "certificate", "purpose": "CallManager-trust", "pem": authority.pem}),
    ];
    for kind in [&DESK_DIGEST, &VIDEO, &VIDEO_DIGEST, &VENDOR, &SOFT] {
        // A model without a device security mode registers over UDP (R161).
        let transport = match (kind.mode, kind.cisco) {
            ("encrypted", _) => "tls",
            (_, true) => "tcp_udp",
            (_, false) => "udp",
        };
        rows.push(json!({"kind": "security_profile", "name": kind.profile, "model": kind.model,
            "protocol": "sip", "device_security_mode": kind.mode, "transport": transport,
            "digest_authentication": kind.digest}));
    }
    for member in members {
        rows.push(json!({"kind": "end_user", "id": member.user, "digest_credentials": member.password}));
        rows.push(json!({"kind": "line", "dn": member.dn}));
        rows.push(json!({"kind": "phone", "name": member.device, "model": member.kind.model,
            "protocol": "sip", "security_profile": member.profile(), "digest_user": member.user,
            "lines": [member.dn]}));
        if let (true, Some(identity)) = (member.kind.vendor, &member.identity) {
            rows.push(json!({"kind": "certificate", "purpose": "vendor-trust",
                "pem": identity.chain_pem, "phone": member.device}));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keyline_domain::inventory::parse_row;

    use super::*;

    #[test]
    fn rows_are_valid_and_calls_share_no_phone() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let members = members(&authority).unwrap();
        assert_eq!(members.len(), PHONES + 1);
        for row in rows(&authority, &members) {
            parse_row(&row.to_string()).unwrap_or_else(|e| panic!("{row}: {e}"));
        }
        let mut busy = HashSet::new();
        for call in &CALLS {
            assert!(busy.insert(call.from) && busy.insert(call.to), "{}", call.what);
            assert!(call.from < PHONES && call.to < PHONES);
        }
        assert!(members.iter().all(|m| m.device.len() == 15));
    }
}
