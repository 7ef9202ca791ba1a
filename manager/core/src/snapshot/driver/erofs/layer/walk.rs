//! The way to a path: one component at a time, through links that stay inside.

use std::collections::VecDeque;

use tare_erofs::{Attributes, Kind, NodeId, Tree};

use super::{Layer, Place, failed, like};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::lookup::Below;
use crate::snapshot::marks::OPAQUE;

/// Symbolic links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;

/// What to do where a directory on the way isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, like that of the layers below if they have it.
    Make,
    /// Give up: nothing can be there.
    Stop,
}

/// A directory of the layer and its path, with no link on the way.
type Directory = (Vec<u8>, NodeId);

/// Where a step of a walk leads.
enum Step {
    Into(NodeId),
    Link(Vec<u8>),
    Nowhere,
}

impl Layer<'_> {
    /// Where the member `path` goes; `None`: it is the root, or a directory on the way is missing
    /// and `missing` says to stop.
    pub(super) fn place(&mut self, path: &[u8], missing: Missing) -> Result<Option<Place>> {
        let plain = path::plain(path)?;
        let (above, name) = path::split(&plain);
        if name.is_empty() {
            return Ok(None);
        }
        let Some((above, directory)) = self.walk(above, missing)? else {
            return Ok(None);
        };
        Ok(Some(Place { directory, above, name: name.to_vec() }))
    }

    /// The directory at the plain path `path`, through links inside the tree.
    fn walk(&mut self, path: &[u8], missing: Missing) -> Result<Option<Directory>> {
        let mut here = Vec::new();
        let mut directory = Tree::ROOT;
        let mut links = 0;
        let mut ahead: VecDeque<Vec<u8>> = components(path);
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                let above = path::parent(&here).to_vec();
                let Some(parent) = self.known(&above) else { return Ok(None) };
                (here, directory) = (above, parent);
                continue;
            }
            let next = path::join(&here, &name);
            let target = match self.step(directory, &next, &name, missing)? {
                Step::Into(child) => {
                    (here, directory) = (next, child);
                    continue;
                }
                Step::Link(target) => target,
                Step::Nowhere => return Ok(None),
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Error::invalid("its path leads through too many symbolic links"));
            }
            if target.starts_with(b"/") {
                (here, directory) = (Vec::new(), Tree::ROOT);
            }
            let mut onward = components(&target);
            onward.append(&mut ahead);
            ahead = onward;
        }
        Ok(Some((here, directory)))
    }

    /// One step of the walk: from `directory` to `name`, whose whole path is `next`.
    fn step(
        &mut self,
        directory: NodeId,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step> {
        let Some(child) = self.tree.find(directory, name) else {
            return self.step_below(directory, next, name, missing);
        };
        match self.tree.kind(child) {
            Kind::Directory => Ok(Step::Into(child)),
            Kind::Symlink(target) => Ok(Step::Link(target.clone())),
            Kind::CharacterDevice(0, 0) if missing == Missing::Stop => Ok(Step::Nowhere),
            Kind::CharacterDevice(0, 0) => self.make_directory(directory, name).map(Step::Into),
            _ => Err(Error::invalid("its path leads through something that is no directory")),
        }
    }

    /// A step where this layer has nothing: the layers below may have a directory or a link there.
    fn step_below(
        &mut self,
        directory: NodeId,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step> {
        let below = match self.is_hidden(next) {
            true => Below::Nothing,
            false => self.lowers.find(next)?,
        };
        if let Below::Symlink(target) = below {
            return Ok(Step::Link(target));
        }
        if missing == Missing::Stop {
            return Ok(Step::Nowhere);
        }
        let attributes = match below {
            Below::Directory(original) => like(original),
            Below::Symlink(_) | Below::File(..) | Below::Nothing => self.unsaid(),
        };
        self.tree.put(directory, name, Kind::Directory, attributes).map(Step::Into).map_err(failed)
    }

    /// The directory under `name`, made in place of anything else that this layer has there. Where
    /// it had a whiteout, the new directory hides what lies below.
    pub(super) fn make_directory(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId> {
        let there = self.tree.find(directory, name);
        let was_gone = match there.map(|node| (node, self.tree.kind(node))) {
            Some((node, Kind::Directory)) => return Ok(node),
            Some((_, kind)) => *kind == Kind::CharacterDevice(0, 0),
            None => false,
        };
        let attributes = self.unsaid();
        let made = self.tree.put(directory, name, Kind::Directory, attributes).map_err(failed)?;
        if was_gone {
            self.hide_below(made)?;
        }
        Ok(made)
    }

    /// Makes a directory opaque. The root gets no mark: overlay takes no notice of one there.
    pub(super) fn hide_below(&mut self, directory: NodeId) -> Result<()> {
        self.opaque.insert(directory);
        if directory == Tree::ROOT {
            return Ok(());
        }
        let mut attributes: Attributes = self.tree.attributes(directory).clone();
        attributes.extended.insert(OPAQUE.as_bytes().to_vec(), b"y".to_vec());
        self.tree.set_attributes(directory, attributes).map_err(failed)
    }

    /// Whether this layer hides what the lower ones have at `path`, which has no link on the way.
    pub(super) fn is_hidden(&self, path: &[u8]) -> bool {
        if self.opaque.is_empty() {
            return false;
        }
        let mut above = path;
        while !above.is_empty() {
            above = path::parent(above);
            if self.known(above).is_some_and(|directory| self.opaque.contains(&directory)) {
                return true;
            }
        }
        false
    }

    /// What this layer has at `path`, which has no link on the way.
    fn known(&self, path: &[u8]) -> Option<NodeId> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(Tree::ROOT, |above, name| self.tree.find(above, name))
    }
}

impl Place {
    /// Its whole path.
    pub(super) fn path(&self) -> Vec<u8> {
        path::join(&self.above, &self.name)
    }
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}
