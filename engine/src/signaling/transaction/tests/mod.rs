//! Each timer and state in virtual time, and whole exchanges over a lossy network.

mod bounds;
mod client_invite;
mod client_other;
mod lossy;
mod server_invite;
mod server_other;

use std::sync::Arc;

use keyline_wire::sip::{Message, Method};

use super::*;

/// A datagram or a stream route, with a number to tell routes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    Datagram(u8),
    Stream(u8),
}

impl Route for Road {
    fn is_reliable(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

/// Where all requests of these tests come from.
const SOURCE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const UDP: Road = Road::Datagram(1);
const TCP: Road = Road::Stream(1);

/// Some time after the epoch, on a tick.
const START: u64 = 1_700_000_000_000;

fn config(max_transactions: usize) -> TableConfig {
    TableConfig { worker: 3, max_transactions, timers: Timers::default() }
}

fn bytes(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

/// A request of a phone, by method and branch.
fn incoming(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:keyline.local SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch={branch}\r\n\
         From: <sip:a@keyline.local>;tag=f\r\nTo: <sip:b@keyline.local>\r\nCall-ID: c\r\n\
         CSeq: 1 {method}\r\nContact: <sip:a@10.0.0.5>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A response to a request of ours.
fn outcome(method: &str, branch: &str, code: u16) -> String {
    format!(
        "SIP/2.0 {code} Reason\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\n\
         From: <sip:a@keyline.local>;tag=f\r\nTo: <sip:b@keyline.local>;tag=t\r\nCall-ID: c\r\n\
         CSeq: 1 {method}\r\nContact: <sip:b@10.0.0.9>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn parsed(text: &str) -> Message<'_> {
    Message::parse(text.as_bytes()).unwrap()
}

/// What an action is, in a word.
fn words<I, T, E: std::fmt::Debug>(actions: &[Action<Road, I, T, E>]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::Send { bytes, .. } => format!("send {}", String::from_utf8_lossy(bytes)),
            Action::Event { event, .. } => format!("{event:?}"),
            Action::Terminated { .. } => "terminated".to_owned(),
        })
        .collect()
}

/// A server table under a virtual clock that logs each action with the milliseconds since START.
struct Server {
    table: ServerTable<Road, u32>,
    log: Vec<(u64, String)>,
}

impl Server {
    fn new() -> Self {
        Self { table: ServerTable::new(config(100)), log: Vec::new() }
    }

    fn note(&mut self, at: u64, actions: Vec<ServerAction<Road, u32>>) {
        self.log.extend(words(&actions).into_iter().map(|word| (at, word)));
    }

    fn receive(&mut self, at: u64, method: &str, branch: &str) -> Received {
        let mut actions = Vec::new();
        let received =
            self.table.receive(START + at, &parsed(&incoming(method, branch)), SOURCE, &mut actions);
        self.note(at, actions);
        received
    }

    /// Opens a transaction for a request that must be new.
    fn open(&mut self, at: u64, method: &str, route: Road, trying: Option<&str>) -> ServerTxId {
        let key = match self.receive(at, method, "z9hG4bK1") {
            Received::New(key) | Received::Cancel { key, .. } => key,
            other => panic!("{other:?}"),
        };
        let mut actions = Vec::new();
        let tx = self.table.open(START + at, key, route, trying.map(bytes), 7, &mut actions).unwrap();
        self.note(at, actions);
        tx
    }

    fn respond(&mut self, at: u64, tx: ServerTxId, code: u16) -> Result<(), RespondError> {
        let mut actions = Vec::new();
        let result = self.table.respond(START + at, tx, code, bytes(&code.to_string()), &mut actions);
        self.note(at, actions);
        result
    }

    /// Runs the timers, each when the table asks for it, up to and including a time.
    fn run(&mut self, to: u64) {
        while let Some(at) = self.table.next_wakeup().filter(|at| *at <= START + to) {
            let mut actions = Vec::new();
            self.table.on_tick(at, &mut actions);
            self.note(at - START, actions);
        }
    }

    fn take(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.log)
    }
}

/// A client table likewise.
struct Client {
    table: ClientTable<Road, u32>,
    branch: Branch,
    log: Vec<(u64, String)>,
}

impl Client {
    fn new() -> Self {
        Self { table: ClientTable::new(config(100)), branch: branch::make(3, [9; 12]), log: Vec::new() }
    }

    fn note(&mut self, at: u64, actions: Vec<ClientAction<Road, u32>>) {
        // The first word of a message is enough.
        let first = |word: String| word.split(' ').take(2).collect::<Vec<_>>().join(" ");
        self.log.extend(words(&actions).into_iter().map(|word| (at, first(word))));
    }

    fn send(&mut self, at: u64, method: &str, route: Road) -> ClientTxId {
        let mut actions = Vec::new();
        let request = request(method, self.branch.as_str());
        let tx = self
            .table
            .send(START + at, Method::of(method), self.branch.as_str(), request, route, 7, &mut actions)
            .unwrap();
        self.note(at, actions);
        tx
    }

    fn receive(&mut self, at: u64, method: &str, code: u16) -> Verdict<u32> {
        let mut actions = Vec::new();
        let response = outcome(method, self.branch.as_str(), code);
        let verdict = self.table.receive(START + at, &parsed(&response), &mut actions);
        self.note(at, actions);
        verdict
    }

    fn run(&mut self, to: u64) {
        while let Some(at) = self.table.next_wakeup().filter(|at| *at <= START + to) {
            let mut actions = Vec::new();
            self.table.on_tick(at, &mut actions);
            self.note(at - START, actions);
        }
    }

    fn take(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.log)
    }
}

/// A request of ours as it stands on the wire.
fn request(method: &str, branch: &str) -> Arc<[u8]> {
    bytes(&format!(
        "{method} sip:b@10.0.0.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\n\
         From: <sip:a@keyline.local>;tag=f\r\nTo: <sip:b@keyline.local>\r\nCall-ID: c\r\n\
         CSeq: 1 {method}\r\nContact: <sip:a@10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A log written as `time word` lines.
fn log(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    lines.iter().map(|(at, word)| (*at, (*word).to_owned())).collect()
}
