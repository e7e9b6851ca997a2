//! Faults on purpose: the binary that has them, and the way to order one.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::node::Node;

/// The binary with faults on purpose: `KEYLINE_FAULTS_BIN`, else the one beside the test's own.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KEYLINE_FAULTS_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let beside = test.parent().and_then(Path::parent).expect("target/<profile>/deps").join("keyline-faults");
    assert!(
        beside.exists(),
        "{} is missing: cargo build --release --bin keyline-faults --features keyline-engine/faults",
        beside.display()
    );
    beside
}

impl Node {
    /// Arms faults on purpose over the control socket; an empty text disarms all.
    pub fn fault(&self, orders: &str) {
        let mut stream = UnixStream::connect(self.data().join("control.sock")).expect("the control socket");
        let length = orders.len();
        let head =
            format!("POST /faults HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}");
        write!(stream, "{head}\r\nContent-Type: text/plain\r\n\r\n{orders}").expect("an order");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 204"), "{orders}: {answer}");
    }

    /// For a command or start of its own: orders that are armed from the first moment on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(have, _)| have != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }
}
