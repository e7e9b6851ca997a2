//! Branches of the requests that we send: the cookie, the worker's number, then random digits.
//!
//! A response may reach another worker than the one that sent the request (the kernel spreads
//! datagrams by their source); the number in the branch says whom to hand it to.

use std::fmt;

use keyline_wire::sip::BRANCH_COOKIE as COOKIE;

/// Length of a branch that [`make`] returns: cookie, 4 digits, a dot, 24 digits.
pub const LENGTH: usize = COOKIE.len() + 4 + 1 + 24;

/// A branch of ours, printable without allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch([u8; LENGTH]);

/// The branch `z9hG4bK<worker, 4 hex digits>.<24 hex digits of random>`. The 96 bits must be
/// unpredictable: whoever can guess them can forge responses on datagrams.
pub fn make(worker: u16, random: [u8; 12]) -> Branch {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'.'; LENGTH];
    out[..COOKIE.len()].copy_from_slice(COOKIE.as_bytes());
    let number = worker.to_be_bytes();
    let places = (COOKIE.len()..COOKIE.len() + 4).chain(COOKIE.len() + 5..LENGTH);
    let nibbles = number.iter().chain(&random).flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, nibble) in places.zip(nibbles) {
        out[place] = DIGITS[usize::from(nibble)];
    }
    Branch(out)
}

/// The worker that made this branch; none if it is not one of ours.
pub fn worker_of(branch: &str) -> Option<u16> {
    let rest = branch.strip_prefix(COOKIE)?.as_bytes();
    if branch.len() != LENGTH || rest.get(4) != Some(&b'.') {
        return None;
    }
    rest[..4].iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u16::from(value))
    })
}

impl Branch {
    /// The branch as it stands in the Via.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written into it.
        std::str::from_utf8(&self.0).unwrap_or(COOKIE)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_names_its_worker() {
        let random = [0, 1, 0x2f, 0xff, 4, 5, 6, 7, 8, 9, 10, 0xab];
        let branch = make(0x01fe, random);
        assert_eq!(branch.as_str(), "z9hG4bK01fe.00012fff0405060708090aab");
        assert_eq!(worker_of(branch.as_str()), Some(0x01fe));
        assert_eq!(worker_of(make(u16::MAX, [0xff; 12]).as_str()), Some(u16::MAX));
    }

    #[test]
    fn other_branches_name_none() {
        for strange in [
            "",
            "z9hG4bK",
            "z9hG4bK01fe",
            "z9hG4bK01fe.00012fff0405060708090aa",
            "z9hG4bK01fe.00012fff0405060708090aabc",
            "Z9HG4BK01fe.00012fff0405060708090aab",
            "z9hG4bK01FE.00012fff0405060708090aab",
            "z9hG4bK+1fe.00012fff0405060708090aab",
            "z9hG4bK01fe-00012fff0405060708090aab",
        ] {
            assert_eq!(worker_of(strange), None, "{strange}");
        }
    }
}
