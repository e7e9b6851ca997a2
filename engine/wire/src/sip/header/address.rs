//! Addresses: From, To, Contact, Route, Record-Route, Refer-To and their like (RFC 3261 §20.10).

use std::borrow::Cow;

use memchr::memchr;

use crate::sip::text::{decimal, is_token_byte, quoted_end, split_outside, trim, trim_start, unquote};
use crate::sip::uri::Uri;
use crate::sip::{HeaderError, Params};

/// A `name-addr` or `addr-spec` with its header parameters.
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The whole value, as written.
    pub raw: &'a str,
    /// Display name as written (quotes included); empty when there is none.
    display: &'a str,
    /// The URI.
    pub uri: Uri<'a>,
    /// Header parameters. Without angle brackets everything after `;` is one of them.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses one value and checks its parameters.
    ///
    /// Refused: unclosed quotes and brackets, a display name that would need quotes, white space inside
    /// the brackets, and `?` or `,` in a URI that stands without brackets.
    pub fn parse(raw: &'a str) -> Result<NameAddr<'a>, HeaderError> {
        let raw = trim(raw);
        let address = match Self::opening(raw)? {
            Some(open) => {
                let close = memchr(b'>', &raw.as_bytes()[open..]).ok_or(HeaderError::Bracket)? + open;
                let uri = Uri::parse(&raw[open + 1..close])?;
                let params = Params::after(&raw[close + 1..])?;
                NameAddr { raw, display: trim(&raw[..open]), uri, params }
            }
            None => {
                let (uri, params) = split_outside(raw, b';', false);
                let uri = trim(uri);
                if uri.is_empty() {
                    return Err(HeaderError::Empty);
                }
                if uri.bytes().any(|b| matches!(b, b'?' | b',')) {
                    return Err(HeaderError::Bracket);
                }
                NameAddr { raw, display: "", uri: Uri::parse(uri)?, params: Params::new(params) }
            }
        };
        address.params.check()?;
        Ok(address)
    }

    /// From its parts, which were taken apart and checked earlier.
    pub(in crate::sip) fn of_parts(raw: &'a str, display: &'a str, uri: Uri<'a>, params: Params<'a>) -> Self {
        NameAddr { raw, display, uri, params }
    }

    /// Display name as written.
    pub(in crate::sip) fn display_text(&self) -> &'a str {
        self.display
    }

    /// Position of the `<` that begins the URI; `None` for an address without brackets.
    fn opening(raw: &str) -> Result<Option<usize>, HeaderError> {
        let bytes = raw.as_bytes();
        if raw.starts_with('"') {
            let end = quoted_end(raw)?;
            let gap = raw[end..].len() - trim_start(&raw[end..]).len();
            let open = end + gap;
            return if bytes.get(open) == Some(&b'<') { Ok(Some(open)) } else { Err(HeaderError::Bracket) };
        }
        let Some(open) = memchr(b'<', bytes) else { return Ok(None) };
        let before = &bytes[..open];
        if before.iter().any(|b| matches!(b, b';' | b':')) {
            // The bracket belongs to a parameter of an address without brackets, or to nothing.
            return Ok(None);
        }
        // Parentheses and text beyond ASCII are no tokens either, but can not be misread.
        let fine =
            |b: &u8| is_token_byte(*b) || !b.is_ascii() || matches!(b, b' ' | b'\t' | b'(' | b')' | b'/');
        if before.iter().all(fine) { Ok(Some(open)) } else { Err(HeaderError::Token) }
    }

    /// Display name without quotes, escapes and control characters; empty when there is none.
    pub fn display(&self) -> Cow<'a, str> {
        let text = unquote(self.display);
        if text.contains(|c: char| c.is_control()) {
            return Cow::Owned(text.chars().filter(|c| !c.is_control()).collect());
        }
        text
    }

    /// Tag of From and To; `None` when absent or empty.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// Preference of a Contact in thousandths, 0 to 1000; `None` when absent or malformed.
    pub fn q(&self) -> Option<u16> {
        thousandths(self.params.value("q")?)
    }

    /// Lifetime asked for by a Contact's `expires`; `None` when absent.
    pub fn expires(&self) -> Option<crate::sip::Expires> {
        self.params.get("expires").map(|param| crate::sip::Expires::parse(param.value.unwrap_or_default()))
    }

    /// `+sip.instance` without quotes, angle brackets included: `<urn:uuid:…>` (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<Cow<'a, str>> {
        self.params.text("+sip.instance")
    }

    /// `reg-id` (RFC 5626 §4.2); `None` when absent or not 1 to 2^31 - 1.
    pub fn reg_id(&self) -> Option<u32> {
        flow_number(self.params.value("reg-id")?)
    }

    /// Device name that a Cisco phone claims: `+u.sip!devicename.ccm.cisco.com`.
    pub fn device_name(&self) -> Option<Cow<'a, str>> {
        self.params.text(DEVICE_NAME)
    }

    /// Model number that a Cisco phone claims: `+u.sip!model.ccm.cisco.com`.
    pub fn model(&self) -> Option<Cow<'a, str>> {
        self.params.text(MODEL)
    }

    /// `cisco-keep-alive`: the REGISTER probes a standby node and must change no binding.
    pub fn cisco_keep_alive(&self) -> bool {
        self.params.has("cisco-keep-alive")
    }

    /// All that a registrar reads of a Contact, in one pass.
    pub fn contact_params(&self) -> ContactParams<'a> {
        let mut found = ContactParams::default();
        for param in self.params.iter() {
            let text = || param.value.map(unquote);
            // By length first: most names are told apart by it.
            match (param.name.len(), param.name) {
                (1, name) if name.eq_ignore_ascii_case("q") => found.q = param.value.and_then(thousandths),
                (6, name) if name.eq_ignore_ascii_case("reg-id") => {
                    found.reg_id = param.value.and_then(flow_number);
                }
                (7, name) if name.eq_ignore_ascii_case("expires") => {
                    found.expires = Some(crate::sip::Expires::parse(param.value.unwrap_or_default()));
                }
                (13, name) if name.eq_ignore_ascii_case("+sip.instance") => found.instance = text(),
                (16, name) if name.eq_ignore_ascii_case("cisco-keep-alive") => found.keep_alive = true,
                (26, name) if name.eq_ignore_ascii_case(MODEL) => found.model = text(),
                (31, name) if name.eq_ignore_ascii_case(DEVICE_NAME) => found.device_name = text(),
                _ => {}
            }
        }
        found
    }
}

const DEVICE_NAME: &str = "+u.sip!devicename.ccm.cisco.com";
const MODEL: &str = "+u.sip!model.ccm.cisco.com";

/// What the parameters of a Contact say; see the methods of [`NameAddr`] with these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactParams<'a> {
    /// [`NameAddr::q`].
    pub q: Option<u16>,
    /// [`NameAddr::expires`].
    pub expires: Option<crate::sip::Expires>,
    /// [`NameAddr::instance`].
    pub instance: Option<Cow<'a, str>>,
    /// [`NameAddr::reg_id`].
    pub reg_id: Option<u32>,
    /// [`NameAddr::device_name`].
    pub device_name: Option<Cow<'a, str>>,
    /// [`NameAddr::model`].
    pub model: Option<Cow<'a, str>>,
    /// [`NameAddr::cisco_keep_alive`].
    pub keep_alive: bool,
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 3 || !digits(fraction) {
        return None;
    }
    let fraction = fraction.bytes().chain(*b"000").take(3).fold(0, |sum, b| sum * 10 + u16::from(b - b'0'));
    match whole {
        "0" | "" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

fn flow_number(text: &str) -> Option<u32> {
    u32::try_from(decimal(text)?).ok().filter(|id| (1..=i32::MAX as u32).contains(id))
}
