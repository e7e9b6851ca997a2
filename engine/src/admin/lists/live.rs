//! What the boards know of a device.

use std::sync::Arc;

use keyline_actors::board::{Boards, Device};
use keyline_domain::cipher;
use keyline_domain::identity::{CertificateName, ChainedTo, ShownCertificate};
use keyline_domain::ids::DeviceIndex;
use keyline_domain::mode::PeerProof;
use keyline_domain::phone::{AppliedVersion, Binding, Peer, Row};
use serde_json::{Value, json};

use super::Live;
use crate::admin::views::{RegistrationView, Timestamp, flow_text};

/// State of one device at one moment.
pub(super) struct Status {
    pub(super) registered: bool,
    /// What it is judged by is not what is saved.
    pub(super) pending: bool,
    pub(super) applied: Option<AppliedVersion>,
    device: Arc<Device>,
    row: Option<Arc<Row>>,
    shown: Option<Arc<ShownCertificate>>,
}

impl Status {
    pub(super) fn of(live: &Live<'_>, index: DeviceIndex) -> Option<Self> {
        let slot = live.boards.devices.slot(index)?;
        let (device, row) = (slot.device()?, slot.row());
        let profiles = &live.boards.profiles;
        let applied = profiles.judge(device.profile, row.as_deref(), live.at).map(|j| j.applied);
        Some(Self {
            registered: row.as_ref().is_some_and(|r| r.is_registered(live.at)),
            pending: applied.is_some() && applied != profiles.saved(device.profile),
            applied,
            device,
            row,
            shown: slot.shown(),
        })
    }

    /// What the connection of the newest binding proved.
    pub(super) fn last_peer(&self) -> Option<Peer> {
        self.row.as_ref()?.bindings.iter().max_by_key(|b| b.granted_until).map(|b| b.origin.peer)
    }

    /// What the phone proved itself by when it last registered: `mic`, `lsc`, `uploaded`; `unknown`: a
    /// certificate that was not seen since the start; `none`.
    pub(super) fn certificate(&self) -> &'static str {
        let proven = self.last_peer().is_some_and(|peer| peer.proof == PeerProof::Certificate);
        match self.shown.as_ref().filter(|_| proven) {
            None if proven => "unknown",
            None => "none",
            Some(shown) if shown.chain == ChainedTo::VendorTrust => "uploaded",
            Some(shown) => {
                match CertificateName::parse(shown.facts.subject_cn.as_deref().unwrap_or_default()) {
                    CertificateName::Mic { .. } => "mic",
                    CertificateName::Lsc(_) => "lsc",
                    CertificateName::Other => "uploaded",
                }
            }
        }
    }

    /// What a filter sees of it.
    pub(super) fn value(&self, field: &str) -> Option<&'static str> {
        let yes = |value| if value { "true" } else { "false" };
        match field {
            "registered" => Some(yes(self.registered)),
            "pending" => Some(yes(self.pending)),
            "certificate" => Some(self.certificate()),
            _ => None,
        }
    }

    pub(super) fn bindings(&self, live: &Live<'_>) -> Value {
        let row = self.row.iter().flat_map(|row| row.live(live.at));
        row.map(|b| {
            let view = binding(live.boards, &self.device, b, live.domain);
            json!({
                "aor": view.aor,
                "contact": view.contact,
                "expires_at": view.expires_at,
                "transport": view.transport,
                "flow": view.flow,
                "suite": view.suite,
                "proof": b.origin.peer.proof,
                "instance": b.instance.as_ref().map(ToString::to_string),
                "reg_id": b.reg_id,
            })
        })
        .collect()
    }
}

/// A binding as `/registrations` shows it.
pub fn binding(boards: &Boards, device: &Device, binding: &Binding, domain: &str) -> RegistrationView {
    RegistrationView {
        aor: format!("sip:{}@{domain}", binding.line),
        device: device.name.to_string(),
        contact: binding.contact.to_string(),
        expires_at: Timestamp(binding.granted_until),
        transport: binding.origin.flow.transport(),
        flow: flow_text(&binding.origin.flow),
        suite: suite_text(binding.origin.peer.suite),
        profile: boards.profiles.name(device.profile).to_string(),
    }
}

/// Name of a cipher suite; `None` without TLS.
pub(super) fn suite_text(suite: u16) -> Option<String> {
    (suite != 0).then(|| match cipher::suite(suite) {
        Some(known) => known.name.to_owned(),
        None => format!("0x{suite:04x}"),
    })
}
