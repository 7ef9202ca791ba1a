//! A step on the way to a path, in a tree that stands in memory.

use tare_erofs::{Attributes, Kind, NodeId, Tree};

use super::{Layer, failed, like};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::lookup::Below;
use crate::snapshot::marks::OPAQUE;
use crate::snapshot::way::{Missing, Step, Way};

impl Way for Layer<'_> {
    type Directory = NodeId;

    fn root(&self) -> NodeId {
        Tree::ROOT
    }

    fn known(&mut self, path: &[u8]) -> Result<Option<NodeId>> {
        Ok(self.find(path))
    }

    fn step(
        &mut self,
        directory: &NodeId,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step<NodeId>> {
        let directory = *directory;
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
}

impl Layer<'_> {
    /// A step where this layer has nothing: the layers below may have a directory or a link there.
    fn step_below(
        &mut self,
        directory: NodeId,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step<NodeId>> {
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
            if self.find(above).is_some_and(|directory| self.opaque.contains(&directory)) {
                return true;
            }
        }
        false
    }

    /// What this layer has at `path`, which has no link on the way.
    fn find(&self, path: &[u8]) -> Option<NodeId> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(Tree::ROOT, |above, name| self.tree.find(above, name))
    }
}
