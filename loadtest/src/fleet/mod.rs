//! Many phones from one process, for load.
//!
//! [`UdpFleet`] keeps a few hundred bytes a device and shares sockets among devices: registration load by
//! the hundred thousand. [`StreamFleet`] holds one real connection a device, as phones do. Both pace in an
//! open loop and count latency from the moment at which a device should have sent.

mod report;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::inventory::FleetPhone;
use crate::pace::Pace;
use crate::phone::random;

pub use self::report::{Figures, Report};
pub use self::stream::{StreamFleet, StreamOptions};

use self::udp::{Batch, Worker};

/// The own address from which a target is reached.
///
/// # Errors
/// What the system says when there is no route.
pub fn own_address(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0))?;
    // Sends nothing: it only fixes the route.
    probe.connect(target)?;
    Ok(probe.local_addr()?.ip())
}

/// How a UDP fleet is spread and how long it waits.
#[derive(Debug, Clone)]
pub struct UdpOptions {
    /// Where REGISTERs go.
    pub target: SocketAddr,
    /// Host of the request URIs; the target's address by default.
    pub host: String,
    /// Own address.
    pub bind: IpAddr,
    /// Generator threads.
    pub threads: usize,
    /// Sockets of one thread; the server spreads load by source port.
    pub sockets: usize,
    /// Seconds asked for.
    pub expires: u32,
    /// After that long without a final answer a device counts as timed out.
    pub timeout: Duration,
}

impl UdpOptions {
    /// From 127.0.0.1; one thread, 16 sockets, an hour, 32 s.
    pub fn new(target: SocketAddr) -> UdpOptions {
        UdpOptions {
            target,
            host: SocketAddr::new(target.ip(), 0).to_string().trim_end_matches(":0").to_owned(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            threads: 1,
            sockets: 16,
            expires: 3600,
            timeout: Duration::from_secs(32),
        }
    }
}

/// Devices that register over UDP from a few shared sockets.
pub struct UdpFleet {
    workers: Vec<Worker>,
    devices: u64,
}

impl UdpFleet {
    /// Opens the sockets and gives every device one of them.
    ///
    /// # Errors
    /// What the system says to a socket.
    pub fn new(phones: Vec<FleetPhone>, options: &UdpOptions) -> io::Result<UdpFleet> {
        let devices = phones.len() as u64;
        let parts = options.threads.max(1);
        let run = random(4);
        let mut phones = phones.into_iter();
        let (mut workers, mut offset) = (Vec::new(), 0);
        for part in 0..parts {
            let share = Pace::new(devices, 1.0).share(part as u64, parts as u64).due(Duration::MAX);
            let share: Vec<FleetPhone> = phones.by_ref().take(share as usize).collect();
            let count = share.len();
            workers.push(Worker::new(share, offset, &run, options)?);
            offset += count;
        }
        Ok(UdpFleet { workers, devices })
    }

    /// Number of devices.
    pub fn len(&self) -> u64 {
        self.devices
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.devices == 0
    }

    /// Registers all devices without credentials first, as after a restart of the phones.
    pub fn register(&mut self, per_second: f64) -> Report {
        self.run(per_second, true)
    }

    /// Registers all devices again, each under the nonce it has, nc one higher.
    pub fn refresh(&mut self, per_second: f64) -> Report {
        self.run(per_second, false)
    }

    fn run(&mut self, per_second: f64, forget: bool) -> Report {
        let (start, parts) = (Instant::now(), self.workers.len() as u64);
        let pace = Pace::new(self.devices, per_second);
        let mut report = Report::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(&mut self.workers)
                .map(|(part, worker)| {
                    let batch = Batch { start, pace: pace.share(part, parts), forget };
                    scope.spawn(move || worker.run(batch))
                })
                .collect();
            for thread in threads {
                match thread.join() {
                    Ok(part) => report.add(part),
                    // A thread that panicked has told why; its devices count as not registered.
                    Err(_) => report.broken += 1,
                }
            }
        });
        report.intended = self.devices;
        report
    }
}
