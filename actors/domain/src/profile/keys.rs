//! Keys that a profile asks for and that its phones cannot make or use, or should not (R144, R146–R148).

use super::rules::RSA_WEAK_MAX;
use super::{KeyOrder, ProfileSettings};
use crate::mode::Protocol;
use crate::model::{Model, Topic};

/// Longest RSA key that every phone is taken to handle, in bits (R147).
pub const RSA_COMMON_MAX: u32 = 2048;

/// An RSA key of more than [`RSA_COMMON_MAX`] bits that the model is not known to make (R148).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LongKey {
    /// Bits.
    pub bits: u32,
    /// `false`: it is known that it cannot; `None`: nothing is known.
    pub supported: Option<bool>,
}

/// What is worth saying of the keys of a profile's phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyRemarks {
    /// With `ec_only` the phone's certificate has no RSA key, and the key of an encrypted configuration file can be
    /// wrapped for an RSA key only: such a phone gets no file. One into which that key is typed does.
    pub file_needs_rsa: bool,
    /// A longer RSA key than the model is known to make.
    pub long: Option<LongKey>,
    /// A weak RSA key of so many bits (R146, R172).
    pub weak: Option<u32>,
}

/// Judges the keys that a profile of this model and protocol asks for.
pub fn key_remarks(settings: &ProfileSettings, model: &Model, protocol: Protocol) -> KeyRemarks {
    let bits = settings.rsa_key_size;
    let ec_only = settings.key_order == KeyOrder::EcOnly;
    let typed_in = protocol == Protocol::Sip && model.fact(Topic::ManualConfigKey).value == Some(true);
    let supported = Topic::rsa(bits).and_then(|topic| model.fact(topic).value);
    KeyRemarks {
        file_needs_rsa: ec_only && settings.tftp_encrypted_config && !typed_in,
        long: (!ec_only && bits > RSA_COMMON_MAX && supported != Some(true))
            .then_some(LongKey { bits, supported }),
        weak: (bits <= RSA_WEAK_MAX).then_some(bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, ModelId, builtin};
    use crate::profile::{ProfileFields, resolve};

    fn remarks(model: &Model, protocol: Protocol, fields: &ProfileFields) -> KeyRemarks {
        key_remarks(&resolve(fields, model, protocol).unwrap(), model, protocol)
    }

    fn keys(order: KeyOrder, rsa: u32, file: bool) -> ProfileFields {
        let (key_order, rsa_key_size) = (Some(order), Some(rsa));
        ProfileFields { key_order, rsa_key_size, tftp_encrypted_config: Some(file), ..Default::default() }
    }

    #[test]
    fn r064_r144_a_phone_with_ec_keys_alone_reads_no_encrypted_file_unless_its_key_is_typed_in() {
        use KeyOrder::{EcOnly, EcPreferredRsaBackup, RsaOnly};
        // The key of the file is typed into this model, when it runs SIP.
        let (wrapped, typed) = (builtin("Cisco 8845").unwrap(), builtin("Cisco 7962").unwrap());
        for order in [RsaOnly, EcOnly, EcPreferredRsaBackup] {
            for file in [false, true] {
                let found =
                    |model, protocol| remarks(model, protocol, &keys(order, 2048, file)).file_needs_rsa;
                let bad = order == EcOnly && file;
                assert_eq!(found(wrapped, Protocol::Sip), bad, "{order:?} {file}");
                assert!(!found(typed, Protocol::Sip), "{order:?} {file}");
                assert_eq!(found(typed, Protocol::Sccp), bad, "{order:?} {file}");
            }
        }
    }

    #[test]
    fn r147_r148_keys_above_2048_bits_are_remarked_unless_the_model_is_known_to_make_them() {
        let builtin = builtin("Cisco 8845").unwrap();
        let stated = |value| {
            let mut model = Model { id: ModelId(u32::MAX), name: "Cisco 8845 B".into(), ..builtin.clone() };
            model.stated = model.stated.with(Topic::Rsa3072, value);
            model
        };
        let yes = stated(true);
        for bits in [512, 1024, 2048, 3072, 4096] {
            let found = remarks(builtin, Protocol::Sip, &keys(KeyOrder::RsaOnly, bits, false));
            let long = (bits > 2048).then_some(LongKey { bits, supported: None });
            assert_eq!((found.long, found.weak), (long, (bits <= 1024).then_some(bits)));
            let found = remarks(&yes, Protocol::Sip, &keys(KeyOrder::EcPreferredRsaBackup, bits, false));
            assert_eq!(found.long.is_some(), bits == 4096);
            // Such a phone makes no RSA key.
            assert!(remarks(builtin, Protocol::Sip, &keys(KeyOrder::EcOnly, bits, false)).long.is_none());
        }
        // A model that says so afterwards: its profiles have the size already.
        let settings = resolve(&keys(KeyOrder::RsaOnly, 3072, false), builtin, Protocol::Sip).unwrap();
        let long = key_remarks(&settings, &stated(false), Protocol::Sip).long;
        assert_eq!(long, Some(LongKey { bits: 3072, supported: Some(false) }));
    }
}
