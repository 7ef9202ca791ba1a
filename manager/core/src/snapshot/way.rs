//! The way to a member's path: one component at a time, through links that stay inside the layer.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::image::archive::path;

/// Symbolic links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;

/// What to do where a directory on the way isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it, like that of the layers below if they have it.
    Make,
    /// Give up: nothing can be there.
    Stop,
}

/// Where a step of the way leads.
pub(crate) enum Step<D> {
    /// Into this directory.
    Into(D),
    /// To a symbolic link, and on to its target.
    Link(Vec<u8>),
    /// To nothing, with which [`Missing::Stop`] gives up.
    Nowhere,
}

/// A name in a directory of the layer.
pub(crate) struct Place<D> {
    pub(super) directory: D,
    /// The directory's path, with no link on the way.
    pub(super) above: Vec<u8>,
    pub(super) name: Vec<u8>,
}

impl<D> Place<D> {
    /// Its whole path.
    pub(super) fn path(&self) -> Vec<u8> {
        path::join(&self.above, &self.name)
    }
}

/// A layer's tree that members find their places in.
pub(crate) trait Way {
    /// What a directory is held by.
    type Directory: Clone;

    /// The root.
    fn root(&self) -> Self::Directory;

    /// The directory at `path`, which has no link on the way; `None`: it isn't there any more.
    fn known(&mut self, path: &[u8]) -> Result<Option<Self::Directory>>;

    /// One step: from `directory` to `name`, whose whole path is `next`.
    fn step(
        &mut self,
        directory: &Self::Directory,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step<Self::Directory>>;

    /// Where the member `path` goes; `None`: it is the root, or a directory on the way is missing
    /// and `missing` says to stop.
    fn place(&mut self, path: &[u8], missing: Missing) -> Result<Option<Place<Self::Directory>>> {
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

    /// The directory at the plain path `path`, through links inside the tree, and its path with no
    /// link on the way.
    fn walk(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Result<Option<(Vec<u8>, Self::Directory)>> {
        let mut here = Vec::new();
        let mut directory = self.root();
        let mut links = 0;
        let mut ahead = components(path);
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                let above = path::parent(&here).to_vec();
                let Some(parent) = self.known(&above)? else { return Ok(None) };
                (here, directory) = (above, parent);
                continue;
            }
            let next = path::join(&here, &name);
            let target = match self.step(&directory, &next, &name, missing)? {
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
                (here, directory) = (Vec::new(), self.root());
            }
            let mut onward = components(&target);
            onward.append(&mut ahead);
            ahead = onward;
        }
        Ok(Some((here, directory)))
    }
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}
