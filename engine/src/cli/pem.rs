//! A certificate's bytes.

use super::Failure;
use crate::pki::inspect;

/// DER of the first certificate in a PEM text: of the leaf, where a chain follows.
pub(super) fn first_der(text: &str) -> Result<Vec<u8>, Failure> {
    let chain =
        inspect::pem(text).map_err(|e| Failure::Refused(format!("the node's own certificate: {e}")))?;
    chain
        .into_iter()
        .next()
        .map(|der| der.to_vec())
        .ok_or_else(|| Failure::Refused("the node's own certificate is empty".to_owned()))
}
