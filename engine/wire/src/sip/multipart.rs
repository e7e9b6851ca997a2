//! Splitting multipart bodies (RFC 2046 §5.1, RFC 5621).

use memchr::memmem;

use crate::sip::ContentType;
use crate::sip::limits::MAX_PARTS;
use crate::sip::text::trim;

/// Why a body can not be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// Content-Type is malformed.
    #[error("Content-Type is malformed")]
    ContentType,
    /// `boundary` is missing, empty or longer than 70 characters.
    #[error("the boundary parameter is missing, empty or longer than 70 characters")]
    Boundary,
    /// No closing boundary.
    #[error("the body does not end with its closing boundary")]
    Unterminated,
    /// More parts than allowed.
    #[error("the body has more than 16 parts")]
    TooMany,
}

/// One part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The header lines of the part, as sent.
    pub headers: &'a str,
    /// Content-Type as sent; `text/plain` when the part names none (RFC 2046 §5.1).
    pub content_type: &'a str,
    /// Its bytes.
    pub body: &'a [u8],
}

impl<'a> Part<'a> {
    /// Value of a header of the part, by its name without case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.headers, name)
    }

    /// Whether the part is of that `type/subtype`.
    pub fn is(&self, media_type: &str) -> bool {
        ContentType::parse(self.content_type).is_ok_and(|have| have.is(media_type))
    }
}

/// The parts of a body. A body that is not multipart is its own only part. Nested multiparts are not
/// opened: call again with the part.
///
/// # Errors
/// See [`MultipartError`]; a part that can not be split fails the whole body.
pub fn parts<'a>(content_type: &'a str, body: &'a [u8]) -> Result<Vec<Part<'a>>, MultipartError> {
    let parsed = ContentType::parse(content_type).map_err(|_| MultipartError::ContentType)?;
    if !parsed.media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
        return Ok(vec![Part { headers: "", content_type, body }]);
    }
    let boundary = parsed.params.text("boundary").unwrap_or_default();
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(MultipartError::Boundary);
    }
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut begin: Option<usize> = None;
    for at in memmem::find_iter(body, delimiter.as_bytes()) {
        // A delimiter begins a line; elsewhere it is content.
        if at != 0 && body[at - 1] != b'\n' {
            continue;
        }
        let after = &body[at + delimiter.len()..];
        let closing = after.starts_with(b"--");
        let Some(next) = (if closing { Some(0) } else { line_end(after) }) else { continue };
        if let Some(begin) = begin {
            if parts.len() == MAX_PARTS {
                return Err(MultipartError::TooMany);
            }
            parts.push(part(strip_line_end(body.get(begin..at).unwrap_or_default())));
        }
        if closing {
            return Ok(parts);
        }
        begin = Some(at + delimiter.len() + next);
    }
    Err(MultipartError::Unterminated)
}

/// Length of the blanks and the line end at the start of `bytes`; `None` when other text follows.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let blanks = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match bytes.get(blanks..)? {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] => Some(blanks + 1),
        _ => None,
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn strip_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

fn part(bytes: &[u8]) -> Part<'_> {
    let (head, body) = match bytes {
        [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => (&[][..], rest),
        _ => match (memmem::find(bytes, b"\r\n\r\n"), memmem::find(bytes, b"\n\n")) {
            (Some(crlf), lf) if lf.is_none_or(|lf| crlf < lf) => (&bytes[..crlf], &bytes[crlf + 4..]),
            (_, Some(lf)) => (&bytes[..lf], &bytes[lf + 2..]),
            _ => (bytes, &[][..]),
        },
    };
    let headers = std::str::from_utf8(head).unwrap_or_default();
    Part { headers, content_type: header(headers, "Content-Type").unwrap_or("text/plain"), body }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| {
        let (have, value) = line.split_once(':')?;
        trim(have).eq_ignore_ascii_case(name).then(|| trim(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BULK: &str = "multipart/mixed; boundary=uniqueBoundary";

    #[test]
    fn cisco_bulk_registration_parts_are_found() {
        let body = b"--uniqueBoundary\r\nContent-Type: application/x-cisco-remotecc-request+xml\r\n\
            Content-ID: <1@x>\r\n\r\n<a/>\r\n\r\n--uniqueBoundary\r\n\r\nplain\r\n--uniqueBoundary--\r\n";
        let parts = parts(BULK, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].is("Application/X-cisco-remotecc-request+xml"));
        assert_eq!(parts[0].header("content-id"), Some("<1@x>"));
        assert_eq!(parts[0].body, b"<a/>\r\n");
        assert_eq!((parts[1].content_type, parts[1].body), ("text/plain", &b"plain"[..]));
    }

    #[test]
    fn a_boundary_inside_a_line_or_a_longer_one_is_content() {
        let body = b"--b\r\n\r\nx --b\r\n--bb\r\ny\r\n--b--";
        assert_eq!(parts("multipart/mixed;boundary=\"b\"", body).unwrap()[0].body, b"x --b\r\n--bb\r\ny");
    }

    #[test]
    fn broken_multiparts_are_refused() {
        assert_eq!(parts("multipart/mixed", b""), Err(MultipartError::Boundary));
        assert_eq!(parts("multipart/mixed;boundary=b", b"--b\r\n\r\nx"), Err(MultipartError::Unterminated));
        assert_eq!(parts("multipart", b"x"), Err(MultipartError::ContentType));
        let many = [&b"--b\r\n\r\nx\r\n".repeat(17)[..], b"--b--"].concat();
        assert_eq!(parts("multipart/mixed;boundary=b", &many), Err(MultipartError::TooMany));
    }

    #[test]
    fn any_other_body_is_its_own_part() {
        let parts = parts("application/sdp", b"v=0\r\n").unwrap();
        assert_eq!(
            (parts.len(), parts[0].content_type, parts[0].body),
            (1, "application/sdp", &b"v=0\r\n"[..])
        );
    }
}
