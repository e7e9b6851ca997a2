//! keyline-storage
