//! One member of the archive becomes one thing of the tree.

use std::io::BufRead;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::metadata::{self, Late, failed};
use super::tree::{Before, Place, Tree};
use super::whiteout::{self, Mark};
use crate::error::{Error, Result};
use crate::image::archive::{Archive, Entry, EntryKind};
use crate::snapshot::confined::privileged;
use crate::snapshot::marks::Marks;
use crate::snapshot::way::{Missing, Way};

impl Tree<'_> {
    /// Puts `entry`, whose data is next in `archive`, where it belongs. Returns its bytes.
    pub(super) fn apply<R: BufRead>(
        &mut self,
        mut entry: Entry,
        archive: &mut Archive<R>,
    ) -> Result<u64> {
        if let Before::Files(Some(owner)) = self.before {
            (entry.uid, entry.gid) = owner;
        }
        if self.marks != Marks::Unknown {
            whiteout::check_no_mark_above(&entry.path)?;
        }
        let Some(place) = self.place(&entry.path, Missing::Make)? else {
            return self.apply_root(&entry).map(|()| 0);
        };
        if self.marks != Marks::Unknown
            && let Some(mark) = whiteout::mark(&place.name)?
        {
            self.apply_mark(mark, place)?;
            return Ok(0);
        }
        match &entry.kind {
            EntryKind::File { size, segments } => {
                let mode = self.first_mode(&entry);
                let file = self.create(&place, mode.unwrap_or(Mode::RUSR | Mode::WUSR))?;
                super::file::fill(file.as_fd(), *size, segments.as_deref(), archive)?;
                metadata::set_on_file(file.as_fd(), &entry, mode)?;
                return Ok(*size);
            }
            EntryKind::Directory => self.apply_directory(&place, &entry)?,
            EntryKind::Symlink { target } => self.apply_symlink(&place, target, &entry)?,
            EntryKind::HardLink { target } => self.apply_hard_link(&place, target)?,
            EntryKind::CharacterDevice { major, minor } => {
                self.apply_node(&place, FileType::CharacterDevice, (*major, *minor), &entry)?;
            }
            EntryKind::BlockDevice { major, minor } => {
                self.apply_node(&place, FileType::BlockDevice, (*major, *minor), &entry)?;
            }
            EntryKind::Fifo => self.apply_node(&place, FileType::Fifo, (0, 0), &entry)?,
        }
        Ok(0)
    }

    fn apply_mark(&mut self, mark: Mark, place: Place) -> Result<()> {
        match mark {
            Mark::Ignored => Ok(()),
            Mark::Opaque => self.apply_opaque(&place),
            Mark::Whiteout(name) => self.apply_whiteout(&Place { name, ..place }),
        }
    }

    fn apply_root(&mut self, entry: &Entry) -> Result<()> {
        if self.before != Before::Nothing {
            return Ok(());
        }
        if entry.kind != EntryKind::Directory {
            return Err(Error::invalid("the root of a layer must be a directory"));
        }
        let root = self.root();
        metadata::change_owner(root.as_fd(), b".", entry.uid, entry.gid)?;
        // Its mode comes last: files that are made in it must not take its group.
        metadata::set_attributes(root.as_fd(), &entry.attributes)?;
        self.note_attributes(&entry.attributes);
        self.set_late(Vec::new(), Late::of(entry))
    }

    /// The mode that the file `entry` can be made with, if it then need not be set: nothing that
    /// comes later may take bits away.
    fn first_mode(&self, entry: &Entry) -> Option<Mode> {
        let is_plain = entry.mode & 0o7000 == 0 && (entry.uid, entry.gid) == (0, 0);
        let acl = |(name, _): &(Vec<u8>, Vec<u8>)| name.starts_with(metadata::ACL);
        let exact = self.modes_are_exact && is_plain && !entry.attributes.iter().any(acl);
        exact.then(|| Mode::from_raw_mode(entry.mode))
    }

    /// Creates a file where nothing is or what is there is replaced.
    pub(super) fn create(&mut self, place: &Place, mode: Mode) -> Result<std::os::fd::OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = place.name.clone();
        self.in_place_of_anything(place, "create the file", |directory| {
            rustix::fs::openat(directory, name.as_slice(), flags, mode)
        })
    }

    fn apply_directory(&mut self, place: &Place, entry: &Entry) -> Result<()> {
        self.make_directory(place)?;
        metadata::change_owner(place.directory.as_fd(), &place.name, entry.uid, entry.gid)?;
        let path = place.path();
        if !entry.attributes.is_empty()
            && let Some((_, directory)) = self.directory(&path, Missing::Stop)?
        {
            metadata::set_attributes(directory.as_fd(), &entry.attributes)?;
            self.note_attributes(&entry.attributes);
        }
        self.set_late(path, Late::of(entry))
    }

    /// What a directory's list of access says of new files in it counts more than how they are made.
    pub(super) fn note_attributes(&mut self, attributes: &[(Vec<u8>, Vec<u8>)]) {
        self.modes_are_exact &= !attributes.iter().any(|(name, _)| name.starts_with(metadata::ACL));
    }

    fn apply_symlink(&mut self, place: &Place, target: &[u8], entry: &Entry) -> Result<()> {
        if target.is_empty() || target.len() > 4095 {
            return Err(Error::invalid("a symbolic link's target has 1 to 4095 bytes"));
        }
        let name = place.name.clone();
        self.in_place_of_anything(place, "make the link", |directory| {
            rustix::fs::symlinkat(target, directory, name.as_slice())
        })?;
        metadata::set_by_name(place.directory.as_fd(), &place.name, entry, None)
    }

    fn apply_node(
        &mut self,
        place: &Place,
        kind: FileType,
        (major, minor): (u32, u32),
        entry: &Entry,
    ) -> Result<()> {
        let name = place.name.clone();
        if kind == FileType::Fifo {
            self.in_place_of_anything(place, "make the pipe", |directory| {
                let none = rustix::fs::makedev(0, 0);
                rustix::fs::mknodat(directory, name.as_slice(), kind, Mode::empty(), none)
            })?;
        } else {
            // Not every process that unpacks may make devices.
            self.clear(place)?;
            let is_block = kind == FileType::BlockDevice;
            privileged::make_device(place.directory.as_fd(), &name, is_block, (major, minor))?;
        }
        metadata::set_by_name(place.directory.as_fd(), &place.name, entry, Some(entry.mode))
    }

    fn apply_hard_link(&mut self, place: &Place, target: &[u8]) -> Result<()> {
        let missing = || {
            let target = String::from_utf8_lossy(target);
            Error::invalid(format!("it is a hard link to {target:?}, which isn't there"))
        };
        let original = match self.place(target, Missing::Stop)? {
            Some(original) if self.look(&original)?.is_some() => original,
            _ => self.copy_up(target)?.ok_or_else(missing)?,
        };
        if original.above == place.above && original.name == place.name {
            return Ok(());
        }
        let name = place.name.clone();
        let linked = self.in_place_of_anything(place, "make the hard link", |directory| {
            rustix::fs::linkat(
                &original.directory,
                original.name.as_slice(),
                directory,
                name.as_slice(),
                AtFlags::empty(),
            )
        });
        match linked {
            // What was replaced held the target.
            Err(_) if self.look(&original)?.is_none() => Err(missing()),
            linked => linked,
        }
    }

    /// Does `make`, and once more if something had to be taken away first.
    fn in_place_of_anything<T>(
        &mut self,
        place: &Place,
        doing: &str,
        make: impl Fn(std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<T> {
        match make(place.directory.as_fd()) {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                make(place.directory.as_fd()).map_err(|errno| failed(doing, errno))
            }
            outcome => outcome.map_err(|errno| failed(doing, errno)),
        }
    }
}
