//! A phone of raw messages that needs no proof: says exactly what a test tells it to, one message at a time.

use std::time::Duration;

use keyline_wire::sip::{HeaderName, Message, ReplyHead, reason_phrase};

use crate::sip::{Line, Request, contact, unique};
use crate::wait::PATIENCE;

/// The phone.
#[derive(Debug)]
pub struct Raw {
    /// Its line.
    pub dn: String,
    /// Its socket.
    pub line: Line,
    /// To tag of its answers.
    pub tag: String,
}

/// A dialog as the phone that sent its INVITE sees it.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Copied into each request.
    pub invite: Request,
    /// Target, To and CSeq of the next request.
    pub uri: String,
    /// To with the server's tag.
    pub to: String,
    /// Number of the last request.
    pub cseq: u32,
}

impl Raw {
    /// Registers a line from that socket.
    ///
    /// # Panics
    /// When the registration is refused.
    pub fn register(dn: &str, mut line: Line) -> Raw {
        let request = Request::register_from(dn, &line);
        assert_eq!(line.exchange(&request).status(), Some(200), "{dn} registers");
        Raw { dn: dn.into(), line, tag: unique() }
    }

    /// An INVITE; with SDP unless `sdp` is empty.
    pub fn invite(&self, called: &str, sdp: &str) -> Request {
        let uri = format!("sip:{called}@keyline.local");
        let mut request =
            Request::new("INVITE", &uri, &self.dn).header("Contact", &contact(&self.dn, &self.line));
        request.body = (!sdp.is_empty()).then(|| ("application/sdp".into(), sdp.into()));
        request
    }

    /// Sends a request.
    pub fn send(&mut self, request: &Request) {
        let bytes = request.print(&self.line);
        self.line.send(&bytes);
    }

    /// The next request of that method; others are answered 200, responses passed over.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn expect(&mut self, method: &str) -> Message<'static> {
        loop {
            let message = self.line.receive_within(PATIENCE).unwrap_or_else(|| panic!("no {method} came"));
            let Some(own) = message.method() else { continue };
            if own.as_str() == method {
                return message;
            }
            if !matches!(own.as_str(), "ACK" | "INVITE") {
                self.answer(&message, 200, &[], "");
            }
        }
    }

    /// The next response of that status to a request of that method; others are passed over.
    ///
    /// # Panics
    /// When none comes in time, or another final response to that method does.
    pub fn status(&mut self, method: &str, status: u16) -> Message<'static> {
        loop {
            let message = self.line.receive_within(PATIENCE);
            let message = message.unwrap_or_else(|| panic!("no {status} to {method} came"));
            let asked = message.cseq().is_some_and(|c| c.method.as_str() == method);
            let Some(got) = message.status().filter(|_| asked) else { continue };
            if got == status {
                return message;
            }
            assert!(got < 200, "{got} to {method} instead of {status}");
        }
    }

    /// Whatever comes in that time.
    pub fn anything_within(&mut self, time: Duration) -> Option<Message<'static>> {
        self.line.receive_within(time)
    }

    /// Answers a request, with SDP unless `sdp` is empty.
    pub fn answer(&mut self, request: &Message<'_>, status: u16, headers: &[(&str, &str)], sdp: &str) {
        let own = contact(&self.dn, &self.line);
        let mut all = vec![("Contact", own.as_str())];
        all.extend_from_slice(headers);
        let head = ReplyHead::capture(request, self.line.local(), false).expect("an answerable request");
        let body = (!sdp.is_empty()).then_some(("application/sdp", sdp.as_bytes()));
        let bytes = head.respond(status, reason_phrase(status), Some(&self.tag), &all, body);
        self.line.send(&bytes);
    }

    /// A request in the dialog that an INVITE to this phone made.
    pub fn back(&self, invite: &Message<'_>, method: &str, cseq: u32) -> Request {
        let target = invite.contact().expect("a Contact").uri.raw.to_owned();
        let mut request = Request::new(method, &target, &self.dn);
        request.from = format!("{};tag={}", invite.first(HeaderName::To).expect("To"), self.tag);
        request.to = invite.first(HeaderName::From).expect("From").to_owned();
        request.call_id = invite.call_id().expect("Call-ID").to_owned();
        request.cseq = cseq;
        request.set("Contact", &contact(&self.dn, &self.line));
        request
    }
}

impl Dialog {
    /// The dialog that this response to an INVITE makes or confirms.
    pub fn of(invite: &Request, response: &Message<'_>) -> Dialog {
        let uri = response.contact().expect("a Contact").uri.raw.to_owned();
        let to = response.first(HeaderName::To).expect("To").to_owned();
        Dialog { invite: invite.clone(), uri, to, cseq: invite.cseq }
    }

    /// The next request of it.
    pub fn request(&mut self, method: &str) -> Request {
        self.cseq += 1;
        self.numbered(method, self.cseq)
    }

    /// ACK of the INVITE's 2xx.
    pub fn ack(&self) -> Request {
        self.numbered("ACK", self.invite.cseq)
    }

    fn numbered(&self, method: &str, cseq: u32) -> Request {
        let mut request = self.invite.clone();
        request.method = method.into();
        (request.uri, request.to, request.cseq) = (self.uri.clone(), self.to.clone(), cseq);
        request.branch = unique();
        request.body = None;
        request.headers.retain(|(name, _)| name.eq_ignore_ascii_case("Contact"));
        request
    }
}
