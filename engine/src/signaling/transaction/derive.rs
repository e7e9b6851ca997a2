//! Requests that the transaction layer makes out of a stored one: the ACK for a final response
//! other than 2xx (RFC 3261 §17.1.1.3) and the CANCEL (§9.1).

use keyline_wire::sip::{HeaderName, Message, Method, Printer};

/// A request with the same Request-URI, top Via, From, Call-ID, CSeq number and Route set as
/// `request`, another method, and no body. `to` replaces the value of To; `extra` are further
/// headers. None if `request` is no complete request.
pub(super) fn derive(
    request: &Message<'_>,
    method: Method<'_>,
    to: Option<&str>,
    extra: &[(&str, &str)],
) -> Option<Vec<u8>> {
    let mut printer = Printer::request(method.as_str(), request.request_uri()?);
    printer
        .header("Via", request.top_via()?.raw)
        .header("Max-Forwards", "70")
        .header("From", request.first(HeaderName::From)?)
        .header("To", to.or_else(|| request.first(HeaderName::To))?)
        .header("Call-ID", request.call_id()?)
        .cseq(request.cseq()?.number, method.as_str());
    for route in request.all(HeaderName::Route) {
        printer.header("Route", route);
    }
    for (name, value) in extra {
        printer.header(name, value);
    }
    Some(printer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:1001@10.0.0.9:5060 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKabc\r\n\
        Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKold\r\n\
        Max-Forwards: 69\r\nRoute: <sip:10.0.0.7;lr>\r\nRoute: <sip:10.0.0.8;lr>\r\n\
        From: <sip:1000@keyline.local>;tag=a\r\nTo: <sip:1001@keyline.local>\r\n\
        Call-ID: x@y\r\nCSeq: 7 INVITE\r\nContact: <sip:k@10.0.0.1>\r\n\
        Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nTo: b";

    fn derived(method: Method<'_>, to: Option<&str>, extra: &[(&str, &str)]) -> String {
        let request = Message::parse(INVITE).unwrap();
        String::from_utf8(derive(&request, method, to, extra).unwrap()).unwrap()
    }

    #[test]
    fn the_ack_repeats_the_request_and_takes_the_to_of_the_response() {
        assert_eq!(
            derived(Method::Ack, Some("<sip:1001@keyline.local>;tag=b"), &[]),
            "ACK sip:1001@10.0.0.9:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKabc\r\nMax-Forwards: 70\r\n\
             From: <sip:1000@keyline.local>;tag=a\r\nTo: <sip:1001@keyline.local>;tag=b\r\n\
             Call-ID: x@y\r\nCSeq: 7 ACK\r\n\
             Route: <sip:10.0.0.7;lr>\r\nRoute: <sip:10.0.0.8;lr>\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn the_cancel_keeps_the_to_and_carries_a_reason() {
        let text = derived(Method::Cancel, None, &[("Reason", "SIP;cause=200")]);
        assert!(text.starts_with("CANCEL sip:1001@10.0.0.9:5060 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("\r\nTo: <sip:1001@keyline.local>\r\n"), "{text}");
        assert!(text.contains("\r\nCSeq: 7 CANCEL\r\n"), "{text}");
        assert!(text.contains("\r\nReason: SIP;cause=200\r\n"), "{text}");
    }

    #[test]
    fn nothing_in_a_response_can_add_a_line() {
        let text = derived(Method::Ack, Some("<sip:b@x>;tag=1\r\nRoute: <sip:evil>"), &[]);
        assert!(!text.contains("\r\nRoute: <sip:evil>"), "{text}");
    }
}
