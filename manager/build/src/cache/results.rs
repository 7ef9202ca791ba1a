//! Results of steps by their keys, in memory: looked up for every step of every build, so no look
//! goes to the disk. What of it is on disk is for who keeps it there to know.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tare_core::image::Layer;

use super::key::Key;

/// A use that came this soon after another is not worth a write.
const SOON: SignedDuration = SignedDuration::from_secs(60);

/// What is known of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its layers, lowest first; none, as long as they are not on disk.
    pub(super) layers: Vec<Layer>,
    /// What made it.
    pub(super) title: String,
    /// What it was made upon.
    pub(super) parent: Option<Key>,
    /// When it was made.
    pub(super) created: Timestamp,
    /// When it was used last.
    pub(super) last_used: Timestamp,
    /// How often.
    pub(super) times_used: u64,
    /// Bytes of its own layer.
    pub(super) size: u64,
    /// Its key, if what it was made of counted by where it came from, rather than by what it is.
    pub(super) outline: Option<Key>,
    /// Other keys that it has.
    pub(super) others: Vec<Key>,
}

/// What a step made, to be kept.
pub(crate) struct NewResult<S> {
    /// The files.
    pub(crate) value: S,
    /// What made it.
    pub(crate) title: String,
    /// What it was made upon.
    pub(crate) parent: Option<Key>,
    /// See [`Results::knows_outline`].
    pub(crate) outline: Option<Key>,
}

/// A result that is known. While there is one of these, it is in use.
pub(crate) struct Found<S> {
    /// What it is known by in the first place.
    pub(crate) key: Key,
    /// The files.
    pub(crate) value: S,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// It is in use as long as there is one of these.
    pub(crate) used: InUse,
}

/// Keeps a result from being pruned.
#[derive(Debug, Clone, Default)]
pub(crate) struct InUse(Arc<()>);

pub(super) struct Entry<S> {
    pub(super) value: S,
    pub(super) record: Record,
    /// It is on disk as it is here.
    pub(super) saved: bool,
    users: InUse,
}

/// All results.
pub(super) struct Results<S> {
    entries: BTreeMap<Key, Entry<S>>,
    others: HashMap<Key, Key>,
    outlines: HashMap<Key, usize>,
}

impl<S> Default for Results<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), others: HashMap::new(), outlines: HashMap::new() }
    }
}

impl<S> Entry<S> {
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.users.0) > 1
    }
}

impl<S: Clone> Results<S> {
    /// The result that is known by `key`, which is used now.
    pub(super) fn find(&mut self, key: Key, now: Timestamp) -> Option<Found<S>> {
        let key = self.others.get(&key).copied().unwrap_or(key);
        let entry = self.entries.get_mut(&key)?;
        if now.duration_since(entry.record.last_used) > SOON {
            entry.record.last_used = now;
            entry.saved = false;
        }
        entry.record.times_used += 1;
        let (value, created) = (entry.value.clone(), entry.record.created);
        Some(Found { key, value, created, used: entry.users.clone() })
    }

    /// Whether there is a result of the same work upon the same, whatever was copied or mounted. If
    /// there is none, nobody needs to know what exactly that was.
    pub(super) fn knows_outline(&self, outline: Key) -> bool {
        self.outlines.contains_key(&outline)
    }

    /// Takes a result in. If the key has one already, that stays: builds use it.
    pub(super) fn insert(&mut self, key: Key, new: NewResult<S>, now: Timestamp) -> InUse {
        if let Some(entry) = self.entries.get(&key) {
            return entry.users.clone();
        }
        let record = Record {
            layers: Vec::new(),
            title: new.title,
            parent: new.parent,
            created: now,
            last_used: now,
            times_used: 1,
            size: 0,
            outline: new.outline,
            others: Vec::new(),
        };
        self.put(key, new.value, record, false)
    }

    /// Takes a result in that was made anew. What the key had before is forgotten.
    pub(super) fn replace(&mut self, key: Key, new: NewResult<S>, now: Timestamp) -> InUse {
        let before = self.others.get(&key).copied().unwrap_or(key);
        let others = self.remove(before).map(|entry| entry.record.others).unwrap_or_default();
        let users = self.insert(key, new, now);
        others.into_iter().for_each(|other| self.also_as(key, other));
        users
    }

    /// Whether there is a result that is known by `key`.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.entries.contains_key(&key) || self.others.contains_key(&key)
    }

    /// Takes a result in that is on disk.
    pub(super) fn restore(&mut self, key: Key, value: S, record: Record) {
        let _nobody = self.put(key, value, record, true);
    }

    fn put(&mut self, key: Key, value: S, record: Record, saved: bool) -> InUse {
        if let Some(outline) = record.outline {
            *self.outlines.entry(outline).or_default() += 1;
        }
        self.others.extend(record.others.iter().map(|other| (*other, key)));
        let users = InUse::default();
        self.entries.insert(key, Entry { value, record, saved, users: users.clone() });
        users
    }

    /// The result that is known by `key` is known by `other` as well.
    pub(super) fn also_as(&mut self, key: Key, other: Key) {
        if key == other || self.entries.contains_key(&other) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if self.others.insert(other, key).is_none() {
            entry.record.others.push(other);
            entry.saved = false;
        }
    }

    /// Forgets a result.
    pub(super) fn remove(&mut self, key: Key) -> Option<Entry<S>> {
        let entry = self.entries.remove(&key)?;
        for other in &entry.record.others {
            self.others.remove(other);
        }
        if let Some(outline) = entry.record.outline
            && let Some(count) = self.outlines.get_mut(&outline)
        {
            *count -= 1;
            if *count == 0 {
                self.outlines.remove(&outline);
            }
        }
        Some(entry)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry<S>> {
        self.entries.get_mut(&key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry<S>)> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyOf;
    use super::*;

    fn key(name: &str) -> Key {
        KeyOf::new(name).key()
    }

    fn new(value: &'static str, outline: Option<Key>) -> NewResult<&'static str> {
        NewResult { value, title: value.to_owned(), parent: None, outline }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_result_is_found_by_all_its_keys_until_it_is_removed() {
        let mut results = Results::default();
        drop(results.insert(key("a"), new("made", Some(key("outline"))), at(0)));
        results.also_as(key("a"), key("b"));
        assert!(results.knows_outline(key("outline")) && !results.knows_outline(key("a")));
        for name in ["a", "b"] {
            let found = results.find(key(name), at(1)).unwrap();
            assert_eq!((found.key, found.value, found.created), (key("a"), "made", at(0)));
        }
        results.remove(key("a")).unwrap();
        assert!(results.find(key("a"), at(1)).is_none() && results.find(key("b"), at(1)).is_none());
        assert!(!results.knows_outline(key("outline")));
    }

    #[test]
    fn the_first_result_of_two_builds_stays() {
        let mut results = Results::default();
        drop(results.insert(key("a"), new("first", None), at(0)));
        drop(results.insert(key("a"), new("second", None), at(1)));
        assert_eq!(results.find(key("a"), at(2)).unwrap().value, "first");
    }

    #[test]
    fn what_a_build_has_found_is_in_use_as_long_as_it_has_it() {
        let mut results = Results::default();
        let used = results.insert(key("a"), new("made", None), at(0));
        let is_used = |results: &Results<_>| results.iter().next().unwrap().1.is_in_use();
        assert!(is_used(&results));
        drop(used);
        assert!(!is_used(&results));
        let found = results.find(key("a"), at(1));
        assert!(is_used(&results));
        drop(found);
        assert!(!is_used(&results));
    }

    #[test]
    fn uses_are_written_down_now_and_then() {
        let mut results = Results::default();
        drop(results.insert(key("a"), new("made", None), at(0)));
        results.get_mut(key("a")).unwrap().saved = true;
        drop(results.find(key("a"), at(30)));
        assert!(results.get_mut(key("a")).unwrap().saved);
        drop(results.find(key("a"), at(90)));
        let entry = results.get_mut(key("a")).unwrap();
        assert!(!entry.saved);
        assert_eq!((entry.record.last_used, entry.record.times_used), (at(90), 3));
    }
}
