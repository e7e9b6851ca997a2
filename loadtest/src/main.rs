//! Command line of the simulated phones and the load generator.

mod args;
mod run;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use keyline_loadtest::figures::Plan;
use keyline_loadtest::load::{Carrier, HANDSHAKES, Job};
use keyline_loadtest::pki::Authority;
use keyline_loadtest::{demo, figures, inventory, million, mixed, pages, scale, storm, tls_bench};

use crate::args::{Call, Load, Overload, Versus};
use crate::run::{Run, apply, is_stream};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Simulated SIP phones: load on any SIP server, a demo fleet, and the figures of the README.
///
/// Load goes to this machine only, unless --targets names others. Exit codes: 0 all went well, 1 too many
/// failures, 2 it could not run.
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
        /// Encrypted phones over TLS, their certificates from the authority of this folder (made if need
        /// be); without it digest over UDP and TCP
        #[arg(long, value_name = "DIR")]
        client_ca: Option<PathBuf>,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Register phones, each by REGISTER, challenge, REGISTER
    Register(Load),
    /// Register phones, then register them again under the nonces they have
    Refresh(Load),
    /// Register phones, then keep their bindings alive: each refreshes once in half of --expires
    Steady {
        #[command(flatten)]
        load: Load,
        /// Registrations a second before
        #[arg(long, default_value_t = 2_000.0)]
        register_rate: f64,
    },
    /// Register phones, then let them come from other addresses and register there, under the nonces they have
    Move(Load),
    /// Register phones and refresh them; then again while others guess names and passwords and send garbage
    Attack {
        #[command(flatten)]
        load: Load,
        /// Attackers; a third of each kind
        #[arg(long, default_value_t = 300)]
        attackers: usize,
        /// What they send a second
        #[arg(long, default_value_t = 2_000.0)]
        attack_rate: f64,
    },
    /// Register phones, then let every even one call the odd one after it
    #[command(alias = "calls")]
    Call {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        call: Call,
    },
    /// Ping the server with OPTIONS
    Options(Load),
    /// Make TCP or TLS connections, prove each by a keepalive, close it
    Handshake {
        #[command(flatten)]
        load: Load,
        /// Continue the TLS session of each phone's first connection
        #[arg(long)]
        resume: bool,
    },
    /// Start a node, register a fleet, call among it: CPU of a registration, bytes of a registered phone
    Figures {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// udp: digest; tls: client certificates, encrypted mode
        #[arg(long, value_enum, default_value_t = Way::Udp)]
        transport: Way,
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
    /// Start a node, register phones, apply a new version to all of them, kill -9 in the middle: who is judged by what
    RolloutScale {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 50_000)]
        phones: u32,
        /// Phones a second
        #[arg(long, default_value_t = 5_000)]
        per_second: u32,
        /// Refreshes a second by phones that were not told yet
        #[arg(long, default_value_t = 200)]
        refresh_per_s: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a node beside a server that does nothing but TLS: CPU of a handshake on both, memory of an idle phone
    BenchTls {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Handshakes of each kind
        #[arg(long, default_value_t = 2_000)]
        handshakes: u64,
        /// Idle phones for the memory of one; 0 leaves that out
        #[arg(long, default_value_t = 10_000)]
        idle: u32,
        /// Highest ratio that is still a success
        #[arg(long, default_value_t = f64::MAX)]
        most: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The server that does nothing but TLS, from a folder that bench-tls made
    #[command(hide = true)]
    BareTls {
        /// The folder
        folder: PathBuf,
    },
    /// Start a node, register phones over TLS, kill -9 and restart it, let all of them come back at once
    Storm {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 18_000)]
        phones: u32,
        /// Registrations a second before the storm
        #[arg(long, default_value_t = 300.0)]
        rate: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a node and offer it many times the handshakes that it can make, while registered phones go on
    Flood {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Seconds of each part
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Times the capacity
        #[arg(long, default_value_t = 10.0)]
        times: f64,
        /// Node and phones share all cores, instead of the first for the node
        #[arg(long)]
        shared: bool,
        /// Bits of a new RSA key for the node (3072, 4096): costlier for it, not for the phones
        #[arg(long)]
        rsa_bits: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a node, register a million phones, back it up under load, kill -9 it: memory, and what phones find then
    LoadMillion {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 1_000_000)]
        phones: u32,
        /// Seconds of refreshes, three times
        #[arg(long, default_value_t = 30.0)]
        steady: f64,
        /// Keep everything in this folder, and use what an earlier run imported there
        #[arg(long)]
        data: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a node, load half of its worker with everything at once, swap certificates, roll out, break connections
    Soak {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Minutes
        #[arg(long, default_value_t = 25.0)]
        minutes: f64,
        /// Write JSON besides
        #[arg(long)]
        file: Option<PathBuf>,
        /// Write a page with plots
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a node, let phones refresh while their profile gets new versions that are applied
    Change {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 5_000)]
        phones: u32,
        /// Refreshes a second
        #[arg(long, default_value_t = 500.0)]
        rate: f64,
        /// Seconds without changes, and with them
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
        /// Seconds between two versions
        #[arg(long, default_value_t = 4.0)]
        every: f64,
        /// Phones a second that a roll-out may reach
        #[arg(long, default_value_t = 1_000)]
        per_second: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set two runs beside each other: files that load commands wrote with --json
    Compare {
        /// The first run
        first: PathBuf,
        /// The second run
        second: PathBuf,
        /// Write a page besides
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
    },
    /// Run a node and Kamailio one after the other on the first core: what each operation costs both
    BenchCompare(Versus),
    /// Start a node and offer it 2, 5 and 10 times what it can do: goodput, refusals, recovery
    Overload(Overload),
    /// Start a node with many phones and ask its admin API for everything: latencies by kind of question
    AdminScale {
        /// The keyline program
        #[arg(long)]
        keyline: PathBuf,
        /// Phones
        #[arg(long, default_value_t = 1_000_000)]
        phones: u32,
        /// Questions of each kind
        #[arg(long, default_value_t = 200)]
        samples: u32,
        /// Keep everything in this folder, and use what an earlier run imported there
        #[arg(long)]
        data: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Udp,
    Tls,
}

/// Exit codes: 0 all went well, 1 it ran and not all went well, 2 it could not run.
#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(fault) => {
            eprintln!("keyline-loadtest: {fault}");
            ExitCode::from(2)
        }
    }
}

/// `Ok(false)`: it ran, and not everything was as it should be.
async fn run(command: Command) -> Result<bool, Fault> {
    match command {
        Command::Demo { keyline, data, once } => demo::run(&keyline, data.as_deref(), once).await?,
        Command::Inventory { phones, seed, client_ca, out } => {
            let phones = phones.min(inventory::PHONES_MAX);
            let mut file = BufWriter::new(File::create(&out)?);
            let rows = match client_ca {
                Some(folder) => {
                    inventory::write_encrypted(&mut file, seed, phones, &Authority::open(&folder)?.pem)?
                }
                None => inventory::write(&mut file, seed, phones)?,
            };
            file.flush()?;
            eprintln!("{rows} rows in {}", out.display());
        }
        Command::Register(load) => {
            return apply(load, false, |run| run.job("register", &Job::Register, run.phones())).await;
        }
        Command::Refresh(load) => {
            let work = |run: &mut Run| {
                run.prepare(run.load.rate())?;
                run.job("refresh", &Job::Refresh, run.phones())
            };
            return apply(load, false, work).await;
        }
        Command::Steady { load, register_rate } => {
            let work = move |run: &mut Run| {
                run.prepare(register_rate)?;
                run.steady()
            };
            return apply(load, false, work).await;
        }
        Command::Move(load) => {
            let work = |run: &mut Run| {
                run.prepare(run.load.rate())?;
                run.job("move", &Job::Move, run.phones())
            };
            return apply(load, false, work).await;
        }
        Command::Attack { load, attackers, attack_rate } => {
            let work = move |run: &mut Run| {
                run.prepare(run.load.rate())?;
                run.attacked(attackers, attack_rate)
            };
            return apply(load, false, work).await;
        }
        Command::Call { mut load, call } => {
            let plan = call.plan()?;
            load.challenge_calls = call.challenge;
            let work = move |run: &mut Run| {
                run.prepare(call.register_rate)?;
                run.job("call", &Job::Call(plan), run.phones() / 2)
            };
            return apply(load, false, work).await;
        }
        Command::Options(load) => {
            return apply(load, false, |run| run.job("options", &Job::Options, run.phones())).await;
        }
        Command::Handshake { load, resume } => {
            if !is_stream(&load) {
                return Err("handshakes need a tcp: or tls: target".into());
            }
            // The first connection of each phone is whole, whatever is continued later.
            let times = if resume { 10 } else { 1 };
            let work = move |run: &mut Run| {
                run.job("handshake", &Job::Handshake { links: HANDSHAKES }, times * run.phones())
            };
            return apply(load, resume, work).await;
        }
        Command::Figures { keyline, transport, phones, rate, json } => {
            let phones = phones.clamp(2, inventory::PHONES_MAX).next_multiple_of(4);
            let carrier = match transport {
                Way::Udp => Carrier::Udp,
                Way::Tls => Carrier::Tls,
            };
            let measured = figures::measure(&keyline, Plan { carrier, phones, rate }).await?;
            print(json, &measured, &measured)?;
        }
        Command::RolloutScale { keyline, phones, per_second, refresh_per_s, json } => {
            let plan = scale::RolloutPlan { phones: phones.clamp(10, 1_000_000), per_second, refresh_per_s };
            let done = scale::roll_out(&keyline, plan).await?;
            print(json, &done, &done)?;
        }
        Command::BenchTls { keyline, handshakes, idle, most, json } => {
            let plan = tls_bench::Plan { handshakes: handshakes.max(100), idle };
            let measured = tls_bench::measure(&keyline, plan).await?;
            print(json, &measured, &measured)?;
            return Ok(measured.rows.iter().all(|row| row.ratio() <= most));
        }
        Command::BareTls { folder } => {
            let ready = |address: std::net::SocketAddr| {
                let mut out = std::io::stdout();
                // Nobody waits for it any more if this fails.
                let _ = writeln!(out, "{address}").and_then(|()| out.flush());
            };
            // One thread, as the node's one worker has.
            let own = tokio::task::spawn_blocking(move || tls_bench::bare::run(&folder, ready));
            own.await??;
        }
        Command::Storm { keyline, phones, rate, json } => {
            let phones = phones.clamp(2, inventory::PHONES_MAX);
            let returned = storm::come_back(&keyline, storm::Plan { phones, rate }).await?;
            print(json, &returned, &returned)?;
            return Ok(returned.holds());
        }
        Command::Flood { keyline, seconds, times, shared, rsa_bits, json } => {
            let flooded =
                storm::flood(&keyline, storm::Flood { seconds, times, pinned: !shared, rsa_bits }).await?;
            print(json, &flooded, &flooded)?;
            return Ok(flooded.failed == 0);
        }
        Command::LoadMillion { keyline, phones, steady, data, json } => {
            let plan = million::Plan {
                phones: phones.clamp(1_000, 4_000_000).next_multiple_of(2),
                steady_s: steady,
            };
            let measured = million::measure(&keyline, plan, data.as_deref()).await?;
            print(json, &measured, &measured)?;
            return Ok(measured.holds());
        }
        Command::Soak { keyline, minutes, file, report, json } => {
            let soaked = mixed::soak(&keyline, mixed::Soak { minutes }).await?;
            if let Some(path) = report {
                std::fs::write(&path, pages::of_soak(&soaked))?;
            }
            if let Some(path) = file {
                std::fs::write(&path, serde_json::to_string_pretty(&soaked)?)?;
            }
            print(json, &soaked, &soaked)?;
            return Ok(soaked.holds());
        }
        Command::Change { keyline, phones, rate, seconds, every, per_second, json } => {
            let phones = phones.clamp(2, 1_000_000);
            let plan = mixed::Change { phones, rate, seconds, every, per_second };
            let changed = mixed::change(&keyline, plan).await?;
            print(json, &changed, &changed)?;
            return Ok(changed.holds());
        }
        Command::Compare { first, second, report } => {
            let read = |path: &PathBuf| -> Result<pages::Kept, Fault> {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                Ok(pages::Kept::parse(&text).map_err(|e| format!("{} is no run: {e}", path.display()))?)
            };
            let (first, second) = (read(&first)?, read(&second)?);
            let compared = pages::compare(&first, &second);
            print(false, &compared, &())?;
            if let Some(path) = report {
                std::fs::write(&path, compared.page()).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
        Command::BenchCompare(versus) => {
            let (json, file) = (versus.json, versus.file.clone());
            let (keyline, plan) = versus.plan();
            let compared =
                tokio::task::spawn_blocking(move || keyline_loadtest::versus::compare(&keyline, plan))
                    .await??;
            if let Some(path) = file {
                std::fs::write(&path, serde_json::to_string_pretty(&compared)?)?;
            }
            print(json, &compared, &compared)?;
        }
        Command::Overload(overload) => {
            let measured = keyline_loadtest::overload::overload(&overload.keyline, overload.plan()).await?;
            print(overload.json, &measured, &measured)?;
            return Ok(measured.holds());
        }
        Command::AdminScale { keyline, phones, samples, data, json } => {
            let plan =
                scale::Plan { phones: phones.clamp(20_000, inventory::PHONES_MAX), samples: samples.max(4) };
            let measured = scale::measure(&keyline, plan, data.as_deref()).await?;
            print(json, &measured, &measured)?;
        }
    }
    Ok(true)
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
