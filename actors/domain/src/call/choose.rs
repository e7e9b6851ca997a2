//! Which final response the caller gets (RFC 3261 §16.7).

use std::sync::Arc;

use super::types::Headers;

/// A final answer that a target gave, in the words that the caller may hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: u16,
    pub(super) reason: Option<Arc<str>>,
    pub(super) headers: Headers,
}

impl Verdict {
    /// One of our own.
    pub(super) fn local(status: u16) -> Self {
        Self { status, reason: None, headers: Headers::new() }
    }

    /// A phone's answer: its phrase and headers only where its status passes unchanged.
    pub(super) fn of(status: u16, reason: Option<Arc<str>>, headers: Headers) -> Self {
        match shown(status) {
            same if same == status => Self { status, reason, headers },
            other => Self::local(other),
        }
    }

    /// Keeps the better one; of equals the earlier.
    pub(super) fn better(held: Option<Self>, new: Self) -> Self {
        match held {
            Some(held) if rank(held.status) <= rank(new.status) => held,
            _ => new,
        }
    }
}

/// The status that the other leg may see instead of this final one.
pub(super) fn shown(status: u16) -> u16 {
    match status {
        // Redirection is not followed; 481 and 487 speak of our own leg.
        300..=399 | 481 | 487 => 480,
        // A challenge is for us alone, 420 and 421 too; 503 would make the caller avoid this server.
        401 | 407 | 420 | 421 | 503 => 500,
        400..=699 => status,
        _ => 500,
    }
}

/// Lower is better: 6xx, then the lowest class; inside 4xx what the caller can act on, then what a person
/// chose, then mere absence.
fn rank(status: u16) -> u8 {
    match status {
        600..=699 => 0,
        415 | 484 => 1,
        480 | 408 => 4,
        404 | 410 => 3,
        400..=499 => 2,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_and_overload_stay_on_their_leg() {
        for (given, want) in
            [(401, 500), (407, 500), (503, 500), (302, 480), (486, 486), (603, 603), (700, 500)]
        {
            assert_eq!(shown(given), want, "{given}");
        }
    }

    #[test]
    fn a_persons_choice_beats_absence_and_six_hundred_beats_all() {
        let pick = |list: &[u16]| {
            list.iter()
                .fold(None, |held, s| Some(Verdict::better(held, Verdict::local(*s))))
                .map(|v| v.status)
        };
        assert_eq!(pick(&[480, 486, 408]), Some(486));
        assert_eq!(pick(&[500, 404]), Some(404));
        assert_eq!(pick(&[486, 484]), Some(484));
        assert_eq!(pick(&[486, 603, 484]), Some(603));
        assert_eq!(pick(&[502, 500]), Some(502));
    }
}
