//! Masking of secrets in a message, in place: every masked byte becomes `*`, so lengths (and Content-Length)
//! stay true.
//!
//! Masked are SDES and MIKEY keys (`inline:`, `a=key-mgmt:`, `k=`), digest responses and `cnonce` and `rspauth`
//! with them (a response can be guessed at only with its nonces), credentials of every other scheme, and
//! whatever follows `Bearer`.

const STAR: u8 = b'*';

/// Parameters of digest credentials that are masked.
const PARAMETERS: [&[u8]; 3] = [b"response=", b"cnonce=", b"rspauth="];

/// Masks all secrets of a message.
pub fn mask(message: &mut [u8]) {
    let mut credentials = false;
    let mut at = 0;
    while at < message.len() {
        let end = message[at..].iter().position(|b| *b == b'\n').map_or(message.len(), |n| at + n);
        let line = &mut message[at..end];
        // A folded line goes on with the header field before it.
        let folded = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
        if !folded {
            credentials = is_credentials(line);
        }
        if credentials {
            let from = if folded { 0 } else { colon(line).map_or(0, |n| n + 1) };
            mask_credentials(&mut line[from..], folded);
        }
        mask_body_line(line);
        mask_bearer(line);
        at = end + 1;
    }
}

fn colon(line: &[u8]) -> Option<usize> {
    line.iter().position(|b| *b == b':')
}

/// The line begins a header field that carries credentials, or proof of a password.
fn is_credentials(line: &[u8]) -> bool {
    let Some(name) = colon(line).map(|n| line[..n].trim_ascii()) else { return false };
    [&b"authorization"[..], b"proxy-authorization", b"authentication-info", b"proxy-authentication-info"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn mask_credentials(value: &mut [u8], folded: bool) {
    let start = value.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(value.len());
    let scheme =
        value[start..].iter().position(|b| b.is_ascii_whitespace()).map(|n| &value[start..start + n]);
    let digest = scheme.is_some_and(|s| s.eq_ignore_ascii_case(b"digest"));
    // Authentication-Info has no scheme, only parameters; so has a folded line.
    let parameters =
        digest || folded || value[start..].iter().take_while(|b| **b != b' ').any(|b| *b == b'=');
    if !parameters {
        // Everything behind the scheme.
        let from = scheme.map_or(value.len(), |s| start + s.len());
        return fill(&mut value[from..], |b| matches!(b, b'\r'));
    }
    for name in PARAMETERS {
        let mut from = 0;
        while let Some(found) = find(&value[from..], name) {
            let at = from + found + name.len();
            from = at;
            // `response=` inside another word, as in `x-response=`, is masked too: rather too much.
            let rest = &mut value[at..];
            match rest.first() {
                Some(b'"') => fill(&mut rest[1..], |b| b == b'"'),
                _ => fill(rest, |b| matches!(b, b',' | b' ' | b'\r')),
            }
        }
    }
}

fn mask_body_line(line: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = find(&line[from..], b"inline:") {
        from += found + b"inline:".len();
        fill(&mut line[from..], |b| matches!(b, b'|' | b';' | b' ' | b'\r' | b'"' | b','));
    }
    for name in [&b"k="[..], b"a=key-mgmt:"] {
        if line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name) {
            fill(&mut line[name.len()..], |b| b == b'\r');
        }
    }
}

fn mask_bearer(line: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = find(&line[from..], b"bearer ") {
        from += found + b"bearer ".len();
        fill(&mut line[from..], |b| matches!(b, b'\r' | b'"' | b',' | b' '));
    }
}

/// Stars up to the first byte that ends the secret.
fn fill(bytes: &mut [u8], ends: impl Fn(u8) -> bool) {
    for byte in bytes.iter_mut().take_while(|b| !ends(**b)) {
        *byte = STAR;
    }
}

/// First place of a lower-case text, letters compared without regard to case.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|w| w.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secrets_become_stars_and_everything_else_stays() {
        for (given, expected) in [
            (
                "Authorization: Digest username=\"a\", nonce=\"n\", response=\"abc\", cnonce=\"c\", qop=auth\r\n",
                "Authorization: Digest username=\"a\", nonce=\"n\", response=\"***\", cnonce=\"*\", qop=auth\r\n",
            ),
            (
                "authorization : DIGEST RESPONSE=abc,uri=\"x\"\r\n",
                "authorization : DIGEST RESPONSE=***,uri=\"x\"\r\n",
            ),
            (
                "Authorization: Digest a=b,\r\n response=\"abc\"\r\nTo: x\r\n",
                "Authorization: Digest a=b,\r\n response=\"***\"\r\nTo: x\r\n",
            ),
            ("Authorization: Bearer abc.def\r\nA: b\r\n", "Authorization: Bearer********\r\nA: b\r\n"),
            ("Proxy-Authorization: Basic QQ==\r\n", "Proxy-Authorization: Basic*****\r\n"),
            (
                "Authentication-Info: rspauth=\"12\", nc=1\r\n",
                "Authentication-Info: rspauth=\"**\", nc=1\r\n",
            ),
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AbC+/=|2^20|1:32\r\n",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:******|2^20|1:32\r\n",
            ),
            ("a=crypto:1 X inline:Ab;inline:Cd\r\n", "a=crypto:1 X inline:**;inline:**\r\n"),
            ("k=clear:abc\r\n", "k=*********\r\n"),
            ("a=key-mgmt:mikey AAA\r\n", "a=key-mgmt:*********\r\n"),
            ("X-Any: Bearer abc\n", "X-Any: Bearer ***\n"),
            (
                "WWW-Authenticate: Digest nonce=\"n\", realm=\"r\"\r\n",
                "WWW-Authenticate: Digest nonce=\"n\", realm=\"r\"\r\n",
            ),
        ] {
            assert_eq!(masked(given), expected);
        }
    }

    proptest! {
        /// Wherever a secret stands in a message, and however that is cut or folded, it does not come out.
        #[test]
        fn no_secret_comes_out(
            before in "[ -~\r\n\t]{0,60}", after in "[ -~\r\n\t]{0,60}", secret in "[A-Za-z0-9+/]{24,40}", which in 0usize..7,
        ) {
            let line = match which {
                0 => format!("Authorization: Digest username=\"u\", response=\"{secret}\""),
                1 => format!("Proxy-Authorization: Digest a=b,\r\n\tresponse={secret}, x=y"),
                2 => format!("AUTHORIZATION:Bearer {secret}"),
                3 => format!("a=crypto:3 AEAD_AES_256_GCM inline:{secret}|2^48"),
                4 => format!("k=base64:{secret}"),
                5 => format!("a=key-mgmt:mikey {secret}"),
                _ => format!("Authorization: Basic {secret}"),
            };
            let text = masked(&format!("{before}\r\n{line}\r\n{after}"));
            prop_assert!(!text.contains(&secret), "{}", text);
        }

        #[test]
        fn any_bytes_are_taken(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let length = bytes.len();
            mask(&mut bytes);
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
