//! What may be shed, told from the bytes of a datagram without reading it as a message.

/// Kinds of requests in the order in which they are shed (design §4, "Back-pressure"). What asks for new work with
/// credentials has been challenged before, so more has been spent on it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A request outside of any dialog, without credentials.
    New(&'static str),
    /// The same with credentials.
    Proven(&'static str),
    /// REGISTER without credentials.
    First,
    /// REGISTER with credentials.
    Refresh,
}

impl Class {
    /// Its place in the order, from 0.
    pub fn place(self) -> u32 {
        match self {
            Class::New(_) => 0,
            Class::Proven(_) => 1,
            Class::First => 2,
            Class::Refresh => 3,
        }
    }

    /// Label of the metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Class::New(kind) | Class::Proven(kind) => kind,
            Class::First => "register",
            Class::Refresh => "refresh",
        }
    }
}

/// Methods that ask for new work, with the label under which they are counted.
const NEW: [(&[u8], &str); 5] = [
    (b"INVITE ", "invite"),
    (b"SUBSCRIBE ", "subscribe"),
    (b"MESSAGE ", "message"),
    (b"REFER ", "message"),
    (b"PUBLISH ", "message"),
];

/// The class of a datagram; `None`: never shed here (responses, ACK, CANCEL, what belongs to a dialog, keepalives).
pub fn class_of(bytes: &[u8]) -> Option<Class> {
    if bytes.starts_with(b"REGISTER ") {
        return Some(if has_credentials(bytes) { Class::Refresh } else { Class::First });
    }
    let (_, kind) = NEW.iter().find(|(method, _)| bytes.starts_with(method))?;
    if lines(bytes).any(is_tagged) {
        return None;
    }
    Some(if has_credentials(bytes) { Class::Proven(kind) } else { Class::New(kind) })
}

/// Header lines of a message, those that go on included as if they were lines of their own.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').skip(1).take_while(|line| !matches!(line, [] | [b'\r']))
}

fn starts(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn has_credentials(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| starts(line, b"Authorization") || starts(line, b"Proxy-Authorization"))
}

/// A To line with a tag. One in a display name does no harm: the request is read then.
fn is_tagged(line: &[u8]) -> bool {
    let name_ends = |after: Option<&u8>| matches!(after, Some(b':' | b' ' | b'\t'));
    let is_to =
        (starts(line, b"To") && name_ends(line.get(2))) || (starts(line, b"t") && name_ends(line.get(1)));
    is_to
        && memchr::memchr_iter(b';', line).any(|at| {
            let name = line[at + 1..].trim_ascii_start();
            starts(name, b"tag")
        })
}
