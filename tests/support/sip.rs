//! SIP by hand: requests as text over a socket, for what a well-behaved phone would never send.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyline_domain::digest::client::{Answer, Challenge};
use keyline_domain::digest::{Algorithm, Ha1};
use keyline_wire::sip::stream::{Frame, Framer, Side};
use keyline_wire::sip::{Challenge as ChallengeHeader, HeaderName, Message, unquote};

use crate::wait::PATIENCE;

/// Largest datagram.
const DATAGRAM: usize = 65_535;

/// A socket that speaks SIP text.
#[derive(Debug)]
pub enum Line {
    /// Datagrams.
    Udp(UdpSocket),
    /// A connection.
    Tcp(TcpStream, Framer),
}

impl Line {
    /// A UDP socket on 127.0.0.1, or on ::1 towards a server there.
    pub fn udp(server: SocketAddr) -> Line {
        let own = if server.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        Self::udp_from(own, server)
    }

    /// A UDP socket on another address of the loopback network.
    pub fn udp_from(own: IpAddr, server: SocketAddr) -> Line {
        let socket = UdpSocket::bind((own, 0)).expect("a UDP socket");
        socket.connect(server).expect("the server's address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Line::Udp(socket)
    }

    /// A TCP connection.
    pub fn tcp(server: SocketAddr) -> Line {
        let stream = TcpStream::connect(server).expect("a TCP connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Line::Tcp(stream, Framer::new(Side::Opener))
    }

    /// Own address.
    pub fn local(&self) -> SocketAddr {
        match self {
            Line::Udp(socket) => socket.local_addr(),
            Line::Tcp(stream, _) => stream.local_addr(),
        }
        .expect("own address")
    }

    /// Token of Via.
    pub fn token(&self) -> &'static str {
        match self {
            Line::Udp(_) => "UDP",
            Line::Tcp(..) => "TCP",
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        match self {
            Line::Udp(socket) => {
                socket.send(bytes).expect("a datagram sent");
            }
            Line::Tcp(stream, _) => stream.write_all(bytes).expect("bytes sent"),
        }
    }

    /// Sends bytes to a peer that may be gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Line::Udp(socket) => socket.send(bytes).is_ok(),
            Line::Tcp(stream, _) => stream.write_all(bytes).is_ok(),
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn receive(&mut self) -> Message<'static> {
        self.receive_within(PATIENCE).expect("a message in time")
    }

    /// The next message, if one comes within that time.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Message<'static>> {
        match self {
            Line::Udp(socket) => {
                socket.set_read_timeout(Some(patience)).expect("a timeout");
                let mut buffer = vec![0; DATAGRAM];
                let length = socket.recv(&mut buffer).ok()?;
                Some(Message::parse(&buffer[..length]).expect("a SIP message").into_owned())
            }
            Line::Tcp(stream, framer) => {
                stream.set_read_timeout(Some(patience)).expect("a timeout");
                let mut buffer = vec![0; DATAGRAM];
                loop {
                    match framer.next() {
                        Frame::Message(bytes) => {
                            return Some(Message::parse(bytes).expect("a SIP message").into_owned());
                        }
                        Frame::NeedMore => {}
                        Frame::Ping | Frame::Pong => continue,
                        Frame::Broken { error, .. } => panic!("broken stream: {error}"),
                    }
                    let length = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
                    framer.push(&buffer[..length]);
                }
            }
        }
    }

    /// The next final response; provisional ones are passed over.
    pub fn receive_final(&mut self) -> Message<'static> {
        loop {
            let message = self.receive();
            if message.status().is_some_and(|status| status >= 200) {
                return message;
            }
        }
    }

    /// Sends a request and waits for its final response.
    pub fn exchange(&mut self, request: &Request) -> Message<'static> {
        let bytes = request.print(self);
        self.send(&bytes);
        self.receive_final()
    }
}

/// A request whose every part may be set.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Request-URI.
    pub uri: String,
    /// From, with tag.
    pub from: String,
    /// To.
    pub to: String,
    /// Call-ID.
    pub call_id: String,
    /// CSeq number.
    pub cseq: u32,
    /// Branch without the cookie.
    pub branch: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Media type and body.
    pub body: Option<(String, String)>,
}

/// A word that no other request has.
pub fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:x}x{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Request {
    /// A request of a line.
    pub fn new(method: &str, uri: &str, dn: &str) -> Request {
        let host = "keyline.local";
        Request {
            method: method.into(),
            uri: uri.into(),
            from: format!("<sip:{dn}@{host}>;tag={}", unique()),
            to: format!("<{uri}>"),
            call_id: format!("{}@test", unique()),
            cseq: 1,
            branch: unique(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// REGISTER of a line; Contact and Expires are the caller's.
    pub fn register(dn: &str) -> Request {
        let mut request = Request::new("REGISTER", "sip:keyline.local", dn);
        request.to = format!("<sip:{dn}@keyline.local>");
        request
    }

    /// REGISTER of a line with the Contact of that socket for an hour.
    pub fn register_from(dn: &str, line: &Line) -> Request {
        let contact = contact(dn, line);
        Request::register(dn).header("Contact", &contact).header("Expires", "3600")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces or adds a header.
    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }

    /// The next request of the same registration or dialog: new branch, CSeq one higher.
    #[must_use]
    pub fn next(mut self) -> Request {
        self.cseq += 1;
        self.branch = unique();
        self
    }

    /// Answers a challenge with its algorithm, for that user.
    pub fn authorize(&mut self, response: &Message<'_>, login: &Login<'_>, nc: u32) {
        let value = login.answer(response, &self.method, &self.uri, nc);
        self.set("Authorization", &value);
    }

    /// Bytes.
    pub fn print(&self, line: &Line) -> Vec<u8> {
        self.print_as(line.token(), &line.local().to_string())
    }

    /// Bytes, with this transport and sender in Via.
    pub fn print_as(&self, token: &str, local: &str) -> Vec<u8> {
        let Request { method, uri, from, to, call_id, cseq, branch, .. } = self;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{token} {local};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_ref().map_or("", |(media_type, body)| {
            text.push_str(&format!("Content-Type: {media_type}\r\n"));
            body
        });
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        text.into_bytes()
    }
}

/// Contact of a line on a socket.
pub fn contact(dn: &str, line: &Line) -> String {
    let token = line.token().to_ascii_lowercase();
    format!("<sip:{dn}@{};transport={token}>", line.local())
}

/// Who answers a challenge, and how.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// User.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// Algorithm of the challenge that is answered.
    pub algorithm: Algorithm,
}

impl Login<'_> {
    /// Value of Authorization for the challenge of this algorithm in a 401.
    ///
    /// # Panics
    /// When the response does not challenge with it.
    pub fn answer(&self, response: &Message<'_>, method: &str, uri: &str, nc: u32) -> String {
        let challenge = challenges(response)
            .into_iter()
            .find(|c| c.algorithm.eq_ignore_ascii_case(self.algorithm.token()))
            .expect("a challenge of this algorithm");
        self.answer_nonce(&challenge.realm, &challenge.nonce, method, uri, nc)
    }

    /// Value of Authorization for a nonce that is known.
    pub fn answer_nonce(&self, realm: &str, nonce: &str, method: &str, uri: &str, nc: u32) -> String {
        let ha1 = Ha1::derive(self.algorithm, self.user, realm, self.password);
        let challenge = Challenge { realm, nonce, algorithm: self.algorithm, qop_auth: true, opaque: None };
        Answer { challenge, user: self.user, ha1: &ha1, method, uri, nc, cnonce: "c0ffee" }.to_string()
    }
}

/// A digest challenge, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenged {
    /// Realm.
    pub realm: String,
    /// Nonce.
    pub nonce: String,
    /// Algorithm; `MD5` when absent.
    pub algorithm: String,
    /// `qop` offers `auth`.
    pub qop_auth: bool,
    /// `stale`.
    pub stale: bool,
}

/// The digest challenges of a response, in order.
pub fn challenges(response: &Message<'_>) -> Vec<Challenged> {
    let read = response.challenges().filter_map(|challenge| match challenge {
        Ok(ChallengeHeader::Digest(d)) => Some(Challenged {
            realm: d.realm.as_deref().unwrap_or_default().to_owned(),
            nonce: d.nonce.as_deref().unwrap_or_default().to_owned(),
            algorithm: d.algorithm.as_deref().unwrap_or("MD5").to_owned(),
            qop_auth: d.offers_auth(),
            stale: d.stale,
        }),
        _ => None,
    });
    read.collect()
}

/// Contact values of a response.
pub fn contacts(response: &Message<'_>) -> Vec<String> {
    response.values(HeaderName::Contact).map(str::to_owned).collect()
}

/// Text of Warning, unquoted; empty without one.
pub fn warning(response: &Message<'_>) -> String {
    let value = response.first(HeaderName::Warning).unwrap_or_default();
    value.split_once('"').map_or_else(String::new, |(_, rest)| unquote(&format!("\"{rest}")).into_owned())
}

/// A response to a request that came in: Via, From, To with that tag, Call-ID, CSeq and Record-Route
/// copied, a Contact of the socket, and SDP where given.
pub fn respond(line: &Line, request: &Message<'_>, status: u16, tag: &str, sdp: Option<&str>) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} {}\r\n", keyline_wire::sip::reason_phrase(status));
    let copied =
        [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::Cseq, HeaderName::RecordRoute];
    for header in request.headers() {
        if copied.contains(&header.name) {
            text.push_str(&format!("{}: {}\r\n", header.text, header.value));
        } else if header.name == HeaderName::To {
            let tag = if request.to_tag().is_some() { String::new() } else { format!(";tag={tag}") };
            text.push_str(&format!("To: {}{tag}\r\n", header.value));
        }
    }
    text.push_str(&format!("Contact: <sip:raw@{}>\r\n", line.local()));
    let body = sdp.unwrap_or_default();
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// A session with one audio stream on that port.
pub fn audio(port: u16) -> String {
    format!(
        "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}
