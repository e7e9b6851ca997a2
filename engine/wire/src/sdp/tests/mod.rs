use super::*;

mod bridge;
mod crypto;
mod model;
mod parse;

/// A key line of its tag, with a key that is recognisable in a leak: every byte is `fill`.
pub(super) fn crypto_line(tag: u32, suite: CryptoSuite, fill: u8) -> String {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(vec![fill; suite.key_bytes()]);
    format!("a=crypto:{tag} {} inline:{key}\r\n", suite.name())
}

/// A body from one phone: session part, then m-lines with what belongs below them.
pub(super) fn body(version: u32, media: &[&str]) -> String {
    let head =
        format!("v=0\r\no=alice 1 {version} IN IP4 192.0.2.7\r\ns=call\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n");
    media.iter().fold(head, |body, m| body + m)
}

pub(super) fn sdp(text: &str) -> OwnedSdp {
    parse(text.as_bytes()).unwrap().into_owned()
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
