//! `application/dialog-info+xml` (RFC 4235 §4.1).

use super::xml::{DECLARATION, push_attribute, push_text};

/// One dialog. Its Call-ID and tags are left out (RFC 4235 §4.1.2 lets them be absent): whoever knows them
/// could speak into it.
#[derive(Debug, Clone, Copy)]
pub struct Dialog<'a> {
    /// Names it within the document.
    pub id: &'a str,
    /// `initiator` or `recipient`.
    pub direction: &'a str,
    /// `trying`, `early`, `confirmed` or `terminated`.
    pub state: &'a str,
    /// URI of the other party.
    pub remote: &'a str,
}

/// The document. `entity` is the URI of the line.
pub fn dialog_info<'a>(
    version: u32,
    full: bool,
    entity: &str,
    dialogs: impl Iterator<Item = Dialog<'a>>,
) -> Vec<u8> {
    let mut out = String::with_capacity(512);
    out.push_str(DECLARATION);
    out.push_str("<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\"");
    push_attribute(&mut out, "version", &version.to_string());
    push_attribute(&mut out, "state", if full { "full" } else { "partial" });
    push_attribute(&mut out, "entity", entity);
    out.push_str(">\n");
    for d in dialogs {
        out.push_str("<dialog");
        push_attribute(&mut out, "id", d.id);
        push_attribute(&mut out, "direction", d.direction);
        out.push_str("><state>");
        push_text(&mut out, d.state);
        out.push_str("</state><local><identity>");
        push_text(&mut out, entity);
        out.push_str("</identity></local><remote><identity>");
        push_text(&mut out, d.remote);
        out.push_str("</identity><target");
        push_attribute(&mut out, "uri", d.remote);
        out.push_str("/></remote></dialog>\n");
    }
    out.push_str("</dialog-info>\n");
    out.into_bytes()
}
