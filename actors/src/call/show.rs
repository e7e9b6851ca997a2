//! What watchers of the lines see of a call.

use keyline_domain::call::{Call, LegId, Party, PartyState};
use keyline_domain::ids::Dn;
use keyline_domain::subscription::{DialogItem, DialogState, Direction, Package, Watched};
use smallvec::SmallVec;

use super::{CallActor, FromCall};

/// Dialogs of a call, each with its line.
pub(super) type Shown = SmallVec<[(Dn, DialogItem); 2]>;

/// Nothing of this party has changed since it was shown.
fn shows(line: &Dn, item: &DialogItem, party: &Party<'_>) -> bool {
    line.as_str() == party.line
        && item.state == state_of(party)
        && item.direction == direction_of(party)
        && *item.remote == *party.remote
}

fn state_of(party: &Party<'_>) -> DialogState {
    match party.state {
        PartyState::Trying => DialogState::Trying,
        PartyState::Early => DialogState::Early,
        PartyState::Confirmed => DialogState::Confirmed,
    }
}

fn direction_of(party: &Party<'_>) -> Direction {
    match party.leg {
        LegId::CALLER => Direction::Initiator,
        _ => Direction::Recipient,
    }
}

impl CallActor {
    /// Shows the call to those who watch its lines.
    pub(super) fn show(&mut self) {
        let boards = &self.tools.boards;
        let parties = || self.call.iter().filter(|_| !self.finished).flat_map(Call::parties);
        let mut count = 0;
        let same = parties().all(|party| {
            count += 1;
            self.shown_legs.get(count - 1) == Some(&party.leg)
                && self.shown.get(count - 1).is_some_and(|(line, item)| shows(line, item, &party))
        });
        if same && count == self.shown.len() {
            return;
        }
        let (mut now, mut legs) = (Shown::new(), SmallVec::new());
        for p in parties() {
            let Ok(line) = Dn::parse(p.line) else { continue };
            let item = DialogItem {
                id: boards.watch.dialog_id(self.key, p.leg.0),
                state: state_of(&p),
                direction: direction_of(&p),
                remote: p.remote.into(),
            };
            now.push((line, item));
            legs.push(p.leg);
        }
        if now == self.shown {
            return;
        }
        let mut lines = boards.watch.set_dialogs(self.key, &self.shown, &now);
        (self.shown, self.shown_legs) = (now, legs);
        lines.retain(|line| {
            !boards.watch.watchers(&Watched { package: Package::Dialog, line: line.clone() }).is_empty()
        });
        if !lines.is_empty() {
            self.tell(FromCall::Lines(lines));
        }
    }
}
