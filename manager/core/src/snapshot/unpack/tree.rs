//! The tree that a layer becomes, held by descriptors.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::metadata::{Late, failed};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::Limits;
use crate::snapshot::confined::privileged;
use crate::snapshot::delete;
use crate::snapshot::lookup::{Alone, Below, Lookup};
use crate::snapshot::marks::Marks;
use crate::snapshot::way;

/// Directories that are kept open.
const OPEN: usize = 256;

/// Bytes of directories' paths that are held in memory: some millions of directories.
const MOST_REMEMBERED: usize = 256 << 20;

/// How directories are opened: never through a link.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A layer's tree while it is unpacked.
pub(super) struct Tree<'a> {
    pub(super) root: Rc<OwnedFd>,
    pub(super) lowers: &'a dyn Lookup,
    pub(super) marks: Marks,
    /// Open directories by their path: real ones, with no link on the way.
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// What directories get in the end, by their path.
    late: BTreeMap<Vec<u8>, Late>,
    /// Directories below which nothing of the lower layers is seen.
    opaque: BTreeSet<Vec<u8>>,
    /// Files that are here only because others here are links to them.
    pub(super) copied: BTreeSet<Vec<u8>>,
    /// Bytes of those files, and how many there may be.
    pub(super) copied_bytes: u64,
    pub(super) most_copied: u64,
    /// Bytes of the paths in `late`, `opaque` and `copied` so far.
    remembered: usize,
    /// Whether a new file has the very mode that it is made with: this process has no umask, and
    /// no directory gives its files anything.
    pub(super) modes_are_exact: bool,
    /// What was there before, if anything was.
    pub(super) before: Before,
}

/// What a tree is unpacked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// Files of somebody's. What comes belongs to this user and group, or to whom the archive says.
    Files(Option<(u32, u32)>),
}

/// A name in an open directory.
pub(super) type Place = way::Place<Rc<OwnedFd>>;

impl<'a> Tree<'a> {
    /// The empty tree `root` over `lowers`.
    pub(super) fn new(
        root: OwnedFd,
        lowers: &'a dyn Lookup,
        marks: Marks,
        limits: &Limits,
    ) -> Self {
        Self {
            root: Rc::new(root),
            lowers,
            marks,
            open: HashMap::new(),
            late: BTreeMap::new(),
            opaque: BTreeSet::new(),
            copied: BTreeSet::new(),
            copied_bytes: 0,
            most_copied: limits.bytes,
            remembered: 0,
            modes_are_exact: privileged::is_confined(),
            before: Before::Nothing,
        }
    }

    /// The tree `root`, in which there are files. What is unpacked belongs to `owner`, if there is one.
    pub(super) fn over(root: OwnedFd, owner: Option<(u32, u32)>, limits: &Limits) -> Self {
        Self {
            before: Before::Files(owner),
            modes_are_exact: false,
            ..Self::new(root, &Alone, Marks::Unknown, limits)
        }
    }

    /// The directory at `path`, which has no link on the way, if it is open.
    pub(super) fn opened(&self, path: &[u8]) -> Option<Rc<OwnedFd>> {
        self.open.get(path).map(Rc::clone)
    }

    /// Keeps the directory at `path` open for what comes next.
    pub(super) fn keep(&mut self, path: &[u8], directory: OwnedFd) -> Rc<OwnedFd> {
        if self.open.len() == OPEN {
            self.open.clear();
        }
        let directory = Rc::new(directory);
        self.open.insert(path.to_vec(), Rc::clone(&directory));
        directory
    }

    /// Says what the directory at `path` gets in the end.
    pub(super) fn set_late(&mut self, path: Vec<u8>, late: Late) -> Result<()> {
        self.remember(&path)?;
        self.late.insert(path, late);
        Ok(())
    }

    /// Says that this layer hides what lies below the directory at `path`.
    pub(super) fn set_opaque(&mut self, path: Vec<u8>) -> Result<()> {
        self.remember(&path)?;
        self.opaque.insert(path);
        Ok(())
    }

    pub(super) fn remember(&mut self, path: &[u8]) -> Result<()> {
        self.remembered += path.len();
        if self.remembered > MOST_REMEMBERED {
            return Err(Error::invalid("the layer has too many directories"));
        }
        Ok(())
    }

    /// Whether this layer hides what the lower ones have at `path`.
    pub(super) fn is_hidden(&self, path: &[u8]) -> bool {
        if self.opaque.is_empty() {
            return false;
        }
        let mut above = path;
        while !above.is_empty() {
            above = path::parent(above);
            if self.opaque.contains(above) {
                return true;
            }
        }
        false
    }

    /// What this layer has at `place`, if it has something.
    pub(super) fn look(&self, place: &Place) -> Result<Option<Stat>> {
        let name = place.name.as_slice();
        match rustix::fs::statat(&place.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at it", errno)),
        }
    }

    /// Makes a directory at `place`, in place of anything else that this layer has there. Where
    /// it had a whiteout, the new directory hides what lies below.
    pub(super) fn make_directory(&mut self, place: &Place) -> Result<()> {
        let name = place.name.as_slice();
        match rustix::fs::mkdirat(&place.directory, name, Mode::RWXU) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the directory", errno)),
        }
        let Some(stat) = self.look(place)? else {
            return Err(Error::system("the layer's directory is changed by someone else"));
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Ok(());
        }
        self.clear(place)?;
        rustix::fs::mkdirat(&place.directory, name, Mode::RWXU)
            .map_err(|errno| failed("make the directory", errno))?;
        if self.marks.is_whiteout(&stat) {
            self.hide_below(place)?;
        }
        Ok(())
    }

    /// Makes the directory at `place` opaque.
    pub(super) fn hide_below(&mut self, place: &Place) -> Result<()> {
        let directory =
            rustix::fs::openat(&place.directory, place.name.as_slice(), DIRECTORY, Mode::empty())
                .map_err(|errno| failed("open the directory", errno))?;
        self.marks.make_opaque(directory.as_fd())?;
        self.set_opaque(place.path())
    }

    /// Takes away what this layer has at `place`: a later member replaces an earlier one.
    pub(super) fn clear(&mut self, place: &Place) -> Result<()> {
        let gone = place.path();
        self.copied.remove(&gone);
        let name = place.name.as_slice();
        match rustix::fs::unlinkat(&place.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(failed("replace it", errno)),
        }
        delete::tree_at(place.directory.as_fd(), name)
            .map_err(|error| Error::io("replace the directory", error))?;
        self.open.retain(|path, _| !path::is_within(path, &gone));
        self.late.remove(&gone);
        self.opaque.remove(&gone);
        // The paths below it stand together: from "gone/" up to before "gone0".
        let (first, end) = ([&gone[..], b"/"].concat(), [&gone[..], b"0"].concat());
        self.late.extract_if(&first..&end, |_, _| true).for_each(drop);
        self.opaque.extract_if(&first..&end, |_| true).for_each(drop);
        Ok(())
    }

    /// What a root gets that no member describes: what the layers below have. Asked for at the end,
    /// since the layer below may have to be waited for.
    fn unsaid_root(&self) -> Result<Late> {
        if self.lowers.is_empty() {
            return Ok(Late::unsaid());
        }
        let Below::Directory(below) = self.lowers.find(b"")? else { return Ok(Late::unsaid()) };
        let (owner, group) = (Uid::from_raw(below.uid), Gid::from_raw(below.gid));
        rustix::fs::fchown(&self.root, Some(owner), Some(group))
            .map_err(|errno| failed("set the owner of the root", errno))?;
        Ok(Late::like(&below))
    }

    /// Gives directories the modes and times that had to wait, innermost first.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.opaque.contains(&Vec::new()) {
            self.hide_below_root()?;
        }
        if self.before == Before::Nothing && !self.late.contains_key(&Vec::new()) {
            let late = self.unsaid_root()?;
            self.late.insert(Vec::new(), late);
        }
        for (path, late) in self.late.iter().rev() {
            if path.is_empty() {
                late.set(self.root.as_fd())?;
                continue;
            }
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let directory =
                rustix::fs::openat2(&self.root, path.as_slice(), DIRECTORY, Mode::empty(), resolve)
                    .map_err(|errno| {
                        let path = String::from_utf8_lossy(path);
                        failed(format_args!("open the directory {path:?} again"), errno)
                    })?;
            late.set(directory.as_fd())?;
        }
        Ok(())
    }
}
