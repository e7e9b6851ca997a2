//! A node under everything at once: [`soak`] for a long time, [`change`] while its profiles change.

mod change;
mod soak;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub use self::change::{Change, Changed, change};
pub use self::soak::{Part, Soak, Soaked, soak};
use crate::inventory;
use crate::load::users::User;
use crate::load::{
    Amount, Carrier, Certificates, Fleet, Job, Options, Tally, Target, TlsSetup, own_addresses,
};
use crate::pki::Authority;
use crate::scale::Client;
use crate::server::{Node, Server};
use crate::storm::raise_descriptors;
use crate::tls::TlsOptions;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Fleets of both kinds have seeds of their own.
const PLAIN: u8 = 1;
const SECURE: u8 = 2;
/// Limits of one source, of which a loopback network has few.
const LIMITS: &str = "\n[shards]\ncount = 1\n[limits]\nrequests_per_source = 1000000\n\
                      transactions_per_source = 1000000\ntransactions_per_worker = 1000000\n";

/// A node with phones over UDP and over TLS.
struct Site {
    folder: tempfile::TempDir,
    node: Node,
    server: Server,
}

impl Site {
    async fn new(binary: &Path, plain: u32, secure: u32) -> Result<Site, Fault> {
        raise_descriptors();
        let folder = tempfile::tempdir()?;
        let any = || "127.0.0.1:0".to_owned();
        let listeners = ["sip_udp", "sip_tls", "admin", "metrics"].map(|name| (name, any()));
        let node = Node::prepare(binary, &folder.path().join("keyline"), &listeners, LIMITS)?;
        let authority = Authority::open(&folder.path().join("authority"))?;
        let file = folder.path().join("fleet.ndjson");
        let mut out = BufWriter::new(File::create(&file)?);
        inventory::write(&mut out, PLAIN, plain)?;
        if secure > 0 {
            // Directory numbers of both kinds must differ: those over TLS follow.
            inventory::write_encrypted_from(&mut out, SECURE, plain..plain + secure, &authority.pem)?;
            let menu = json!({"kind": "parameter", "name": "tls_ciphers", "value": "all_ecdsa_preferred"});
            writeln!(out, "{menu}")?;
        }
        out.flush()?;
        node.import(&file).await?;
        let server = node.serve().await?;
        Ok(Site { folder, node, server })
    }

    fn address(&self, listener: &str) -> Result<SocketAddr, Fault> {
        Ok(self.server.address(listener).ok_or_else(|| format!("the node has no {listener}"))?)
    }

    /// Phones over UDP, from addresses of their own.
    fn plain(&self, users: Vec<User>, sources: u8) -> Result<Fleet, Fault> {
        let address = self.address("sip_udp")?;
        let target = Target { carrier: Carrier::Udp, address };
        let own = (1..=8).map(|n| std::net::Ipv4Addr::new(127, 0, sources, n).into()).collect();
        Ok(Fleet::open(users, Options::new(target, own))?)
    }

    /// Phones over TLS, which believe what the node shows now.
    async fn secure(&self, users: Vec<User>) -> Result<Fleet, Fault> {
        let address = self.address("sip_tls")?;
        let target = Target { carrier: Carrier::Tls, address };
        let mut options = Options::new(target, own_addresses(address, 30_000)?);
        let authority = Authority::open(&self.folder.path().join("authority"))?;
        let tls = TlsOptions::trusting(self.node.roots().await?);
        options.tls = Some(TlsSetup::new(tls, Certificates::Made(Box::new(authority)), false));
        Ok(Fleet::open(users, options)?)
    }

    async fn client(&self) -> Result<Client, Fault> {
        Ok(Client::connect(self.address("admin")?, &self.node.data(), &self.node.roots().await?).await?)
    }
}

fn users(seed: u8, range: std::ops::Range<u32>) -> Vec<User> {
    range.map(|n| User::from(inventory::nth(seed, n))).collect()
}

fn amount(rate: f64, seconds: f64) -> Amount {
    Amount { count: (rate * seconds).round() as u64, rate, ramp: Duration::ZERO }
}

/// Saves a new version of the fleet's profile and applies it to all its phones; gives the roll-out's number, or
/// `None` while the one before goes on: then the next one brings this version too.
async fn roll_out(client: &mut Client, version: u64, per_second: u32) -> Result<Option<String>, Fault> {
    let path = format!("/security-profiles/{}", inventory::PROFILE.replace(' ', "%20"));
    let body = json!({ "nonce_validity_s": 3_600 - version % 100 });
    client.done("PATCH", &path, Some(&body)).await?;
    let gate = json!({ "failed_percent": 100, "window_s": 10 });
    let mut body = json!({ "per_second": per_second, "gate": gate });
    let apply = format!("{path}/apply");
    let asked = client.ask("POST", &apply, Some(&body)).await?;
    if asked.body["code"] == "rollout_open" {
        return Ok(None);
    }
    body["confirm"] = asked.body["confirm"].clone();
    let begun = client.ask("POST", &apply, Some(&body)).await?;
    match (&begun.body["id"], &begun.body["code"]) {
        (Value::String(id), _) => Ok(Some(id.clone())),
        (Value::Number(id), _) => Ok(Some(id.to_string())),
        (_, Value::String(code)) if code == "rollout_open" => Ok(None),
        _ => Err(format!("POST {apply}: {} {}", begun.status, begun.body).into()),
    }
}

/// Runs a job of a fleet, and gives both back.
fn work(mut fleet: Fleet, job: &Job, amount: Amount) -> (Fleet, Tally) {
    let tally = fleet.run(job, amount);
    (fleet, tally)
}
