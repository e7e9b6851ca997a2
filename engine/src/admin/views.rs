//! What the admin API shows: the bodies of its answers, field by field.

use std::time::Duration;

use keyline_domain::class::CallSecurity;
use keyline_domain::flow::Flow;
use keyline_domain::mode::{SecurityClass, Transport};
use serde::{Deserialize, Serialize};

pub use crate::instant::Timestamp;

/// Most refused rows that an import names; the rest is counted.
pub const REFUSALS_MAX: usize = 1000;

/// `/ready`: the node takes registrations and calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Readiness {
    /// 200 or 503.
    pub ready: bool,
    /// Why not, one line each; empty when ready.
    pub reasons: Vec<String>,
}

/// `/health`: what is broken, if anything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The store takes writes.
    pub storage_ok: bool,
    /// What is wrong with the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_detail: Option<String>,
    /// Shards that answer.
    pub shards_alive: usize,
    /// Shards there should be.
    pub shards: usize,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Version of the program.
    pub version: &'static str,
    /// What is not broken yet, one line each: certificates and revocation lists that run out.
    pub warnings: Vec<String>,
}

impl Health {
    /// Nothing is broken.
    pub fn is_ok(&self) -> bool {
        self.storage_ok && self.shards_alive == self.shards
    }

    /// Uptime as whole seconds.
    pub fn uptime(elapsed: Duration) -> u64 {
        elapsed.as_secs()
    }
}

/// A row of `/calls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallView {
    /// Id, as `explain call` and `/calls/{id}/security` take it.
    pub id: String,
    /// When the INVITE was admitted.
    pub started: Timestamp,
    /// The device that called.
    pub caller: String,
    /// The number that was called.
    pub called: String,
    /// Class as last computed; `null` before the answer.
    pub class: Option<SecurityClass>,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Not answered.
    Early,
    /// Answered.
    Answered,
    /// Ended lately.
    Ended,
}

/// `/calls/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallDetail {
    /// As in the list.
    #[serde(flatten)]
    pub call: CallView,
    /// How far it is.
    pub state: CallState,
    /// What every phone on the call shows; `null` before the answer.
    pub icon: Option<&'static str>,
    /// Devices of the answered legs.
    pub devices: Vec<String>,
}

/// `/calls/{id}/security`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallSecurityView {
    /// The call.
    pub id: String,
    /// Class, icon and legs with their criteria.
    #[serde(flatten)]
    pub security: CallSecurity,
}

/// A row of `/registrations`: one binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrationView {
    /// Address of record: `sip:<dn>@<domain>`.
    pub aor: String,
    /// Device.
    pub device: String,
    /// Contact as registered.
    pub contact: String,
    /// When the grant ends.
    pub expires_at: Timestamp,
    /// Transport it registered on.
    pub transport: Transport,
    /// How it is reached ([`flow_text`]); `lost` when it must come back first.
    pub flow: String,
    /// Cipher suite of the connection; `null` without TLS.
    pub suite: Option<String>,
    /// Name of the profile under which it is judged.
    pub profile: String,
}

/// A page of bindings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrationPage {
    /// Rows, in an order that does not change between pages.
    pub rows: Vec<RegistrationView>,
    /// Passed as `after`, continues behind the last row; `None` when this was the last page.
    pub next: Option<String>,
}

/// A flow in the API: `udp 192.0.2.7:5060`, `tls 192.0.2.7:40022`, or `lost`.
pub fn flow_text(flow: &Flow) -> String {
    match flow {
        Flow::Lost { .. } => "lost".to_owned(),
        Flow::Udp { remote, .. } => format!("udp {remote}"),
        Flow::Stream { transport, remote, .. } => format!("{} {remote}", transport_text(*transport)),
    }
}

/// A transport in the API and in metrics.
pub fn transport_text(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Oauth => "oauth",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportDone {
    /// Rows in the file.
    pub rows: usize,
    /// Rows that changed something.
    pub changed: usize,
    /// What is allowed but worth knowing.
    pub warnings: Vec<ImportWarning>,
}

/// One kind of warning with the number of rows that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportWarning {
    /// Stable code.
    pub code: String,
    /// What it means and what to do.
    pub text: String,
    /// Rows concerned.
    pub count: usize,
    /// Some of their names.
    #[serde(default)]
    pub examples: Vec<String>,
}

/// Why an import was refused; nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportRefused {
    /// Rows are wrong.
    Rows {
        /// At most [`REFUSALS_MAX`], in the order of the file.
        errors: Vec<RowRefusal>,
        /// Wrong rows beyond these.
        more: usize,
    },
    /// Not the file's fault, or not one row's: what failed and what to do, on one line.
    Failed {
        /// Stable code, snake_case.
        code: String,
        /// The line.
        reason: String,
    },
}

/// One wrong row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRefusal {
    /// Line number in the file, from 1.
    pub row: usize,
    /// What is wrong with it, on one line.
    pub reason: String,
    /// Stable code.
    pub code: String,
}

#[cfg(test)]
mod tests {
    use keyline_domain::ids::UnixMillis;

    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_and_never_fail() {
        let text = |millis| Timestamp(UnixMillis(millis)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        // RFC 3339 §5.8 gives this instant in another offset: 1990-12-31T15:59:60-08:00 less the leap second.
        assert_eq!(text(662_687_999_007), "1990-12-31T23:59:59.007Z");
        assert_eq!(text(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert!(text(u64::MAX).starts_with("9999-"));
    }

    #[test]
    fn flows_are_told_apart() {
        let remote = "192.0.2.7:5060".parse().unwrap();
        assert_eq!(flow_text(&Flow::Udp { local: remote, remote }), "udp 192.0.2.7:5060");
        assert_eq!(flow_text(&Flow::Lost { transport: Transport::Tls, remote }), "lost");
    }
}
