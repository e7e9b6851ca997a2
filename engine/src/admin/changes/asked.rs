//! A request that changes something: its body, its options, and who asks.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, IF_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpRequest, web};
use keyline_actors::catalog::{KEY_MAX, Repeatable};
use keyline_domain::audit::Who;
use keyline_domain::inventory::Kind;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::api::Node;
use super::super::caller::caller;
use super::super::lists::refusal as wrong;
use super::super::problem::{Code, Problem};
use crate::limits::Limit;

/// Header by which a client names a request that it may repeat.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Media types of a whole object.
const JSON: &[&str] = &["application/json"];

/// Media types of some fields of one (RFC 7396).
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// What is asked.
#[derive(Debug)]
pub(in crate::admin) struct Asked {
    /// `?dry_run=true`: say what would happen, and do nothing.
    pub(in crate::admin) dry_run: bool,
    /// `?force=true`: the administrator insists (R214).
    pub(in crate::admin) forced: bool,
    /// `If-Match`: the ETag that the object must have.
    pub(in crate::admin) expect: Option<Box<str>>,
    /// Who asks.
    pub(in crate::admin) who: Who,
    /// `Idempotency-Key` of a POST.
    pub(in crate::admin) repeatable: Option<Repeatable>,
    media: Option<String>,
    body: web::Bytes,
}

impl FromRequest for Asked {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = web::Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let body = body.await.map_err(|e| unread(&request, &e))?;
            let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
                .map_err(|e| Problem::new(Code::BadRequest, format!("query: {e}")))?;
            let (dry_run, forced) = options(&pairs)?;
            Ok(Self {
                dry_run,
                forced,
                expect: expected(request.headers())?,
                who: caller(&request),
                repeatable: repeatable(&request, &body)?,
                media: media_type(request.headers()),
                body,
            })
        })
    }
}

impl Asked {
    /// The body as one JSON object, credentials entered twice compared.
    pub(in crate::admin) fn object(&self, kind: Kind) -> Result<Value, Problem> {
        let mut body = self.json(JSON)?;
        if matches!(kind, Kind::EndUser | Kind::ApplicationUser | Kind::SipRealm) {
            super::same_twice(&mut body)?;
        }
        Ok(body)
    }

    /// The body as a merge patch.
    pub(in crate::admin) fn patch(&self, kind: Kind) -> Result<Value, Problem> {
        let mut body = self.json(PATCH)?;
        if matches!(kind, Kind::EndUser | Kind::ApplicationUser | Kind::SipRealm) {
            super::same_twice(&mut body)?;
        }
        Ok(body)
    }

    /// The body as a JSON object of this shape.
    pub(in crate::admin) fn shape<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_value(self.json(JSON)?).map_err(|e| misfit(&e))
    }

    /// There is no `If-Match`: it would be about one object, and these are several.
    pub(in crate::admin) fn unconditional(&self) -> Result<(), Problem> {
        match &self.expect {
            None => Ok(()),
            Some(_) => Err(wrong("If-Match", "several objects have no ETag in common".to_owned())),
        }
    }

    /// There is no `Idempotency-Key`.
    pub(in crate::admin) fn once(&self) -> Result<(), Problem> {
        match &self.repeatable {
            None => Ok(()),
            Some(_) => Err(wrong(IDEMPOTENCY_KEY, "what is found may differ the second time".to_owned())),
        }
    }

    /// There is no body.
    pub(in crate::admin) fn nothing(&self) -> Result<(), Problem> {
        match self.body.is_empty() {
            true => Ok(()),
            false => Err(Problem::new(Code::UnsupportedMediaType, "this takes no body")),
        }
    }

    fn json(&self, taken: &[&str]) -> Result<Value, Problem> {
        if !self.media.as_deref().is_some_and(|given| taken.contains(&given)) {
            let given = self.media.as_deref().unwrap_or("nothing");
            let detail = format!("Content-Type is {given:?}; send {}", taken.join(" or "));
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        match serde_json::from_slice(&self.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Problem::new(Code::BadRequest, "the body is no JSON object")),
            Err(e) => Err(Problem::new(Code::BadRequest, format!("the body is no JSON object: {e}"))),
        }
    }
}

/// The key under which a POST may come again, and what it is.
fn repeatable(request: &HttpRequest, body: &[u8]) -> Result<Option<Repeatable>, Problem> {
    let mut given = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(first) = given.next().filter(|_| request.method() == Method::POST) else { return Ok(None) };
    let key = first.to_str().ok().filter(|_| given.next().is_none()).unwrap_or_default();
    repeatable_as(key, request.path(), request.query_string(), body).map(Some)
}

/// A request that may come again under a key.
///
/// # Errors
/// The key is none.
pub fn repeatable_as(key: &str, path: &str, query: &str, body: &[u8]) -> Result<Repeatable, Problem> {
    if !Repeatable::is_key(key) {
        return Err(wrong(IDEMPOTENCY_KEY, format!("Idempotency-Key has 1 to {KEY_MAX} visible characters")));
    }
    let mut sum = Sha256::new();
    for part in [path.as_bytes(), query.as_bytes(), body] {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    Ok(Repeatable { key: key.into(), request: sum.finalize().into() })
}

/// A body of another shape.
pub(super) fn misfit(error: &serde_json::Error) -> Problem {
    Problem::new(Code::BadRequest, format!("the body does not fit: {error}"))
}

fn unread(request: &HttpRequest, error: &actix_web::Error) -> Problem {
    match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            if let Some(node) = request.app_data::<Node>() {
                node.limited(Limit::AdminBody);
            }
            let detail = "the body has more than [limits] admin_body_bytes; do it in parts";
            Problem::new(Code::BodyTooLarge, detail)
        }
        _ => Problem::new(Code::BadRequest, format!("the body did not arrive whole: {error}")),
    }
}

fn options(pairs: &[(String, String)]) -> Result<(bool, bool), Problem> {
    let (mut dry_run, mut forced) = (None, None);
    for (name, value) in pairs {
        let into = match name.as_str() {
            "dry_run" => &mut dry_run,
            "force" => &mut forced,
            other => return Err(wrong(other, format!("{other:?} is none of dry_run, force"))),
        };
        let value = match value.as_str() {
            "true" => true,
            "false" => false,
            other => return Err(wrong(name, format!("{name} is {other:?}; use true or false"))),
        };
        if into.replace(value).is_some() {
            return Err(wrong(name, format!("{name} stands there twice")));
        }
    }
    Ok((dry_run.unwrap_or(false), forced.unwrap_or(false)))
}

/// The part of an entity tag that is about the configuration: what stands before a `-` (see
/// [`crate::admin::http::tagged_object`]).
fn expected(headers: &HeaderMap) -> Result<Option<Box<str>>, Problem> {
    let mut given = headers.get_all(IF_MATCH);
    let Some(first) = given.next() else { return Ok(None) };
    let bad = || {
        let detail = "If-Match takes one ETag in quotes, as an answer gave it, or *";
        Err(wrong("If-Match", detail.to_owned()))
    };
    let (Ok(text), None) = (first.to_str(), given.next()) else { return bad() };
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(tag) if !tag.contains(['"', ',']) => {
            let configured = tag.split_once('-').map_or(tag, |(configured, _)| configured);
            Ok(Some(format!("\"{configured}\"").into()))
        }
        _ => bad(),
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn an_expected_tag_is_one_strong_tag_of_the_configuration() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_str(text).unwrap());
            expected(&headers).map(|tag| tag.map(String::from))
        };
        assert_eq!(of("\"ab\"").unwrap().as_deref(), Some("\"ab\""));
        assert_eq!(of("\"ab-cd\"").unwrap().as_deref(), Some("\"ab\""));
        assert_eq!(of("*").unwrap(), None);
        for wrong in ["ab", "W/\"ab\"", "\"a\", \"b\"", "", "\""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let mut twice = HeaderMap::new();
        twice.append(IF_MATCH, HeaderValue::from_static("\"a\""));
        twice.append(IF_MATCH, HeaderValue::from_static("\"b\""));
        assert!(expected(&twice).is_err());
        assert_eq!(expected(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn options_are_true_or_false_and_stand_there_once() {
        let of = |all: &[(&str, &str)]| {
            options(&all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]).unwrap(), (false, false));
        assert_eq!(of(&[("dry_run", "true"), ("force", "false")]).unwrap(), (true, false));
        for wrong in
            [&[("dry_run", "yes")][..], &[("dry_run", "true"), ("dry_run", "true")], &[("x", "true")]]
        {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
