//! What a trace is about, and whether a message belongs to it. Hot path while a trace runs.

use keyline_actors::board::Boards;
use keyline_actors::route::{CallKey, GENERATION_MASK};
use keyline_domain::ids::DeviceIndex;
use memchr::memmem::Finder;

use super::{Direction, Way};

/// One phone or one call.
pub enum Subject {
    /// Everything between a phone and the node.
    Phone {
        /// The device.
        index: DeviceIndex,
        /// What names it in a message of its own: device name, digest user, lines that no other phone has.
        names: Box<[Finder<'static>]>,
        /// `sip:<line>@`, which names it in a REGISTER.
        lines: Box<[Finder<'static>]>,
    },
    /// All legs of a call: every message with one of its tags.
    Call {
        /// The call.
        key: CallKey,
        /// How its tags begin.
        tag: Box<Finder<'static>>,
    },
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Phone { index, .. } => write!(f, "Phone({})", index.0),
            Self::Call { key, .. } => write!(f, "Call({key})"),
        }
    }
}

/// A message belongs to a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does.
    Yes,
    /// It does, and so does all else from and to this address.
    Learn,
    /// It does not, by itself.
    No,
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

impl Subject {
    /// A phone by its name; `None` when there is none.
    pub fn phone(boards: &Boards, name: &str) -> Option<Self> {
        let index = boards.devices.by_name(&name.to_ascii_uppercase())?;
        let device = boards.devices.device(index)?;
        let user = device.expected_user().map(|user| finder(&format!("username=\"{user}\"")));
        let own = device.lines.iter().filter(|dn| boards.devices.by_line(dn.as_str()).len() == 1);
        Some(Self::Phone {
            index,
            names: std::iter::once(finder(device.name.as_str())).chain(user).collect(),
            lines: own.map(|dn| finder(&format!("sip:{dn}@"))).collect(),
        })
    }

    /// A call.
    pub fn call(key: CallKey) -> Self {
        Self::Call { key, tag: Box::new(finder(&format!("tag={:02x}.{:x}.", key.partition.0, key.slot))) }
    }

    pub(super) fn concerns(&self, boards: &Boards, way: &Way, direction: Direction, bytes: &[u8]) -> Verdict {
        match self {
            Self::Phone { index, names, lines } => {
                let row = boards.devices.slot(*index).and_then(|slot| slot.row());
                let bound = |row: &keyline_domain::phone::Row| {
                    row.bindings.iter().any(|b| {
                        b.origin.flow.remote() == way.remote && b.origin.flow.transport() == way.transport
                    })
                };
                if row.is_some_and(|row| bound(&row)) {
                    return Verdict::Yes;
                }
                // Only what a phone says itself tells where it is.
                let named = direction == Direction::In
                    && (names.iter().any(|n| n.find(bytes).is_some())
                        || bytes.starts_with(b"REGISTER ") && lines.iter().any(|l| l.find(bytes).is_some()));
                if named { Verdict::Learn } else { Verdict::No }
            }
            Self::Call { key, tag } => {
                let mine = tag.find_iter(bytes).any(|at| is_of(*key, &bytes[at + tag.needle().len()..]));
                if mine { Verdict::Yes } else { Verdict::No }
            }
        }
    }
}

/// The rest of a tag, from its third field on, is of this call (its generation is).
fn is_of(call: CallKey, rest: &[u8]) -> bool {
    let field = rest.split(|b| *b == b'.').next().unwrap_or_default();
    let number = std::str::from_utf8(field).ok().and_then(|t| u64::from_str_radix(t, 16).ok());
    number.is_some_and(|n| n >> 16 == u64::from(call.generation & GENERATION_MASK))
}

#[cfg(test)]
mod tests {
    use keyline_actors::route::TagKey;

    use super::*;

    #[test]
    fn a_call_is_known_by_its_tags_alone() {
        let key = CallKey { partition: keyline_domain::ids::Partition(7), slot: 0x1a, generation: 3 };
        let tags = TagKey::new(&[1; 32]);
        let Subject::Call { tag, .. } = Subject::call(key) else { panic!() };
        let has = |text: &str| {
            tag.find_iter(text.as_bytes()).any(|at| is_of(key, &text.as_bytes()[at + tag.needle().len()..]))
        };
        assert!(has(&format!("From: <sip:a@b>;tag={}\r\n", tags.tag(key, 1))));
        assert!(has(&format!("To: <sip:a@b>;x=1;tag={}", tags.tag(key, 0xffff))));
        assert!(!has(&format!("To: <sip:a@b>;tag={}", tags.tag(CallKey { slot: 0x1b, ..key }, 1))));
        assert!(!has(&format!("To: <sip:a@b>;tag={}", tags.tag(CallKey { generation: 4, ..key }, 1))));
        assert!(!has("To: <sip:a@b>;tag=07.1a.") && !has("tag=07.1a"));
    }
}
