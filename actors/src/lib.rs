//! keyline-actors
