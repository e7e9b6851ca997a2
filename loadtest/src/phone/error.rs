//! What can go wrong on a phone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::tls::TlsError;

/// Why an operation of a phone failed.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// No socket on the own address.
    #[error("no socket on {address}: {source}")]
    Bind {
        /// Own address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("no connection to {server}: {source}; is the server running?")]
    Connect {
        /// The server.
        server: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The TLS handshake failed, or the server's certificate is not believed.
    #[error("TLS handshake with {server} failed: {source}")]
    Handshake {
        /// The server.
        server: SocketAddr,
        /// What rustls says.
        source: io::Error,
    },
    /// TLS can not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The configuration names no line.
    #[error("the phone has no line; give it a directory number")]
    NoLine,
    /// The connection is closed.
    #[error("the connection to {server} is closed; reconnect the phone")]
    Closed {
        /// The server.
        server: SocketAddr,
    },
    /// No answer in time.
    #[error("no {what} within {waited:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// The server refused.
    #[error("{method} was refused with {status} {reason}")]
    Refused {
        /// Method of the request.
        method: String,
        /// Status code.
        status: u16,
        /// Reason phrase with any Warning.
        reason: String,
    },
    /// The server wants a digest that the phone can not compute: no login, or no known algorithm.
    #[error("{method} was challenged and can not be answered: {reason}")]
    Challenge {
        /// Method of the request.
        method: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The call is not in a state for that.
    #[error("the call can not do that now: {0}")]
    State(&'static str),
    /// A body that should be SDP is none.
    #[error("the peer's SDP can not be read: {0}")]
    Sdp(#[from] keyline_wire::sdp::SdpError),
}
