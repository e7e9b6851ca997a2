//! Broken SIP, made from sound SIP: each kind of damage says which reactions fit it.

use std::ops::Range;

/// A small generator of numbers: the same seed gives the same run (xorshift64*).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number of that range, which is not empty.
    pub fn of(&mut self, range: Range<usize>) -> usize {
        range.start + (self.roll() % (range.end - range.start) as u64) as usize
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.of(0..from.len())]
    }
}

/// Kinds of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Damage {
    /// Some bytes anywhere get other values.
    Flipped,
    /// The end is missing.
    Truncated,
    /// A mandatory header is missing.
    Removed,
    /// A header that may stand once stands twice, with different values.
    Doubled,
    /// A header line of 20,000 bytes.
    Overlong,
    /// 300 header lines more.
    Crowded,
    /// 200 Via values more.
    Relayed,
    /// A number beyond its range in CSeq, Max-Forwards or Content-Length.
    Overflown,
    /// Header lines folded behind the colon: sound, if old.
    Folded,
    /// NUL and other control characters in a header.
    Control,
    /// Bytes that are no UTF-8 in a header.
    Encoding,
    /// Content-Length beyond the bytes that there are.
    LengthAbove,
    /// Content-Length below the bytes that there are.
    LengthBelow,
    /// Another version of SIP.
    Version,
    /// The method of CSeq is another.
    Mismatch,
    /// A method that nobody knows.
    Method,
    /// Unbalanced quotes and brackets in an address.
    Unbalanced,
    /// Bytes that are no SIP at all in front.
    Noise,
}

/// All kinds.
pub const DAMAGES: [Damage; 18] = [
    Damage::Flipped,
    Damage::Truncated,
    Damage::Removed,
    Damage::Doubled,
    Damage::Overlong,
    Damage::Crowded,
    Damage::Relayed,
    Damage::Overflown,
    Damage::Folded,
    Damage::Control,
    Damage::Encoding,
    Damage::LengthAbove,
    Damage::LengthBelow,
    Damage::Version,
    Damage::Mismatch,
    Damage::Method,
    Damage::Unbalanced,
    Damage::Noise,
];

impl Damage {
    /// Whether an answer with that status fits the damage. A failure of the node itself (500) never does.
    pub fn fits(self, status: u16) -> bool {
        match self {
            Damage::Removed
            | Damage::Doubled
            | Damage::Control
            | Damage::Encoding
            | Damage::LengthAbove
            | Damage::Mismatch
            | Damage::Unbalanced => status == 400,
            Damage::Overlong | Damage::Crowded | Damage::Relayed => status == 513,
            Damage::Overflown => matches!(status, 400 | 513),
            Damage::Version => status == 505,
            Damage::Method => matches!(status, 401 | 403 | 405 | 481 | 501),
            // Sound, so the request is judged by what it asks.
            Damage::Folded => !matches!(status, 400 | 416 | 500..),
            // A shorter body may still be one.
            Damage::LengthBelow => !matches!(status, 416 | 500..),
            Damage::Flipped | Damage::Truncated | Damage::Noise => {
                (200..500).contains(&status) || matches!(status, 501 | 505 | 513)
            }
        }
    }

    /// Damages a message, which is sound and has CRLF line ends.
    pub fn apply(self, message: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut bytes = message.to_vec();
        let end = head_end(message);
        match self {
            Damage::Flipped => {
                for _ in 0..dice.of(1..9) {
                    let at = dice.of(0..bytes.len());
                    bytes[at] = dice.roll() as u8;
                }
            }
            Damage::Truncated => bytes.truncate(dice.of(1..message.len())),
            Damage::Removed => {
                let name = *dice.pick(&["From", "To", "Call-ID", "CSeq"]);
                edit_lines(&mut bytes, |line| !is(line, name), |line| line.to_vec());
            }
            Damage::Doubled => {
                let line = *dice.pick(&[
                    "From: <sip:x@y>;tag=other\r\n",
                    "To: <sip:x@y>\r\n",
                    "Call-ID: another\r\n",
                    "CSeq: 77 OPTIONS\r\n",
                    "Max-Forwards: 3\r\n",
                    "Content-Length: 999\r\n",
                ]);
                insert(&mut bytes, end, line.as_bytes());
            }
            Damage::Overlong => {
                let line = format!("Subject: {}\r\n", "long".repeat(5000));
                insert(&mut bytes, end, line.as_bytes());
            }
            Damage::Crowded => insert(&mut bytes, end, "X-More: 1\r\n".repeat(300).as_bytes()),
            Damage::Relayed => {
                let vias = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n".repeat(200);
                insert(&mut bytes, end, vias.as_bytes());
            }
            Damage::Overflown => {
                let huge = *dice.pick(&["4294967296", "99999999999999999999", "-1", "0x10"]);
                let name = *dice.pick(&["CSeq", "Max-Forwards", "Content-Length"]);
                edit_lines(&mut bytes, |_| true, |line| with_number(line, name, huge));
            }
            Damage::Folded => edit_lines(
                &mut bytes,
                |_| true,
                |line| {
                    let colon = line.iter().position(|b| *b == b':').expect("a header line");
                    [&line[..=colon], b"\r\n \t", &line[colon + 1..]].concat()
                },
            ),
            Damage::Control => {
                let byte = *dice.pick(&[0u8, 1, 8, 11, 27, 127]);
                insert(&mut bytes, end, &[&b"X-Dirt: a"[..], &[byte], b"b\r\n"].concat());
            }
            Damage::Encoding => {
                let dirt = *dice.pick(&[&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80"]);
                insert(&mut bytes, end, &[b"X-Dirt: a", dirt, b"\r\n"].concat());
            }
            Damage::LengthAbove => {
                let more = (message.len() - end + dice.of(1..5000)).to_string();
                edit_lines(&mut bytes, |_| true, |line| with_number(line, "Content-Length", &more));
            }
            Damage::LengthBelow => {
                bytes.extend_from_slice(b"and some bytes more\r\n\r\n");
            }
            Damage::Version => replace(&mut bytes, b" SIP/2.0\r\n", b" SIP/3.1\r\n"),
            Damage::Mismatch => edit_lines(
                &mut bytes,
                |_| true,
                |line| if is(line, "CSeq") { b"CSeq: 5 PUBLISH\r\n".to_vec() } else { line.to_vec() },
            ),
            Damage::Method => {
                let space = bytes.iter().position(|b| *b == b' ').expect("a request line");
                let old = bytes[..space].to_vec();
                let new = *dice.pick(&[&b"FROBNICATE"[..], b"register", b"RE%47IST%45R", b"A.B-C!~'"]);
                edit_lines(
                    &mut bytes,
                    |_| true,
                    |line| {
                        let mut line = line.to_vec();
                        if is(&line, "CSeq") {
                            replace(&mut line, &old, new);
                        }
                        line
                    },
                );
                bytes.splice(..old.len(), new.iter().copied());
            }
            Damage::Unbalanced => {
                let value = *dice.pick(&[
                    "\"open <sip:a@b>;tag=1",
                    "<sip:a@b;tag=1",
                    "<sip:a@b>>;tag=1",
                    "sip:a@b@c;tag=1",
                    "<sip:a b@c>;tag=1",
                    "<>;tag=1",
                    "<sip:a@[::1>;tag=1",
                    "<sip:a@b:99999>;tag=1",
                ]);
                let line = format!("From: {value}\r\n").into_bytes();
                edit_lines(
                    &mut bytes,
                    |_| true,
                    |own| if is(own, "From") { line.clone() } else { own.to_vec() },
                );
            }
            Damage::Noise => {
                let noise: Vec<u8> = (0..dice.of(1..40)).map(|_| dice.roll() as u8).collect();
                insert(&mut bytes, 0, &noise);
            }
        }
        bytes
    }
}

/// Where the empty line begins.
fn head_end(message: &[u8]) -> usize {
    message.windows(4).position(|four| four == b"\r\n\r\n").expect("a sound message") + 2
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

fn replace(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|w| w == old) {
        bytes.splice(at..at + old.len(), new.iter().copied());
    }
}

fn is(line: &[u8], name: &str) -> bool {
    line.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
        && line.get(name.len()) == Some(&b':')
}

/// The line with another number, if it is of that name.
fn with_number(line: &[u8], name: &str, number: &str) -> Vec<u8> {
    if !is(line, name) {
        return line.to_vec();
    }
    let text = String::from_utf8_lossy(line);
    let rest = text.trim_end().split_once(' ').map_or("", |(_, value)| value);
    let behind = rest.split_once(' ').map_or(String::new(), |(_, behind)| format!(" {behind}"));
    format!("{name}: {number}{behind}\r\n").into_bytes()
}

/// Keeps and changes header lines; start line and body stay.
fn edit_lines(bytes: &mut Vec<u8>, keep: impl Fn(&[u8]) -> bool, change: impl Fn(&[u8]) -> Vec<u8>) {
    let end = head_end(bytes);
    let mut lines = bytes[..end].split_inclusive(|b| *b == b'\n');
    let mut out = lines.next().unwrap_or_default().to_vec();
    for line in lines.filter(|line| keep(line)) {
        out.extend(change(line));
    }
    out.extend_from_slice(&bytes[end..]);
    *bytes = out;
}
