//! What the admin servers ask of the running node, answered from the boards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use keyline_actors::Handle;
use keyline_actors::clock::now;
use keyline_domain::cipher;
use keyline_domain::ids::DeviceIndex;
use prometheus::{Registry, TextEncoder};

use crate::admin::views::{
    CallSecurityView, CallView, Health, ImportDone, ImportRefused, Readiness, RegistrationPage,
    RegistrationView, Timestamp, flow_text,
};
use crate::admin::{BackupWriter, BoxFuture, NodeApi};
use crate::config::Config;
use crate::offline;

/// The node as the admin servers see it.
pub(super) struct RunningNode {
    handle: Handle,
    registry: Registry,
    certificates: HashMap<String, String>,
    domain: String,
    began: Instant,
    ready: AtomicBool,
}

impl RunningNode {
    pub(super) fn new(
        handle: Handle,
        registry: Registry,
        certificates: HashMap<String, String>,
        config: &Config,
        began: Instant,
    ) -> Self {
        let domain = config.node.domain.clone();
        Self { handle, registry, certificates, domain, began, ready: AtomicBool::new(false) }
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}

impl NodeApi for RunningNode {
    fn ready(&self) -> Readiness {
        let mut reasons = Vec::new();
        if !self.ready.load(Ordering::Acquire) {
            reasons.push("the node is starting or stopping".to_owned());
        }
        if let Some(fault) = self.handle.storage_fault() {
            reasons.push(format!("storage: {fault}"));
        }
        if !self.handle.shards_alive() {
            reasons.push("a shard takes no messages".to_owned());
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    fn health(&self) -> Health {
        let fault = self.handle.storage_fault();
        let shards = usize::from(self.handle.table.count());
        Health {
            storage_ok: fault.is_none(),
            storage_detail: fault,
            shards_alive: self.handle.shards_connected(),
            shards,
            uptime_s: Health::uptime(self.began.elapsed()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn calls(&self, limit: usize) -> Vec<CallView> {
        let mut calls: Vec<_> = self
            .handle
            .boards
            .calls
            .list(limit)
            .into_iter()
            .map(|(key, e)| CallView {
                id: key.to_string(),
                started: Timestamp(e.started),
                called: e.called.to_string(),
                class: e.security.map(|s| s.class),
            })
            .collect();
        calls.sort_by(|a, b| a.started.cmp(&b.started).then_with(|| a.id.cmp(&b.id)));
        calls
    }

    fn call_security(&self, id: &str) -> Option<CallSecurityView> {
        let entry = self.handle.boards.calls.get(id.parse().ok()?)?;
        let security = entry.security?;
        Some(CallSecurityView { id: id.to_owned(), security: (*security).clone() })
    }

    /// The cursor is `device index.binding`: indexes are never reused, so pages do not shift.
    fn registrations(&self, after: Option<&str>, limit: usize) -> RegistrationPage {
        let start = after.and_then(|a| {
            let (device, binding) = a.split_once('.')?;
            Some((device.parse::<u32>().ok()?, binding.parse::<usize>().ok()?))
        });
        let devices = &self.handle.boards.devices;
        let (at, mut page) = (now(), RegistrationPage::default());
        let first = start.map_or(0, |(d, _)| d);
        for index in first..u32::try_from(devices.len()).unwrap_or(u32::MAX) {
            let Some(slot) = devices.slot(DeviceIndex(index)) else { break };
            let (Some(device), Some(row)) = (slot.device(), slot.row()) else { continue };
            for (n, b) in row.bindings.iter().enumerate() {
                if start.is_some_and(|(d, last)| d == index && n <= last) || !b.is_live(at) {
                    continue;
                }
                if page.rows.len() >= limit {
                    return page;
                }
                let suite = b.origin.peer.suite;
                page.rows.push(RegistrationView {
                    aor: format!("sip:{}@{}", b.line, self.domain),
                    device: device.name.to_string(),
                    contact: b.contact.to_string(),
                    expires_at: Timestamp(b.granted_until),
                    transport: b.origin.flow.transport(),
                    flow: flow_text(&b.origin.flow),
                    suite: (suite != 0).then(|| match cipher::suite(suite) {
                        Some(s) => s.name.to_owned(),
                        None => format!("0x{suite:04x}"),
                    }),
                    profile: device.profile_name.to_string(),
                });
                page.next = Some(format!("{index}.{n}"));
            }
        }
        page.next = None;
        page
    }

    fn import(&self, ndjson: Vec<u8>) -> BoxFuture<Result<ImportDone, ImportRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.import(ndjson).await.map(offline::done).map_err(offline::refused) })
    }

    fn export(&self) -> BoxFuture<Result<Vec<u8>, String>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.export().await })
    }

    fn backup(&self) -> BackupWriter {
        let source = self.handle.backup();
        Box::new(move |out| source.write(out).map(|_| ()).map_err(|e| e.to_string()))
    }

    fn certificate(&self, name: &str) -> Option<String> {
        self.certificates.get(name).cloned()
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
