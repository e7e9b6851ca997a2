//! Faults on purpose: named points in the code at which a test lets the process panic, die or dawdle.
//!
//! Only with the cargo feature `faults`, which no released binary has; without it every call here is empty
//! and its arguments are never made. An order is `point[@subject]=action[,skip=N][,times=N]`; several stand
//! behind one another with `;` between. Actions: `panic`, `abort` (the process is gone as by kill -9: no
//! destructor runs), `slow-N` (N milliseconds
//! pass), `hold` (nothing passes until all is disarmed). `skip` [0] passes go by first, `times` [1, 0 = always]
//! passes are hit. A subject narrows a point to one device, call, table or worker.

#[cfg(feature = "faults")]
pub use on::{MARKER, Wrong, arm, arm_from_environment};

/// A point without a subject.
#[inline(always)]
pub fn hit(point: &'static str) {
    hit_on(point, String::new);
}

/// A point with a subject, made only when faults are built in.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn hit_on(_: &'static str, _: impl FnOnce() -> String) {}

/// A point with a subject.
#[cfg(feature = "faults")]
pub fn hit_on(point: &'static str, subject: impl FnOnce() -> String) {
    on::hit(point, subject);
}

#[cfg(feature = "faults")]
mod on {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// Stands in every binary that has faults, so that a release can be shown to be without them.
    pub const MARKER: &str = "keyline is built with faults on purpose";

    static ANY: AtomicBool = AtomicBool::new(false);
    static ARMED: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Panic,
        Abort,
        Slow(u64),
        /// Until it is disarmed.
        Hold,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Armed {
        point: String,
        subject: Option<String>,
        action: Action,
        skip: u64,
        /// Hits left; `None` = for ever.
        left: Option<u64>,
    }

    /// An order that cannot be read.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("{0:?} is no fault: point[@subject]=panic|abort|hold|slow-N[,skip=N][,times=N]")]
    pub struct Wrong(pub String);

    fn read(order: &str) -> Option<Armed> {
        let (place, what) = order.split_once('=')?;
        let (point, subject) = match place.split_once('@') {
            Some((point, subject)) => (point, Some(subject.to_owned())),
            None => (place, None),
        };
        let mut parts = what.split(',');
        let action = match parts.next()? {
            "panic" => Action::Panic,
            "abort" => Action::Abort,
            "hold" => Action::Hold,
            slow => Action::Slow(slow.strip_prefix("slow-")?.parse().ok()?),
        };
        let (mut skip, mut left) = (0, Some(1));
        for part in parts {
            match part.split_once('=')? {
                ("skip", n) => skip = n.parse().ok()?,
                ("times", n) => left = Some(n.parse().ok()?).filter(|n| *n > 0),
                _ => return None,
            }
        }
        (!point.is_empty()).then(|| Armed { point: point.to_owned(), subject, action, skip, left })
    }

    /// Arms orders. An empty text disarms all.
    ///
    /// # Errors
    /// [`Wrong`]; nothing was armed.
    pub fn arm(orders: &str) -> Result<(), Wrong> {
        let orders = orders.trim();
        let mut new = Vec::new();
        for order in orders.split(';').map(str::trim).filter(|o| !o.is_empty()) {
            new.push(read(order).ok_or_else(|| Wrong(order.to_owned()))?);
        }
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_empty() {
            armed.clear();
        }
        armed.append(&mut new);
        ANY.store(!armed.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Arms what `KEYLINE_FAULTS` orders.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn arm_from_environment() -> Result<(), Wrong> {
        tracing::warn!("{MARKER}");
        std::env::var("KEYLINE_FAULTS").map_or(Ok(()), |orders| arm(&orders))
    }

    pub(super) fn hit(point: &'static str, subject: impl FnOnce() -> String) {
        if !ANY.load(Ordering::Acquire) {
            return;
        }
        let action = {
            let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            if !armed.iter().any(|a| a.point == point) {
                return;
            }
            let subject = subject();
            let found = armed.iter_mut().find(|a| {
                a.point == point && a.left != Some(0) && a.subject.as_deref().is_none_or(|s| s == subject)
            });
            let Some(found) = found else { return };
            if found.skip > 0 {
                found.skip -= 1;
                return;
            }
            if let Some(left) = &mut found.left {
                *left -= 1;
            }
            (found.action, found.clone())
        };
        let (action, order) = action;
        match action {
            Action::Panic => panic!("a fault on purpose at {point}"),
            Action::Abort => std::process::abort(),
            Action::Slow(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Action::Hold => {
                let held = || {
                    let armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
                    armed.iter().any(|a| a.point == order.point && a.action == Action::Hold)
                };
                while held() {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn orders_are_read_and_wrong_ones_refused() {
            let armed = read("phone.step@SEP001122334455=panic,skip=2,times=0").unwrap();
            assert_eq!((armed.skip, armed.left, armed.action), (2, None, Action::Panic));
            assert_eq!(armed.subject.as_deref(), Some("SEP001122334455"));
            assert_eq!(read("writer.before_commit=slow-25").unwrap().action, Action::Slow(25));
            for wrong in ["", "x", "x=", "x=burn", "=panic", "x=panic,skip", "x=panic,skip=a", "x=slow-"] {
                assert_eq!(read(wrong), None, "{wrong}");
            }
        }

        #[test]
        fn a_point_is_hit_as_often_as_ordered_and_only_on_its_subject() {
            arm("t.point@a=panic,skip=1,times=2").unwrap();
            let pass =
                |subject: &str| std::panic::catch_unwind(|| hit("t.point", || subject.to_owned())).is_err();
            let seen = [pass("b"), pass("a"), pass("a"), pass("b"), pass("a"), pass("a")];
            assert_eq!(seen, [false, false, true, false, true, false]);
            assert!(arm("t.point=burn").is_err());
        }
    }
}
