//! A call as the phone holds it: dialog, media, what became of it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyline_wire::sdp::OwnedSdp as Sdp;
use keyline_wire::sip::{HeaderName, Message, ReplyHead, TransactionKey};
use tokio::sync::watch;

use super::media::MediaSession;
use super::record::{call_info, sdp_of};
use super::text::{Outgoing, random};
use super::{Inner, PhoneError};

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The INVITE is out, or came in and was not answered yet.
    Trying,
    /// It rings: 101 to 199 was sent or received.
    Ringing,
    /// 2xx.
    Answered,
    /// Over.
    Ended,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer sent BYE.
    PeerBye,
    /// The phone sent BYE.
    OwnBye,
    /// The peer cancelled before the answer.
    PeerCancel,
    /// The INVITE was refused by this final status, by whomever; 487 after an own CANCEL.
    Status(u16),
    /// No answer, no ACK, or the connection was lost.
    Lost,
}

/// How a call ended, with the peer's reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: End,
    /// Value of the Reason header of the BYE, CANCEL or final response.
    pub reason: Option<String>,
}

/// A call. Clones are the same call. Dropping it does not end the call: [`Call::hang_up`] does.
#[derive(Clone)]
pub struct Call {
    pub(super) phone: Arc<Inner>,
    pub(super) inner: Arc<CallInner>,
}

pub(super) struct CallInner {
    pub call_id: String,
    pub local_tag: String,
    pub incoming: bool,
    state: Mutex<CallState>,
    changed: watch::Sender<u64>,
}

/// The INVITE of ours that has no final response yet.
#[derive(Clone)]
pub(super) struct Pending {
    pub out: Outgoing,
    pub branch: String,
    /// The server answered with anything: a CANCEL may follow (RFC 3261 §9.1).
    pub provisional: bool,
    /// A CANCEL is due or sent.
    pub cancelled: bool,
}

/// The INVITE of the peer that we have not answered finally yet.
#[derive(Clone)]
pub(super) struct Asked {
    pub key: TransactionKey,
    pub head: ReplyHead,
    pub offer: Option<Sdp>,
}

pub(super) struct CallState {
    pub phase: Phase,
    pub remote_tag: Option<String>,
    /// From and To without tags.
    pub local_uri: String,
    pub remote_uri: String,
    pub local_cseq: u32,
    pub remote_cseq: u32,
    pub target: String,
    pub routes: Vec<String>,
    pub media: MediaSession,
    pub remote_sdp: Option<Sdp>,
    /// The peer's one before it, to tell a new key.
    pub previous_sdp: Option<Sdp>,
    pub local_sdp: Option<Vec<u8>>,
    /// `security=` of the last Call-Info.
    pub security: Option<String>,
    pub statuses: Vec<u16>,
    pub pending: Option<Pending>,
    pub asked: Option<Asked>,
    /// CSeq and transaction of a 2xx of ours that waits for its ACK.
    pub unacked: Option<(u32, TransactionKey)>,
    /// An offer of ours (in a 2xx) that the ACK answers.
    pub offered_in_2xx: bool,
    pub acked: u64,
    pub ended: Option<Ended>,
}

impl CallInner {
    pub(super) fn new(call_id: String, incoming: bool, state: CallState) -> Arc<CallInner> {
        Self::with_tag(call_id, random(8), incoming, state)
    }

    fn with_tag(call_id: String, local_tag: String, incoming: bool, state: CallState) -> Arc<CallInner> {
        Arc::new(CallInner {
            call_id,
            local_tag,
            incoming,
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for it.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut CallState) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    pub(super) fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.local_tag.clone())
    }
}

impl CallState {
    pub(super) fn new(
        local_uri: String,
        remote_uri: String,
        target: String,
        media: MediaSession,
    ) -> CallState {
        CallState {
            phase: Phase::Trying,
            remote_tag: None,
            local_uri,
            remote_uri,
            local_cseq: 100,
            remote_cseq: 0,
            target,
            routes: Vec::new(),
            media,
            remote_sdp: None,
            previous_sdp: None,
            local_sdp: None,
            security: None,
            statuses: Vec::new(),
            pending: None,
            asked: None,
            unacked: None,
            offered_in_2xx: false,
            acked: 0,
            ended: None,
        }
    }

    /// A re-INVITE with this offer asks for new keys: it has no offer, or other keys than before.
    pub(super) fn rekeys(&self, offer: Option<&Sdp>) -> bool {
        let keys = |sdp: &Sdp| -> Vec<Vec<u8>> {
            sdp.media.iter().flat_map(|m| &m.crypto).map(|line| line.key.expose().to_vec()).collect()
        };
        match (offer, &self.previous_sdp) {
            (None, _) => true,
            (Some(offer), Some(before)) => keys(offer) != keys(before),
            (Some(_), None) => false,
        }
    }

    /// Takes what any message of the dialog may bring: Call-Info, and for those that refresh it the
    /// target (RFC 3261 §12.2).
    pub(super) fn learn(&mut self, message: &Message<'_>, refresh: bool) {
        if let Some(security) = call_info(message).and_then(|info| info.security) {
            self.security = Some(security);
        }
        if let (true, Some(contact)) = (refresh, message.contact()) {
            self.target = contact.uri.raw.to_owned();
        }
    }

    /// Takes a response to our INVITE into the dialog. After a late offer its SDP is no answer.
    pub(super) fn learn_response(&mut self, response: &Message<'_>, status: u16, late: bool) {
        self.statuses.push(status);
        if let (101..=299, Some(tag)) = (status, response.to_tag()) {
            self.remote_tag = Some(tag.to_owned());
            // Route set of the caller: Record-Route reversed, fixed by the response that makes the dialog.
            if self.phase != Phase::Answered {
                let mut routes: Vec<String> =
                    response.values(HeaderName::RecordRoute).map(str::to_owned).collect();
                routes.reverse();
                self.routes = routes;
            }
        }
        self.learn(response, (101..300).contains(&status));
        if let Some(sdp) = sdp_of(response).filter(|_| !late) {
            self.media.answered(&sdp);
            self.remote_sdp = Some(sdp);
        }
    }

    pub(super) fn finish(&mut self, how: End, message: Option<&Message<'_>>) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        let reason = message.and_then(|m| m.first(HeaderName::Reason)).map(str::to_owned);
        self.ended = Some(Ended { how, reason });
    }
}

impl Call {
    /// Its Call-ID.
    pub fn call_id(&self) -> &str {
        &self.inner.call_id
    }

    /// The phone's own tag.
    pub fn local_tag(&self) -> &str {
        &self.inner.local_tag
    }

    /// The peer's tag; `None` before the dialog is made.
    pub fn remote_tag(&self) -> Option<String> {
        self.inner.lock().remote_tag.clone()
    }

    /// It came in.
    pub fn is_incoming(&self) -> bool {
        self.inner.incoming
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.inner.lock().phase
    }

    /// The peer's From or To without tag.
    pub fn peer(&self) -> String {
        self.inner.lock().remote_uri.clone()
    }

    /// The URI that in-dialog requests go to: the peer's Contact.
    pub fn target(&self) -> String {
        self.inner.lock().target.clone()
    }

    /// All statuses received for own INVITEs, in order.
    pub fn statuses(&self) -> Vec<u16> {
        self.inner.lock().statuses.clone()
    }

    /// What the phone's display shows: `security=` of the last Call-Info; `None` before the first.
    pub fn security(&self) -> Option<String> {
        self.inner.lock().security.clone()
    }

    /// The last SDP received.
    pub fn remote_sdp(&self) -> Option<Sdp> {
        self.inner.lock().remote_sdp.clone()
    }

    /// The last SDP sent.
    pub fn local_sdp(&self) -> Option<Sdp> {
        let bytes = self.inner.lock().local_sdp.clone()?;
        Some(keyline_wire::sdp::parse(&bytes).ok()?.into_owned())
    }

    /// How it ended; `None` while it goes on.
    pub fn end(&self) -> Option<Ended> {
        self.inner.lock().ended.clone()
    }

    /// Waits until it rings (or is answered).
    ///
    /// # Errors
    /// [`PhoneError::Timeout`]; [`PhoneError::Refused`] when it ended.
    pub async fn ringing(&self) -> Result<(), PhoneError> {
        self.reach(Phase::Ringing, "ringing").await
    }

    /// Waits until it is answered.
    ///
    /// # Errors
    /// As [`Call::ringing`].
    pub async fn answered(&self) -> Result<(), PhoneError> {
        self.reach(Phase::Answered, "answer").await
    }

    /// Waits until it ended.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn ended(&self) -> Result<Ended, PhoneError> {
        self.wait("end of the call", |state| state.ended.clone()).await
    }

    /// Waits until the display shows that security value.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`], with the value that is shown instead.
    pub async fn shows(&self, security: &str) -> Result<(), PhoneError> {
        let seen = self.wait("", |state| {
            state.security.as_deref().is_some_and(|s| s.eq_ignore_ascii_case(security)).then_some(())
        });
        seen.await.map_err(|_| {
            self.phone.late(&format!("security={security}; the display shows {:?}", self.security()))
        })
    }

    /// Waits until `found` gives something for the peer's last SDP.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn remote_sdp_until(&self, mut found: impl FnMut(&Sdp) -> bool) -> Result<Sdp, PhoneError> {
        self.wait("SDP", |state| state.remote_sdp.clone().filter(&mut found)).await
    }

    /// Waits until that many ACKs for 2xx of ours came in.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn acked(&self, count: u64) -> Result<(), PhoneError> {
        self.wait("ACK", |state| (state.acked >= count).then_some(())).await
    }

    async fn reach(&self, phase: Phase, what: &str) -> Result<(), PhoneError> {
        let reached = self.wait(what, |state| match (state.phase, &state.ended) {
            (Phase::Ended, Some(ended)) => Some(Err(ended.clone())),
            (now, _) if now >= phase => Some(Ok(())),
            _ => None,
        });
        reached.await?.map_err(|ended| PhoneError::Refused {
            method: "INVITE".into(),
            status: if let End::Status(status) = ended.how { status } else { 0 },
            reason: format!("{:?} {}", ended.how, ended.reason.unwrap_or_default()),
        })
    }

    pub(super) async fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&mut CallState) -> Option<T>,
    ) -> Result<T, PhoneError> {
        let mut changed = self.inner.changed.subscribe();
        let search = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look(&mut self.inner.lock()) {
                    return found;
                }
                // The sender lives in `self`, so waiting ends only by a change.
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(self.phone.config.patience, search).await.map_err(|_| self.phone.late(what))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.lock();
        write!(f, "Call({} {:?} with {})", self.inner.call_id, state.phase, state.remote_uri)
    }
}
