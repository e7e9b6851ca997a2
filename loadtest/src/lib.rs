//! keyline-loadtest
