//! A whole node: the built binary, its folder, its ports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyline_loadtest::phone::{PhoneConfig, Transport};
use keyline_loadtest::tls::TlsOptions;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::faults;
use crate::inventory::{CISCO_NUMBER, Inventory, password_of, user_of};
use crate::pki::Issued;
use crate::ports::fixed_port;
use crate::wait::{self, PATIENCE};

/// How long a node may take to become ready: the first start makes keys.
const START_MAX: Duration = Duration::from_secs(60);

/// Listeners that every test node has; the rest is switched off.
const LISTENERS: [&str; 5] = ["sip_udp", "sip_tcp", "sip_tls", "admin", "metrics"];
const OFF: [&str; 12] = [
    "sip_ws",
    "sip_wss",
    "sip_oauth",
    "sip_quic",
    "sccp",
    "sccp_tls",
    "tftp",
    "http_config",
    "https_config",
    "https_config_oauth",
    "capf",
    "tvs",
];

/// The binary under test: `KEYLINE_BIN`, else the one beside the test's own.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KEYLINE_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let beside = test.parent().and_then(Path::parent).expect("target/<profile>/deps").join("keyline");
    assert!(beside.exists(), "{} is missing: build it, or set KEYLINE_BIN", beside.display());
    beside
}

/// A node before it starts.
#[derive(Debug)]
pub struct Builder {
    shards: u16,
    inventory: Inventory,
    settings: BTreeMap<String, Vec<String>>,
    fixed: bool,
    env: Vec<(String, String)>,
    descriptors: Option<u32>,
    faults: bool,
}

/// A node. It is killed when it is dropped; when its test failed it shows what it wrote.
#[derive(Debug)]
pub struct Node {
    dir: TempDir,
    pub(crate) env: Vec<(String, String)>,
    descriptors: Option<u32>,
    binary: PathBuf,
    running: Option<Running>,
    listen: BTreeMap<String, SocketAddr>,
    stderr: Arc<Mutex<String>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// One shard, no rows, free ports.
    pub fn new() -> Builder {
        Builder {
            shards: 1,
            inventory: Inventory::new(),
            settings: BTreeMap::new(),
            fixed: false,
            env: Vec::new(),
            descriptors: None,
            faults: false,
        }
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(mut self, count: u16) -> Builder {
        self.shards = count;
        self
    }

    /// Rows, imported before the first start.
    #[must_use]
    pub fn inventory(mut self, inventory: &Inventory) -> Builder {
        self.inventory = inventory.clone();
        self
    }

    /// A line of a section of keyline.toml, such as `("storage", "durability = \"power\"")`.
    #[must_use]
    pub fn setting(mut self, section: &str, line: &str) -> Builder {
        self.settings.entry(section.to_owned()).or_default().push(line.to_owned());
        self
    }

    /// The ports stay the same over restarts, so that phones find the node again.
    #[must_use]
    pub fn fixed_ports(mut self) -> Builder {
        self.fixed = true;
        self
    }

    /// A variable of the environment in which its commands run.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The process may open only so many files, by its soft and its hard limit.
    #[must_use]
    pub fn descriptors(mut self, most: u32) -> Builder {
        self.descriptors = Some(most);
        self
    }

    /// The binary with faults on purpose, ordered by [`Node::fault`].
    #[must_use]
    pub fn faults(mut self) -> Builder {
        self.faults = true;
        self
    }

    /// Writes the configuration and imports the rows, without starting.
    pub fn prepare(self) -> Node {
        let dir = tempfile::Builder::new().prefix("keyline-").tempdir().expect("a folder");
        std::fs::write(dir.path().join("keyline.toml"), self.text()).expect("keyline.toml");
        let node = Node {
            dir,
            env: self.env.clone(),
            descriptors: self.descriptors,
            binary: if self.faults { faults::binary() } else { binary() },
            running: None,
            listen: BTreeMap::new(),
            stderr: Arc::new(Mutex::new(String::new())),
        };
        if !self.inventory.is_empty() {
            let out = node.import(&self.inventory.ndjson());
            assert!(out.status.success(), "import failed: {}", String::from_utf8_lossy(&out.stderr));
        }
        node
    }

    /// Prepares and starts.
    pub fn start(self) -> Node {
        let mut node = self.prepare();
        node.start();
        node
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut section = |name: &str, own: Vec<String>| {
            let more = self.settings.get(name).cloned().unwrap_or_default();
            // What a test sets replaces the line for the same key.
            let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
            let kept = own.into_iter().filter(|line| more.iter().all(|m| key(m) != key(line)));
            writeln!(text, "[{name}]").expect("writing to a String");
            for line in kept.chain(more.iter().cloned()) {
                writeln!(text, "{line}").expect("writing to a String");
            }
        };
        section("node", vec!["name = \"test\"".into(), "data_dir = \"data\"".into()]);
        let on = LISTENERS.iter().map(|key| {
            let port = if self.fixed { fixed_port() } else { 0 };
            format!("{key} = \"127.0.0.1:{port}\"")
        });
        section("listen", on.chain(OFF.iter().map(|key| format!("{key} = \"\""))).collect());
        section("shards", vec![format!("count = {}", self.shards)]);
        for name in ["storage", "tls", "websocket", "oauth", "limits"] {
            if self.settings.contains_key(name) {
                section(name, Vec::new());
            }
        }
        text
    }
}

impl Node {
    /// The node's folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A command of the binary with this node's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg(self.dir.path().join("keyline.toml"));
        command.current_dir(self.dir.path()).env_remove("KEYLINE_ADMIN_TOKEN").stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Imports rows; by the node if it runs, else into its store.
    pub fn import(&self, ndjson: &str) -> Output {
        let file = self.dir.path().join("import.ndjson");
        std::fs::write(&file, ndjson).expect("the file to import");
        self.run(&["import", file.to_str().expect("a readable path")])
    }

    /// Starts the binary and waits until it serves.
    ///
    /// # Panics
    /// When it does not become ready within a minute.
    pub fn start(&mut self) {
        let mut command = self.command(&["serve"]);
        if let Some(most) = self.descriptors {
            let plain = command;
            // prlimit becomes the program that it starts: the process id stays.
            command = Command::new("prlimit");
            command.arg(format!("--nofile={most}:{most}")).arg(plain.get_program()).args(plain.get_args());
            command.current_dir(self.dir.path()).env_remove("KEYLINE_ADMIN_TOKEN").stdin(Stdio::null());
        }
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let seen = self.stderr.clone();
        std::thread::spawn(move || collect(stderr, &seen));
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        self.running = Some(Running { child });
        let start = Instant::now();
        while let Ok(line) = lines.recv_timeout(START_MAX.saturating_sub(start.elapsed())) {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if event["event"] == "ready" {
                let listen = event["listen"].as_object().expect("addresses").iter();
                // Several addresses of one listener are a list; the others bear `#2` and so on.
                let each = listen.flat_map(|(name, value)| {
                    let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                    let named = |(i, a): (usize, Value)| match i {
                        0 => (name.clone(), a),
                        i => (format!("{name}#{}", i + 1), a),
                    };
                    list.into_iter().enumerate().map(named).collect::<Vec<_>>()
                });
                self.listen = each
                    .map(|(name, address)| {
                        (name, address.as_str().and_then(|a| a.parse().ok()).expect("an address"))
                    })
                    .collect();
                return;
            }
        }
        panic!("the node is not ready; it wrote:\n{}", self.stderr());
    }

    /// Starts it where success is not expected, and gives its exit code with what it wrote to stderr.
    ///
    /// # Panics
    /// When it is still running after a minute.
    pub fn fail_to_start(&self) -> (Option<i32>, String) {
        let mut child = self
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let pid = child.id();
        let mut text = String::new();
        let pipe = child.stderr.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            BufReader::new(pipe).read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        let status = wait::until_within(START_MAX, "end of a node that cannot start", || {
            child.try_wait().ok().flatten().or_else(|| {
                assert!(pid > 0);
                None
            })
        });
        (status.code(), reader.join().unwrap_or_default())
    }

    /// SIGKILL: as if the machine's power for this process were cut.
    pub fn kill9(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().expect("SIGKILL");
            running.child.wait().expect("the end");
        }
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait_end()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(pid_of(&self.running.as_ref().expect("a running node").child), signal).expect("a signal");
    }

    /// Waits until it ended by itself; its exit code.
    pub fn wait_end(&mut self) -> Option<i32> {
        let mut running = self.running.take().expect("a running node");
        let status = wait::until("end of the node", || running.child.try_wait().ok().flatten());
        status.code()
    }

    /// SIGKILL and a new start.
    pub fn kill9_and_restart(&mut self) {
        self.kill9();
        self.start();
    }

    /// It runs.
    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(|r| r.child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("a running node").child.id()
    }

    /// Resident memory, in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB")
    }

    /// What it wrote to stderr up to now, over all starts.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When the ready line named no such listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.listen.get(listener).unwrap_or_else(|| panic!("no {listener} in {:?}", self.listen))
    }

    /// Names of the listeners in the ready line.
    pub fn listeners(&self) -> Vec<String> {
        self.listen.keys().cloned().collect()
    }

    /// SIP over UDP.
    pub fn udp(&self) -> SocketAddr {
        self.address("sip_udp")
    }

    /// SIP over TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.address("sip_tcp")
    }

    /// SIP over TLS.
    pub fn tls(&self) -> SocketAddr {
        self.address("sip_tls")
    }

    /// PEM of an own certificate.
    pub fn certificate(&self, name: &str) -> String {
        let out = self.run(&["cert", "export", "--name", name, "--format", "pem"]);
        assert!(out.status.success(), "cert export: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("PEM")
    }

    /// The certificates that it may present on its TLS ports, PEM.
    pub fn server_certificates(&self) -> String {
        ["CallManager", "CallManager-EC"].map(|name| self.certificate(name)).concat()
    }

    /// TLS that believes this node; with a client certificate or without.
    pub fn tls_options(&self, identity: Option<&Issued>) -> TlsOptions {
        let options = TlsOptions::trusting(self.server_certificates());
        match identity {
            Some(own) => options.with_identity(own.certificate_pem.clone(), own.key_pem.clone()),
            None => options,
        }
    }

    /// A simulated phone of this node with the patience of the suites.
    pub fn phone(&self, transport: Transport, device: &str, dn: &str) -> PhoneConfig {
        let server = match transport {
            Transport::Udp => self.udp(),
            Transport::Tcp => self.tcp(),
            Transport::Tls(_) => self.tls(),
        };
        let mut config = PhoneConfig::new(server, transport, dn).cisco(device, CISCO_NUMBER);
        config.patience = PATIENCE;
        config
    }

    /// A simulated phone with the login of [`Inventory::digest_phone`].
    pub fn digest_phone(&self, transport: Transport, device: &str, dn: &str) -> PhoneConfig {
        self.phone(transport, device, dn).login(&user_of(dn), &password_of(dn))
    }

    /// Body of a GET from the metrics listener.
    pub fn http_get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("metrics")).expect("the metrics listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (_, body) = text.split_once("\r\n\r\n").expect("headers and body");
        body.to_owned()
    }

    /// Sum of all samples of a metric whose labels hold `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.http_get("/metrics");
        let samples = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' '));
        let own = samples.filter(|(series, _)| {
            let (base, labels) = series.split_once('{').unwrap_or((series, ""));
            base == name && labels.contains(label)
        });
        own.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            let text = self.stderr();
            let from = text.len().saturating_sub(6000);
            let from = (from..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
            eprintln!("---- the node wrote:\n{}\n----", &text[from..]);
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

fn collect(pipe: impl Read, into: &Mutex<String>) {
    for line in BufReader::new(pipe).lines() {
        let Ok(line) = line else { return };
        let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&line);
        text.push('\n');
    }
}

/// Lines of a pipe; it is read to its end even when nobody listens.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Once the ready line is read nobody listens.
            let _ = sender.try_send(line);
        }
    });
    receiver
}
