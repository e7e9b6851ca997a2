//! Who a request comes from, for the audit, and the id by which its answer, the log and the audit call it.

use actix_web::HttpMessage;
use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use keyline_domain::audit::{CONTROL_SOCKET, Who};

/// Header with the id of a request: the client's, else one of ours.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a client, in bytes.
const ID_MAX: usize = 64;

/// Notes who was let in, for the handler; gives the id of the request.
pub(super) fn note(request: &ServiceRequest, token: &str, role: &str) -> Box<str> {
    let id = id(request.headers());
    let source = request.peer_addr().map_or_else(String::new, |a| a.ip().to_string());
    request.extensions_mut().insert(Who::token(token, role, &source, Some(&id)));
    id
}

/// Puts the id into an answer.
pub(super) fn mark(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// Who asks: whoever the guard let in; on the control socket, which has no guard, the user that the node runs as.
pub(super) fn caller(request: &HttpRequest) -> Who {
    if let Some(who) = request.extensions().get::<Who>() {
        return who.clone();
    }
    let given = request.headers().get(REQUEST_ID).and_then(usable);
    Who { request: given.map(Box::from), ..Who::local(CONTROL_SOCKET) }
}

fn id(headers: &HeaderMap) -> Box<str> {
    if let Some(given) = headers.get(REQUEST_ID).and_then(usable) {
        return given.into();
    }
    let mut bytes = [0u8; 8];
    // Without randomness the id says nothing, which is no reason to refuse the request.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into()
}

fn usable(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_the_client_is_taken_when_it_can_be_printed() {
        let of = |given: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            id(&headers)
        };
        assert_eq!(&*of("run-17/step:3"), "run-17/step:3");
        for other in ["", "a b", "ü"] {
            let made = of(other);
            assert!(made.len() == 16 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
        }
        assert_ne!(id(&HeaderMap::new()), id(&HeaderMap::new()));
    }
}
