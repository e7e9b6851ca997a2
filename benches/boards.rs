//! Looking a device up: the board of the product (papaya), and beside it the same names in a map behind a mutex, a dashmap, an
//! scc map, and a papaya map alone.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dashmap::DashMap;
use keyline_actors::board::Boards;
use keyline_actors::catalog::Inspect;
use keyline_actors::system::{self, Engine, OpenOptions};
use keyline_domain::ids::{DeviceIndex, DeviceName, UnixMillis};
use keyline_domain::inventory::CertificateFacts;
use keyline_loadtest::inventory;

const DEVICES: u32 = 100_000;

struct NoCertificates;

impl Inspect for NoCertificates {
    fn inspect(&self, _: &str) -> Result<CertificateFacts, String> {
        Err("this inventory has none".to_owned())
    }
}

/// The boards of a node with a made-up inventory.
fn boards() -> Arc<Boards> {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        node: "bench".to_owned(),
        data_dir: folder.path().to_owned(),
        key_file: folder.path().join("node.key"),
        engine: Engine::Memory,
        power_safe: false,
    };
    let mut opened = system::open(options, &NoCertificates).unwrap();
    let mut text = Vec::new();
    inventory::write(&mut text, 1, DEVICES).unwrap();
    opened.import(&text, &keyline_domain::audit::Who::default(), &NoCertificates).unwrap();
    Arc::clone(opened.load().unwrap().boards())
}

/// `look_up(name)` for each name in a scattered order, on several threads at once.
fn timed(threads: usize, times: u64, names: &[String], look_up: &(impl Fn(&str) -> bool + Sync)) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for t in 0..threads {
            scope.spawn(move || {
                let mut at = t * 7919;
                for _ in 0..times / threads as u64 {
                    at = (at + 40_503) % names.len();
                    assert!(look_up(black_box(&names[at])));
                }
            });
        }
    });
    began.elapsed()
}

fn benches(c: &mut Criterion) {
    let boards = boards();
    let fleet = inventory::fleet(1, DEVICES);
    let names: Vec<String> = fleet.iter().map(|p| p.device.clone()).collect();
    let all = || names.iter().map(|n| (DeviceName::parse(n).unwrap(), boards.devices.by_name(n).unwrap()));
    let map: DashMap<DeviceName, DeviceIndex> = all().collect();
    let locked: Mutex<HashMap<DeviceName, DeviceIndex>> = Mutex::new(all().collect());
    let papaya: papaya::HashMap<DeviceName, DeviceIndex> = all().collect();
    let scc: scc::HashMap<DeviceName, DeviceIndex> = scc::HashMap::with_capacity(names.len());
    for (name, index) in all() {
        assert!(scc.insert_sync(name, index).is_ok());
    }
    let mut group = c.benchmark_group("boards");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("by_name_board", threads), |b| {
            b.iter_custom(|n| timed(threads, n, &names, &|name| boards.devices.by_name(name).is_some()));
        });
        group.bench_function(BenchmarkId::new("by_name_dashmap", threads), |b| {
            b.iter_custom(|n| timed(threads, n, &names, &|name| map.get(name).is_some()));
        });
        group.bench_function(BenchmarkId::new("by_name_mutex", threads), |b| {
            b.iter_custom(|n| timed(threads, n, &names, &|name| locked.lock().unwrap().contains_key(name)));
        });
        group.bench_function(BenchmarkId::new("by_name_papaya", threads), |b| {
            b.iter_custom(|n| timed(threads, n, &names, &|name| papaya.pin().contains_key(name)));
        });
        group.bench_function(BenchmarkId::new("by_name_scc", threads), |b| {
            b.iter_custom(|n| timed(threads, n, &names, &|name| scc.contains_sync(name)));
        });
    }
    let indexes: Vec<DeviceIndex> = names.iter().map(|n| boards.devices.by_name(n).unwrap()).collect();
    group.bench_function("judgement_by_index", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + 40_503) % indexes.len();
            let slot = boards.devices.slot(indexes[at]);
            black_box(slot.and_then(|s| boards.judged(s, UnixMillis(0))).map(|j| j.applied))
        });
    });
    let numbers: Vec<String> = fleet.into_iter().map(|p| p.dn).collect();
    group.bench_function("by_line", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + 40_503) % numbers.len();
            black_box(boards.devices.by_line(&numbers[at]))
        });
    });
    group.finish();
}

criterion_group!(benches_of_boards, benches);
criterion_main!(benches_of_boards);
