//! keyline-benches
