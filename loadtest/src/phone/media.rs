//! Offers and answers of one call (RFC 3264, RFC 4568). No media flows: ports are made up.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyline_wire::sdp::{CryptoSuite, Direction, Media, Sdp};

use super::config::Srtp;

/// Formats that the phone knows: PCMU, PCMA, G.722, G.729 and DTMF events.
const FORMATS: [(&str, &str); 5] = [
    ("0", "PCMU/8000"),
    ("8", "PCMA/8000"),
    ("9", "G722/8000"),
    ("18", "G729/8000"),
    ("101", "telephone-event/8000"),
];
const OFFERED: &str = "0 8 101";

/// One m-line as agreed so far: later offers keep number and order of the lines (RFC 3264 §8).
#[derive(Debug, Clone)]
struct Line {
    kind: String,
    proto: String,
    formats: String,
    active: bool,
    crypto: Vec<(u32, CryptoSuite)>,
}

/// The phone's side of a call's media.
#[derive(Debug, Clone)]
pub(super) struct MediaSession {
    srtp: Srtp,
    ip: IpAddr,
    port: u16,
    id: u64,
    version: u64,
    last: String,
    lines: Vec<Line>,
    keys: HashMap<CryptoSuite, String>,
    /// What the phone itself wants: a hold is `SendOnly` or `Inactive`.
    wish: Direction,
}

impl MediaSession {
    /// `seed` is random: it makes session id and port.
    pub(super) fn new(srtp: Srtp, ip: IpAddr, seed: u64) -> MediaSession {
        let port = 16_384 + 2 * u16::try_from(seed % 8_192).unwrap_or(0);
        let suites: Vec<_> = (1..).zip(srtp.suites().iter().copied()).collect();
        let audio = |proto: &str, crypto: &[(u32, CryptoSuite)]| Line {
            kind: "audio".into(),
            proto: proto.into(),
            formats: OFFERED.into(),
            active: true,
            crypto: crypto.to_vec(),
        };
        let lines = match &srtp {
            Srtp::None => vec![audio("RTP/AVP", &[])],
            Srtp::Savp(_) => vec![audio("RTP/SAVP", &suites)],
            Srtp::SavpOrAvp(_) => vec![audio("RTP/SAVP", &suites), audio("RTP/AVP", &[])],
            Srtp::Fallback(_) => vec![audio("RTP/AVP", &suites)],
        };
        MediaSession {
            srtp,
            ip,
            port,
            id: seed >> 2,
            version: 0,
            last: String::new(),
            lines,
            keys: HashMap::new(),
            wish: Direction::SendRecv,
        }
    }

    /// Sets what the phone wants from now on.
    pub(super) fn want(&mut self, direction: Direction) {
        self.wish = direction;
    }

    /// Takes another media address: what a re-INVITE after a change of devices carries.
    pub(super) fn move_port(&mut self) {
        self.port = if self.port >= 32_766 { 16_384 } else { self.port + 2 };
    }

    /// Throws the keys away: the next description has new ones.
    pub(super) fn rekey(&mut self) {
        self.keys.clear();
    }

    /// An offer.
    pub(super) fn offer(&mut self) -> Vec<u8> {
        let lines = self.lines.clone();
        let directions = vec![self.wish; lines.len()];
        self.print(&lines, &directions)
    }

    /// The answer to an offer; `None` when no stream of it can be taken (488).
    pub(super) fn answer(&mut self, offer: &Sdp<'_>) -> Option<Vec<u8>> {
        let mut taken = false;
        let (mut lines, mut directions) = (Vec::new(), Vec::new());
        for media in &offer.media {
            let line = self.answer_line(media, taken);
            taken |= line.active;
            directions.push(combine(self.wish, offer.direction_of(media)));
            lines.push(line);
        }
        if !taken && offer.media.iter().any(Media::is_active) {
            return None;
        }
        self.lines = lines.clone();
        Some(self.print(&lines, &directions))
    }

    /// Takes in the answer to an own offer: what it refused is not offered again, and one suite stays.
    pub(super) fn answered(&mut self, answer: &Sdp<'_>) {
        for (line, media) in self.lines.iter_mut().zip(&answer.media) {
            line.active &= media.is_active();
            if let Some(chosen) = media.crypto.first() {
                line.crypto.retain(|(tag, suite)| (*tag, *suite) == (chosen.tag, chosen.suite));
            }
        }
    }

    fn answer_line(&self, media: &Media<'_>, taken: bool) -> Line {
        let known = |format: &&str| FORMATS.iter().any(|(number, _)| number == format);
        let formats: Vec<&str> = media.formats.iter().map(|format| &**format).filter(known).collect();
        let speaks = formats.iter().any(|format| *format != "101");
        let audio = &*media.kind == "audio" && media.is_active() && speaks && !taken;
        let suites = self.srtp.suites();
        let usable = media.crypto.iter().find(|line| line.protects() && suites.contains(&line.suite));
        let usable: Vec<_> = usable.map(|line| (line.tag, line.suite)).into_iter().collect();
        let (active, crypto) = match &*media.proto.to_ascii_uppercase() {
            "RTP/SAVP" | "RTP/SAVPF" => (audio && !usable.is_empty(), usable),
            "RTP/AVP" | "RTP/AVPF" => {
                let keyed = matches!(self.srtp, Srtp::Fallback(_));
                (audio, if keyed { usable } else { Vec::new() })
            }
            _ => (false, Vec::new()),
        };
        let formats = if active {
            formats.join(" ")
        } else {
            media.formats.first().map_or("0", |format| &**format).to_owned()
        };
        Line { kind: media.kind.to_string(), proto: media.proto.to_string(), formats, active, crypto }
    }

    /// The version rises only when something changed (RFC 3264 §8).
    fn print(&mut self, lines: &[Line], directions: &[Direction]) -> Vec<u8> {
        let mut body = String::new();
        // Writing to a String can not fail.
        for (line, direction) in lines.iter().zip(directions) {
            let port = if line.active { self.port } else { 0 };
            let _ = write!(body, "m={} {port} {} {}\r\n", line.kind, line.proto, line.formats);
            if !line.active {
                continue;
            }
            for (number, name) in FORMATS {
                if line.formats.split(' ').any(|format| format == number) {
                    let _ = write!(body, "a=rtpmap:{number} {name}\r\n");
                }
            }
            for (tag, suite) in &line.crypto {
                let key = self.keys.entry(*suite).or_insert_with(|| fresh_key(*suite));
                let _ = write!(body, "a=crypto:{tag} {} inline:{key}\r\n", suite.name());
            }
            let _ = write!(body, "a={}\r\n", direction.as_str());
        }
        if body != self.last {
            self.version += 1;
            self.last.clone_from(&body);
        }
        let family = if self.ip.is_ipv6() { "IP6" } else { "IP4" };
        let (id, version, ip) = (self.id, self.version, self.ip);
        format!("v=0\r\no=- {id} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n{body}")
            .into_bytes()
    }
}

/// Direction of an answer: what both sides want, seen from the answerer (RFC 3264 §6.1).
fn combine(wish: Direction, offered: Direction) -> Direction {
    let sends = |d| matches!(d, Direction::SendRecv | Direction::SendOnly);
    let receives = |d| matches!(d, Direction::SendRecv | Direction::RecvOnly);
    match (sends(wish) && receives(offered), receives(wish) && sends(offered)) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

fn fresh_key(suite: CryptoSuite) -> String {
    let mut key = vec![0; suite.key_bytes()];
    if getrandom::fill(&mut key).is_err() {
        // No media is ever protected with it.
        key.fill(0x5a);
    }
    STANDARD.encode(key)
}

#[cfg(test)]
mod tests {
    use keyline_wire::sdp::{self, MediaProto, validate_answer};

    use super::*;

    fn session(srtp: Srtp) -> MediaSession {
        MediaSession::new(srtp, "127.0.0.1".parse().unwrap(), 77)
    }

    fn exchange(from: &mut MediaSession, to: &mut MediaSession) -> (sdp::OwnedSdp, Option<sdp::OwnedSdp>) {
        let offer = sdp::parse(&from.offer()).unwrap().into_owned();
        let answer = to.answer(&offer).map(|bytes| sdp::parse(&bytes).unwrap().into_owned());
        if let Some(answer) = &answer {
            validate_answer(&offer.summary(), &answer.summary()).unwrap();
            from.answered(answer);
        }
        (offer, answer)
    }

    #[test]
    fn srtp_is_answered_in_kind() {
        let (_, answer) = exchange(&mut session(Srtp::savp()), &mut session(Srtp::savp()));
        let answer = answer.unwrap();
        assert_eq!(answer.media[0].crypto.len(), 1);
        assert_eq!(answer.media[0].crypto[0].suite, CryptoSuite::AeadAes256Gcm);

        let (_, answer) = exchange(&mut session(Srtp::fallback()), &mut session(Srtp::fallback()));
        assert_eq!(answer.unwrap().media[0].crypto.len(), 1);

        let (_, answer) = exchange(&mut session(Srtp::fallback()), &mut session(Srtp::None));
        assert_eq!(answer.unwrap().media[0].crypto.len(), 0);
    }

    #[test]
    fn srtp_alone_is_refused_by_a_phone_without_it() {
        assert!(exchange(&mut session(Srtp::savp()), &mut session(Srtp::None)).1.is_none());
    }

    #[test]
    fn of_two_lines_one_is_taken_and_both_stay() {
        let both = Srtp::SavpOrAvp(vec![CryptoSuite::AesCm128HmacSha1_80]);
        let (mut caller, mut plain) = (session(both.clone()), session(Srtp::None));
        let (_, answer) = exchange(&mut caller, &mut plain);
        let ports: Vec<_> = answer.unwrap().media.iter().map(Media::is_active).collect();
        assert_eq!(ports, [false, true]);

        let (_, answer) = exchange(&mut session(both), &mut session(Srtp::savp()));
        let ports: Vec<_> = answer.unwrap().media.iter().map(Media::is_active).collect();
        assert_eq!(ports, [true, false]);

        // A hold by either side keeps two m-lines.
        plain.want(Direction::SendOnly);
        let (offer, answer) = exchange(&mut plain, &mut caller);
        assert_eq!(offer.media.len(), 2);
        let answer = answer.unwrap();
        assert_eq!(answer.direction_of(&answer.media[1]), Direction::RecvOnly);
        assert_eq!(answer.summary().streams[0].proto, MediaProto::Srtp);
    }

    #[test]
    fn version_and_keys_change_only_with_the_description() {
        let mut phone = session(Srtp::savp());
        let first = sdp::parse(&phone.offer()).unwrap().into_owned();
        let same = sdp::parse(&phone.offer()).unwrap().into_owned();
        assert_eq!(first, same);
        phone.want(Direction::Inactive);
        let held = sdp::parse(&phone.offer()).unwrap().into_owned();
        assert_eq!((&*first.origin.version, &*held.origin.version), ("1", "2"));
        assert_eq!(first.media[0].crypto, held.media[0].crypto);
        phone.rekey();
        assert_ne!(sdp::parse(&phone.offer()).unwrap().media[0].crypto, held.media[0].crypto);
    }

    #[test]
    fn directions_combine() {
        use Direction::*;
        assert_eq!(combine(SendRecv, SendOnly), RecvOnly);
        assert_eq!(combine(SendRecv, Inactive), Inactive);
        assert_eq!(combine(SendOnly, SendRecv), SendOnly);
        assert_eq!(combine(SendOnly, SendOnly), Inactive);
        assert_eq!(combine(SendRecv, RecvOnly), SendOnly);
    }
}
