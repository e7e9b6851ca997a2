//! The facts that admission judges, as the engine and the boards give them.

use std::net::SocketAddr;

use crate::flow::{Flow, StreamId};
use crate::identity::PeerCertificate;
use crate::ids::{DeviceName, Dn, UserId};
use crate::mode::{ClusterMode, SuiteKind, Transport};
use crate::oauth::TokenOutcome;
use crate::profile::ProfileSettings;

/// The methods that admission tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// REGISTER.
    Register,
    /// ACK: has no answer, so it cannot be challenged (RFC 3261 §22.1).
    Ack,
    /// CANCEL: cannot be sent again, so it cannot be challenged (RFC 3261 §22.1).
    Cancel,
    /// OPTIONS.
    Options,
    /// All others.
    Other,
}

impl MethodKind {
    /// By the method's name, which is case-sensitive (RFC 3261 §7.1).
    pub fn of(method: &str) -> Self {
        match method {
            "REGISTER" => Self::Register,
            "ACK" => Self::Ack,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// One request, as far as admission is concerned.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// Method.
    pub method: MethodKind,
    /// In a dialog of ours: its tag carries our MAC, and the claimed device is that of the leg.
    pub in_dialog: bool,
    /// REGISTER with `cisco-keep-alive`, Expires 0: leaves bindings alone (R193).
    pub standby_keepalive: bool,
    /// OPTIONS whose Request-URI names the server itself, no user (R193).
    pub to_server: bool,
    /// Listener.
    pub transport: Transport,
    /// Kind of the negotiated suite; `None` without TLS.
    pub suite: SuiteKind,
    /// Client certificate of the connection.
    pub certificate: Option<PeerCertificate<'a>>,
    /// Bearer token, of the request or of its connection. Off the OAuth port it is never more than noticed.
    pub token: TokenOutcome<'a>,
    /// Where the packet came from.
    pub source: SocketAddr,
    /// The connection; `None` over UDP.
    pub stream: Option<StreamId>,
    /// User parts of the addresses of record that the request speaks for: those of a REGISTER's To (and
    /// of every further line it registers), else From's, or P-Preferred-Identity's where From is
    /// anonymous. Unescaped. None at all speaks for nobody. Not looked at in a dialog.
    pub aors: &'a [&'a str],
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// A REGISTER that leaves the set of the row's contacts as it is and removes none of them.
    pub merely_extends: bool,
}

/// The claimed device, from its board.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFacts<'a> {
    /// Name.
    pub name: &'a DeviceName,
    /// Name of its model.
    pub model: &'a str,
    /// Preferred-vendor model: no MIC, no LSC, an uploaded certificate instead (R054, R055).
    pub preferred_vendor: bool,
    /// Its model uses one certificate for all phones of a profile (R071).
    pub shared_certificate: bool,
    /// Its model may register over WebSocket.
    pub websocket: bool,
    /// Name of its applied profile: what a shared certificate must name (R075).
    pub profile_name: &'a str,
    /// Settings of the applied profile.
    pub settings: &'a ProfileSettings,
    /// Settings before the last apply, while the grace time runs (design §5 Profile versions).
    pub previous: Option<&'a ProfileSettings>,
    /// Its lines.
    pub lines: &'a [Dn],
    /// Its digest user (R199).
    pub digest_user: Option<&'a UserId>,
    /// The Extension Mobility user logged in, who takes the digest user's place (R195).
    pub em_user: Option<&'a UserId>,
    /// Fingerprint of the uploaded certificate: of this device, or of its profile if the model shares one.
    pub uploaded_certificate: Option<&'a [u8; 32]>,
    /// Its binding, if one has not run out.
    pub binding: Option<BindingFacts<'a>>,
}

impl DeviceFacts<'_> {
    /// The user whose digest counts now (R195).
    pub fn expected_user(&self) -> Option<&UserId> {
        self.em_user.or(self.digest_user)
    }
}

/// A device's present binding.
#[derive(Debug, Clone, Copy)]
pub struct BindingFacts<'a> {
    /// The flow that it registered on.
    pub flow: Flow,
    /// Source address of the REGISTER that made it or refreshed it last; the flow's remote address where
    /// only that was kept.
    pub source: SocketAddr,
    /// Whether requests can reach it: a live connection, or UDP.
    pub live: bool,
    /// The request that wrote the row.
    pub last: LastRegister<'a>,
}

/// What the row keeps of the REGISTER that wrote it (design §5 Repeats).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRegister<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// Id of its nonce; `None`: it came without digest.
    pub nonce_id: Option<u64>,
    /// Its nonce count; 0 without digest.
    pub nc: u32,
}

/// `mic_tls_policy`: what a manufacturer's certificate is worth on the SIP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MicPolicy {
    /// Taken, with an event.
    #[default]
    Warn,
    /// Refused.
    Refuse,
}

/// Parameters that bear on admission. They act from their commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// `cluster_security_mode`.
    pub cluster: ClusterMode,
    /// `mic_tls_policy`.
    pub mic: MicPolicy,
    /// A device without any proof due may move its live binding to another source.
    pub allow_unproven_move: bool,
}
