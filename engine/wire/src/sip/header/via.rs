//! Via (RFC 3261 §20.42, RFC 3581, RFC 5923).

use std::net::IpAddr;

use crate::sip::text::{split_at_byte, split_outside, trim};
use crate::sip::uri::Host;
use crate::sip::{HeaderError, Params};

/// One Via value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// The whole value, as written.
    pub raw: &'a str,
    /// Transport token as written: `UDP`, `TCP`, `TLS`, … ; compare without case.
    pub transport: &'a str,
    /// Host of the sender.
    pub host: Host<'a>,
    /// Port of the sender, where written.
    pub port: Option<u16>,
    /// Parameters; not checked by [`Via::parse`].
    pub params: Params<'a>,
}

/// The cookie that begins every branch of RFC 3261; compares with case.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Parses one value. Parameters stay unchecked, so that a malformed request can still be answered.
    pub fn parse(raw: &'a str) -> Result<Via<'a>, HeaderError> {
        let raw = trim(raw);
        let (front, params) = split_outside(raw, b';', false);
        let (protocol, rest) = split_at_byte(front, b'/').ok_or(HeaderError::Token)?;
        let (version, rest) = split_at_byte(rest, b'/').ok_or(HeaderError::Token)?;
        let rest = trim(rest);
        let gap = rest.bytes().position(|b| matches!(b, b' ' | b'\t')).ok_or(HeaderError::Token)?;
        let (transport, sent_by) = rest.split_at(gap);
        if !trim(protocol).eq_ignore_ascii_case("SIP")
            || trim(version).is_empty()
            || !crate::sip::is_token(transport)
        {
            return Err(HeaderError::Token);
        }
        let (host, port) = Host::parse_with_port(sent_by)?;
        Ok(Via { raw, transport, host, port, params: Params::new(params) })
    }

    /// Branch; `None` when absent or empty.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// Branch that is unique by RFC 3261: begins with the cookie and has something behind it.
    pub fn unique_branch(&self) -> Option<&'a str> {
        self.branch().filter(|branch| branch.len() > BRANCH_COOKIE.len() && branch.starts_with(BRANCH_COOKIE))
    }

    /// Whether the sender asks for answers to its source port (RFC 3581), or one is already filled in.
    pub fn has_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The source port filled in by a server.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }

    /// The source address filled in by a server; brackets around IPv6 are accepted (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether the connection may be reused for requests back (RFC 5923).
    pub fn alias(&self) -> bool {
        self.params.has("alias")
    }

    /// Port that answers go to where the sender's source port may not be used: the written one, else
    /// 5061 for TLS and 5060 for all others. Port 0 counts as not written.
    pub fn answer_port(&self) -> u16 {
        let secure = self.transport.eq_ignore_ascii_case("TLS");
        self.port.filter(|port| *port != 0).unwrap_or(if secure { 5061 } else { 5060 })
    }
}
