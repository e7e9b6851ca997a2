//! What a change would do to phones and calls, before it is done (R015, R023, R111–R113, R130, R146–R148).
//!
//! Whoever changes the configuration does it in memory, reads off the changes what they touch
//! ([`Scope::of`]), takes them back, looks ([`Before::take`]), does them again and compares
//! ([`Before::compare`]). The verdict on each phone is admission's own ([`crate::admit::decide`]), fed with
//! what the phone showed when it last registered; the class of each call is [`crate::class`]'s own. Nothing
//! of either is written a second time here, so an answer cannot differ from what then happens.
//!
//! Of many phones this is done slice by slice ([`Scope::slice`]), with others in between, and phones that are alike
//! in all that a verdict depends on share one.
//!
//! The answer holds for phones that go on as they are: one that is given new credentials, a certificate or
//! another transport with its new configuration may well come through.

mod compare;
mod fate;
mod groups;
mod keys;
mod lines;
mod live;
mod notes;
mod outcome;
mod scope;
#[cfg(test)]
mod tests;

pub use compare::{Before, Progress};
pub use fate::{Fate, Knows, fate, policy_of};
pub use keys::small_server_keys;
pub use live::{CallLegs, Chains, Live, LivePhone};
pub use outcome::{CallLoss, Failure, Impact, KeyOfPhone, MixedLine, ModeChange, NAMES_MAX, Note, Some1000};
pub use scope::{SLICE, Scope, Slice, mixed_now};
