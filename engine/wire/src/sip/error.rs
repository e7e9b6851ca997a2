//! What can be wrong with a message, and what to answer.

use crate::sip::{HeaderName, Message, Method};

/// Why a URI can not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` in front.
    #[error("the URI has no scheme; write sip:, sips: or tel: in front")]
    Scheme,
    /// White space, a control character, a quote or an angle bracket inside.
    #[error("the URI holds a character that must be escaped")]
    Character,
    /// The host is empty, or neither a name nor an address; IPv6 needs brackets.
    #[error("the host of the URI is neither a name nor an address (IPv6 needs brackets)")]
    Host,
    /// The port is not a number of 0 to 65535.
    #[error("the port of the URI is not a number up to 65535")]
    Port,
    /// A second `@`, or an empty user part before one.
    #[error("the user part of the URI is malformed")]
    User,
    /// An empty parameter or header, or more of them than are allowed.
    #[error("the URI has an empty parameter or more than 64 of them")]
    Params,
}

/// Why a header value can not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Nothing there.
    #[error("the value is empty")]
    Empty,
    /// A quoted string does not end.
    #[error("a quoted string does not end")]
    Quote,
    /// `<` without `>`, or text after `>` that is no parameter.
    #[error("angle brackets do not match or are followed by stray text")]
    Bracket,
    /// A delimiter where a token must stand.
    #[error("a character stands where only a token may")]
    Token,
    /// A parameter is empty, malformed or given twice, or there are more than 64.
    #[error("a parameter is empty, malformed, repeated or beyond the 64th")]
    Param,
    /// Not a number.
    #[error("not a number")]
    Number,
    /// A number outside its range.
    #[error("the number is out of range")]
    Range,
    /// The list holds more elements than allowed, or mixes `*` with others.
    #[error("the list is too long or mixes * with addresses")]
    List,
    /// The URI inside is wrong.
    #[error(transparent)]
    Uri(#[from] UriError),
}

/// Why a message was refused. [`ParseError::status`] is what to answer, where an answer is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Only line ends.
    #[error("no message in the bytes")]
    Empty,
    /// The first line is no SIP start line.
    #[error("the first line is neither a SIP request line nor a status line")]
    StartLine,
    /// A version other than SIP/2.0.
    #[error("only SIP/2.0 is spoken here")]
    Version,
    /// The Request-URI is malformed, or carries headers (RFC 3261 §19.1.1).
    #[error("Request-URI: {0}")]
    RequestUri(UriError),
    /// The Request-URI has a scheme other than sip, sips and tel.
    #[error("Request-URI scheme is none of sip, sips, tel")]
    Scheme,
    /// The header part is not UTF-8.
    #[error("the header part is not UTF-8")]
    Encoding,
    /// A control character or a carriage return without line feed in the header part.
    #[error("a control character stands in the header part")]
    Control,
    /// A header line without a colon, or whose name is no token.
    #[error("a header line has no name before a colon")]
    HeaderLine,
    /// The empty line after the headers is missing.
    #[error("the headers do not end with an empty line")]
    Unterminated,
    /// Start line and headers are too long.
    #[error("start line and headers exceed {limit} bytes")]
    HeadTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// One header line is too long.
    #[error("a header line exceeds {limit} bytes")]
    HeaderTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many header lines.
    #[error("more than {limit} header lines")]
    TooManyHeaders {
        /// Lines allowed.
        limit: usize,
    },
    /// Too many Via values.
    #[error("more than {limit} Via values")]
    TooManyVias {
        /// Values allowed.
        limit: usize,
    },
    /// Content-Length is above the limit of a body.
    #[error("the body of {length} bytes exceeds {limit}")]
    BodyTooLarge {
        /// Bytes announced or present.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Content-Length says more bytes than came.
    #[error("Content-Length says {length} bytes, {present} came")]
    BodyTruncated {
        /// Bytes announced.
        length: usize,
        /// Bytes present.
        present: usize,
    },
    /// A mandatory header is missing.
    #[error("header {0} is missing")]
    Missing(HeaderName),
    /// A header that may stand once stands twice (Content-Length: with another value).
    #[error("header {0} stands more than once")]
    Repeated(HeaderName),
    /// A header value is malformed.
    #[error("header {0}: {1}")]
    Invalid(HeaderName, HeaderError),
    /// The method in CSeq is not that of the request line.
    #[error("the method in CSeq differs from the request line")]
    CseqMethod,
}

impl ParseError {
    /// Status code of the answer.
    pub fn status(&self) -> u16 {
        match self {
            ParseError::Version => 505,
            ParseError::Scheme => 416,
            ParseError::HeadTooLarge { .. }
            | ParseError::HeaderTooLarge { .. }
            | ParseError::TooManyHeaders { .. }
            | ParseError::TooManyVias { .. }
            | ParseError::BodyTooLarge { .. } => 513,
            _ => 400,
        }
    }
}

/// A refused message with whatever of it could be read.
#[derive(Debug, Clone)]
pub struct Rejected<'a> {
    /// What is wrong.
    pub error: ParseError,
    /// The headers that were readable; good enough for [`crate::sip::ReplyHead::capture`], not for processing.
    pub message: Option<Box<Message<'a>>>,
}

impl<'a> Rejected<'a> {
    /// Status code to answer with.
    pub fn status(&self) -> u16 {
        self.error.status()
    }

    /// Reason phrase to answer with; the detail is the `Display` of `error`.
    pub fn reason(&self) -> &'static str {
        crate::sip::reason_phrase(self.status())
    }

    /// The message to answer: a request other than ACK whose topmost Via is readable.
    ///
    /// `None` means: drop in silence (responses, ACK, no Via, binary noise; RFC 3261 §8.2, §17).
    pub fn answerable(&self) -> Option<&Message<'a>> {
        let message = self.message.as_deref()?;
        let request = message.is_request() && message.method() != Some(Method::Ack);
        (request && message.top_via().is_some()).then_some(message)
    }
}
