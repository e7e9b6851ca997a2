//! Phones in a browser: headless Chromium with SIP.js, served its page and told what to do over HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Program;
use crate::wait;

/// Where `make judges` puts SIP.js.
const SIPJS: &str = "sip.js-0.21.2";

/// A browser starts slowly where many tests share few cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// One phone of the page.
#[derive(Debug, Clone)]
pub struct WebPhone {
    /// Directory number.
    pub dn: String,
    /// Digest user and password.
    pub login: (String, String),
    /// `ws://…` or `wss://…`.
    pub server: String,
}

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    /// The process.
    pub program: Program,
    /// Origin of the page.
    pub origin: String,
    shared: Arc<Mutex<State>>,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Value>,
    commands: BTreeMap<String, VecDeque<Value>>,
}

/// The page's server, before the browser runs: nodes are told its origin.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
}

impl Page {
    /// Takes a free port.
    pub fn new() -> Page {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        Page { listener, address }
    }

    /// Origin of the page.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts the browser with these phones.
    ///
    /// # Panics
    /// When Chromium or SIP.js is missing.
    pub fn open(self, phones: &[WebPhone]) -> Browser {
        let sipjs = judges().join(SIPJS);
        assert!(sipjs.join("lib/index.js").exists(), "{} is missing: run `make judges`", sipjs.display());
        let origin = self.origin();
        let shared = Arc::new(Mutex::new(State::default()));
        let state = shared.clone();
        std::thread::spawn(move || {
            for stream in self.listener.incoming().filter_map(Result::ok) {
                let (state, sipjs) = (state.clone(), sipjs.clone());
                std::thread::spawn(move || serve(stream, &state, &sipjs));
            }
        });
        let list: Vec<Value> = phones
            .iter()
            .map(|p| json!({"dn": p.dn, "user": p.login.0, "password": p.login.1, "server": p.server}))
            .collect();
        let folder = tempfile::Builder::new().prefix("chromium-").tempdir().expect("a folder");
        let mut command = Command::new("chromium");
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--mute-audio",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            // The node's certificate is its own; what is judged here is SIP and media.
            "--ignore-certificate-errors",
            // Media stays on this machine, and addresses are told as they are.
            "--allow-loopback-in-peer-connection",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ]);
        command.arg(format!("--user-data-dir={}", folder.path().display()));
        command.arg(format!("{origin}/index.html?phones={}", escaped(&Value::from(list).to_string())));
        command.env("HOME", folder.path());
        let program = Program::start("chromium (Debian package chromium; `make judges`)", &mut command);
        Browser { program, origin, shared, _folder: folder }
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}

impl Browser {
    /// Tells a phone to do something.
    pub fn tell(&self, dn: &str, command: Value) {
        let mut state = lock(&self.shared);
        state.commands.entry(dn.to_owned()).or_default().push_back(command);
    }

    /// Waits for an event of a phone; it is then forgotten with all before it of that phone.
    ///
    /// # Panics
    /// When it does not come, or the page reports an error before.
    pub fn event(&self, dn: &str, event: &str) -> Value {
        wait::until_within(PATIENCE, &format!("`{event}` of {dn} in the browser"), || {
            let mut state = lock(&self.shared);
            let wrong = state.events.iter().find(|e| e["event"] == "error");
            assert!(wrong.is_none(), "the page failed: {:?}", state.events);
            let at = state.events.iter().position(|e| e["who"] == dn && e["event"] == event)?;
            let found = state.events[at].clone();
            let mut number = 0;
            state.events.retain(|e| {
                number += 1;
                number - 1 > at || e["who"] != dn
            });
            Some(found)
        })
    }

    /// What the phones told and nobody asked for yet.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.shared).events.clone()
    }
}

fn lock(shared: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folder of `make judges`.
pub(super) fn judges() -> PathBuf {
    if let Some(folder) = std::env::var_os("KEYLINE_JUDGES") {
        return folder.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
    cache.unwrap_or_else(home).join("keyline/judges")
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// One request of the page; the connection ends with it.
fn serve(mut stream: TcpStream, state: &Mutex<State>, sipjs: &Path) {
    let Ok(clone) = stream.try_clone() else { return };
    let mut reader = BufReader::new(clone);
    let mut line = String::new();
    let mut length = 0;
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let request = line.clone();
    loop {
        line.clear();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let target = request.split_whitespace().nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, kind, content) = answer(path, query, &body, state, sipjs);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        content.len()
    );
    // A browser that is gone needs no answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
}

fn answer(
    path: &str,
    query: &str,
    body: &[u8],
    state: &Mutex<State>,
    sipjs: &Path,
) -> (&'static str, &'static str, Vec<u8>) {
    let json = "application/json";
    match path {
        "/report" => {
            let event = serde_json::from_slice(body).unwrap_or(Value::Null);
            lock(state).events.push(event);
            ("204 No Content", json, Vec::new())
        }
        "/next" => {
            let dn = query.strip_prefix("dn=").unwrap_or_default();
            let mut next = None;
            // The page asks again at once: it is kept waiting for a while.
            for _ in 0..50 {
                next = lock(state).commands.get_mut(dn).and_then(VecDeque::pop_front);
                if next.is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            match next {
                Some(command) => ("200 OK", json, command.to_string().into_bytes()),
                None => ("204 No Content", json, Vec::new()),
            }
        }
        _ => {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/browser");
            let (folder, rest) = match path.strip_prefix("/sip.js/") {
                Some(rest) => (sipjs, rest),
                None => (own.as_path(), path.trim_start_matches('/')),
            };
            let kind = if rest.ends_with(".js") { "text/javascript" } else { "text/html" };
            let inside = !rest.split('/').any(|part| part == "..");
            match std::fs::read(folder.join(rest)) {
                Ok(content) if inside => ("200 OK", kind, content),
                _ => ("404 Not Found", kind, Vec::new()),
            }
        }
    }
}
