//! Classes of bytes, each a bit of one table: runs of a class are found by one look-up a byte.

/// May stand in a token (RFC 3261 §25.1).
pub(crate) const TOKEN: u8 = 1;
/// May stand in the value of a parameter that is not quoted, the semicolon apart: everything but delimiters that two
/// readers may see differently. Beyond ASCII, too.
pub(crate) const VALUE: u8 = 1 << 1;
/// May stand in a host name or IPv4 address.
pub(crate) const HOST: u8 = 1 << 2;
/// Makes a host a name.
pub(crate) const LETTER: u8 = 1 << 3;
/// Stands for itself wherever it is in a user part.
pub(crate) const USER: u8 = 1 << 4;
/// May stand in the parameters of a URI, the semicolon apart, whatever comes before or behind it.
pub(crate) const URI_PARAM: u8 = 1 << 5;

static CLASS: [u8; 256] = build();

/// The classes of `byte`.
#[inline(always)]
pub(crate) const fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

/// How many bytes from `at` on are of that class.
#[inline(always)]
pub(crate) fn run(bytes: &[u8], at: usize, of: u8) -> usize {
    bytes[at..].iter().take_while(|byte| class(**byte) & of != 0).count()
}

const fn build() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mut bits = 0;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            bits |= TOKEN | HOST | USER;
        }
        if matches!(byte, b'!' | b'%' | b'*' | b'+' | b'`' | b'\'' | b'~') {
            bits |= TOKEN;
        }
        if byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_') {
            bits |= LETTER;
        }
        let stray =
            matches!(byte, b' ' | b'\t' | b'"' | b'<' | b'>' | b',' | b'\\') || byte.is_ascii_control();
        if !stray && byte != b';' {
            bits |= VALUE;
        }
        let fixed = matches!(byte, b' ' | b'<' | b'>' | b'"' | b'@' | b'?' | b';') || byte.is_ascii_control();
        if !fixed {
            bits |= URI_PARAM;
        }
        table[at] = bits;
        at += 1;
    }
    table
}
