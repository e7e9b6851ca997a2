//! `application/reginfo+xml` (RFC 3680 §5).

use super::xml::{DECLARATION, push_attribute, push_text};

/// One contact.
#[derive(Debug, Clone, Copy)]
pub struct Contact<'a> {
    /// Names it within the document.
    pub id: &'a str,
    /// `active` or `terminated`.
    pub state: &'a str,
    /// `registered`, `expired`, `unregistered`, …
    pub event: &'a str,
    /// Seconds left.
    pub expires: u64,
    /// q in thousandths.
    pub q: Option<u16>,
    /// URI.
    pub uri: &'a str,
}

/// The document about one line, whose URI is `aor`. `state` is `init`, `active` or `terminated`.
pub fn reginfo<'a>(
    version: u32,
    full: bool,
    aor: &str,
    state: &str,
    contacts: impl Iterator<Item = Contact<'a>>,
) -> Vec<u8> {
    let mut out = String::with_capacity(512);
    out.push_str(DECLARATION);
    out.push_str("<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\"");
    push_attribute(&mut out, "version", &version.to_string());
    push_attribute(&mut out, "state", if full { "full" } else { "partial" });
    out.push_str(">\n<registration");
    push_attribute(&mut out, "aor", aor);
    // One line a document: a constant names it.
    push_attribute(&mut out, "id", "r1");
    push_attribute(&mut out, "state", state);
    out.push_str(">\n");
    for c in contacts {
        out.push_str("<contact");
        push_attribute(&mut out, "id", c.id);
        push_attribute(&mut out, "state", c.state);
        push_attribute(&mut out, "event", c.event);
        if c.state == "active" {
            push_attribute(&mut out, "expires", &c.expires.to_string());
        }
        if let Some(q) = c.q {
            let q = if q >= 1000 { "1.0".to_owned() } else { format!("0.{q:03}") };
            push_attribute(&mut out, "q", &q);
        }
        out.push_str("><uri>");
        push_text(&mut out, c.uri);
        out.push_str("</uri></contact>\n");
    }
    out.push_str("</registration>\n</reginfo>\n");
    out.into_bytes()
}
