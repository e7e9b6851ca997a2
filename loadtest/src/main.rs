//! Command line of the simulated phones and the load generator.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use keyline_loadtest::fleet::{self, Report, StreamFleet, StreamOptions, UdpFleet, UdpOptions};
use keyline_loadtest::inventory::{self, FleetPhone};
use keyline_loadtest::limits::Targets;
use keyline_loadtest::phone::Transport;
use keyline_loadtest::tls::TlsOptions;
use keyline_loadtest::{demo, figures};

type Fault = Box<dyn std::error::Error>;

/// Simulated SIP phones: a demo fleet, registration load, and the figures of the README.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a node with 20 phones that register and call; Ctrl-C stops it
    Demo {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Keep everything in this folder; without it a temporary one is removed at the end
        #[arg(long)]
        data: Option<PathBuf>,
        /// End once the calls stand instead of waiting for Ctrl-C
        #[arg(long)]
        once: bool,
    },
    /// Write a made-up inventory: user, line and phone for each phone
    Inventory {
        /// Phones
        #[arg(long)]
        phones: u32,
        /// Fleet to make up; the same seed gives the same fleet
        #[arg(long, default_value_t = 1)]
        seed: u8,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Register a fleet once, each device by REGISTER, challenge, REGISTER
    Register(Load),
    /// Register a fleet, then register it again under the nonces it has
    Refresh(Load),
    /// Measure CPU of a registration, bytes of a registered phone, and the import
    Figures {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 100_000)]
        phones: u32,
        /// Registrations a second
        #[arg(long, default_value_t = 2_000.0)]
        rate: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Load {
    /// Address of the server
    #[arg(long)]
    target: SocketAddr,
    /// Phones of this inventory
    #[arg(long, conflicts_with = "devices")]
    inventory: Option<PathBuf>,
    /// That many phones of the made-up fleet of --seed
    #[arg(long, required_unless_present = "inventory")]
    devices: Option<u32>,
    /// Made-up fleet
    #[arg(long, default_value_t = 1)]
    seed: u8,
    /// Devices a second; 0 sends all at once
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// One TCP connection a device
    #[arg(long, conflicts_with = "tls")]
    tcp: bool,
    /// One TLS connection a device
    #[arg(long, requires = "ca")]
    tls: bool,
    /// Certificates that the server is believed by, PEM
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Host of the request URIs; the target's address by default
    #[arg(long)]
    host: Option<String>,
    /// Seconds asked for
    #[arg(long, default_value_t = 3_600)]
    expires: u32,
    /// Generator threads (UDP)
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Sockets of a thread (UDP)
    #[arg(long, default_value_t = 16)]
    sockets: usize,
    /// Seconds after which a device counts as timed out
    #[arg(long, default_value_t = 32)]
    timeout: u64,
    /// File of IP addresses, one a line, that may be loaded besides this machine
    #[arg(long)]
    allow_target: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("keyline-loadtest: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// `Ok(false)`: it ran, and not everything was as it should be.
async fn run(command: Command) -> Result<bool, Fault> {
    match command {
        Command::Demo { keyline, data, once } => demo::run(&keyline, data.as_deref(), once).await?,
        Command::Inventory { phones, seed, out } => {
            let phones = phones.min(inventory::PHONES_MAX);
            let mut file = BufWriter::new(File::create(&out)?);
            let rows = inventory::write(&mut file, seed, phones)?;
            file.flush()?;
            eprintln!("{rows} rows in {}", out.display());
        }
        Command::Register(load) => return register(load, false).await,
        Command::Refresh(load) => return register(load, true).await,
        Command::Figures { keyline, phones, rate, json } => {
            let phones = phones.clamp(2, inventory::PHONES_MAX);
            let measured = figures::measure(&keyline, phones, rate).await?;
            print(json, &measured, &measured)?;
        }
    }
    Ok(true)
}

async fn register(load: Load, refresh: bool) -> Result<bool, Fault> {
    let targets = match &load.allow_target {
        Some(path) => Targets::with_file(path)?,
        None => Targets::loopback(),
    };
    targets.check(load.target)?;
    let phones = match (&load.inventory, load.devices) {
        (Some(path), _) => inventory::read(BufReader::new(File::open(path)?))?,
        (None, devices) => inventory::fleet(load.seed, devices.unwrap_or(0).min(inventory::PHONES_MAX)),
    };
    let (first, again) = if load.tcp || load.tls {
        streams(&load, &phones, refresh).await?
    } else {
        datagrams(&load, phones, refresh).await?
    };
    let clean = first.is_clean() && again.as_ref().is_none_or(Report::is_clean);
    print(load.json, &first, &first.figures())?;
    if let Some(again) = again {
        print(load.json, &again, &again.figures())?;
    }
    Ok(clean)
}

async fn datagrams(
    load: &Load,
    phones: Vec<FleetPhone>,
    refresh: bool,
) -> Result<(Report, Option<Report>), Fault> {
    let mut options = UdpOptions::new(load.target);
    if let Some(host) = &load.host {
        options.host.clone_from(host);
    }
    options.bind = fleet::own_address(load.target)?;
    (options.threads, options.sockets) = (load.threads, load.sockets);
    (options.expires, options.timeout) = (load.expires, Duration::from_secs(load.timeout));
    let mut devices = UdpFleet::new(phones, &options)?;
    let rate = load.rate;
    let run = move || (devices.register(rate), refresh.then(|| devices.refresh(rate)));
    Ok(tokio::task::spawn_blocking(run).await?)
}

async fn streams(
    load: &Load,
    phones: &[FleetPhone],
    refresh: bool,
) -> Result<(Report, Option<Report>), Fault> {
    let roots = match &load.ca {
        Some(path) => std::fs::read_to_string(path)?,
        None => String::new(),
    };
    let tls = load.tls;
    let options = StreamOptions {
        target: load.target,
        host: load.host.clone().unwrap_or_else(|| load.target.ip().to_string()),
        bind: fleet::own_address(load.target)?,
        expires: load.expires,
        timeout: Duration::from_secs(load.timeout),
        transport: Box::new(move |_| {
            if tls { Transport::Tls(Box::new(TlsOptions::trusting(roots.clone()))) } else { Transport::Tcp }
        }),
    };
    let mut devices = StreamFleet::new(phones, &options);
    let first = devices.register(load.rate).await;
    let again = if refresh { Some(devices.refresh(load.rate).await) } else { None };
    Ok((first, again))
}

#[allow(clippy::print_stdout, reason = "the result of a command")]
fn print(json: bool, text: &impl std::fmt::Display, figures: &impl serde::Serialize) -> Result<(), Fault> {
    if json {
        println!("{}", serde_json::to_string(figures)?);
    } else {
        println!("{text}");
    }
    Ok(())
}
