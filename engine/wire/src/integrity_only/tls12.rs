//! `*_WITH_NULL_SHA` for TLS 1.2: a record is the plain text followed by HMAC-SHA1 over sequence number, type,
//! version, length and plain text (RFC 5246 §6.2.3.1). There is no padding and no initialisation vector, so
//! nothing but the MAC depends on secrets.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::aws_lc_rs::cipher_suite as stock;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm,
    UnsupportedOperationError, make_tls12_aad,
};
use rustls::crypto::{CipherSuiteCommon, KeyExchangeAlgorithm};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls12CipherSuite};
use sha1::Sha1;

/// Length of a MAC and of its key.
pub(super) const TAG: usize = 20;

/// Longest plain text of a record (RFC 5246 §6.2.1).
const PLAIN_MAX: usize = 1 << 14;

pub(super) static ECDHE_RSA_NULL_SHA: LazyLock<Tls12CipherSuite> =
    LazyLock::new(|| like(&stock::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, super::TLS_ECDHE_RSA_WITH_NULL_SHA));
pub(super) static ECDHE_ECDSA_NULL_SHA: LazyLock<Tls12CipherSuite> = LazyLock::new(|| {
    like(&stock::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, super::TLS_ECDHE_ECDSA_WITH_NULL_SHA)
});

/// Key exchange, signatures and the pseudo-random function of a stock suite, which for suites without one of
/// their own is that of SHA-256 (RFC 5246 §5); only the record protection is ours.
fn like(stock: &SupportedCipherSuite, id: u16) -> Tls12CipherSuite {
    let SupportedCipherSuite::Tls12(stock) = stock else {
        unreachable!("a constant of TLS 1.2 by its name");
    };
    Tls12CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::from(id),
            hash_provider: stock.common.hash_provider,
            confidentiality_limit: u64::MAX,
        },
        prf_provider: stock.prf_provider,
        kx: KeyExchangeAlgorithm::ECDHE,
        sign: stock.sign,
        aead_alg: &NullSha,
    }
}

struct NullSha;

impl Tls12AeadAlgorithm for NullSha {
    fn encrypter(&self, key: AeadKey, _: &[u8], _: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(&key))
    }

    fn decrypter(&self, key: AeadKey, _: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(&key))
    }

    /// The key block begins with the client's and the server's MAC key (RFC 5246 §6.3); a cipher that has no
    /// key takes nothing behind them. So the two MAC keys stand where rustls looks for the AEAD's keys.
    fn key_block_shape(&self) -> KeyBlockShape {
        KeyBlockShape { enc_key_len: TAG, fixed_iv_len: 0, explicit_nonce_len: 0 }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction; cloned for each record, so that the key is scheduled once.
#[derive(Clone)]
struct Records(Hmac<Sha1>);

impl Records {
    fn new(key: &AeadKey) -> Self {
        Self(<Hmac<Sha1> as KeyInit>::new_from_slice(key.as_ref()).expect("HMAC takes keys of any length"))
    }
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = message.payload.len();
        let mut record = PrefixedPayload::with_capacity(length + TAG);
        record.extend_from_chunks(&message.payload);
        let mut mac = self.0.clone();
        mac.update(&make_tls12_aad(sequence, message.typ, message.version, length));
        mac.update(record.as_ref());
        record.extend_from_slice(&mac.finalize().into_bytes());
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, record))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + TAG
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let length = message.payload.len().checked_sub(TAG).ok_or(Error::DecryptError)?;
        if length > PLAIN_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let (plain, tag) = message.payload.split_at(length);
        let mut mac = self.0.clone();
        mac.update(&make_tls12_aad(sequence, message.typ, message.version, length));
        mac.update(plain);
        // In constant time.
        mac.verify_slice(tag).map_err(|_| Error::DecryptError)?;
        message.payload.truncate(length);
        Ok(message.into_plain_message())
    }
}
