//! Admission: one verdict for every request of a phone, from facts alone (design §5 Identity, Repeats;
//! requirements A, G, O).
//!
//! Two steps, so that hashing is paid only when it is due:
//! 1. [`due`] looks at the request and the claimed device, and says which proof is due: nothing, a
//!    digest, or none that could help (refused).
//! 2. If a digest is due, [`check_digest`] turns the answer into a [`DigestOutcome`].
//! 3. [`decide`] gives the [`Verdict`]. It asks `due` again itself: a caller cannot skip a rule.
//!
//! Everything here is a total function of its arguments. Boards, sockets and clocks are the engine's.

mod cause;
mod check;
mod decide;
mod due;
mod facts;
#[cfg(test)]
mod tests;
mod throttle;
mod uri;

pub use cause::{Cause, Event};
pub use check::{DigestAnswer, DigestContext, DigestOutcome, RightDigest, check_digest};
pub use decide::{Admission, Refusal, Under, Verdict, decide};
pub use due::{Due, due};
pub use facts::{BindingFacts, DeviceFacts, LastRegister, MethodKind, MicPolicy, Policy, RequestFacts};
pub use throttle::{THROTTLE_AFTER, THROTTLE_FORGET_S, Throttle};
pub use uri::{ServedHosts, UriParts, uri_names_us};
