//! A thousand damaged messages over each transport: no panic, no restart, fitting answers, flat memory, and
//! phones that are served before, meanwhile and after.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use keyline_loadtest::phone::Transport;
use keyline_tests::mutate::{DAMAGES, Damage, Dice};
use keyline_tests::node::Node;
use keyline_tests::place::{HEAVY, device_on};
use keyline_tests::sip::{Line, Request, audio, contact, unique};
use keyline_tests::wait;

use crate::common::{connect, pair_with, registered};
use crate::torture_read::{Head, cut};

/// Messages over each transport.
const MESSAGES: usize = 1000;

/// Resident memory may grow by this much after the first fifth: buffers and allocator.
const GROWTH_KIB: u64 = 24 * 1024;

/// Line of the one who sends them: a registered phone, so that what is sound enough is served.
const SENDER: &str = "1003";

/// How long a connection whose message is not whole may stay silent after its sender has closed its side.
const QUIET: Duration = Duration::from_secs(5);

/// What became of all messages.
#[derive(Debug, Default)]
struct Tally {
    by_status: BTreeMap<u16, u32>,
    sent: u32,
    readable: u32,
    answered: u32,
    misfits: Vec<String>,
}

/// A message, and what a reader of its own makes of it.
struct Shot {
    bytes: Vec<u8>,
    damage: Damage,
    branch: String,
}

impl Shot {
    /// Whether an answer is due: a request other than ACK whose topmost Via can be read and still leads
    /// back.
    fn is_readable(&self, own: SocketAddr, over: &str) -> bool {
        let head = Head::read(&self.bytes);
        let mut words = head.start.split(' ');
        let method = words.next().unwrap_or_default();
        let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        let request = !method.is_empty() && method.chars().all(token) && method != "ACK";
        let version = head.start.rsplit(' ').next().is_some_and(|v| v.starts_with("SIP/"));
        let via = head.vias().into_iter().next().unwrap_or_default();
        let sound = format!("SIP/2.0/{over}{own};branch=z9hG4bK{};rport", self.branch);
        request && version && words.next().is_some() && via == sound
    }
}

/// A sound request of the sender.
fn sound(dice: &mut Dice, line: &Line) -> Request {
    let to = "sip:1999@keyline.local";
    let mut request = match dice.of(0..6) {
        0 => Request::register_from(SENDER, line),
        1 => {
            let mut invite = Request::new("INVITE", to, SENDER).header("Contact", &contact(SENDER, line));
            invite.body = Some(("application/sdp".into(), audio(4000)));
            invite
        }
        2 => {
            let mut message = Request::new("MESSAGE", to, SENDER);
            message.body = Some(("text/plain".into(), "hello".into()));
            message
        }
        3 => {
            let mut bye = Request::new("BYE", to, SENDER);
            bye.to.push_str(";tag=gone");
            bye
        }
        4 => Request::new("SUBSCRIBE", to, SENDER).header("Event", "presence").header("Expires", "60"),
        _ => Request::new("OPTIONS", to, SENDER).header(
            "Authorization",
            "Digest username=\"x\",realm=\"y\",nonce=\"z\",uri=\"sip:a\",response=\"0\"",
        ),
    };
    request.branch = unique();
    request
}

fn shot(number: usize, dice: &mut Dice, line: &Line) -> Shot {
    let request = sound(dice, line);
    let damage = DAMAGES[number % DAMAGES.len()];
    Shot { bytes: damage.apply(&request.print(line), dice), damage, branch: request.branch }
}

impl Tally {
    fn take(&mut self, shot: &Shot, due: bool, statuses: &[u16]) {
        self.sent += 1;
        self.readable += u32::from(due);
        for status in statuses {
            *self.by_status.entry(*status).or_default() += 1;
        }
        let Some(first) = statuses.first() else { return };
        if !shot.damage.fits(*first) {
            let text = String::from_utf8_lossy(&shot.bytes[..shot.bytes.len().min(600)]).into_owned();
            self.misfits.push(format!("{:?} got {first}: {text:?}", shot.damage));
        } else if due {
            self.answered += 1;
        }
    }

    fn judge(&self, over: &str) {
        let Tally { sent, readable, answered, by_status, misfits } = self;
        println!(
            "{over}: {sent} damaged messages, {readable} with a readable Via, {answered} answered fittingly"
        );
        println!("{over}: answers by status: {by_status:?}");
        assert!(misfits.is_empty(), "{} answers do not fit:\n{}", misfits.len(), misfits.join("\n"));
        assert!(*readable > *sent / 3, "only {readable} of {sent} have a readable Via: nothing is shown");
        assert!(answered * 5 >= readable * 4, "{answered} of {readable} answered");
        assert!(by_status.len() >= 6, "one answer to everything: {by_status:?}");
    }
}

/// A request that owes a proof, so that its 401 says that everything before it was looked at.
fn probe() -> Request {
    Request::register("3001")
}

fn over_udp(node: &Node, seed: u64) -> Tally {
    let (mut dice, mut tally) = (Dice::new(seed), Tally::default());
    let mut line = Line::udp(node.udp());
    let own = line.local();
    let mut rss = 0;
    let Line::Udp(socket) = &line else { unreachable!("a UDP line") };
    let socket = socket.try_clone().expect("the same socket");
    let mut buffer = vec![0; 65_535];
    for number in 0..MESSAGES {
        if number == MESSAGES / 5 {
            rss = node.rss_kib();
        }
        let shot = shot(number, &mut dice, &line);
        line.send(&shot.bytes);
        let mut probe = probe().header("Contact", &contact("3001", &line));
        let mut bytes = probe.print(&line);
        line.send(&bytes);
        let due = shot.is_readable(own, "UDP");
        let (mut statuses, mut probed) = (Vec::new(), false);
        // An answer of a shard may come after that to the probe.
        while !probed || (due && statuses.is_empty()) {
            let patience = if probed { Duration::from_millis(200) } else { Duration::from_secs(2) };
            socket.set_read_timeout(Some(patience)).expect("a timeout");
            let Ok(length) = socket.recv(&mut buffer) else {
                if probed {
                    break;
                }
                // A datagram may be lost where the machine is busy.
                probe = probe.next();
                bytes = probe.print(&line);
                line.send(&bytes);
                continue;
            };
            let head = Head::read(&buffer[..length]);
            let Some(status) = head.status() else { continue };
            if head.first("call-id") == Some(&probe.call_id) {
                assert_eq!(status, 401, "the probe");
                probed = true;
            } else if status >= 200 {
                statuses.push(status);
            }
        }
        tally.take(&shot, due, &statuses);
    }
    assert_flat(node, rss);
    tally
}

fn over_tcp(node: &Node, seed: u64) -> Tally {
    let (mut dice, mut tally) = (Dice::new(seed), Tally::default());
    let mut rss = 0;
    for number in 0..MESSAGES {
        if number == MESSAGES / 5 {
            rss = node.rss_kib();
        }
        let mut line = Line::tcp(node.tcp());
        let own = line.local();
        let shot = shot(number, &mut dice, &line);
        let Line::Tcp(stream, _) = &mut line else { unreachable!("a TCP line") };
        stream.set_nodelay(true).expect("no delay");
        let mut stream = stream.try_clone().expect("the same connection");
        let whole = cut(&shot.bytes).is_some_and(|(_, rest)| rest.is_empty());
        // The node may close as soon as framing is lost, so a failing write is no failure.
        let mut rest = &shot.bytes[..];
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(dice.of(1..700).min(rest.len()));
            rest = if stream.write_all(chunk).is_ok() { more } else { &[] };
        }
        let probe = probe().header("Contact", &contact("3001", &line));
        if whole {
            let _ = stream.write_all(&probe.print(&line));
        } else {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let due = shot.is_readable(own, "TCP") && whole;
        let statuses = statuses_until(&mut stream, &probe.call_id, due);
        tally.take(&shot, due, &statuses);
    }
    assert_flat(node, rss);
    tally
}

/// Final statuses up to the probe's answer or the end of the connection.
fn statuses_until(stream: &mut TcpStream, probe: &str, due: bool) -> Vec<u16> {
    let (mut unread, mut statuses, mut probed) = (Vec::new(), Vec::new(), false);
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some((message, rest)) = cut(&unread) {
            let head = Head::read(message);
            let rest = rest.to_vec();
            unread = rest;
            match head.status() {
                Some(_) if head.first("call-id") == Some(probe) => probed = true,
                Some(status) if status >= 200 => statuses.push(status),
                _ => {}
            }
        }
        if probed && (!due || !statuses.is_empty()) {
            return statuses;
        }
        let patience = if probed { Duration::from_millis(200) } else { QUIET };
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return statuses,
            Ok(length) => unread.extend_from_slice(&buffer[..length]),
        }
    }
}

fn assert_flat(node: &Node, before: u64) {
    let grown = node.rss_kib().saturating_sub(before);
    println!("resident memory grew by {grown} KiB");
    assert!(grown < GROWTH_KIB, "{grown} KiB");
}

fn damaged_messages_harm_nobody(shards: u16) {
    let _turn = HEAVY.lock();
    wait::run(async move {
        let pair = pair_with(
            shards,
            Transport::Udp,
            Transport::Tcp,
            |mut inventory| {
                inventory.plain_phone(&device_on(0, shards, 3), SENDER);
                inventory.digest_phone(&device_on(shards - 1, shards, 4), "3001");
                inventory
            },
            |caller| caller,
            |callee| callee,
        )
        .await;
        let node = &pair.node;
        let pid = node.pid();
        let (over_udp, over_tcp) = tokio::task::block_in_place(|| {
            let mut line = Line::udp(node.udp());
            let request = Request::register_from(SENDER, &line);
            assert_eq!(line.exchange(&request).status(), Some(200));
            (over_udp(node, 4475), over_tcp(node, 5118))
        });
        over_udp.judge("UDP");
        over_tcp.judge("TCP");

        for metric in ["keyline_worker_panics_total", "keyline_actor_restarts_total"] {
            assert!(node.metric(metric, "") < 1.0, "{metric}");
        }
        assert_eq!(node.pid(), pid);
        // Those who were registered are served, and somebody new is.
        pair.caller.register().await.expect("a refresh");
        pair.callee.register().await.expect("a refresh over its connection");
        let (out, _) = connect(&pair.caller, &pair.callee).await;
        out.hang_up().await.expect("the call ends");
        let device = device_on(shards - 1, shards, 4);
        let fresh = node.digest_phone(Transport::Udp, &device, "3001");
        registered(fresh).await;
    });
}

#[test]
fn damaged_messages_harm_nobody_one_shard() {
    damaged_messages_harm_nobody(1);
}

#[test]
fn damaged_messages_harm_nobody_two_shards() {
    damaged_messages_harm_nobody(2);
}
