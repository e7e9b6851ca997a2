//! Upper bounds on everything that a peer decides the size of.

/// Limits of one message. All hold before anybody is authenticated.
///
/// A message beyond a limit is refused with 513 (Message Too Large); over a stream the connection is
/// closed after the answer, because its framing can no longer be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Start line and headers together, in bytes; at most 65,535 (offsets are 16 bits wide).
    pub head_bytes: usize,
    /// One header line after unfolding, name included, in bytes.
    pub header_bytes: usize,
    /// Header lines in one message.
    pub headers: usize,
    /// Via values in one message, counted over lines and commas.
    pub vias: usize,
    /// Body, in bytes.
    pub body_bytes: usize,
}

impl Limits {
    /// The limits in force everywhere unless a caller says otherwise.
    pub const DEFAULT: Limits = Limits {
        head_bytes: 65_535,
        header_bytes: 16 * 1024,
        headers: 256,
        vias: 128,
        body_bytes: 256 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Parameters of one header value or one URI; above it the value is refused, so that comparing
/// parameter lists stays cheap.
pub const MAX_PARAMS: usize = 64;

/// Contact values in one message.
pub const MAX_CONTACTS: usize = 128;

/// Parts of one multipart body.
pub const MAX_PARTS: usize = 16;

/// Directives of one Authorization or WWW-Authenticate value.
pub const MAX_AUTH_FIELDS: usize = 32;
