//! A node under test: writes its configuration, imports, starts, waits for `ready`, stops.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take: a big store is read first.
const START_MAX: Duration = Duration::from_secs(600);
/// How long a clean stop may take before the node is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Lines of the node's own log that an error shows.
const TAIL: usize = 12;

/// Every listener of the contract.
const LISTENERS: [&str; 17] = [
    "sip_udp",
    "sip_tcp",
    "sip_tls",
    "sip_oauth",
    "sip_ws",
    "sip_wss",
    "sip_quic",
    "sccp",
    "sccp_tls",
    "tftp",
    "http_config",
    "https_config",
    "https_config_oauth",
    "capf",
    "tvs",
    "admin",
    "metrics",
];

/// Why a node can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file can not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program can not be run.
    #[error("{} can not be run: {source}", binary.display())]
    Run {
        /// The program.
        binary: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A command of the program failed.
    #[error("`keyline {command}` failed ({status}): {output}")]
    Command {
        /// Its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// The node ended before or while it was used.
    #[error("the node ended ({how}); the end of its log:\n{log}")]
    Ended {
        /// Exit status.
        how: String,
        /// Last lines of its log.
        log: String,
    },
    /// No `ready` line in time.
    #[error("the node was not ready within {START_MAX:?}; the end of its log:\n{log}")]
    NotReady {
        /// Last lines of its log.
        log: String,
    },
}

/// Where a node lives: its program, its folder, its configuration.
#[derive(Debug, Clone)]
pub struct Node {
    binary: PathBuf,
    folder: PathBuf,
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Address of every listener that is there.
    pub listen: BTreeMap<String, SocketAddr>,
    log: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    event: String,
    #[serde(default)]
    listen: BTreeMap<String, SocketAddr>,
}

impl Node {
    /// A node of that program in a folder, which is made if need be. `listeners` gives addresses; all
    /// others are switched off. `more` is added to the configuration.
    ///
    /// # Errors
    /// [`ServerError::File`].
    pub fn prepare(
        binary: &Path,
        folder: &Path,
        listeners: &[(&str, String)],
        more: &str,
    ) -> Result<Node, ServerError> {
        let node = Node { binary: binary.to_owned(), folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        let mut text = format!("[node]\ndata_dir = {:?}\n\n[listen]\n", node.data());
        for name in LISTENERS {
            let address = listeners.iter().find(|(listener, _)| *listener == name);
            // Writing to a String can not fail.
            let _ = writeln!(text, "{name} = {:?}", address.map_or("", |(_, address)| address));
        }
        text.push_str(more);
        let path = node.config();
        fs::write(&path, text).map_err(|source| file_error(&path, source))?;
        Ok(node)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("keyline.toml")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("node")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("keyline.log")
    }

    /// Runs a command of the program on this node and gives its standard output.
    ///
    /// # Errors
    /// [`ServerError::Run`], [`ServerError::Command`].
    pub async fn command(&self, arguments: &[&str]) -> Result<String, ServerError> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| ServerError::Run { binary: self.binary.clone(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(ServerError::Command {
            command: arguments.join(" "),
            status: output.status,
            output: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }

    /// Imports an inventory while the node does not run; gives how long it took.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub async fn import(&self, inventory: &Path) -> Result<Duration, ServerError> {
        let start = Instant::now();
        self.command(&["import", &inventory.to_string_lossy()]).await?;
        Ok(start.elapsed())
    }

    /// Own certificates of the node for call processing, RSA and EC, PEM: what a client must believe.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub async fn roots(&self) -> Result<String, ServerError> {
        let mut pem = String::new();
        for name in ["CallManager", "CallManager-EC"] {
            pem += &self.command(&["cert", "export", "--name", name, "--format", "pem"]).await?;
        }
        Ok(pem)
    }

    /// Starts the node and waits until it is ready.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn serve(&self) -> Result<Server, ServerError> {
        let log = self.log();
        let stderr = File::create(&log).map_err(|source| file_error(&log, source))?;
        let mut child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Ctrl-C is for the parent, which stops the node after its phones.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ServerError::Run { binary: self.binary.clone(), source })?;
        let stdout = child.stdout.take();
        let mut server = Server { child, listen: BTreeMap::new(), log };
        let Some(stdout) = stdout else { return Err(server.ended().await) };
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<Ready>(&line) {
                    Ok(ready) if ready.event == "ready" => return Some(ready.listen),
                    _ => {}
                }
            }
            None
        };
        match tokio::time::timeout(START_MAX, ready).await {
            Err(_) => return Err(ServerError::NotReady { log: server.tail() }),
            Ok(None) => return Err(server.ended().await),
            Ok(Some(listen)) => server.listen = listen,
        }
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(server)
    }
}

fn file_error(path: &Path, source: io::Error) -> ServerError {
    ServerError::File { path: path.to_owned(), source }
}

impl Server {
    /// Address of a listener; `None` when the node has none of that name.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.listen.get(listener).copied()
    }

    /// Process id; `None` when it ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the node ends by itself.
    pub async fn ended(&mut self) -> ServerError {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        ServerError::Ended { how, log: self.tail() }
    }

    /// Kills the node (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) {
        // It may have ended meanwhile.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Stops the node cleanly (SIGTERM), or kills it when that takes too long.
    ///
    /// # Errors
    /// [`ServerError::Ended`] when it did not end with success.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ServerError::Ended { how: status.to_string(), log: self.tail() }),
            Ok(Err(e)) => Err(ServerError::Ended { how: e.to_string(), log: self.tail() }),
            Err(_) => {
                // Killed on drop.
                Err(ServerError::Ended { how: format!("not within {STOP_MAX:?}"), log: self.tail() })
            }
        }
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Answers `serve` and `cert` as the contract says, and refuses everything else.
    const FAKE: &str = r#"#!/bin/sh
case $1 in
serve)
    trap 'kill $!; exit 0' TERM
    tail -f /dev/null &
    echo noise
    echo '{"event":"ready","listen":{"sip_udp":"127.0.0.1:7"}}'
    wait $! ;;
cert) echo "pem $4" ;;
*) echo "no $1" >&2; exit 1 ;;
esac
"#;

    fn script(path: PathBuf, text: &str) -> PathBuf {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    // One test: a process that is started while another script is still open for writing would keep that
    // script from being run.
    #[tokio::test]
    async fn nodes_are_started_used_and_stopped_and_say_why_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let fake = script(folder.join("fake"), FAKE);
        let broken =
            script(folder.join("broken"), "#!/bin/sh\necho 'listen.sip_udp is in use' >&2; exit 1\n");

        let listeners = [("sip_udp", "127.0.0.1:0".to_owned())];
        let node = Node::prepare(&fake, &folder.join("n"), &listeners, "").unwrap();
        let config = fs::read_to_string(node.config()).unwrap();
        assert!(
            config.contains("sip_udp = \"127.0.0.1:0\"\n") && config.contains("sccp = \"\"\n"),
            "{config}"
        );
        assert_eq!(node.roots().await.unwrap(), "pem CallManager\npem CallManager-EC\n");
        let refused = node.import(Path::new("x")).await;
        assert!(matches!(&refused, Err(ServerError::Command { output, .. }) if output == "no import"));

        let server = node.serve().await.unwrap();
        assert_eq!(server.address("sip_udp"), Some("127.0.0.1:7".parse().unwrap()));
        assert_eq!(server.address("sip_tls"), None);
        server.stop().await.unwrap();

        let node = Node::prepare(&broken, folder, &[], "").unwrap();
        let Err(ServerError::Ended { how, log }) = node.serve().await else { panic!("it must end") };
        assert!(how.contains('1') && log.contains("in use"), "{how} {log}");
    }
}
