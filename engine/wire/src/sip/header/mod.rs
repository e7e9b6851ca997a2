//! Typed views of header values. Each parses a raw value when asked to; none is parsed in advance.

pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod event;
pub(crate) mod number;
#[cfg(test)]
mod tests;
pub(crate) mod via;
