//! A tiny proxy for the tests: challenges and takes REGISTER, relays everything else by the user part of
//! the Request-URI. It knows nothing of Keyline and keeps no dialog.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use keyline_domain::digest::{Algorithm, Ha1, Parts, Protection, verify};
use keyline_wire::sip::stream::{Frame, Framer, Side};
use keyline_wire::sip::{Credentials, HeaderName, Message, Method, Printer, ReplyHead};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::tls::certificates;

pub(crate) const REALM: &str = "ccmsipline";

/// Where a message goes.
#[derive(Clone)]
enum Way {
    Udp(SocketAddr),
    Stream(mpsc::Sender<Vec<u8>>),
}

/// What the test decides.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Password of every user, who is named like the line; no challenge when `None`.
    pub password: Option<String>,
    /// Least expiry.
    pub min_expires: u32,
    /// The first datagrams of these methods that are lost on their way out of the switchboard.
    pub lose: HashMap<String, u32>,
    /// Ask no TLS client for a certificate.
    pub(crate) anonymous: bool,
    /// Say `stale=true` once for a nonce that was used that often.
    pub stale_after: Option<u32>,
}

pub(crate) struct Switchboard {
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    pub tls: SocketAddr,
    pub rules: Mutex<Rules>,
    /// Root of the server's certificate.
    pub ca: Authority,
    /// Common names of TLS clients that came.
    pub clients: Mutex<usize>,
    socket: UdpSocket,
    bindings: Mutex<HashMap<String, (String, Way)>>,
    ways: Mutex<HashMap<String, Way>>,
    nonces: AtomicU64,
    branches: AtomicU64,
}

/// A certificate authority.
pub(crate) struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["Test CA".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key for a name.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.into()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl Switchboard {
    pub(crate) async fn start(rules: Rules) -> Arc<Switchboard> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ca = Authority::new();
        let (cert, key) = ca.issue("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(certificates("ca", &ca.pem).unwrap().remove(0)).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match rules.anonymous {
            true => builder.with_no_client_auth(),
            false => builder.with_client_cert_verifier(verifier),
        };
        let config = builder
            .with_single_cert(
                certificates("cert", &cert).unwrap(),
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let board = Arc::new(Switchboard {
            udp: socket.local_addr().unwrap(),
            tcp: tcp.local_addr().unwrap(),
            tls: tls.local_addr().unwrap(),
            rules: Mutex::new(rules),
            ca,
            clients: Mutex::new(0),
            socket,
            bindings: Mutex::default(),
            ways: Mutex::default(),
            nonces: AtomicU64::new(1),
            branches: AtomicU64::new(1),
        });
        tokio::spawn(board.clone().datagrams());
        let plain = board.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = tcp.accept().await {
                tokio::spawn(plain.clone().stream(stream, peer));
            }
        });
        let secure = board.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = tls.accept().await {
                let (acceptor, board) = (acceptor.clone(), secure.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let named = stream.get_ref().1.peer_certificates().is_some();
                    *board.clients.lock().unwrap() += usize::from(named);
                    board.stream(stream, peer).await;
                });
            }
        });
        board
    }

    async fn datagrams(self: Arc<Self>) {
        let mut buffer = vec![0; 65_535];
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else { continue };
            self.take(&buffer[..length], from, &Way::Udp(from));
        }
    }

    async fn stream<S>(self: Arc<Self>, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (sender, mut to_send) = mpsc::channel::<Vec<u8>>(256);
        tokio::spawn(async move {
            while let Some(bytes) = to_send.recv().await {
                writer.write_all(&bytes).await.ok();
                writer.flush().await.ok();
            }
        });
        let mut framer = Framer::new(Side::Acceptor);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            framer.push(&buffer[..length]);
            loop {
                match framer.next() {
                    Frame::Message(bytes) => {
                        let bytes = bytes.to_vec();
                        self.take(&bytes, peer, &Way::Stream(sender.clone()));
                    }
                    Frame::Ping => sender.try_send(b"\r\n".to_vec()).unwrap(),
                    Frame::Pong => {}
                    Frame::NeedMore => break,
                    Frame::Broken { .. } => return,
                }
            }
        }
    }

    fn send(&self, way: &Way, method: &str, bytes: Vec<u8>) {
        match way {
            Way::Udp(to) => {
                if let Some(left) = self.rules.lock().unwrap().lose.get_mut(method).filter(|n| **n > 0) {
                    *left -= 1;
                    return;
                }
                self.socket.try_send_to(&bytes, *to).unwrap();
            }
            Way::Stream(sender) => sender.try_send(bytes).unwrap(),
        }
    }

    fn take(&self, bytes: &[u8], from: SocketAddr, way: &Way) {
        let Ok(message) = Message::parse(bytes) else { return };
        match message.method() {
            None => self.relay_response(&message),
            Some(Method::Register) => self.register(&message, from, way),
            Some(_) => self.relay_request(&message, from, way),
        }
    }

    fn register(&self, request: &Message<'_>, from: SocketAddr, way: &Way) {
        let head = ReplyHead::capture(request, from, false).unwrap();
        let rules = self.rules.lock().unwrap().clone();
        let user = request.to().unwrap().uri.user.unwrap().to_owned();
        let reply = |status, headers: &[(&str, &str)]| {
            self.send(way, "REGISTER", head.respond(status, "x", Some("board"), headers, None));
        };
        if let Some(password) = &rules.password {
            let stale = self.judge(request, &user, password, rules.stale_after).err();
            if let Some(stale) = stale {
                let nonce = self.nonces.fetch_add(1, Ordering::Relaxed);
                let stale = if stale { ", stale=true" } else { "" };
                let challenge = |algorithm: &str| {
                    format!(
                        "Digest realm=\"{REALM}\", nonce=\"n{nonce}\", algorithm={algorithm}, \
                         qop=\"auth\"{stale}"
                    )
                };
                let (first, second) = (challenge("SHA-256"), challenge("MD5"));
                return reply(401, &[("WWW-Authenticate", &first), ("WWW-Authenticate", &second)]);
            }
        }
        let expires = request.expires().map_or(3600, |e| e.seconds);
        if expires > 0 && expires < rules.min_expires {
            return reply(423, &[("Min-Expires", &rules.min_expires.to_string())]);
        }
        let mut bindings = self.bindings.lock().unwrap();
        let Some(contact) = request.contact() else { return reply(400, &[]) };
        let raw = contact.uri.raw.to_owned();
        if expires == 0 {
            bindings.remove(&user);
            return reply(200, &[]);
        }
        bindings.insert(user, (raw.clone(), way.clone()));
        reply(200, &[("Contact", &format!("<{raw}>;expires={expires}"))]);
    }

    /// `Err(true)`: right, but stale.
    fn judge(
        &self,
        request: &Message<'_>,
        user: &str,
        password: &str,
        stale: Option<u32>,
    ) -> Result<(), bool> {
        let Some(Ok(Credentials::Digest(digest))) = request.authorizations().next() else {
            return Err(false);
        };
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().unwrap_or("").to_owned();
        let algorithm = Algorithm::parse(&text(&digest.algorithm)).unwrap();
        let ha1 = Ha1::derive(algorithm, user, REALM, password);
        let (uri, nonce, nc, cnonce) =
            (text(&digest.uri), text(&digest.nonce), text(&digest.nc), text(&digest.cnonce));
        let protection = Protection::Auth { nc: &nc, cnonce: &cnonce };
        let parts = Parts { method: "REGISTER", uri: &uri, nonce: &nonce, protection };
        assert_eq!(digest.username.as_deref(), Some(user));
        if !verify(algorithm, Some(&ha1), &parts, &text(&digest.response)) {
            return Err(false);
        }
        let count = digest.nonce_count().unwrap();
        if stale.is_some_and(|limit| count > limit) { Err(true) } else { Ok(()) }
    }

    fn relay_request(&self, request: &Message<'_>, from: SocketAddr, way: &Way) {
        let method = request.method().unwrap().as_str();
        let uri = request.uri().unwrap();
        let binding = self.bindings.lock().unwrap().get(uri.user.unwrap_or_default()).cloned();
        let Some((contact, to)) = binding else {
            if method != "ACK" {
                let head = ReplyHead::capture(request, from, false).unwrap();
                self.send(way, method, head.respond(404, "Not Found", Some("board"), &[], None));
            }
            return;
        };
        // The same request gets the same branch again, and ACK and CANCEL that of their INVITE.
        let branch = format!("z9hG4bKboard{}", request.top_via().unwrap().branch().unwrap());
        self.branches.fetch_add(1, Ordering::Relaxed);
        self.ways.lock().unwrap().insert(branch.clone(), way.clone());
        let mut out = Printer::request(method, &contact);
        out.header("Via", &format!("SIP/2.0/UDP {};branch={branch}", self.udp));
        self.copy(request, out, &to, method, 0);
    }

    fn relay_response(&self, response: &Message<'_>) {
        let branch = response.top_via().unwrap().branch().unwrap().to_owned();
        let Some(way) = self.ways.lock().unwrap().get(&branch).cloned() else { return };
        let method = format!("{}", response.status().unwrap());
        let out = Printer::response(response.status().unwrap(), response.reason().unwrap_or_default());
        self.copy(response, out, &way, &method, 1);
    }

    /// Copies headers, but for that many topmost Vias, and the body.
    fn copy(&self, message: &Message<'_>, mut out: Printer, way: &Way, method: &str, skip: usize) {
        let mut vias = 0;
        for header in message.headers() {
            match header.name {
                HeaderName::ContentLength | HeaderName::ContentType => continue,
                HeaderName::Via => {
                    vias += 1;
                    if vias <= skip {
                        continue;
                    }
                }
                _ => {}
            }
            out.header(header.text, header.value);
        }
        let content_type = message.first(HeaderName::ContentType).unwrap_or("text/plain").to_owned();
        self.send(way, method, out.finish_with(&content_type, message.body()));
    }
}
