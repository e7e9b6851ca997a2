//! One simulated phone over real sockets.
//!
//! [`Phone::start`] opens the socket; [`Phone::register`], [`Phone::invite`], [`Phone::incoming`] and the
//! methods of [`Call`] do what a user does. What comes in meanwhile is answered by itself, as
//! [`PhoneConfig::answer`] and [`Phone::react`] say. [`Phone::record`] keeps every message both ways.
//!
//! Nothing here waits for a fixed time where a condition can be waited for; every wait ends after
//! [`PhoneConfig::patience`].

mod call;
mod client;
mod config;
mod digest;
mod error;
mod invite;
mod link;
mod media;
mod operate;
mod record;
mod register;
mod server;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use keyline_wire::sip::{Message, TransactionKey};
use tokio::sync::{mpsc, watch};

use crate::tls::TlsSession;

pub use self::call::{Call, End, Ended, Phase};
pub use self::config::{Answer, Login, PhoneConfig, Reaction, Srtp, Token, Transport};
pub use self::error::PhoneError;
pub use self::operate::{Invite, OfferChoice};
pub use self::record::{CallInfo, Direction, Event, RECORD_MAX, Record, call_info, header, sdp_of};
pub use self::register::Registered;
pub use self::text::Body;
pub(crate) use self::text::random;

use self::call::CallInner;
use self::digest::Session;
use self::link::{Incoming, Link};
use self::register::Registration;
use self::server::Served;

/// Responses of one client transaction waiting to be looked at.
const RESPONSES: usize = 64;
/// New calls waiting for [`Phone::incoming`].
const CALLS_WAITING: usize = 64;
/// ACKs kept to be repeated, and server transactions kept to absorb repeated requests.
const KEPT_MAX: usize = 512;

/// A simulated phone. Clones are the same phone; its sockets close with the last one.
#[derive(Clone)]
pub struct Phone {
    inner: Arc<Inner>,
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.inner.config;
        write!(f, "Phone({} {} {:?})", config.transport.token(), self.dn(), config.device)
    }
}

/// A method and a branch: what a response is matched by.
type ClientKey = (String, String);

struct Inner {
    config: PhoneConfig,
    record: Record,
    open: watch::Sender<bool>,
    state: Mutex<State>,
    calls_in: mpsc::Sender<Arc<CallInner>>,
    calls_out: tokio::sync::Mutex<mpsc::Receiver<Arc<CallInner>>>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    answer: Option<Answer>,
    reactions: HashMap<String, Reaction>,
    digest: Option<Session>,
    /// In place of the configured one.
    token: Option<Token>,
    clients: HashMap<ClientKey, mpsc::Sender<Arc<Message<'static>>>>,
    acks: Kept<String, Vec<u8>>,
    served: Kept<TransactionKey, Served>,
    calls: HashMap<(String, String), Arc<CallInner>>,
    registrations: HashMap<String, Registration>,
}

/// A map that forgets its oldest entry when it is full.
struct Kept<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> Kept<K, V> {
    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        let surplus = (self.order.len() > KEPT_MAX).then(|| self.order.pop_front()).flatten();
        if let Some(oldest) = surplus {
            self.map.remove(&oldest);
        }
    }
}

impl Phone {
    /// Opens the phone's socket: binds, connects, shakes hands. It does not register.
    ///
    /// # Errors
    /// [`PhoneError`] when there is no line, no socket, no connection, or no believed certificate.
    pub async fn start(config: PhoneConfig) -> Result<Phone, PhoneError> {
        if config.lines.is_empty() {
            return Err(PhoneError::NoLine);
        }
        let (calls_in, calls_out) = mpsc::channel(CALLS_WAITING);
        let record = Record::new(config.patience);
        let inner = Arc::new(Inner {
            config,
            record,
            open: watch::Sender::new(false),
            state: Mutex::default(),
            calls_in,
            calls_out: tokio::sync::Mutex::new(calls_out),
        });
        let phone = Phone { inner };
        phone.reconnect().await?;
        Ok(phone)
    }

    /// Opens a new socket or connection in place of the old one. Calls and registrations are not
    /// touched: register again to tell the server.
    ///
    /// # Errors
    /// As [`Phone::start`].
    pub async fn reconnect(&self) -> Result<(), PhoneError> {
        self.disconnect();
        let (link, incoming) = Link::open(&self.inner.config).await?;
        let link = Arc::new(link);
        self.inner.lock().link = Some(link.clone());
        self.inner.open.send_replace(true);
        tokio::spawn(receive(Arc::downgrade(&self.inner), Arc::downgrade(&link), incoming));
        Ok(())
    }

    /// Closes the socket or connection without a word.
    pub fn disconnect(&self) {
        let link = self.inner.lock().link.take();
        self.inner.open.send_replace(false);
        drop(link);
    }

    /// Waits until the server closes the connection.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn closed(&self) -> Result<(), PhoneError> {
        let mut open = self.inner.open.subscribe();
        let waited = tokio::time::timeout(self.inner.config.patience, open.wait_for(|open| !open)).await;
        waited.map(drop).map_err(|_| self.inner.late("end of the connection"))
    }

    /// Whether the connection is there; a UDP phone's always is.
    pub fn is_open(&self) -> bool {
        *self.inner.open.borrow()
    }

    /// Its configuration.
    pub fn config(&self) -> &PhoneConfig {
        &self.inner.config
    }

    /// Its first directory number.
    pub fn dn(&self) -> &str {
        self.inner.config.lines.first().map_or("", String::as_str)
    }

    /// Own address; `None` while the link is closed.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.lock().link.as_ref().map(|link| link.local)
    }

    /// What the TLS handshake agreed on; `None` without TLS.
    pub fn tls(&self) -> Option<TlsSession> {
        self.inner.lock().link.as_ref().and_then(|link| link.tls.clone())
    }

    /// Everything sent and received.
    pub fn record(&self) -> &Record {
        &self.inner.record
    }

    /// Changes what is done with incoming calls.
    pub fn set_answer(&self, answer: Answer) {
        self.inner.lock().answer = Some(answer);
    }

    /// Changes what is done with requests of that method other than a new call: re-INVITE, BYE, INFO, …
    pub fn react(&self, method: &str, reaction: Reaction) {
        self.inner.lock().reactions.insert(method.to_owned(), reaction);
    }

    /// Sends bytes as they are. Over UDP they are one datagram.
    ///
    /// # Errors
    /// [`PhoneError::Closed`].
    pub fn send_raw(&self, bytes: &[u8]) -> Result<(), PhoneError> {
        self.inner.send(bytes.to_vec())
    }

    /// Sends bytes as they are and waits for whatever comes in next.
    ///
    /// # Errors
    /// [`PhoneError::Closed`], [`PhoneError::Timeout`].
    pub async fn exchange_raw(&self, bytes: &[u8]) -> Result<Event, PhoneError> {
        let mark = self.inner.record.mark();
        self.send_raw(bytes)?;
        self.inner.record.wait(mark, "answer", Event::is_received).await
    }

    /// Sends CRLF CRLF on a stream and waits for the CRLF back (RFC 5626 §3.5.1).
    ///
    /// # Errors
    /// [`PhoneError::Closed`], [`PhoneError::Timeout`].
    pub async fn ping(&self) -> Result<(), PhoneError> {
        let mark = self.inner.record.mark();
        self.send_raw(b"\r\n\r\n")?;
        self.inner.record.wait(mark, "pong", |e| e.is_received() && &*e.bytes == b"\r\n").await.map(drop)
    }

    /// Answers Bearer challenges with this token from now on.
    pub fn show_token(&self, token: &str) {
        self.inner.lock().token = Some(Token(token.to_owned()));
    }

    /// Forgets the nonce: the next request goes without credentials.
    pub fn forget_nonce(&self) {
        self.inner.lock().digest = None;
    }

    /// The nonce in use, its algorithm's token, and how often it was used.
    pub fn nonce(&self) -> Option<(String, &'static str, u32)> {
        let state = self.inner.lock();
        state.digest.as_ref().map(|d| (d.nonce().to_owned(), d.algorithm().token(), d.count()))
    }

    /// Header name and value that answer the kept challenge with that nonce count; for hand-made
    /// requests. The count of the phone's own requests is not touched.
    pub fn authorization(&self, method: &str, uri: &str, nc: u32) -> Option<(&'static str, String)> {
        self.inner.lock().digest.as_ref().map(|digest| digest.authorize_as(method, uri, nc))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self, what: &str) -> PhoneError {
        PhoneError::Timeout { what: what.to_owned(), waited: self.config.patience }
    }

    fn closed(&self) -> PhoneError {
        PhoneError::Closed { server: self.config.server }
    }

    fn local(&self) -> Result<SocketAddr, PhoneError> {
        self.lock().link.as_ref().map(|link| link.local).ok_or_else(|| self.closed())
    }

    /// Records and sends.
    fn send(&self, bytes: Vec<u8>) -> Result<(), PhoneError> {
        let link = self.lock().link.clone().ok_or_else(|| self.closed())?;
        let message = Message::parse(&bytes).ok().map(|m| Arc::new(m.into_owned()));
        self.record.push(Direction::Sent, message, bytes.as_slice().into());
        if link.send(bytes) { Ok(()) } else { Err(self.closed()) }
    }

    fn take(self: &Arc<Self>, incoming: Incoming) {
        match incoming {
            Incoming::Pong => self.record.push(Direction::Received, None, b"\r\n".as_slice().into()),
            Incoming::Closed => {
                self.lock().link = None;
                self.open.send_replace(false);
            }
            Incoming::Message(bytes) => {
                let message = Message::parse(&bytes).ok().map(|m| Arc::new(m.into_owned()));
                self.record.push(Direction::Received, message.clone(), bytes.as_slice().into());
                match message {
                    Some(message) if message.is_request() => self.serve(message),
                    Some(message) => self.take_response(message),
                    None => {}
                }
            }
        }
    }

    /// Timer of a repetition: doubles up to T2, eight times T1 (RFC 3261 §17.1.1.1).
    fn next_interval(&self, interval: Duration) -> Duration {
        (2 * interval).min(8 * self.config.t1)
    }
}

/// Feeds a phone from its link until either is gone.
async fn receive(phone: Weak<Inner>, link: Weak<Link>, mut incoming: mpsc::Receiver<Incoming>) {
    while let Some(event) = incoming.recv().await {
        let (Some(phone), Some(link)) = (phone.upgrade(), link.upgrade()) else { return };
        let current = phone.lock().link.as_ref().is_some_and(|now| Arc::ptr_eq(now, &link));
        if current {
            phone.take(event);
        }
    }
}
