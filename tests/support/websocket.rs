//! A WebSocket client by hand (RFC 6455, RFC 7118), for what a browser would never send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use keyline_wire::sip::Message;

use crate::sip::{Request, unique};
use crate::wait::PATIENCE;

/// Text frame.
pub const TEXT: u8 = 1;
/// Binary frame.
pub const BINARY: u8 = 2;
/// Close frame.
pub const CLOSE: u8 = 8;
/// Ping frame.
pub const PING: u8 = 9;
/// Pong frame.
pub const PONG: u8 = 10;

/// A connection after its handshake.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    /// Host of the phone's own addresses, which do not exist (RFC 7118 §5).
    pub host: String,
}

/// Sends a handshake with these headers besides the usual ones; the connection and the head of the answer.
pub fn handshake(server: SocketAddr, headers: &[(&str, &str)]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut text = format!(
        "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).expect("a request");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        answer.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&answer).into_owned())
}

impl WebSocket {
    /// A connection that speaks SIP.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub fn connect(server: SocketAddr) -> WebSocket {
        let (stream, answer) = handshake(server, &[("Sec-WebSocket-Protocol", "sip")]);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        // The accept value for this key is an example of RFC 6455 §1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert!(lower.contains("sec-websocket-protocol: sip\r\n"), "{answer}");
        WebSocket { stream, host: format!("{}.invalid", unique()) }
    }

    /// Sends a frame as it is: first byte with FIN and opcode, masked or not.
    pub fn frame(&mut self, first: u8, payload: &[u8], masked: bool) {
        let bytes = frame(first, payload, masked);
        self.stream.write_all(&bytes).expect("a frame sent");
    }

    /// Sends a whole message.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.frame(0x80 | opcode, payload, true);
    }

    /// The underlying connection.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The next frame: opcode and payload. `None` when the connection ends or nothing comes in time.
    pub fn receive_within(&mut self, patience: Duration) -> Option<(u8, Vec<u8>)> {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout");
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.stream.read_exact(&mut long).ok()?;
                usize::from(u16::from_be_bytes(long))
            }
            127 => panic!("no message of ours is so long"),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        assert_ne!(head[0] & 0x80, 0, "one frame a message");
        Some((head[0] & 0x0f, payload))
    }

    /// The next SIP message.
    pub fn sip(&mut self) -> Message<'static> {
        let (opcode, payload) = self.receive_within(PATIENCE).expect("a message in time");
        assert_eq!(opcode, TEXT);
        Message::parse(&payload).expect("a SIP message").into_owned()
    }

    /// The next final response.
    pub fn final_answer(&mut self) -> Message<'static> {
        loop {
            let message = self.sip();
            if message.status().is_some_and(|status| status >= 200) {
                return message;
            }
        }
    }

    /// Contact of a line here.
    pub fn contact(&self, dn: &str) -> String {
        format!("<sip:{dn}@{};transport=ws>", self.host)
    }

    /// Bytes of a request as a browser's stack writes it, without Content-Length where there is no body.
    pub fn print(&self, request: &Request, token: &str) -> Vec<u8> {
        request.print_as(token, &self.host)
    }

    /// Sends a request and waits for its final response.
    pub fn exchange(&mut self, request: &Request) -> Message<'static> {
        let bytes = self.print(request, "WS");
        self.send(TEXT, &bytes);
        self.final_answer()
    }
}

/// Bytes of a frame.
pub fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    const MASK: [u8; 4] = [7, 77, 177, 249];
    let mut bytes = vec![first];
    let flag = if masked { 0x80 } else { 0 };
    match payload.len() {
        n @ 0..126 => bytes.push(flag | n as u8),
        n @ 126..0x1_0000 => {
            bytes.push(flag | 126);
            bytes.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            bytes.push(flag | 127);
            bytes.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().enumerate().map(|(i, b)| b ^ MASK[i % 4]));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}
