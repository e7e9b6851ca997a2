//! What a simulated phone is and how it behaves.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use keyline_domain::digest::Algorithm;
use keyline_wire::sdp::CryptoSuite;

use crate::tls::TlsOptions;

/// Transport to the server.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Datagrams from one socket.
    Udp,
    /// One TCP connection.
    Tcp,
    /// One TLS connection.
    Tls(Box<TlsOptions>),
}

impl Transport {
    /// Token of Via: `UDP`, `TCP`, `TLS`.
    pub fn token(&self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls(_) => "TLS",
        }
    }

    /// Value of the URI parameter `transport`.
    pub fn param(&self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls(_) => "tls",
        }
    }

    /// Messages may get lost and must be repeated.
    pub fn is_datagram(&self) -> bool {
        matches!(self, Transport::Udp)
    }
}

/// Digest user and password; the password does not appear in `Debug`.
#[derive(Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// A bearer token; its text does not appear in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How the phone offers and answers SRTP with keys in the SDP (RFC 4568).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Srtp {
    /// RTP/AVP only.
    #[default]
    None,
    /// One m-line, RTP/SAVP, with these suites.
    Savp(Vec<CryptoSuite>),
    /// RTP/SAVP with these suites and RTP/AVP beside it: two m-lines for one stream.
    SavpOrAvp(Vec<CryptoSuite>),
    /// RTP/AVP that carries keys: `X-cisco-srtp-fallback`.
    Fallback(Vec<CryptoSuite>),
}

impl Srtp {
    /// The suites, in order of preference.
    pub fn suites(&self) -> &[CryptoSuite] {
        match self {
            Srtp::None => &[],
            Srtp::Savp(suites) | Srtp::SavpOrAvp(suites) | Srtp::Fallback(suites) => suites,
        }
    }

    /// AEAD_AES_256_GCM and AES_CM_128_HMAC_SHA1_80 under RTP/SAVP.
    pub fn savp() -> Srtp {
        Srtp::Savp(Self::usual())
    }

    /// The same suites with fallback to plain RTP.
    pub fn fallback() -> Srtp {
        Srtp::Fallback(Self::usual())
    }

    fn usual() -> Vec<CryptoSuite> {
        vec![CryptoSuite::AeadAes256Gcm, CryptoSuite::AesCm128HmacSha1_80]
    }
}

/// What the phone does with a new incoming call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 180, then 200 after this time.
    After(Duration),
    /// 200 without ringing.
    AtOnce,
    /// 180, then this status after this time.
    Reject(u16, Duration),
    /// 180 and no end.
    Ring,
    /// 100 only; the call is answered by its handle.
    Manual,
    /// Nothing at all: as a phone without power.
    Silent,
}

/// What the phone does with a request other than a new call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// What the RFCs say.
    Proper,
    /// This final status, whatever the request is.
    Status(u16),
    /// No answer.
    Ignore,
}

/// A phone. The fields may be set freely before [`super::Phone::start`].
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// Where requests go.
    pub server: SocketAddr,
    /// Host of the request URIs: a host that the server serves. Default: the server's address.
    pub host: String,
    /// Transport.
    pub transport: Transport,
    /// Own address; the port is always a free one.
    pub bind: IpAddr,
    /// Directory numbers; the first one is the calling line.
    pub lines: Vec<String>,
    /// Device name for `+u.sip!devicename.ccm.cisco.com` and, from its MAC, `+sip.instance`; a plain
    /// RFC 3261 phone has none.
    pub device: Option<String>,
    /// Model number for `+u.sip!model.ccm.cisco.com`.
    pub model: Option<u32>,
    /// Digest user and password.
    pub login: Option<Login>,
    /// Bearer token with which it answers a Bearer challenge (RFC 8898).
    pub token: Option<Token>,
    /// Algorithms that the phone knows.
    pub algorithms: Vec<Algorithm>,
    /// Seconds asked for in REGISTER.
    pub expires: u32,
    /// SRTP.
    pub srtp: Srtp,
    /// The phone advertises `X-cisco-callinfo` and `X-cisco-srtp-fallback` and understands them.
    pub callinfo: bool,
    /// Register all lines by one REGISTER of the first line (Cisco bulk registration).
    pub bulk: bool,
    /// Put `rport` into Via (RFC 3581).
    pub rport: bool,
    /// Incoming calls.
    pub answer: Answer,
    /// T1 of the timers (RFC 3261 §17.1.1.1).
    pub t1: Duration,
    /// How long any waiting operation waits.
    pub patience: Duration,
}

impl PhoneConfig {
    /// A plain phone with one line.
    pub fn new(server: SocketAddr, transport: Transport, dn: &str) -> PhoneConfig {
        PhoneConfig {
            server,
            host: match server.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            transport,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            lines: vec![dn.to_owned()],
            device: None,
            model: None,
            login: None,
            token: None,
            algorithms: Algorithm::ALL.to_vec(),
            expires: 3600,
            srtp: Srtp::None,
            callinfo: false,
            bulk: false,
            rport: true,
            answer: Answer::After(Duration::ZERO),
            t1: Duration::from_millis(500),
            patience: Duration::from_secs(10),
        }
    }

    /// Sets device name and model number, and advertises Cisco's Call-Info.
    #[must_use]
    pub fn cisco(mut self, device: &str, model: u32) -> PhoneConfig {
        self.device = Some(device.to_owned());
        self.model = Some(model);
        self.callinfo = true;
        self
    }

    /// Sets digest user and password.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> PhoneConfig {
        self.login = Some(Login { user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// Sets the bearer token.
    #[must_use]
    pub fn token(mut self, token: &str) -> PhoneConfig {
        self.token = Some(Token(token.to_owned()));
        self
    }

    /// Sets the SRTP policy.
    #[must_use]
    pub fn srtp(mut self, srtp: Srtp) -> PhoneConfig {
        self.srtp = srtp;
        self
    }

    /// Sets what is done with incoming calls.
    #[must_use]
    pub fn answering(mut self, answer: Answer) -> PhoneConfig {
        self.answer = answer;
        self
    }

    /// Adds a line.
    #[must_use]
    pub fn line(mut self, dn: &str) -> PhoneConfig {
        self.lines.push(dn.to_owned());
        self
    }

    /// Sets the own address: another host on the loopback network.
    #[must_use]
    pub fn bind(mut self, ip: IpAddr) -> PhoneConfig {
        self.bind = ip;
        self
    }
}
