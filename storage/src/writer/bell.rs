//! How the writing thread sleeps: it is woken once, by the first who brings it something. A channel's own wait spins
//! and yields for a while before it sleeps, which on a node with little to do costs more than the commit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, Thread};

/// One thread sleeps, any may wake it.
#[derive(Debug, Default)]
pub(super) struct Bell {
    sleeper: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl Bell {
    /// Wakes the sleeper, if it sleeps or is about to. To be called after what it shall find is there.
    pub(super) fn ring(&self) {
        // The other half of the one in `wait`: either this sees the sleeper, or the sleeper sees what was brought.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.sleeper.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until `look` finds something. Called by one thread only.
    pub(super) fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        if let Some(found) = look() {
            return found;
        }
        self.sleeper.get_or_init(thread::current);
        loop {
            self.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if let Some(found) = look() {
                self.asleep.store(false, Ordering::Relaxed);
                return found;
            }
            // May return for nothing, or for an earlier ring: then it is looked again.
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Would hang where a ring is lost.
    #[test]
    fn whatever_is_brought_is_found() {
        const BROUGHT: usize = 20_000;
        let (bell, count) = (Arc::new(Bell::default()), Arc::new(AtomicUsize::new(0)));
        let bringers: Vec<_> = (0..2)
            .map(|_| {
                let (bell, count) = (Arc::clone(&bell), Arc::clone(&count));
                thread::spawn(move || {
                    for _ in 0..BROUGHT {
                        count.fetch_add(1, Ordering::Relaxed);
                        bell.ring();
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 2 * BROUGHT {
            seen = bell.wait(|| Some(count.load(Ordering::Relaxed)).filter(|now| *now > seen));
        }
        for bringer in bringers {
            bringer.join().unwrap();
        }
    }
}
