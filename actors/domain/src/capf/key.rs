//! Which key a phone makes (R144).

use crate::profile::KeyOrder;

/// What a phone can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhoneKeys {
    /// It makes EC keys.
    pub ec: bool,
    /// Longest RSA key in bits.
    pub rsa_max: u32,
}

/// A key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeySpec {
    /// RSA of so many bits.
    Rsa(u32),
    /// EC of so many bits.
    Ec(u32),
}

/// Why a phone can make none that the profile asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyFault {
    /// `ec_only`, and the phone has no EC.
    #[error("the phone makes no EC keys; choose ec_preferred_rsa_backup or rsa_only")]
    NoEc,
    /// The RSA key is longer than the phone can make.
    #[error("the phone makes RSA keys of at most {max} bits; choose a smaller rsa_key_size")]
    RsaTooLong {
        /// What the phone can make.
        max: u32,
    },
}

/// The key that a phone makes under a key order and sizes.
///
/// # Errors
/// [`KeyFault`]; nothing smaller or of another kind is made instead, but for the backup that
/// `ec_preferred_rsa_backup` names.
pub fn key_of(order: KeyOrder, rsa: u32, ec: u32, phone: PhoneKeys) -> Result<KeySpec, KeyFault> {
    let by_rsa = || match rsa <= phone.rsa_max {
        true => Ok(KeySpec::Rsa(rsa)),
        false => Err(KeyFault::RsaTooLong { max: phone.rsa_max }),
    };
    match order {
        KeyOrder::RsaOnly => by_rsa(),
        KeyOrder::EcOnly if phone.ec => Ok(KeySpec::Ec(ec)),
        KeyOrder::EcOnly => Err(KeyFault::NoEc),
        KeyOrder::EcPreferredRsaBackup if phone.ec => Ok(KeySpec::Ec(ec)),
        KeyOrder::EcPreferredRsaBackup => by_rsa(),
    }
}
