//! What a message says about the extensions that calls keep for each leg.

use keyline_domain::call::{Extensions, PeerFeatures, Rack, Refresher, SessionAsk};
use keyline_wire::sip::{Cseq, HeaderName, Message, Method};

/// What the peer can do, when the message says so at all.
pub(super) fn features(message: &Message<'_>) -> Option<PeerFeatures> {
    let can =
        |tag: &str| message.lists(HeaderName::Supported, tag) || message.lists(HeaderName::Require, tag);
    let says = message.has(HeaderName::Supported) || message.has(HeaderName::Allow);
    says.then(|| PeerFeatures {
        callinfo: message.lists(HeaderName::Supported, "X-cisco-callinfo"),
        update: message.lists(HeaderName::Allow, "UPDATE"),
        rel100: can("100rel"),
        timer: can("timer"),
    })
}

/// Extensions of a message. What cannot be read is not there.
pub(super) fn extensions(message: &Message<'_>) -> Extensions {
    let number = |name| message.first(name).and_then(|v: &str| v.trim().parse().ok());
    let session = message.session_expires();
    Extensions {
        no_supported: !message.has(HeaderName::Supported),
        no_allow: !message.has(HeaderName::Allow),
        require_100rel: message.lists(HeaderName::Require, "100rel"),
        rseq: number(HeaderName::Rseq),
        rack: message.first(HeaderName::Rack).and_then(rack),
        session: SessionAsk {
            expires: session.map(|s| s.seconds),
            refresher: session
                .and_then(|s| s.refresher_uac)
                .map(|uac| if uac { Refresher::Uac } else { Refresher::Uas }),
            // Min-SE may bear parameters (RFC 4028 §5).
            min_se: message.first(HeaderName::MinSe).and_then(|v| v.split(';').next()?.trim().parse().ok()),
        },
    }
}

/// `RAck: 776656 1 INVITE` (RFC 3262 §7.2).
fn rack(value: &str) -> Option<Rack> {
    let (rseq, rest) = value.trim().split_once([' ', '\t'])?;
    let cseq = Cseq::parse(rest).ok()?;
    Some(Rack { rseq: rseq.parse().ok()?, cseq: cseq.number, invite: cseq.method == Method::Invite })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rack_names_a_response_and_its_request() {
        assert_eq!(rack("776656 1 INVITE"), Some(Rack { rseq: 776_656, cseq: 1, invite: true }));
        assert_eq!(rack("7\t 12  UPDATE"), Some(Rack { rseq: 7, cseq: 12, invite: false }));
        for broken in ["", "1", "1 INVITE", "x 1 INVITE", "1 x INVITE", "4294967296 1 INVITE"] {
            assert_eq!(rack(broken), None, "{broken}");
        }
    }
}
