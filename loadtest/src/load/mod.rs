//! Load on any SIP server: many phones from one process, as cheap as they can be made.
//!
//! A [`Fleet`] is some thousands of phones over UDP (sharing sockets), TCP or TLS (one connection each),
//! spread over generator threads. It runs [`Job`]s, one after the other, each paced in an open loop: an
//! operation has an intended time, and its latency counts from there, whatever became of those before it.
//! What it knows of SIP is `keyline-wire` for reading and templates for writing; a thread spends a few
//! microseconds a message, so that on a machine shared with the server it isn't the generator that is measured.

mod attack;
mod call;
mod core;
mod digest;
mod handshake;
mod leg;
mod links;
mod options;
mod process;
mod register;
mod report;
mod sampler;
mod scenario;
mod setup;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod transaction;
pub mod users;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub use keyline_domain::digest::Algorithm;

pub use self::attack::attackers;
pub use self::call::CallPlan;
pub(crate) use self::digest::Kept;
pub use self::process::{Process, machine};
pub use self::report::{Report, Spent, Spread};
pub use self::sampler::{Sample, Sampler};
pub use self::setup::{Certificates, SetupError, TlsSetup};
pub use self::tally::{Span, Tally};
pub use self::target::{Carrier, Target};
pub use self::timeline::Second;
pub use self::worker::Progress;

use self::attack::Attack;
use self::call::Calls;
use self::core::Core;
use self::handshake::Handshake;
use self::links::{Links, StreamLinks, UdpLinks};
use self::options::Ping;
use self::register::Register;
use self::scenario::Attend;
use self::users::User;
use self::worker::Phase;
use crate::pace::Pace;
use crate::phone::random;

/// Connections that one thread makes at a time in [`Job::Handshake`], where nothing else is said, and room for
/// them at least.
pub const HANDSHAKES: u32 = 1_024;
const HANDSHAKES_MAX: usize = 16_384;
/// Connections from one address of the loopback network.
const CONNECTIONS_EACH: usize = 10_000;

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

/// The own addresses for that many connections to a target: on the loopback network one for each ten
/// thousand. The kernel looks for a free port the longer the more of an address' 28,000 are taken, from half
/// of them on for milliseconds.
///
/// # Errors
/// As [`own_address`].
pub fn own_addresses(target: SocketAddr, connections: usize) -> io::Result<Vec<IpAddr>> {
    let own = own_address(target)?;
    Ok(match own {
        IpAddr::V4(first) if first.is_loopback() => {
            let count = 1 + (connections / CONNECTIONS_EACH).min(200) as u32;
            (0..count).map(|n| IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + n))).collect()
        }
        _ => vec![own],
    })
}

/// How a fleet reaches its server.
pub struct Options {
    /// Where to.
    pub target: Target,
    /// Host of the addresses of record.
    pub domain: String,
    /// Own addresses, taken in turn.
    pub addresses: Vec<IpAddr>,
    /// UDP sockets of one thread.
    pub sockets: usize,
    /// Generator threads.
    pub threads: usize,
    /// Patience with one request: timers B and F.
    pub timeout: Duration,
    /// Digest algorithm to answer when it is offered; else the topmost that is known.
    pub algorithm: Option<Algorithm>,
    /// TLS.
    pub tls: Option<TlsSetup>,
    /// Operations that are open at a time at most, over all threads; 0: any number. Without a rate the loop is
    /// closed then: the load that keeps a server busy and no more.
    pub window: u64,
    /// Each call forgets the challenge that the phone kept, so that its INVITE is challenged.
    pub challenge_calls: bool,
    /// Print a line a second to stderr.
    pub progress: bool,
    registrar: String,
    expires_line: String,
}

impl Options {
    /// From that address; one thread, 16 sockets, an hour, 32 s, MD5.
    pub fn new(target: Target, addresses: Vec<IpAddr>) -> Options {
        let host = match target.address.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let options = Options {
            target,
            domain: String::new(),
            addresses,
            sockets: 16,
            threads: 1,
            timeout: Duration::from_secs(32),
            algorithm: Some(Algorithm::Md5),
            tls: None,
            window: 0,
            challenge_calls: false,
            progress: false,
            registrar: String::new(),
            expires_line: String::new(),
        };
        options.domain(&host).expires(3_600)
    }

    /// Sets the host of the addresses of record.
    #[must_use]
    pub fn domain(mut self, host: &str) -> Options {
        self.domain = host.to_owned();
        self.registrar = format!("sip:{host}");
        self
    }

    /// Sets the seconds that phones ask for.
    #[must_use]
    pub fn expires(mut self, seconds: u32) -> Options {
        self.expires_line = format!("Expires: {seconds}\r\n");
        self
    }
}

/// One kind of load.
#[derive(Debug, Clone)]
pub enum Job {
    /// REGISTER without credentials first, as after a restart of the phones.
    Register,
    /// REGISTER again under the nonce that the phone has.
    Refresh,
    /// OPTIONS to the server.
    Options,
    /// Calls from every even phone to the odd one after it.
    Call(CallPlan),
    /// Connections that are closed at once; they resume where [`TlsSetup`] keeps sessions.
    Handshake {
        /// Connections of one thread at a time.
        links: u32,
    },
    /// What phones do when they have lost their server: connect and register with what they have kept, and
    /// again after a while where that is refused, until it is done.
    Return,
    /// What phones do that have got another address: register from there, over UDP from another socket, else
    /// over a new connection.
    Move,
    /// What [`attackers`] do.
    Attack,
}

/// How much of it, how fast.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Operations.
    pub count: u64,
    /// Operations a second; 0: all at once.
    pub rate: f64,
    /// Time in which the rate rises from nothing.
    pub ramp: Duration,
}

impl Amount {
    /// Seconds that it takes where the server keeps up.
    pub fn length(&self) -> f64 {
        Pace::new(self.count, self.rate).ramp(self.ramp).length().as_secs_f64()
    }
}

/// Phones that live as long as the fleet does.
pub struct Fleet {
    options: Arc<Options>,
    cores: Vec<Core>,
}

impl Fleet {
    /// Opens the sockets; connections are made when phones first need them.
    ///
    /// # Errors
    /// What the system says to a socket.
    pub fn open(users: Vec<User>, options: Options) -> io::Result<Fleet> {
        let options = Arc::new(options);
        let threads = options.threads.clamp(1, users.len().div_ceil(2).max(1));
        // Pairs stay together: a call's two phones are of one thread.
        let share = users.len().div_ceil(threads).next_multiple_of(2);
        let mut users = users.into_iter();
        let (mut cores, run) = (Vec::new(), random(6));
        for part in 0..threads {
            let own: Vec<User> = users.by_ref().take(share).collect();
            if own.is_empty() {
                break;
            }
            let Options { target, addresses, sockets, .. } = &*options;
            let links = match target.carrier {
                Carrier::Udp => {
                    Links::Udp(UdpLinks::open(target.address, addresses, (*sockets).min(own.len()))?)
                }
                _ => {
                    let room = own.len().max(HANDSHAKES_MAX);
                    Links::Stream(Box::new(StreamLinks::new(target.address, addresses, room)?))
                }
            };
            cores.push(Core::new(options.clone(), own, links, format!("{run}{part:x}")));
        }
        Ok(Fleet { options, cores })
    }

    /// Phones.
    pub fn len(&self) -> usize {
        self.cores.iter().map(|core| core.phones.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Open connections.
    pub fn connected(&self) -> u64 {
        self.cores.iter().map(|core| core.links.open()).sum()
    }

    /// Runs a job to its end.
    pub fn run(&mut self, job: &Job, amount: Amount) -> Tally {
        self.run_within(job, amount, None)
    }

    /// The same with another number of operations that may be open than [`Options::window`] says, if that says any.
    pub fn run_within(&mut self, job: &Job, amount: Amount, window: Option<u64>) -> Tally {
        let window = if self.options.window == 0 { 0 } else { window.unwrap_or(self.options.window) };
        self.all((amount, window), Duration::ZERO, |core, phase| match job {
            Job::Register => worker::run(core, &mut Register::new(false, core.phones.len()), phase),
            Job::Refresh => worker::run(core, &mut Register::new(true, core.phones.len()), phase),
            Job::Options => worker::run(core, &mut Ping::default(), phase),
            Job::Call(plan) => worker::run(core, &mut Calls::new(*plan), phase),
            Job::Handshake { links } => {
                worker::run(core, &mut Handshake::new(core.phones.len(), *links), phase)
            }
            Job::Move => worker::run(core, &mut Register::moving(core.phones.len()), phase),
            Job::Attack => worker::run(core, &mut Attack::default(), phase),
            Job::Return => worker::run(core, &mut Register::returning(core.phones.len()), phase),
        })
    }

    /// Only serves the phones for a time: keeps connections, answers what comes.
    pub fn attend(&mut self, time: Duration) -> Tally {
        let nothing = Amount { count: 0, rate: 0.0, ramp: Duration::ZERO };
        self.all((nothing, 0), time, |core, phase| worker::run(core, &mut Attend, phase))
    }

    fn all(
        &mut self,
        (amount, window): (Amount, u64),
        time: Duration,
        one: impl Fn(&mut Core, &Phase<'_>) -> Tally + Sync,
    ) -> Tally {
        let total = self.len() as u64;
        // A thread's share is that of its phones.
        let upto = |phones: u64| amount.count * phones / total.max(1);
        let progress = Arc::new(Progress::default());
        let (mut all, start) = (Tally::default(), Instant::now());
        std::thread::scope(|scope| {
            let (mut threads, mut before) = (Vec::new(), 0);
            for core in &mut self.cores {
                let (one, progress, phones) = (&one, &progress, core.phones.len() as u64);
                let window = match window {
                    0 => u64::MAX,
                    all => (all * phones).div_ceil(total.max(1)),
                };
                let (count, share) = (upto(before + phones) - upto(before), phones as f64 / total as f64);
                before += phones;
                threads.push(scope.spawn(move || {
                    let pace = Pace::new(count, amount.rate * share).ramp(amount.ramp);
                    let until = core.clock() + time.as_micros() as u64;
                    one(core, &Phase { pace, count: pace.count(), until, window, progress })
                }));
            }
            if self.options.progress {
                let over = || threads.iter().all(std::thread::ScopedJoinHandle::is_finished);
                show(amount.count, start, &progress, over);
            }
            for thread in threads {
                match thread.join() {
                    Ok(part) => all.add(part),
                    // A thread that panicked has told why; its operations count as not done.
                    Err(_) => all.fault(|| "a generator thread panicked".into()),
                }
            }
        });
        all.elapsed = start.elapsed();
        all
    }
}

/// A line a second until the threads are done; on a terminal always the same line.
fn show(count: u64, start: Instant, progress: &Progress, over: impl Fn() -> bool) {
    let (mut line, mut next, mut err) = (0, Duration::from_secs(1), io::stderr());
    let terminal = err.is_terminal();
    while !over() {
        std::thread::sleep(Duration::from_millis(50));
        if start.elapsed() < next {
            continue;
        }
        next += Duration::from_secs(1);
        let [begun, good, failed] =
            [&progress.begun, &progress.good, &progress.failed].map(|n| n.load(Ordering::Relaxed));
        let text =
            format!("{:>4} s  begun {begun} of {count}, good {good}, failed {failed}", next.as_secs() - 1);
        line += 1;
        // Progress that nobody can read is no reason to stop.
        let _ = if terminal { write!(err, "\r{text}   ") } else { writeln!(err, "{text}") };
    }
    if terminal && line > 0 {
        let _ = writeln!(err);
    }
}
