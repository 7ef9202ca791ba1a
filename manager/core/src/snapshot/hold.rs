//! Who needs what: counted holds on things that are collected when nobody needs them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of all holds on things named by `K`.
pub(crate) struct Holds<K> {
    counts: Mutex<Counts<K>>,
}

struct Counts<K> {
    held: HashMap<K, usize>,
    released: Vec<K>,
}

/// Keeps some things from being collected as long as it lives.
pub(crate) struct Hold<K: Hash + Eq + Copy> {
    of: Arc<Holds<K>>,
    keys: Vec<K>,
}

impl<K: Hash + Eq + Copy> Holds<K> {
    /// No holds.
    pub(crate) fn new() -> Arc<Self> {
        let counts = Counts { held: HashMap::new(), released: Vec::new() };
        Arc::new(Self { counts: Mutex::new(counts) })
    }

    /// Holds `keys`, whether the things are there already or not.
    pub(crate) fn hold(self: &Arc<Self>, keys: impl IntoIterator<Item = K>) -> Hold<K> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut counts = self.lock();
        for key in &keys {
            *counts.held.entry(*key).or_default() += 1;
        }
        Hold { of: Arc::clone(self), keys }
    }

    /// Whether someone holds `key`.
    pub(crate) fn is_held(&self, key: &K) -> bool {
        self.lock().held.contains_key(key)
    }

    /// What was released since this was last asked; someone may hold it again.
    pub(crate) fn take_released(&self) -> Vec<K> {
        std::mem::take(&mut self.lock().released)
    }

    /// What could not be collected is to be released once more.
    pub(crate) fn release_again(&self, key: K) {
        self.lock().released.push(key);
    }

    fn lock(&self) -> MutexGuard<'_, Counts<K>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Copy> Drop for Hold<K> {
    fn drop(&mut self) {
        let mut counts = self.of.lock();
        for key in &self.keys {
            let Some(count) = counts.held.get_mut(key) else { continue };
            *count -= 1;
            if *count == 0 {
                counts.held.remove(key);
                counts.released.push(*key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_releases() {
        let holds = Holds::new();
        let first = holds.hold([1, 2]);
        let second = holds.hold([2]);
        drop(first);
        assert!(holds.is_held(&2));
        assert_eq!(holds.take_released(), [1]);
        drop(second);
        assert!(!holds.is_held(&2));
        assert_eq!(holds.take_released(), [2]);
        assert!(holds.take_released().is_empty());
    }
}
