//! The bearer token of a request: its own, or the one that its connection rests on.
//!
//! RFC 8898 §2.2 has a token in every request that is challenged; Jabber sends one with REGISTER and expects its
//! connection to be known from then on. Both are served: a request with a token is judged by it, one without by
//! the token that a request on the same connection was last served for. That one is judged anew each time, so a
//! connection is worth nothing once its token has run out or the key that signed it was withdrawn.

use std::sync::Arc;

use keyline_actors::board::Boards;
use keyline_domain::mode::Transport;
use keyline_domain::oauth::{Fault, TokenOutcome};
use keyline_wire::sip::{Credentials, HeaderName, Message};

use super::{Admission, Arrival};
use crate::oauth::Verified;

/// What was found.
pub(super) enum Bearer {
    /// None.
    Absent,
    /// One on a port where it proves nothing.
    OffPort,
    /// One that does not serve.
    Bad(Fault),
    /// One that does.
    Right(Arc<Verified>),
}

impl Bearer {
    pub(super) fn outcome(&self) -> TokenOutcome<'_> {
        match self {
            Self::Absent => TokenOutcome::Absent,
            Self::OffPort => TokenOutcome::OffPort,
            Self::Bad(fault) => TokenOutcome::Bad(*fault),
            Self::Right(verified) => TokenOutcome::Right(&verified.claims),
        }
    }

    pub(super) fn verified(self) -> Option<Arc<Verified>> {
        match self {
            Self::Right(verified) => Some(verified),
            _ => None,
        }
    }
}

/// The one device that a token names.
pub(super) fn device(token: &Bearer) -> Option<&str> {
    match token {
        Bearer::Right(verified) => match verified.claims.devices.as_slice() {
            [one] => Some(one),
            _ => None,
        },
        _ => None,
    }
}

/// Looks for the token of a request and checks it. Only on the OAuth port is anything paid for it.
pub(super) fn of(
    admission: &Admission,
    boards: &Boards,
    message: &Message<'_>,
    arrival: &Arrival<'_>,
) -> Bearer {
    let values = message.all(HeaderName::Authorization).chain(message.all(HeaderName::ProxyAuthorization));
    // A digest answer, the most of what comes, is not taken apart to see that it is no token.
    let bearer = |value: &&str| value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    let mut shown = values.filter(bearer).filter_map(|value| match Credentials::parse(value) {
        Ok(Credentials::Bearer(token)) => Some(token.0),
        _ => None,
    });
    let first = shown.next();
    if arrival.transport != Transport::Oauth {
        return if first.is_some() { Bearer::OffPort } else { Bearer::Absent };
    }
    let result = match (first, arrival.token) {
        // Two different ones: two readers could pick each another.
        (Some(text), _) if shown.any(|other| other != text) => Err(Fault::Malformed),
        (Some(text), _) => admission.oauth.check(&boards.keys, text, arrival.now),
        (None, Some(resting)) => {
            admission.oauth.again(&boards.keys, resting, arrival.now).map(|()| Arc::clone(resting))
        }
        (None, None) => return Bearer::Absent,
    };
    result.map_or_else(Bearer::Bad, Bearer::Right)
}
