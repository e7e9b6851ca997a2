//! Clients that other people wrote, as child processes.

pub mod baresip;
pub mod browser;
pub mod linphone;
pub mod schemathesis;
pub mod sipp;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::wait;

/// Most bytes of a client's output that are kept.
const OUTPUT_MAX: usize = 4 << 20;

/// A running client: its output is collected, its input may be written. It is killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a command.
    ///
    /// # Panics
    /// When the program is not installed.
    pub fn start(name: &str, command: &mut Command) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let output = Arc::new(Mutex::new(String::new()));
        if let Some(pipe) = child.stdout.take() {
            collect(pipe, output.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            collect(pipe, output.clone());
        }
        let input = child.stdin.take();
        Program { name: name.to_owned(), child, input, output }
    }

    /// What it wrote up to now.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a line to its input.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("an open input");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("a line to its input");
    }

    /// Waits until its output holds that text.
    pub fn says(&self, text: &str) {
        wait::until(&format!("`{text}` from {}", self.name), || self.output().contains(text).then_some(()));
    }

    /// Waits for its end and gives the exit code.
    pub fn ends(&mut self) -> Option<i32> {
        self.ends_within(wait::PATIENCE * 2)
    }

    /// The same, for one that has much to do.
    pub fn ends_within(&mut self, patience: std::time::Duration) -> Option<i32> {
        let name = self.name.clone();
        let status =
            wait::until_within(patience, &format!("end of {name}"), || self.child.try_wait().ok().flatten());
        status.code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = self.output();
            let skip = text.chars().count().saturating_sub(4000);
            let tail: String = text.chars().skip(skip).collect();
            eprintln!("---- {} wrote:\n{tail}\n----", self.name);
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            if text.len() < OUTPUT_MAX {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            bytes.clear();
        }
    });
}

/// Ports below those that the system gives to connections: one of these is not taken between here and its user.
const PORTS: (u16, u16) = (20_000, 12_000);

/// A TCP port of the loopback address that is free now, another one each time.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, count) = PORTS;
    // Another program's tests may look for theirs at the same time.
    let start = std::process::id().wrapping_mul(97);
    let port = |n: u32| first + (start.wrapping_add(n) % u32::from(count)) as u16;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..count).map(|_| port(NEXT.fetch_add(1, Ordering::Relaxed))).find(is_free).expect("a free port")
}
