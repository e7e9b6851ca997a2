//! What a message says about the extensions that calls keep for each leg.

use keyline_domain::call::{Extensions, PeerFeatures, Privacy, Rack, Redirect, Refresher, SessionAsk};
use keyline_domain::ids::Dn;
use keyline_wire::sip::{Contacts, Cseq, HeaderName, Message, Method, NameAddr};

use super::inbound::serves;
use super::invite::name_addr;
use super::shared::Shared;

/// Contacts of a redirection that are looked at.
const CONTACTS_MAX: usize = 16;

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
        redirects: Vec::new(),
        diversion: None,
        privacy: Privacy::parse(message.all(HeaderName::Privacy)),
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

/// Those of a response, and where it redirects to: only lines of this node are followed.
pub(super) fn answer_extensions(shared: &Shared, message: &Message<'_>) -> Extensions {
    let mut ext = extensions(message);
    if let (Some(300..=302), Contacts::List(mut contacts)) = (message.status(), message.contacts()) {
        contacts.truncate(CONTACTS_MAX);
        // The best first; of equals the first one (RFC 3261 §8.1.3.4).
        contacts.sort_by_key(|c| std::cmp::Reverse(c.q().unwrap_or(1000)));
        ext.redirects = contacts.iter().filter_map(|c| redirect(shared, c)).collect();
        ext.diversion = message
            .addresses(HeaderName::Diversion)
            .find_map(|d| d.ok()?.params.value("reason").map(|r| r.trim_matches('"').into()));
    }
    ext
}

fn redirect(shared: &Shared, contact: &NameAddr<'_>) -> Option<Redirect> {
    let line = Dn::parse(&contact.uri.aor_user()?).ok()?;
    let ours = serves(shared, &contact.uri) && shared.boards.devices.has_line(line.as_str());
    ours.then(|| Redirect { uri: name_addr("", line.as_str(), &shared.domain), line })
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
