//! Writing messages.

use crate::sip::is_token;

/// Writes one message. Content-Length is written last and is always right.
///
/// Nothing that is handed in can add a line: control characters in values become spaces, a header whose
/// name is no token is left out, spaces in the Request-URI are escaped.
#[derive(Debug, Clone)]
pub struct Printer {
    out: Vec<u8>,
}

impl Printer {
    /// Begins a request.
    pub fn request(method: &str, uri: &str) -> Printer {
        let mut printer = Printer::with_capacity(512);
        let method = if is_token(method) { method } else { "INVALID" };
        printer.out.extend_from_slice(method.as_bytes());
        printer.out.push(b' ');
        for &byte in uri.as_bytes() {
            match byte {
                b' ' => printer.out.extend_from_slice(b"%20"),
                byte if byte.is_ascii_control() => {}
                byte => printer.out.push(byte),
            }
        }
        printer.out.extend_from_slice(b" SIP/2.0\r\n");
        printer
    }

    /// Begins a response.
    pub fn response(status: u16, reason: &str) -> Printer {
        let mut printer = Printer::with_capacity(512);
        printer.out.extend_from_slice(b"SIP/2.0 ");
        printer.push_number(u64::from(status));
        printer.out.push(b' ');
        printer.push_clean(reason);
        printer.end_line();
        printer
    }

    /// Adds a header line.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.header_parts(name, &[value])
    }

    /// Adds a header line whose value is the parts one after the other.
    pub fn header_parts(&mut self, name: &str, parts: &[&str]) -> &mut Self {
        if self.begin_line(name) {
            for part in parts {
                self.push_clean(part);
            }
            self.end_line();
        }
        self
    }

    /// Adds a header line with a number.
    pub fn header_number(&mut self, name: &str, value: u64) -> &mut Self {
        if self.begin_line(name) {
            self.push_number(value);
            self.end_line();
        }
        self
    }

    /// Adds `CSeq: number method`.
    pub fn cseq(&mut self, number: u32, method: &str) -> &mut Self {
        if self.begin_line("CSeq") {
            self.push_number(u64::from(number));
            self.out.push(b' ');
            self.push_clean(method);
            self.end_line();
        }
        self
    }

    /// Ends the message without a body.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        self.out
    }

    /// Ends the message with a body of that media type; an empty body gets no Content-Type.
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Vec<u8> {
        if body.is_empty() {
            return self.finish();
        }
        self.out.reserve(body.len() + 64);
        self.header("Content-Type", content_type);
        self.header_number("Content-Length", body.len() as u64);
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
        self.out
    }

    fn with_capacity(bytes: usize) -> Printer {
        Printer { out: Vec::with_capacity(bytes) }
    }

    /// Lines that are known to be whole and clean, each with its line end.
    pub(crate) fn push_lines(&mut self, lines: &str) {
        self.out.extend_from_slice(lines.as_bytes());
    }

    fn begin_line(&mut self, name: &str) -> bool {
        let fine = is_token(name);
        if fine {
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b": ");
        }
        fine
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn push_clean(&mut self, text: &str) {
        push_clean(&mut self.out, text.as_bytes());
    }

    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

/// Appends with control characters other than tab replaced by spaces. One that is the second half of a
/// quoted pair stays, unless it could end a line: RFC 3261 §25.1 allows it there.
fn push_clean(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(text);
    let added = &mut out[start..];
    if !added.iter().fold(false, |any, b| any | b.is_ascii_control()) {
        return;
    }
    for at in 0..added.len() {
        let byte = added[at];
        let paired = at > 0 && added[at - 1] == b'\\' && !matches!(byte, b'\r' | b'\n');
        if byte.is_ascii_control() && byte != b'\t' && !paired {
            added[at] = b' ';
        }
    }
}
