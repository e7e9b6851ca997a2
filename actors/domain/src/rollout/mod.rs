//! A roll-out brings the saved version of a profile to its phones, at a pace (design §5 Profile versions; R035,
//! R102, R184, R206). Pure: what happened and the time are arguments.
//!
//! | module | subject |
//! |---|---|
//! | `state` | a roll-out: what was asked, how far it is, when it stops by itself |
//! | `pace` | how many phones may be signalled now |
//! | `back` | did a phone come back after it was signalled? |

mod back;
mod pace;
mod state;

#[cfg(test)]
mod tests;

pub use back::{Back, Mark};
pub use pace::Pace;
pub use state::{
    Counts, FAILED_NAMES_MAX, Failure, Failures, Gate, NotNow, PER_SECOND_MAX, Rollout, RolloutId,
    RolloutState, WINDOW_MAX_S,
};

use serde::{Deserialize, Serialize};

/// What a phone is told (provisioning.md §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start anew, configuration included.
    Reset,
    /// Register anew.
    Restart,
    /// Fetch the configuration and apply it.
    Apply,
}

impl Order {
    /// As in a path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Restart => "restart",
            Self::Apply => "apply",
        }
    }
}
