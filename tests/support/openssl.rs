//! OpenSSL as the phone: the system's `openssl s_client` (3.0), and a client of our own on a newer OpenSSL, which
//! knows TLS_SHA256_SHA256 too (`make peer`).

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `openssl s_client`.
    System,
    /// `tests/peer-openssl`.
    Peer,
}

/// What became of a connection.
#[derive(Debug)]
pub struct Session {
    /// Name of the suite as IANA writes it; `None` when the handshake was refused.
    pub suite: Option<String>,
    /// What the node said under TLS.
    pub heard: String,
    /// What the client said of it all.
    pub told: String,
}

/// The client of `make peer`: `KEYLINE_PEER_OPENSSL`, else where that target puts it.
pub fn peer() -> PathBuf {
    if let Some(path) = std::env::var_os("KEYLINE_PEER_OPENSSL") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let path = cache.expect("HOME is set").join("keyline/peer-openssl/release/keyline-peer-openssl");
    assert!(
        path.exists(),
        "{} is missing: `make peer` builds it, or set KEYLINE_PEER_OPENSSL",
        path.display()
    );
    path
}

/// Connects, says something, and listens until the node has answered with a whole message or closed. Without
/// anything to say the connection ends after the handshake.
///
/// # Panics
/// When the client cannot be run.
pub fn connect(client: Client, node: SocketAddr, arguments: &[&str], say: &str) -> Session {
    let mut command = match client {
        Client::System => {
            let mut command = Command::new("openssl");
            command.args([
                "s_client",
                "-connect",
                &node.to_string(),
                "-servername",
                "keyline.local",
                "-brief",
            ]);
            if !say.is_empty() {
                // Else a line that begins with R asks for a renegotiation.
                command.arg("-ign_eof");
            }
            command
        }
        Client::Peer => {
            let mut command = Command::new(peer());
            command.arg(node.to_string());
            command
        }
    };
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut input = child.stdin.take().expect("a pipe");
    // A refused client may be gone.
    let _ = input.write_all(say.as_bytes());
    drop(input);
    let mut errors = child.stderr.take().expect("a pipe");
    let told = std::thread::spawn(move || {
        let mut told = String::new();
        let _ = errors.read_to_string(&mut told);
        told
    });
    let mut output = child.stdout.take().expect("a pipe");
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    if !say.is_empty() {
        while !heard.windows(4).any(|w| w == b"\r\n\r\n") {
            match output.read(&mut buffer) {
                Ok(length @ 1..) => heard.extend_from_slice(&buffer[..length]),
                _ => break,
            }
        }
        let _ = child.kill();
    }
    let _ = child.wait();
    let told = told.join().expect("what the client told");
    Session { suite: suite(client, &told), heard: String::from_utf8_lossy(&heard).into_owned(), told }
}

/// IANA name, OpenSSL's name.
const NAMES: [(&str, &str); 8] = [
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    ("TLS_ECDHE_RSA_WITH_NULL_SHA", "ECDHE-RSA-NULL-SHA"),
    ("TLS_ECDHE_ECDSA_WITH_NULL_SHA", "ECDHE-ECDSA-NULL-SHA"),
    ("TLS_RSA_WITH_NULL_SHA", "NULL-SHA"),
];

/// OpenSSL's name of a suite, which for TLS 1.3 is IANA's.
pub fn cipher(iana: &str) -> &str {
    NAMES.iter().find(|(name, _)| *name == iana).map_or(iana, |(_, cipher)| *cipher)
}

fn suite(client: Client, told: &str) -> Option<String> {
    let named = match client {
        Client::System => told.lines().find_map(|l| l.strip_prefix("Ciphersuite: "))?,
        Client::Peer => told.lines().next()?.strip_prefix("TLSv1")?.split(' ').nth(1)?,
    };
    let iana = NAMES.iter().find(|(_, cipher)| *cipher == named).map_or(named, |(name, _)| *name);
    Some(iana.to_owned())
}
