//! INVITEs of the phone: the dialog they make, their ACK and CANCEL.

use std::net::IpAddr;
use std::sync::Arc;

use keyline_wire::sip::{HeaderName, Message, Printer};

use super::call::{Call, CallInner, End, Pending, Phase};
use super::client::{Unwatched, Watcher};
use super::media::MediaSession;
use super::record::sdp_of;
use super::text::{ALLOW, Body, Outgoing, branch, contact, supported, user_agent, via};
use super::{Inner, PhoneError};

/// Keeps the call's dialog in step with its INVITE.
struct CallWatcher {
    phone: Arc<Inner>,
    call: Arc<CallInner>,
    late: bool,
}

impl Watcher for CallWatcher {
    fn sending(&mut self, out: &Outgoing, branch: &str) {
        self.call.update(|state| {
            let cancelled = state.pending.as_ref().is_some_and(|p| p.cancelled);
            let pending =
                Pending { out: out.clone(), branch: branch.to_owned(), provisional: false, cancelled };
            state.pending = Some(pending);
            state.local_cseq = state.local_cseq.max(out.cseq);
        });
    }

    fn provisional(&mut self, response: &Arc<Message<'static>>) {
        let status = response.status().unwrap_or(100);
        let cancel = self.call.update(|state| {
            state.learn_response(response, status, self.late);
            if status > 100 && state.phase == Phase::Trying {
                state.phase = Phase::Ringing;
            }
            let pending = state.pending.as_mut()?;
            let due = pending.cancelled && !pending.provisional;
            pending.provisional = true;
            due.then(|| pending.clone())
        });
        if let Some(pending) = cancel {
            self.phone.send_cancel(pending);
        }
    }

    fn next_cseq(&mut self, _last: u32) -> u32 {
        self.call.update(|state| {
            state.local_cseq += 1;
            state.local_cseq
        })
    }
}

impl Inner {
    pub(super) fn media(&self, ip: IpAddr) -> MediaSession {
        let mut seed = [0; 8];
        // A seed of zeros serves as well: only ports and session ids come from it.
        let _ = getrandom::fill(&mut seed);
        MediaSession::new(self.config.srtp.clone(), ip, u64::from_le_bytes(seed))
    }

    /// Headers of an INVITE.
    pub(super) fn invite_headers(&self, line: &str) -> Result<Vec<(String, String)>, PhoneError> {
        let value = contact(&self.config, self.local()?, line);
        Ok([
            ("Contact", value.as_str()),
            ("Supported", supported(&self.config)),
            ("Allow", ALLOW),
            ("User-Agent", &user_agent(&self.config)),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec())
    }

    /// A request of the call's dialog, its CSeq counted.
    pub(super) fn in_dialog(
        &self,
        call: &CallInner,
        method: &str,
        headers: Vec<(String, String)>,
        body: Option<Body>,
    ) -> Result<Outgoing, PhoneError> {
        let mut state = call.lock();
        if state.phase == Phase::Ended {
            return Err(PhoneError::State("it has ended"));
        }
        state.local_cseq += 1;
        let tag = state.remote_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        Ok(Outgoing {
            method: method.into(),
            uri: state.target.clone(),
            from: format!("{};tag={}", state.local_uri, call.local_tag),
            to: format!("{}{tag}", state.remote_uri),
            call_id: call.call_id.clone(),
            cseq: state.local_cseq,
            routes: state.routes.clone(),
            headers,
            body,
        })
    }

    /// Carries an INVITE, first or later, to its end: dialog, ACK, or the call's end.
    pub(super) async fn carry_invite(
        self: Arc<Self>,
        call: Arc<CallInner>,
        out: Outgoing,
    ) -> Result<Arc<Message<'static>>, PhoneError> {
        let late = out.body.is_none();
        let mut watcher = CallWatcher { phone: self.clone(), call: call.clone(), late };
        let result = self.request(out, &mut watcher).await;
        let pending = call.update(|state| state.pending.take());
        let first = call.lock().phase < Phase::Answered;
        match (&result, pending) {
            (Ok(response), Some(pending)) if response.status().is_some_and(|s| s < 300) => {
                self.accepted(&call, &pending, response, late)?;
                if pending.cancelled && first {
                    // The answer crossed the CANCEL (RFC 3261 §15).
                    let crossed = Call { phone: self.clone(), inner: call };
                    crossed.hang_up().await?;
                }
            }
            (Ok(response), _) => {
                let status = response.status().unwrap_or(0);
                call.update(|state| state.learn_response(response, status, late));
                // A failed re-INVITE leaves the call up, but for these two (RFC 6141 §4.4).
                if first || matches!(status, 408 | 481) {
                    self.finish(&call, End::Status(status), Some(response));
                }
            }
            (Err(_), _) => self.finish(&call, End::Lost, None),
        }
        result
    }

    /// 2xx to an INVITE of ours: dialog and ACK, with the answer after a late offer.
    fn accepted(
        &self,
        call: &CallInner,
        pending: &Pending,
        response: &Message<'static>,
        late: bool,
    ) -> Result<(), PhoneError> {
        let status = response.status().unwrap_or(200);
        let answer = call.update(|state| {
            let offer = sdp_of(response).filter(|_| late);
            let answer = offer.and_then(|offer| {
                let answer = state.media.answer(&offer);
                state.remote_sdp = Some(offer);
                answer
            });
            state.learn_response(response, status, late);
            if let Some(answer) = &answer {
                state.local_sdp = Some(answer.clone());
            }
            answer
        });
        let via = via(&self.config, self.local()?, &branch());
        let ack = {
            let state = call.lock();
            let mut ack = Printer::request("ACK", &state.target);
            ack.header("Via", &via);
            ack.header_number("Max-Forwards", 70);
            for route in &state.routes {
                ack.header("Route", route);
            }
            ack.header("From", &pending.out.from);
            ack.header("To", response.first(HeaderName::To).unwrap_or_default());
            ack.header("Call-ID", &call.call_id).cseq(pending.out.cseq, "ACK");
            match &answer {
                Some(body) => ack.finish_with("application/sdp", body),
                None => ack.finish(),
            }
        };
        self.lock().acks.insert(pending.branch.clone(), ack.clone());
        let sent = self.send(ack);
        call.update(|state| state.phase = state.phase.max(Phase::Answered));
        sent
    }

    /// CANCEL of a pending INVITE: same branch and CSeq number; its own transaction.
    pub(super) fn send_cancel(self: &Arc<Self>, pending: Pending) {
        let phone = self.clone();
        let out = Outgoing { method: "CANCEL".into(), headers: Vec::new(), body: None, ..pending.out };
        tokio::spawn(async move {
            // What became of the call is told by the INVITE's own response.
            let _ = phone.transact(&out, &pending.branch, None, &mut Unwatched).await;
        });
    }

    /// Ends a call.
    pub(super) fn finish(&self, call: &CallInner, how: End, message: Option<&Message<'_>>) {
        call.update(|state| state.finish(how, message));
        self.lock().calls.remove(&call.key());
    }
}
