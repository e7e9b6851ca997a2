//! Answers: stateless refusals and challenges, and responses in their transactions.

use keyline_domain::admit::Cause;
use keyline_domain::digest::{Algorithm, AlgorithmSet};
use keyline_domain::nonce::mint;
use keyline_wire::sip::{HeaderName, Message, Method, ReplyHead, quoted, reason_phrase};

use super::inbound::contact_device;
use super::owner::Asked;
use super::path::Path;
use super::register;
use super::shared::Shared;
use super::transaction::ServerTxId;
use super::worker::State;

/// The one quality of protection that is offered and checked (RFC 7616 §3.3).
const QOP: &str = ", qop=\"auth\"";
/// The same where only the nonce was of no use (RFC 7616 §3.3).
const QOP_STALE: &str = ", qop=\"auth\", stale=true";

impl State {
    /// 401 with one challenge for each algorithm, strongest first, all with one nonce. Keeps no state.
    pub(super) fn challenge(&mut self, shared: &Shared, path: &Path, message: &Message<'_>, stale: bool) {
        let settings = shared.boards.settings.load();
        let keys = shared.boards.keys.load();
        let now = keyline_actors::clock::now();
        let id = shared.admission.windows.roomier(self.entropy.number(), &keys.nonce, now.0 / 1000);
        let algorithms = fitting(settings.algorithms, message.first(HeaderName::UserAgent));
        let nonce = mint(id, keys.start, algorithms, now, &keys.nonce);
        let Some(head) = ReplyHead::capture(message, path.remote(), false) else { return };
        let tag = shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default());
        let mut p = head.response(401, reason_phrase(401), Some(&tag));
        let realm = quoted(&settings.parameters.sip_realm_station);
        // What all have in common is put together once.
        let common = ["Digest realm=", &*realm, ", nonce=\"", nonce.as_str(), "\", algorithm="].concat();
        let tail = if stale { QOP_STALE } else { QOP };
        for algorithm in algorithms.iter() {
            p.header_parts("WWW-Authenticate", &[&common, algorithm.token(), tail]);
        }
        self.send_stateless(shared, path, &head, 401, p.finish());
    }

    /// 401 or 407 with a Bearer challenge (RFC 8898 §2.1, §4). Cisco's clients know their server as a proxy and
    /// understand 407 with a realm; the RFC has registrars answer 401 with the authorization server. Keeps no state.
    pub(super) fn challenge_bearer(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        cause: Cause,
    ) {
        let settings = shared.boards.settings.load();
        let oauth = shared.admission.oauth.settings();
        let Some(head) = ReplyHead::capture(message, path.remote(), false) else { return };
        let tag = shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default());
        let (status, header) =
            if is_cisco(message) { (407, "Proxy-Authenticate") } else { (401, "WWW-Authenticate") };
        let mut p = head.response(status, reason_phrase(status), Some(&tag));
        let (realm, scope) = (quoted(&settings.parameters.sip_realm_station), quoted(&oauth.scope.join(" ")));
        let mut parts = vec!["Bearer realm=", &*realm, ", authz_server=\"", &oauth.authz_server, "\""];
        if !oauth.scope.is_empty() {
            parts.extend([", scope=", &*scope]);
        }
        if cause != Cause::TokenRequired {
            parts.push(", error=\"invalid_token\"");
        }
        p.header_parts(header, &parts);
        let warning = format!("399 keyline {}", quoted(cause.text()));
        p.header("Warning", &warning);
        self.send_stateless(shared, path, &head, status, p.finish());
    }

    /// 503 with Retry-After, spread so that the phones do not come back together.
    pub(super) fn overloaded(&mut self, shared: &Shared, path: &Path, message: &Message<'_>) {
        let after = self.retry_after().to_string();
        self.answer_stateless(shared, path, message, 503, &[("Retry-After", &after)]);
    }

    pub(super) fn retry_after(&mut self) -> u64 {
        let (low, high) = (*register::RETRY_AFTER_S.start(), *register::RETRY_AFTER_S.end());
        low + self.entropy.number() % (high - low + 1)
    }

    /// A refusal that keeps no state; `text` goes into a Warning.
    pub(super) fn refuse_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        status: u16,
        text: &str,
    ) {
        let warning = format!("399 keyline {}", quoted(text));
        self.answer_stateless(shared, path, message, status, &[("Warning", &warning)]);
    }

    pub(super) fn answer_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        message: &Message<'_>,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        if message.method() == Some(Method::Ack) {
            return;
        }
        let Some(head) = ReplyHead::capture(message, path.remote(), false) else { return };
        let tag = shared.stateless_tag(top_via(message), message.call_id().unwrap_or_default());
        let bytes = head.respond(status, reason_phrase(status), Some(&tag), headers, None);
        self.send_stateless(shared, path, &head, status, bytes);
    }

    fn send_stateless(
        &mut self,
        shared: &Shared,
        path: &Path,
        head: &ReplyHead,
        status: u16,
        bytes: Vec<u8>,
    ) {
        shared.metrics.response(status);
        let route = reply_path(path, head);
        self.transmit(shared, &route, bytes);
    }

    /// What can still be said before a connection whose framing is lost is closed.
    pub(super) fn refuse_broken(&mut self, shared: &Shared, path: &Path, head: &[u8], status: u16) {
        let parsed = Message::parse_with(head, &self.limits.connections.message);
        let message = match &parsed {
            Ok(m) if m.is_request() => Some(m),
            Ok(_) => None,
            Err(rejected) => rejected.answerable(),
        };
        if let Some(message) = message {
            self.refuse_stateless(shared, path, message, status, "framing is lost; the connection closes");
        }
    }

    /// Sends a response in its transaction.
    pub(super) fn respond(&mut self, shared: &Shared, tx: ServerTxId, status: u16, bytes: Vec<u8>) {
        shared.metrics.response(status);
        self.count_time(shared, tx, status);
        let now = self.now();
        if let Err(error) = self.servers.respond(now, tx, status, bytes.into(), &mut self.server_actions) {
            tracing::debug!(%error, status, "a response was not sent");
        }
        if status >= 200
            && let Some(owner) = self.servers.owner(tx).filter(|o| o.head.method() != Method::Invite).cloned()
        {
            self.give_back(&owner);
        }
        self.run_actions(shared);
    }

    /// Counts how long a REGISTER took, or the called phone of a new call, once.
    fn count_time(&self, shared: &Shared, tx: ServerTxId, status: u16) {
        let Some(owner) = self.servers.owner(tx).filter(|_| (101..300).contains(&status)) else { return };
        let Some(began) = owner.began.take() else { return };
        let us = self.now_us().saturating_sub(began);
        match owner.asked {
            Asked::Register { .. } => shared.metrics.latency.registered(us),
            Asked::Invite => shared.metrics.latency.set_up(us),
            Asked::Done | Asked::InDialog { .. } | Asked::Relay | Asked::Subscribe => {}
        }
    }

    /// A final answer without more.
    pub(super) fn final_answer(
        &mut self,
        shared: &Shared,
        tx: ServerTxId,
        status: u16,
        header: Option<(&str, &str)>,
    ) {
        let Some(owner) = self.servers.owner(tx).cloned() else { return };
        let headers: &[(&str, &str)] = match &header {
            Some(h) => std::slice::from_ref(h),
            None => &[],
        };
        let bytes = owner.head.respond(status, reason_phrase(status), Some(&owner.tag), headers, None);
        self.respond(shared, tx, status, bytes);
    }
}

/// A client that speaks Cisco's dialect: it says so, or names its device the way that only these do.
fn is_cisco(message: &Message<'_>) -> bool {
    let says = message.first(HeaderName::UserAgent).and_then(|ua| ua.get(..5));
    says.is_some_and(|begin| begin.eq_ignore_ascii_case("cisco")) || contact_device(message).is_some()
}

const MD5_ONLY: &[Algorithm] = &[Algorithm::Md5];
const WITHOUT_SHA_512: &[Algorithm] = &[Algorithm::Sha256, Algorithm::Md5];

/// Clients that give up on a challenge which names an algorithm unknown to them, instead of passing it over
/// as RFC 8760 §2.4 asks, and what they know. Seen of baresip 1.0, SIPp 3.6, sipsak 0.9 and linphone 5.1. By
/// the beginning of User-Agent.
const LIMITED: [(&str, &[Algorithm]); 5] = [
    ("baresip v0.", MD5_ONLY),
    ("baresip v1.", MD5_ONLY),
    ("sipp", MD5_ONLY),
    ("sipsak", MD5_ONLY),
    ("linphone", WITHOUT_SHA_512),
];

/// The algorithms to challenge this client with: those that it knows where it would give up on others and the
/// parameter has some of them. Whoever can change a User-Agent on the way could as well take a challenge out
/// of the answer, so this opens nothing.
fn fitting(all: AlgorithmSet, user_agent: Option<&str>) -> AlgorithmSet {
    let begins =
        |ua: &str, known: &str| ua.get(..known.len()).is_some_and(|own| own.eq_ignore_ascii_case(known));
    let limited = user_agent.and_then(|ua| LIMITED.iter().find(|(known, _)| begins(ua, known)));
    let Some((_, known)) = limited else { return all };
    let fit = known.iter().filter(|a| all.contains(**a)).fold(AlgorithmSet::EMPTY, |set, a| set.with(*a));
    if fit.is_empty() { all } else { fit }
}

/// Responses go back the way that the request came; over UDP to rport or the Via's port (RFC 3581).
pub(super) fn reply_path(path: &Path, head: &ReplyHead) -> Path {
    match *path {
        Path::Udp { local, .. } => Path::Udp { local, remote: head.reply_to().udp },
        stream => stream,
    }
}

/// Top Via as text.
pub(super) fn top_via<'m>(message: &'m Message<'_>) -> &'m str {
    message.values(HeaderName::Via).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_asked_for_what_they_know() {
        let all = AlgorithmSet::all();
        let md5 = AlgorithmSet::EMPTY.with(Algorithm::Md5);
        assert_eq!(fitting(all, Some("baresip v1.0.0 (x86_64/linux)")), md5);
        assert_eq!(fitting(all, Some("SIPp client mode")), md5);
        let both = md5.with(Algorithm::Sha256);
        assert_eq!(fitting(all, Some("Linphonec/5.1.65 (host)")), both);
        assert_eq!(fitting(all, Some("Cisco-CP8845/12.8.1")), all);
        assert_eq!(fitting(all, Some("baresip v3.5.0")), all);
        assert_eq!(fitting(all, None), all);
        let strict = AlgorithmSet::EMPTY.with(Algorithm::Sha256);
        assert_eq!(fitting(strict, Some("sipsak 0.9.8")), strict, "what the parameter leaves out stays out");
    }
}
