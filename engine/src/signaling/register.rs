//! REGISTER (RFC 3261 §10.3): facts for the phone's row in, the list of bindings out.

use std::borrow::Cow;
use std::sync::Arc;

use keyline_actors::outlet::{ListedContact, RegisterReply};
use keyline_domain::flow::Flow;
use keyline_domain::ids::Dn;
use keyline_domain::inventory::Newcomer;
use keyline_domain::phone::{Accepted, ContactFact, Instance, Kind, Peer, Register, udp_target};
use keyline_wire::sip::text::{push_number, push_quoted};
use keyline_wire::sip::{
    ContactParams, Contacts, HeaderName, Message, NameAddr, Printer, Uri, multipart, quoted, reason_phrase,
};
use smallvec::SmallVec;

use super::owner::{Asked, ServerOwner};
use super::path::Path;

/// Seconds over which Retry-After is spread (design §4).
pub const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 5..=30;

/// Seconds after which a phone with outbound flows sends its next keepalive at the latest (RFC 5626 §4.4).
const FLOW_TIMER_S: u64 = 120;

/// What a Cisco phone reads from our 200 before it offers SRTP with fallback (provisioning.md §7.2).
pub const CISCO_SUPPORTED: &str = "X-cisco-srtp-fallback,X-cisco-sis-9.1.0";

/// Media type of the bodies that Cisco phones add.
const REMOTECC_REQUEST: &str = "application/x-cisco-remotecc-request+xml";
const REMOTECC_RESPONSE: &str = "application/x-cisco-remotecc-response+xml";

/// Why a REGISTER cannot even be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable {
    /// Status.
    pub status: u16,
    /// For the Warning header.
    pub text: &'static str,
}

const fn unusable(status: u16, text: &'static str) -> Unusable {
    Unusable { status, text }
}

/// What a REGISTER says, before anybody is believed.
pub struct Read<'m> {
    /// Line of To.
    pub line: Dn,
    /// Device name parameter of the first Contact that has one.
    pub device_name: Option<String>,
    /// Contacts.
    contacts: Contacts<'m>,
    /// Their parameters, in the same order.
    params: SmallVec<[ContactParams<'m>; 1]>,
    /// `cisco-keep-alive` on a Contact, everything at 0.
    pub keepalive: bool,
    /// The phone speaks Cisco's dialect.
    pub cisco: bool,
    /// The body asks to register all lines.
    pub bulk: bool,
    /// The body holds `optionsind`.
    pub options_indication: bool,
}

/// Reads a REGISTER.
pub fn read<'m>(message: &'m Message<'_>) -> Result<Read<'m>, Unusable> {
    let to = message.to().ok_or(unusable(400, "To cannot be read"))?;
    let user = to.uri.aor_user().ok_or(unusable(404, "To has no user part"))?;
    let line = Dn::parse(&user).map_err(|_| unusable(404, "no such line"))?;
    let contacts = message.contacts();
    let list: &[NameAddr<'_>] = match &contacts {
        Contacts::List(l) => l,
        Contacts::None | Contacts::Star => &[],
    };
    if list.iter().any(|c| !c.uri.is_sip()) {
        return Err(unusable(400, "only sip and sips contacts are registered"));
    }
    let params: SmallVec<[ContactParams<'_>; 1]> = list.iter().map(NameAddr::contact_params).collect();
    let device_name = params.iter().find_map(|c| c.device_name.clone()).map(Cow::into_owned);
    let header_zero = message.expires().is_some_and(|e| e.seconds == 0);
    let keepalive = params.iter().any(|c| c.keep_alive)
        && params.iter().all(|c| c.expires.map_or(header_zero, |e| e.seconds == 0));
    let cisco = device_name.is_some()
        || message
            .tokens(HeaderName::Supported)
            .any(|t| t.len() > 8 && t[..8].eq_ignore_ascii_case("X-cisco-"));
    let (mut bulk, mut options_indication) = (false, false);
    if cisco && !message.body().is_empty() {
        (bulk, options_indication) = remotecc(message);
    }
    Ok(Read { line, device_name, contacts, params, keepalive, cisco, bulk, options_indication })
}

/// Looks for `bulkregisterreq` and `optionsind` in the body (provisioning.md §7.1).
fn remotecc(message: &Message<'_>) -> (bool, bool) {
    let Some(content_type) = message.first(HeaderName::ContentType) else { return (false, false) };
    let mut found = (false, false);
    let mut look = |body: &[u8]| {
        let text = String::from_utf8_lossy(body);
        found.0 |= text.contains("<bulkregisterreq") && text.contains("all=\"true\"");
        found.1 |= text.contains("<optionsind");
    };
    if content_type.starts_with(REMOTECC_REQUEST) {
        look(message.body());
    } else if let Ok(parts) = multipart::parts(content_type, message.body()) {
        for part in parts.iter().filter(|p| p.is(REMOTECC_REQUEST)) {
            look(part.body);
        }
    }
    found
}

impl Read<'_> {
    /// The phone as auto-registration sees it; `None` when it does not say who it is, or takes itself away.
    pub fn newcomer(&self) -> Option<Newcomer> {
        let Contacts::List(_) = &self.contacts else { return None };
        if self.keepalive || self.params.iter().all(|c| c.expires.is_some_and(|e| e.seconds == 0)) {
            return None;
        }
        let instance = self.params.iter().find_map(|c| c.instance.as_deref());
        let model = self.params.iter().find_map(|c| c.model.as_deref()).and_then(|m| m.parse().ok());
        Newcomer::of(self.device_name.as_deref(), instance, model, &self.line)
    }

    /// A contact asks to be kept by flow (RFC 5626 §4.2).
    pub fn has_flow(&self) -> bool {
        self.params.iter().any(|c| c.reg_id.is_some() && c.instance.is_some())
    }

    /// The facts for the phone's row, once the device is known. `all_lines` are the device's, for a bulk
    /// registration; `phone_port` is the applied profile's.
    pub fn facts(
        &self,
        message: &Message<'_>,
        path: &Path,
        peer: Peer,
        all_lines: &[Dn],
        phone_port: u16,
    ) -> Register {
        let mut lines = SmallVec::from_iter([self.line.clone()]);
        if self.bulk {
            lines.extend(all_lines.iter().filter(|l| **l != self.line).cloned());
        }
        let list: &[NameAddr<'_>] = match &self.contacts {
            Contacts::List(l) => l,
            Contacts::None | Contacts::Star => &[],
        };
        let via_alone = message.vias().nth(1).is_none() || edge_keeps_flows(message);
        let contacts = list
            .iter()
            .zip(&self.params)
            .map(|(c, params)| ContactFact {
                uri: c.uri.raw.into(),
                uri_key: canonical(&c.uri),
                q: params.q,
                expires: params.expires.map(|e| e.seconds),
                instance: params.instance.as_deref().map(Instance::from),
                // RFC 5626 §6: only when the UA itself is the first hop, or the first hop keeps flows.
                reg_id: params.reg_id.filter(|_| via_alone),
                model: params.model.as_deref().and_then(|m| m.parse().ok()),
            })
            .collect();
        let flow = match path.flow() {
            Flow::Udp { local, remote } => {
                let via = message.top_via();
                let port = list.first().and_then(|c| c.uri.port);
                let has_rport = via.is_some_and(|v| v.has_rport());
                Flow::Udp { local, remote: udp_target(remote, has_rport, port, phone_port) }
            }
            stream => stream,
        };
        Register {
            lines,
            contacts,
            star: matches!(self.contacts, Contacts::Star),
            expires: message.expires().map(|e| e.seconds),
            call_id: message.call_id().unwrap_or_default().into(),
            cseq: message.cseq().map_or(0, |c| c.number),
            nonce: None,
            flow,
            peer,
            path: path_values(message),
            keepalive: self.keepalive,
        }
    }
}

/// Values of Path; one more than are kept, so that too many are noticed.
pub fn path_values(message: &Message<'_>) -> keyline_domain::phone::Path {
    message.values(HeaderName::Path).take(keyline_domain::phone::PATH_MAX + 1).map(Arc::from).collect()
}

/// The first hop keeps flows (RFC 5626 §5.1): it has put itself onto the Path with `ob`.
pub fn edge_keeps_flows(message: &Message<'_>) -> bool {
    let first = message.addresses(HeaderName::Path).last().and_then(Result::ok);
    first.is_some_and(|edge| edge.uri.params().any(|p| p.name.eq_ignore_ascii_case("ob")))
}

/// A text in which equivalent URIs are equal (RFC 3261 §19.1.4): scheme and host in lower case, escapes
/// resolved, the parameters that always count, and headers, in order of name. Parameters that count only
/// when both have them are left out.
fn canonical(uri: &Uri<'_>) -> String {
    let mut out = uri.aor().unwrap_or_else(|| uri.raw.to_owned());
    if let Some(p) = uri.password {
        out.push_str("|pw=");
        out.push_str(p);
    }
    if let Some(p) = uri.port {
        out.push('|');
        push_number(&mut out, u64::from(p));
    }
    let mut always: Vec<String> = uri
        .params()
        .filter(|p| {
            ["transport", "user", "ttl", "method", "maddr"].iter().any(|n| p.name.eq_ignore_ascii_case(n))
        })
        .map(|p| format!("{}={}", p.name.to_ascii_lowercase(), p.text().to_ascii_lowercase()))
        .collect();
    always.extend(
        uri.headers().map(|h| format!("?{}={}", h.name.to_ascii_lowercase(), h.value.unwrap_or_default())),
    );
    always.sort();
    for a in always {
        out.push('|');
        out.push_str(&a);
    }
    out
}

/// Prints the answer to a REGISTER.
pub fn answer(owner: &ServerOwner, reply: &RegisterReply, date: &str, spread: u64) -> (u16, Vec<u8>) {
    match reply {
        RegisterReply::Accepted { accepted, contacts, .. } => {
            (200, accepted_200(owner, accepted, contacts, date))
        }
        RegisterReply::Refused(cause) => {
            let status = cause.status();
            let warning = format!("399 keyline {}", quoted(&cause.to_string()));
            let mut p = owner.head.response(status, reason_phrase(status), Some(&owner.tag));
            if let Some(min) = cause.min_expires() {
                p.header_number("Min-Expires", u64::from(min));
            }
            p.header("Warning", &warning);
            (status, p.finish())
        }
        RegisterReply::StorageFailed => {
            (500, owner.head.response(500, reason_phrase(500), Some(&owner.tag)).finish())
        }
        RegisterReply::Overloaded => {
            let mut p = owner.head.response(503, reason_phrase(503), Some(&owner.tag));
            p.header_number("Retry-After", spread);
            (503, p.finish())
        }
    }
}

fn accepted_200(owner: &ServerOwner, accepted: &Accepted, contacts: &[ListedContact], date: &str) -> Vec<u8> {
    let mut p: Printer = owner.head.response(200, "OK", Some(&owner.tag));
    p.header("Date", date);
    for c in contacts {
        contact(&mut p, c, accepted.newreg);
    }
    if accepted.kind != Kind::Fetched
        && let Some(expires) = accepted.expires
    {
        p.header_number("Expires", u64::from(expires));
    }
    if let Asked::Register { outbound: true, .. } = owner.asked {
        // RFC 5626 §6: tells the phone that its flows are kept apart.
        p.header("Require", "outbound");
        p.header_number("Flow-Timer", FLOW_TIMER_S);
    }
    if let Asked::Register { path, .. } = &owner.asked
        && !path.is_empty()
    {
        // RFC 3327 §5.3, RFC 3608 §5: the way back, and the way here for what the phone sends later.
        for value in path {
            p.header("Path", value);
        }
        let route = owner.contact.trim_end_matches('>');
        p.header_parts("Service-Route", &[route, ";lr>"]);
    }
    if let Asked::Register { cisco: true, options_indication, .. } = owner.asked {
        p.header("Supported", CISCO_SUPPORTED);
        if options_indication {
            let body = b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<x-cisco-remotecc-response><response>\
                <code>200</code></response></x-cisco-remotecc-response>\n";
            return p.finish_with(REMOTECC_RESPONSE, body);
        }
    }
    p.finish()
}

fn contact(p: &mut Printer, c: &ListedContact, newreg: bool) {
    let mut value = String::with_capacity(c.contact.len() + 160);
    let out = &mut value;
    out.push('<');
    out.push_str(&c.contact);
    out.push_str(">;expires=");
    push_number(out, u64::from(c.expires));
    match c.q {
        None => {}
        Some(1000..) => out.push_str(";q=1.0"),
        Some(q) => {
            // Three digits behind the point.
            out.push_str(";q=0.");
            (q < 100).then(|| out.push('0'));
            (q < 10).then(|| out.push('0'));
            push_number(out, u64::from(q));
        }
    }
    if let Some(i) = &c.instance {
        out.push_str(";+sip.instance=");
        push_quoted(out, i);
    }
    if let Some(r) = c.reg_id {
        out.push_str(";reg-id=");
        push_number(out, u64::from(r));
    }
    if let Some(m) = c.model {
        out.push_str(";+u.sip!model.ccm.cisco.com=\"");
        push_number(out, u64::from(m));
        out.push('"');
    }
    if newreg && c.own {
        out.push_str(";x-cisco-newreg");
    }
    p.header("Contact", &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_uris_have_one_canonical_text() {
        let key = |u: &str| canonical(&Uri::parse(u).unwrap());
        assert_eq!(key("sip:%61lice@Example.COM;transport=TCP"), key("sip:alice@example.com;Transport=tcp"));
        assert_eq!(key("sip:a@h;new=1"), key("sip:a@h"));
        assert_ne!(key("sip:a@h;transport=tcp"), key("sip:a@h"));
        assert_ne!(key("sip:a@h:5060"), key("sip:a@h"));
        assert_ne!(key("sip:Alice@h"), key("sip:alice@h"));
        assert_eq!(key("sip:a@h?subject=x&priority=urgent"), key("sip:a@h?Priority=urgent&subject=x"));
    }
}
