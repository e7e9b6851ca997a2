//! The audit: who changed what, from what, into what, and whether it was done.
//!
//! * [`entry`]: one entry and its bytes at rest.
//! * [`redact`]: rows without secrets.
//! * [`chain`]: each entry's hash covers the one before it; a sealed head says where the chain begins and ends.
//! * [`verify`]: walks a chain and names the first thing that is wrong with it.
//!
//! Entries are only ever added at the end and taken away at the beginning. What is stored is what is hashed:
//! an entry is never written anew to be judged.

pub mod chain;
pub mod entry;
pub mod redact;
pub mod verify;

#[cfg(test)]
mod tests;

pub use chain::{HASH_BYTES, Hash, Head, HeadFault, KEY_BYTES, Mark, link};
pub use entry::{
    ALSO_MAX, BODY_MAX, BROKEN, COMMAND_LINE, CONTROL_SOCKET, Draft, Entry, Happened, NAME_MAX, NODE,
    StoredEntry, Who, entry_key, entry_seq,
};
pub use redact::{SECRET_FIELDS, redacted};
pub use verify::{Fault, Verified, Verifier};
