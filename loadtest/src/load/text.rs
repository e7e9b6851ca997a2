//! Requests and responses as text, with as little work as possible: the generator shares the machine.

use std::fmt::Write as _;

use keyline_wire::sip::{HeaderName, Message};

use super::core::Phone;
use super::transaction::Method;

/// In front of a transaction's number in a branch.
const BRANCH: &str = "z9hG4bK-kl";

/// What a request says. The writer adds who sends it, Via, Max-Forwards, credentials and lengths.
#[derive(Clone, Copy)]
pub(super) struct Draft<'d> {
    pub method: Method,
    pub uri: &'d str,
    /// User part of To; `None`: the sender's own.
    pub to: Option<&'d str>,
    pub to_tag: &'d str,
    pub from_tag: &'d str,
    pub call_id: &'d str,
    pub cseq: u32,
    /// Parameters of Contact; `None`: no Contact.
    pub contact: Option<&'d str>,
    /// Values of Route.
    pub route: &'d [String],
    /// Whole further header lines.
    pub more: &'d str,
    /// SDP.
    pub body: &'d str,
}

/// Number of a transaction: slot and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TxId {
    pub slot: u32,
    pub generation: u32,
}

/// The transaction of a branch; `None` when it is not ours.
pub(super) fn transaction_of(branch: &str) -> Option<TxId> {
    let (slot, rest) = branch.strip_prefix(BRANCH)?.split_once('.')?;
    let generation = rest.split('.').next()?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    Some(TxId { slot: hex(slot)?, generation: hex(generation)? })
}

/// Writes start line, Via and what a draft says except credentials, lengths and the body.
pub(super) fn head(out: &mut String, draft: &Draft<'_>, sender: &Phone, host: &str, run: &str, tx: TxId) {
    let Draft { method, uri, call_id, cseq, .. } = *draft;
    let (TxId { slot, generation }, method, via) = (tx, method.as_str(), &sender.via);
    out.clear();
    // Writing to a String can not fail.
    let _ = write!(
        out,
        "{method} {uri} SIP/2.0\r\nVia: {via};branch={BRANCH}{slot:x}.{generation:x}.{run};rport\r\n"
    );
    for value in draft.route {
        push(out, &["Route: ", value, "\r\n"]);
    }
    let own = &*sender.user.number;
    out.push_str("Max-Forwards: 70\r\n");
    name(out, "From", [own, host, draft.from_tag]);
    name(out, "To", [draft.to.unwrap_or(own), host, draft.to_tag]);
    let _ = write!(out, "Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n");
    if let Some(parameters) = draft.contact {
        push(out, &["Contact: ", &sender.contact, parameters, "\r\n"]);
    }
    out.push_str(draft.more);
}

/// The ACK or CANCEL of an INVITE: same branch, same number (RFC 3261 §9.1, §17.1.1.3). `to` is the To of
/// the response that an ACK acknowledges.
pub(super) fn derived(invite: &str, method: &str, to: Option<&str>) -> Option<String> {
    let invite = Message::parse(invite.as_bytes()).ok()?;
    let mut out = String::with_capacity(512);
    let first = |header| invite.first(header).unwrap_or_default();
    push(&mut out, &[method, " ", invite.request_uri()?, " SIP/2.0\r\nVia: ", first(HeaderName::Via)]);
    for value in invite.all(HeaderName::Route) {
        push(&mut out, &["\r\nRoute: ", value]);
    }
    push(&mut out, &["\r\nMax-Forwards: 70\r\nFrom: ", first(HeaderName::From)]);
    push(&mut out, &["\r\nTo: ", to.unwrap_or(first(HeaderName::To))]);
    let _ = write!(out, "\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n", invite.call_id()?, invite.cseq()?.number);
    end(&mut out, "");
    Some(out)
}

/// Writes the end: what the program is called, lengths, body.
pub(super) fn end(out: &mut String, body: &str) {
    if body.is_empty() {
        out.push_str("User-Agent: Keyline-Loadtest\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    out.push_str("User-Agent: Keyline-Loadtest\r\nContent-Type: application/sdp\r\n");
    let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
}

fn name(out: &mut String, header: &str, [user, host, tag]: [&str; 3]) {
    push(out, &[header, ": <sip:", user, "@", host, ">"]);
    if !tag.is_empty() {
        push(out, &[";tag=", tag]);
    }
    out.push_str("\r\n");
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// The status line of an answer to a request, its tag, Contact and body.
pub(super) struct Answer<'a> {
    pub status: u16,
    pub reason: &'a str,
    /// Tag for To when the request has none.
    pub tag: &'a str,
    pub body: &'a str,
}

/// Writes a response to a request. `contact` goes where the response may make a dialog.
pub(super) fn response(out: &mut String, request: &Message<'_>, answer: &Answer<'_>, contact: &str) {
    out.clear();
    let _ = write!(out, "SIP/2.0 {} {}\r\n", answer.status, answer.reason);
    for (header, label) in [(HeaderName::Via, "Via: "), (HeaderName::RecordRoute, "Record-Route: ")] {
        for value in request.all(header) {
            push(out, &[label, value, "\r\n"]);
        }
    }
    let first = |header| request.first(header).unwrap_or_default();
    push(out, &["From: ", first(HeaderName::From), "\r\nTo: ", first(HeaderName::To)]);
    if request.to_tag().is_none() && answer.status > 100 {
        push(out, &[";tag=", answer.tag]);
    }
    push(out, &["\r\nCall-ID: ", first(HeaderName::CallId), "\r\nCSeq: ", first(HeaderName::Cseq), "\r\n"]);
    if (101..300).contains(&answer.status) {
        push(out, &["Contact: ", contact, "\r\n"]);
    }
    end(out, answer.body);
}

/// SDP of one audio stream; the port tells the two ends of a call that it is the same call.
pub(super) fn sdp(out: &mut String, address: std::net::IpAddr, port: u16, session: u64) {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    out.clear();
    let _ = write!(
        out,
        "v=0\r\no=- {session} 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    );
}

/// The port of the first audio stream of an SDP.
pub(super) fn audio_port(body: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(body).ok()?;
    let line = text.split("\r\n").find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::users::User;
    use super::*;

    #[test]
    fn requests_and_responses_are_whole_messages() {
        let user = User { number: "1".into(), user: "u".into(), password: "p".into(), device: None };
        let (contact, via) = ("<sip:1@127.0.0.9:4000>".into(), "SIP/2.0/UDP 127.0.0.9:4000".into());
        let phone = Phone { user, link: 0, cseq: 0, kept: None, tls: None, contact, via };
        let mut body = String::new();
        sdp(&mut body, "127.0.0.9".parse().unwrap(), 4_002, 5);
        let draft = Draft {
            method: Method::Invite,
            uri: "sip:2@example.net",
            to: Some("2"),
            to_tag: "",
            from_tag: "a",
            call_id: "c@h",
            cseq: 7,
            contact: Some(""),
            route: &["<sip:p;lr>".to_owned()],
            more: "Expires: 60\r\n",
            body: &body,
        };
        let mut out = String::new();
        let tx = TxId { slot: 0x1f, generation: 0xab };
        head(&mut out, &draft, &phone, "example.net", "r1", tx);
        end(&mut out, draft.body);
        let invite = Message::parse(out.as_bytes()).unwrap();
        let branch = |message: &Message<'_>| message.top_via().and_then(|via| transaction_of(via.branch()?));
        assert_eq!(branch(&invite), Some(tx));
        assert_eq!((invite.from_tag(), invite.to_tag(), invite.call_id()), (Some("a"), None, Some("c@h")));
        assert_eq!(audio_port(invite.body()), Some(4_002));
        assert!(invite.expires().is_some() && invite.contact().is_some());

        let mut back = String::new();
        let answer = Answer { status: 200, reason: "OK", tag: "b", body: "" };
        response(&mut back, &invite, &answer, "<sip:2@h>");
        let back = Message::parse(back.as_bytes()).unwrap();
        assert_eq!((back.status(), back.to_tag(), back.cseq().unwrap().number), (Some(200), Some("b"), 7));

        let to = back.first(HeaderName::To);
        let ack = derived(&out, "ACK", to).unwrap();
        let ack = Message::parse(ack.as_bytes()).unwrap();
        assert_eq!(
            (branch(&ack), ack.to_tag(), ack.all(HeaderName::Route).count()),
            (Some(tx), Some("b"), 1)
        );
        assert_eq!(transaction_of("z9hG4bKother"), None);
    }
}
