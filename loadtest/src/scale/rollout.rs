//! Apply Config at full pace to phones that are really registered: each that was told is judged by the new version
//! at its next request, each other by the old one, and the end of the process in the middle changes neither.

use std::fmt;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::signalled::{Board, Phones, Seen};
use super::{ScaleError, Times};
use crate::inventory;
use crate::load::{Process, machine};
use crate::server::{Node, Server};

/// The profile.
const PROFILE: &str = "Rolled out";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct RolloutPlan {
    /// Phones, all registered over UDP.
    pub phones: u32,
    /// Phones a second that the roll-out may reach.
    pub per_second: u32,
    /// Refreshes a second by phones that were not told yet.
    pub refresh_per_s: u32,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct RolledOut {
    /// Phones.
    pub phones: u32,
    /// Asked for, phones a second.
    pub per_second: u32,
    /// Phones a second that were told until the node was killed.
    pub reached_before_kill: f64,
    /// And from the start after it to the last one.
    pub reached_after_kill: f64,
    /// Phones that had been told when the node was killed.
    pub told_at_kill: u64,
    /// Phones that were told twice because of it.
    pub told_again: u64,
    /// Share of one core that the node used while it told phones.
    pub cpu: f64,
    /// Refreshes served by the old version before their phone was told.
    pub old_before: u64,
    /// Refreshes of phones that were not told yet.
    pub refresh: Times,
    /// From the signal to the 200 under the new version.
    pub back: Times,
    /// The roll-out as the API shows it at the end.
    pub rollout: Value,
    /// The command line.
    pub command: String,
    /// Processor, cores, kernel.
    pub machine: String,
}

impl fmt::Display for RolledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command   {}", self.command)?;
        writeln!(f, "machine   {}; phones and server share it", self.machine)?;
        writeln!(f, "phones    {} registered over UDP, {} a second asked for", self.phones, self.per_second)?;
        writeln!(
            f,
            "reached   {:.0} phones/s until kill -9 at {}, {:.0} phones/s afterwards; {} told twice",
            self.reached_before_kill, self.told_at_kill, self.reached_after_kill, self.told_again
        )?;
        writeln!(f, "cpu       {:.0} % of one core while phones were told", self.cpu * 100.0)?;
        writeln!(
            f,
            "judged    {} refreshes by the old version before the signal, none after",
            self.old_before
        )?;
        writeln!(f, "\n{:<48}{:>6}{:>10}{:>10}{:>10}", "ms", "count", "p50", "p99", "max")?;
        writeln!(f, "{}\n{}", self.refresh, self.back)?;
        write!(f, "roll-out  {}", self.rollout)
    }
}

/// Rolls a version out that asks for digest, and kills the node when two fifths of the phones were told.
///
/// # Errors
/// [`ScaleError`], also for every phone that was judged by the wrong version, forgotten, or not back.
pub async fn roll_out(binary: &Path, plan: RolloutPlan) -> Result<RolledOut, ScaleError> {
    let folder = tempfile::tempdir().map_err(ScaleError::io("no temporary folder"))?;
    // The node comes back where it was.
    let port =
        UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).map_err(ScaleError::io("a port"))?;
    let any = || "127.0.0.1:0".to_owned();
    let listeners = [("sip_udp", port.to_string()), ("admin", any()), ("metrics", any())];
    let more = "\n[limits]\nrequests_per_source = 1000000\n";
    let node = Node::prepare(binary, &folder.path().join("keyline"), &listeners, more)?;
    let file = folder.path().join("fleet.ndjson");
    write(&file, plan.phones).map_err(ScaleError::io("inventory"))?;
    node.import(&file).await?;
    let roots = node.roots().await?;
    let server = node.serve().await?;
    let board = Arc::new(Board::default());
    let phones = Phones::open(port, plan.phones, Arc::clone(&board)).map_err(ScaleError::io("sockets"))?;
    let phones = tokio::task::spawn_blocking(move || phones.run());
    let run = Run { plan, node, roots, board: Arc::clone(&board) };
    let done = run.go(server).await;
    board.stop.store(true, Ordering::Relaxed);
    let seen = phones.await.map_err(|e| ScaleError::Admin(e.to_string()))?;
    done.and_then(|done| done.judged(plan, &seen))
}

/// One profile without proof, whose phones have users all the same.
fn write(file: &Path, phones: u32) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let model = inventory::MODEL;
    let row = |value: Value| format!("{value}\n");
    out.write_all(row(json!({"kind": "parameter", "name": "apply_grace_s", "value": 0})).as_bytes())?;
    let profile = json!({"kind": "security_profile", "name": PROFILE, "model": model, "protocol": "sip", "transport": "tcp_udp"});
    out.write_all(row(profile).as_bytes())?;
    for phone in inventory::fleet(1, phones) {
        let (user, dn) = (&phone.user, &phone.dn);
        for value in [
            json!({"kind": "end_user", "id": user, "digest_credentials": phone.password}),
            json!({"kind": "line", "dn": dn}),
            json!({"kind": "phone", "name": phone.device, "model": model, "protocol": "sip",
                   "security_profile": PROFILE, "digest_user": user, "lines": [dn]}),
        ] {
            out.write_all(row(value).as_bytes())?;
        }
    }
    out.flush()
}

struct Run {
    plan: RolloutPlan,
    node: Node,
    roots: String,
    board: Arc<Board>,
}

struct Done {
    before: f64,
    after: f64,
    told_at_kill: u64,
    cpu: f64,
    rollout: Value,
}

impl Run {
    async fn client(&self, server: &Server) -> Result<Client, ScaleError> {
        let admin: SocketAddr = server.address("admin").ok_or(ScaleError::NoListener("admin"))?;
        Client::connect(admin, &self.node.data(), &self.roots).await
    }

    /// Waits until so many were counted.
    async fn reaches(
        &self,
        what: &'static str,
        count: &dyn Fn(&Board) -> u64,
        many: u64,
    ) -> Result<(), ScaleError> {
        let begun = Instant::now();
        while count(&self.board) < many {
            if begun.elapsed() > PATIENCE {
                let have = count(&self.board);
                return Err(ScaleError::Admin(format!("{what}: {have} of {many} within {PATIENCE:?}")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn go(&self, server: Server) -> Result<Done, ScaleError> {
        let phones = u64::from(self.plan.phones);
        let told = |board: &Board| board.told.load(Ordering::Relaxed);
        eprintln!("registering {phones} phones");
        self.reaches("registered", &|board| board.registered.load(Ordering::Relaxed), phones).await?;
        let mut client = self.client(&server).await?;
        let path = format!("/security-profiles/{}", PROFILE.replace(' ', "%20"));
        client.done("PATCH", &path, Some(&json!({ "digest_authentication": true }))).await?;
        self.board.refresh_per_s.store(self.plan.refresh_per_s, Ordering::Relaxed);
        eprintln!("rolling out");
        let apply = format!("{path}/apply");
        let gate = json!({ "failed_percent": 100, "window_s": 120 });
        let mut body = json!({ "per_second": self.plan.per_second, "gate": gate });
        let asked = client.ask("POST", &apply, Some(&body)).await?;
        body["confirm"] = asked.body["confirm"].clone();
        let id = client.done("POST", &apply, Some(&body)).await?.body["id"].clone();
        let process = |server: &Server| Process::of(server.pid().unwrap_or_default());
        let first = process(&server).map_err(ScaleError::io("/proc"))?;
        let (begun, cpu) = (Instant::now(), first.cpu().map_err(ScaleError::io("/proc"))?);
        self.reaches("told before the kill", &told, phones * 2 / 5).await?;
        let (took, told_at_kill) = (begun.elapsed(), told(&self.board));
        let spent = first.cpu().map_err(ScaleError::io("/proc"))?.saturating_sub(cpu);
        self.board.breaks.fetch_add(1, Ordering::Relaxed);
        server.kill().await;
        eprintln!("killed with {told_at_kill} phones told; starting again");
        let server = self.node.serve().await?;
        self.board.breaks.fetch_add(1, Ordering::Relaxed);
        let (again, told_again) = (Instant::now(), told(&self.board));
        let watched = async {
            self.reaches("told", &told, phones).await?;
            let after = (phones - told_again) as f64 / again.elapsed().as_secs_f64();
            self.reaches("back", &|board| board.back.load(Ordering::Relaxed), phones).await?;
            let mut client = self.client(&server).await?;
            let end = Instant::now() + PATIENCE;
            loop {
                let rollout = client.done("GET", &format!("/rollouts/{id}"), None).await?.body;
                if rollout["state"] != "running" || Instant::now() > end {
                    return Ok::<_, ScaleError>((after, rollout));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (after, rollout) = watched.await?;
        server.stop().await?;
        let seconds = took.as_secs_f64();
        let (before, cpu) = (told_at_kill as f64 / seconds, spent.as_secs_f64() / seconds);
        Ok(Done { before, after, told_at_kill, cpu, rollout })
    }
}

impl Done {
    fn judged(self, plan: RolloutPlan, seen: &Seen) -> Result<RolledOut, ScaleError> {
        let Self { before, after, told_at_kill, cpu, rollout } = self;
        let wrong = |what: String| Err(ScaleError::Admin(what));
        if seen.old_after > 0 {
            return wrong(format!(
                "{} phones were judged by the old version after their signal",
                seen.old_after
            ));
        }
        if seen.new_untold > 0 {
            return wrong(format!(
                "{} phones were judged by the new version and never told",
                seen.new_untold
            ));
        }
        if rollout["state"] != "finished"
            || rollout["phones"]["left"] != 0
            || rollout["phones"]["failed"] != 0
        {
            return wrong(format!("the roll-out did not end well: {rollout}"));
        }
        Ok(RolledOut {
            phones: plan.phones,
            per_second: plan.per_second,
            reached_before_kill: before,
            reached_after_kill: after,
            told_at_kill,
            told_again: seen.told_again,
            cpu,
            old_before: seen.old_before,
            refresh: seen.refresh.times("refresh of a phone that was not told yet"),
            back: seen.back.times("signal to 200 under the new version"),
            rollout,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            machine: machine(),
        })
    }
}
