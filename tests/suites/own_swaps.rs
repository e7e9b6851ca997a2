//! Certificates, trust stores and policies swapped on a node under load: calls stay, handshakes are served by the
//! old or the new, memory does not grow.
//!
//! `make test` runs a lean size; `make swaps` the full one: 10,000 swaps, 500 calls, 200 handshakes a second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyline_loadtest::phone::{Phone, Transport};
use keyline_loadtest::tls::{TlsOptions, certificates};
use keyline_tests::inventory::Inventory;
use keyline_tests::node::Builder;
use keyline_tests::own::{Orders, ServerAuthority};
use keyline_tests::pki::Authority;
use keyline_tests::place::device_on;
use serde_json::{Value, json};

use crate::common::{connect, registered};

const SHARDS: u16 = 2;
const OWN: &str = "/own-certificates/CallManager-EC";

fn size(name: &str, lean: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(lean)
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Swapper {
    orders: Orders,
    signed: [String; 2],
    other: String,
    named: String,
}

impl Swapper {
    /// The other certificate; now and then the trust and the menu change too.
    fn swap(&mut self, n: u64) {
        let pem = &self.signed[usize::try_from(n % 2).unwrap()];
        let (status, answer) = self.orders.ask("PUT", OWN, &json!({ "pem": pem }));
        assert_eq!((status, &answer["changed"]), (200, &json!(true)), "{answer}");
        let menu = |name: &str| json!({ "value": name });
        let (status, answer) = match n % 20 {
            5 => {
                let row = json!({ "purpose": "CallManager-trust", "pem": self.other });
                let (status, answer) = self.orders.ask("POST", "/certificates", &row);
                self.named = answer["name"].as_str().unwrap_or_default().to_owned();
                (status, answer)
            }
            10 => self.orders.ask("PATCH", "/parameters/tls_ciphers", &menu("medium_ecdsa_preferred")),
            15 => self.orders.ask("PATCH", "/parameters/tls_ciphers", &menu("strongest_ecdsa_preferred")),
            17 if !self.named.is_empty() => {
                self.orders.ask("DELETE", &format!("/certificates/{}", self.named), &Value::Null)
            }
            _ => return,
        };
        assert!((200..300).contains(&status), "{status} {answer}");
    }
}

#[test]
fn r005_swaps_under_load_drop_nothing_and_cost_no_memory() {
    let swaps = size("KEYLINE_SWAPS", 300);
    let calls = u32::try_from(size("KEYLINE_SWAP_CALLS", 20)).unwrap();
    let per_second = size("KEYLINE_SWAP_HANDSHAKES", 50);
    let (capf, other) = (Authority::new("Test CAPF"), Authority::new("Other"));
    let mut inventory = Inventory::new();
    inventory.mixed().parameter("tls_ciphers", "strongest_ecdsa_preferred").trust("CAPF-trust", &capf.pem());
    let name = |n: u32| (device_on(u16::try_from(n % 2).unwrap(), SHARDS, n + 1), (2000 + n).to_string());
    for n in 0..2 * calls {
        let (device, dn) = name(n);
        inventory.encrypted_phone(&device, &dn);
    }
    let node = Builder::new()
        .shards(SHARDS)
        .inventory(&inventory)
        .setting("limits", "connections_per_source = 10000")
        .setting("limits", "unauthenticated_per_source = 10000")
        .start();
    let authority = ServerAuthority::new(node.folder(), "Example Root");
    let mut orders = Orders::to(&node);
    let root = json!({ "purpose": "CallManager-trust", "pem": authority.pem() });
    let (status, answer) = orders.ask("POST", "/certificates", &root);
    assert!((200..300).contains(&status), "{status} {answer}");
    let (_, csr) = orders.ask("POST", &format!("{OWN}/csr"), &json!({}));
    let signed = [0, 1].map(|_| authority.sign(csr["csr"].as_str().unwrap()));
    let leaves: BTreeSet<Vec<u8>> =
        signed.iter().map(|pem| certificates("leaf", pem).unwrap()[0].to_vec()).collect();
    let mut swapper = Swapper { orders, signed, other: other.pem(), named: String::new() };
    swapper.swap(0);
    let roots = format!("{}{}", authority.pem(), node.server_certificates());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut phones = Vec::new();
        for n in 0..2 * calls {
            let (device, dn) = name(n);
            let options = node.tls_options(Some(&capf.issue(&device)));
            let options = TlsOptions { roots_pem: roots.clone(), ..options };
            phones.push(registered(node.phone(Transport::Tls(Box::new(options)), &device, &dn)).await);
        }
        let mut open = Vec::new();
        for pair in phones.chunks(2) {
            open.push(connect(&pair[0], &pair[1]).await);
        }
        assert_eq!(node.metric("keyline_call_answered_calls", "") as u32, calls);

        let (running, made) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let shakes = {
            let (running, made) = (Arc::clone(&running), Arc::clone(&made));
            let options = TlsOptions { roots_pem: roots.clone(), ..node.tls_options(None) };
            let (device, dn) = name(0);
            let config = node.phone(Transport::Tls(Box::new(options)), &device, &dn);
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
                let mut under_way = Vec::new();
                while running.load(Ordering::Acquire) {
                    tick.tick().await;
                    let (config, made) = (config.clone(), Arc::clone(&made));
                    under_way.push(tokio::spawn(async move {
                        // A failure names itself; whose certificate it was is looked at by the caller.
                        let phone = Phone::start(config).await.expect("every handshake is served");
                        made.fetch_add(1, Ordering::Relaxed);
                        phone.tls().expect("TLS").server_certificate
                    }));
                }
                let mut shown = BTreeSet::new();
                for one in under_way {
                    shown.insert(one.await.expect("a handshake"));
                }
                shown
            })
        };
        let pid = node.pid();
        // The first connection was idle while the phones came: it may be closed by now.
        swapper.orders = Orders::to(&node);
        let swapped = tokio::task::spawn_blocking(move || {
            // What a first round of everything costs is no growth.
            let warm = swaps / 10;
            (1..=warm).for_each(|n| swapper.swap(n));
            let (base, began) = (rss_kib(pid), Instant::now());
            (warm + 1..=warm + swaps).for_each(|n| swapper.swap(n));
            (base, rss_kib(pid), began.elapsed().as_secs_f64())
        });
        let (base, end, seconds) = swapped.await.unwrap();
        running.store(false, Ordering::Release);
        let shown = shakes.await.unwrap();
        let made = made.load(Ordering::Relaxed);
        println!(
            "{swaps} swaps in {seconds:.1} s ({:.0}/s) during {calls} calls and {made} handshakes ({:.0}/s); \
             RSS {base} KiB -> {end} KiB ({:+.1} %)",
            swaps as f64 / seconds,
            made as f64 / seconds,
            (end as f64 / base as f64 - 1.0) * 100.0
        );
        assert_eq!(shown, leaves, "each handshake got the one or the other, and both were seen");
        // Each swap is a row and an entry of the audit: the store's write buffers for the two fill, and are let go.
        assert!(end <= base + (base / 20).max(5 << 10), "memory grew from {base} to {end} KiB");
        for phone in &phones {
            assert!(phone.is_open());
        }
        assert_eq!(node.metric("keyline_call_answered_calls", "") as u32, calls);
        for (out, _) in open {
            out.hang_up().await.unwrap();
        }
    });
    assert_eq!(node.metric("keyline_tls_handshakes_total", "internal"), 0.0);
}
