//! The keyline binary.
fn main() {}
