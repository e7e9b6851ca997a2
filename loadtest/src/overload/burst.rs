//! The generator of the REGISTER flood: one thread, open loop, sixty first requests a system call.
//!
//! An arrival is one phone that wants to register: a first request, repeated as RFC 3261 §17.1.2 says until
//! something is heard, then one with credentials, repeated the same way. An arrival for a phone whose first request
//! is still unanswered gives that attempt up. Times count from the moment at which the arrival was due.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use keyline_domain::digest::Ha1;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::SockRef;

use super::wire::{self, Copy, Template, Ticket};
use crate::inventory::FleetPhone;
use crate::pace::Pace;

/// Requests of one system call; the kernel takes no more than 64.
const TOGETHER: usize = 60;
const SOCKETS: usize = 4;
const T1: u64 = 500_000;
const T2: u64 = 4_000_000;
/// An attempt that has its challenge is given up after that time.
const PATIENCE: u64 = 8_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    First,
    Second,
}

struct Phone {
    phone: FleetPhone,
    template: Template,
    ha1: Option<Ha1>,
    second: Vec<u8>,
    state: State,
    attempt: u32,
    due: u64,
    phase: usize,
    challenged: u64,
}

/// A request that may have to be repeated: when, whose, its interval after that.
struct Repeat {
    at: u64,
    ticket: Ticket,
    interval: u64,
}

/// What happened to the arrivals of one phase.
#[derive(Clone)]
pub(super) struct Counts {
    /// First requests sent, without repetitions.
    pub offered: u64,
    /// Requests sent in all, repetitions and those with credentials too.
    pub sent: u64,
    /// 200s that came within the phase.
    pub served_in_time: u64,
    /// 200s in all.
    pub served: u64,
    /// 503s.
    pub refused: u64,
    /// Seconds of Retry-After, 0 to 59, and none or more.
    pub retry_after: [u64; 61],
    /// Attempts that were given up without an answer.
    pub given_up: u64,
    /// Other answers.
    pub other: u64,
    /// From the moment an arrival was due to its 200, microseconds.
    pub times: Histogram<u64>,
    /// The same from the moment at which its 401 came: what an admitted request waits.
    pub admitted: Histogram<u64>,
    /// How far behind the generator was at most, microseconds.
    pub late: u64,
    /// By tenth of a second in which arrivals were due.
    pub tenths: Vec<Tenth>,
}

/// Arrivals that were due in one tenth of a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tenth {
    /// Those that got their 200 in ordinary time.
    pub fast: u64,
    /// All that got it.
    pub served: u64,
}

impl Counts {
    fn new() -> Counts {
        // These bounds are valid.
        let empty = || {
            Histogram::new_with_bounds(1, 600_000_000, 3)
                .unwrap_or_else(|_| Histogram::new(3).expect("valid"))
        };
        Counts {
            offered: 0,
            sent: 0,
            served_in_time: 0,
            served: 0,
            refused: 0,
            retry_after: [0; 61],
            given_up: 0,
            other: 0,
            times: empty(),
            admitted: empty(),
            late: 0,
            tenths: Vec::new(),
        }
    }
}

/// One stretch of load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    /// Arrivals a second; 0: a closed loop.
    pub rate: f64,
    /// Attempts open at a time in a closed loop.
    pub window: u64,
    /// How long.
    pub time: Duration,
}

pub(super) struct Burst {
    host: String,
    sockets: Vec<UdpSocket>,
    phones: Vec<Phone>,
    cursor: usize,
    start: Instant,
    repeats: [VecDeque<Repeat>; 4],
    open: u64,
    phases: Vec<(u64, u64, Counts)>,
    buffers: Vec<(Vec<u8>, usize)>,
    /// Longest time that is ordinary, microseconds.
    ordinary: u64,
}

impl Burst {
    /// # Errors
    /// What the system says to a socket.
    pub(super) fn open(target: SocketAddr, phones: Vec<FleetPhone>) -> io::Result<Burst> {
        let mut sockets = Vec::new();
        while sockets.len() < SOCKETS {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            // Equal lengths need ports of equal length.
            if socket.local_addr()?.port() < 10_000 {
                continue;
            }
            socket.set_nonblocking(true)?;
            let _ = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
            let _ = SockRef::from(&socket).set_send_buffer_size(4 << 20);
            socket.connect(target)?;
            sockets.push(socket);
        }
        let host = target.to_string();
        let mut own = Vec::with_capacity(phones.len());
        for (index, phone) in phones.into_iter().enumerate() {
            let from = sockets[index % SOCKETS].local_addr()?.to_string();
            let template = Template::new(&from, &host, &phone, index as u32);
            own.push(Phone {
                phone,
                template,
                ha1: None,
                second: Vec::new(),
                state: State::Idle,
                attempt: 0,
                due: 0,
                phase: 0,
                challenged: 0,
            });
        }
        Ok(Burst {
            host,
            sockets,
            phones: own,
            cursor: 0,
            start: Instant::now(),
            repeats: Default::default(),
            open: 0,
            phases: Vec::new(),
            buffers: (0..SOCKETS).map(|_| (Vec::with_capacity(TOGETHER * 640), 0)).collect(),
            ordinary: u64::MAX,
        })
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// What is ordinary from now on, microseconds.
    pub(super) fn ordinary(&mut self, us: u64) {
        self.ordinary = us;
    }

    /// Runs one phase; attempts of phases before go on beside it.
    ///
    /// # Errors
    /// When the system cannot cut datagrams.
    pub(super) fn run(&mut self, phase: Phase) -> io::Result<()> {
        let began = self.now();
        let end = began + phase.time.as_micros() as u64;
        let tenths = phase.time.as_millis() as usize / 100 + 1;
        self.phases.push((began, end, Counts { tenths: vec![Tenth::default(); tenths], ..Counts::new() }));
        let current = self.phases.len() - 1;
        let pace = Pace::new((phase.rate * phase.time.as_secs_f64()) as u64, phase.rate);
        let mut next = 0;
        loop {
            let now = self.now();
            if now >= end {
                break;
            }
            if phase.rate > 0.0 {
                let due = pace.due(Duration::from_micros(now - began));
                for _ in 0..(due - next).min((TOGETHER * SOCKETS) as u64) {
                    let at = began + pace.at(next).as_micros() as u64;
                    let counts = &mut self.phases[current].2;
                    counts.late = counts.late.max(now - at.min(now));
                    self.begin(at, now, current)?;
                    next += 1;
                }
            } else {
                for _ in self.open..phase.window {
                    self.begin(now, now, current)?;
                }
            }
            self.flush()?;
            self.repeat(current);
            self.receive(current);
        }
        Ok(())
    }

    /// Counts of a phase.
    pub(super) fn counts(&self, phase: usize) -> &Counts {
        &self.phases[phase].2
    }

    /// The next phone that does not wait for its 200 begins.
    fn begin(&mut self, due: u64, now: u64, phase: usize) -> io::Result<()> {
        let place = loop {
            self.cursor = (self.cursor + 1) % self.phones.len();
            if self.phones[self.cursor].state != State::Second {
                break self.cursor;
            }
        };
        let phone = &mut self.phones[place];
        if phone.state == State::First {
            self.phases[phone.phase].2.given_up += 1;
        } else {
            self.open += 1;
        }
        phone.attempt = (phone.attempt + 1) & 0xff_ffff;
        (phone.state, phone.due, phone.phase) = (State::First, due, phase);
        phone.template.renew(phone.attempt);
        let (buffer, together) = &mut self.buffers[place % SOCKETS];
        buffer.extend_from_slice(&phone.template.bytes);
        *together += 1;
        let full = *together == TOGETHER;
        let ticket = Ticket { phone: place as u32, attempt: phone.attempt, copy: Copy::First };
        self.repeats[0].push_back(Repeat { at: now + T1, ticket, interval: T1 });
        let counts = &mut self.phases[phase].2;
        (counts.offered, counts.sent) = (counts.offered + 1, counts.sent + 1);
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        for (socket, (buffer, together)) in self.sockets.iter().zip(&mut self.buffers) {
            if *together == 0 {
                continue;
            }
            let size = u16::try_from(buffer.len() / *together).unwrap_or(u16::MAX);
            let parts = [io::IoSlice::new(buffer)];
            let cut = [ControlMessage::UdpGsoSegments(&size)];
            let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, &cut, MsgFlags::empty(), None);
            match sent {
                // A full buffer is loss.
                Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::ECONNREFUSED) => {}
                Err(e) => return Err(e.into()),
            }
            buffer.clear();
            *together = 0;
        }
        Ok(())
    }

    fn is_current(&self, ticket: Ticket) -> bool {
        let wanted = if ticket.copy == Copy::First { State::First } else { State::Second };
        self.phones
            .get(ticket.phone as usize)
            .is_some_and(|p| p.attempt == ticket.attempt && p.state == wanted)
    }

    /// Sends again what is due: each interval has a queue in the order of time.
    fn repeat(&mut self, current: usize) {
        for level in 0..self.repeats.len() {
            while let Some(first) = self.repeats[level].front() {
                let now = self.now();
                if first.at > now {
                    break;
                }
                let Some(Repeat { ticket, interval, .. }) = self.repeats[level].pop_front() else { break };
                if !self.is_current(ticket) {
                    continue;
                }
                let phone = &mut self.phones[ticket.phone as usize];
                if ticket.copy == Copy::Second && now - phone.challenged > PATIENCE {
                    phone.state = State::Idle;
                    self.open -= 1;
                    self.phases[phone.phase].2.given_up += 1;
                    continue;
                }
                let bytes = if ticket.copy == Copy::First { &phone.template.bytes } else { &phone.second };
                let _ = self.sockets[ticket.phone as usize % SOCKETS].send(bytes);
                self.phases[current].2.sent += 1;
                let interval = (interval * 2).min(T2);
                let level = (level + 1).min(3);
                self.repeats[level].push_back(Repeat { at: now + interval, ticket, interval });
            }
        }
    }

    fn receive(&mut self, current: usize) {
        let mut bytes = [0; 2_048];
        for socket in 0..SOCKETS {
            for _ in 0..64 {
                let Ok(length) = self.sockets[socket].recv(&mut bytes) else { break };
                if let Some(heard) = wire::read(&bytes[..length]) {
                    self.heard(&heard, current);
                }
            }
        }
    }

    fn heard(&mut self, heard: &wire::Heard<'_>, current: usize) {
        let ticket = heard.ticket;
        if !self.is_current(ticket) {
            return;
        }
        let now = self.now();
        let place = ticket.phone as usize;
        let Phone { phone, ha1, second, state, due, phase, challenged, .. } = &mut self.phones[place];
        let (began, end, counts) = &mut self.phases[*phase];
        match heard.status {
            100..200 => return,
            401 if ticket.copy == Copy::First => {
                let Some(header) = wire::credentials(heard.text, &self.host, phone, ha1) else { return };
                second.clear();
                let ticket = Ticket { copy: Copy::Second, ..ticket };
                let socket = &self.sockets[place % SOCKETS];
                let from = socket.local_addr().map(|a| a.to_string()).unwrap_or_default();
                wire::register(second, &from, &self.host, phone, ticket, &header);
                let _ = socket.send(second);
                (*state, *challenged) = (State::Second, now);
                self.repeats[0].push_back(Repeat { at: now + T1, ticket, interval: T1 });
                self.phases[current].2.sent += 1;
                return;
            }
            200 => {
                counts.served += 1;
                let took = now.saturating_sub(*due).max(1);
                counts.times.saturating_record(took);
                counts.admitted.saturating_record(now.saturating_sub(*challenged).max(1));
                if now < *end {
                    counts.served_in_time += 1;
                }
                if let Some(tenth) = counts.tenths.get_mut((due.saturating_sub(*began) / 100_000) as usize) {
                    tenth.served += 1;
                    tenth.fast += u64::from(took <= self.ordinary);
                }
            }
            503 => {
                counts.refused += 1;
                let after = wire::retry_after(heard.text).unwrap_or(60).min(60);
                counts.retry_after[after as usize] += 1;
            }
            _ => counts.other += 1,
        }
        *state = State::Idle;
        self.open -= 1;
    }
}
