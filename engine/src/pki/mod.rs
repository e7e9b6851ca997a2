//! Certificates: made, read, and kept in stores by purpose.
//!
//! Key pairs, certificates and every PEM are handled here and nowhere else; `keyline_domain` judges the
//! facts that are read out of them.

pub mod authority;
pub mod crl;
pub mod inspect;
pub mod ocsp;
pub mod own;
pub mod package;
pub mod stores;
