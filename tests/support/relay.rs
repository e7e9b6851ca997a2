//! A bad network between phones and a node: a UDP relay that loses, doubles and delays datagrams, each
//! way, by a seed.
//!
//! Every phone socket gets an upstream socket of its own, so that the node tells phones apart by their
//! source, as it does through a NAT.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// How bad it is: shares of a thousand datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Lost.
    pub lost: u64,
    /// Delivered twice.
    pub doubled: u64,
    /// Held back for up to [`Weather::delay`], so that later ones overtake them; of doubled ones each copy
    /// for itself.
    pub delayed: u64,
    /// Longest delay.
    pub delay: Duration,
}

impl Weather {
    /// One of ten is lost, one of twenty comes twice, one of five comes up to 80 ms late.
    pub const BAD: Weather =
        Weather { lost: 100, doubled: 50, delayed: 200, delay: Duration::from_millis(80) };
}

/// What the relay did so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams that came.
    pub taken: AtomicU64,
    /// Lost.
    pub lost: AtomicU64,
    /// Doubled.
    pub doubled: AtomicU64,
    /// Delayed.
    pub delayed: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    weather: Weather,
    calm: AtomicBool,
    seed: u64,
    number: AtomicU64,
    counts: Counts,
}

/// A running relay; it ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where phones send.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay to that node.
    pub fn start(node: SocketAddr, weather: Weather, seed: u64) -> Relay {
        let shared = Arc::new(Shared {
            weather,
            calm: AtomicBool::new(false),
            seed,
            number: AtomicU64::new(0),
            counts: Counts::default(),
        });
        let front = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        front.set_nonblocking(true).expect("a socket that does not block");
        let address = front.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            LocalSet::new().block_on(&runtime, async move {
                let front = Rc::new(UdpSocket::from_std(front).expect("a socket"));
                tokio::select! {
                    () = serve(front, node, of_thread) => {}
                    _ = stopped => {}
                }
            });
        });
        Relay { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on nothing is lost, doubled or delayed.
    pub fn calm(&self) {
        self.shared.calm.store(true, Ordering::Relaxed);
    }

    /// What it did so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A relay that panicked has said why.
            let _ = thread.join();
        }
    }
}

/// Largest datagram of UDP.
const DATAGRAM_MAX: usize = 65_535;

async fn serve(front: Rc<UdpSocket>, node: SocketAddr, shared: Arc<Shared>) {
    let mut upstreams: HashMap<SocketAddr, Rc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, phone)) = front.recv_from(&mut buffer).await else { continue };
        let upstream = match upstreams.get(&phone) {
            Some(upstream) => upstream.clone(),
            None => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
                socket.connect(node).await.expect("the node's address");
                let socket = Rc::new(socket);
                upstreams.insert(phone, socket.clone());
                tokio::task::spawn_local(back(socket.clone(), front.clone(), phone, shared.clone()));
                socket
            }
        };
        pass(&shared, &buffer[..length], move |bytes| {
            // What can not be sent is lost, like the rest.
            let _ = upstream.try_send(bytes);
        });
    }
}

async fn back(upstream: Rc<UdpSocket>, front: Rc<UdpSocket>, phone: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok(length) = upstream.recv(&mut buffer).await else { continue };
        let front = front.clone();
        pass(&shared, &buffer[..length], move |bytes| {
            let _ = front.try_send_to(bytes, phone);
        });
    }
}

/// Lets a datagram through, or not, or twice, or later.
fn pass(shared: &Shared, bytes: &[u8], send: impl Fn(&[u8]) + Clone + 'static) {
    let Shared { weather, counts, .. } = shared;
    counts.taken.fetch_add(1, Ordering::Relaxed);
    if shared.calm.load(Ordering::Relaxed) {
        return send(bytes);
    }
    if draw(shared, 1_000) < weather.lost {
        counts.lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let doubled = draw(shared, 1_000) < weather.doubled;
    counts.doubled.fetch_add(u64::from(doubled), Ordering::Relaxed);
    for _ in 0..=u8::from(doubled) {
        if draw(shared, 1_000) >= weather.delayed {
            send(bytes);
            continue;
        }
        counts.delayed.fetch_add(1, Ordering::Relaxed);
        let time = Duration::from_micros(draw(shared, weather.delay.as_micros() as u64 + 1));
        let (bytes, send) = (bytes.to_vec(), send.clone());
        tokio::task::spawn_local(async move {
            tokio::time::sleep(time).await;
            send(&bytes);
        });
    }
}

/// The next number below `bound` (splitmix64).
fn draw(shared: &Shared, bound: u64) -> u64 {
    let number = shared.number.fetch_add(1, Ordering::Relaxed);
    let mut z =
        (shared.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound.max(1)
}
