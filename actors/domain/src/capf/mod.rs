//! The rules of certificate operations (CAPF, R135–R142, R144, R173): which proof an operation takes, which
//! key the phone makes, and how an operation goes on and ends.
//!
//! Who speaks the protocol asks here; nothing in here has a socket, a clock or a key.

mod choice;
mod key;
mod operation;
#[cfg(test)]
mod tests;

pub use choice::{Held, Proof, ProofFault, State, Used, proof_of};
pub use key::{KeyFault, KeySpec, PhoneKeys, key_of};
pub use operation::{
    Advance, COMPLETE_WITHIN_S, Fault, Operation, STRING_ATTEMPTS_MAX, Stage, StringVerdict, operations,
};
