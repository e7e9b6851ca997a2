//! Distinguished names as text (RFC 4514): last part first, special characters escaped, so that one name
//! has one text.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Attribute types with a short name: RFC 4514 §3, then those that tools write by name too.
const SHORT: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The whole name; `None` once it has more than `limit` characters.
pub(super) fn text(name: &X509Name<'_>, limit: usize) -> Option<String> {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (place, part) in parts.iter().rev().enumerate() {
        if place > 0 {
            out.push(',');
        }
        for (place, attribute) in part.iter().enumerate() {
            if place > 0 {
                out.push('+');
            }
            one(&mut out, attribute);
        }
        // Bytes are at least as many as characters; the exact count is taken below.
        if out.len() > limit.saturating_mul(4) {
            return None;
        }
    }
    (out.chars().count() <= limit).then_some(out)
}

/// The text of the first common name, `None` if there is none that is text.
pub(super) fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().find_map(value)
}

fn one(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    match (SHORT.iter().find(|(known, _)| *known == oid), value(attribute)) {
        (Some((_, short)), Some(value)) => {
            out.push_str(short);
            out.push('=');
            escape(out, &value);
        }
        // RFC 4514 §2.4: an unknown type, or a value that is no text, as the bytes of its DER.
        (known, _) => {
            out.push_str(known.map_or(&oid, |(_, short)| short));
            out.push_str("=#");
            let body = attribute.as_slice();
            let tag = u8::try_from(attribute.attr_value().header.tag().0 & 0x1f).unwrap_or_default();
            for byte in std::iter::once(tag).chain(length(body.len())).chain(body.iter().copied()) {
                // Writing to a String cannot fail.
                let _ = write!(out, "{byte:02x}");
            }
        }
    }
}

/// DER length (X.690 §8.1.3) of a value inside a certificate, which is far below 16 MiB.
fn length(len: usize) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    match len {
        0..=0x7f => vec![c],
        0x80..=0xff => vec![0x81, c],
        0x100..=0xffff => vec![0x82, b, c],
        _ => vec![0x83, a, b, c],
    }
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    if let Ok(text) = attribute.as_str() {
        return Some(text.to_owned());
    }
    let bytes = attribute.as_slice();
    match attribute.attr_value().header.tag() {
        Tag::BmpString => {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
        }
        // In practice Latin-1.
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        _ => None,
    }
}

/// RFC 4514 §2.4.
fn escape(out: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (place, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            ' ' if place == 0 || place == last => out.push_str("\\ "),
            '#' if place == 0 => out.push_str("\\#"),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        for (value, text) in [
            ("James \"Jim\" Smith, III", "James \\\"Jim\\\" Smith\\, III"),
            (" x ", "\\ x\\ "),
            ("#1", "\\#1"),
            ("a#b c", "a#b c"),
            ("a\0b\n", "a\\00b\\0A"),
            ("", ""),
            (" ", "\\ "),
            ("Lučić", "Lučić"),
        ] {
            let mut out = String::new();
            escape(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn lengths_are_der() {
        assert_eq!(length(5), [5]);
        assert_eq!(length(0x80), [0x81, 0x80]);
        assert_eq!(length(0x1234), [0x82, 0x12, 0x34]);
        assert_eq!(length(0x01_0203), [0x83, 1, 2, 3]);
    }
}
