//! A node that is made up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use keyline_actors::audit::AuditReader;
use keyline_actors::board::{Role, Token};
use keyline_actors::catalog::{ChangeError, ChangeRequest, Changed, TokenChange, TokenRefused};
use keyline_actors::profile::{RolloutFacts, RolloutOrder, RolloutRefused, RolloutWanted};
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::class::CallSecurity;
use keyline_domain::find::PhoneIndex;
use keyline_domain::ids::{DeviceName, Dn, UnixMillis};
use keyline_domain::inventory::{Apply, Inventory, Kind, Sealer, in_order, parse_row};
use keyline_domain::mode::{SecurityClass, Transport};
use keyline_domain::rollout::{Rollout, RolloutId};
use keyline_domain::subscription::MessageWaiting;

use serde_json::{Value, json};

use crate::admin::lists::{Position, World};
use crate::admin::oauth::{OauthApi, Wanted};
use crate::admin::views::*;
use crate::admin::{
    BackupWriter, BoxFuture, NodeApi, OrderRefused, PhoneOrder, Presented, Problem, Reading, RolloutApi,
    Running, Setup, TraceOf, start, trace_of_nothing,
};
use crate::pki::own::Asked;
use crate::trace::Stream;

/// Rows that the fake has registered.
pub(crate) const ROWS: usize = 250;

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) broken: AtomicBool,
    pub(crate) unready: AtomicBool,
    tokens: ArcSwap<Vec<Token>>,
}

fn row(n: usize) -> RegistrationView {
    RegistrationView {
        aor: format!("sip:{}@keyline.local", 1000 + n),
        device: format!("SEP{n:012X}"),
        contact: format!("<sip:{}@192.0.2.1:5060>", 1000 + n),
        expires_at: Timestamp(UnixMillis(1_709_164_800_000)),
        transport: Transport::Udp,
        flow: "udp 192.0.2.1:5060".to_owned(),
        suite: None,
        profile: "Cisco 8845 - Standard SIP Non-Secure Profile".to_owned(),
    }
}

fn call(n: u64) -> CallView {
    CallView {
        id: format!("07.{n}.1"),
        started: Timestamp(UnixMillis(n)),
        caller: "SEP000000000001".to_owned(),
        called: "1002".to_owned(),
        class: n.is_multiple_of(2).then_some(SecurityClass::Encrypted),
    }
}

pub(crate) struct Plain;

impl Sealer for Plain {
    fn seal(&self, plain: &[u8], _: &str) -> Vec<u8> {
        plain.to_vec()
    }

    fn open(&self, sealed: &[u8], _: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        Some(zeroize::Zeroizing::new(sealed.to_vec()))
    }
}

/// Phones `SEP000000000000` and so on, each with a line and a user.
pub(crate) fn inventory() -> &'static Inventory {
    static INVENTORY: OnceLock<Inventory> = OnceLock::new();
    INVENTORY.get_or_init(|| {
        let mut rows: Vec<String> = (0..ROWS)
            .flat_map(|n| {
                [
                    format!(r#"{{"kind":"line","dn":"{}"}}"#, 1000 + n),
                    format!(r#"{{"kind":"end_user","id":"user{n}","digest_credentials":"Secret{n}"}}"#),
                    format!(
                        r#"{{"kind":"phone","name":"SEP{n:012X}","model":"Cisco 8845","lines":["{}"],"digest_user":"user{n}","description":"desk {n}"}}"#,
                        1000 + n
                    ),
                ]
            })
            .collect();
        rows.push(r#"{"kind":"security_profile","name":"Digest/one","model":"Cisco 8845","protocol":"sip","digest_authentication":true}"#.to_owned());
        rows.push(r#"{"kind":"common_phone_profile","name":"Lobby","hardening":{"pc_port":"disabled"}}"#.to_owned());
        rows.push(r#"{"kind":"enterprise_phone","hardening":{"pc_port":"enabled","web_access":"disabled"}}"#.to_owned());
        rows.push(r#"{"kind":"phone","name":"SEPFFFFFFFFFFFF","model":"Cisco 8845","security_profile":"Digest/one","common_phone_profile":"Lobby","hardening":{"settings_access":"disabled"}}"#.to_owned());
        let rows: Vec<_> = rows.iter().map(|r| parse_row(r).unwrap()).collect();
        let mut inventory = Inventory::new();
        assert!(inventory.check(&rows, true).is_ok());
        for row in in_order(rows) {
            inventory.apply(row, Apply { sealer: &Plain, offline: true }).unwrap();
        }
        inventory
    })
}

/// What its phones are searched by.
pub(crate) fn index() -> &'static PhoneIndex {
    static INDEX: OnceLock<PhoneIndex> = OnceLock::new();
    INDEX.get_or_init(|| PhoneIndex::of(inventory()))
}

fn etag(kind: Kind, name: &str) -> Option<String> {
    Some(format!("\"{:x}\"", inventory().row_text(kind, name, true)?.len()))
}

impl NodeApi for Fake {
    fn ready(&self) -> Readiness {
        match self.unready.load(Ordering::Relaxed) {
            true => Readiness { ready: false, reasons: vec!["an import is being finished".to_owned()] },
            false => Readiness { ready: true, reasons: Vec::new() },
        }
    }

    fn health(&self) -> Health {
        let broken = self.broken.load(Ordering::Relaxed);
        Health {
            storage_ok: !broken,
            storage_detail: broken.then(|| "disk full".to_owned()),
            shards_alive: 2,
            shards: 2,
            uptime_s: 7,
            version: "0.0.0",
            warnings: Vec::new(),
        }
    }

    fn status(&self) -> Value {
        json!({ "name": "fake", "version": "0", "started": "1970-01-01T00:00:00.000Z", "uptime_s": 7,
            "ready": true, "shards_alive": 1, "calls": 3, "devices": 250,
            "shards": [{ "shard": 0, "queue": 0, "queue_max": 8 }],
            "storage": { "ok": true, "commits": 1, "conflicts": 0, "failures": 0, "queued": 0 } })
    }

    fn calls(
        &self,
        after: Option<&Position>,
        backwards: bool,
        limit: usize,
        keep: &dyn Fn(&CallView) -> bool,
    ) -> Vec<CallView> {
        let mut calls: Vec<_> = (0..3).map(call).filter(keep).collect();
        if backwards {
            calls.reverse();
        }
        let at = after.and_then(|p| calls.iter().position(|c| c.id == p.key)).map_or(0, |at| at + 1);
        calls.into_iter().skip(at).take(limit).collect()
    }

    fn call(&self, id: &str) -> Option<CallDetail> {
        let call = (0..3).map(call).find(|c| c.id == id)?;
        Some(CallDetail { call, state: CallState::Early, icon: None, devices: Vec::new() })
    }

    fn call_security(&self, id: &str) -> Option<CallSecurityView> {
        let security = CallSecurity { class: SecurityClass::NonSecure, icon: "none", legs: Vec::new() };
        (id == "07/0 1").then(|| CallSecurityView { id: id.to_owned(), security })
    }

    fn registrations(
        &self,
        after: Option<&str>,
        limit: usize,
        keep: &dyn Fn(&RegistrationView) -> bool,
    ) -> RegistrationPage {
        let from = after.and_then(|place| place.parse().ok()).unwrap_or(0);
        let all: Vec<_> = (0..ROWS).filter(|n| keep(&row(*n))).collect();
        let to = (from + limit).min(all.len());
        let next = (to < all.len()).then(|| to.to_string());
        RegistrationPage { rows: all[from..to].iter().map(|n| row(*n)).collect(), next }
    }

    fn role(&self, presented: &Presented) -> Option<(String, Role)> {
        [("reader", Role::ReadOnly), ("operator", Role::Operator)]
            .into_iter()
            .find(|(name, _)| presented.is(&Presented::of_text(name).hash()))
            .map(|(name, role)| (name.to_owned(), role))
    }

    fn tokens(&self) -> Vec<Token> {
        self.tokens.load().to_vec()
    }

    fn change_token(&self, change: TokenChange, _: Who) -> BoxFuture<Result<(), TokenRefused>> {
        let mut tokens = self.tokens();
        let done = match change {
            TokenChange::Create(token) => {
                tokens.push(token);
                Ok(())
            }
            TokenChange::Revoke(name) => match tokens.iter().position(|t| t.name == name) {
                Some(at) => {
                    tokens.remove(at);
                    Ok(())
                }
                None => Err(TokenRefused::Unknown(name)),
            },
        };
        self.tokens.store(Arc::new(tokens));
        Box::pin(async move { done })
    }

    fn limited(&self, _: crate::limits::Limit) {}

    fn trace(&self, of: TraceOf) -> Result<Stream, Problem> {
        Err(trace_of_nothing(&of))
    }

    fn read(&self, read: Reading) -> BoxFuture<Result<Value, Problem>> {
        let (inventory, find) = (inventory(), index());
        let answer = read(&World { inventory, find, live: None, own: &[], etag: &etag });
        Box::pin(async move { answer })
    }

    fn change(&self, _: ChangeRequest) -> BoxFuture<Result<Changed, ChangeError>> {
        Box::pin(async { Err(ChangeError::Internal("a node that is made up changes nothing".to_owned())) })
    }

    fn import(&self, ndjson: Vec<u8>, _: Who) -> BoxFuture<Result<ImportDone, ImportRefused>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(&ndjson).into_owned();
            match text.as_str() {
                "locked" => Err(ImportRefused::Failed {
                    code: "storage_failed".to_owned(),
                    reason: "the store took no write; see the log".to_owned(),
                }),
                "panic" => panic!("a mistake of the node"),
                text if text.contains("bad") => Err(ImportRefused::Rows {
                    errors: vec![RowRefusal {
                        row: 2,
                        reason: "phone: no field `name`".to_owned(),
                        code: "missing_field".to_owned(),
                    }],
                    more: 1,
                }),
                text => Ok(ImportDone {
                    rows: text.lines().count(),
                    changed: 1,
                    warnings: vec![ImportWarning {
                        code: "cluster_non_secure".to_owned(),
                        text: "set it to mixed".to_owned(),
                        count: 1,
                        examples: vec!["SEP000000000001".to_owned()],
                    }],
                }),
            }
        })
    }

    fn set_messages(&self, line: Dn, _: MessageWaiting, _: Who) -> BoxFuture<Result<(), OrderRefused>> {
        let known = line.as_str() == "1001";
        Box::pin(async move { if known { Ok(()) } else { Err(OrderRefused::NoLine(line.to_string())) } })
    }

    fn order(&self, phone: String, _: PhoneOrder, _: Who) -> BoxFuture<Result<u16, OrderRefused>> {
        Box::pin(async move { Err(OrderRefused::NotRegistered(phone)) })
    }

    fn rollouts(&self) -> &dyn RolloutApi {
        self
    }

    fn oauth(&self) -> &dyn OauthApi {
        self
    }

    fn export(&self) -> BoxFuture<Result<Vec<u8>, String>> {
        Box::pin(async { Ok(b"{\"kind\":\"line\",\"dn\":\"1001\"}\n".repeat(100_000)) })
    }

    fn backup(&self) -> BackupWriter {
        Box::new(|out| out.write_all(b"no backup").map_err(|e| e.to_string()))
    }

    fn certificate(&self, name: &str) -> Option<String> {
        (name == "CallManager").then(|| certificate().to_owned())
    }

    fn own_certificates(&self) -> Vec<Value> {
        vec![json!({
            "name": "CallManager", "pem": certificate(), "fingerprint": "00", "subject": "CN=a", "issuer": "CN=a",
            "self_signed": true, "dns_names": [], "key": "rsa", "rsa_bits": 2048,
            "not_before": "2026-01-01T00:00:00Z", "not_after": "2036-01-01T00:00:00Z", "chain": ["CN=a"],
            "request_pending": false,
        })]
    }

    fn own(&self, name: String, asked: Asked, _: bool, _: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(async move {
            match (&*name, asked) {
                ("CallManager", Asked::Request(_)) => {
                    Ok(json!({ "name": name, "key": "present", "csr": "" }))
                }
                _ => Err(crate::admin::own::unknown(&name)),
            }
        })
    }

    fn revocation_lists(&self) -> Vec<Value> {
        Vec::new()
    }

    fn install_crl(&self, _: String, _: bool, _: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(async { Err(crate::admin::crl::unknown("any")) })
    }

    fn delete_crl(&self, name: String, _: bool, _: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(async move { Err(crate::admin::crl::unknown(&name)) })
    }

    fn audit(&self) -> AuditReader {
        let done = Draft::new(&Who::default(), "merge", "line", "1001", Happened::Done);
        let who = Who::token("ops", "admin", "192.0.2.1", Some("c0ffee"));
        let refused =
            Draft::new(&who, "remove", "security_profile", "Lobby", Happened::refused("profile_in_use"));
        AuditReader::of(vec![done.with(None, Some(&json!({ "dn": "1001" }))), refused])
    }

    fn metrics(&self) -> String {
        "keyline_phone_registered_devices 250\n".to_owned()
    }
}

/// No roll-out, and none can begin.
impl OauthApi for Fake {
    fn keys(&self) -> Value {
        json!({ "keys": [] })
    }

    fn issue(&self, wanted: Wanted, _: Who) -> BoxFuture<Result<Value, Problem>> {
        let told = json!({ "access_token": "a.b.c", "token_type": "Bearer", "expires_in": wanted.expires_s.unwrap_or(60), "scope": "sip" });
        Box::pin(async move { Ok(told) })
    }

    fn rotate(&self, _: Who) -> BoxFuture<Result<(), Problem>> {
        Box::pin(async { Ok(()) })
    }
}

impl RolloutApi for Fake {
    fn list(&self) -> Vec<Arc<Rollout>> {
        Vec::new()
    }

    fn get(&self, _: RolloutId) -> Option<Arc<Rollout>> {
        None
    }

    fn facts(
        &self,
        profile: String,
        _: Option<Vec<DeviceName>>,
    ) -> BoxFuture<Result<RolloutFacts, RolloutRefused>> {
        Box::pin(async move { Err(RolloutRefused::NoProfile(profile)) })
    }

    fn begin(&self, _: RolloutWanted, _: Who) -> BoxFuture<Result<Rollout, RolloutRefused>> {
        Box::pin(async { Err(RolloutRefused::Internal("made up".to_owned())) })
    }

    fn order(&self, id: RolloutId, _: RolloutOrder, _: Who) -> BoxFuture<Result<Rollout, RolloutRefused>> {
        Box::pin(async move { Err(RolloutRefused::NoRollout(id)) })
    }

    fn seal(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A self-signed certificate for `localhost`, the same in every test of the process.
fn certificate() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem())
}

/// A fake node that serves its control socket in `folder` only.
pub(crate) fn controlled(folder: &Path) -> Running {
    let setup = Setup { metrics: None, api: None, control: Some(folder.to_owned()) };
    start(Arc::new(Fake::default()), setup).unwrap()
}
