//! Arguments of the load commands.

use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use keyline_loadtest::limits::Targets;
use keyline_loadtest::load::users::{self, Pattern, User};
use keyline_loadtest::load::{
    Algorithm, Amount, CallPlan, Carrier, Certificates, Fleet, Options, Target, TlsSetup, attackers,
    own_addresses,
};
use keyline_loadtest::pki::Authority;
use keyline_loadtest::tls::{Identity, TlsOptions, Versions};
use keyline_loadtest::{inventory, overload, versus};

use crate::Fault;

/// Where to, who, how fast.
#[derive(Args)]
pub struct Load {
    /// Server: udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(long, value_name = "TARGET")]
    target: Target,
    /// File of IP addresses, one a line, that may be loaded besides this machine
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// Host of the addresses of record; the target's address by default
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    /// Phones
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    phones: u32,
    /// Operations a second; 0 begins all at once
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds of load (rate times seconds operations); without it --count
    #[arg(long, value_name = "SECONDS", conflicts_with = "count")]
    duration: Option<f64>,
    /// Operations; one a phone by default (a call: one a pair)
    #[arg(long)]
    count: Option<u64>,
    /// Seconds in which the rate rises from nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    ramp: f64,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    tls: Tls,
    /// Own addresses, taken in turn: 127.0.0.2 or 127.0.0.2-127.0.0.9, several with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    local_addresses: Vec<String>,
    /// UDP sockets of one thread; phones share them
    #[arg(long, default_value_t = 16)]
    sockets: usize,
    /// Generator threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds that phones ask for
    #[arg(long, default_value_t = 3_600)]
    expires: u32,
    /// Seconds without a final response after which a request counts as lost (timers B and F)
    #[arg(long, value_name = "SECONDS", default_value_t = 32.0)]
    timeout: f64,
    /// Digest algorithm to answer where the server offers it
    #[arg(long, value_enum, default_value_t = Digest::Md5)]
    digest: Digest,
    /// Operations that are open at a time at most; with --rate 0 a new one begins when one ends: the capacity
    #[arg(long, default_value_t = 0)]
    window: u64,
    /// Seconds for which the phones stay and are served at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    stay: f64,
    /// Process of a server on this machine, to measure its CPU and memory
    #[arg(long)]
    pub pid: Option<u32>,
    /// Failures that are still a success
    #[arg(long, default_value_t = 0)]
    pub max_failures: u64,
    /// Write the reports as JSON (- is stdout)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots: latencies, rates, with --pid the server's CPU and memory
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// No line a second on stderr
    #[arg(long)]
    quiet: bool,
    /// Each call forgets the challenge that its caller kept. Set by `call --challenge`.
    #[arg(skip)]
    pub challenge_calls: bool,
}

/// Users of the phones. Without --users and --user: the made-up fleet that `inventory` writes.
#[derive(Args)]
struct Who {
    /// Users: lines NUMBER,USER,PASSWORD[,DEVICE], or a Keyline inventory
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Pattern of numbers: {} or {:06} stands for the phone's number
    #[arg(long, value_name = "PATTERN", conflicts_with = "users", requires = "password")]
    user: Option<Pattern>,
    /// Pattern of digest users; the numbers by default
    #[arg(long, value_name = "PATTERN", requires = "user")]
    auth_user: Option<Pattern>,
    /// Pattern of passwords
    #[arg(long, value_name = "PATTERN", requires = "user")]
    password: Option<Pattern>,
    /// Number of the first phone of a pattern
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Made-up fleet
    #[arg(long, default_value_t = 1, conflicts_with_all = ["users", "user"])]
    seed: u8,
}

/// TLS of the phones.
#[derive(Args)]
struct Tls {
    /// Certificates that the server is believed by, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name in the server's certificate; its address by default
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Folder with an authority (made if need be) that issues a certificate to each phone when it connects
    #[arg(long, value_name = "DIR", conflicts_with_all = ["client_certs", "client_cert"])]
    client_ca: Option<PathBuf>,
    /// Folder with NAME.pem and NAME.key for each phone; NAME is its device, else its number
    #[arg(long, value_name = "DIR", conflicts_with = "client_cert")]
    client_certs: Option<PathBuf>,
    /// One certificate for all phones, PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Versions to offer
    #[arg(long, value_enum, default_value_t = Offer::Both)]
    tls_version: Offer,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Offer {
    Both,
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Digest {
    /// The topmost that is known.
    Top,
    Md5,
    #[value(name = "sha-256")]
    Sha256,
}

/// How calls go.
#[derive(Args)]
pub struct Call {
    /// Seconds from the answer to the BYE
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    hold: f64,
    /// Seconds that the called phone rings
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    ring: f64,
    /// Percent of calls that meet a busy phone
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    busy: u8,
    /// Percent of calls that are cancelled while they ring
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    cancel: u8,
    /// The server must be a back-to-back user agent: Call-ID and tags of the two sides must differ
    #[arg(long)]
    b2bua: bool,
    /// Each INVITE comes without credentials first and is challenged, as that of a phone that keeps no nonce
    #[arg(long)]
    pub challenge: bool,
    /// Registrations a second before the calls
    #[arg(long, default_value_t = 500.0)]
    pub register_rate: f64,
}

/// Two servers side by side.
#[derive(Args)]
pub struct Versus {
    /// The keyline program
    #[arg(long)]
    keyline: PathBuf,
    /// Phones over UDP
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    phones: u32,
    /// Phones over TCP and over TLS
    #[arg(long, default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    stream_phones: u32,
    /// Calls
    #[arg(long, default_value_t = 20_000)]
    calls: u64,
    /// Operations a second of the rows at part load; of calls a tenth of it
    #[arg(long, default_value_t = 2_000.0)]
    part_rate: f64,
    /// Seconds of a row at part load
    #[arg(long, default_value_t = 4.0)]
    part_seconds: f64,
    /// Operations at a time of the rows at saturation
    #[arg(long, default_value_t = 256)]
    window: u64,
    /// How often all of it
    #[arg(long, default_value_t = 1)]
    repeats: u32,
    /// Transports
    #[arg(long, value_enum, value_delimiter = ',', default_value = "udp,tcp,tls")]
    transports: Vec<Transport>,
    /// The node alone
    #[arg(long)]
    alone: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write JSON besides
    #[arg(long)]
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Versus {
    /// The program and the plan of the library.
    pub fn plan(self) -> (PathBuf, versus::Plan) {
        use versus::Contender::{Kamailio, KamailioTable, Keyline};
        let carrier = |transport: &Transport| match transport {
            Transport::Udp => Carrier::Udp,
            Transport::Tcp => Carrier::Tcp,
            Transport::Tls => Carrier::Tls,
        };
        let plan = versus::Plan {
            phones: self.phones,
            stream_phones: self.stream_phones,
            calls: self.calls,
            part_rate: self.part_rate.clamp(10.0, 50_000.0),
            part_s: self.part_seconds.clamp(0.5, 60.0),
            window: self.window.clamp(1, 65_536),
            repeats: self.repeats,
            carriers: self.transports.iter().map(carrier).collect(),
            contenders: if self.alone { vec![Keyline] } else { vec![Kamailio, KamailioTable, Keyline] },
        };
        (self.keyline, plan)
    }
}

impl Call {
    /// The plan of the library.
    pub fn plan(&self) -> Result<CallPlan, Fault> {
        if self.busy > 100 || self.cancel > 100 - self.busy {
            return Err("--busy and --cancel are percents: together at most 100".into());
        }
        let (hold, ring) = (seconds("hold", self.hold)?, seconds("ring", self.ring)?);
        Ok(CallPlan { hold, ring, busy: self.busy, cancel: self.cancel, b2bua: self.b2bua })
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration, Fault> {
    let fault = |_| format!("--{name} {value} is no time");
    Ok(Duration::try_from_secs_f64(value).map_err(fault)?)
}

impl Load {
    /// Transport of the target.
    pub fn carrier(&self) -> Carrier {
        self.target.carrier
    }

    /// How the target is written in a report.
    pub fn target(&self) -> String {
        self.target.to_string()
    }

    /// Operations wanted a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How long the phones stay.
    pub fn stay(&self) -> Result<Duration, Fault> {
        seconds("stay", self.stay)
    }

    /// How many operations, how fast; `default` without --count and --duration.
    pub fn amount(&self, default: u64) -> Result<Amount, Fault> {
        if !self.rate.is_finite() || self.rate < 0.0 {
            return Err(format!("--rate {} is no rate", self.rate).into());
        }
        let count = match (self.duration, self.count) {
            (Some(time), _) if self.rate > 0.0 => {
                let (time, ramp) = (seconds("duration", time)?.as_secs_f64(), self.ramp);
                // The ramp is part of the time; half of its operations fall away.
                let full = if time < ramp { time * time / (2.0 * ramp) } else { time - ramp / 2.0 };
                (full * self.rate).round() as u64
            }
            (Some(_), _) => return Err("--duration needs a --rate above 0".into()),
            (None, count) => count.unwrap_or(default),
        };
        Ok(Amount { count, rate: self.rate, ramp: seconds("ramp", self.ramp)? })
    }

    /// As many refreshes as a fleet makes in the time of --duration [60], at the pace that its time to live asks for.
    pub fn steady(&self, phones: u64) -> Result<Amount, Fault> {
        let rate = phones as f64 / (f64::from(self.expires.max(2)) / 2.0);
        let time = seconds("duration", self.duration.unwrap_or(60.0))?;
        Ok(Amount {
            count: (rate * time.as_secs_f64()).ceil() as u64,
            rate,
            ramp: seconds("ramp", self.ramp)?,
        })
    }

    /// A fleet of attackers; on the loopback network they have addresses of their own.
    pub fn attackers(&self, count: usize) -> Result<Fleet, Fault> {
        let mut options = self.options(false)?;
        let hostile = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 100, 1).to_bits() + n));
        if options.addresses.iter().all(IpAddr::is_loopback) && self.target.address.is_ipv4() {
            options.addresses = (0..16).map(hostile).collect();
        }
        (options.timeout, options.progress) = (Duration::from_secs(2), false);
        Ok(Fleet::open(attackers(&self.users()?, count), options)?)
    }

    /// Phones, in the order in which they are used.
    pub fn users(&self) -> Result<Vec<User>, Fault> {
        let (who, want) = (&self.who, self.phones as usize);
        let mut users = match (&who.users, &who.user) {
            (Some(path), _) => {
                let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
                users::read(BufReader::new(file))?
            }
            (None, Some(number)) => {
                let password = who.password.as_ref().unwrap_or(number);
                users::made(number, who.auth_user.as_ref().unwrap_or(number), password, who.first, want)
            }
            (None, None) => inventory::fleet(who.seed, self.phones).into_iter().map(User::from).collect(),
        };
        if users.len() < want {
            return Err(users::UsersError::Few { have: users.len(), want }.into());
        }
        users.truncate(want);
        Ok(users)
    }

    /// How the fleet reaches its server.
    pub fn options(&self, resume: bool) -> Result<Options, Fault> {
        let targets = match &self.targets {
            Some(path) => Targets::with_file(path)?,
            None => Targets::loopback(),
        };
        targets.check(self.target.address)?;
        let mut options = Options::new(self.target, self.addresses()?);
        if let Some(domain) = &self.domain {
            options = options.domain(domain);
        }
        options = options.expires(self.expires);
        (options.sockets, options.threads) = (self.sockets.clamp(1, 4_096), self.threads.clamp(1, 64));
        options.timeout = seconds("timeout", self.timeout)?;
        options.algorithm = match self.digest {
            Digest::Top => None,
            Digest::Md5 => Some(Algorithm::Md5),
            Digest::Sha256 => Some(Algorithm::Sha256),
        };
        options.window = self.window;
        options.challenge_calls = self.challenge_calls;
        options.progress = !self.quiet;
        if self.target.carrier == Carrier::Tls {
            options.tls = Some(self.tls.setup(resume)?);
        }
        Ok(options)
    }

    fn addresses(&self) -> Result<Vec<IpAddr>, Fault> {
        if self.local_addresses.is_empty() {
            let connections = if self.target.carrier == Carrier::Udp { 0 } else { self.phones as usize };
            return Ok(own_addresses(self.target.address, connections)?);
        }
        let mut all = Vec::new();
        for text in &self.local_addresses {
            let bad = || {
                format!("`{text}` is neither an address nor a range FIRST-LAST of up to 4096 IPv4 addresses")
            };
            match text.split_once('-') {
                None => all.push(text.parse().map_err(|_| bad())?),
                Some((first, last)) => {
                    let number =
                        |text: &str| text.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits).map_err(|_| bad());
                    let (first, last) = (number(first)?, number(last)?);
                    if last < first || last - first >= 4_096 {
                        return Err(bad().into());
                    }
                    all.extend((first..=last).map(|n| IpAddr::V4(Ipv4Addr::from_bits(n))));
                }
            }
        }
        Ok(all)
    }
}

impl Tls {
    fn setup(&self, resume: bool) -> Result<TlsSetup, Fault> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let Some(ca) = &self.ca else {
            return Err("tls needs --ca: a client that believes any server proves nothing".into());
        };
        let certificates = match (&self.client_ca, &self.client_certs, &self.client_cert, &self.client_key) {
            (Some(folder), ..) => Certificates::Made(Box::new(Authority::open(folder)?)),
            (None, Some(folder), ..) => Certificates::Folder(folder.clone()),
            (None, None, Some(cert), Some(key)) => {
                Certificates::One(Identity { chain_pem: read(cert)?, key_pem: read(key)? })
            }
            _ => Certificates::None,
        };
        let mut options = TlsOptions::trusting(read(ca)?);
        options.server_name.clone_from(&self.server_name);
        options.versions = match self.tls_version {
            Offer::Both => Versions::Both,
            Offer::Tls12 => Versions::Tls12,
            Offer::Tls13 => Versions::Tls13,
        };
        // What can not be used is said before the first phone connects.
        options.client_config()?;
        Ok(TlsSetup::new(options, certificates, resume))
    }
}

/// Overload of a node that is started for it.
#[derive(Args)]
pub struct Overload {
    /// The keyline program
    #[arg(long)]
    pub keyline: PathBuf,
    /// Phones that register
    #[arg(long, default_value_t = 60_000)]
    phones: u32,
    /// Seconds of each overload
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Let the system place node and phones, instead of the node on the first core
    #[arg(long)]
    shared: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Overload {
    /// What it says.
    pub fn plan(&self) -> overload::Plan {
        overload::Plan {
            phones: self.phones.clamp(8_000, 1_000_000),
            seconds: self.seconds.clamp(2.0, 600.0),
            pinned: !self.shared,
        }
    }
}
