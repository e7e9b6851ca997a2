//! Tests of the phone: builders that let a test read as a story, and one file a subject.

mod codec;
mod horizon;
mod model;
mod reach;
mod register;
mod several;
mod versions;

use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::*;
use crate::flow::{Flow, StreamId};
use crate::ids::{Dn, ProfileId, ProfileVersion, UnixMillis};
use crate::mode::Transport;

const A: &str = "sip:1001@10.0.0.1:5060";
const B: &str = "sip:1001@10.0.0.1:5080";
const INSTANCE: &str = "<urn:uuid:00000000-0000-0000-0000-00aabbccddee>";

/// Seconds after an arbitrary start.
fn t(s: u64) -> UnixMillis {
    UnixMillis(1_760_000_000_000).plus_secs(s)
}

fn dn(name: &str) -> Dn {
    Dn::parse(name).unwrap()
}

fn version(profile: u32, version: u32) -> AppliedVersion {
    AppliedVersion { profile: ProfileId(profile), version: ProfileVersion(version) }
}

fn phone() -> Row {
    Row::new(version(1, 1))
}

fn udp(remote: &str) -> Flow {
    Flow::Udp { local: "10.0.0.250:5060".parse().unwrap(), remote: remote.parse().unwrap() }
}

fn stream(index: u32, remote: &str) -> Flow {
    let remote: SocketAddr = remote.parse().unwrap();
    Flow::Stream { id: StreamId { worker: 1, index, generation: 7 }, transport: Transport::Tls, remote }
}

fn contact(uri: &str) -> ContactFact {
    ContactFact {
        uri: uri.into(),
        uri_key: uri.to_ascii_lowercase(),
        q: None,
        expires: None,
        instance: None,
        reg_id: None,
        model: None,
    }
}

impl ContactFact {
    fn expires(self, s: u32) -> Self {
        Self { expires: Some(s), ..self }
    }
    fn q(self, q: u16) -> Self {
        Self { q: Some(q), ..self }
    }
    fn instance(self, instance: &str) -> Self {
        Self { instance: Some(instance.into()), ..self }
    }
    fn reg_id(self, id: u32) -> Self {
        Self { reg_id: Some(id), ..self }
    }
}

/// A REGISTER of line 1001 with CSeq `cseq` in Call-ID `c1` from 10.0.0.1.
fn request(cseq: u32, contacts: impl IntoIterator<Item = ContactFact>) -> Register {
    Register {
        lines: smallvec![dn("1001")],
        contacts: contacts.into_iter().collect(),
        star: false,
        expires: None,
        call_id: "c1".into(),
        cseq,
        nonce: None,
        flow: udp("10.0.0.1:5060"),
        peer: Peer::default(),
        path: Default::default(),
        keepalive: false,
    }
}

impl Register {
    fn header(self, s: u32) -> Self {
        Self { expires: Some(s), ..self }
    }
    fn call(self, id: &str) -> Self {
        Self { call_id: id.into(), ..self }
    }
    fn nonce(self, id: u64, nc: u32) -> Self {
        Self { nonce: Some(NonceUse { id, nc }), ..self }
    }
    fn over(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }
    fn lines<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self { lines: lines.into_iter().map(dn).collect::<SmallVec<[Dn; 1]>>(), ..self }
    }
    fn star(self) -> Self {
        Self { star: true, ..self }
    }
}

fn at(s: u64) -> Context {
    Context { now: t(s), expiry: ExpiryLimits::default(), proof_due: true, allow_unproven_move: false }
}

fn accepted(step: &Step) -> Accepted {
    match step.outcome {
        Outcome::Ok(a) => a,
        ref other => panic!("not accepted: {other:?}"),
    }
}

fn refused(step: &Step) -> Cause {
    assert_eq!(
        (&step.row, step.write, step.events.len()),
        (&None, Write::None, 0),
        "a refusal changes nothing"
    );
    match step.outcome {
        Outcome::Refuse(cause) => cause,
        ref other => panic!("not refused: {other:?}"),
    }
}

/// Steps and takes the new row, if any.
fn take(row: &mut Row, request: &Register, context: &Context) -> Step {
    let step = on(row, request, context);
    if let Some(next) = &step.row {
        *row = next.clone();
    }
    step
}

/// Contacts of line 1001 with the seconds left.
fn listed(row: &Row, s: u64) -> Vec<(String, u32)> {
    row.listing(&dn("1001"), t(s)).map(|l| (l.contact.to_owned(), l.expires)).collect()
}

fn pairs(list: &[(&str, u32)]) -> Vec<(String, u32)> {
    list.iter().map(|(c, s)| ((*c).to_owned(), *s)).collect()
}

fn arc(text: &str) -> Arc<str> {
    text.into()
}
