//! A traced message and its form in NDJSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Way, mask};

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a phone.
    In,
    /// To a phone.
    Out,
}

impl Direction {
    /// Name in NDJSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A message as it passed.
#[derive(Debug, Clone)]
pub struct Record {
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// Which way.
    pub direction: Direction,
    /// Between whom.
    pub way: Way,
    /// The whole message, with its secrets: it leaves only by [`Record::json`].
    pub bytes: Box<[u8]>,
}

impl Record {
    /// One object of NDJSON, its secrets masked.
    pub fn json(mut self) -> Value {
        mask::mask(&mut self.bytes);
        let text = String::from_utf8_lossy(&self.bytes);
        let first = text.lines().next().unwrap_or_default();
        let mut out = json!({
            "time": rfc3339_micros(self.at_us),
            "time_us": self.at_us,
            "direction": self.direction.as_str(),
            "transport": self.way.transport,
            "local": self.way.local,
            "remote": self.way.remote,
            "first_line": first,
            "message": text,
        });
        // What is no text is given exactly, too.
        if std::str::from_utf8(&self.bytes).is_err() {
            out["bytes_base64"] = STANDARD.encode(&self.bytes).into();
        }
        out
    }
}

/// RFC 3339, UTC, with microseconds.
fn rfc3339_micros(at_us: u64) -> String {
    let whole = i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX);
    let at = time::OffsetDateTime::from_unix_timestamp(whole).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let micros = at_us % 1_000_000;
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", u8::from(month))
}
