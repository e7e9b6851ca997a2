//! Who the phones are: from a file, from a pattern, or made up.

use std::fmt;
use std::io::BufRead;

use crate::inventory::{self, FleetPhone};

/// What a generator must know about one phone.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// User part of its address of record.
    pub number: Box<str>,
    /// Digest user.
    pub user: Box<str>,
    /// Digest password.
    pub password: Box<str>,
    /// Cisco device name, `SEP` and twelve digits; also the name in its certificate.
    pub device: Option<Box<str>>,
}

/// Without the password.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({} {} {:?})", self.number, self.user, self.device)
    }
}

impl From<FleetPhone> for User {
    fn from(phone: FleetPhone) -> User {
        let FleetPhone { device, dn, user, password } = phone;
        User { number: dn.into(), user: user.into(), password: password.into(), device: Some(device.into()) }
    }
}

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// Reading failed.
    #[error("the users can not be read: {0}")]
    Read(#[from] std::io::Error),
    /// It looks like an inventory and is none.
    #[error(transparent)]
    Inventory(#[from] inventory::InventoryError),
    /// A line has too few or too many fields.
    #[error("line {line} of the users is not NUMBER,USER,PASSWORD[,DEVICE]")]
    Line {
        /// Line, from 1.
        line: usize,
    },
    /// Fewer than wanted.
    #[error("{have} users are there, {want} phones are wanted; lower --phones or name more users")]
    Few {
        /// Users that are there.
        have: usize,
        /// Phones wanted.
        want: usize,
    },
    /// A pattern with a malformed place holder.
    #[error("`{0}` is no pattern: `{{}}` or `{{:06}}` stands for the phone's number")]
    Pattern(String),
}

/// Reads users: an inventory (lines of JSON), or lines `number,user,password[,device]`; `#` begins a
/// comment line.
///
/// # Errors
/// [`UsersError`].
pub fn read(mut input: impl BufRead) -> Result<Vec<User>, UsersError> {
    let first = input.fill_buf()?.iter().copied().find(|b| !b.is_ascii_whitespace());
    if first == Some(b'{') {
        return Ok(inventory::read(input)?.into_iter().map(User::from).collect());
    }
    let mut users = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (number, user, password, device) = match fields[..] {
            [number, user, password] => (number, user, password, None),
            [number, user, password, device] => (number, user, password, Some(device.into())),
            _ => return Err(UsersError::Line { line: number + 1 }),
        };
        users.push(User { number: number.into(), user: user.into(), password: password.into(), device });
    }
    Ok(users)
}

/// Text with one place holder for a number: `{}`, or `{:06}` for six digits with zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    after: String,
    /// Digits; `None` without a place holder: the same text for all.
    width: Option<usize>,
}

impl std::str::FromStr for Pattern {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Pattern, UsersError> {
        let bad = || UsersError::Pattern(text.to_owned());
        let Some((before, rest)) = text.split_once('{') else {
            return Ok(Pattern { before: text.to_owned(), after: String::new(), width: None });
        };
        let (inside, after) = rest.split_once('}').ok_or_else(bad)?;
        let width = match inside.strip_prefix(":0") {
            None if inside.is_empty() => 0,
            None => return Err(bad()),
            Some(digits) => digits.parse().ok().filter(|width| *width <= 20).ok_or_else(bad)?,
        };
        if after.contains(['{', '}']) {
            return Err(bad());
        }
        Ok(Pattern { before: before.to_owned(), after: after.to_owned(), width: Some(width) })
    }
}

impl Pattern {
    /// The text for that number.
    pub fn text(&self, number: u64) -> String {
        let Pattern { before, after, width } = self;
        width.map_or_else(|| before.clone(), |width| format!("{before}{number:0width$}{after}"))
    }
}

/// `count` users by patterns, numbered from `first`.
pub fn made(number: &Pattern, user: &Pattern, password: &Pattern, first: u64, count: usize) -> Vec<User> {
    let one = |n: u64| User {
        number: number.text(n).into(),
        user: user.text(n).into(),
        password: password.text(n).into(),
        device: None,
    };
    (first..).take(count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_from_lines_patterns_and_inventories() {
        let lines = "# who\n1001,anna,Secret\n\n 1002 , bert , Other , SEP001122334455\n";
        let users = read(lines.as_bytes()).unwrap();
        assert_eq!((&*users[0].number, &*users[0].user, &*users[0].password), ("1001", "anna", "Secret"));
        assert_eq!(users[1].device.as_deref(), Some("SEP001122334455"));
        assert!(matches!(read("1001,anna\n".as_bytes()), Err(UsersError::Line { line: 1 })));
        let mut rows = Vec::new();
        inventory::write(&mut rows, 3, 5).unwrap();
        let from_rows = read(rows.as_slice()).unwrap();
        assert_eq!(from_rows[4], User::from(inventory::nth(3, 4)));

        let (number, same) = ("2{:04}".parse().unwrap(), "all".parse().unwrap());
        let made = made(&number, &"u{}x".parse().unwrap(), &same, 9, 2);
        assert_eq!((&*made[1].number, &*made[1].user, &*made[1].password), ("20010", "u10x", "all"));
        for bad in ["{", "{x}", "{:4}", "{}{}", "{:099}"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
