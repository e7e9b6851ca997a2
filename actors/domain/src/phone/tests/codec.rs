//! Bytes of a row.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::mode::{PeerProof, SuiteKind};

fn address() -> impl Strategy<Value = SocketAddr> {
    let v6 = (any::<[u8; 16]>(), any::<u16>(), prop_oneof![Just(0), any::<u32>()])
        .prop_map(|(ip, port, scope)| std::net::SocketAddrV6::new(ip.into(), port, 0, scope).into());
    prop_oneof![any::<([u8; 4], u16)>().prop_map(SocketAddr::from), v6]
}

fn flow() -> impl Strategy<Value = Flow> {
    let transport = || {
        prop_oneof![
            Just(Transport::Udp),
            Just(Transport::Tcp),
            Just(Transport::Tls),
            Just(Transport::Oauth),
            Just(Transport::Ws),
            Just(Transport::Wss)
        ]
    };
    let id = any::<(u16, u32, u32)>().prop_map(|(worker, index, generation)| StreamId {
        worker,
        index,
        generation,
    });
    prop_oneof![
        (address(), address()).prop_map(|(local, remote)| Flow::Udp { local, remote }),
        (transport(), address()).prop_map(|(transport, remote)| Flow::Lost { transport, remote }),
        (id, transport(), address()).prop_map(|(id, transport, remote)| Flow::Stream {
            id,
            transport,
            remote
        }),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    let proof = prop_oneof![
        Just(PeerProof::None),
        Just(PeerProof::Digest),
        Just(PeerProof::Certificate),
        Just(PeerProof::Token)
    ];
    let suite =
        prop_oneof![Just(SuiteKind::None), Just(SuiteKind::IntegrityOnly), Just(SuiteKind::Encrypting)];
    (proof, suite, any::<u16>(), option::of(any::<[u8; 8]>()))
        .prop_map(|(proof, suite_kind, suite, certificate)| Peer { proof, suite_kind, suite, certificate })
}

fn origin() -> impl Strategy<Value = Origin> {
    let nonce = option::of(any::<(u64, u32)>().prop_map(|(id, nc)| NonceUse { id, nc }));
    let path = vec("\\PC{0,40}", 0..4).prop_map(|values| values.into_iter().map(Arc::from).collect());
    ("\\PC{0,40}", any::<u32>(), nonce, flow(), peer(), path).prop_map(
        |(call_id, cseq, nonce, flow, peer, path)| Origin {
            call_id: call_id.into(),
            cseq,
            nonce,
            flow,
            peer,
            path,
        },
    )
}

fn instance() -> impl Strategy<Value = Option<Instance>> {
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    option::of(prop_oneof![
        uuid.prop_map(|u| format!("<urn:uuid:{u}>")),
        uuid.prop_map(|u| format!("urn:uuid:{u}")),
        uuid.prop_map(|u| format!("<urn:uuid:{}>", u.to_uppercase())),
        "\\PC{0,30}",
    ])
    .prop_map(|i| i.map(|i: String| Instance::from(&*i)))
}

fn binding() -> impl Strategy<Value = Binding> {
    let contact = ("[0-9]{1,6}", "\\PC{0,60}", any::<[u8; 16]>(), any::<bool>());
    let extras = (instance(), option::of(any::<u32>()), option::of(0..=1000u16), option::of(any::<u32>()));
    (contact, extras, any::<u32>(), 0..=7200u32, origin()).prop_map(
        |((line, contact, key, fresh), (instance, reg_id, q, model), until, horizon, origin)| Binding {
            line: dn(&line),
            contact: contact.into(),
            key: ContactKey(key),
            instance,
            reg_id,
            q,
            model,
            fresh,
            granted_until: t(u64::from(until)),
            persisted_until: t(u64::from(until)).plus_secs(u64::from(horizon)),
            origin,
        },
    )
}

/// A row whose bindings share parts with their neighbours now and then, as after bulk registration.
fn row() -> impl Strategy<Value = Row> {
    let applied = || any::<(u32, u32)>().prop_map(|(p, v)| version(p, v));
    let previous = option::of((applied(), any::<u64>()))
        .prop_map(|p| p.map(|(applied, until)| PreviousVersion { applied, until: UnixMillis(until) }));
    (any::<u32>(), applied(), previous, any::<u64>(), vec((binding(), 0..16u8), 0..6)).prop_map(
        |(assigned, applied, previous, revision, list)| {
            let mut bindings: Vec<Binding> = Vec::new();
            for (mut b, share) in list {
                if let Some(last) = bindings.last() {
                    if share & 1 != 0 {
                        b.contact = last.contact.clone();
                    }
                    if share & 8 != 0 {
                        b.key = last.key;
                    }
                    if share & 2 != 0 {
                        b.instance = last.instance.clone();
                    }
                    if share & 4 != 0 {
                        b.origin = last.origin.clone();
                    }
                }
                bindings.push(b);
            }
            Row {
                assigned: ProfileId(assigned),
                applied,
                previous: previous.map(Box::new),
                revision,
                bindings: bindings.into(),
            }
        },
    )
}

/// What of a row is durable.
fn durable(mut row: Row) -> Row {
    row.revision = 0;
    for b in &mut row.bindings {
        b.origin.flow = b.origin.flow.durable();
    }
    row
}

proptest! {
    #[test]
    fn what_was_written_is_read(row in row()) {
        prop_assert_eq!(Row::decode(&row.pack()), Ok(row.clone()));
        prop_assert_eq!(Row::decode(&row.encode()), Ok(durable(row)));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_is_read_can_be_written(mut bytes in vec(any::<u8>(), 0..300)) {
        let _ = Row::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Ok(row) = Row::decode(&bytes) {
            prop_assert_eq!(Row::decode(&row.pack()), Ok(row));
        }
    }

    #[test]
    fn damaged_rows_are_errors_or_rows(row in row(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = row.encode();
        let cut = at.index(bytes.len());
        prop_assert!(Row::decode(&bytes[..cut]).is_err(), "every prefix is too short");
        bytes[cut] ^= 1 << bit;
        if let Ok(row) = Row::decode(&bytes) {
            prop_assert_eq!(Row::decode(&row.pack()), Ok(row));
        }
        let mut longer = row.encode();
        longer.push(0);
        prop_assert!(Row::decode(&longer).is_err());
    }
}

/// A binding as a Cisco phone makes it over TLS with digest.
fn usual() -> Row {
    let mut row = phone();
    let uri = "sip:7f3ac1d0-52b1@192.168.100.101:50061;transport=tls";
    let contact = ContactFact { model: Some(36224), ..contact(uri).instance(INSTANCE) };
    let peer = Peer {
        proof: PeerProof::Certificate,
        suite_kind: SuiteKind::Encrypting,
        suite: 0xc02c,
        certificate: Some([7; 8]),
    };
    let first = request(101, [contact])
        .call("00aabbcc-ddee0002-6a8c1f3b-0c51d7a2@192.168.100.101")
        .nonce(u64::MAX, 1)
        .over(stream(1, "192.168.100.101:50061"));
    let _ = take(&mut row, &Register { peer, ..first }, &at(0));
    row
}

#[test]
fn a_usual_row_is_compact() {
    let row = usual();
    let bytes = row.encode().len();
    assert!((100..=220).contains(&bytes), "{bytes} bytes");
    let mut bulk = row.clone();
    for line in ["1002", "1003", "1004"] {
        bulk.bindings.push(Binding { line: dn(line), ..row.bindings[0].clone() });
    }
    assert!(bulk.encode().len() < bytes + 3 * 24, "{} bytes", bulk.encode().len());
}

#[test]
fn schema_1_bytes_never_change_their_meaning() {
    // Rows of this release must be readable for ever: a new layout needs a new schema.
    let row =
        Row { previous: Some(Box::new(PreviousVersion { applied: version(2, 3), until: t(0) })), ..phone() };
    let bytes = row.encode();
    assert_eq!(bytes, [1, 1, 1, 1, 1, 2, 3, 0x80, 0x80, 0xb3, 0xc1, 0x9c, 0x33, 0]);
    assert_eq!(Row::decode(&bytes), Ok(row));
    let hex: String = usual().encode().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, USUAL);
}

#[test]
fn a_newer_schema_is_named() {
    let found = SCHEMA + 1;
    assert_eq!(Row::decode(&[found, 0, 0]), Err(DecodeError::Schema { found, newest: SCHEMA }));
    assert_eq!(Row::decode(&[]), Err(DecodeError::Truncated { at: 0, what: "schema" }));
}

/// [`usual`] in schema 1.
const USUAL: &str = "010001010101f2000431303031357369703a37663361633164302d35326231403139322e3136382e3130302e3130313a\
    35303036313b7472616e73706f72743d746c73d5bf9256fbec88ccfeb79aa1019055900000000000000000000000aabb\
    ccddee809b0280dd8ec39c3380dddb013330306161626263632d64646565303030322d36613863316633622d30633531\
    64376132403139322e3136382e3130302e31303165ffffffffffffffff010904c0a86465c38d22c02c07070707070707\
    07";
