//! Benches only; run `make bench`.
