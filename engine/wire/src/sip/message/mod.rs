//! One message: an index over its bytes, with typed views read on demand.

mod check;
mod head;
mod kept;
mod views;

use std::borrow::Cow;
use std::fmt;

use crate::sip::text::Elements;
use crate::sip::{HeaderName, Limits, Method, ParseError, Rejected};

use self::head::{Firsts, Lines, Start};
use self::kept::Kept;

pub use self::views::{Contacts, Header};

/// A SIP request or response.
///
/// Parsing copies nothing and allocates nothing in the normal case (up to 48 header lines, no folded
/// line). A message that [`Message::parse`] returned has passed the checks that a UAS owes before it
/// acts: mandatory headers present and once, readable topmost Via, From, To, CSeq, Call-ID and Contact,
/// body as long as said.
#[derive(Clone)]
pub struct Message<'a> {
    head: Cow<'a, str>,
    lines: Lines,
    firsts: Firsts,
    start: Option<Start>,
    /// What the check has read of the headers that everybody asks for.
    kept: Kept,
    body: Cow<'a, [u8]>,
}

impl<'a> Message<'a> {
    /// Parses one datagram, or one frame of a stream, under [`Limits::DEFAULT`].
    ///
    /// Line ends before the start line are passed over; bytes behind Content-Length are dropped; without
    /// Content-Length the body runs to the end (RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`Rejected`] with the fault, the status to answer and whatever was readable.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Rejected<'a>> {
        Self::parse_with(bytes, &Limits::DEFAULT)
    }

    /// As [`Message::parse`], under other limits.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse_with(bytes: &'a [u8], limits: &Limits) -> Result<Message<'a>, Rejected<'a>> {
        let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let input = &bytes[blank..];
        if input.is_empty() {
            return Err(Rejected { error: ParseError::Empty, message: None });
        }
        let head = head::read(input, limits);
        let (start, start_error) =
            head::start(head.text.get(..usize::from(head.start_end)).unwrap_or_default());
        let rest = &input[head.body_start..];
        let mut message = Message {
            head: head.text,
            lines: head.lines,
            firsts: head.firsts,
            start,
            kept: Kept::default(),
            body: Cow::Borrowed(rest),
        };
        let verdict = judge(&mut message, rest, head.error, start_error, head.terminated, limits);
        match verdict {
            Ok(()) => Ok(message),
            Err(error) => {
                let message = message.start.is_some().then(|| Box::new(message));
                Err(Rejected { error, message })
            }
        }
    }

    /// The same message with its own bytes, to be kept after the datagram is gone.
    pub fn into_owned(self) -> Message<'static> {
        Message {
            head: Cow::Owned(self.head.into_owned()),
            lines: self.lines,
            firsts: self.firsts,
            start: self.start,
            kept: self.kept,
            body: Cow::Owned(self.body.into_owned()),
        }
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Some(Start::Request { .. }))
    }

    /// Method of a request; `None` for a response (whose method is in CSeq).
    pub fn method(&self) -> Option<Method<'_>> {
        match self.start? {
            Start::Request { method_end, .. } => Some(Method::of(self.text(0, method_end))),
            Start::Response { .. } => None,
        }
    }

    /// Request-URI as written; `None` for a response.
    pub fn request_uri(&self) -> Option<&str> {
        match self.start? {
            Start::Request { uri_start, uri_end, .. } => Some(self.text(uri_start, uri_end)),
            Start::Response { .. } => None,
        }
    }

    /// Status code of a response, 100 to 699; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match self.start? {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// Reason phrase of a response, perhaps empty; `None` for a request.
    pub fn reason(&self) -> Option<&str> {
        match self.start? {
            Start::Response { reason_start, .. } => {
                let line = self.head.split(['\r', '\n']).next().unwrap_or_default();
                Some(line.get(usize::from(reason_start)..).unwrap_or_default())
            }
            Start::Request { .. } => None,
        }
    }

    /// The body; empty when there is none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// All headers in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.lines.iter().map(|line| Header {
            name: line.name,
            text: self.text(line.name_start, line.name_end),
            value: self.text(line.value_start, line.value_end),
        })
    }

    /// Values of all lines of that header, unfolded and trimmed, one a line.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let from = self.firsts.of(name).unwrap_or(self.lines.len());
        let lines = self.lines[from..].iter().filter(move |line| line.name == name);
        lines.map(|line| self.text(line.value_start, line.value_end))
    }

    /// Value of the first line of that header.
    pub fn first(&self, name: HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    /// Whether a line of that header is there.
    pub fn has(&self, name: HeaderName) -> bool {
        self.firsts.of(name).is_some()
    }

    /// Value of the first line of a header that has no [`HeaderName`]; the name compares without case.
    pub fn other(&self, name: &str) -> Option<&str> {
        self.headers().find(|header| header.text.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Comma-separated elements of that header over all its lines. Commas in quotes and in angle
    /// brackets do not separate. Not for headers whose values hold bare commas (Date, Authorization).
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(Elements::new)
    }

    fn names(&self) -> impl Iterator<Item = HeaderName> + '_ {
        self.lines.iter().map(|line| line.name)
    }

    fn text(&self, start: u16, end: u16) -> &str {
        self.head.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

/// The first fault in the order in which a reader meets them; cuts the body to its length.
fn judge<'a>(
    message: &mut Message<'a>,
    rest: &'a [u8],
    head_error: Option<ParseError>,
    start_error: Option<ParseError>,
    terminated: bool,
    limits: &Limits,
) -> Result<(), ParseError> {
    let length = check::content_length(message.all(HeaderName::ContentLength), limits);
    if let Ok(Some(length)) = length {
        message.body = Cow::Borrowed(&rest[..length.min(rest.len())]);
    }
    // Some senders leave out the last empty line of a message without body. Nothing can be missing
    // when the headers say so themselves.
    let complete = !terminated && length == Ok(Some(0)) && message.head.ends_with('\n');
    let head_error = head_error.filter(|error| !(complete && *error == ParseError::Unterminated));
    if let Some(error) = start_error.or(head_error) {
        return Err(error);
    }
    match length? {
        Some(length) if length > rest.len() => {
            return Err(ParseError::BodyTruncated { length, present: rest.len() });
        }
        None if rest.len() > limits.body_bytes => {
            return Err(ParseError::BodyTooLarge { length: rest.len(), limit: limits.body_bytes });
        }
        _ => {}
    }
    message.kept = check::check(message, limits)?;
    Ok(())
}

/// Body length of a message on a stream by its head (empty line included), read with the same index as
/// the message itself, so that framing and parsing can not disagree.
///
/// # Errors
/// Without exactly one numeric Content-Length, or above the limit (RFC 3261 §18.3, §20.14).
pub(crate) fn stream_content_length(head: &[u8], limits: &Limits) -> Result<usize, ParseError> {
    let head = head::read(head, limits);
    let values = head.lines.iter().filter(|line| line.name == HeaderName::ContentLength);
    let text = |line: &head::Line| head.text.get(usize::from(line.value_start)..usize::from(line.value_end));
    let length = check::content_length(values.filter_map(text), limits)?;
    match (length, head.error) {
        // Text that is not UTF-8 makes a bad message, but nobody sees another end of it.
        (Some(length), None | Some(ParseError::Encoding)) => Ok(length),
        (_, Some(error)) => Err(error),
        (None, None) => Err(ParseError::Missing(HeaderName::ContentLength)),
    }
}

/// Start line and size only: header values may hold secrets.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.head.split(['\r', '\n']).next().unwrap_or_default();
        f.debug_struct("Message")
            .field("start", &line)
            .field("headers", &self.lines.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
