//! What the admin servers ask of the running node, answered from the boards and by the catalog.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyline_actors::Handle;
use keyline_actors::audit::AuditReader;
use keyline_actors::board::{CallEntry, Role, Token};
use keyline_actors::catalog::{
    ChangeError, ChangeRequest, Changed, MessagesError, TokenChange, TokenRefused,
};
use keyline_actors::clock::now;
use keyline_actors::route::CallKey;
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::ids::{DeviceIndex, Dn, UnixMillis};
use keyline_domain::mode::SecurityClass;
use keyline_domain::subscription::MessageWaiting;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use super::oauth::Issuer;
use super::rollouts::Rollouts;
use super::{crl, own};
use crate::admin::lists::{Live, Position, SCAN_MAX, World, binding};
use crate::admin::oauth::OauthApi;
use crate::admin::views::{
    CallDetail, CallSecurityView, CallState, CallView, Health, ImportDone, ImportRefused, Readiness,
    RegistrationPage, RegistrationView, Timestamp,
};
use crate::admin::{
    BackupWriter, BoxFuture, Code, NodeApi, OrderRefused, PhoneOrder, Presented, Problem, Reading,
    RolloutApi, TraceOf, trace_of_nothing,
};
use crate::config::Config;
use crate::limits::Limit;
use crate::metrics::certificates;
use crate::offline;
use crate::pki::own::{Asked, Site};
use crate::signaling::{Shared, orders};
use crate::trace::{Stream, Subject};
use crate::trunk::Trunks;

/// How long a read of the configuration may wait for its turn: behind an import, at most.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// The node as the admin servers see it.
pub(super) struct RunningNode {
    handle: Handle,
    registry: Registry,
    shared: Arc<Shared>,
    site: Site,
    domain: Arc<str>,
    began: Instant,
    started: UnixMillis,
    ready: AtomicBool,
    rollouts: Rollouts,
    issuer: Issuer,
    trunks: Trunks,
    own_views: own::Views,
}

impl RunningNode {
    pub(super) fn new(
        handle: Handle,
        shared: Arc<Shared>,
        registry: Registry,
        config: &Config,
        began: Instant,
        secret: [u8; 32],
        trunks: Trunks,
    ) -> Self {
        Self {
            rollouts: Rollouts::new(handle.clone(), secret),
            trunks,
            own_views: own::Views::default(),
            issuer: Issuer { handle: handle.clone(), oauth: Arc::clone(&shared.admission.oauth) },
            handle,
            shared,
            registry,
            site: Site { node: config.node.name.clone(), hosts: offline::hosts(config) },
            domain: config.node.domain.as_str().into(),
            began,
            started: now(),
            ready: AtomicBool::new(false),
        }
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}

fn call_view(key: CallKey, entry: &CallEntry) -> CallView {
    CallView {
        id: key.to_string(),
        started: Timestamp(entry.started),
        caller: entry.caller.to_string(),
        called: entry.called.to_string(),
        class: entry.class,
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
            warnings: certificates::warnings(&self.handle.boards.settings, now()),
        }
    }

    fn status(&self) -> Value {
        let (queues, bound) = self.handle.queues();
        let shards: Vec<_> = queues
            .into_iter()
            .enumerate()
            .map(|(shard, queue)| json!({ "shard": shard, "queue": queue, "queue_max": bound }))
            .collect();
        let storage = self.handle.storage_counters();
        json!({
            "name": self.site.node,
            "version": env!("CARGO_PKG_VERSION"),
            "started": Timestamp(self.started),
            "uptime_s": Health::uptime(self.began.elapsed()),
            "ready": self.ready().ready,
            "shards_alive": self.handle.shards_connected(),
            "shards": shards,
            "calls": self.handle.boards.calls.len(),
            "devices": self.handle.boards.devices.len(),
            "storage": {
                "ok": self.handle.storage_fault().is_none(),
                "commits": storage.commits, "conflicts": storage.conflicts,
                "failures": storage.failures, "queued": storage.queued,
            },
        })
    }

    /// The smallest ones that fit, by a heap: a list of a hundred thousand calls is never sorted as a whole.
    fn calls(
        &self,
        after: Option<&Position>,
        backwards: bool,
        limit: usize,
        keep: &dyn Fn(&CallView) -> bool,
    ) -> Vec<CallView> {
        type Place = (UnixMillis, String);
        #[derive(PartialEq, Eq)]
        struct Kept(Place, bool, CallView);
        impl Ord for Kept {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                let order = self.0.cmp(&other.0);
                if self.1 { order.reverse() } else { order }
            }
        }
        impl PartialOrd for Kept {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        let mut heap: BinaryHeap<Kept> = BinaryHeap::new();
        self.handle.boards.calls.visit(|key, entry| {
            let view = call_view(key, entry);
            let behind = after.is_none_or(|p| {
                let (value, id) = (view.started.to_string(), view.id.as_str());
                let (at, from) = ((value.as_str(), id), (p.value.as_str(), p.key.as_str()));
                if backwards { at < from } else { at > from }
            });
            if behind && keep(&view) {
                heap.push(Kept((entry.started, view.id.clone()), backwards, view));
                if heap.len() > limit {
                    heap.pop();
                }
            }
        });
        heap.into_sorted_vec().into_iter().map(|kept| kept.2).collect()
    }

    fn call(&self, id: &str) -> Option<CallDetail> {
        let key: CallKey = id.parse().ok()?;
        let entry = self.handle.boards.calls.get(key)?;
        let state = match (self.handle.boards.calls.is_in_progress(key), entry.class) {
            (false, _) => CallState::Ended,
            (true, None) => CallState::Early,
            (true, Some(_)) => CallState::Answered,
        };
        Some(CallDetail {
            call: call_view(key, &entry),
            state,
            icon: entry.class.map(SecurityClass::icon),
            devices: entry.legs.iter().map(|leg| leg.device.to_string()).collect(),
        })
    }

    fn call_security(&self, id: &str) -> Option<CallSecurityView> {
        let entry = self.handle.boards.calls.get(id.parse().ok()?)?;
        Some(CallSecurityView { id: id.to_owned(), security: entry.security()? })
    }

    /// The place is `device index.binding`: indexes are never reused, so pages do not shift.
    fn registrations(
        &self,
        after: Option<&str>,
        limit: usize,
        keep: &dyn Fn(&RegistrationView) -> bool,
    ) -> RegistrationPage {
        let start = after.and_then(|a| {
            let (device, binding) = a.split_once('.')?;
            Some((device.parse::<u32>().ok()?, binding.parse::<usize>().ok()?))
        });
        let devices = &self.handle.boards.devices;
        let (at, mut page) = (now(), RegistrationPage::default());
        let first = start.map_or(0, |(d, _)| d);
        let mut last = None;
        for (seen, index) in (first..u32::try_from(devices.len()).unwrap_or(u32::MAX)).enumerate() {
            if seen >= SCAN_MAX {
                // All bindings of the devices before this one were looked at.
                page.next = Some(format!("{}.{}", index - 1, usize::MAX));
                return page;
            }
            let Some(slot) = devices.slot(DeviceIndex(index)) else { break };
            let (Some(device), Some(row)) = (slot.device(), slot.row()) else { continue };
            for (n, b) in row.bindings.iter().enumerate() {
                if start.is_some_and(|(d, last)| d == index && n <= last) || !b.is_live(at) {
                    continue;
                }
                let view = binding(&self.handle.boards, &device, b, &self.domain);
                if !keep(&view) {
                    continue;
                }
                if page.rows.len() >= limit {
                    page.next = last;
                    return page;
                }
                page.rows.push(view);
                last = Some(format!("{index}.{n}"));
            }
        }
        page
    }

    fn read(&self, read: Reading) -> BoxFuture<Result<Value, Problem>> {
        let (handle, domain) = (self.handle.clone(), Arc::clone(&self.domain));
        let boards = Arc::clone(&self.handle.boards);
        let trunks = self.trunks.clone();
        Box::pin(async move {
            let look = handle.look(move |catalog| {
                let live = Live { boards: &boards, domain: &domain, at: now(), trunks: Some(&trunks) };
                let etag = |kind, name: &str| catalog.etag(kind, name);
                let own = offline::own_facts(&boards.settings.own());
                let (inventory, find) = (catalog.inventory(), catalog.find());
                read(&World { inventory, find, live: Some(live), own: &own, etag: &etag })
            });
            match tokio::time::timeout(READ_PATIENCE, look).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(reason)) => Err(Problem::new(Code::Internal, reason)),
                Err(_) => {
                    let detail = "the catalog is busy, as with a large import; ask again later";
                    Err(Problem::new(Code::Busy, detail).with("retry_after_s", READ_PATIENCE.as_secs()))
                }
            }
        })
    }

    fn change(&self, request: ChangeRequest) -> BoxFuture<Result<Changed, ChangeError>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.change(request).await })
    }

    fn role(&self, presented: &Presented) -> Option<(String, Role)> {
        let at = now();
        // All are compared, so that time tells nothing.
        let tokens = self.handle.boards.tokens.load();
        let found =
            tokens.iter().fold(None, |found, t| if presented.is(&t.hash) { Some(t) } else { found })?;
        found.expires.is_none_or(|end| at < end).then(|| (found.name.to_string(), found.role))
    }

    fn tokens(&self) -> Vec<Token> {
        self.handle.boards.tokens.load().to_vec()
    }

    fn change_token(&self, change: TokenChange, who: Who) -> BoxFuture<Result<(), TokenRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.change_token(change, who).await })
    }

    fn limited(&self, limit: Limit) {
        self.shared.metrics.limit(limit);
    }

    fn trace(&self, of: TraceOf) -> Result<Stream, Problem> {
        let boards = &self.handle.boards;
        let subject = match &of {
            TraceOf::Phone(name) => Subject::phone(boards, name),
            TraceOf::Call(id) => {
                id.parse().ok().filter(|k| boards.calls.is_in_progress(*k)).map(Subject::call)
            }
        };
        let subject = subject.ok_or_else(|| trace_of_nothing(&of))?;
        self.shared.tap.begin(subject).ok_or_else(|| {
            self.shared.metrics.limit(Limit::Traces);
            let detail = "as many traces run as [limits] traces allows; end one of them";
            Problem::new(Code::TooManyTraces, detail)
        })
    }

    fn import(&self, ndjson: Vec<u8>, who: Who) -> BoxFuture<Result<ImportDone, ImportRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move { handle.import(ndjson, who).await.map(offline::done).map_err(offline::refused) })
    }

    fn set_messages(
        &self,
        line: Dn,
        waiting: MessageWaiting,
        who: Who,
    ) -> BoxFuture<Result<(), OrderRefused>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            handle.set_messages(line.clone(), waiting, who).await.map_err(|e| match e {
                MessagesError::UnknownLine => OrderRefused::NoLine(line.to_string()),
                MessagesError::Store(reason) => OrderRefused::Fault(reason),
            })
        })
    }

    fn order(&self, phone: String, order: PhoneOrder, who: Who) -> BoxFuture<Result<u16, OrderRefused>> {
        let (shared, handle) = (Arc::clone(&self.shared), self.handle.clone());
        Box::pin(async move {
            let answer = orders::order(&shared, &phone, order).await;
            let happened = match &answer {
                Ok(_) => Happened::Done,
                Err(refused) => Happened::refused(refused.code()),
            };
            let told = answer.as_ref().ok().map(|status| json!({ "answer": status }));
            let draft = Draft::new(&who, order.as_str(), "phone", &phone, happened).with(None, told.as_ref());
            handle.note(draft).await.map_err(|e| OrderRefused::Fault(e.to_string()))?;
            answer
        })
    }

    fn rollouts(&self) -> &dyn RolloutApi {
        &self.rollouts
    }

    fn oauth(&self) -> &dyn OauthApi {
        &self.issuer
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
        let own = self.handle.boards.settings.own();
        own.get(name).map(|own| own.material.certificate_pem.clone())
    }

    fn own_certificates(&self) -> Vec<Value> {
        self.own_views.of(&self.handle)
    }

    fn own(&self, name: String, asked: Asked, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(own::ask(self.handle.clone(), self.site.clone(), name, asked, dry_run, who))
    }

    fn revocation_lists(&self) -> Vec<Value> {
        crl::views(&self.handle)
    }

    fn install_crl(&self, pem: String, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(crl::install(self.handle.clone(), pem, dry_run, who))
    }

    fn delete_crl(&self, name: String, dry_run: bool, who: Who) -> BoxFuture<Result<Value, Problem>> {
        Box::pin(crl::delete(self.handle.clone(), name, dry_run, who))
    }

    fn audit(&self) -> AuditReader {
        self.handle.audit()
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
