//! keyline-tests
