//! One generator thread: a poll loop over its sockets.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::text::{Kept, Register, challenge, read};
use super::{Report, UdpOptions};
use crate::inventory::FleetPhone;
use crate::pace::Pace;

/// A repetition follows after this time (T1; not doubled, so that deadlines stay in order).
const REPEAT: Duration = Duration::from_millis(500);
/// Sent in one go before answers are looked at, and read from one socket in one go.
const BATCH: u64 = 64;
/// Challenges that one device answers in one run.
const CHALLENGES_MAX: u32 = 3;
const RECEIVE_BUFFER: usize = 4 << 20;
/// Answers are far below a datagram's limit; what is longer is cut and still read.
const ANSWER_MAX: usize = 4096;

/// One run over all devices of a worker.
pub(super) struct Batch {
    pub start: Instant,
    pub pace: Pace,
    /// Send without credentials first.
    pub forget: bool,
}

struct Device {
    phone: FleetPhone,
    kept: Option<Kept>,
    cseq: u32,
    waiting: Option<Waiting>,
}

/// A device that has sent and has no final answer.
struct Waiting {
    intended: Duration,
    challenges: u32,
}

pub(super) struct Worker {
    sockets: Vec<(UdpSocket, SocketAddr)>,
    devices: Vec<Device>,
    /// Number of the first device in the whole fleet.
    offset: usize,
    run: String,
    target: SocketAddr,
    host: String,
    expires: u32,
    timeout: Duration,
    text: String,
}

/// What a run keeps besides the devices.
struct Progress {
    report: Report,
    open: u64,
    /// When to look at a device again: time, device, CSeq that must still be waited for.
    deadlines: VecDeque<(Duration, usize, u32)>,
}

impl Worker {
    pub(super) fn new(
        phones: Vec<FleetPhone>,
        offset: usize,
        run: &str,
        options: &UdpOptions,
    ) -> io::Result<Worker> {
        let sockets = (0..options.sockets.max(1))
            .map(|_| socket(SocketAddr::new(options.bind, 0)))
            .collect::<io::Result<_>>()?;
        let device = |phone| Device { phone, kept: None, cseq: 0, waiting: None };
        Ok(Worker {
            sockets,
            devices: phones.into_iter().map(device).collect(),
            offset,
            run: run.to_owned(),
            target: options.target,
            host: options.host.clone(),
            expires: options.expires,
            timeout: options.timeout,
            text: String::with_capacity(1024),
        })
    }

    pub(super) fn run(&mut self, batch: Batch) -> Report {
        let count = self.devices.len() as u64;
        let mut progress = Progress { report: Report::default(), open: 0, deadlines: VecDeque::new() };
        let mut next = 0;
        while next < count || progress.open > 0 {
            let now = batch.start.elapsed();
            let due = batch.pace.due(now).min(count).min(next + BATCH);
            let busy = next < due;
            while next < due {
                self.begin(next as usize, &batch, &mut progress);
                next += 1;
            }
            let received = self.receive(&batch, &mut progress);
            self.look_at_deadlines(&batch, &mut progress);
            if !busy && !received {
                let mut until = progress.deadlines.front().map(|(at, ..)| *at);
                if next < count {
                    let at = batch.pace.at(next);
                    until = Some(until.map_or(at, |other| other.min(at)));
                }
                self.sleep(until.unwrap_or_default().saturating_sub(batch.start.elapsed()));
            }
        }
        progress.report.elapsed = batch.start.elapsed();
        progress.report
    }

    fn begin(&mut self, at: usize, batch: &Batch, progress: &mut Progress) {
        let device = &mut self.devices[at];
        if batch.forget {
            device.kept = None;
        }
        device.waiting = Some(Waiting { intended: batch.pace.at(at as u64), challenges: 0 });
        progress.open += 1;
        self.send(at, batch, progress);
    }

    /// Sends the device's next REGISTER.
    fn send(&mut self, at: usize, batch: &Batch, progress: &mut Progress) {
        let device = &mut self.devices[at];
        device.cseq += 1;
        self.write(at);
        progress.report.sent += 1;
        progress.deadlines.push_back((batch.start.elapsed() + REPEAT, at, self.devices[at].cseq));
    }

    fn write(&mut self, at: usize) {
        let (socket, local) = &self.sockets[at % self.sockets.len()];
        let device = &mut self.devices[at];
        let register = Register {
            phone: &device.phone,
            index: self.offset + at,
            run: &self.run,
            host: &self.host,
            local: *local,
            cseq: device.cseq,
            expires: self.expires,
            kept: device.kept.as_mut(),
        };
        register.write(&mut self.text);
        // What the system can not take now is repeated like what the network lost.
        let _ = socket.send_to(self.text.as_bytes(), self.target);
    }

    fn receive(&mut self, batch: &Batch, progress: &mut Progress) -> bool {
        let mut any = false;
        let mut buffer = [0; ANSWER_MAX];
        for socket in 0..self.sockets.len() {
            for _ in 0..BATCH {
                let Ok(length) = self.sockets[socket].0.recv(&mut buffer) else { break };
                any = true;
                self.take(&buffer[..length], batch, progress);
            }
        }
        any
    }

    fn take(&mut self, bytes: &[u8], batch: &Batch, progress: &mut Progress) {
        let Some(seen) = read(bytes).filter(|seen| seen.status >= 200) else { return };
        let Some(at) = seen.index.checked_sub(self.offset) else { return };
        let Some(device) = self.devices.get_mut(at).filter(|device| device.cseq == seen.cseq) else { return };
        let Some(waiting) = &mut device.waiting else { return };
        let report = &mut progress.report;
        match seen.status {
            200 => report.succeeded(batch.start.elapsed().saturating_sub(waiting.intended)),
            401 | 407 => {
                report.challenged += 1;
                waiting.challenges += 1;
                let fresh = (waiting.challenges < CHALLENGES_MAX)
                    .then(|| challenge(bytes, &device.phone, device.kept.as_ref()))
                    .flatten();
                if let Some(kept) = fresh {
                    device.kept = Some(kept);
                    return self.send(at, batch, progress);
                }
                report.failed(seen.status);
            }
            status => report.failed(status),
        }
        self.devices[at].waiting = None;
        progress.open -= 1;
    }

    fn look_at_deadlines(&mut self, batch: &Batch, progress: &mut Progress) {
        let now = batch.start.elapsed();
        while let Some((_, at, cseq)) = progress.deadlines.pop_front_if(|(due, ..)| *due <= now) {
            let device = &mut self.devices[at];
            let Some(waiting) = device.waiting.as_ref().filter(|_| device.cseq == cseq) else { continue };
            if now.saturating_sub(waiting.intended) >= self.timeout {
                device.waiting = None;
                progress.open -= 1;
                progress.report.timeouts += 1;
                continue;
            }
            // A repetition is the same bytes: the nonce count must not rise.
            if let Some(kept) = &mut device.kept {
                kept.count -= 1;
            }
            self.write(at);
            progress.report.repeated += 1;
            progress.deadlines.push_back((now + REPEAT, at, cseq));
        }
    }

    fn sleep(&self, time: Duration) {
        let mut sockets: Vec<PollFd<'_>> =
            self.sockets.iter().map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // An interrupted wait is only shorter.
        let _ = ppoll(&mut sockets, Some(TimeSpec::from_duration(time)), None);
    }
}

fn socket(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel clamps to its maximum; a smaller buffer is no error.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&SockAddr::from(address))?;
    let socket = UdpSocket::from(socket);
    let local = socket.local_addr()?;
    Ok((socket, local))
}
