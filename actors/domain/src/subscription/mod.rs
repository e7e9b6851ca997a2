//! Subscriptions of one phone to events (RFC 6665): registrations of a line (RFC 3680), its dialogs (RFC 4235)
//! and its messages (RFC 3842).
//!
//! [`Subscriptions`] is what a phone's actor keeps; every function takes facts and the clock and returns
//! effects. What is watched is handed in as a snapshot, and a notification is made from the difference to the
//! last one that the phone was sent: so changes that come while a NOTIFY is unanswered melt into one, and what
//! a lost NOTIFY said is said again in full.
//!
//! | module | subject |
//! |---|---|
//! | `package` | packages, what they watch, snapshots |
//! | `document` | what one NOTIFY says: full or the difference |
//! | `step` | what a step takes and gives |
//! | `state` | SUBSCRIBE, changes, answers, time |

mod document;
mod package;
mod state;
mod step;

#[cfg(test)]
mod tests;

pub use document::{Document, Items};
pub use package::{
    ContactItem, DialogItem, DialogState, Direction, MessageWaiting, Package, Snapshot, Watched,
};
pub use state::Subscriptions;
pub use step::{Answered, Effect, Effects, Ended, Env, Notify, Refusal, Subscribe, SubscriptionId};
