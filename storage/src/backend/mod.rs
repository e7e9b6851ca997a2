//! Who fulfils the contract, and what all of them share: judging guards in order.

pub mod memory;
mod plan;
pub mod rocks;
