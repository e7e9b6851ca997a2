//! Who a party is said to be (RFC 3325, 3323, 8217): only what this node proved is asserted, and nothing where the
//! party asked for privacy.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::Call;
use super::types::{Header, Headers, LegId};

/// What Privacy asks for (RFC 3323 §4.2, RFC 3325 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Privacy {
    /// The asserted identity must not be told.
    pub id: bool,
    /// Nothing that names the user must be told.
    pub user: bool,
    /// Headers that show the way must be hidden: a back-to-back user agent passes none.
    pub header: bool,
    /// Media must be anonymous too: not provided here.
    pub session: bool,
    /// Rather fail than do less.
    pub critical: bool,
    /// None of it, whatever else might apply.
    pub none: bool,
}

impl Privacy {
    /// Reads the values of Privacy, separated by `;`; unknown ones are passed over.
    pub fn parse<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let mut all = Self::default();
        for value in values.flat_map(|v| v.split([';', ','])) {
            match value.trim().to_ascii_lowercase().as_str() {
                "id" => all.id = true,
                "user" => all.user = true,
                "header" => all.header = true,
                "session" => all.session = true,
                "critical" => all.critical = true,
                "none" => all.none = true,
                _ => {}
            }
        }
        all
    }

    /// The party's name and number are not shown.
    pub fn hides(self) -> bool {
        !self.none && (self.id || self.user)
    }

    /// It demands what nobody here provides (RFC 3323 §5): the request fails.
    pub fn fails(self) -> bool {
        !self.none && self.session && self.critical
    }
}

/// What one leg may be told of the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Identity {
    /// Nothing is known for certain.
    #[default]
    Unknown,
    /// Proven, but the party asked for privacy.
    Hidden,
    /// This name-addr.
    Shown(Arc<str>),
}

/// The name in From where the caller is hidden (RFC 3323 §4.1.1.3).
pub const ANONYMOUS: &str = r#""Anonymous" <sip:anonymous@anonymous.invalid>"#;

/// A name-addr with this display name; quotes and control characters cannot break out of it.
pub fn named(display: &str, addr_spec: &str) -> Arc<str> {
    if display.is_empty() {
        return addr_spec.into();
    }
    let mut text = String::with_capacity(display.len() + addr_spec.len() + 3);
    text.push('"');
    for c in display.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push_str("\" ");
    text.push_str(addr_spec);
    text.into()
}

impl Call {
    /// What a leg is told of another: goes with INVITE to phones, with 18x and 2xx to the caller (RFC 3325 §9.1), and
    /// with whatever tells a phone of a new party (RFC 4916).
    pub(super) fn identity_of(&self, about: LegId) -> Headers {
        let header = match self.leg(about).map(|l| &l.identity) {
            Some(Identity::Shown(who)) => Header::new("P-Asserted-Identity", who.clone()),
            Some(Identity::Hidden) => Header::new("Privacy", "id"),
            Some(Identity::Unknown) | None => return Headers::new(),
        };
        Headers::from_iter([header])
    }

    /// A phone asks for privacy in a response.
    pub(super) fn heed_privacy(&mut self, id: LegId, privacy: Privacy) {
        if let Some(leg) = self.leg_mut(id)
            && privacy.hides()
            && leg.identity != Identity::Hidden
        {
            leg.identity = Identity::Hidden;
            self.dirty = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privacy_is_read_as_a_list() {
        let read = |v: &str| Privacy::parse([v].into_iter());
        assert!(read("id").hides() && read("header; user;critical").hides() && read("ID").hides());
        assert!(!read("header").hides() && !read("none").hides() && !read("id;none").hides());
        assert!(read("session;critical").fails() && !read("session").fails() && !read("unknown").hides());
    }

    #[test]
    fn a_display_name_stays_inside_its_quotes() {
        assert_eq!(&*named("", "<sip:1@h>"), "<sip:1@h>");
        assert_eq!(&*named("Lobby", "<sip:1@h>"), "\"Lobby\" <sip:1@h>");
        assert_eq!(&*named("a\"b\\c\r\nX: y", "<sip:1@h>"), "\"a\\\"b\\\\cX: y\" <sip:1@h>");
    }
}
