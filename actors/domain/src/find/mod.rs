//! Finding phones among a million, without holding up whoever changes them (R175, R176, R178, R189).
//!
//! A [`PhoneIndex`] keeps what phones are searched by beside the inventory: texts in blocks of 256 phones, one
//! after the other in memory, so that a scan of a million takes milliseconds; the order by name and the order by
//! description as lists of numbers; the profile of each phone as a number. All of it hangs on shared pointers: a
//! clone costs nothing, stands still while its original goes on, and may be read on any thread. The one writer
//! calls [`PhoneIndex::update`] after each change, which copies the blocks of the phones that changed.
//!
//! It holds per phone the bytes of name, description, lines and users, 4 each for their ends, 4 for the profile and
//! 8 in the two orders: some 90 bytes.

mod block;
mod criterion;
mod index;
mod order;
mod search;
#[cfg(test)]
mod tests;

pub use criterion::{Criterion, Field, Pattern, ProfileField, TextField};
pub use index::PhoneIndex;
pub use search::{Found, LOOKED_MAX, Place, Search, Sort};
