//! Everything a phone sent and received, to be asserted on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyline_wire::sdp::{self, OwnedSdp as Sdp};
use keyline_wire::sip::{HeaderName, Message, Method};
use tokio::sync::watch;

use super::PhoneError;

/// Events kept; the oldest go first.
pub const RECORD_MAX: usize = 4096;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the phone.
    Sent,
    /// To the phone.
    Received,
}

/// One message, or bytes that are none.
#[derive(Clone)]
pub struct Event {
    /// Number of the event, from 0, without gaps.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// The message; `None` when the bytes are no message: a keepalive, or something malformed.
    pub message: Option<Arc<Message<'static>>>,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// Cisco's Call-Info, as far as security goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallInfo {
    /// `from` or `to`.
    pub orientation: Option<String>,
    /// `Unknown`, `NotAuthenticated`, `Authenticated` or `Encrypted`.
    pub security: Option<String>,
}

impl Event {
    /// A request of that method.
    pub fn is_request(&self, method: &str) -> bool {
        self.message.as_ref().is_some_and(|m| m.method().is_some_and(|have| have.as_str() == method))
    }

    /// A response of that status to that method.
    pub fn is_response(&self, status: u16, method: &str) -> bool {
        self.message.as_ref().is_some_and(|m| m.status() == Some(status) && is_of(m, method))
    }

    /// Received, not sent.
    pub fn is_received(&self) -> bool {
        self.direction == Direction::Received
    }

    /// Value of the first header of that name, known or not.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.message.as_ref()?, name)
    }

    /// The body as SDP.
    pub fn sdp(&self) -> Option<Sdp> {
        sdp_of(self.message.as_ref()?)
    }

    /// Cisco's Call-Info.
    pub fn call_info(&self) -> Option<CallInfo> {
        call_info(self.message.as_ref()?)
    }

    /// Bytes as text, for a test's failure message.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Direction and start line.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.is_received() { "<-" } else { "->" };
        let line = self.bytes.split(|b| *b == b'\r').next().unwrap_or_default();
        write!(f, "#{} {arrow} {}", self.number, String::from_utf8_lossy(line))
    }
}

/// Whether a response answers that method.
pub(super) fn is_of(message: &Message<'_>, method: &str) -> bool {
    message.cseq().is_some_and(|cseq| cseq.method == Method::of(method))
}

/// Value of the first header of that name, known or not.
pub fn header<'m>(message: &'m Message<'_>, name: &str) -> Option<&'m str> {
    match HeaderName::of(name) {
        HeaderName::Other => message.other(name),
        known => message.first(known),
    }
}

/// A message's body as SDP; `None` when it has none or it can not be read.
pub fn sdp_of(message: &Message<'_>) -> Option<Sdp> {
    let is_sdp = message.content_type().is_some_and(|t| t.is("application/sdp"));
    if is_sdp { Some(sdp::parse(message.body()).ok()?.into_owned()) } else { None }
}

/// Cisco's Call-Info of a message.
pub fn call_info(message: &Message<'_>) -> Option<CallInfo> {
    let value = message.values(HeaderName::CallInfo).find(|v| v.contains("x-cisco-remotecc:callinfo"))?;
    let field = |name: &str| {
        let mut params = value.split(';').skip(1).filter_map(|p| p.split_once('='));
        params.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
    };
    Some(CallInfo { orientation: field("orientation"), security: field("security") })
}

/// The record of one phone. Reading never blocks the phone for longer than a copy takes.
#[derive(Debug)]
pub struct Record {
    events: Mutex<VecDeque<Event>>,
    count: watch::Sender<u64>,
    patience: Duration,
}

impl Record {
    pub(super) fn new(patience: Duration) -> Record {
        Record { events: Mutex::default(), count: watch::Sender::new(0), patience }
    }

    pub(super) fn push(
        &self,
        direction: Direction,
        message: Option<Arc<Message<'static>>>,
        bytes: Arc<[u8]>,
    ) {
        let mut events = self.lock();
        let number = events.back().map_or(0, |last| last.number + 1);
        if events.len() == RECORD_MAX {
            events.pop_front();
        }
        events.push_back(Event { number, at: Instant::now(), direction, message, bytes });
        drop(events);
        self.count.send_replace(number + 1);
    }

    /// How many events there were: the number that the next one gets. Taken before an operation, it is
    /// where a later search begins.
    pub fn mark(&self) -> u64 {
        *self.count.borrow()
    }

    /// All events that are kept.
    pub fn events(&self) -> Vec<Event> {
        self.lock().iter().cloned().collect()
    }

    /// The events from that number on for which `accept` says yes.
    pub fn find(&self, from: u64, mut accept: impl FnMut(&Event) -> bool) -> Vec<Event> {
        self.lock().iter().filter(|e| e.number >= from && accept(e)).cloned().collect()
    }

    /// How many requests of that method came in.
    pub fn received_requests(&self, method: &str) -> usize {
        self.find(0, |e| e.is_received() && e.is_request(method)).len()
    }

    /// The first event from that number on for which `accept` says yes; waits for it.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`] after the phone's patience.
    pub async fn wait(
        &self,
        from: u64,
        what: &str,
        mut accept: impl FnMut(&Event) -> bool,
    ) -> Result<Event, PhoneError> {
        let mut count = self.count.subscribe();
        let search = async {
            let mut from = from;
            loop {
                let seen = *count.borrow_and_update();
                if let Some(found) = self.find(from, &mut accept).into_iter().next() {
                    return found;
                }
                from = from.max(seen);
                // The sender lives in `self`, so waiting ends only by a change.
                if count.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(self.patience, search)
            .await
            .map_err(|_| PhoneError::Timeout { what: what.to_owned(), waited: self.patience })
    }

    /// The next received request of that method from that number on; waits for it.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn request(&self, from: u64, method: &str) -> Result<Event, PhoneError> {
        self.wait(from, method, |e| e.is_received() && e.is_request(method)).await
    }

    /// The next received response of that status and method from that number on; waits for it.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn response(&self, from: u64, status: u16, method: &str) -> Result<Event, PhoneError> {
        let what = format!("{status} to {method}");
        self.wait(from, &what, |e| e.is_received() && e.is_response(status, method)).await
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
