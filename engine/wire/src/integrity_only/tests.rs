//! The record protection by itself. Whole handshakes stand in the engine and, against OpenSSL, in the suites.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::{ContentType, Error, ProtocolVersion, SupportedCipherSuite};

use super::{suite, suites, tls12, tls13};

const PLAIN: &[u8] = b"REGISTER sip:keyline.local SIP/2.0\r\n";
const SEQUENCE: u64 = 5;

type Ends = (Box<dyn MessageEncrypter>, Box<dyn MessageDecrypter>);

fn secret() -> AeadKey {
    AeadKey::from(std::array::from_fn(|i| i as u8))
}

fn ends12() -> Ends {
    let suite = &*tls12::ECDHE_RSA_NULL_SHA;
    (suite.aead_alg.encrypter(secret(), &[], &[]), suite.aead_alg.decrypter(secret(), &[]))
}

fn ends13() -> Ends {
    let suite = &*tls13::SHA256_SHA256;
    let iv = || [0; 12].into();
    (suite.aead_alg.encrypter(secret(), iv()), suite.aead_alg.decrypter(secret(), iv()))
}

fn protect(encrypter: &mut dyn MessageEncrypter, plain: &[u8]) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(plain),
    };
    let record = encrypter.encrypt(message, SEQUENCE).unwrap();
    assert_eq!(record.payload.as_ref().len(), encrypter.encrypted_payload_len(plain.len()));
    record.payload.as_ref().to_vec()
}

fn open(
    decrypter: &mut dyn MessageDecrypter,
    typ: ContentType,
    record: &mut [u8],
    sequence: u64,
) -> Result<(ContentType, Vec<u8>), Error> {
    let message = InboundOpaqueMessage::new(typ, ProtocolVersion::TLSv1_2, record);
    decrypter.decrypt(message, sequence).map(|m| (m.typ, m.payload.to_vec()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Tags computed apart from this code, from the formulas of RFC 5246 §6.2.3.1 and RFC 9150 §4.
#[test]
fn r119_records_are_plain_text_and_mac() {
    let record = protect(&mut *ends12().0, PLAIN);
    assert_eq!(&record[..PLAIN.len()], PLAIN);
    assert_eq!(hex(&record[PLAIN.len()..]), "8abe272b52591aef77f0468d396c30280c93b6cc");
    let record = protect(&mut *ends13().0, PLAIN);
    assert_eq!(&record[..PLAIN.len()], PLAIN);
    assert_eq!(record[PLAIN.len()], u8::from(ContentType::ApplicationData));
    assert_eq!(
        hex(&record[PLAIN.len() + 1..]),
        "1ce36a2c357c1ce3faa82ac14fd84dd610dc3e9f6e72564ea829c4b49253ec9c"
    );
}

#[test]
fn r119_every_flipped_bit_another_place_and_a_cut_are_noticed() {
    for (mut encrypter, mut decrypter) in [ends12(), ends13()] {
        let typ = ContentType::ApplicationData;
        for plain in [PLAIN, b""] {
            let record = protect(&mut *encrypter, plain);
            let got = open(&mut *decrypter, typ, &mut record.clone(), SEQUENCE).unwrap();
            assert_eq!(got, (typ, plain.to_vec()));
            for bit in 0..record.len() * 8 {
                let mut flipped = record.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let refused = open(&mut *decrypter, typ, &mut flipped, SEQUENCE);
                assert_eq!(refused, Err(Error::DecryptError), "bit {bit}");
            }
            for length in 0..record.len() {
                let refused = open(&mut *decrypter, typ, &mut record.clone()[..length], SEQUENCE);
                assert_eq!(refused, Err(Error::DecryptError), "{length} bytes");
            }
            // Repeated, or out of order.
            let moved = open(&mut *decrypter, typ, &mut record.clone(), SEQUENCE + 1);
            assert_eq!(moved, Err(Error::DecryptError));
        }
    }
    // In TLS 1.2 the type stands outside and is under the MAC; in TLS 1.3 the outer one is always the same.
    let (mut encrypter, mut decrypter) = ends12();
    let mut record = protect(&mut *encrypter, PLAIN);
    let refused = open(&mut *decrypter, ContentType::Handshake, &mut record, SEQUENCE);
    assert_eq!(refused, Err(Error::DecryptError));
}

#[test]
fn a_record_beyond_the_largest_is_refused() {
    for (mut encrypter, mut decrypter) in [ends12(), ends13()] {
        let typ = ContentType::ApplicationData;
        let mut largest = protect(&mut *encrypter, &vec![b'a'; 1 << 14]);
        assert_eq!(open(&mut *decrypter, typ, &mut largest, SEQUENCE).unwrap().1.len(), 1 << 14);
        let mut beyond = protect(&mut *encrypter, &vec![b'a'; (1 << 14) + 1]);
        assert_eq!(open(&mut *decrypter, typ, &mut beyond, SEQUENCE), Err(Error::PeerSentOversizedRecord));
    }
}

#[test]
fn keys_are_not_given_out() {
    assert!(tls12::ECDHE_RSA_NULL_SHA.aead_alg.extract_keys(secret(), &[], &[]).is_err());
    assert!(tls13::SHA256_SHA256.aead_alg.extract_keys(secret(), [0; 12].into()).is_err());
}

#[test]
fn suites_are_found_by_number() {
    for (id, tls13) in [(0xC0B4, true), (0xC010, false), (0xC006, false)] {
        let found = suite(id).unwrap();
        assert_eq!(u16::from(found.suite()), id);
        assert_eq!(matches!(found, SupportedCipherSuite::Tls13(_)), tls13);
    }
    assert_eq!((suites().len(), suite(0x1302)), (3, None));
}
