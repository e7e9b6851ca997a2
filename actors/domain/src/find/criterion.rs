//! What phones are searched by.

/// Texts that each phone has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    /// Name.
    Name,
    /// Description.
    Description,
    /// Any of its lines.
    Line,
    /// Digest user.
    DigestUser,
    /// Who is logged in.
    EmUser,
    /// Common phone profile.
    Common,
}

/// How many texts there are.
pub(super) const TEXTS: usize = 6;

impl TextField {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; TEXTS] =
        [Self::Name, Self::Description, Self::Line, Self::DigestUser, Self::EmUser, Self::Common];
}

/// What the profile of a phone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileField {
    /// Its name.
    Name,
    /// Its model.
    Model,
    /// Its protocol.
    Protocol,
    /// Its device security mode as saved.
    Mode,
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Of the phone.
    Text(TextField),
    /// Of its profile.
    Profile(ProfileField),
}

/// How a criterion compares. Letters are compared without regard to case (ASCII).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// The value begins with the text.
    Begins,
    /// The text is somewhere in the value.
    Contains,
    /// The value is the text.
    IsExactly,
    /// The value ends with the text.
    Ends,
    /// There is no value.
    IsEmpty,
    /// There is a value.
    IsNotEmpty,
}

impl Pattern {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("begins", Self::Begins),
        ("contains", Self::Contains),
        ("is_exactly", Self::IsExactly),
        ("ends", Self::Ends),
        ("is_empty", Self::IsEmpty),
        ("is_not_empty", Self::IsNotEmpty),
    ];

    /// A value fits; of the last two patterns none does, they are about all values of a field.
    pub fn holds(self, value: &str, text: &str) -> bool {
        let (v, t) = (value.as_bytes(), text.as_bytes());
        let Some(rest) = v.len().checked_sub(t.len()) else { return false };
        match self {
            Self::Begins => v[..t.len()].eq_ignore_ascii_case(t),
            Self::Ends => v[rest..].eq_ignore_ascii_case(t),
            Self::IsExactly => v.eq_ignore_ascii_case(t),
            Self::Contains => t.is_empty() || v.windows(t.len()).any(|w| w.eq_ignore_ascii_case(t)),
            Self::IsEmpty | Self::IsNotEmpty => false,
        }
    }

    /// The values of a field fit: one of them, or for the last two patterns all together.
    pub fn admits<'a>(self, values: impl Iterator<Item = &'a str>, text: &str) -> bool {
        let mut values = values.filter(|v| !v.is_empty());
        match self {
            Self::IsEmpty => values.next().is_none(),
            Self::IsNotEmpty => values.next().is_some(),
            _ => values.any(|value| self.holds(value, text)),
        }
    }
}

/// One criterion; all of a search must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Of what.
    pub field: Field,
    /// How to compare.
    pub pattern: Pattern,
    /// With what.
    pub text: String,
}
