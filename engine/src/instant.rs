//! An instant as operators read it.

use std::fmt;

use keyline_domain::ids::UnixMillis;
use serde::{Serialize, Serializer};

/// An instant in the API: RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixMillis);

/// Beyond the year 9999 RFC 3339 has no form; the last instant that it has stands for it.
const LAST: time::OffsetDateTime = time::Date::MAX.midnight().assume_utc();

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.0 / 1000, self.0.0 % 1000);
        let at = i64::try_from(seconds)
            .ok()
            .and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok())
            .unwrap_or(LAST);
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", u8::from(month))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
