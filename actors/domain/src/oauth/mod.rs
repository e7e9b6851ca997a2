//! Bearer tokens of SIP OAuth (RFC 8898) as signed JWTs (RFC 7519, RFC 9068): what one is made of, which key may
//! have signed it, whether it holds now, and whether it names this phone.
//!
//! Signatures are the engine's; everything that judges is here and is a function of its arguments:
//! 1. [`Token::read`] takes a token apart within fixed bounds; `none` and symmetric algorithms do not exist here.
//! 2. [`Claims::read`] reads what it says.
//! 3. The issuer that it names has a [`KeySet`]; [`KeySet::find`] gives the key by `kid`. The key fixes the
//!    algorithm (RFC 8725 §3.1), never the token.
//! 4. After the signature was found right, [`judge`] says whether the token holds at this time; it is asked again
//!    at every request that rests on the token.
//! 5. [`names`] says whether it is this device's (R167).

mod bind;
mod claims;
mod error;
mod key;
#[cfg(test)]
mod tests;
mod token;

pub use bind::{Holder, names};
pub use claims::{ClaimNames, Claims, Expected, judge};
pub use error::{Fault, TokenOutcome};
pub use key::{KEY_SET_MAX, KEYS_MAX, Key, KeyMaterial, KeySet, KeySetError};
pub use token::{Algorithm, SIGNATURE_MAX, TOKEN_MAX, Token};
