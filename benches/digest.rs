//! What one digest check costs, and how nonce counting behaves when two threads do it.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must say so")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dashmap::DashMap;
use keyline_domain::digest::{Algorithm, AlgorithmSet, Ha1, Parts, Protection, respond, verify};
use keyline_domain::ids::UnixMillis;
use keyline_domain::nonce::{NonceFacts, NonceKey, NonceKeys, Windows, mint, open};

/// Nonces in use at a time.
const NONCES: u64 = 100_000;
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn keys() -> NonceKeys {
    NonceKeys::new(NonceKey::new(1, &[7; 32]), None)
}

fn check(c: &mut Criterion) {
    let mut group = c.benchmark_group("digest");
    let nonce = mint(99, 1, AlgorithmSet::all(), NOW, &keys());
    for algorithm in Algorithm::ALL {
        let ha1 = Ha1::derive(algorithm, "anna", "ccmsipline", "Secret123");
        let parts = Parts {
            method: "REGISTER",
            uri: "sip:10.20.30.40",
            nonce: nonce.as_str(),
            protection: Protection::Auth { nc: "00000001", cnonce: "0a4f113b" },
        };
        let answer = respond(&ha1, &parts);
        assert!(verify(algorithm, Some(&ha1), &parts, answer.as_str()));
        group.bench_function(BenchmarkId::new("verify", algorithm.token()), |b| {
            b.iter(|| verify(algorithm, Some(&ha1), black_box(&parts), black_box(answer.as_str())));
        });
    }
    let ring = keys();
    let mut id = 0;
    group.bench_function("mint_nonce", |b| {
        b.iter(|| {
            id += 1;
            black_box(mint(id, 1, AlgorithmSet::all(), NOW, &ring))
        });
    });
    group.bench_function("open_nonce", |b| b.iter(|| black_box(open(black_box(nonce.as_str()), &ring))));
    let forged = "IAAAAAFnQ0hAT3bqYlZ0n1H2aXn0b3V4mP8r2Q1x";
    group.bench_function("open_forged_nonce", |b| b.iter(|| black_box(open(black_box(forged), &ring))));
    group.finish();
}

/// Runs `use_one(nonce, count)` for `uses` uses, dealt to `threads` threads, each with nonces of its own.
fn timed(threads: u64, uses: u64, use_one: &(impl Fn(u64, u32) -> bool + Sync)) -> Duration {
    let mine = NONCES / threads;
    let began = Instant::now();
    let fresh: u64 = thread::scope(|scope| {
        let run = |t: u64| {
            scope.spawn(move || {
                (0..uses / threads).filter(|i| use_one(t * mine + i % mine, (i / mine) as u32 + 1)).count()
                    as u64
            })
        };
        let all: Vec<_> = (0..threads).map(run).collect();
        all.into_iter().map(|t| t.join().unwrap()).sum()
    });
    let took = began.elapsed();
    black_box(fresh);
    took
}

/// The array of atomics of the product beside the obvious way: a map from nonce to a window of its own.
fn windows(c: &mut Criterion) {
    let ring = keys();
    let nonces: Vec<NonceFacts> = (0..NONCES)
        .map(|id| open(mint(id, 1, AlgorithmSet::all(), NOW, &ring).as_str(), &ring).unwrap())
        .collect();
    let mut group = c.benchmark_group("nonce_count");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("windows", threads), |b| {
            b.iter_custom(|uses| {
                let windows = Windows::for_phones(NONCES as usize);
                let second = NOW.0 / 1000;
                timed(threads, uses, &|n, nc| {
                    windows.use_nc(&nonces[n as usize], nc, second, 600)
                        == keyline_domain::nonce::NcVerdict::Fresh
                })
            });
        });
        group.bench_function(BenchmarkId::new("dashmap", threads), |b| {
            b.iter_custom(|uses| {
                let map: DashMap<u64, AtomicU64> = DashMap::with_capacity(NONCES as usize);
                timed(threads, uses, &|n, nc| {
                    let bit = 1u64 << (nc % 64);
                    let word = match map.get(&n) {
                        Some(word) => word,
                        None => map.entry(n).or_default().downgrade(),
                    };
                    word.fetch_or(bit, Ordering::AcqRel) & bit == 0
                })
            });
        });
        group.bench_function(BenchmarkId::new("mutex", threads), |b| {
            b.iter_custom(|uses| {
                let map: Mutex<HashMap<u64, u64>> = Mutex::new(HashMap::with_capacity(NONCES as usize));
                timed(threads, uses, &|n, nc| {
                    let bit = 1u64 << (nc % 64);
                    let mut map = map.lock().unwrap();
                    let word = map.entry(n).or_default();
                    let fresh = *word & bit == 0;
                    *word |= bit;
                    fresh
                })
            });
        });
        group.bench_function(BenchmarkId::new("papaya", threads), |b| {
            b.iter_custom(|uses| {
                let map: papaya::HashMap<u64, AtomicU64> = papaya::HashMap::with_capacity(NONCES as usize);
                timed(threads, uses, &|n, nc| {
                    let bit = 1u64 << (nc % 64);
                    let map = map.pin();
                    let word = map.get_or_insert_with(n, AtomicU64::default);
                    word.fetch_or(bit, Ordering::AcqRel) & bit == 0
                })
            });
        });
        group.bench_function(BenchmarkId::new("scc", threads), |b| {
            b.iter_custom(|uses| {
                let map: scc::HashMap<u64, AtomicU64> = scc::HashMap::with_capacity(NONCES as usize);
                timed(threads, uses, &|n, nc| {
                    let bit = 1u64 << (nc % 64);
                    let mark = |word: &AtomicU64| word.fetch_or(bit, Ordering::AcqRel) & bit == 0;
                    let known = map.read_sync(&n, |_, word| mark(word));
                    known.unwrap_or_else(|| mark(map.entry_sync(n).or_default().get()))
                })
            });
        });
    }
    group.finish();
}

criterion_group!(digest, check, windows);
criterion_main!(digest);
