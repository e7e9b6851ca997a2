//! Turns for handshakes on a worker's thread.
//!
//! A worker serves its phones and makes handshakes on one thread; a handshake is some hundred microseconds of
//! arithmetic in two or three steps. Between two looks at its sockets a worker spends at most [`SLICE`] on such
//! steps: whoever comes later waits for a turn, and phones that are registered wait for one slice at most,
//! however many others are at the door. (Threads of their own for handshakes would cost two hand-overs each and
//! compete with the workers for the same cores.)
//!
//! Turns go to those that are nearly done first, then to resumptions, which are cheap, then to whole
//! handshakes, each in the order of arrival; but where many whole ones wait, the last to come goes first: it still
//! waits for its answer, and of those before it many have given up. Of these last only so many may wait: more would wait for longer
//! than phones do, so whoever comes then is closed at once ([`Full`]).
//!
//! Everything here belongs to one thread. Nothing is handed between threads and nothing is locked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use super::refused::{HandshakeRefused, Refusal};

/// What a worker spends on handshakes between two looks at its sockets, and at most one step more.
pub const SLICE: Duration = Duration::from_millis(1);

/// Whole handshakes that wait in the order of their arrival; they are done within a tenth of a second.
const CROWD: usize = 128;

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Reads a ClientHello, or ends a handshake.
    Light,
    /// Goes on from a ticket.
    Resumed,
    /// Begins a whole handshake.
    Whole,
}

const CLASSES: usize = 3;

/// As many whole handshakes wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

struct Waiter {
    number: u64,
    waker: Waker,
}

/// The turns of one worker.
pub struct Gate {
    waiting: RefCell<[VecDeque<Waiter>; CLASSES]>,
    /// The waiter whose turn it is.
    granted: Cell<Option<u64>>,
    next: Cell<u64>,
    spent: Cell<Duration>,
    most: Cell<usize>,
    pump: RefCell<Option<Waker>>,
}

impl Gate {
    /// At most so many whole handshakes wait. [`Gate::run`] must run beside.
    pub fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            waiting: RefCell::default(),
            granted: Cell::new(None),
            next: Cell::new(1),
            spent: Cell::new(Duration::ZERO),
            most: Cell::new(most),
            pump: RefCell::default(),
        })
    }

    /// Gives out the turns; ends never. Each round begins after the thread has looked at its sockets.
    pub async fn run(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if !self.is_idle() {
                    return Poll::Ready(());
                }
                *self.pump.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            // Comes back when the runtime has looked at its sockets, with everybody else who is ready before it.
            tokio::task::yield_now().await;
            self.spent.set(Duration::ZERO);
            self.grant();
        }
    }

    /// As many whole handshakes wait as may.
    pub fn is_full(&self) -> bool {
        self.waiting.borrow()[Class::Whole as usize].len() >= self.most.get()
    }

    fn is_idle(&self) -> bool {
        self.waiting.borrow().iter().all(VecDeque::is_empty)
    }

    fn grant(&self) {
        if self.granted.get().is_some() || self.spent.get() >= SLICE {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let crowded = waiting[Class::Whole as usize].len() > CROWD;
        let [light, resumed, whole] = &mut *waiting;
        let next = light
            .pop_front()
            .or_else(|| resumed.pop_front())
            .or_else(|| if crowded { whole.pop_back() } else { whole.pop_front() });
        drop(waiting);
        if let Some(next) = next {
            self.granted.set(Some(next.number));
            next.waker.wake();
        }
    }

    fn enter(self: &Rc<Self>) -> Pass {
        let number = self.next.get();
        self.next.set(number + 1);
        Pass { gate: Rc::clone(self), number, class: Cell::new(Class::Light), queued: Cell::new(false) }
    }

    /// Puts a handshake among those that wait.
    fn place(&self, class: Class, pass: &Pass, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        let queue = &mut waiting[class as usize];
        let number = pass.number;
        // A thousand may wait: they are looked through only for one of them.
        let known =
            if pass.queued.replace(true) { queue.iter_mut().find(|w| w.number == number) } else { None };
        match known {
            Some(waiter) => waiter.waker.clone_from(cx.waker()),
            None => queue.push_back(Waiter { number, waker: cx.waker().clone() }),
        }
        drop(waiting);
        if let Some(pump) = self.pump.borrow_mut().take() {
            pump.wake();
        }
    }
}

/// A handshake at the gate.
pub struct Pass {
    gate: Rc<Gate>,
    number: u64,
    class: Cell<Class>,
    /// It is among those that wait.
    queued: Cell<bool>,
}

impl Pass {
    /// What is no light work would have to wait now.
    pub fn must_wait(&self) -> bool {
        !self.gate.is_idle() || self.gate.spent.get() >= SLICE
    }

    /// Waits for a turn of that class: what follows in the same poll is its work. Says whether it had to wait.
    ///
    /// # Errors
    /// [`Full`] when as many whole handshakes wait as may.
    pub async fn turn(&self, class: Class) -> Result<bool, Full> {
        if !self.must_wait() {
            return Ok(false);
        }
        if class == Class::Whole && self.gate.is_full() {
            return Err(Full);
        }
        self.class.set(class);
        // Back to the gate, at once: whoever is granted a turn next must be chosen among all who wait.
        let mut first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut first) {
                self.gate.place(class, self, cx);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        self.class.set(Class::Light);
        Ok(true)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.queued.get() {
            for queue in self.gate.waiting.borrow_mut().iter_mut() {
                queue.retain(|w| w.number != self.number);
            }
        }
        if self.gate.granted.get() == Some(self.number) {
            self.gate.granted.set(None);
            self.gate.grant();
        }
    }
}

/// Waits for the turn of a handshake whose ClientHello has been read; `resumes` says whether it goes on from a
/// ticket of ours, and is asked only if that matters.
///
/// # Errors
/// [`Refusal::Overload`] when too many wait, [`Refusal::PeerClosed`] when the client gave up waiting.
pub async fn turn<S: AsyncRead + Unpin>(
    pass: Option<&Pass>,
    resumes: impl FnOnce() -> bool,
    stream: &mut S,
) -> Result<(), HandshakeRefused> {
    let Some(pass) = pass.filter(|pass| pass.must_wait()) else { return Ok(()) };
    let class = if resumes() { Class::Resumed } else { Class::Whole };
    let waited = pass
        .turn(class)
        .await
        .map_err(|Full| HandshakeRefused::new(Refusal::Overload, "too many clients wait for a handshake"))?;
    // What is done for a client that has given up is missed by another. It is to say nothing now.
    let mut byte = [0];
    let mut gone =
        |cx: &mut Context<'_>| Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready();
    if waited && poll_fn(|cx| Poll::Ready(gone(cx))).await {
        return Err(HandshakeRefused::of_io(&io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}

/// Runs a handshake so that each of its steps has its turn. Without a gate it just runs.
pub async fn paced<F, T>(gate: Option<&Rc<Gate>>, work: impl FnOnce(Option<Rc<Pass>>) -> F) -> T
where
    F: Future<Output = T>,
{
    let Some(gate) = gate else { return work(None).await };
    let pass = Rc::new(gate.enter());
    let mut work = pin!(work(Some(Rc::clone(&pass))));
    poll_fn(|cx| {
        if gate.granted.get() == Some(pass.number) {
            gate.granted.set(None);
            pass.queued.set(false);
        } else if gate.spent.get() >= SLICE || !gate.is_idle() || gate.granted.get().is_some() {
            gate.place(pass.class.get(), &pass, cx);
            return Poll::Pending;
        }
        let began = Instant::now();
        let done = work.as_mut().poll(cx);
        gate.spent.set(gate.spent.get() + began.elapsed());
        gate.grant();
        done
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    fn local<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, work)
    }

    type Log = Rc<RefCell<Vec<String>>>;

    /// A handshake of that class that says its name when it has its turn.
    async fn shake(gate: &Rc<Gate>, class: Class, name: &str, log: Log) -> Result<(), Full> {
        paced(Some(gate), |pass| async move {
            pass.unwrap().turn(class).await?;
            log.borrow_mut().push(name.to_owned());
            Ok(())
        })
        .await
    }

    /// Runs handshakes while the slice is spent, so that all of them wait.
    fn crowd(most: usize, who: &[(Class, &'static str)]) -> (Vec<String>, Vec<&'static str>) {
        local(async {
            let (gate, log) = (Gate::new(most), Log::default());
            gate.spent.set(SLICE);
            let tasks: Vec<_> = who
                .iter()
                .map(|&(class, name)| {
                    let (gate, log) = (Rc::clone(&gate), Rc::clone(&log));
                    spawn_local(async move { shake(&gate, class, name, log).await.err().map(|Full| name) })
                })
                .collect();
            yield_now().await;
            assert!(log.borrow().is_empty(), "the slice is spent");
            let pump = spawn_local(Rc::clone(&gate).run());
            let mut refused = Vec::new();
            for task in tasks {
                refused.extend(task.await.unwrap());
            }
            pump.abort();
            assert!(gate.is_idle() && gate.granted.get().is_none());
            let log = log.borrow().clone();
            (log, refused)
        })
    }

    #[test]
    fn resumptions_go_before_whole_handshakes_and_equals_in_their_order() {
        use Class::{Resumed, Whole};
        let (order, refused) =
            crowd(9, &[(Whole, "w1"), (Whole, "w2"), (Resumed, "r1"), (Whole, "w3"), (Resumed, "r2")]);
        assert_eq!(order, ["r1", "r2", "w1", "w2", "w3"]);
        assert!(refused.is_empty());
    }

    #[test]
    fn only_so_many_whole_handshakes_wait_and_resumptions_are_never_refused() {
        use Class::{Resumed, Whole};
        let (order, refused) =
            crowd(1, &[(Whole, "w1"), (Whole, "w2"), (Resumed, "r1"), (Whole, "w3"), (Resumed, "r2")]);
        assert_eq!(refused, ["w2", "w3"]);
        assert_eq!(order, ["r1", "r2", "w1"]);
    }

    #[test]
    fn in_a_crowd_the_last_to_come_goes_first() {
        let names: Vec<&'static str> = (0..CROWD + 2).map(|n| &*format!("{n}").leak()).collect();
        let who: Vec<_> = names.iter().map(|name| (Class::Whole, *name)).collect();
        let (order, refused) = crowd(1_000, &who);
        assert!(refused.is_empty());
        let expected: Vec<_> =
            names[CROWD..].iter().rev().chain(&names[..CROWD]).map(|n| (*n).to_owned()).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn others_run_between_two_slices_and_nobody_is_forgotten() {
        local(async {
            let gate = Gate::new(100);
            let pump = spawn_local(Rc::clone(&gate).run());
            let rounds = Rc::new(Cell::new(0_u32));
            let counted = Rc::clone(&rounds);
            let phones = spawn_local(async move {
                loop {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            });
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (gate, rounds) = (Rc::clone(&gate), Rc::clone(&rounds));
                    spawn_local(async move {
                        paced(Some(&gate), |pass| async move {
                            pass.unwrap().turn(Class::Whole).await.unwrap();
                            // As long as a whole slice: the next one must wait for others.
                            let began = Instant::now();
                            while began.elapsed() < SLICE {
                                std::hint::spin_loop();
                            }
                            rounds.get()
                        })
                        .await
                    })
                })
                .collect();
            let mut seen = Vec::new();
            for task in tasks {
                seen.push(task.await.unwrap());
            }
            assert!(seen.windows(2).all(|w| w[0] < w[1]), "phones had their turn between any two: {seen:?}");
            phones.abort();
            pump.abort();
        });
    }

    #[test]
    fn a_handshake_that_is_dropped_gives_its_turn_on() {
        local(async {
            let (gate, log) = (Gate::new(9), Log::default());
            gate.spent.set(SLICE);
            let first = spawn_local({
                let (gate, log) = (Rc::clone(&gate), Rc::clone(&log));
                async move { shake(&gate, Class::Whole, "first", log).await }
            });
            let second = spawn_local({
                let (gate, log) = (Rc::clone(&gate), Rc::clone(&log));
                async move { shake(&gate, Class::Whole, "second", log).await }
            });
            yield_now().await;
            gate.spent.set(Duration::ZERO);
            gate.grant();
            first.abort();
            let pump = spawn_local(Rc::clone(&gate).run());
            second.await.unwrap().unwrap();
            assert_eq!(*log.borrow(), ["second"]);
            pump.abort();
        });
    }
}
