//! REFER outside any dialog, as Cisco phones use it (provisioning.md §7.2): the token before a fall-back, alarms,
//! and requests of the remote call control.
//!
//! These phones cannot answer a challenge of a REFER. So one is taken without, where it changes nothing (the
//! token) or comes on the connection that the phone registered on; over UDP it is challenged like any other.

use keyline_wire::sip::{HeaderName, Message, multipart};

use super::ALLOW;
use super::path::Path;
use super::register;
use super::shared::Shared;
use super::worker::State;

/// Refer-To of a phone that asks whether it may come back from another node.
const TOKEN: &str = "urn:X-cisco-remotecc:token-registration";

/// Media type of an alarm.
const ALARM: &str = "application/x-cisco-alarm+xml";

/// Media type of a remote call control request.
const REQUEST: &str = "application/x-cisco-remotecc-request+xml";

/// Longest name of an alarm that is written to the log.
const NAME_MAX: usize = 64;

/// What a REFER of a Cisco phone is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cisco {
    /// May it register here?
    Token,
    /// Something to be told, with its name.
    Alarm(String),
    /// It lists what it can do.
    Options,
    /// A request of the remote call control that is not served.
    Other,
}

/// Reads a REFER; `None` when it is no Cisco phone's own.
pub(super) fn read(message: &Message<'_>) -> Option<Cisco> {
    let refer_to = message.first(HeaderName::ReferTo).unwrap_or_default();
    let target = refer_to.trim().trim_start_matches('<');
    if target.get(..TOKEN.len()).is_some_and(|t| t.eq_ignore_ascii_case(TOKEN)) {
        return Some(Cisco::Token);
    }
    let content_type = message.first(HeaderName::ContentType)?;
    let is = |wanted: &str| {
        content_type.trim().get(..wanted.len()).is_some_and(|t| t.eq_ignore_ascii_case(wanted))
    };
    if is(ALARM) {
        let body = String::from_utf8_lossy(message.body());
        return Some(Cisco::Alarm(alarm_name(&body)));
    }
    if is(REQUEST) {
        return Some(request(message.body()));
    }
    let parts = multipart::parts(content_type, message.body()).ok()?;
    let mut own = parts.iter().filter(|p| p.is(REQUEST)).map(|p| request(p.body)).peekable();
    own.peek()?;
    // One that is not served makes the whole REFER one.
    Some(own.find(|r| *r == Cisco::Other).unwrap_or(Cisco::Options))
}

fn request(body: &[u8]) -> Cisco {
    let body = String::from_utf8_lossy(body);
    if body.contains("<optionsind") { Cisco::Options } else { Cisco::Other }
}

/// `Name` of the first `Alarm` element, as far as it is printable.
fn alarm_name(body: &str) -> String {
    let (_, rest) = body.split_once("<Alarm ").unwrap_or_default();
    let (_, rest) = rest.split_once("Name=\"").unwrap_or_default();
    let name = rest.split('"').next().unwrap_or_default();
    name.chars().filter(char::is_ascii_graphic).take(NAME_MAX).collect()
}

impl State {
    /// Answers a REFER that is about the phone itself.
    pub(super) fn cisco_refer(&mut self, shared: &Shared, path: Path, message: &Message<'_>, about: Cisco) {
        if about == Cisco::Token {
            return self.token(shared, &path, message);
        }
        if !self.registered_here(&path) && self.speak(shared, &path, message, false).is_none() {
            return;
        }
        match about {
            Cisco::Token | Cisco::Options => self.answer_stateless(shared, &path, message, 202, &[]),
            Cisco::Alarm(name) => {
                shared.metrics.cisco_alarm(&name);
                if shared.refusal_log.take(path.remote().ip(), self.now_us()) {
                    tracing::info!(peer = %path.remote(), alarm = name, "a phone tells an alarm");
                }
                self.answer_stateless(shared, &path, message, 202, &[]);
            }
            Cisco::Other => {
                self.refuse_stateless(shared, &path, message, 603, "this remote call control is not served");
            }
        }
    }

    /// 202 lets the phone register; 486 with Retry-After lets it ask again later. Alike for everybody, without
    /// state, and limited per source, as a standby keepalive is.
    fn token(&mut self, shared: &Shared, path: &Path, message: &Message<'_>) {
        if !shared.admission.options.take(path.remote().ip(), self.now_us()) {
            return shared.metrics.shed("options");
        }
        if shared.is_draining() || !shared.handle.has_room(keyline_actors::Load::Register) {
            let after = self.retry_after().to_string();
            shared.metrics.shed("register");
            return self.answer_stateless(shared, path, message, 486, &[("Retry-After", &after)]);
        }
        let headers = [("Allow", ALLOW), ("Supported", register::CISCO_SUPPORTED)];
        self.answer_stateless(shared, path, message, 202, &headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(headers: &str, body: &str) -> Option<Cisco> {
        let text = format!(
            "REFER sip:k SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:1@k>;tag=a\r\n\
             To: <sip:1@k>\r\nCall-ID: c\r\nCSeq: 1 REFER\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        read(&Message::parse(text.as_bytes()).expect("a message"))
    }

    #[test]
    fn what_a_refer_is_about() {
        let token = "Refer-To: <urn:X-cisco-remotecc:token-registration>\r\n";
        assert_eq!(refer(token, ""), Some(Cisco::Token));
        let alarm = "Content-Type: application/x-cisco-alarm+xml\r\nRefer-To: cid:1\r\n";
        let body = "<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList/></Alarm></x-cisco-alarm>";
        assert_eq!(refer(alarm, body), Some(Cisco::Alarm("DeviceTLInfo".into())));
        assert_eq!(refer(alarm, "<Alarm Name=\"a\r\nb"), Some(Cisco::Alarm("ab".into())));
        assert_eq!(refer(alarm, ""), Some(Cisco::Alarm(String::new())));
        let request = "Content-Type: application/x-cisco-remotecc-request+xml\r\nRefer-To: cid:1\r\n";
        assert_eq!(refer(request, "<x><optionsind/></x>"), Some(Cisco::Options));
        assert_eq!(refer(request, "<x><softkeyeventmsg/></x>"), Some(Cisco::Other));
        let parts = "Content-Type: multipart/mixed;boundary=b\r\nRefer-To: cid:1\r\n";
        let body =
            "--b\r\nContent-Type: application/x-cisco-remotecc-request+xml\r\n\r\n<optionsind/>\r\n--b--\r\n";
        assert_eq!(refer(parts, body), Some(Cisco::Options));
        assert_eq!(refer("Refer-To: <sip:1002@k>\r\n", ""), None);
    }
}
