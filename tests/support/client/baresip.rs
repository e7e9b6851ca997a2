//! baresip 1.0, told what to do over its control socket.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Program, free_port};
use crate::wait;

/// Where Debian puts the modules.
const MODULES: &str = "/usr/lib/baresip/modules";

/// An account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Directory number.
    pub dn: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// The node's listener.
    pub server: SocketAddr,
    /// Digest user and password.
    pub login: Option<(String, String)>,
    /// SRTP is demanded; else plain RTP.
    pub srtp: bool,
    /// Calls are answered by themselves.
    pub answer: bool,
    /// Client certificate and key in one PEM file.
    pub certificate: Option<PathBuf>,
    /// Certificates that the server's is checked against, PEM file.
    pub roots: Option<PathBuf>,
    /// Further application modules.
    pub modules: Vec<&'static str>,
}

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    /// The process.
    pub program: Program,
    control: TcpStream,
    buffer: Vec<u8>,
    events: Vec<Value>,
    _folder: TempDir,
}

impl Account {
    /// A line without login and certificate that answers calls.
    pub fn new(dn: &str, transport: &'static str, server: SocketAddr) -> Account {
        Account {
            dn: dn.into(),
            transport,
            server,
            login: None,
            srtp: false,
            answer: true,
            certificate: None,
            roots: None,
            modules: Vec::new(),
        }
    }

    /// Sets the login.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Account {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// The URI by which this account calls a directory number: it has no outbound proxy, so port and
    /// transport of the node are in it.
    pub fn uri(&self, dn: &str) -> String {
        format!("sip:{dn}@{};transport={}", self.server, self.transport)
    }

    fn line(&self) -> String {
        let Account { dn, transport, server, .. } = self;
        let mut line = format!("<sip:{dn}@{server};transport={transport}>;regint=600");
        if let Some((user, password)) = &self.login {
            line.push_str(&format!(";auth_user={user};auth_pass={password}"));
        }
        if self.answer {
            line.push_str(";answermode=auto");
        }
        line.push_str(if self.srtp { ";mediaenc=srtp-mand" } else { "" });
        line.push('\n');
        line
    }

    fn config(&self, control: u16) -> String {
        let mut text = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:0\ncall_local_timeout 120\ncall_max_calls 4\n\
             audio_player aubridge,nil\naudio_source aubridge,nil\naudio_alert aubridge,nil\n\
             audio_level no\nausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
             rtp_tos 184\nrtp_stats no\nmodule_path {MODULES}\nmodule g711.so\nmodule aubridge.so\n\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app auloop.so\nmodule_app menu.so\n\
             module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n"
        );
        if self.srtp {
            text.push_str("module srtp.so\n");
        }
        for module in &self.modules {
            text.push_str(&format!("module_app {module}.so\n"));
        }
        if let Some(path) = &self.certificate {
            text.push_str(&format!("sip_certificate {}\n", path.display()));
        }
        if let Some(path) = &self.roots {
            text.push_str(&format!("sip_cafile {}\n", path.display()));
        }
        text
    }

    /// Starts baresip with this account.
    pub fn start(&self) -> Baresip {
        let folder = tempfile::Builder::new().prefix("baresip-").tempdir().expect("a folder");
        let port = free_port();
        for (name, text) in
            [("config", self.config(port)), ("accounts", self.line()), ("contacts", String::new())]
        {
            std::fs::write(folder.path().join(name), text).expect("a configuration file");
        }
        let mut command = Command::new("baresip");
        command
            .arg("-f")
            .arg(folder.path())
            .args(["-p", "/usr/share/baresip", "-s"])
            .env("HOME", folder.path());
        let program = Program::start(&format!("baresip {}", self.dn), &mut command);
        let control =
            wait::until("baresip's control socket", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        control.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        Baresip { program, control, buffer: Vec::new(), events: Vec::new(), _folder: folder }
    }
}

impl Baresip {
    /// Gives a command with its parameters.
    pub fn command(&mut self, name: &str, params: &str) {
        let message = json!({"command": name, "params": params, "token": name}).to_string();
        write!(self.control, "{}:{message},", message.len()).expect("a command");
    }

    /// Calls a directory number.
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Hangs up.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Waits for an event of that type, such as `CALL_ESTABLISHED`, which is then
    /// forgotten with all before it.
    pub fn event(&mut self, kind: &str) -> Value {
        let what = format!("{kind} from {:?}", self.program.name);
        wait::until(&what, || {
            self.read();
            let at = self.events.iter().position(|event| event["type"] == kind)?;
            self.events.drain(..=at).next_back()
        })
    }

    /// Waits until it is registered. Its output tells, since events may precede the control connection.
    pub fn registered(&self) {
        self.program.says("[1 binding]");
    }

    /// Takes netstrings (`length:json,`) from the socket.
    fn read(&mut self) {
        let mut chunk = [0; 4096];
        if let Ok(length) = self.control.read(&mut chunk) {
            self.buffer.extend_from_slice(&chunk[..length]);
        }
        while let Some(colon) = self.buffer.iter().position(|byte| *byte == b':') {
            let digits = String::from_utf8_lossy(&self.buffer[..colon]).into_owned();
            let length: usize = digits.parse().expect("the length of a netstring");
            let end = colon + 1 + length;
            if self.buffer.len() <= end {
                return;
            }
            let event = serde_json::from_slice(&self.buffer[colon + 1..end]).unwrap_or(Value::Null);
            self.events.push(event);
            self.buffer.drain(..=end);
        }
    }
}
