//! The order of commits.

use std::fmt;

/// Number of a commit in the order of all commits of a store. Grows, also over restarts; may have
/// gaps. 0 is "before the first commit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
