//! Signaling as it happens: a ladder on the terminal, a file for Wireshark, a capture server.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::args::{Trace, Tracing};
use super::failure::line;
use super::source::Source;
use super::{Failure, World};
use crate::admin::control::{ControlError, escape};
use crate::trace::hep;
use crate::trace::pcap::{Packet, Pcap};

/// Names this program to a capture server.
const HEP_AGENT: u32 = 0x4b4c;

pub(super) fn execute(what: &Trace, source: &mut Source, world: &mut World<'_>) -> Result<(), Failure> {
    let (path, how) = match what {
        Trace::Phone { name, how } => (format!("phones/{}", escape(name)), how),
        Trace::Call { id, how } => (format!("calls/{}", escape(id)), how),
    };
    let query = how.seconds.map(|s| format!("?seconds={s}")).unwrap_or_default();
    let mut sinks = Sinks::open(how)?;
    let (mut left, mut failure) = (how.count.unwrap_or(u64::MAX), None);
    source.node()?.lines(&format!("/api/v1/trace/{path}{query}"), |text| {
        let message: Value = serde_json::from_str(text).map_err(|_| ControlError::Strange)?;
        match message["event"].as_str() {
            Some("tracing") => {
                let _ =
                    writeln!(world.err, "keyline: tracing; end with Ctrl-C").and_then(|()| world.err.flush());
                return Ok(true);
            }
            Some("dropped") => {
                let _ = writeln!(
                    world.err,
                    "keyline: {} messages came too fast and are not shown",
                    message["messages"]
                );
                return Ok(true);
            }
            Some(_) => return Ok(true),
            None => {}
        }
        if let Err(e) = print(&message, text, how, world).and_then(|()| sinks.take(&message)) {
            failure = Some(e);
            return Ok(false);
        }
        left -= 1;
        Ok(left > 0)
    })?;
    failure.map_or(Ok(()), Err)
}

/// One line of the ladder; with `--full` the whole message below it.
fn print(message: &Value, text: &str, how: &Tracing, world: &mut World<'_>) -> Result<(), Failure> {
    let field = |name: &str| line(message[name].as_str().unwrap_or("-"));
    let written = if how.json {
        writeln!(world.out, "{text}")
    } else {
        let time = field("time");
        let clock = time.split_once('T').map_or(time.as_str(), |(_, clock)| clock);
        let arrow = if message["direction"] == "in" { "-->" } else { "<--" };
        let mut out = format!(
            "{clock}  {:<22} {arrow} {:<22} {:<3}  {}\n",
            field("remote"),
            field("local"),
            field("transport"),
            field("first_line")
        );
        if how.full {
            for part in message["message"].as_str().unwrap_or_default().lines() {
                out.push_str(&format!("    {}\n", line(part)));
            }
            out.push('\n');
        }
        world.out.write_all(out.as_bytes())
    };
    // Whoever watches wants it now.
    written.and_then(|()| world.out.flush()).map_err(Failure::output)
}

/// Where messages go besides the terminal.
struct Sinks {
    pcap: Option<(Pcap<File>, String)>,
    hep: Option<(UdpSocket, String)>,
}

impl Sinks {
    fn open(how: &Tracing) -> Result<Self, Failure> {
        let pcap = how.pcap.as_deref().map(|file| {
            let writer = create(file).and_then(Pcap::new);
            let name = file.display().to_string();
            writer.map(|w| (w, name.clone())).map_err(|e| unwritable(&name, &e))
        });
        let hep = how.hep.as_deref().map(|to| {
            connect(to)
                .map(|s| (s, to.to_owned()))
                .map_err(|e| Failure::Refused(format!("cannot send to {to} (--hep HOST:PORT): {e}")))
        });
        Ok(Self { pcap: pcap.transpose()?, hep: hep.transpose()? })
    }

    fn take(&mut self, message: &Value) -> Result<(), Failure> {
        if self.pcap.is_none() && self.hep.is_none() {
            return Ok(());
        }
        let strange = || Failure::Control(ControlError::Strange);
        let address = |name: &str| message[name].as_str()?.parse::<SocketAddr>().ok();
        let local = address("local").ok_or_else(strange)?;
        let remote = address("remote").ok_or_else(strange)?;
        let text = message["message"].as_str().ok_or_else(strange)?;
        let exact = message["bytes_base64"].as_str().and_then(|b| STANDARD.decode(b).ok());
        let transport = message["transport"].as_str().unwrap_or_default();
        let (source, destination) =
            if message["direction"] == "in" { (remote, local) } else { (local, remote) };
        let packet = Packet {
            at_us: message["time_us"].as_u64().ok_or_else(strange)?,
            source,
            destination,
            is_udp: transport == "udp",
            was_tls: !matches!(transport, "udp" | "tcp" | "ws"),
            message: exact.as_deref().unwrap_or(text.as_bytes()),
        };
        if let Some((pcap, name)) = &mut self.pcap {
            pcap.write(&packet).map_err(|e| unwritable(name, &e))?;
        }
        if let Some((socket, _)) = &self.hep
            && let Some(datagram) = hep::encode(&packet, HEP_AGENT, call_id(text))
        {
            // A capture server that is not there yet is no reason to end the trace.
            let _ = socket.send(&datagram);
        }
        Ok(())
    }
}

fn call_id(message: &str) -> Option<&str> {
    let head = message.lines().take_while(|l| !l.is_empty());
    head.filter_map(|l| l.split_once(':'))
        .find(|(name, _)| {
            name.trim().eq_ignore_ascii_case("call-id") || name.trim().eq_ignore_ascii_case("i")
        })
        .map(|(_, id)| id.trim())
}

/// Who calls whom is nobody else's business: for the owner alone.
fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

fn connect(to: &str) -> io::Result<UdpSocket> {
    let address = to.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(address)?;
    Ok(socket)
}

fn unwritable(file: &str, error: &io::Error) -> Failure {
    Failure::Refused(format!("cannot write {file}: {error}"))
}
