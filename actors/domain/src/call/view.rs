//! What others may see of a call: who is in it and how far it is (RFC 4235 §3.7.1 from the lines' side).

use super::LegId;
use super::state::{Call, Leg, LegState, Phase};
use crate::ids::DeviceName;

/// How far one party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyState {
    /// An INVITE is on its way.
    Trying,
    /// It rings.
    Early,
    /// Answered.
    Confirmed,
}

/// One party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// Its leg.
    pub leg: LegId,
    /// Its device.
    pub device: &'a DeviceName,
    /// Its line, as its dialog names it.
    pub line: &'a str,
    /// The number at the other end.
    pub remote: &'a str,
    /// How far it is.
    pub state: PartyState,
}

impl Call {
    /// The parties with a dialog that is neither over nor about to be.
    pub fn parties(&self) -> impl Iterator<Item = Party<'_>> {
        let over = matches!(self.phase, Phase::Ending(_) | Phase::Done);
        let rings = self.legs.iter().any(|l| l.id != LegId::CALLER && l.state == LegState::Proceeding);
        self.legs.iter().filter(move |_| !over).filter_map(move |leg| {
            let state = match leg.state {
                _ if leg.id == LegId::CALLER && self.phase == Phase::Ringing => match rings {
                    true => PartyState::Early,
                    false => PartyState::Trying,
                },
                LegState::Calling => PartyState::Trying,
                LegState::Proceeding => PartyState::Early,
                LegState::Up => PartyState::Confirmed,
                // A leg of another call is shown by that one.
                LegState::Joining if leg.guest.is_none() => PartyState::Confirmed,
                LegState::Waiting
                | LegState::Spare
                | LegState::Away
                | LegState::Forwarding
                | LegState::Cancelling { .. }
                | LegState::Joining
                | LegState::Returning
                | LegState::Parting
                | LegState::Leaving
                | LegState::Gone => return None,
            };
            let answered = |other: &&Leg| other.id != leg.id && other.state == LegState::Up;
            let peer = self.legs.iter().find(answered).filter(|_| state == PartyState::Confirmed);
            Some(Party {
                leg: leg.id,
                device: &leg.facts.device,
                line: user_of(&leg.dialog.remote_uri),
                remote: peer
                    .map_or_else(|| user_of(&leg.dialog.local_uri), |p| user_of(&p.dialog.remote_uri)),
                state,
            })
        })
    }
}

/// User part of a name-addr or addr-spec; empty where there is none.
fn user_of(address: &str) -> &str {
    // A display name may hold anything, so what stands in angle brackets counts, if there are any.
    let uri = address.rsplit_once('<').map_or(address, |(_, uri)| uri);
    let rest = uri.strip_prefix("sip:").or_else(|| uri.strip_prefix("sips:")).unwrap_or("");
    rest.split_once('@').map_or("", |(user, _)| user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_addresses() {
        assert_eq!(user_of("\"<sip:evil@x>\" <sip:1001@keyline.test>"), "1001");
        assert_eq!(user_of("sips:1001@keyline.test;x=1"), "1001");
        assert_eq!(user_of("<sip:keyline.test>"), "");
        assert_eq!(user_of("<tel:+49>"), "");
    }
}
