use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::live::Chains;
use super::*;
use crate::class::LegFacts;
use crate::flow::Flow;
use crate::identity::{CertificateFacts, CertificateKey, ChainedTo, ShownCertificate};
use crate::ids::{DeviceIndex, UnixMillis};
use crate::inventory::{
    self, CertificateRow, Inventory, Kind, Mutate, Mutated, Sealer, Step, in_order, parse_row,
};
use crate::mode::{PeerProof, SuiteKind, Transport};
use crate::phone::{AppliedVersion, Binding, ContactKey, NonceUse, Origin, Peer, Row};

mod random;
mod rules;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// Secrets do not matter here.
struct Plain;

impl Sealer for Plain {
    fn seal(&self, plain: &[u8], _: &str) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, sealed: &[u8], _: &str) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(sealed.to_vec()))
    }
}

fn how() -> Mutate<'static> {
    Mutate { sealer: &Plain, offline: false, forced: true, has_certificate: &|_| true }
}

fn inventory(rows: &[Value]) -> Inventory {
    let mut inventory = Inventory::new();
    let rows: Vec<_> = rows.iter().map(|r| parse_row(&r.to_string()).unwrap()).collect();
    let report = inventory.check(&rows, true);
    assert!(report.is_ok(), "{:?}", report.errors);
    for row in in_order(rows) {
        let how = inventory::Apply { sealer: &Plain, offline: true };
        inventory.apply(row, how).unwrap();
    }
    inventory
}

fn change(inventory: &mut Inventory, steps: &[Step]) -> Mutated {
    let mut all = Mutated { changes: Vec::new(), warnings: Vec::new(), undo: Default::default() };
    for step in steps {
        let unread = |_: &str| Err("no certificate here".to_owned());
        let ops = inventory.plan(step, &unread).unwrap();
        let done = inventory.mutate(ops, how()).unwrap_or_else(|e| panic!("{step:?}: {e}"));
        all.changes.extend(done.changes);
        all.undo.then(done.undo);
    }
    all
}

fn merge(kind: Kind, name: &str, body: Value) -> Step {
    Step::Merge { kind, name: name.into(), body }
}

/// What would happen, asked as the catalog asks, but in slices of two phones; the inventory is as before.
fn ask(inventory: &mut Inventory, live: &World, steps: &[Step]) -> Impact {
    let done = change(inventory, steps);
    let scope = Scope::of(inventory, &done.changes);
    inventory.revert(done.undo);
    let (mut progress, mut slice) = (Progress::default(), scope.slice(inventory, None, 2));
    loop {
        let before = Before::take(inventory, &scope, slice, live, NOW, &progress);
        let done = change(inventory, steps);
        before.compare(inventory, &mut progress);
        inventory.revert(done.undo);
        if slice.is_last() {
            return progress.done();
        }
        slice = scope.slice(inventory, Some(slice), 2);
    }
}

/// The node around an inventory.
#[derive(Default)]
struct World {
    phones: BTreeMap<DeviceIndex, LivePhone>,
    calls: Vec<(String, Vec<LegFacts>)>,
    /// Common names whose issuer is not trusted any more after a change of the trust stores.
    distrusted: BTreeSet<String>,
}

impl Live for World {
    fn phone(&self, index: DeviceIndex) -> Option<LivePhone> {
        self.phones.get(&index).cloned()
    }

    fn chains<'a>(&'a self, _: &[CertificateRow], _: bool) -> Chains<'a> {
        Box::new(|shown| {
            match self.distrusted.contains(shown.facts.subject_cn.as_deref().unwrap_or_default()) {
                true => ChainedTo::Nothing,
                false => shown.chain,
            }
        })
    }

    fn calls(&self, visit: &mut dyn FnMut(CallLegs<'_>)) {
        for (call, legs) in &self.calls {
            visit(CallLegs { call, legs });
        }
    }
}

/// How a phone came when it registered.
#[derive(Debug, Clone)]
struct Came {
    transport: Transport,
    suite: SuiteKind,
    digest: bool,
    cn: Option<String>,
}

fn udp(digest: bool) -> Came {
    Came { transport: Transport::Udp, suite: SuiteKind::None, digest, cn: None }
}

fn tls(suite: SuiteKind, cn: &str) -> Came {
    Came { transport: Transport::Tls, suite, digest: false, cn: Some(cn.to_owned()) }
}

fn facts(cn: &str) -> CertificateFacts {
    CertificateFacts {
        sha256: [7; 32],
        subject: format!("CN={cn}"),
        subject_cn: Some(cn.to_owned()),
        san_dns: Vec::new(),
        san_other: false,
        issuer: "CN=root".to_owned(),
        not_before: UnixMillis(0),
        not_after: UnixMillis(u64::MAX),
        key: CertificateKey::Rsa(2048),
        is_ca: false,
    }
}

impl World {
    /// A phone that registered this way all of its lines, judged by its profile as saved now.
    fn register(&mut self, inventory: &Inventory, name: &str, came: &Came) {
        let phone = inventory.phone_named(name).unwrap();
        let remote: SocketAddr = "192.0.2.7:5060".parse().unwrap();
        let flow = match came.transport {
            Transport::Udp => Flow::Udp { local: "192.0.2.1:5060".parse().unwrap(), remote },
            transport => Flow::Lost { transport, remote },
        };
        let proof = match (&came.cn, came.digest) {
            (Some(_), _) => PeerProof::Certificate,
            (None, true) => PeerProof::Digest,
            (None, false) => PeerProof::None,
        };
        let peer = Peer { proof, suite_kind: came.suite, suite: 0, certificate: None };
        let origin = Origin {
            call_id: "call".into(),
            cseq: 1,
            nonce: came.digest.then_some(NonceUse { id: 1, nc: 1 }),
            flow,
            peer,
            path: Default::default(),
        };
        let binding = |line: &crate::ids::Dn| Binding {
            line: line.clone(),
            contact: "sip:a@192.0.2.7".into(),
            key: ContactKey([0; 16]),
            instance: None,
            reg_id: None,
            q: None,
            model: None,
            fresh: false,
            granted_until: NOW.plus_secs(3600),
            persisted_until: NOW.plus_secs(3600),
            origin: origin.clone(),
        };
        let applied = AppliedVersion { profile: phone.profile.id, version: phone.profile.version };
        let row = Row { bindings: phone.lines.iter().map(binding).collect(), ..Row::new(applied) };
        let shown = came.cn.as_deref().map(|cn| {
            Arc::new(ShownCertificate { facts: facts(cn), chain: ChainedTo::CapfTrust, ders: Box::default() })
        });
        let settings = Some(Arc::new(phone.profile.settings.clone()));
        self.phones.insert(phone.index, LivePhone { settings, row: Some(Arc::new(row)), shown });
    }
}

fn line(dn: &str) -> Value {
    json!({"kind": "line", "dn": dn})
}

fn profile(name: &str, mode: &str, digest: bool) -> Value {
    json!({"kind": "security_profile", "name": name, "model": "Cisco 8845", "protocol": "sip",
           "device_security_mode": mode, "digest_authentication": digest})
}

fn phone(name: &str, profile: Option<&str>, user: Option<&str>, lines: &[&str]) -> Value {
    let mut row = json!({"kind": "phone", "name": name, "model": "Cisco 8845", "lines": lines});
    if let Some(profile) = profile {
        row["security_profile"] = profile.into();
    }
    if let Some(user) = user {
        row["digest_user"] = user.into();
    }
    row
}

fn user(id: &str) -> Value {
    json!({"kind": "end_user", "id": id, "digest_credentials": format!("{id}secret")})
}

fn mixed() -> Value {
    json!({"kind": "parameter", "name": "cluster_security_mode", "value": "mixed"})
}
