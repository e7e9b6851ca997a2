//! What the user does: call, answer, hold, hang up, send.

use std::sync::Arc;

use keyline_wire::sdp::{Direction, OwnedSdp as Sdp};
use keyline_wire::sip::Message;

use super::call::{Call, CallInner, CallState, End, Phase};
use super::client::{Unwatched, Watcher};
use super::record::sdp_of;
use super::register::refused;
use super::text::{Body, Outgoing, contact, random, user_agent};
use super::{Phone, PhoneError};

/// What an INVITE carries.
#[derive(Debug, Clone, Default)]
pub enum OfferChoice {
    /// An offer by the phone's SRTP policy.
    #[default]
    Own,
    /// None: the answerer offers, the ACK answers.
    Late,
    /// This body, with its media type.
    Body(Body),
}

/// Details of a new call.
#[derive(Debug, Clone, Default)]
pub struct Invite {
    /// The offer.
    pub offer: OfferChoice,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Calling line; the phone's first one when `None`.
    pub line: Option<String>,
    /// Request-URI and To in place of `sip:<dn>@<host>`.
    pub uri: Option<String>,
}

impl Phone {
    /// Calls a directory number with the phone's own offer. The INVITE is carried on by a task of the
    /// tokio runtime that this is called in.
    ///
    /// # Errors
    /// [`PhoneError::Closed`] when the INVITE can not be sent; its fate is told by the call.
    pub fn invite(&self, dn: &str) -> Result<Call, PhoneError> {
        self.invite_with(dn, Invite::default())
    }

    /// Calls a directory number.
    ///
    /// # Errors
    /// As [`Phone::invite`].
    pub fn invite_with(&self, dn: &str, invite: Invite) -> Result<Call, PhoneError> {
        let phone = &self.inner;
        let config = &phone.config;
        let local = phone.local()?;
        let line = invite.line.as_deref().unwrap_or(self.dn());
        let uri = invite.uri.unwrap_or_else(|| format!("sip:{dn}@{}", config.host));
        let media = phone.media(local.ip());
        let from = format!("<sip:{line}@{}>", config.host);
        let state = CallState::new(from, format!("<{uri}>"), uri, media);
        let call = CallInner::new(format!("{}@{}", random(12), local.ip()), false, state);
        let body = call.update(|state| state.body_of(invite.offer));
        let mut out = phone.in_dialog(&call, "INVITE", invite.headers, body)?;
        out.headers.splice(0..0, phone.invite_headers(line)?);
        phone.lock().calls.insert(call.key(), call.clone());
        tokio::spawn(phone.clone().carry_invite(call.clone(), out));
        Ok(Call { phone: phone.clone(), inner: call })
    }

    /// Waits for the next incoming call.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn incoming(&self) -> Result<Call, PhoneError> {
        let phone = &self.inner;
        let mut calls = phone.calls_out.lock().await;
        let next = tokio::time::timeout(phone.config.patience, calls.recv()).await.ok().flatten();
        let inner = next.ok_or_else(|| phone.late("incoming call"))?;
        Ok(Call { phone: phone.clone(), inner })
    }

    /// Sends a request outside any dialog to a URI and waits for its final response, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn request(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: Option<Body>,
    ) -> Result<Arc<Message<'static>>, PhoneError> {
        let phone = &self.inner;
        let local = phone.local()?;
        let mut all = vec![("Contact".to_owned(), contact(&phone.config, local, self.dn()))];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let out = Outgoing {
            method: method.into(),
            uri: uri.into(),
            from: format!("<sip:{}@{}>;tag={}", self.dn(), phone.config.host, random(8)),
            to: format!("<{uri}>"),
            call_id: format!("{}@{}", random(12), local.ip()),
            cseq: 1,
            routes: Vec::new(),
            headers: all,
            body,
        };
        phone.request(out, &mut Unwatched).await
    }

    /// OPTIONS to the server itself.
    ///
    /// # Errors
    /// As [`Phone::request`].
    pub async fn options(&self) -> Result<Arc<Message<'static>>, PhoneError> {
        let uri = format!("sip:{}", self.config().host);
        self.request("OPTIONS", &uri, &[("Accept", "application/sdp")], None).await
    }

    /// MESSAGE to a directory number.
    ///
    /// # Errors
    /// As [`Phone::request`].
    pub async fn message(&self, dn: &str, text: &str) -> Result<Arc<Message<'static>>, PhoneError> {
        let uri = format!("sip:{dn}@{}", self.config().host);
        self.request("MESSAGE", &uri, &[], Some(("text/plain".into(), text.into()))).await
    }
}

impl CallState {
    /// The body that an INVITE with that choice carries.
    fn body_of(&mut self, choice: OfferChoice) -> Option<Body> {
        let body = match choice {
            OfferChoice::Own => Some(("application/sdp".to_owned(), self.media.offer())),
            OfferChoice::Late => None,
            OfferChoice::Body(body) => Some(body),
        };
        if let Some((_, bytes)) = &body {
            self.local_sdp = Some(bytes.clone());
        }
        body
    }
}

impl Call {
    /// Rings: 180.
    ///
    /// # Errors
    /// [`PhoneError::State`] when no INVITE waits for an answer.
    pub fn ring(&self) -> Result<(), PhoneError> {
        self.phone.ring(&self.inner)
    }

    /// Answers: 200.
    ///
    /// # Errors
    /// As [`Call::ring`]. An offer that can not be taken is answered by 488 and is no error here.
    pub fn accept(&self) -> Result<(), PhoneError> {
        self.phone.accept(&self.inner)
    }

    /// Refuses with a final status.
    ///
    /// # Errors
    /// As [`Call::ring`].
    pub fn reject(&self, status: u16) -> Result<(), PhoneError> {
        self.phone.reject(&self.inner, status)
    }

    /// Cancels an own call that is not answered yet; the CANCEL waits for the first provisional response
    /// (RFC 3261 §9.1).
    ///
    /// # Errors
    /// [`PhoneError::State`] when no INVITE is pending.
    pub fn cancel(&self) -> Result<(), PhoneError> {
        let (due, pending) = self.inner.update(|state| {
            let pending = state.pending.as_mut().ok_or(PhoneError::State("no INVITE is pending"))?;
            let due = pending.provisional && !pending.cancelled;
            pending.cancelled = true;
            Ok::<_, PhoneError>((due, pending.clone()))
        })?;
        if due {
            self.phone.send_cancel(pending);
        }
        Ok(())
    }

    /// Hangs up: BYE, waits for its final response.
    ///
    /// # Errors
    /// [`PhoneError::State`] without a dialog; or when there is no response.
    pub async fn hang_up(&self) -> Result<Arc<Message<'static>>, PhoneError> {
        if self.phase() < Phase::Answered {
            return Err(PhoneError::State("it is not answered: cancel or reject it"));
        }
        let response = self.request("BYE", &[], None).await;
        self.phone.finish(&self.inner, End::OwnBye, None);
        response
    }

    /// Puts the peer on hold with `a=sendonly` or `a=inactive`.
    ///
    /// # Errors
    /// [`PhoneError::Refused`], or why there is no answer.
    pub async fn hold(&self, direction: Direction) -> Result<Option<Sdp>, PhoneError> {
        self.inner.lock().media.want(direction);
        self.reinvite(OfferChoice::Own).await
    }

    /// Takes the call back from hold.
    ///
    /// # Errors
    /// As [`Call::hold`].
    pub async fn resume(&self) -> Result<Option<Sdp>, PhoneError> {
        self.hold(Direction::SendRecv).await
    }

    /// Sends a re-INVITE and gives the peer's SDP.
    ///
    /// # Errors
    /// As [`Call::hold`].
    pub async fn reinvite(&self, offer: OfferChoice) -> Result<Option<Sdp>, PhoneError> {
        let body = self.inner.update(|state| {
            if state.phase != Phase::Answered {
                return Err(PhoneError::State("it is not answered"));
            }
            Ok(state.body_of(offer))
        })?;
        let line = self.line();
        let headers = self.phone.invite_headers(&line)?;
        let out = self.phone.in_dialog(&self.inner, "INVITE", headers, body)?;
        let response = self.phone.clone().carry_invite(self.inner.clone(), out).await?;
        if response.status().is_some_and(|s| s < 300) {
            Ok(sdp_of(&response))
        } else {
            Err(refused("INVITE", &response))
        }
    }

    /// Sends a re-INVITE with another media port, and new keys where SRTP is in use.
    ///
    /// # Errors
    /// As [`Call::hold`].
    pub async fn move_media(&self) -> Result<Option<Sdp>, PhoneError> {
        self.inner.update(|state| {
            state.media.move_port();
            state.media.rekey();
        });
        self.reinvite(OfferChoice::Own).await
    }

    /// Sends a request in the dialog and waits for its final response, whatever it is.
    ///
    /// # Errors
    /// When there is none, or no dialog.
    pub async fn request(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: Option<Body>,
    ) -> Result<Arc<Message<'static>>, PhoneError> {
        let mut all = vec![("User-Agent".to_owned(), user_agent(&self.phone.config))];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let out = self.phone.in_dialog(&self.inner, method, all, body)?;
        let mut watcher = InDialog(self.inner.clone());
        let response = self.phone.request(out, &mut watcher).await?;
        if matches!(response.status(), Some(408 | 481)) && method != "BYE" {
            self.phone.finish(&self.inner, End::Status(response.status().unwrap_or(0)), Some(&response));
        }
        Ok(response)
    }

    /// INFO with a DTMF digit.
    ///
    /// # Errors
    /// As [`Call::request`].
    pub async fn info(&self, digit: char) -> Result<Arc<Message<'static>>, PhoneError> {
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        self.request("INFO", &[], Some(("application/dtmf-relay".into(), body.into_bytes()))).await
    }

    fn line(&self) -> String {
        let state = self.inner.lock();
        let user = state.local_uri.split_once("sip:").and_then(|(_, rest)| rest.split_once('@'));
        user.map_or_else(String::new, |(user, _)| user.to_owned())
    }
}

/// Counts CSeq for requests other than INVITE.
struct InDialog(Arc<CallInner>);

impl Watcher for InDialog {
    fn next_cseq(&mut self, _last: u32) -> u32 {
        self.0.update(|state| {
            state.local_cseq += 1;
            state.local_cseq
        })
    }
}
