//! What waits to be written to one connection. Both ends live on the worker's thread: no lock, no atomic, and
//! nothing on the heap but the queue itself while something waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Messages that may wait for one peer to read. What really bounds them is `[limits] write_queue_bytes`.
const MESSAGES_MAX: usize = 4096;

/// Room that an empty queue keeps.
const KEPT: usize = 4;

#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<VecDeque<Arc<[u8]>>>,
    /// Bytes that were queued and are not written yet.
    queued: Cell<usize>,
    /// Nothing comes after what is queued.
    closing: Cell<bool>,
    /// What is queued is not to be written any more.
    doomed: Cell<bool>,
    /// The task has ended.
    gone: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Queue {
    fn pop(&self) -> Option<Arc<[u8]>> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.pop_front();
        if waiting.is_empty() && waiting.capacity() > KEPT {
            *waiting = VecDeque::new();
        }
        next
    }

    fn wake(&self) {
        let task = self.task.borrow_mut().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// Where bytes for one connection wait; a peer that stops reading is disconnected. Dropping it ends the connection
/// after what is queued.
#[derive(Debug)]
pub struct Outbox(Rc<Queue>);

/// The task's end of an [`Outbox`].
#[derive(Debug)]
pub struct Inbox(Rc<Queue>);

/// Both ends of a connection's queue.
pub fn outbox() -> (Outbox, Inbox) {
    let queue = Rc::<Queue>::default();
    (Outbox(Rc::clone(&queue)), Inbox(queue))
}

impl Inbox {
    /// The next thing to write; `None` when the connection is to end.
    pub async fn next(&mut self) -> Option<Arc<[u8]>> {
        poll_fn(|cx| {
            let queue = &*self.0;
            if queue.doomed.get() {
                return Poll::Ready(None);
            }
            if let Some(bytes) = queue.pop() {
                return Poll::Ready(Some(bytes));
            }
            if queue.closing.get() {
                return Poll::Ready(None);
            }
            let mut task = queue.task.borrow_mut();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Bytes that wait already.
    pub fn waiting(&mut self) -> Option<Arc<[u8]>> {
        self.0.pop()
    }

    /// So many bytes wait no more.
    pub fn written(&self, length: usize) {
        self.0.queued.set(self.0.queued.get().saturating_sub(length));
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0.gone.set(true);
        self.0.waiting.take();
        self.0.task.take();
    }
}

impl Outbox {
    /// Queues bytes; `false` when more than `limit` bytes would wait, or the task is gone. What comes after
    /// [`Outbox::close`] is dropped.
    pub fn send(&self, bytes: Arc<[u8]>, limit: usize) -> bool {
        let queue = &*self.0;
        let queued = queue.queued.get() + bytes.len();
        if queued > limit || queue.gone.get() {
            return false;
        }
        if queue.closing.get() {
            return true;
        }
        let mut waiting = queue.waiting.borrow_mut();
        if waiting.len() >= MESSAGES_MAX {
            return false;
        }
        waiting.push_back(bytes);
        drop(waiting);
        queue.queued.set(queued);
        queue.wake();
        true
    }

    /// Asks the task to write what is queued and close.
    pub fn close(&self) {
        self.0.closing.set(true);
        self.0.wake();
    }

    /// Ends the connection without what is still queued: the peer takes it too slowly or not at all.
    pub fn abort(&self) {
        self.0.doomed.set(true);
        self.0.wake();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    fn bytes(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    /// `None` while nothing comes.
    fn poll(inbox: &mut Inbox) -> Option<Option<Arc<[u8]>>> {
        let mut cx = Context::from_waker(Waker::noop());
        match std::pin::pin!(inbox.next()).poll(&mut cx) {
            Poll::Ready(next) => Some(next),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_queued_is_written_in_order_and_bounded_until_it_is_written() {
        let (outbox, mut inbox) = outbox();
        assert_eq!(poll(&mut inbox), None);
        assert!(outbox.send(bytes("one"), 6) && outbox.send(bytes("two"), 6));
        assert!(!outbox.send(bytes("3"), 6), "six bytes wait");
        assert_eq!(poll(&mut inbox), Some(Some(bytes("one"))));
        assert!(!outbox.send(bytes("3"), 6), "taken is not written");
        inbox.written(3);
        assert!(outbox.send(bytes("3"), 6));
        assert_eq!(inbox.waiting(), Some(bytes("two")));
        assert_eq!(poll(&mut inbox), Some(Some(bytes("3"))));
        assert_eq!(poll(&mut inbox), None);
    }

    #[test]
    fn close_comes_after_what_is_queued_and_abort_before_it() {
        let (closed, mut inbox) = outbox();
        closed.send(bytes("last"), 9);
        closed.close();
        assert!(closed.send(bytes("late"), 9), "dropped");
        assert_eq!(poll(&mut inbox), Some(Some(bytes("last"))));
        assert_eq!(poll(&mut inbox), Some(None));
        let (aborted, mut inbox) = outbox();
        aborted.send(bytes("never"), 9);
        aborted.abort();
        assert_eq!(poll(&mut inbox), Some(None));
        let (dropped, mut inbox) = outbox();
        drop(dropped);
        assert_eq!(poll(&mut inbox), Some(None));
        let (outbox, inbox) = outbox();
        drop(inbox);
        assert!(!outbox.send(bytes("nobody"), 9));
    }

    #[test]
    fn a_queue_has_an_end_and_gives_its_room_back() {
        let (outbox, mut inbox) = outbox();
        assert!((0..MESSAGES_MAX).all(|_| outbox.send(bytes("."), usize::MAX)));
        assert!(!outbox.send(bytes("."), usize::MAX));
        while inbox.waiting().is_some() {}
        assert!(inbox.0.waiting.borrow().capacity() <= KEPT);
    }
}
