//! Which containers use which volumes, running or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The uses, to be asked from both sides. Nobody waits while holding it.
#[derive(Default)]
pub(super) struct Uses(Mutex<Sides>);

/// Each side by the other; neither has empty sets.
#[derive(Default)]
struct Sides {
    users: BTreeMap<String, BTreeSet<String>>,
    volumes: BTreeMap<String, BTreeSet<String>>,
}

impl Uses {
    /// Notes that the container `user` uses `volume`.
    pub(super) fn add(&self, volume: &str, user: &str) {
        let mut sides = self.lock();
        sides.users.entry(volume.to_owned()).or_default().insert(user.to_owned());
        sides.volumes.entry(user.to_owned()).or_default().insert(volume.to_owned());
    }

    /// The containers that use `volume`.
    pub(super) fn users(&self, volume: &str) -> Vec<String> {
        self.lock().users.get(volume).into_iter().flatten().cloned().collect()
    }

    /// Whether any container uses `volume`.
    pub(super) fn has_users(&self, volume: &str) -> bool {
        self.lock().users.contains_key(volume)
    }

    /// Whether no container but `user` uses `volume`.
    pub(super) fn is_alone(&self, volume: &str, user: &str) -> bool {
        let sides = self.lock();
        let users = sides.users.get(volume);
        users.is_none_or(|users| users.iter().all(|other| other == user))
    }

    /// Forgets all uses of the container `user`; gives the volumes.
    pub(super) fn end(&self, user: &str) -> BTreeSet<String> {
        let mut sides = self.lock();
        let volumes = sides.volumes.remove(user).unwrap_or_default();
        for volume in &volumes {
            if let Some(users) = sides.users.get_mut(volume) {
                users.remove(user);
                if users.is_empty() {
                    sides.users.remove(volume);
                }
            }
        }
        volumes
    }

    fn lock(&self) -> MutexGuard<'_, Sides> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_used_until_its_last_user_ends() {
        let uses = Uses::default();
        uses.add("data", "c1");
        uses.add("data", "c1");
        uses.add("data", "c2");
        uses.add("logs", "c1");
        assert_eq!(uses.users("data"), ["c1", "c2"]);
        assert!(uses.is_alone("logs", "c1") && !uses.is_alone("data", "c1"));
        assert_eq!(uses.end("c1"), BTreeSet::from(["data".to_owned(), "logs".to_owned()]));
        assert!(uses.has_users("data") && !uses.has_users("logs"));
        assert!(uses.end("c1").is_empty());
        uses.end("c2");
        assert!(uses.users("data").is_empty());
    }
}
