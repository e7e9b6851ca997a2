//! Event, Subscription-State (RFC 6665), Reason (RFC 3326), Replaces (RFC 3891).

use std::borrow::Cow;

use crate::sip::header::number::number;
use crate::sip::text::{split_outside, trim};
use crate::sip::{HeaderError, Params, is_token};

/// A token with parameters: Event, Subscription-State, Content-Type and their like.
fn token_and_params(value: &str) -> Result<(&str, Params<'_>), HeaderError> {
    let (token, params) = split_outside(trim(value), b';', false);
    let (token, params) = (trim(token), Params::new(params));
    params.check()?;
    if token.is_empty() { Err(HeaderError::Empty) } else { Ok((token, params)) }
}

/// Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Package with templates, as written; compares with case.
    pub package: &'a str,
    /// `id`, which tells subscriptions of one dialog apart.
    pub id: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// Parses a value.
    pub fn parse(value: &'a str) -> Result<Event<'a>, HeaderError> {
        let (package, params) = token_and_params(value)?;
        if !is_token(package) {
            return Err(HeaderError::Token);
        }
        Ok(Event { package, id: params.value("id") })
    }
}

/// Subscription-State.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or an extension; compare without case.
    pub state: &'a str,
    /// Seconds left.
    pub expires: Option<u32>,
    /// Why it ended.
    pub reason: Option<&'a str>,
    /// Seconds to wait before a new subscription.
    pub retry_after: Option<u32>,
}

impl<'a> SubscriptionState<'a> {
    /// Parses a value.
    pub fn parse(value: &'a str) -> Result<SubscriptionState<'a>, HeaderError> {
        let (state, params) = token_and_params(value)?;
        if !is_token(state) {
            return Err(HeaderError::Token);
        }
        Ok(SubscriptionState {
            state,
            expires: params.value("expires").map(number).transpose()?,
            reason: params.value("reason"),
            retry_after: params.value("retry-after").map(number).transpose()?,
        })
    }

    /// Whether the subscription has ended.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

/// One Reason value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, …; compare without case.
    pub protocol: &'a str,
    /// Cause number within the protocol.
    pub cause: Option<u32>,
    /// Text for people.
    pub text: Option<Cow<'a, str>>,
}

impl<'a> Reason<'a> {
    /// Parses a value.
    pub fn parse(value: &'a str) -> Result<Reason<'a>, HeaderError> {
        let (protocol, params) = token_and_params(value)?;
        if !is_token(protocol) {
            return Err(HeaderError::Token);
        }
        let cause = params.value("cause").map(number).transpose()?;
        Ok(Reason { protocol, cause, text: params.text("text") })
    }
}

/// Replaces, from the header or decoded from a Refer-To URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// Call-ID of the dialog to replace.
    pub call_id: &'a str,
    /// The tag of the party that receives the INVITE.
    pub to_tag: &'a str,
    /// The tag of its peer.
    pub from_tag: &'a str,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Parses a value (already percent-decoded).
    pub fn parse(value: &'a str) -> Result<Replaces<'a>, HeaderError> {
        let (call_id, params) = token_and_params(value)?;
        let tag = |name| params.value(name).filter(|tag| !tag.is_empty()).ok_or(HeaderError::Param);
        let (to_tag, from_tag) = (tag("to-tag")?, tag("from-tag")?);
        Ok(Replaces { call_id, to_tag, from_tag, early_only: params.has("early-only") })
    }
}

/// Content-Type (RFC 3261 §20.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentType<'a> {
    /// `type/subtype` as written; compare without case.
    pub media_type: &'a str,
    /// Parameters.
    pub params: Params<'a>,
}

impl<'a> ContentType<'a> {
    /// Parses a value.
    pub fn parse(value: &'a str) -> Result<ContentType<'a>, HeaderError> {
        let (media_type, params) = token_and_params(value)?;
        let mut halves = media_type.split('/').map(trim);
        let fine = halves.next().is_some_and(is_token) && halves.next().is_some_and(is_token);
        if !fine || halves.next().is_some() {
            return Err(HeaderError::Token);
        }
        Ok(ContentType { media_type, params })
    }

    /// Whether it is that `type/subtype`.
    pub fn is(&self, media_type: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(media_type)
    }
}
