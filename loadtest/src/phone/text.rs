//! Requests as the phone writes them, and random words.

use std::fmt::Write as _;
use std::net::SocketAddr;

use keyline_wire::sip::{Printer, reason_phrase};

use super::PhoneConfig;

/// Methods that the phone takes.
pub(super) const ALLOW: &str =
    "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, REFER, UPDATE, SUBSCRIBE";

/// What a phone that understands Call-Info supports (Cisco's tokens).
const SUPPORTED_CISCO: &str = "replaces,join,sdp-anat,norefersub,resource-priority,extended-refer,\
    X-cisco-callinfo,X-cisco-serviceuri,X-cisco-escapecodes,X-cisco-service-control,\
    X-cisco-srtp-fallback,X-cisco-monrec,X-cisco-config,X-cisco-sis-7.0.0,X-cisco-xsi-8.5.1";

/// A body with its media type.
pub type Body = (String, Vec<u8>);

/// A request before it has a branch.
#[derive(Debug, Clone, Default)]
pub(super) struct Outgoing {
    pub method: String,
    pub uri: String,
    /// From, with tag.
    pub from: String,
    /// To, with tag in a dialog.
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub routes: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Body>,
}

impl Outgoing {
    /// Bytes with that branch.
    pub(super) fn print(
        &self,
        config: &PhoneConfig,
        local: SocketAddr,
        branch: &str,
        more: Option<(&str, &str)>,
    ) -> Vec<u8> {
        let mut out = Printer::request(&self.method, &self.uri);
        out.header("Via", &via(config, local, branch));
        out.header_number("Max-Forwards", 70);
        for route in &self.routes {
            out.header("Route", route);
        }
        out.header("From", &self.from).header("To", &self.to).header("Call-ID", &self.call_id);
        out.cseq(self.cseq, &self.method);
        if let Some((name, value)) = more {
            out.header(name, value);
        }
        for (name, value) in &self.headers {
            out.header(name, value);
        }
        match &self.body {
            Some((content_type, body)) => out.finish_with(content_type, body),
            None => out.finish(),
        }
    }
}

/// Value of Via.
pub(super) fn via(config: &PhoneConfig, local: SocketAddr, branch: &str) -> String {
    let rport = if config.rport { ";rport" } else { "" };
    format!("SIP/2.0/{} {local};branch={branch}{rport}", config.transport.token())
}

/// Value of Contact for a line, without expiry.
pub(super) fn contact(config: &PhoneConfig, local: SocketAddr, line: &str) -> String {
    let mut value = format!("<sip:{line}@{local};transport={}>", config.transport.param());
    // Writing to a String can not fail.
    if let Some(device) = &config.device {
        if let Some(mac) = device.strip_prefix("SEP").filter(|mac| mac.len() == 12) {
            let mac = mac.to_ascii_lowercase();
            let _ = write!(value, ";+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{mac}>\"");
        }
        let _ = write!(value, ";+u.sip!devicename.ccm.cisco.com=\"{device}\"");
        if let Some(model) = config.model {
            let _ = write!(value, ";+u.sip!model.ccm.cisco.com=\"{model}\"");
        }
    }
    value
}

/// Value of Supported.
pub(super) fn supported(config: &PhoneConfig) -> &'static str {
    if config.callinfo { SUPPORTED_CISCO } else { "replaces,norefersub" }
}

/// Value of User-Agent.
pub(super) fn user_agent(config: &PhoneConfig) -> String {
    match config.model {
        Some(model) => format!("Keyline-Simphone/{} ({model})", env!("CARGO_PKG_VERSION")),
        None => format!("Keyline-Simphone/{}", env!("CARGO_PKG_VERSION")),
    }
}

/// Reason phrase of a status.
pub(super) fn phrase(status: u16) -> &'static str {
    reason_phrase(status)
}

/// Random hexadecimal digits of that many bytes, at most 16.
pub(crate) fn random(bytes: usize) -> String {
    let mut raw = [0; 16];
    let raw = &mut raw[..bytes.min(16)];
    if getrandom::fill(raw).is_err() {
        // Without a source of randomness words must still differ.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos().to_le_bytes();
        raw.iter_mut().zip(seed).for_each(|(to, from)| *to = from);
    }
    let mut text = String::with_capacity(2 * raw.len());
    for byte in raw {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A fresh branch.
pub(super) fn branch() -> String {
    format!("z9hG4bK{}", random(12))
}
