//! Bodies of notifications: dialogs (RFC 4235), registrations (RFC 3680), messages that wait (RFC 3842).
//!
//! Written by hand: the documents are small and their shape is fixed. Whatever a text holds, the document
//! stays well-formed ([`xml`]).

mod dialog;
mod registration;
mod summary;
#[cfg(test)]
mod tests;
pub mod xml;

pub use dialog::{Dialog, dialog_info};
pub use registration::{Contact, reginfo};
pub use summary::{Counts, message_summary};
