//! One trunk: connect, ask whether the far end is there, wait, connect again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyline_actors::board::Boards;
use keyline_actors::clock::now;
use keyline_domain::cipher::TlsCiphers;
use keyline_domain::inventory::Purpose;
use keyline_domain::trunk::{self, Handshake, TrunkState};
use keyline_wire::sip::stream::{Frame, Framer, Side};
use keyline_wire::sip::{Message, Method, Printer, ReplyHead, reason_phrase};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Plan, Status, Trunks};
use crate::pki::stores::Stores;
use crate::tls::acceptor::TlsContext;
use crate::tls::client::{FarEnd, outgoing};
use crate::tls::source::PolicySource;

/// Port of a destination that names none (RFC 3261 §19.1.2).
const TLS_PORT: u16 = 5061;
/// For the connection and its handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// For the answer to OPTIONS: Timer F (RFC 3261 §17.1.2.2).
const ANSWER: Duration = Duration::from_secs(32);
/// Between two OPTIONS.
const PING: Duration = Duration::from_secs(30);
/// Pause after a failure, doubled up to the second.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often it is looked at whether what connections are begun by has changed.
const LOOK: Duration = Duration::from_millis(500);

/// Who we are towards far ends.
pub struct Origin {
    /// Menu and trust.
    pub boards: Arc<Boards>,
    /// Own certificates.
    pub tls: Arc<TlsContext>,
    /// Domain of our addresses.
    pub domain: String,
}

/// Why a trunk is not connected.
struct Failed {
    state: TrunkState,
    detail: String,
}

impl Failed {
    fn down(detail: impl ToString) -> Self {
        Self { state: TrunkState::Down, detail: detail.to_string() }
    }
}

/// What a connection is begun by. When it changes, the one that is open is begun anew: it may not be allowed any more.
#[derive(PartialEq, Eq)]
struct Grounds {
    menu: TlsCiphers,
    /// Of trunk-trust.
    trusted: Vec<CertificateDer<'static>>,
}

impl Grounds {
    fn of(origin: &Origin) -> Self {
        let rows = origin.boards.settings.certificates();
        let (stores, _) = Stores::collect(rows.iter().filter(|row| row.purpose == Purpose::TrunkTrust));
        Self { menu: origin.boards.menu(), trusted: stores.of(Purpose::TrunkTrust).to_vec() }
    }

    /// Waits until they are others.
    async fn changed(&self, origin: &Origin) {
        let mut seen = None;
        loop {
            let generation = origin.boards.settings.generation();
            if seen != Some(generation) && *self != Self::of(origin) {
                return;
            }
            seen = Some(generation);
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Serves one trunk for ever.
pub(super) async fn serve(plan: Plan, trunks: Trunks, origin: Arc<Origin>) {
    let mut rest = REST.0;
    loop {
        let began = Instant::now();
        let grounds = Grounds::of(&origin);
        let failed = match connect(&plan, &grounds, &origin).await {
            Ok((stream, state, suite)) => {
                trunks.set(&plan.name, Status { state, detail: String::new(), suite, since: now() });
                tokio::select! {
                    ended = ask(stream, &plan, &origin) => match ended {
                        Ok(()) => Failed::down("the far end closed the connection"),
                        Err(failed) => failed,
                    },
                    () = grounds.changed(&origin) => Failed::down("tls_ciphers or trunk-trust has changed"),
                }
            }
            Err(failed) => failed,
        };
        let Failed { state, detail } = failed;
        trunks.set(&plan.name, Status { state, detail, suite: 0, since: now() });
        // A connection that lasted begins again quickly.
        rest = if began.elapsed() > REST.1 { REST.0 } else { (rest * 2).min(REST.1) };
        tokio::select! {
            () = tokio::time::sleep(rest / 2) => {}
            () = grounds.changed(&origin) => rest = REST.0,
        }
    }
}

async fn connect(
    plan: &Plan,
    grounds: &Grounds,
    origin: &Origin,
) -> Result<(TlsStream<TcpStream>, TrunkState, u16), Failed> {
    let menu = grounds.menu;
    let own = origin.tls.identity();
    let far = FarEnd { trusted: &grounds.trusted, subject: plan.subject.as_deref(), own: &own };
    let Some(config) = outgoing(plan.mode, menu, &far).map_err(Failed::down)? else {
        let detail = "the parameter tls_ciphers has no suite for the mode of its profile (R130)".to_owned();
        return Err(Failed { state: TrunkState::CipherPolicy, detail });
    };
    let (host, port) = split(&plan.destination);
    let name = ServerName::try_from(host.to_owned()).map_err(Failed::down)?;
    let shake = async {
        let stream = TcpStream::connect((host, port)).await.map_err(Failed::down)?;
        let _ = stream.set_nodelay(true);
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            let alert =
                error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).and_then(|e| match e {
                    rustls::Error::AlertReceived(alert) => Some(u8::from(*alert)),
                    _ => None,
                });
            let handshake = alert.map_or(Handshake::Failed, Handshake::Alert);
            Failed { state: trunk::state(plan.mode, menu, handshake), detail: error.to_string() }
        })
    };
    let stream = timeout(CONNECT, shake).await.map_err(|_| Failed::down("no handshake in time"))??;
    let suite = stream.get_ref().1.negotiated_cipher_suite().map_or(0, |s| u16::from(s.suite()));
    match trunk::state(plan.mode, menu, Handshake::Done(suite)) {
        state if state.carries_calls() => Ok((stream, state, suite)),
        state => Err(Failed { state, detail: format!("the far end chose suite {suite:#06x}") }),
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Host and port of a destination: `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split(destination: &str) -> (&str, u16) {
    if destination.parse::<std::net::Ipv6Addr>().is_ok() {
        return (destination, TLS_PORT);
    }
    match destination.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (bare(host), port),
        None => (bare(destination), TLS_PORT),
    }
}

/// Asks again and again whether the far end is there, and answers what it asks.
async fn ask(stream: TlsStream<TcpStream>, plan: &Plan, origin: &Origin) -> Result<(), Failed> {
    let peer = stream.get_ref().0.peer_addr().map_err(Failed::down)?;
    let local = stream.get_ref().0.local_addr().map_err(Failed::down)?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut framer, mut chunk) = (Framer::new(Side::Acceptor), vec![0; 4096]);
    let mut pending: Option<Instant> = None;
    let mut next = Instant::now();
    let mut number = 0u32;
    let id = random();
    loop {
        let deadline = pending.map_or(next, |asked| asked + ANSWER);
        tokio::select! {
            read = reader.read(&mut chunk) => {
                let length = read.map_err(Failed::down)?;
                if length == 0 {
                    return Ok(());
                }
                framer.push(&chunk[..length]);
                let mut answers = Vec::new();
                loop {
                    match framer.next() {
                        Frame::Message(bytes) => {
                            let Ok(message) = Message::parse(bytes) else { continue };
                            match message.is_request() {
                                true => answers.extend(answer(&message, peer)),
                                // Whatever it says, it is there.
                                false if message.call_id() == Some(&*id) => {
                                    pending = None;
                                    next = Instant::now() + PING;
                                }
                                false => {}
                            }
                        }
                        Frame::Ping => answers.extend_from_slice(b"\r\n"),
                        Frame::Pong => {}
                        Frame::NeedMore => break,
                        Frame::Broken { error, .. } => return Err(Failed::down(error)),
                    }
                }
                writer.write_all(&answers).await.map_err(Failed::down)?;
                writer.flush().await.map_err(Failed::down)?;
            }
            () = tokio::time::sleep_until(deadline) => {
                if pending.is_some() {
                    return Err(Failed::down("no answer to OPTIONS"));
                }
                number = number.wrapping_add(1) & 0x7fff_ffff;
                let request = options(plan, origin, local, &id, number);
                writer.write_all(&request).await.map_err(Failed::down)?;
                writer.flush().await.map_err(Failed::down)?;
                pending = Some(Instant::now());
            }
        }
    }
}

fn options(plan: &Plan, origin: &Origin, local: SocketAddr, id: &str, number: u32) -> Vec<u8> {
    let (host, port) = split(&plan.destination);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let uri = format!("sip:{host}:{port};transport=tls");
    let mut p = Printer::request("OPTIONS", &uri);
    p.header("Via", &format!("SIP/2.0/TLS {local};branch=z9hG4bK{}", random()))
        .header_number("Max-Forwards", 70)
        .header("From", &format!("<sip:{}>;tag={id}", origin.domain))
        .header("To", &format!("<{uri}>"))
        .header("Call-ID", id)
        .cseq(number, "OPTIONS")
        .header("Accept", "application/sdp");
    p.finish()
}

/// The far end may ask whether we are there; calls are not taken from trunks in this version.
fn answer(message: &Message<'_>, peer: SocketAddr) -> Vec<u8> {
    if message.method() == Some(Method::Ack) {
        return Vec::new();
    }
    let status = if message.method() == Some(Method::Options) { 200 } else { 503 };
    let head = ReplyHead::capture(message, peer, false);
    head.map_or_else(Vec::new, |head| head.respond(status, reason_phrase(status), Some("trunk"), &[], None))
}

/// A token that nobody guesses; without randomness one that repeats.
fn random() -> String {
    let mut bytes = [0u8; 12];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_hosts_with_or_without_port() {
        for (text, expected) in [
            ("sbc.example", ("sbc.example", 5061)),
            ("sbc.example:5071", ("sbc.example", 5071)),
            ("192.0.2.1", ("192.0.2.1", 5061)),
            ("192.0.2.1:5070", ("192.0.2.1", 5070)),
            ("[2001:db8::1]:5070", ("2001:db8::1", 5070)),
            ("[2001:db8::1]", ("2001:db8::1", 5061)),
            ("2001:db8::1", ("2001:db8::1", 5061)),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
