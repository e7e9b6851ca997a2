//! Activation and passivation against a whole tree in memory: nothing is lost, nothing overtakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyline_domain::ids::{DeviceIndex, DeviceName};
use keyline_domain::inventory::CertificateFacts;
use prometheus::Registry;

use super::PhoneWork;
use crate::Handle;
use crate::catalog::Inspect;
use crate::handle::Load;
use crate::outlet::{Emission, Outlet};
use crate::shard::Intent;
use crate::system::{Engine, OpenOptions, TreeOptions, open};

struct NoCertificates;

impl Inspect for NoCertificates {
    fn inspect(&self, _: &str) -> Result<CertificateFacts, String> {
        Err("none in this test".to_owned())
    }
}

/// Everything that came out, in order.
#[derive(Default)]
struct Seen(Mutex<Vec<u64>>);

impl Outlet for Seen {
    fn emit(&self, _: u16, emissions: Vec<Emission>) {
        let mut seen = self.0.lock().unwrap();
        seen.extend(emissions.into_iter().map(|e| match e {
            Emission::Failed { tx } => tx,
            other => panic!("{other:?}"),
        }));
    }
}

const PHONES: u32 = 12;

struct Tree {
    handle: Handle,
    seen: Arc<Seen>,
    registry: Registry,
    _folder: tempfile::TempDir,
}

/// A tree of phones; an active one is idle after `idle_ms`.
fn tree(shards: u16, idle_ms: u64) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        node: "node".to_owned(),
        data_dir: folder.path().to_owned(),
        key_file: folder.path().join("node.key"),
        engine: Engine::Memory,
        power_safe: false,
    };
    let mut opened = open(options, &NoCertificates).unwrap();
    let mut text = String::new();
    for i in 0..PHONES {
        text += &format!("{{\"kind\":\"line\",\"dn\":\"{}\"}}\n", 1000 + i);
        text += &format!(
            "{{\"kind\":\"phone\",\"name\":\"{}\",\"model\":\"Cisco 8841\",\"protocol\":\"sip\",\"lines\":[\"{}\"]}}\n",
            name(i),
            1000 + i
        );
    }
    opened.import(text.as_bytes(), &keyline_domain::audit::Who::default(), &NoCertificates).unwrap();
    let registry = Registry::new();
    let seen = Arc::new(Seen::default());
    let tree = TreeOptions {
        shards,
        queue: 1 << 20,
        calls_per_shard: 10,
        allow_unproven_move: false,
        nonce_key_s: 86_400,
        oauth_key_s: 86_400,
        ticket_key_s: 21_600,
        phone_idle_ms: idle_ms,
        subscriptions_per_phone: 8,
    };
    let outlet = Arc::clone(&seen) as Arc<dyn Outlet>;
    let handle = opened.load().unwrap().start(tree, outlet, Arc::new(NoCertificates), &registry).unwrap();
    Tree { handle, seen, registry, _folder: folder }
}

fn name(i: u32) -> String {
    format!("SEP{:012X}", 0x0011_2233_0000_u64 + u64::from(i) * 7919)
}

impl Tree {
    fn probe(&self, phone: u32, n: u64) {
        let name = DeviceName::parse(&name(phone)).unwrap();
        let shard = self.handle.shard(name.partition());
        let device: DeviceIndex = self.handle.boards.devices.by_name(name.as_str()).unwrap();
        let mut intents = vec![Intent::Phone { device, work: Box::new(PhoneWork::Probe(n)), tx: None }];
        // A shard that has not begun yet takes a few messages only.
        loop {
            assert!(self.handle.admit(shard, Load::Always));
            match self.handle.send(shard, intents) {
                Ok(()) => return,
                Err(back) => intents = back,
            }
            std::thread::yield_now();
        }
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|f| f.name() == name).unwrap();
        family.get_metric().iter().map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum()
    }

    async fn until(&self, what: &str, mut look: impl FnMut(&Self) -> bool) {
        let since = Instant::now();
        while !look(self) {
            assert!(since.elapsed() < Duration::from_secs(30), "no {what}");
            tokio::task::yield_now().await;
        }
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A phone is passivated whenever it is looked at: messages meet it in every stage of coming and going.
#[test]
fn no_message_is_lost_or_overtaken_over_activations() {
    for shards in [1, 2] {
        actix::System::new().block_on(async {
            let tree = tree(shards, 0);
            let mut next: HashMap<u32, u64> = HashMap::new();
            let mut seed = 0x9e37_79b9_7f4a_7c15;
            let mut sent = 0;
            let began = Instant::now();
            // At least so many messages, and so many comings and goings.
            while sent < 20_000 || tree.metric("keyline_phone_passivations_total") < 200.0 {
                for _ in 0..random(&mut seed) % 40 {
                    let phone = (random(&mut seed) % u64::from(PHONES)) as u32;
                    let n = next.entry(phone).or_default();
                    tree.probe(phone, u64::from(phone) << 24 | *n);
                    *n += 1;
                    sent += 1;
                }
                // As admission does: no more at a time than a mailbox takes.
                tree.until("room", |t| sent - t.seen.0.lock().unwrap().len() < 10_000).await;
                tokio::task::yield_now().await;
                assert!(began.elapsed() < Duration::from_secs(60), "{sent} sent");
            }
            tree.until("answers to all", |t| t.seen.0.lock().unwrap().len() >= sent).await;
            tree.until("rest", |t| t.metric("keyline_phone_active_actors") == 0.0).await;
            let mut seen: HashMap<u64, u64> = HashMap::new();
            for probe in tree.seen.0.lock().unwrap().iter() {
                let (phone, n, count) = (probe >> 24 & 0xff, probe & 0xff_ffff, probe >> 32);
                let expected = seen.entry(phone).or_default();
                assert_eq!((n, count), (*expected, *expected + 1), "of phone {phone}: order and state");
                *expected += 1;
            }
            assert_eq!(seen.values().sum::<u64>() as usize, sent);
            let (up, down) = (
                tree.metric("keyline_phone_activations_total"),
                tree.metric("keyline_phone_passivations_total"),
            );
            println!("{shards} shards: {sent} messages, {up} activations, {down} passivations");
            assert_eq!(up, down);
            tree.handle.close();
        });
    }
}

/// A step that panics leaves the state before it, and whoever is behind it in the queue is served.
#[test]
fn a_step_that_panics_keeps_the_last_good_state() {
    actix::System::new().block_on(async {
        let tree = tree(2, 60_000);
        for n in [1, 2, u64::MAX, 3] {
            tree.probe(0, n);
        }
        tree.probe(1, 9);
        tree.until("answers", |t| t.seen.0.lock().unwrap().len() == 4).await;
        let mut seen = tree.seen.0.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, [1 << 32 | 1, 1 << 32 | 9, 2 << 32 | 2, 3 << 32 | 3]);
        assert_eq!(tree.metric("keyline_actor_restarts_total"), 1.0);

        // One that always panics is given up: it begins anew.
        for _ in 0..4 {
            tree.probe(0, u64::MAX);
        }
        tree.probe(0, 5);
        tree.until("answer", |t| t.seen.0.lock().unwrap().last() == Some(&(1 << 32 | 5))).await;
        tree.handle.close();
    });
}
