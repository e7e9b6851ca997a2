//! From bytes to an index of header lines.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;

use crate::sip::text::{is_token, trim, trim_end, trim_start};
use crate::sip::{HeaderName, Limits, ParseError};

/// Header lines that are indexed without allocating.
pub(super) const INLINE_LINES: usize = 48;

pub(super) type Lines = SmallVec<[Line; INLINE_LINES]>;

/// Where one header stands in the head; offsets fit 16 bits because [`Limits::head_bytes`] does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub name: HeaderName,
    pub name_start: u16,
    pub name_end: u16,
    pub value_start: u16,
    pub value_end: u16,
}

/// Where the first line of each known header stands, counted from 1; 0 without one. Numbers that do not fit stand for
/// this line or one behind it.
#[derive(Clone)]
pub(super) struct Firsts([u8; HeaderName::Other as usize + 1]);

impl Firsts {
    fn note(&mut self, name: HeaderName, line: usize) {
        let first = &mut self.0[name as usize];
        if *first == 0 {
            *first = u8::try_from(line + 1).unwrap_or(u8::MAX);
        }
    }

    /// The line to look at first; `None` when there is none of that name.
    #[inline]
    pub(super) fn of(&self, name: HeaderName) -> Option<usize> {
        usize::from(self.0[name as usize]).checked_sub(1)
    }
}

/// The head of a message: text without folds, and its lines.
pub(super) struct Head<'a> {
    /// Start line and headers, without the empty line.
    pub text: Cow<'a, str>,
    /// End of the start line in `text`.
    pub start_end: u16,
    pub lines: Lines,
    pub firsts: Firsts,
    /// Where the body begins in the input.
    pub body_start: usize,
    /// The first fault; the index is as complete as it can be nevertheless.
    pub error: Option<ParseError>,
    /// The empty line was there.
    pub terminated: bool,
}

/// Reads the head of a message. `input` begins with the start line and is not empty.
pub(super) fn read<'a>(input: &'a [u8], limits: &Limits) -> Head<'a> {
    let limit = limits.head_bytes.min(usize::from(u16::MAX));
    let found = find_end(&input[..input.len().min(limit)]);
    let head = &input[..found.end];
    let mut error = None;
    if !found.terminated {
        error = Some(if input.len() > limit {
            ParseError::HeadTooLarge { limit }
        } else {
            ParseError::Unterminated
        });
    }
    // Carriage returns that end no line, and control characters, are seen by counting: one fast pass.
    let returns = memchr_iter(b'\r', head).count();
    let controls = head.iter().fold(false, |any, b| any | is_control(*b));
    let text = match std::str::from_utf8(head) {
        Ok(text) if !found.folded && !controls && returns == found.crlf => Cow::Borrowed(text),
        _ => {
            let (text, fault) = normalise(head);
            // A fault of the bytes outranks a missing end, not an oversized head.
            error = error.filter(|e| *e != ParseError::Unterminated).or(fault).or(error);
            Cow::Owned(text)
        }
    };
    let mut lines = Lines::new();
    let mut firsts = Firsts([0; HeaderName::Other as usize + 1]);
    let start_end = index(&text, limits, &mut lines, &mut firsts, &mut error);
    Head { text, start_end, lines, firsts, body_start: found.body, error, terminated: found.terminated }
}

/// Without branches, so that many bytes are judged at once.
fn is_control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t') & (byte != b'\r') & (byte != b'\n')) | (byte == 0x7f)
}

struct End {
    /// End of the last header line, its line end included.
    end: usize,
    /// First byte behind the empty line.
    body: usize,
    folded: bool,
    /// Lines that end with CR LF.
    crlf: usize,
    terminated: bool,
}

fn find_end(input: &[u8]) -> End {
    let (mut at, mut crlf, mut folded) = (0, 0, false);
    for feed in memchr_iter(b'\n', input) {
        let line = &input[at..feed];
        match line {
            b"" | b"\r" => return End { end: at, body: feed + 1, folded, crlf, terminated: true },
            _ => {}
        }
        crlf += usize::from(line.ends_with(b"\r"));
        folded |= matches!(line[0], b' ' | b'\t');
        at = feed + 1;
    }
    folded |= matches!(input.get(at), Some(b' ' | b'\t'));
    End { end: input.len(), body: input.len(), folded, crlf, terminated: false }
}

/// A copy of the head with folds replaced by one space (RFC 3261 §7.3.1), bare line feeds kept as line
/// ends, and everything that may not stand in a header replaced, so that nothing of it can be echoed.
fn normalise(head: &[u8]) -> (String, Option<ParseError>) {
    let mut out = String::with_capacity(head.len());
    let (mut fault, mut first_line) = (None, true);
    for chunk in head.utf8_chunks() {
        push_normal(&mut out, chunk.valid(), &mut first_line, &mut fault);
        if !chunk.invalid().is_empty() {
            out.push('?');
            fault.get_or_insert(ParseError::Encoding);
        }
    }
    (out, fault)
}

fn push_normal(out: &mut String, text: &str, first_line: &mut bool, fault: &mut Option<ParseError>) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' if matches!(chars.peek(), Some(' ' | '\t')) => {
                while matches!(chars.peek(), Some(' ' | '\t')) {
                    chars.next();
                }
                // The start line may not be folded (RFC 3261 §7.1).
                if *first_line {
                    fault.get_or_insert(ParseError::StartLine);
                }
                out.push(' ');
            }
            '\n' => {
                *first_line = false;
                out.push(c);
            }
            '\t' => out.push(c),
            // Only as the second half of a quoted pair (RFC 3261 §25.1).
            c if c.is_ascii_control() && c != '\r' && out.ends_with('\\') => out.push(c),
            c if c.is_ascii_control() => {
                out.push(' ');
                fault.get_or_insert(ParseError::Control);
            }
            c => out.push(c),
        }
    }
}

/// Indexes the lines of a head without folds; returns where the start line ends.
fn index(
    text: &str,
    limits: &Limits,
    lines: &mut Lines,
    firsts: &mut Firsts,
    error: &mut Option<ParseError>,
) -> u16 {
    let bytes = text.as_bytes();
    let start_end = memchr(b'\n', bytes).unwrap_or(bytes.len());
    let mut at = start_end + 1;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |step| at + step);
        let length = end - at - usize::from(bytes[at..end].ends_with(b"\r"));
        if length > limits.header_bytes {
            error.get_or_insert(ParseError::HeaderTooLarge { limit: limits.header_bytes });
        } else if lines.len() == limits.headers {
            error.get_or_insert(ParseError::TooManyHeaders { limit: limits.headers });
            break;
        } else {
            match line(text, at, end) {
                Some(line) => {
                    firsts.note(line.name, lines.len());
                    lines.push(line);
                }
                None => drop(error.get_or_insert(ParseError::HeaderLine)),
            }
        }
        at = end + 1;
    }
    let start_end = start_end - usize::from(bytes[..start_end].ends_with(b"\r"));
    offset(start_end)
}

fn line(text: &str, at: usize, end: usize) -> Option<Line> {
    let colon = at + memchr(b':', &text.as_bytes()[at..end])?;
    let name = trim_end(&text[at..colon]);
    let value = &text[colon + 1..end];
    let value = trim_end(value.strip_suffix('\r').unwrap_or(value));
    let lead = value.len() - trim_start(value).len();
    let known = HeaderName::of(name);
    if known == HeaderName::Other && !is_token(name) {
        return None;
    }
    Some(Line {
        name: known,
        name_start: offset(at),
        name_end: offset(at + name.len()),
        value_start: offset(colon + 1 + lead),
        value_end: offset(colon + 1 + value.len()),
    })
}

/// Heads are cut to what 16 bits reach before they are indexed, so nothing is lost here.
fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// What the start line says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// Offsets of method and Request-URI in the head.
    Request { method_end: u16, uri_start: u16, uri_end: u16 },
    /// Status code and offset of the reason phrase.
    Response { status: u16, reason_start: u16 },
}

/// Reads the start line. A request line with a fault still gives method and URI where they can be seen.
pub(super) fn start(line: &str) -> (Option<Start>, Option<ParseError>) {
    if line.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("SIP/")) {
        return status_line(line);
    }
    let Some((method, rest)) = line.split_once(' ') else { return (None, Some(ParseError::StartLine)) };
    if !is_token(method) {
        return (None, Some(ParseError::StartLine));
    }
    let uri_start = method.len() + 1;
    let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let start = Start::Request {
        method_end: offset(method.len()),
        uri_start: offset(uri_start),
        uri_end: offset(uri_start + uri.len()),
    };
    let error = match version {
        _ if version.eq_ignore_ascii_case("SIP/2.0") => None,
        _ if version.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("SIP/")) => Some(ParseError::Version),
        _ => Some(ParseError::StartLine),
    };
    (Some(start), error)
}

fn status_line(line: &str) -> (Option<Start>, Option<ParseError>) {
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    let code = rest.split(' ').next().unwrap_or_default();
    let status = if code.len() == 3 { trim(code).parse().ok() } else { None };
    let Some(status) = status.filter(|s| (100..700).contains(s)) else {
        return (None, Some(ParseError::StartLine));
    };
    let reason_start = (version.len() + 1 + code.len() + 1).min(line.len());
    let error = (!version.eq_ignore_ascii_case("SIP/2.0")).then_some(ParseError::Version);
    (Some(Start::Response { status, reason_start: offset(reason_start) }), error)
}
