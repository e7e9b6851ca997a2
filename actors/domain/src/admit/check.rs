//! From the directives of an `Authorization` header to an outcome: nonce, response, nonce count.

use crate::credential::DerivedCredentials;
use crate::digest::{Algorithm, DIRECTIVE_MAX, Parts, Protection, parse_nc, verify};
use crate::ids::{UnixMillis, UserId};
use crate::nonce::{NcVerdict, NonceKeys, Windows, open};

use super::Cause;

/// The digest answer for our realm. Directives unquoted and unescaped, otherwise as sent; one for another
/// realm is no answer.
#[derive(Debug, Clone, Copy)]
pub struct DigestAnswer<'a> {
    /// `username`.
    pub username: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `uri`.
    pub uri: &'a str,
    /// `response`.
    pub response: &'a str,
    /// `algorithm`; absent means MD5.
    pub algorithm: Option<&'a str>,
    /// `qop`.
    pub qop: Option<&'a str>,
    /// `nc`.
    pub nc: Option<&'a str>,
    /// `cnonce`.
    pub cnonce: Option<&'a str>,
    /// Whether `uri` names us and this request: [`super::uri_names_us`].
    pub uri_is_ours: bool,
}

/// What an answer is checked against.
#[derive(Debug, Clone, Copy)]
pub struct DigestContext<'a> {
    /// Nonce keys.
    pub keys: &'a NonceKeys,
    /// Windows of this node.
    pub windows: &'a Windows,
    /// Now.
    pub now: UnixMillis,
    /// Start number of this node.
    pub start: u32,
    /// From [`super::Due::Digest`], seconds.
    pub nonce_validity_s: u32,
    /// The request comes from the source of the claimed device's binding: only then can a nonce of an
    /// earlier start be of use (design §5 Repeats), and only then is its count looked at.
    pub from_bound_source: bool,
    /// `allow_digest_without_qop`.
    pub allow_without_qop: bool,
    /// The claimed device's user ([`super::DeviceFacts::expected_user`]); `None` for an unknown device.
    pub expected_user: Option<&'a UserId>,
}

/// What a digest answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestOutcome {
    /// There is none for our realm.
    Absent,
    /// A directive is missing, unreadable or too long.
    Malformed,
    /// `qop` is none that was offered: `auth-int`, or something unknown.
    QopNotOffered,
    /// Its `uri` is another server's, or another target's.
    ForeignUri,
    /// The nonce is not ours, or the algorithm was not challenged with it.
    Forged,
    /// The response is wrong, or nobody has this user name.
    Wrong,
    /// The response is right, the nonce of no use any more; the cause says why.
    Stale(Cause),
    /// The response is right, and so is the nonce.
    Right(RightDigest),
}

/// A right digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RightDigest {
    /// Id of the nonce.
    pub nonce_id: u64,
    /// Nonce count; 1 without `qop`.
    pub nc: u32,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Whether the user is the claimed device's.
    pub of_expected_user: bool,
    /// Whether this node minted the nonce since it started.
    pub of_this_start: bool,
    /// Whether this count was used before: good for a retransmission only.
    pub replayed: bool,
}

/// Checks a digest answer.
///
/// `method` is the text of the request line, `credentials` those of the user that the answer names,
/// whoever that is. An unknown user costs a hash as well. No table is touched before the response has
/// proved right: strangers can neither claim a window nor find out about one.
///
/// Without `qop` there is no count: such an answer uses its nonce up (count 1), so a repeat of it gets
/// `stale=true` like any other.
pub fn check_digest(
    answer: Option<&DigestAnswer<'_>>,
    method: &str,
    credentials: Option<&DerivedCredentials>,
    context: &DigestContext<'_>,
) -> DigestOutcome {
    let Some(answer) = answer else {
        return DigestOutcome::Absent;
    };
    let (protection, nc) = match protection(answer, context.allow_without_qop) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    if !answer.uri_is_ours {
        return DigestOutcome::ForeignUri;
    }
    let algorithm = match answer.algorithm {
        None => Some(Algorithm::Md5),
        Some(token) => Algorithm::parse(token),
    };
    let (Some(algorithm), Ok(nonce)) = (algorithm, open(answer.nonce, context.keys)) else {
        return DigestOutcome::Forged;
    };
    if algorithm.is_session() && protection == Protection::None {
        return DigestOutcome::Malformed;
    }
    if !nonce.algorithms.contains(algorithm) {
        return DigestOutcome::Forged;
    }
    let ha1 = credentials.and_then(|c| c.ha1(algorithm));
    let parts = Parts { method, uri: answer.uri, nonce: answer.nonce, protection };
    if !verify(algorithm, ha1.as_ref(), &parts, answer.response) {
        return DigestOutcome::Wrong;
    }
    if nonce.expired(context.now, context.nonce_validity_s) {
        return DigestOutcome::Stale(Cause::NonceExpired);
    }
    // A stranger with a copy of an old request must not use up the count that the phone's own needs.
    if nonce.start != context.start && !context.from_bound_source {
        return DigestOutcome::Stale(Cause::NonceOfEarlierStart);
    }
    let now_s = context.now.0 / 1000;
    let replayed = match context.windows.use_nc(&nonce, nc, now_s, context.nonce_validity_s) {
        NcVerdict::Fresh => false,
        NcVerdict::Repeat => true,
        NcVerdict::TooOld => return DigestOutcome::Stale(Cause::NonceReplayed),
        NcVerdict::Evicted | NcVerdict::OutOfRange => return DigestOutcome::Stale(Cause::NonceEvicted),
    };
    DigestOutcome::Right(RightDigest {
        nonce_id: nonce.id,
        nc,
        algorithm,
        of_expected_user: context.expected_user.is_some_and(|u| u.as_str() == answer.username),
        of_this_start: nonce.start == context.start,
        replayed,
    })
}

/// Form and count of an answer, or what is wrong with it.
fn protection<'a>(
    answer: &DigestAnswer<'a>,
    allow_without_qop: bool,
) -> Result<(Protection<'a>, u32), DigestOutcome> {
    const MALFORMED: DigestOutcome = DigestOutcome::Malformed;
    let texts = [answer.username, answer.nonce, answer.uri, answer.response, answer.cnonce.unwrap_or("")];
    if texts.iter().any(|t| t.len() > DIRECTIVE_MAX) || texts[..4].iter().any(|t| t.is_empty()) {
        return Err(MALFORMED);
    }
    match answer.qop {
        None if allow_without_qop => Ok((Protection::None, 1)),
        None => Err(MALFORMED),
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            let (nc, cnonce) = answer.nc.zip(answer.cnonce).ok_or(MALFORMED)?;
            Ok((Protection::Auth { nc, cnonce }, parse_nc(nc).ok_or(MALFORMED)?))
        }
        Some(_) => Err(DigestOutcome::QopNotOffered),
    }
}
