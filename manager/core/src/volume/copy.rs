//! Copies a tree of files by descriptors, so that a link in it leads nowhere.
//!
//! Containers may change both sides meanwhile: what is copied is looked at through a handle that opens
//! nothing, and opened through that very handle; what has vanished is left out. They get nothing but
//! their own files by that.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use crate::ids::IdMap;
use crate::image::archive::path;
use crate::snapshot::{Cloning, share_or_copy};

/// Bytes of a list of names of attributes, and of a value; the kernel allows no more.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// How deep directories may be nested: each level holds descriptors and stack. A path of a program
/// in a container could hardly name more.
const DEEPEST: usize = 400;

/// A handle that opens nothing.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The way to what was copied before.
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Copies everything in the directory `from`, and what is said of the directory itself, to the
/// directory `to`: owners, modes, times, extended attributes, links of both kinds, holes and device
/// nodes. Where the file system can, files share their data. `ids`: whose ids the copies get that the
/// originals' stand for, if these are others.
pub(super) fn tree(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    ids: Option<&IdMap>,
) -> io::Result<()> {
    let to = rustix::fs::openat(to, ".", DIRECTORY, Mode::empty())?;
    let (links, cloning) = (HashMap::new(), Cloning::Untried);
    let mut copying = Copying { root: to.as_fd(), ids, links, cloning };
    copying.contents(from, to.as_fd(), &[], 0)
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Copying<'a> {
    /// What is copied to.
    root: BorrowedFd<'a>,
    ids: Option<&'a IdMap>,
    /// The first path of each file that has several, by device and inode of the original.
    links: HashMap<(u64, u64), Vec<u8>>,
    cloning: Cloning,
}

/// What is being copied.
struct Original<'a> {
    handle: OwnedFd,
    facts: Stat,
    name: &'a CStr,
    /// Its path from the top.
    way: Vec<u8>,
}

impl Copying<'_> {
    /// Copies what is in `from`, which is at `way` from the top, to `to`.
    fn contents(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        way: &[u8],
        depth: usize,
    ) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!("directories are nested deeper than {DEEPEST}")));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let handle = match rustix::fs::openat(from, name, HANDLE, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                handle => handle?,
            };
            let (facts, way) = (rustix::fs::fstat(&handle)?, path::join(way, name.to_bytes()));
            self.member(&Original { handle, facts, name, way }, to, depth)?;
        }
        let facts = rustix::fs::fstat(from)?;
        self.describe(from, to, &facts)
    }

    fn member(&mut self, it: &Original<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let kind = FileType::from_raw_mode(it.facts.st_mode);
        if kind == FileType::Directory {
            rustix::fs::mkdirat(to, it.name, Mode::RWXU)?;
            let below = rustix::fs::openat(&it.handle, ".", DIRECTORY, Mode::empty())?;
            let copy = rustix::fs::openat(to, it.name, DIRECTORY, Mode::empty())?;
            return self.contents(below.as_fd(), copy.as_fd(), &it.way, depth + 1);
        }
        if it.facts.st_nlink > 1 {
            let itself = (it.facts.st_dev, it.facts.st_ino);
            if let Some(first) = self.links.get(&itself) {
                return self.one_more_name(first, to, it.name);
            }
            self.links.insert(itself, it.way.clone());
        }
        match kind {
            FileType::RegularFile => self.file(it, to),
            FileType::Symlink => self.link(it, to),
            // A socket means nothing without the process that listens on it.
            FileType::Socket => {
                self.links.remove(&(it.facts.st_dev, it.facts.st_ino));
                Ok(())
            }
            kind => self.node(it, to, kind),
        }
    }

    /// Gives what was copied to `first` the name `name` too.
    fn one_more_name(&self, first: &[u8], to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let (above, original) = path::split(first);
        let above = if above.is_empty() { b"." } else { above };
        let directory = rustix::fs::openat2(self.root, above, DIRECTORY, Mode::empty(), BELOW)?;
        Ok(rustix::fs::linkat(&directory, original, to, name, AtFlags::empty())?)
    }

    fn file(&mut self, it: &Original<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        let itself = format!("/proc/self/fd/{}", it.handle.as_raw_fd());
        let reading = OFlags::RDONLY | OFlags::CLOEXEC;
        let source = rustix::fs::openat(CWD, itself, reading, Mode::empty())?;
        let writing =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(to, it.name, writing, Mode::RUSR | Mode::WUSR)?;
        let size = u64::try_from(it.facts.st_size).unwrap_or_default();
        if let Err(error) = share_or_copy(source.as_fd(), copy.as_fd(), size, &mut self.cloning) {
            // One that has become shorter meanwhile has zeros at its end.
            if rustix::fs::fstat(&source)?.st_size >= it.facts.st_size {
                return Err(io::Error::other(error));
            }
        }
        self.describe(source.as_fd(), copy.as_fd(), &it.facts)
    }

    fn link(&self, it: &Original<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        let target = rustix::fs::readlinkat(&it.handle, "", Vec::new())?;
        rustix::fs::symlinkat(target, to, it.name)?;
        let (itself, (uid, gid)) = (AtFlags::SYMLINK_NOFOLLOW, self.owner(&it.facts)?);
        rustix::fs::chownat(to, it.name, Some(uid), Some(gid), itself)?;
        Ok(rustix::fs::utimensat(to, it.name, &times(&it.facts), itself)?)
    }

    /// A device or a pipe. It gets its mode by a descriptor that is known to be of the new node: by its
    /// name, a link that another container puts there would be followed to a file of the host's.
    fn node(&self, it: &Original<'_>, to: BorrowedFd<'_>, kind: FileType) -> io::Result<()> {
        let facts = &it.facts;
        let mode = Mode::from_raw_mode(facts.st_mode);
        rustix::fs::mknodat(to, it.name, kind, mode, facts.st_rdev)?;
        let made = rustix::fs::openat(to, it.name, HANDLE, Mode::empty())?;
        let stat = rustix::fs::fstat(&made)?;
        if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != facts.st_rdev {
            return Err(io::Error::other("the volume is changed by a container meanwhile"));
        }
        let (uid, gid) = self.owner(facts)?;
        rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        let path = format!("/proc/self/fd/{}", made.as_raw_fd());
        rustix::fs::chmodat(CWD, path.as_str(), mode, AtFlags::empty())?;
        Ok(rustix::fs::utimensat(CWD, path, &times(facts), AtFlags::empty())?)
    }

    /// Gives the open file or directory `to` what is said of `from`: the owner first, which takes
    /// set-id bits and capabilities away, and the times last.
    fn describe(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, facts: &Stat) -> io::Result<()> {
        let (uid, gid) = self.owner(facts)?;
        rustix::fs::fchown(to, Some(uid), Some(gid))?;
        rustix::fs::fchmod(to, Mode::from_raw_mode(facts.st_mode))?;
        attributes(from, to)?;
        Ok(rustix::fs::futimens(to, &times(facts))?)
    }

    /// Whose a copy is.
    fn owner(&self, facts: &Stat) -> io::Result<(Uid, Gid)> {
        let (uid, gid) = match self.ids {
            None => (facts.st_uid, facts.st_gid),
            Some(ids) => ids.outside(facts.st_uid, facts.st_gid).map_err(io::Error::other)?,
        };
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }
}

fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    if names.is_empty() {
        return Ok(());
    }
    let mut value = vec![0; LARGEST_ATTRIBUTE];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Overlay's own notes mean nothing outside of it.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = match rustix::fs::fgetxattr(from, name, value.as_mut_slice()) {
            // Someone has just taken it away.
            Err(Errno::NODATA) => continue,
            length => length?,
        };
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A file's times, to be given to another.
pub fn times(facts: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().unwrap_or_default(),
    };
    Timestamps {
        last_access: time(facts.st_atime, facts.st_atime_nsec),
        last_modification: time(facts.st_mtime, facts.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt, symlink};
    use std::path::Path;

    use super::*;

    #[test]
    fn links_holes_and_what_is_said_of_files_come_along() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::create_dir_all(at("from/deep/er")).unwrap();
        std::fs::create_dir(at("to")).unwrap();
        std::fs::write(at("from/one"), "content").unwrap();
        std::fs::hard_link(at("from/one"), at("from/deep/er/two")).unwrap();
        let sparse = File::create_new(at("from/sparse")).unwrap();
        sparse.write_all_at(b"end", 64 << 20).unwrap();
        rustix::fs::fsetxattr(&sparse, "user.note", b"kept", XattrFlags::empty()).unwrap();
        symlink("nowhere", at("from/link")).unwrap();
        std::os::unix::fs::chown(at("from/one"), Some(7), Some(8)).unwrap();
        let from = File::open(at("from")).unwrap();
        tree(from.as_fd(), File::open(at("to")).unwrap().as_fd(), None).unwrap();
        let facts = |path: &str| at(path).symlink_metadata().unwrap();
        let (one, two) = (facts("to/one"), facts("to/deep/er/two"));
        assert_eq!((one.ino(), one.nlink(), one.uid(), one.gid()), (two.ino(), 2, 7, 8));
        assert!(facts("to/sparse").len() > 64 << 20 && facts("to/sparse").blocks() < 1000);
        let mut note = [0; 4];
        let copy = File::open(at("to/sparse")).unwrap();
        rustix::fs::fgetxattr(&copy, "user.note", &mut note).unwrap();
        assert_eq!(&note, b"kept");
        assert_eq!(std::fs::read_link(at("to/link")).unwrap(), Path::new("nowhere"));
        assert_eq!(facts("to/link").mtime(), facts("from/link").mtime());
    }

    #[test]
    fn owners_are_those_that_the_ids_stand_for() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        for name in ["from", "to"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("from/file"), "").unwrap();
        let from = File::open(at("from")).unwrap();
        let ids = IdMap::new(&[(100_000, 65_536)], &[(200_000, 65_536)]).unwrap();
        tree(from.as_fd(), File::open(at("to")).unwrap().as_fd(), Some(&ids)).unwrap();
        for name in ["to", "to/file"] {
            let facts = at(name).metadata().unwrap();
            assert_eq!((facts.uid(), facts.gid()), (100_000, 200_000));
        }
    }
}
