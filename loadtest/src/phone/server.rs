//! Server transactions: what the phone answers by itself.

use std::sync::Arc;
use std::time::Duration;

use keyline_wire::sip::{Message, Method, ReplyHead, TransactionKey};
use tokio::sync::watch;
use tokio::time::Instant;

use super::call::{Asked, CallInner, CallState, End, Phase};
use super::config::{Answer, Reaction};
use super::record::sdp_of;
use super::text::{ALLOW, phrase, random};
use super::{Call, Inner, PhoneError};

/// A request that was taken, to absorb its repetitions.
pub(super) struct Served {
    /// The last response; sent again when the request comes again.
    last: Option<Vec<u8>>,
    /// The INVITE's final response was acknowledged.
    acked: watch::Sender<bool>,
}

type Headers<'h> = [(&'h str, &'h str)];

impl Inner {
    /// Takes a request.
    pub(super) fn serve(self: &Arc<Self>, request: Arc<Message<'static>>) {
        let Some(method) = request.method() else { return };
        if method == Method::Ack {
            return self.take_ack(&request);
        }
        let Some(key) = TransactionKey::server(&request) else { return };
        let Some(head) = ReplyHead::capture(&request, self.config.server, false) else { return };
        let reaction = {
            let mut state = self.lock();
            if let Some(known) = state.served.map.get(&key) {
                let again = known.last.clone();
                drop(state);
                if let Some(bytes) = again {
                    // Without a link there is nobody to tell.
                    let _ = self.send(bytes);
                }
                return;
            }
            let served = Served { last: None, acked: watch::Sender::new(false) };
            state.served.insert(key.clone(), served);
            state.reactions.get(method.as_str()).copied().unwrap_or(Reaction::Proper)
        };
        let fresh_call = method == Method::Invite && request.to_tag().is_none();
        if fresh_call {
            return self.take_call(&request, key, head);
        }
        match reaction {
            Reaction::Ignore => {}
            Reaction::Status(status) if method == Method::Invite => {
                self.refuse_invite(&key, &head, status, None, &[]);
            }
            Reaction::Status(status) => self.reply(&key, &head, status, None, &[], None),
            Reaction::Proper => self.react_properly(&request, method, key, &head),
        }
    }

    fn react_properly(
        self: &Arc<Self>,
        request: &Message<'static>,
        method: Method<'_>,
        key: TransactionKey,
        head: &ReplyHead,
    ) {
        let call = self.call_of(request);
        if let Some(call) = &call {
            let number = request.cseq().map_or(0, |cseq| cseq.number);
            let old = call.update(|state| {
                let old = number <= state.remote_cseq && method != Method::Cancel;
                state.remote_cseq = state.remote_cseq.max(number);
                if !old {
                    state.learn(request, matches!(method, Method::Invite | Method::Update));
                }
                old
            });
            if old {
                return self.reply(&key, head, 500, None, &[], None);
            }
        }
        let in_dialog = request.to_tag().is_some();
        match (method, call) {
            (Method::Cancel, _) => self.take_cancel(request, &key, head),
            (Method::Options, _) => self.reply(&key, head, 200, None, &[("Allow", ALLOW)], None),
            (Method::Message | Method::Notify, _) if !in_dialog => {
                self.reply(&key, head, 200, None, &[], None);
            }
            (Method::Refer, _) if !in_dialog => self.reply(&key, head, 202, None, &[], None),
            (Method::Invite, Some(call)) => self.take_reinvite(request, key, head, &call),
            (Method::Update, Some(call)) => self.take_update(request, &key, head, &call),
            (Method::Bye, Some(call)) => {
                self.reply(&key, head, 200, None, &[], None);
                self.finish(&call, End::PeerBye, Some(request));
            }
            (Method::Info | Method::Message | Method::Notify | Method::Prack, Some(_)) => {
                self.reply(&key, head, 200, None, &[], None);
            }
            (Method::Invite, None) => self.refuse_invite(&key, head, 481, None, &[]),
            (_, None) if in_dialog => self.reply(&key, head, 481, None, &[], None),
            _ => self.reply(&key, head, 405, None, &[("Allow", ALLOW)], None),
        }
    }

    /// The call whose dialog a request names.
    fn call_of(&self, request: &Message<'_>) -> Option<Arc<CallInner>> {
        let key = (request.call_id()?.to_owned(), request.to_tag()?.to_owned());
        self.lock().calls.get(&key).cloned()
    }

    fn take_call(self: &Arc<Self>, request: &Message<'static>, key: TransactionKey, head: ReplyHead) {
        let answer = self.lock().answer.clone().unwrap_or_else(|| self.config.answer.clone());
        if answer == Answer::Silent {
            return;
        }
        let (Some(from), Some(to), Ok(local)) = (request.from(), request.to(), self.local()) else { return };
        let target = request.contact().map_or(from.uri.raw, |contact| contact.uri.raw).to_owned();
        let (own, peer) = (format!("<{}>", to.uri.raw), format!("<{}>", from.uri.raw));
        let mut state = CallState::new(own, peer, target, self.media(local.ip()));
        state.remote_tag = from.tag().map(str::to_owned);
        state.remote_cseq = request.cseq().map_or(0, |cseq| cseq.number);
        state.routes =
            request.values(keyline_wire::sip::HeaderName::RecordRoute).map(str::to_owned).collect();
        state.remote_sdp = sdp_of(request);
        state.learn(request, false);
        state.asked = Some(Asked { key: key.clone(), head: head.clone(), offer: sdp_of(request) });
        let call = CallInner::new(request.call_id().unwrap_or_default().to_owned(), true, state);
        self.reply(&key, &head, 100, None, &[], None);
        self.lock().calls.insert(call.key(), call.clone());
        // Nobody has to fetch the calls of a phone that answers by itself.
        let _ = self.calls_in.try_send(call.clone());
        let phone = self.clone();
        tokio::spawn(async move {
            // A call that was cancelled meanwhile wants no answer.
            let _ = match answer {
                Answer::Silent | Answer::Manual => Ok(()),
                Answer::Ring => phone.ring(&call),
                Answer::AtOnce => phone.accept(&call),
                Answer::After(time) => match phone.ring(&call) {
                    Ok(()) => {
                        tokio::time::sleep(time).await;
                        phone.accept(&call)
                    }
                    refused => refused,
                },
                Answer::Reject(status, time) => {
                    if !time.is_zero() {
                        // Rings meanwhile; a failure shows at the refusal.
                        let _ = phone.ring(&call);
                        tokio::time::sleep(time).await;
                    }
                    phone.reject(&call, status)
                }
            };
        });
    }

    pub(super) fn ring(&self, call: &CallInner) -> Result<(), PhoneError> {
        let asked = asked(call)?;
        call.update(|state| state.phase = state.phase.max(Phase::Ringing));
        let headers = self.invite_headers(&user_of(call))?;
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.reply(&asked.key, &asked.head, 180, Some(&call.local_tag), &headers, None);
        Ok(())
    }

    pub(super) fn reject(self: &Arc<Self>, call: &Arc<CallInner>, status: u16) -> Result<(), PhoneError> {
        let asked = call.update(|state| state.asked.take());
        let asked = asked.ok_or(PhoneError::State("no INVITE waits for an answer"))?;
        self.refuse_invite(&asked.key, &asked.head, status, Some(&call.local_tag), &[]);
        self.finish(call, End::Status(status), None);
        Ok(())
    }

    /// Answers the INVITE that waits, first or later, with 200; 488 when its offer can not be taken.
    pub(super) fn accept(self: &Arc<Self>, call: &Arc<CallInner>) -> Result<(), PhoneError> {
        let asked = asked(call)?;
        let headers = self.invite_headers(&user_of(call))?;
        let cseq = call.lock().remote_cseq;
        let body = call.update(|state| {
            state.asked = None;
            // Whom a new offer or a new key of the peer stands for is unknown: the own keys are new then too.
            if state.phase == Phase::Answered && state.rekeys(asked.offer.as_ref()) {
                state.media.rekey();
            }
            let body = match &asked.offer {
                Some(offer) => state.media.answer(offer)?,
                None => state.media.offer(),
            };
            state.offered_in_2xx = asked.offer.is_none();
            state.unacked = Some((cseq, asked.key.clone()));
            state.local_sdp = Some(body.clone());
            Some(body)
        });
        let Some(body) = body else {
            self.refuse_invite(&asked.key, &asked.head, 488, Some(&call.local_tag), &[]);
            if call.lock().phase < Phase::Answered {
                self.finish(call, End::Status(488), None);
            }
            return Ok(());
        };
        call.update(|state| state.phase = state.phase.max(Phase::Answered));
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let body = Some(("application/sdp", body.as_slice()));
        self.reply(&asked.key, &asked.head, 200, Some(&call.local_tag), &headers, body);
        let (phone, call, key) = (self.clone(), call.clone(), asked.key);
        tokio::spawn(async move {
            if !phone.repeat_final(&key, true).await {
                // Nobody acknowledged: the dialog is over (RFC 3261 §13.3.1.4).
                let given_up = Call { phone: phone.clone(), inner: call.clone() };
                let _ = given_up.hang_up().await;
                phone.finish(&call, End::Lost, None);
            }
        });
        Ok(())
    }

    fn take_reinvite(
        self: &Arc<Self>,
        request: &Message<'static>,
        key: TransactionKey,
        head: &ReplyHead,
        call: &Arc<CallInner>,
    ) {
        let (own, theirs) = {
            let state = call.lock();
            (state.pending.is_some(), state.asked.is_some() || state.unacked.is_some())
        };
        if own {
            return self.refuse_invite(&key, head, 491, None, &[]);
        }
        if theirs {
            return self.refuse_invite(&key, head, 500, None, &[("Retry-After", "1")]);
        }
        let offer = sdp_of(request);
        call.update(|state| {
            if offer.is_some() {
                state.previous_sdp = std::mem::replace(&mut state.remote_sdp, offer.clone());
            }
            state.asked = Some(Asked { key, head: head.clone(), offer });
        });
        // `asked` was just set.
        let _ = self.accept(call);
    }

    fn take_update(
        &self,
        request: &Message<'static>,
        key: &TransactionKey,
        head: &ReplyHead,
        call: &CallInner,
    ) {
        let Some(offer) = sdp_of(request) else {
            return self.reply(key, head, 200, None, &[], None);
        };
        if call.lock().pending.is_some() {
            return self.reply(key, head, 491, None, &[], None);
        }
        let answer = call.update(|state| {
            let answer = state.media.answer(&offer);
            state.remote_sdp = Some(offer);
            if answer.is_some() {
                state.local_sdp.clone_from(&answer);
            }
            answer
        });
        match answer {
            Some(body) => self.reply(key, head, 200, None, &[], Some(("application/sdp", &body))),
            None => self.reply(key, head, 488, None, &[], None),
        }
    }

    fn take_cancel(self: &Arc<Self>, request: &Message<'static>, key: &TransactionKey, head: &ReplyHead) {
        let invite = TransactionKey::cancelled_invite(request);
        let call = invite.as_ref().and_then(|invite| {
            let asks = |call: &&Arc<CallInner>| call.lock().asked.as_ref().is_some_and(|a| a.key == *invite);
            self.lock().calls.values().find(asks).cloned()
        });
        let known = invite.is_some_and(|invite| self.lock().served.map.contains_key(&invite));
        let tag = call.as_ref().map(|call| call.local_tag.as_str());
        self.reply(key, head, if known { 200 } else { 481 }, tag, &[], None);
        let Some(call) = call else { return };
        let Some(asked) = call.update(|state| state.asked.take()) else { return };
        self.refuse_invite(&asked.key, &asked.head, 487, Some(&call.local_tag), &[]);
        if call.lock().phase < Phase::Answered {
            self.finish(&call, End::PeerCancel, Some(request));
        }
    }

    fn take_ack(&self, ack: &Message<'static>) {
        let key = TransactionKey::server(ack);
        if let Some(served) = key.and_then(|key| self.lock().served.map.get(&key).map(|s| s.acked.clone())) {
            // ACK of a final other than 2xx: same branch.
            served.send_replace(true);
            return;
        }
        let Some(call) = self.call_of(ack) else { return };
        let cseq = ack.cseq().map(|cseq| cseq.number);
        let key = call.update(|state| {
            let (_, key) = state.unacked.take_if(|(number, _)| Some(*number) == cseq)?;
            state.acked += 1;
            state.learn(ack, false);
            if let (true, Some(answer)) = (state.offered_in_2xx, sdp_of(ack)) {
                state.media.answered(&answer);
                state.remote_sdp = Some(answer);
            }
            Some(key)
        });
        if let Some(served) = key.and_then(|key| self.lock().served.map.get(&key).map(|s| s.acked.clone())) {
            served.send_replace(true);
        }
    }

    /// Refuses an INVITE and repeats the refusal over UDP until its ACK (RFC 3261 §17.2.1).
    fn refuse_invite(
        self: &Arc<Self>,
        key: &TransactionKey,
        head: &ReplyHead,
        status: u16,
        tag: Option<&str>,
        headers: &Headers<'_>,
    ) {
        self.reply(key, head, status, tag, headers, None);
        let (phone, key) = (self.clone(), key.clone());
        if self.config.transport.is_datagram() {
            tokio::spawn(async move { phone.repeat_final(&key, false).await });
        }
    }

    /// Repeats an INVITE's final response until its ACK: over any transport for a 2xx. `false` when none
    /// came in 64 T1.
    async fn repeat_final(&self, key: &TransactionKey, success: bool) -> bool {
        let found = self.lock().served.map.get(key).map(|s| (s.acked.subscribe(), s.last.clone()));
        let Some((mut acked, Some(bytes))) = found else { return true };
        let end = Instant::now() + 64 * self.config.t1;
        let mut interval = if success || self.config.transport.is_datagram() {
            self.config.t1
        } else {
            Duration::from_secs(3600)
        };
        while Instant::now() < end {
            match tokio::time::timeout(interval, acked.wait_for(|acked| *acked)).await {
                // An entry that was forgotten can not be acknowledged any more.
                Ok(_) => return true,
                Err(_) if self.send(bytes.clone()).is_err() => return true,
                Err(_) => interval = self.next_interval(interval),
            }
        }
        false
    }

    /// Answers a request and remembers the answer for its repetitions.
    fn reply(
        &self,
        key: &TransactionKey,
        head: &ReplyHead,
        status: u16,
        tag: Option<&str>,
        headers: &Headers<'_>,
        body: Option<(&str, &[u8])>,
    ) {
        let fresh;
        let tag = match tag {
            Some(tag) => tag,
            None => {
                fresh = random(8);
                &fresh
            }
        };
        let bytes = head.respond(status, phrase(status), Some(tag), headers, body);
        if let Some(served) = self.lock().served.map.get_mut(key) {
            served.last = Some(bytes.clone());
        }
        // Without a link there is nobody to tell.
        let _ = self.send(bytes);
    }
}

fn asked(call: &CallInner) -> Result<Asked, PhoneError> {
    call.lock().asked.clone().ok_or(PhoneError::State("no INVITE waits for an answer"))
}

/// User part of the phone's own address in that call.
fn user_of(call: &CallInner) -> String {
    let state = call.lock();
    let user = state.local_uri.split_once("sip:").and_then(|(_, rest)| rest.split_once('@'));
    user.map_or_else(String::new, |(user, _)| user.to_owned())
}
