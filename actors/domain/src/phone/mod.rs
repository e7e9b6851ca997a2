//! The phone: one row a device, and the pure state machine that a REGISTER, a refresh, a clock tick and
//! a change of profile step (design §4 "Phones are virtual actors", §5 Promises, Horizon, Repeats).
//!
//! A [`Row`] is what a shard owns for a dormant phone and what storage keeps of it. Every function here
//! takes a row and facts and returns a [`Step`]: what to answer, the new row, whether it must be
//! committed before the answer leaves, and what happened. Carrying it out is the caller's part, in the
//! order committed → board → reply.
//!
//! | module | subject |
//! |---|---|
//! | `row` | the row, its bindings, what a 200 lists |
//! | `codec` | the bytes of a row |
//! | `register` | facts of a REGISTER, answers, refusals |
//! | `step` | RFC 3261 §10.3 with RFC 5626 §6 |
//! | `time` | horizon, expiry, restart |
//! | `reach` | flows: lost connections, the UDP target |
//! | `versions` | assigned and applied profile versions |

mod codec;
mod instance;
mod reach;
mod register;
mod row;
mod step;
mod time;
mod versions;

#[cfg(test)]
mod tests;

pub use codec::{DecodeError, SCHEMA};
pub use instance::Instance;
pub use reach::{SIP_PORT, by_phone, on_flow_lost, udp_target};
pub use register::{
    Accepted, Cause, ContactFact, Context, Event, ExpiryLimits, Gone, Kind, Outcome, Register, Step, Write,
};
pub use row::{
    AppliedVersion, BINDINGS_MAX, Binding, Bindings, CALL_ID_MAX, CONTACT_MAX, CONTACTS_PER_LINE_MAX,
    ContactKey, INSTANCE_MAX, Listed, NonceUse, Origin, PATH_MAX, PATH_VALUE_MAX, Path, Peer,
    PreviousVersion, Row,
};
pub use step::{extends_only, on};
pub use time::{HORIZON_MAX_S, expire, horizon, next_deadline, recover};
pub use versions::{adopt, apply, assign};
