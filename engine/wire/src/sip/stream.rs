//! Cutting a byte stream (TCP, TLS) into messages (RFC 3261 §18.3, RFC 5626 §3.5.1).

use memchr::memchr;

use crate::sip::message::stream_content_length;
use crate::sip::{Limits, ParseError, is_token};

/// Which side of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We accepted it: two line ends between messages are a ping that wants one line end back.
    Acceptor,
    /// We opened it: each line end between messages is the answer to a ping of ours.
    Opener,
}

/// What the stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'f> {
    /// One whole message: give it to [`crate::sip::Message::parse`]. Dropped at the next call.
    Message(&'f [u8]),
    /// CRLF CRLF between messages: answer with one CRLF at once.
    Ping,
    /// CRLF between messages, the answer to our ping.
    Pong,
    /// Nothing whole: read more.
    NeedMore,
    /// Framing is lost: answer `error.status()` if `head` allows it, then close. Every later call
    /// returns this again.
    Broken {
        /// What is wrong.
        error: ParseError,
        /// Bytes of the message so far; parsing them gives what a response needs.
        head: &'f [u8],
    },
}

/// Buffer and state of one connection's receiving side.
///
/// Holds at most one message of the largest size and one pushed chunk; holds no memory while idle. Time
/// is the caller's: a connection whose [`Framer::is_partial`] stays true too long after the first byte
/// must be closed.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// First byte not yet handed out.
    start: usize,
    /// First byte of the line that is to be looked at next, from `start`.
    scanned: usize,
    /// Length of the frame once its head is complete.
    frame: Option<usize>,
    /// One line end of a ping was seen.
    half_ping: bool,
    error: Option<ParseError>,
    side: Side,
    limits: Limits,
}

impl Framer {
    /// For a new connection, under [`Limits::DEFAULT`].
    pub fn new(side: Side) -> Framer {
        Framer::with_limits(side, Limits::DEFAULT)
    }

    /// For a new connection, under other limits.
    pub fn with_limits(side: Side, limits: Limits) -> Framer {
        let (buffer, error) = (Vec::new(), None);
        Framer { buffer, start: 0, scanned: 0, frame: None, half_ping: false, error, side, limits }
    }

    /// Adds received bytes. Call [`Framer::next`] until it says [`Frame::NeedMore`] before the next push;
    /// then the buffer is bounded by one message and one chunk. After an error bytes are thrown away.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// What comes next.
    #[allow(clippy::should_implement_trait, reason = "the item borrows from the framer")]
    pub fn next(&mut self) -> Frame<'_> {
        match self.step() {
            Ok(Step::Message(length)) => {
                let begin = self.start;
                self.start += length;
                (self.scanned, self.frame) = (0, None);
                Frame::Message(&self.buffer[begin..begin + length])
            }
            Ok(Step::Ping) => Frame::Ping,
            Ok(Step::Pong) => Frame::Pong,
            Ok(Step::More) => {
                if self.start == self.buffer.len() {
                    // An idle connection keeps no buffer: there may be hundreds of thousands.
                    self.buffer = Vec::new();
                    self.start = 0;
                }
                Frame::NeedMore
            }
            Err(error) => {
                self.error = Some(error);
                let head = self.buffer.get(self.start..).unwrap_or_default();
                let end = head.len().min(self.limits.head_bytes.saturating_add(4));
                Frame::Broken { error, head: &head[..end] }
            }
        }
    }

    /// Whether a message has begun and is not complete. Line ends between messages begin none.
    pub fn is_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Bytes held.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn step(&mut self) -> Result<Step, ParseError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.frame.is_none()
            && self.scanned == 0
            && let Some(step) = self.line_ends()
        {
            return Ok(step);
        }
        let pending = &self.buffer[self.start..];
        if pending.is_empty() || pending == b"\r" {
            return Ok(Step::More);
        }
        self.half_ping = false;
        let length = match self.frame {
            Some(length) => length,
            None => match self.find_head()? {
                Some(length) => *self.frame.insert(length),
                None => return Ok(Step::More),
            },
        };
        Ok(if self.buffer.len() - self.start >= length { Step::Message(length) } else { Step::More })
    }

    /// Line ends before a start line.
    fn line_ends(&mut self) -> Option<Step> {
        while self.buffer[self.start..].starts_with(b"\r\n") {
            self.start += 2;
            match self.side {
                Side::Opener => return Some(Step::Pong),
                Side::Acceptor if self.half_ping => {
                    self.half_ping = false;
                    return Some(Step::Ping);
                }
                Side::Acceptor => self.half_ping = true,
            }
        }
        None
    }

    /// Length of the whole frame once the head is complete. Looks at every line once.
    fn find_head(&mut self) -> Result<Option<usize>, ParseError> {
        let pending = &self.buffer[self.start..];
        let limit = self.limits.head_bytes;
        let too_long = |line: &[u8]| line.len() > self.limits.header_bytes;
        loop {
            let line = &pending[self.scanned..];
            let Some(feed) = memchr(b'\n', line) else {
                if pending.len() > limit {
                    return Err(ParseError::HeadTooLarge { limit });
                }
                // Also keeps looking again at a line that arrives byte by byte cheap.
                if too_long(line.strip_suffix(b"\r").unwrap_or(line)) {
                    return Err(ParseError::HeaderTooLarge { limit: self.limits.header_bytes });
                }
                // Bytes that can not begin a message (TLS on the TCP port, noise) need not be waited for.
                return if self.scanned == 0 && !plausible(line) {
                    Err(ParseError::StartLine)
                } else {
                    Ok(None)
                };
            };
            // A bare line feed ends a line for some readers only, so on a stream it ends the connection.
            let Some(line) = line[..feed].strip_suffix(b"\r") else { return Err(ParseError::Control) };
            if self.scanned == 0 && !plausible(line) {
                return Err(ParseError::StartLine);
            }
            // Here as well, or it would depend on the chunks whether the connection ends.
            if too_long(line) {
                return Err(ParseError::HeaderTooLarge { limit: self.limits.header_bytes });
            }
            self.scanned += feed + 1;
            if self.scanned > limit {
                return Err(ParseError::HeadTooLarge { limit });
            }
            if line.is_empty() {
                let body = stream_content_length(&pending[..self.scanned], &self.limits)?;
                return Ok(Some(self.scanned + body));
            }
        }
    }
}

enum Step {
    Message(usize),
    Ping,
    Pong,
    More,
}

/// Whether a first line, perhaps not whole yet, may be that of a message: it begins with a token.
fn plausible(line: &[u8]) -> bool {
    let word = line.split(|b| matches!(b, b' ' | b'/' | b'\r')).next().unwrap_or_default();
    std::str::from_utf8(word).is_ok_and(is_token)
}
