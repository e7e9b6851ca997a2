//! Client transactions: sending, repeating, matching responses, answering challenges.

use std::sync::Arc;
use std::time::Duration;

use keyline_wire::sip::{Challenge, HeaderName, Message, Method, Printer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::digest::{Asked, Session};
use super::text::{Outgoing, branch, random, via};
use super::{ClientKey, Inner, PhoneError, RESPONSES};

/// Longest life of an INVITE that got a provisional response: Timer C of proxies is 3 minutes.
const INVITE_LIFE: Duration = Duration::from_secs(200);
/// Requests sent for one operation: the first, the answer to a challenge, one more for `stale=true`.
const TRIES: u32 = 3;

/// Takes the transaction out of the table when its future ends or is dropped.
struct Registered<'p> {
    phone: &'p Inner,
    key: ClientKey,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.phone.lock().clients.remove(&self.key);
    }
}

/// How a request goes out and what is told about it on the way.
pub(super) trait Watcher: Send {
    /// About to be sent with that branch, perhaps for a second time after a challenge.
    fn sending(&mut self, _out: &Outgoing, _branch: &str) {}
    /// A provisional response.
    fn provisional(&mut self, _response: &Arc<Message<'static>>) {}
    /// The CSeq number of another try.
    fn next_cseq(&mut self, last: u32) -> u32 {
        last + 1
    }
}

/// Nobody watches.
pub(super) struct Unwatched;
impl Watcher for Unwatched {}

impl Inner {
    /// Sends a request and waits for its final response; a challenge is answered.
    ///
    /// A final other than 2xx to INVITE is acknowledged here, a 2xx by the caller.
    pub(super) async fn request(
        &self,
        mut out: Outgoing,
        watcher: &mut impl Watcher,
    ) -> Result<Arc<Message<'static>>, PhoneError> {
        let mut fresh = false;
        let mut bearer: Option<(&'static str, String)> = None;
        for attempt in 1.. {
            let shown = bearer.is_some();
            let credentials = bearer.take().or_else(|| {
                let mut state = self.lock();
                state.digest.as_mut().map(|digest| digest.authorize(&out.method, &out.uri))
            });
            let branch = branch();
            watcher.sending(&out, &branch);
            let response = self.transact(&out, &branch, credentials, watcher).await?;
            if !matches!(response.status(), Some(401 | 407)) || attempt == TRIES {
                return Ok(response);
            }
            if let Some(token) = self.bearer_for(&response).filter(|_| !shown) {
                bearer = Some(token);
                out.cseq = watcher.next_cseq(out.cseq);
                continue;
            }
            let Some(login) = &self.config.login else {
                return Ok(response);
            };
            match Session::from_response(&response, login, &self.config.algorithms, random(8)) {
                // A fresh nonce with right credentials is refused only when they are wrong.
                Asked::Answerable(_, false) if fresh => return Ok(response),
                Asked::Answerable(session, _) => {
                    self.lock().digest = Some(*session);
                    fresh = true;
                }
                Asked::Unknown => {
                    let reason = "no offered algorithm is known to the phone";
                    return Err(PhoneError::Challenge { method: out.method, reason });
                }
                Asked::Nothing => return Ok(response),
            }
            out.cseq = watcher.next_cseq(out.cseq);
        }
        Err(self.late("final response"))
    }

    /// The answer to a Bearer challenge: as RFC 8898 has it to a 401, as Cisco's clients write it to a 407.
    fn bearer_for(&self, response: &Message<'_>) -> Option<(&'static str, String)> {
        let proxy = response.status() == Some(407);
        let header = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        response.all(header).find(|c| matches!(Challenge::parse(c), Ok(Challenge::Bearer(_))))?;
        let token = self.lock().token.clone().or_else(|| self.config.token.clone())?;
        Some(match proxy {
            true => ("Proxy-Authorization", format!("Bearer token=\"{}\"", token.0)),
            false => ("Authorization", format!("Bearer {}", token.0)),
        })
    }

    /// One transaction (RFC 3261 §17.1).
    pub(super) async fn transact(
        &self,
        out: &Outgoing,
        branch: &str,
        credentials: Option<(&'static str, String)>,
        watcher: &mut impl Watcher,
    ) -> Result<Arc<Message<'static>>, PhoneError> {
        let credentials = credentials.as_ref().map(|(name, value)| (*name, value.as_str()));
        let bytes = out.print(&self.config, self.local()?, branch, credentials);
        let (sender, mut responses) = mpsc::channel(RESPONSES);
        let key = (branch.to_owned(), out.method.clone());
        self.lock().clients.insert(key.clone(), sender);
        let registered = Registered { phone: self, key };
        self.send(bytes.clone())?;

        let invite = out.method == "INVITE";
        let mut open = self.open.subscribe();
        let mut deadline = Instant::now() + self.config.patience;
        let mut interval = self.config.t1;
        let mut repeat = self.config.transport.is_datagram().then(|| Instant::now() + interval);
        let response = loop {
            let next = repeat.map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                response = responses.recv() => match response {
                    None => return Err(self.closed()),
                    Some(response) if response.status().is_some_and(|s| s >= 200) => break response,
                    Some(response) => {
                        watcher.provisional(&response);
                        if invite {
                            repeat = None;
                            deadline = Instant::now() + INVITE_LIFE.max(self.config.patience);
                        }
                    }
                },
                _ = open.wait_for(|open| !open) => return Err(self.closed()),
                () = tokio::time::sleep_until(next) => {
                    if Instant::now() >= deadline {
                        return Err(self.late(&format!("final response to {}", out.method)));
                    }
                    self.send(bytes.clone())?;
                    interval = if invite { 2 * interval } else { self.next_interval(interval) };
                    repeat = Some(Instant::now() + interval);
                }
            }
        };
        if invite && response.status().is_some_and(|s| s >= 300) {
            let ack = self.ack_failure(out, branch, &response)?;
            // Before the transaction is forgotten, so that no repetition falls in between.
            self.lock().acks.insert(branch.to_owned(), ack.clone());
            self.send(ack)?;
        }
        drop(registered);
        Ok(response)
    }

    /// ACK to a final other than 2xx: same branch, same URI and routes (RFC 3261 §17.1.1.3).
    fn ack_failure(
        &self,
        out: &Outgoing,
        branch: &str,
        response: &Message<'_>,
    ) -> Result<Vec<u8>, PhoneError> {
        let mut ack = Printer::request("ACK", &out.uri);
        ack.header("Via", &via(&self.config, self.local()?, branch)).header_number("Max-Forwards", 70);
        for route in &out.routes {
            ack.header("Route", route);
        }
        ack.header("From", &out.from).header("To", response.first(HeaderName::To).unwrap_or_default());
        ack.header("Call-ID", &out.call_id).cseq(out.cseq, "ACK");
        Ok(ack.finish())
    }

    /// A response: to its transaction, or, when that is over, the ACK once more.
    pub(super) fn take_response(&self, response: Arc<Message<'static>>) {
        let via = response.top_via();
        let (Some(branch), Some(cseq)) = (via.and_then(|via| via.branch()), response.cseq()) else { return };
        let state = self.lock();
        let key = (branch.to_owned(), cseq.method.as_str().to_owned());
        if let Some(transaction) = state.clients.get(&key) {
            // A full queue loses repetitions only.
            let _ = transaction.try_send(response.clone());
            return;
        }
        let again = (cseq.method == Method::Invite && response.status().is_some_and(|s| s >= 200))
            .then(|| state.acks.map.get(branch).cloned())
            .flatten();
        drop(state);
        if let Some(ack) = again {
            // Without a link there is nobody to tell.
            let _ = self.send(ack);
        }
    }
}
