//! SIPp 3.6 with the scenarios in `tests/fixtures/sipp`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Program;

/// One run of a scenario.
#[derive(Debug, Clone)]
pub struct Run {
    scenario: &'static str,
    transport: &'static str,
    server: SocketAddr,
    out_of_call: Option<&'static str>,
    keys: Vec<(String, String)>,
    login: Option<(String, String)>,
    more: Vec<String>,
}

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    /// The process.
    pub program: Program,
    folder: TempDir,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sipp").join(format!("{name}.xml"))
}

impl Run {
    /// A scenario against a listener; `transport` is `u1` or `t1`.
    pub fn new(scenario: &'static str, transport: &'static str, server: SocketAddr) -> Run {
        Run {
            scenario,
            transport,
            server,
            out_of_call: None,
            keys: Vec::new(),
            login: None,
            more: Vec::new(),
        }
    }

    /// Sets a keyword of the scenario, such as `dn`.
    #[must_use]
    pub fn key(mut self, name: &str, value: &str) -> Run {
        self.keys.push((name.into(), value.into()));
        self
    }

    /// Sets the login of `[authentication]`.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Run {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Sets the scenario for requests that come in outside any call of the first one.
    #[must_use]
    pub fn out_of_call(mut self, scenario: &'static str) -> Run {
        self.out_of_call = Some(scenario);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Run {
        self.more.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// Starts it; unless told otherwise it makes one call.
    pub fn start(&self) -> Sipp {
        let folder = tempfile::Builder::new().prefix("sipp-").tempdir().expect("a folder");
        let mut command = Command::new("sipp");
        command.arg(self.server.to_string()).arg("-sf").arg(fixture(self.scenario));
        let own = if self.server.is_ipv6() { "::1" } else { "127.0.0.1" };
        command.args(["-t", self.transport, "-i", own, "-nostdin", "-trace_err", "-trace_msg"]);
        command.args(["-timeout", "60", "-timeout_error", "-recv_timeout", "30000"]);
        if !self.more.iter().any(|a| a == "-m") {
            command.args(["-m", "1"]);
        }
        if let Some(scenario) = self.out_of_call {
            command.arg("-oocsf").arg(fixture(scenario));
        }
        for (name, value) in &self.keys {
            command.args(["-key", name, value]);
        }
        if let Some((user, password)) = &self.login {
            command.args(["-au", user, "-ap", password]);
            if self.server.is_ipv6() {
                // By itself it leaves the brackets out of the digest's URI, which then names another host.
                command.args(["-auth_uri", &self.server.to_string()]);
            }
        }
        command.args(&self.more).current_dir(folder.path()).env("TERM", "dumb");
        Sipp { program: Program::start(&format!("sipp {}", self.scenario), &mut command), folder }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When a call failed, with SIPp's own log.
    pub fn passes(&self) {
        self.start().passes();
    }
}

impl Sipp {
    /// Waits for its end.
    ///
    /// # Panics
    /// When a call failed, with SIPp's own log.
    pub fn passes(&mut self) {
        let code = self.program.ends();
        assert_eq!(code, Some(0), "sipp failed:\n{}", self.log());
    }

    /// What it logged: errors and messages.
    pub fn log(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder").filter_map(Result::ok);
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.fold(String::new(), |all, text| all + &text)
    }
}
