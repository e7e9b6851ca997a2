//! Fixed work for counting instructions: `instructions SUBJECT TIMES` does one subject that often. `make
//! bench-instructions` runs each under callgrind with two numbers of times and takes the difference, so that neither the
//! start nor what is prepared counts. Without arguments each subject runs once.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run must say so; its list is read"
)]

use std::hint::black_box;
use std::net::SocketAddr;

use keyline_benches::REGISTER;
use keyline_domain::class::{LegFacts, class_of_call};
use keyline_domain::digest::{Algorithm, AlgorithmSet, Ha1, Parts, Protection, respond, verify};
use keyline_domain::flow::Flow;
use keyline_domain::ids::{DeviceName, Dn, ProfileId, ProfileVersion, UnixMillis};
use keyline_domain::media::{LegMedia, StreamProtection};
use keyline_domain::mode::{ClusterMode, DeviceSecurityMode, PeerProof, SuiteKind, Transport};
use keyline_domain::nonce::{NonceKey, NonceKeys, mint, open};
use keyline_domain::phone::{
    AppliedVersion, ContactFact, Context, ExpiryLimits, NonceUse, Peer, Register, Row, on,
};
use keyline_wire::sip::{Message, ReplyHead};
use smallvec::smallvec;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const NONCE: &str = "IAAAAAFnQ0hAT3bqYlZ0n1H2aXn0b3V4mP8r2Q1x";

type Subject = (&'static str, fn(u32));

const SUBJECTS: [Subject; 8] = [
    ("parse_register", parse_register),
    ("parse_register_typed", parse_register_typed),
    ("respond_200", respond_200),
    ("digest_verify_md5", |times| digest(Algorithm::Md5, times)),
    ("digest_verify_sha256", |times| digest(Algorithm::Sha256, times)),
    ("nonce_mint_open", nonce),
    ("phone_step_refresh", refresh),
    ("classify_two_legs", classify),
];

fn parse_register(times: u32) {
    for _ in 0..times {
        black_box(Message::parse(black_box(REGISTER.as_bytes())).unwrap().is_request());
    }
}

fn parse_register_typed(times: u32) {
    for _ in 0..times {
        let m = Message::parse(black_box(REGISTER.as_bytes())).unwrap();
        let read =
            (m.top_via().is_some(), m.from_tag(), m.to().is_some(), m.uri().is_some(), m.cseq().is_some());
        let auth = m.authorizations().filter_map(Result::ok).count();
        black_box((read, m.contact().is_some(), auth, m.expires(), m.call_id()));
    }
}

fn respond_200(times: u32) {
    let message = Message::parse(REGISTER.as_bytes()).unwrap();
    let source: SocketAddr = "10.1.2.3:52310".parse().unwrap();
    let headers = [("Contact", "<sip:1001@10.1.2.3:52310;transport=tcp>;expires=3600"), ("Expires", "3600")];
    for _ in 0..times {
        let head = ReplyHead::capture(black_box(&message), source, true).unwrap();
        black_box(head.respond(200, "OK", Some("03.00001a2b.0001.c5d6e7f8"), &headers, None));
    }
}

fn digest(algorithm: Algorithm, times: u32) {
    let ha1 = Ha1::derive(algorithm, "anna", "ccmsipline", "Secret123");
    let protection = Protection::Auth { nc: "00000001", cnonce: "0a4f113b" };
    let parts = Parts { method: "REGISTER", uri: "sip:10.20.30.40", nonce: NONCE, protection };
    let answer = respond(&ha1, &parts);
    for _ in 0..times {
        assert!(verify(algorithm, Some(&ha1), black_box(&parts), black_box(answer.as_str())));
    }
}

fn nonce(times: u32) {
    let keys = NonceKeys::new(NonceKey::new(1, &[7; 32]), None);
    for id in 0..times {
        let nonce = mint(u64::from(id), 1, AlgorithmSet::all(), NOW, &keys);
        black_box(open(black_box(nonce.as_str()), &keys)).unwrap();
    }
}

fn register(cseq: u32) -> Register {
    let uri = "sip:1001@10.1.2.3:52310";
    Register {
        lines: smallvec![Dn::parse("1001").unwrap()],
        contacts: smallvec![ContactFact {
            uri: uri.into(),
            uri_key: uri.to_owned(),
            q: None,
            expires: None,
            instance: Some("<urn:uuid:00000000-0000-0000-0000-001122334455>".into()),
            reg_id: None,
            model: Some(622),
        }],
        star: false,
        expires: Some(3600),
        call_id: "00112233-44550002-5a6b7c8d-9eafb0c1@10.1.2.3".into(),
        cseq,
        nonce: Some(NonceUse { id: 99, nc: cseq }),
        flow: Flow::Udp {
            local: "10.20.30.40:5060".parse().unwrap(),
            remote: "10.1.2.3:52310".parse().unwrap(),
        },
        peer: Peer::default(),
        path: Default::default(),
        keepalive: false,
    }
}

fn refresh(times: u32) {
    let context = |after: u64| Context {
        now: NOW.plus_secs(after),
        expiry: ExpiryLimits::default(),
        proof_due: true,
        allow_unproven_move: false,
    };
    let blank = Row::new(AppliedVersion { profile: ProfileId(1), version: ProfileVersion(1) });
    let registered = on(&blank, &register(1), &context(0)).row.unwrap();
    let (again, later) = (register(2), context(1_800));
    for _ in 0..times {
        let _ = black_box(on(black_box(&registered), &again, &later));
    }
}

fn classify(times: u32) {
    let leg = |n: usize| LegFacts {
        device: DeviceName::parse(&format!("SEP{n:012X}")).unwrap(),
        model: "Cisco 8845".into(),
        trusted: true,
        transport: Transport::Tls,
        suite: SuiteKind::Encrypting,
        proof: PeerProof::Certificate,
        profile: "8845 encrypted".into(),
        applied_mode: DeviceSecurityMode::Encrypted,
        digest_authentication: false,
        cluster: ClusterMode::Mixed,
        answered: true,
        media: LegMedia { streams: smallvec![StreamProtection::Sdes], ..LegMedia::default() },
    };
    let legs = [leg(1), leg(2)];
    for _ in 0..times {
        black_box(class_of_call(black_box(&legs)));
    }
}

fn main() {
    // Cargo adds arguments of its own, such as --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match &words[..] {
        [name, times] => {
            let (_, run) = SUBJECTS.iter().find(|(subject, _)| subject == name).unwrap();
            run(times.parse().unwrap());
            // On purpose, to see the comparison fail.
            if std::env::var("KEYLINE_SLOW").is_ok_and(|slow| slow == *name) {
                run(times.parse().unwrap());
            }
        }
        _ => SUBJECTS.iter().for_each(|(name, run)| {
            run(1);
            println!("{name}");
        }),
    }
}
