use std::borrow::Cow;

use super::crypto::{self, CryptoRefusal};
use super::{
    Attribute, BODY_MAX, CRYPTO_MAX, Connection, Direction, LINES_MAX, MEDIA_MAX, Media, Origin, Sdp,
    SdpError, Text,
};

/// Parses a body. Line ends may be CRLF or LF; empty lines are skipped; the order of lines inside the
/// session part and inside a media part does not matter, but `v=0` comes first.
///
/// Lenient where phones are known to err: a missing `s=` or `t=`, blanks in the user name of `o=`, text
/// lines that are not UTF-8 (dropped), no format on a refused m-line.
pub fn parse(body: &[u8]) -> Result<Sdp<'_>, SdpError> {
    if body.len() > BODY_MAX {
        return Err(SdpError::TooLong { length: body.len(), limit: BODY_MAX });
    }
    let mut parser = Parser::default();
    let (mut first, mut number, mut rest) = (true, 0, body);
    while !rest.is_empty() {
        let (raw, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        number += 1;
        let line = Line { number, bytes: raw.strip_suffix(b"\r").unwrap_or(raw) };
        if line.bytes.is_empty() {
            continue;
        }
        if line.number > LINES_MAX {
            return Err(SdpError::TooMany { what: "lines", limit: LINES_MAX });
        }
        // A CR that some other parser takes for a line end would smuggle lines past this one.
        if memchr::memchr2(0, b'\r', line.bytes).is_some() {
            return Err(line.error("no NUL and no CR inside a line"));
        }
        if std::mem::take(&mut first) {
            match line.bytes {
                b"v=0" => continue,
                _ => return Err(line.error("`v=0`")),
            }
        }
        parser.line(line)?;
    }
    if first {
        return Err(SdpError::Missing { what: "`v=` line" });
    }
    parser.finish()
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    bytes: &'a [u8],
}

impl<'a> Line<'a> {
    fn error(&self, expected: &'static str) -> SdpError {
        SdpError::Line { number: self.number, expected }
    }

    fn value(&self) -> &'a [u8] {
        self.bytes.get(2..).unwrap_or_default()
    }

    /// Text of a line whose content structures the description.
    fn text(&self) -> Result<&'a str, SdpError> {
        std::str::from_utf8(self.value()).map_err(|_| self.error("UTF-8"))
    }
}

#[derive(Default)]
struct Parser<'a> {
    origin: Option<Origin<'a>>,
    name: Option<Text<'a>>,
    time: Option<Text<'a>>,
    connection: Option<Connection<'a>>,
    bandwidth: Vec<Text<'a>>,
    direction: Option<Direction>,
    attributes: Vec<Attribute<'a>>,
    media: Vec<Media<'a>>,
}

impl<'a> Parser<'a> {
    fn line(&mut self, line: Line<'a>) -> Result<(), SdpError> {
        let [letter, b'=', ..] = *line.bytes else { return Err(line.error("a letter and `=`")) };
        match self.media.last_mut() {
            Some(media) if letter != b'm' => media_line(media, letter, line),
            _ => self.session_line(letter, line),
        }
    }

    fn session_line(&mut self, letter: u8, line: Line<'a>) -> Result<(), SdpError> {
        match letter {
            b'o' if self.origin.is_some() => return Err(line.error("only one `o=` line")),
            b'o' => self.origin = Some(origin(line)?),
            b's' => self.name = text_or_drop(line).filter(|name| !name.is_empty()),
            b'c' => {
                let connection = connection(line)?;
                self.connection.get_or_insert(connection);
            }
            b't' => {
                let time = time(line)?;
                self.time.get_or_insert(time);
            }
            b'b' => self.bandwidth.extend(text_or_drop(line)),
            b'a' => {
                let Some(attribute) = attribute(line) else { return Ok(()) };
                if let Some(direction) = direction(&attribute) {
                    self.direction = Some(direction);
                // RFC 4568 §4: `crypto` exists below m-lines only.
                } else if !attribute.is("crypto") {
                    self.attributes.push(attribute);
                }
            }
            b'm' => {
                if self.media.len() == MEDIA_MAX {
                    return Err(SdpError::TooMany { what: "m-lines", limit: MEDIA_MAX });
                }
                // Most have one; a vector's own first step has room for four.
                if self.media.is_empty() {
                    self.media.reserve_exact(1);
                }
                self.media.push(media(line)?);
            }
            b'i' | b'u' | b'e' | b'p' | b'r' | b'z' | b'k' => {}
            _ => return Err(line.error("a line type of RFC 8866")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Sdp<'a>, SdpError> {
        let origin = self.origin.ok_or(SdpError::Missing { what: "`o=` line" })?;
        let sdp = Sdp {
            origin,
            name: self.name.unwrap_or_else(|| "-".into()),
            connection: self.connection,
            bandwidth: self.bandwidth,
            time: self.time.unwrap_or_else(|| "0 0".into()),
            direction: self.direction,
            attributes: self.attributes,
            media: self.media,
        };
        if sdp.media.iter().any(|m| m.is_active() && sdp.connection_of(m).is_none()) {
            return Err(SdpError::Missing { what: "`c=` line for an active m-line" });
        }
        Ok(sdp)
    }
}

fn media_line<'a>(media: &mut Media<'a>, letter: u8, line: Line<'a>) -> Result<(), SdpError> {
    match letter {
        b'i' => media.title = text_or_drop(line).filter(|title| !title.is_empty()),
        b'c' => {
            let connection = connection(line)?;
            media.connection.get_or_insert(connection);
        }
        b'b' => media.bandwidth.extend(text_or_drop(line)),
        b'a' => {
            let Some(attribute) = attribute(line) else { return Ok(()) };
            if let Some(direction) = direction(&attribute) {
                media.direction = Some(direction);
            } else if attribute.is("crypto") {
                return crypto_line(media, attribute.value.as_deref().unwrap_or_default());
            } else {
                media.attributes.push(attribute);
            }
        }
        b'k' => {}
        _ => return Err(line.error("a line that may stand below an m-line")),
    }
    Ok(())
}

fn crypto_line(media: &mut Media<'_>, value: &str) -> Result<(), SdpError> {
    if media.crypto.len() + media.crypto_refused.len() == CRYPTO_MAX {
        return Err(SdpError::TooMany { what: "a=crypto lines below one m-line", limit: CRYPTO_MAX });
    }
    match crypto::parse(value) {
        Ok(line) if media.crypto.iter().any(|l| l.tag == line.tag) => {
            media.crypto_refused.push(CryptoRefusal::DuplicateTag);
        }
        Ok(line) => media.crypto.push(line),
        Err(refusal) => media.crypto_refused.push(refusal),
    }
    Ok(())
}

fn text_or_drop(line: Line<'_>) -> Option<Text<'_>> {
    std::str::from_utf8(line.value()).ok().map(Cow::Borrowed)
}

fn origin(line: Line<'_>) -> Result<Origin<'_>, SdpError> {
    // From the right, for the sake of user names with blanks.
    let mut fields = line.text()?.trim_ascii().rsplitn(6, ' ');
    let mut field = || fields.next().filter(|f| !f.is_empty());
    let all = (field(), field(), field(), field(), field(), field());
    let (Some(address), Some(address_type), Some("IN"), Some(version), Some(session_id), Some(username)) =
        all
    else {
        return Err(line.error("`o=user id version IN IP4 address`"));
    };
    let [username, session_id, version, address_type, address] =
        [username, session_id, version, address_type, address].map(Cow::Borrowed);
    Ok(Origin { username, session_id, version, address_type, address })
}

fn connection(line: Line<'_>) -> Result<Connection<'_>, SdpError> {
    let mut fields = line.text()?.split_ascii_whitespace();
    let (Some(network), Some(kind), Some(address), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(line.error("`c=IN IP4 address`"));
    };
    let ip6 = match (network, kind) {
        ("IN", "IP4") => false,
        ("IN", "IP6") => true,
        _ => return Err(SdpError::Network { number: line.number }),
    };
    let connection = Connection { ip6, address: address.into() };
    let fits = match connection.ip() {
        Some(ip) => ip.is_ipv6() == ip6,
        None => is_host_name(connection.host()),
    };
    let suffix = connection.address.get(connection.host().len()..).unwrap_or_default();
    if !fits || !suffix.bytes().all(|b| b == b'/' || b.is_ascii_digit()) {
        return Err(line.error("an address of the type that the line names"));
    }
    Ok(connection)
}

fn is_host_name(host: &str) -> bool {
    let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    // All digits and dots would be an IPv4 address, and that did not parse.
    !host.is_empty() && host.bytes().all(label) && host.bytes().any(|b| b.is_ascii_alphabetic())
}

fn time(line: Line<'_>) -> Result<Text<'_>, SdpError> {
    if line.value() == b"0 0" {
        return Ok(Cow::Borrowed("0 0"));
    }
    let mut fields = line.text()?.split_ascii_whitespace();
    let number = |f: &str| f.bytes().all(|b| b.is_ascii_digit());
    match (fields.next(), fields.next(), fields.next()) {
        (Some(start), Some(stop), None) if number(start) && number(stop) => {
            Ok(format!("{start} {stop}").into())
        }
        _ => Err(line.error("`t=start stop`")),
    }
}

fn attribute(line: Line<'_>) -> Option<Attribute<'_>> {
    let text = std::str::from_utf8(line.value()).ok()?;
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (text.trim_ascii_end(), None),
    };
    is_token(name).then(|| Attribute { name: name.into(), value: value.map(Cow::Borrowed) })
}

fn direction(attribute: &Attribute<'_>) -> Option<Direction> {
    attribute.value.is_none().then(|| Direction::named(&attribute.name)).flatten()
}

fn media(line: Line<'_>) -> Result<Media<'_>, SdpError> {
    let mut fields = line.text()?.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(proto)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(line.error("`m=kind port proto format…`"));
    };
    let (port, ports) = match port.split_once('/') {
        Some((port, ports)) => (number(port), number(ports).map(Some)),
        None => (number(port), Some(None)),
    };
    let (Some(port), Some(ports)) = (port, ports) else { return Err(line.error("a port of 0 to 65535")) };
    let mut formats: Vec<Text<'_>> = fields.map(Cow::Borrowed).collect();
    if formats.is_empty() {
        if port != 0 {
            return Err(line.error("at least one format"));
        }
        formats.push("0".into());
    }
    if !is_token(kind) || !proto.split('/').all(is_token) {
        return Err(line.error("a media kind and a protocol"));
    }
    Ok(Media {
        kind: kind.into(),
        port,
        ports,
        proto: proto.into(),
        formats,
        title: None,
        connection: None,
        bandwidth: Vec::new(),
        crypto: Vec::new(),
        crypto_refused: Vec::new(),
        direction: None,
        attributes: Vec::new(),
    })
}

fn number(text: &str) -> Option<u16> {
    // `parse` alone would take a plus sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `token` of RFC 8866 §9.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| TOKEN[usize::from(b)])
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let extra = b"!#$%&'*+-.^_`{|}~";
    let mut i = 0;
    while i < extra.len() {
        table[extra[i] as usize] = true;
        i += 1;
    }
    table
};
