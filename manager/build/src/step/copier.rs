//! Copies what was found to where it goes.
//!
//! A directory's contents go into the one at the destination, which is made if it isn't there; those
//! below it get what is said of the originals. A file goes into a directory that is there, or where
//! the destination ends with a slash, and takes the place of anything that is no directory.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode as Bits, OFlags, ResolveFlags, Stat, Uid, chmodat, fchmod, fchown,
    futimens, linkat, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use tare_core::snapshot::{Cloning, share_or_copy};
use tare_core::volume::times;
use tare_dockerfile::source::Mode;

use super::attributes::{copy_attributes, copy_attributes_of_link};
use super::find::{Found, reading};
use super::owner::Owner;
use super::walk::{Choice, Chosen, DIRECTORY, Directory, Member, Visitor, walk};
use super::way::{End, Made, ensure, follow, own};
use super::{Place, failed};
use crate::error::{Error, Result};

/// The mode of directories that nobody says anything about.
const OF_DIRECTORY: u32 = 0o755;
/// The mode of documents.
const OF_DOCUMENT: u32 = 0o644;

/// What copies are like.
pub(super) struct Rules {
    pub(super) owner: Owner,
    pub(super) mode: Option<Mode>,
    pub(super) choice: Choice,
}

impl Rules {
    /// The mode of a copy of what has `mode`.
    fn mode(&self, mode: u32, kind: FileType) -> Bits {
        let mode = mode & 0o7777;
        let is_directory = kind == FileType::Directory;
        let asked = self.mode.as_ref().map(|asked| asked.apply(mode, is_directory));
        Bits::from_raw_mode(asked.unwrap_or(mode))
    }

    /// What directories are made like that nobody copies.
    pub(super) fn directories(&self) -> Made {
        let mode = match &self.mode {
            Some(Mode::Exactly(mode)) => mode & 0o777,
            Some(Mode::Changes(_)) | None => OF_DIRECTORY,
        };
        Made { mode, owner: self.owner.or_root() }
    }
}

/// Copies one thing.
pub(super) struct Copier<'a> {
    place: &'a Place<'a>,
    rules: &'a Rules,
    /// Where it goes.
    destination: &'a str,
    /// The first copies of files with several names, by device and inode, from the top.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The top of the copy.
    top: Option<OwnedFd>,
    cloning: Cloning,
}

/// A directory's copy.
pub(super) struct Copy {
    opened: OwnedFd,
    /// It gets what is said of the original.
    is_like_original: bool,
}

impl<'a> Copier<'a> {
    pub(super) fn new(place: &'a Place<'a>, rules: &'a Rules, destination: &'a str) -> Self {
        let (links, cloning) = (HashMap::new(), Cloning::Untried);
        Self { place, rules, destination, links, top: None, cloning }
    }

    /// Copies what was found.
    pub(super) fn copy(&mut self, found: Found) -> Result<()> {
        self.make_way()?;
        match found.kind() {
            FileType::Directory => self.contents(found),
            _ => self.one_file(&found),
        }
    }

    /// Writes a file with this text.
    pub(super) fn document(&mut self, name: &str, text: &str) -> Result<()> {
        self.make_way()?;
        let base = name.rsplit('/').next().unwrap_or(name);
        let base = CString::new(base).map_err(|_| Error::invalid("a name with a null byte"))?;
        let (parent, target) = self.target(&base)?;
        self.clear(parent.as_fd(), &target, name)?;
        let written = create(parent.as_fd(), &target).and_then(|file| {
            let mut file = std::fs::File::from(file);
            file.write_all(text.as_bytes())?;
            let (uid, gid) = self.rules.owner.or_root();
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            Ok(fchmod(&file, self.rules.mode(OF_DOCUMENT, FileType::RegularFile))?)
        });
        written.map_err(|error| failed("write", name, error))
    }

    /// Makes the directories that the destination is in; it itself, too, if it ends like one.
    fn make_way(&self) -> Result<()> {
        let way = match self.destination.rsplit_once('/') {
            Some((way, name)) if !matches!(name, "" | ".") => way,
            Some(_) => self.destination,
            None => "",
        };
        ensure(self.place.root, way, &self.rules.directories()).map(drop)
    }

    /// Where a file goes: into the directory at the destination, or to its place. A link there may lead
    /// to where nothing is yet.
    fn target(&self, name: &CStr) -> Result<(OwnedFd, CString)> {
        match follow(self.place.root, self.destination, Some(&self.rules.directories()))? {
            Some(End::Directory(directory)) => Ok((directory, name.to_owned())),
            Some(End::Other { parent, name, .. }) => Ok((parent, name)),
            None => Err(failed("open", self.destination, Errno::NOENT)),
        }
    }

    fn one_file(&mut self, found: &Found) -> Result<()> {
        let (parent, name) = self.target(&found.name)?;
        self.clear(parent.as_fd(), &name, &found.name.to_string_lossy())?;
        let it = Original { handle: found.handle.as_fd(), facts: &found.facts };
        self.copy_file(&it, parent.as_fd(), &name)
            .map_err(|error| failed("copy", &found.path, error))
    }

    /// Copies what is in a directory. The one at the destination gets nothing but its time.
    fn contents(&mut self, found: Found) -> Result<()> {
        let target = match follow(self.place.root, self.destination, None)? {
            Some(End::Other { is_there: true, .. }) => {
                return Err(not_a_directory(self.destination));
            }
            _ => ensure(self.place.root, self.destination, &self.rules.directories())?,
        };
        let wrong = |error: io::Error| failed("copy", &found.path, error);
        let opened = found.open().map_err(wrong)?;
        let held = Copy { opened: target.try_clone().map_err(wrong)?, is_like_original: false };
        self.top = Some(target.try_clone().map_err(wrong)?);
        let facts = found.facts;
        let top = Directory { opened, name: found.name, path: Vec::new(), facts };
        let (rules, given_up) = (self.rules, self.place.given_up);
        walk(top, held, &rules.choice, self, Some(given_up))?;
        futimens(&target, &times(&facts)).map_err(|errno| failed("utime", self.destination, errno))
    }

    /// The directory called `name`, which is made if it isn't there; and whether it was.
    fn directory(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &str,
    ) -> Result<(OwnedFd, bool)> {
        let wrong = |errno: Errno| failed("mkdir", path, errno);
        let is_new = match mkdirat(parent, name, Bits::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => {
                let there = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
                if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                    return Err(not_a_directory(&self.shown(path)));
                }
                false
            }
            Err(errno) => return Err(wrong(errno)),
        };
        Ok((openat(parent, name, DIRECTORY, Bits::empty()).map_err(wrong)?, is_new))
    }

    /// Takes away what is in the place of a file.
    fn clear(&self, parent: BorrowedFd<'_>, name: &CStr, path: &str) -> Result<()> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                let path = self.shown(path);
                Err(Error::invalid(format!("cannot replace to directory {path} with file")))
            }
            Err(errno) => Err(failed("remove", path, errno)),
        }
    }

    /// The whole path of what is at `path` below the destination.
    fn shown(&self, path: &str) -> String {
        format!("{}/{path}", self.destination.trim_end_matches('/'))
    }

    /// Copies what is no directory.
    fn copy_file(&mut self, it: &Original<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let kind = FileType::from_raw_mode(it.facts.st_mode);
        match kind {
            FileType::RegularFile => {
                let source = reading(it.handle)?;
                let copy = create(to, name)?;
                let size = u64::try_from(it.facts.st_size).unwrap_or_default();
                share_or_copy(source.as_fd(), copy.as_fd(), size, &mut self.cloning)
                    .map_err(io::Error::other)?;
                self.describe(source.as_fd(), copy.as_fd(), it.facts)
            }
            FileType::Symlink => {
                let target = readlinkat(it.handle, c"", Vec::new())?;
                symlinkat(target, to, name)?;
                own(to, name, self.rules.owner.of(it.facts))?;
                utimensat(to, name, &times(it.facts), AtFlags::SYMLINK_NOFOLLOW)?;
                copy_attributes_of_link(it.handle, to, name);
                Ok(())
            }
            kind => {
                // Nobody listens at the copy of a socket: what is left of it is an empty file.
                let made = if kind == FileType::Socket { FileType::RegularFile } else { kind };
                let mode = self.rules.mode(it.facts.st_mode, kind);
                mknodat(to, name, made, mode, it.facts.st_rdev)?;
                own(to, name, self.rules.owner.of(it.facts))?;
                chmodat(to, name, mode, AtFlags::empty())?;
                Ok(utimensat(to, name, &times(it.facts), AtFlags::SYMLINK_NOFOLLOW)?)
            }
        }
    }

    /// Gives the open file or directory `to` what is said of `from`: the owner first, which takes
    /// set-id bits and capabilities away, and the times last.
    fn describe(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, facts: &Stat) -> io::Result<()> {
        let (uid, gid) = self.rules.owner.of(facts);
        fchown(to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(to, self.rules.mode(facts.st_mode, FileType::from_raw_mode(facts.st_mode)))?;
        copy_attributes(from, to);
        Ok(futimens(to, &times(facts))?)
    }
}

impl Visitor for Copier<'_> {
    type Held = Copy;

    fn enter(&mut self, above: &Copy, directory: &Directory, chosen: Chosen) -> Result<Copy> {
        let path = String::from_utf8_lossy(&directory.path);
        let (opened, is_new) = self.directory(above.opened.as_fd(), &directory.name, &path)?;
        Ok(Copy { opened, is_like_original: is_new || chosen == Chosen::Itself })
    }

    fn leave(&mut self, directory: &Directory, held: Copy) -> Result<()> {
        if !held.is_like_original {
            return Ok(());
        }
        self.describe(directory.opened.as_fd(), held.opened.as_fd(), &directory.facts)
            .map_err(|error| failed("copy", &String::from_utf8_lossy(&directory.path), error))
    }

    /// Copies what is no directory, or gives what was copied already one more name.
    fn file(&mut self, above: &Copy, member: &Member<'_>) -> Result<()> {
        let path = String::from_utf8_lossy(member.path);
        let wrong = |error: io::Error| failed("copy", &path, error);
        self.clear(above.opened.as_fd(), member.name, &path)?;
        let is_file = FileType::from_raw_mode(member.facts.st_mode) == FileType::RegularFile;
        if is_file && member.facts.st_nlink > 1 {
            let itself = (member.facts.st_dev, member.facts.st_ino);
            if let (Some(first), Some(top)) = (self.links.get(&itself), &self.top) {
                return one_more_name(top.as_fd(), first, above.opened.as_fd(), member.name)
                    .map_err(wrong);
            }
            self.links.insert(itself, member.path.to_vec());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(member.directory, member.name, flags, Bits::empty())
            .map_err(|errno| wrong(errno.into()))?;
        let it = Original { handle: handle.as_fd(), facts: member.facts };
        self.copy_file(&it, above.opened.as_fd(), member.name).map_err(wrong)
    }
}

/// Something that is copied.
struct Original<'a> {
    handle: BorrowedFd<'a>,
    facts: &'a Stat,
}

fn not_a_directory(path: &str) -> Error {
    Error::invalid(format!("cannot copy to non-directory: {path}"))
}

fn create(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Bits::RUSR | Bits::WUSR)?)
}

/// Gives what was copied to `first`, from the top, the name `name` too.
fn one_more_name(
    top: BorrowedFd<'_>,
    first: &[u8],
    to: BorrowedFd<'_>,
    name: &CStr,
) -> io::Result<()> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let first = openat2(top, first, flags, Bits::empty(), inside)?;
    // Named by its descriptor, which takes no capability, and no other way to a descriptor's file does.
    let first = format!("/proc/self/fd/{}", first.as_raw_fd());
    Ok(linkat(rustix::fs::CWD, first, to, name, AtFlags::SYMLINK_FOLLOW)?)
}
