//! What a TLS client offers, read from its first bytes (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2): who is to make the
//! handshake is decided by it. Nothing is verified here; whoever makes the handshake reads the same bytes again.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Largest ClientHello that is looked at, in bytes of the handshake message.
pub const MESSAGE_MAX: usize = 1 << 16;

/// What the bytes of a connection begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello: more bytes are needed.
    More,
    /// A whole ClientHello.
    Whole(Offer),
    /// Anything else, or a ClientHello that cannot be read.
    Not,
}

/// What a ClientHello offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// IANA numbers of the suites, in the client's order.
    pub suites: SmallVec<[u16; 32]>,
    /// The version before there was the extension for them.
    legacy_version: u16,
    /// Extension `supported_versions`.
    versions: Option<SmallVec<[u16; 8]>>,
}

/// TLS 1.3.
pub const TLS13: u16 = 0x0304;
/// TLS 1.2.
pub const TLS12: u16 = 0x0303;

impl Offer {
    /// The client speaks this version. Without the extension it speaks all versions before TLS 1.3 up to the one
    /// it names (RFC 8446 §4.2.1).
    pub fn speaks(&self, version: u16) -> bool {
        match &self.versions {
            Some(versions) => versions.contains(&version),
            None => version <= self.legacy_version && version < TLS13,
        }
    }
}

/// Reads what has come so far. Costs time in the order of its length; a connection whose bytes come one by one
/// must be bounded by its caller.
pub fn read(bytes: &[u8]) -> Hello {
    match gather(bytes) {
        Ok(Some(body)) => match offer(&body) {
            Some(offer) => Hello::Whole(offer),
            None => Hello::Not,
        },
        Ok(None) => Hello::More,
        Err(Unreadable) => Hello::Not,
    }
}

/// The ticket that a whole ClientHello wants to go on from: its first pre-shared key (RFC 8446 §4.2.11), else its
/// session ticket (RFC 5077 §3.2). Whether it is worth anything is for its maker to say.
pub fn ticket(bytes: &[u8]) -> Option<Vec<u8>> {
    const SESSION_TICKET: u16 = 35;
    const PRE_SHARED_KEY: u16 = 41;
    let body = gather(bytes).ok()??;
    let mut body = Reader(&body);
    body.take(34)?;
    let session = body.u8()?;
    body.take(session.into())?;
    let suites = body.u16()?;
    body.take(suites.into())?;
    let compression = body.u8()?;
    body.take(compression.into())?;
    let extensions = body.u16()?;
    let mut extensions = Reader(body.take(extensions.into())?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let (kind, length) = (extensions.u16()?, extensions.u16()?);
        let mut data = Reader(extensions.take(length.into())?);
        match kind {
            PRE_SHARED_KEY => {
                data.u16()?;
                let length = data.u16()?;
                found = Some(data.take(length.into())?);
            }
            SESSION_TICKET if found.is_none() && !data.0.is_empty() => found = Some(data.0),
            _ => {}
        }
    }
    found.map(<[u8]>::to_vec)
}

struct Unreadable;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_MAX: usize = 1 << 14;

/// The body of the handshake message, which may be spread over records (RFC 8446 §5.1).
fn gather(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Unreadable> {
    // Nearly always it lies in one record, whole.
    if let [HANDSHAKE, 3, _, high, low, CLIENT_HELLO, 0, b, c, body @ ..] = bytes {
        let record = usize::from(u16::from_be_bytes([*high, *low]));
        let wanted = usize::from(u16::from_be_bytes([*b, *c]));
        if record <= RECORD_MAX && wanted + 4 <= record && wanted <= body.len() {
            return Ok(Some(Cow::Borrowed(&body[..wanted])));
        }
    }
    spread(bytes).map(|whole| whole.map(Cow::Owned))
}

/// The same of a message that lies in several records.
fn spread(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
    let mut message = Vec::new();
    loop {
        // Judged as far as it is there: who speaks another protocol is not waited for.
        match bytes {
            [] => return Ok(None),
            [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => return Ok(None),
            [HANDSHAKE, 3, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_MAX {
                    return Err(Unreadable);
                }
                let whole = rest.len() >= length;
                let (fragment, behind) = rest.split_at(length.min(rest.len()));
                message.extend_from_slice(fragment);
                match *message.as_slice() {
                    [kind, ..] if kind != CLIENT_HELLO => return Err(Unreadable),
                    [_, a, b, c, ..] => {
                        let wanted = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                        if wanted > MESSAGE_MAX {
                            return Err(Unreadable);
                        }
                        if message.len() >= 4 + wanted {
                            message.truncate(4 + wanted);
                            message.drain(..4);
                            return Ok(Some(message));
                        }
                    }
                    _ => {}
                }
                if !whole {
                    return Ok(None);
                }
                bytes = behind;
            }
            _ => return Err(Unreadable),
        }
    }
}

fn offer(body: &[u8]) -> Option<Offer> {
    const SUPPORTED_VERSIONS: u16 = 43;
    const RANDOM: usize = 32;
    let mut body = Reader(body);
    let mut offer = Offer { legacy_version: body.u16()?, ..Offer::default() };
    body.take(RANDOM)?;
    let session = body.u8()?;
    body.take(session.into())?;
    let suites = body.u16()?;
    offer.suites = numbers(body.take(suites.into())?)?;
    let compression = body.u8()?;
    body.take(compression.into())?;
    if body.0.is_empty() {
        // Before there were extensions (RFC 5246 §7.4.1.2).
        return Some(offer);
    }
    let extensions = body.u16()?;
    let mut extensions = Reader(body.take(extensions.into())?);
    while !extensions.0.is_empty() {
        let (kind, length) = (extensions.u16()?, extensions.u16()?);
        let mut data = Reader(extensions.take(length.into())?);
        if kind == SUPPORTED_VERSIONS {
            let length = data.u8()?;
            offer.versions = Some(numbers(data.take(length.into())?)?);
        }
    }
    Some(offer)
}

fn numbers<const N: usize>(bytes: &[u8]) -> Option<SmallVec<[u16; N]>>
where
    [u16; N]: smallvec::Array<Item = u16>,
{
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|p| u16::from_be_bytes(*p)).collect())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|b| u16::from_be_bytes(*b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello in records of so many bytes.
    fn hello(version: u16, suites: &[u16], extensions: Option<&[u8]>, record: usize) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend([2, 1, 1]);
        body.extend((suites.len() as u16 * 2).to_be_bytes());
        body.extend(suites.iter().flat_map(|s| s.to_be_bytes()));
        body.extend([1, 0]);
        if let Some(extensions) = extensions {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        let mut message = vec![1];
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        let records = message.chunks(record);
        records.flat_map(|r| [&[22, 3, 1][..], &(r.len() as u16).to_be_bytes(), r].concat()).collect()
    }

    const VERSIONS: &[u8] = &[0, 5, 0, 1, 9, 0, 43, 0, 5, 4, 3, 4, 3, 3];

    fn whole(bytes: &[u8]) -> Offer {
        match read(bytes) {
            Hello::Whole(offer) => offer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn suites_and_versions_are_read_however_the_records_fall() {
        for record in [1, 3, 4, 5, 50, 1 << 14] {
            let bytes = hello(0x0303, &[0x1301, 0xC010, 0x2A2A], Some(VERSIONS), record);
            let offer = whole(&bytes);
            assert_eq!(offer.suites[..], [0x1301, 0xC010, 0x2A2A]);
            assert!(offer.speaks(TLS13) && offer.speaks(TLS12) && !offer.speaks(0x0302));
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Hello::More, "{cut} of {}", bytes.len());
            }
            assert_eq!(whole(&[&bytes[..], b"behind"].concat()), offer);
        }
    }

    #[test]
    fn without_the_extension_the_version_named_is_the_newest() {
        let old = whole(&hello(0x0301, &[0x002F], None, 100));
        assert!(old.speaks(0x0301) && !old.speaks(0x0302) && !old.speaks(TLS12));
        let twelve = whole(&hello(0x0303, &[0x0002], Some(&[]), 100));
        assert!(twelve.speaks(0x0301) && twelve.speaks(TLS12) && !twelve.speaks(TLS13));
        // TLS 1.3 is never agreed on by that field.
        assert!(!whole(&hello(0x0304, &[0x1301], None, 100)).speaks(TLS13));
    }

    #[test]
    fn anything_else_is_none_from_its_first_wrong_byte() {
        for bytes in [
            &b"REGISTER sip:keyline.local SIP/2.0\r\n"[..],
            b"\x16\x02",
            b"\x17\x03\x03\x00\x05",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\x00\x10\x02",
            b"\x16\x03\x01\x00\x10\x01\x7f\xff\xff",
            // SSL 2.0.
            b"\x80\x2e\x01\x00\x02",
        ] {
            assert_eq!(read(bytes), Hello::Not, "{bytes:?}");
        }
        let mut odd = hello(0x0303, &[0x1301], None, 1000);
        let suites = odd.len() - 5;
        odd[suites] = 1;
        assert_eq!(read(&odd), Hello::Not);
        // Extensions shorter than they say.
        assert_eq!(read(&hello(0x0303, &[0x1301], Some(&[0, 43, 0, 9, 4]), 1000)), Hello::Not);
    }

    #[test]
    fn the_ticket_is_the_first_shared_key_else_the_session_ticket() {
        let session = [&[0, 35, 0, 3][..], b"old"].concat();
        // One identity with its age, one binder.
        let shared = [&[0, 41, 0, 18, 0, 9, 0, 3][..], b"new", &[0, 0, 0, 0, 0, 5, 4, 1, 2, 3, 4]].concat();
        for (extensions, expected) in [
            (vec![], None),
            (VERSIONS.to_vec(), None),
            (vec![0, 35, 0, 0], None),
            (session.clone(), Some(&b"old"[..])),
            ([VERSIONS, &shared].concat(), Some(b"new")),
            ([&session[..], &shared].concat(), Some(b"new")),
            (shared[..9].to_vec(), None),
        ] {
            let bytes = hello(0x0303, &[0x1301], Some(&extensions), 20);
            assert_eq!(ticket(&bytes).as_deref(), expected, "{extensions:?}");
            assert_eq!(ticket(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(ticket(&hello(0x0303, &[0x1301], None, 20)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            ticket(&bytes);
            read(&bytes);
            let mut framed = vec![22, 3, 1, 2, 0, 1, 0, 1, 0xf0];
            framed.extend(&bytes);
            ticket(&framed);
            read(&framed);
        }

        #[test]
        fn mutations_of_a_hello_do_not_panic(at in 0usize..120, to in any::<u8>()) {
            let mut bytes = hello(0x0303, &[0x1301, 0xC010, 0x2A2A], Some(VERSIONS), 40);
            let at = at % bytes.len();
            bytes[at] = to;
            read(&bytes);
        }
    }
}
