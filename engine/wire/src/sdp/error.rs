/// Why a body is not usable SDP. Never quotes the body: it may hold keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More than [`super::BODY_MAX`] bytes.
    #[error("SDP of {length} bytes; at most {limit} are taken")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many of something.
    #[error("SDP has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A line that breaks the grammar.
    #[error("SDP line {number}: expected {expected}")]
    Line {
        /// Line number, from 1.
        number: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A line that must be there is not.
    #[error("SDP has no {what}")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// A network or an address type other than IN IP4 and IN IP6.
    #[error("SDP line {number}: only `IN IP4` and `IN IP6` connections can be bridged")]
    Network {
        /// Line number, from 1.
        number: usize,
    },
}

impl SdpError {
    /// SIP status to refuse the request with (RFC 3261 §21.4).
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => 413,
            Self::Line { .. } | Self::Missing { .. } => 400,
            Self::Network { .. } => 488,
        }
    }
}
