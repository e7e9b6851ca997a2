//! TLS_SHA256_SHA256 for TLS 1.3 (RFC 9150): a record is the inner plain text followed by HMAC-SHA256 over nonce,
//! additional data and inner plain text. The nonce is the write IV with the sequence number xored in at its end.
//!
//! The write IV of this suite has 32 bytes (RFC 9150 §4), an `Iv` of rustls twelve. Both it and the write key come
//! from a traffic secret by HKDF-Expand-Label (RFC 8446 §7.3), so the key schedule below answers the label `key`
//! with the traffic secret itself, and the record protection derives the two from it. No other label is touched.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::aws_lc_rs::cipher_suite as stock;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{CipherSuiteCommon, hmac as tls_hmac};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};
use sha2::Sha256;

/// Length of a MAC, of its key, of the write IV and of a traffic secret.
pub(super) const LEN: usize = 32;

/// Label under which a write key is derived, as it stands in the info (RFC 8446 §7.1).
const KEY_LABEL: &[u8] = b"tls13 key";

pub(super) static SHA256_SHA256: LazyLock<Tls13CipherSuite> = LazyLock::new(|| Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::from(super::TLS_SHA256_SHA256),
        hash_provider: borrowed().common.hash_provider,
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &Schedule,
    aead_alg: &IntegrityOnly,
    quic: None,
});

/// A stock suite with the same hash.
fn borrowed() -> &'static Tls13CipherSuite {
    match &stock::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite,
        SupportedCipherSuite::Tls12(_) => unreachable!("a constant of TLS 1.3 by its name"),
    }
}

/// The stock key schedule, but for the label `key`.
struct Schedule;

impl Hkdf for Schedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        borrowed().hkdf_provider.extract_from_zero_ikm(salt)
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        borrowed().hkdf_provider.extract_from_secret(salt, secret)
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        let stock = borrowed().hkdf_provider.expander_for_okm(okm);
        Box::new(Expander { stock, secret: okm.clone() })
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> tls_hmac::Tag {
        borrowed().hkdf_provider.hmac_sign(key, message)
    }
}

struct Expander {
    stock: Box<dyn HkdfExpander>,
    secret: OkmBlock,
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), OutputLengthError> {
        if is_key(info) && out.len() == self.secret.as_ref().len() {
            out.copy_from_slice(self.secret.as_ref());
            return Ok(());
        }
        self.stock.expand_slice(info, out)
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        if is_key(info) { self.secret.clone() } else { self.stock.expand_block(info) }
    }

    fn hash_len(&self) -> usize {
        self.stock.hash_len()
    }
}

/// Whether an HkdfLabel (length in two bytes, length of the label, label, context) asks for a write key.
fn is_key(info: &[&[u8]]) -> bool {
    let mut bytes = info.iter().copied().flatten().skip(2);
    bytes.next().is_some_and(|n| usize::from(*n) == KEY_LABEL.len())
        && bytes.take(KEY_LABEL.len()).eq(KEY_LABEL)
}

struct IntegrityOnly;

impl Tls13AeadAlgorithm for IntegrityOnly {
    fn encrypter(&self, key: AeadKey, _: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(key.as_ref()))
    }

    fn decrypter(&self, key: AeadKey, _: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(key.as_ref()))
    }

    fn key_len(&self) -> usize {
        LEN
    }

    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction: the scheduled write key, cloned for each record, and the write IV.
pub(super) struct Records {
    mac: Hmac<Sha256>,
    iv: [u8; LEN],
}

impl Records {
    /// From a traffic secret.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self { mac: keyed(&expand(secret, b"tls13 key")), iv: expand(secret, b"tls13 iv") }
    }

    /// The MAC of a record with so many bytes, tag included.
    fn mac(&self, sequence: u64, record: usize, inner: &[u8]) -> Hmac<Sha256> {
        let mut nonce = self.iv;
        for (byte, counted) in nonce[LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= counted;
        }
        let mut mac = self.mac.clone();
        mac.update(&nonce);
        mac.update(&make_tls13_aad(record));
        mac.update(inner);
        mac
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// HKDF-Expand-Label without context (RFC 8446 §7.1) for as much as one block of SHA-256 gives (RFC 5869 §2.3).
fn expand(secret: &[u8], label: &[u8]) -> [u8; LEN] {
    let mut mac = keyed(secret);
    mac.update(&[0, LEN as u8, label.len() as u8]);
    mac.update(label);
    mac.update(&[0, 1]);
    mac.finalize().into_bytes().into()
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let total = self.encrypted_payload_len(message.payload.len());
        let mut record = PrefixedPayload::with_capacity(total);
        record.extend_from_chunks(&message.payload);
        record.extend_from_slice(&message.typ.to_array());
        let tag = self.mac(sequence, total, record.as_ref()).finalize().into_bytes();
        record.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, record))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1 + LEN
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let total = message.payload.len();
        // At least the type that ends the inner plain text.
        let length = total.checked_sub(LEN).filter(|n| *n > 0).ok_or(Error::DecryptError)?;
        let (inner, tag) = message.payload.split_at(length);
        // In constant time.
        self.mac(sequence, total, inner).verify_slice(tag).map_err(|_| Error::DecryptError)?;
        message.payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}
