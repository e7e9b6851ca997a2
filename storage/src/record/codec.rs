//! Compact payloads that later versions can read.
//!
//! A payload has no field names: the schema byte says which fields there are, in which order. An
//! owner that adds a field raises its schema and keeps the branch that reads the older one.

use crate::record::Record;
use crate::table::Table;

/// A value kept as a row.
pub trait Row: Sized {
    /// The table that the value lives in.
    const TABLE: Table;
    /// Version of the encoding that [`Row::encode`] writes.
    const SCHEMA: u8;

    /// Writes the fields.
    fn encode(&self, out: &mut Encoder);

    /// Reads the fields as version `schema` (at most [`Row::SCHEMA`]) wrote them.
    ///
    /// # Errors
    /// [`DecodeError`], as the decoder reports it or for values that have no meaning.
    fn decode(schema: u8, fields: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// The payload of the value.
    fn to_payload(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        self.encode(&mut out);
        out.finish()
    }

    /// The value of a record.
    ///
    /// # Errors
    /// [`DecodeError::SchemaTooNew`] if a later version wrote it, [`DecodeError::Trailing`] if bytes
    /// are left over, else what [`Row::decode`] says.
    fn from_record(record: &Record) -> Result<Self, DecodeError> {
        if record.schema > Self::SCHEMA {
            return Err(DecodeError::SchemaTooNew { found: record.schema, supported: Self::SCHEMA });
        }
        let mut fields = Decoder::new(&record.payload);
        let value = Self::decode(record.schema, &mut fields)?;
        fields.finish()?;
        Ok(value)
    }
}

/// Why a payload does not give a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends inside a field.
    #[error("the row ends inside a field")]
    Short,
    /// The payload goes on after the last field.
    #[error("{bytes} bytes follow the last field")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// A text field is not UTF-8.
    #[error("a text field is not UTF-8")]
    Text,
    /// A field holds a value without meaning.
    #[error("field `{field}` holds a value without meaning")]
    Value {
        /// Name of the field.
        field: &'static str,
    },
    /// A later version of the program wrote the row.
    #[error("the row has schema {found}, this version reads up to {supported}")]
    SchemaTooNew {
        /// Schema of the row.
        found: u8,
        /// Highest schema that this version reads.
        supported: u8,
    },
}

/// Writes fields one after the other.
#[derive(Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    /// A truth value, as one byte.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// A number, in 1 byte below 128 and at most 10 (LEB128).
    pub fn number(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8)
    }

    /// Bytes of a length that is stored with them.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.out.extend_from_slice(value);
        self
    }

    /// A text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// A value or none, one byte ahead of it.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    /// Values of a count that is stored with them.
    pub fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
        self
    }

    /// The payload.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Reads fields one after the other.
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads a payload from its beginning.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::Value`] for a byte other than 0 and 1.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value { field: "truth value" }),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::Value`] above 64 bits.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Value { field: "number" })
    }

    /// A number that fits into the type asked for; `field` names it if it does not.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::Value`].
    pub fn int<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError::Value { field })
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| DecodeError::Short)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(value)
    }

    /// A text.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::Text`].
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Text)
    }

    /// A value or none.
    ///
    /// # Errors
    /// As `read` says.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Values, each of at least one byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the count is larger than what is left; else as `read` says.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::Short)?;
        if count > self.rest.len() {
            return Err(DecodeError::Short);
        }
        let mut values = Vec::with_capacity(count.min(PREALLOCATED_MAX));
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { bytes: self.rest.len() }) }
    }
}

/// Values for which a list takes memory before it has read them.
const PREALLOCATED_MAX: usize = 64;
