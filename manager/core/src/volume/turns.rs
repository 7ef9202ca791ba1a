//! One thing at a time is done with a volume, while others go on with theirs: what is mounted may be a
//! server's that doesn't answer, and a plugin takes the time it takes.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The volumes with which something is being done.
#[derive(Default)]
pub(super) struct Turns {
    busy: Mutex<HashSet<String>>,
    freed: Condvar,
}

/// A turn with a volume, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    name: String,
}

impl Turns {
    /// Waits until nobody else does something with the volume `name`. Blocks.
    pub(super) fn take(&self, name: &str) -> Turn<'_> {
        let mut busy = self.lock();
        while !busy.insert(name.to_owned()) {
            busy = self.freed.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, name: name.to_owned() }
    }

    /// The same for two, whoever asks for them in which order.
    pub(super) fn take_both(&self, one: &str, other: &str) -> (Turn<'_>, Option<Turn<'_>>) {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        (self.take(first), (first != second).then(|| self.take(second)))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.name);
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_second_waits_for_the_first_and_others_do_not() {
        let turns = Turns::default();
        let is_over = AtomicBool::new(false);
        let first = turns.take("data");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _turn = turns.take_both("other", "data");
                assert!(is_over.load(Ordering::SeqCst));
            });
            drop(turns.take("third"));
            is_over.store(true, Ordering::SeqCst);
            drop(first);
            second.join().unwrap();
        });
        drop(turns.take_both("data", "data"));
    }
}
