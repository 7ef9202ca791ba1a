//! The containers in memory, by id and by name. A name is taken from the moment that a container
//! is to have it, which is before its record exists.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::entry::Entry;
use super::id::ContainerId;
use super::name;
use crate::error::{Error, Result};

/// How often a name is made up before the id itself is taken.
const ATTEMPTS: u32 = 6;

/// All containers. Its lock is held for lookups only, never across a wait.
#[derive(Default)]
pub(super) struct Index {
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    by_id: HashMap<ContainerId, Arc<Entry>>,
    by_name: HashMap<String, ContainerId>,
    /// Those that are, or were, linked to a container.
    linking: HashMap<String, HashSet<ContainerId>>,
    /// The images of containers that are being made.
    coming: HashMap<ContainerId, String>,
}

/// A name that is taken for a container; given back unless it is kept.
pub(super) struct Reservation {
    index: Arc<Index>,
    name: String,
    kept: bool,
}

impl Reservation {
    /// The name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the name with its container.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            self.index.write().by_name.remove(&self.name);
        }
    }
}

/// A container that is being made; its image counts as used.
pub(super) struct Coming {
    index: Arc<Index>,
    id: ContainerId,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.index.write().coming.remove(&self.id);
    }
}

impl Index {
    /// Says that the container `id` is being made from `image`.
    pub(super) fn coming(self: &Arc<Self>, id: &ContainerId, image: &str) -> Coming {
        self.write().coming.insert(id.clone(), image.to_owned());
        Coming { index: Arc::clone(self), id: id.clone() }
    }

    /// The containers that are being made from `image`.
    pub(super) fn coming_from(&self, image: &str) -> Vec<ContainerId> {
        let tables = self.read();
        let coming = tables.coming.iter().filter(|(_, from)| *from == image);
        coming.map(|(id, _)| id.clone()).collect()
    }

    /// Takes `wanted` for the container `id`, or makes a name up.
    ///
    /// # Errors
    /// Conflict if another container has it.
    pub(super) fn reserve(
        self: &Arc<Self>,
        wanted: Option<&str>,
        id: &ContainerId,
    ) -> Result<Reservation> {
        let mut tables = self.write();
        let name = match wanted {
            Some(wanted) => {
                if let Some(owner) = tables.by_name.get(wanted) {
                    return Err(Error::conflict(format!(
                        "Conflict. The container name \"/{wanted}\" is already in use by container \
                         \"{owner}\". You have to remove (or rename) that container to be able to \
                         reuse that name."
                    )));
                }
                wanted.to_owned()
            }
            None => (0..ATTEMPTS)
                .map(name::made_up)
                .find(|name| !tables.by_name.contains_key(name))
                .unwrap_or_else(|| id.short().to_owned()),
        };
        tables.by_name.insert(name.clone(), id.clone());
        Ok(Reservation { index: Arc::clone(self), name, kept: false })
    }

    /// Adds a container, and its name.
    pub(super) fn insert(&self, entry: Arc<Entry>) {
        let container = entry.container();
        let mut tables = self.write();
        tables.by_name.insert(container.name.clone(), container.id.clone());
        for link in &container.host.links {
            tables.linking.entry(link.target.clone()).or_default().insert(container.id.clone());
        }
        tables.by_id.insert(container.id.clone(), entry);
    }

    /// Takes a container out, and its name.
    pub(super) fn remove(&self, entry: &Entry) {
        let container = entry.container();
        let mut tables = self.write();
        tables.by_name.remove(&container.name);
        tables.by_id.remove(&container.id);
        tables.linking.remove(container.id.as_str());
        for link in &container.host.links {
            if let Some(linking) = tables.linking.get_mut(&link.target) {
                linking.remove(&container.id);
            }
        }
    }

    /// Gives a name back.
    pub(super) fn release(&self, name: &str) {
        self.write().by_name.remove(name);
    }

    /// The container `id`.
    pub(super) fn get(&self, id: &ContainerId) -> Result<Arc<Entry>> {
        self.read().by_id.get(id).cloned().ok_or_else(|| not_found(id.as_str()))
    }

    /// Those that may be linked to the container `id`.
    pub(super) fn linking(&self, id: &ContainerId) -> Vec<Arc<Entry>> {
        let tables = self.read();
        let linking = tables.linking.get(id.as_str()).into_iter().flatten();
        linking.filter_map(|other| tables.by_id.get(other).cloned()).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.read().by_id.values().cloned().collect()
    }

    /// The container with this id, name, or unambiguous beginning of an id.
    pub(super) fn find(&self, reference: &str) -> Result<Arc<Entry>> {
        if reference.is_empty() {
            return Err(Error::invalid("invalid name or ID supplied: \"\""));
        }
        let tables = self.read();
        let name = reference.strip_prefix('/').unwrap_or(reference);
        let exact =
            tables.by_id.get(reference).or_else(|| tables.by_id.get(tables.by_name.get(name)?));
        if let Some(entry) = exact {
            return Ok(Arc::clone(entry));
        }
        let mut matching = tables.by_id.iter().filter(|(id, _)| id.as_str().starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some((_, entry)), None) => Ok(Arc::clone(entry)),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("Multiple IDs found with provided prefix: {reference}")))
            }
            (None, _) => Err(not_found(reference)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(reference: &str) -> Error {
    Error::not_found(format!("No such container: {reference}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use crate::error::Kind;

    #[test]
    fn a_name_is_given_back_unless_it_is_kept() {
        let index = Arc::new(Index::default());
        let (one, two) = (ContainerId::random(), ContainerId::random());
        let first = index.reserve(Some("web"), &one).unwrap();
        let error = index.reserve(Some("web"), &two).err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains(one.as_str()));
        drop(first);
        index.reserve(Some("web"), &two).unwrap().keep();
        assert!(index.reserve(Some("web"), &one).is_err());
    }

    #[test]
    fn an_image_is_used_by_what_is_being_made_from_it() {
        let index = Arc::new(Index::default());
        let id = ContainerId::random();
        let coming = index.coming(&id, "sha256:1");
        assert_eq!(index.coming_from("sha256:1"), [id]);
        assert_eq!(index.coming_from("sha256:2"), []);
        drop(coming);
        assert_eq!(index.coming_from("sha256:1"), []);
    }

    #[test]
    fn containers_are_found_by_id_name_and_beginning() {
        let index = Arc::new(Index::default());
        let container = fixture::container();
        let (id, name) = (container.id.clone(), container.name.clone());
        index.insert(Arc::new(Entry::new(container)));
        for reference in [id.as_str(), id.short(), &name, &format!("/{name}")] {
            assert_eq!(index.find(reference).unwrap().container().id, id, "{reference}");
        }
        assert_eq!(index.find("nope").err().unwrap().to_string(), "No such container: nope");
        index.insert(Arc::new(Entry::new(fixture::container())));
    }
}
