//! A node that is made up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyline_domain::class::CallSecurity;
use keyline_domain::ids::UnixMillis;
use keyline_domain::mode::{SecurityClass, Transport};

use crate::admin::views::*;
use crate::admin::{BackupWriter, BoxFuture, NodeApi, Running, Setup, start};

/// Rows that the fake has registered.
pub(crate) const ROWS: usize = 250;

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) broken: AtomicBool,
    pub(crate) unready: AtomicBool,
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
        }
    }

    fn calls(&self, limit: usize) -> Vec<CallView> {
        let call = |n| CallView {
            id: format!("07.{n}.1"),
            started: Timestamp(UnixMillis(n)),
            called: "1002".to_owned(),
            class: (n % 2 == 0).then_some(SecurityClass::Encrypted),
        };
        (0..3).map(call).take(limit).collect()
    }

    fn call_security(&self, id: &str) -> Option<CallSecurityView> {
        let security = CallSecurity { class: SecurityClass::NonSecure, icon: "none", legs: Vec::new() };
        (id == "07/0 1").then(|| CallSecurityView { id: id.to_owned(), security })
    }

    fn registrations(&self, after: Option<&str>, limit: usize) -> RegistrationPage {
        let from = after.and_then(|cursor| cursor.strip_prefix("at &=")?.parse().ok()).unwrap_or(0);
        let to = (from + limit).min(ROWS);
        let next = (to < ROWS).then(|| format!("at &={to}"));
        RegistrationPage { rows: (from..to).map(row).collect(), next }
    }

    fn import(&self, ndjson: Vec<u8>) -> BoxFuture<Result<ImportDone, ImportRefused>> {
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

    fn export(&self) -> BoxFuture<Result<Vec<u8>, String>> {
        Box::pin(async { Ok(b"{\"kind\":\"line\",\"dn\":\"1001\"}\n".repeat(100_000)) })
    }

    fn backup(&self) -> BackupWriter {
        Box::new(|out| out.write_all(b"no backup").map_err(|e| e.to_string()))
    }

    fn certificate(&self, name: &str) -> Option<String> {
        (name == "CallManager").then(|| certificate().to_owned())
    }

    fn metrics(&self) -> String {
        "keyline_phone_registered_devices 250\n".to_owned()
    }
}

/// A self-signed certificate for `localhost`, the same in every test of the process.
fn certificate() -> &'static str {
    use std::sync::OnceLock;
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem())
}

/// A fake node that serves its control socket in `folder` only.
pub(crate) fn controlled(folder: &Path) -> Running {
    let setup = Setup { metrics: None, api: None, control: Some(folder.to_owned()) };
    start(Arc::new(Fake::default()), setup).unwrap()
}
