//! The directories in which criu reads and writes.
//!
//! A checkpoint may come from a stranger, as an archive that somebody has unpacked. criu opens its
//! images, its log and its statistics by name and follows links; a link among them would have the
//! host's root read or write a file of the stranger's choice. So criu is given a copy of the mount
//! on which the kernel follows no links at all. Only one link is legitimate: `parent`, to the
//! directory of an earlier dump. Where it is there, links have to be followed; then everything else
//! is looked at instead, and the link may only lead to a neighbour.

use crate::error::{Context, Error, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use crate::rootfs::attach::clone_at;
use crate::rootfs::options::NOSYMFOLLOW;
use crate::rootfs::place::is_same_file;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The link to the directory of an earlier dump.
const PARENT: &str = "parent";

/// How long a chain of dumps that build on each other may be.
const LONGEST_CHAIN: usize = 256;

/// A directory that criu is given.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
    mount: Option<OwnedFd>,
}

/// Whether criu is to follow a link to an earlier dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// One that criu is going to make.
    New,
    /// One that is there, if it is.
    There,
    /// None.
    None,
}

impl Directory {
    /// Opens the directory at `path` for criu.
    pub(crate) fn open(path: &Path, earlier: Earlier) -> Result<Directory> {
        let what = || format!("open {}", path.display());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let plain = rustix::fs::open(path, flags, Mode::empty()).context(what)?;
        let has_link = match earlier {
            Earlier::New => true,
            Earlier::There => has_link(&plain).context(what)?,
            Earlier::None => false,
        };
        let path = path.to_owned();
        if has_link {
            check_chain(&plain).context(|| path.display().to_string())?;
        }
        let copied = match has_link {
            true => copy_with_neighbours(&plain),
            false => copy_without_links(&plain),
        };
        match copied {
            // Copying takes a right, and the copy's options a kernel that has them.
            Err(error)
                if matches!(error.errno(), Some(libc::EPERM | libc::ENOSYS | libc::EINVAL)) =>
            {
                check_chain(&plain).context(|| path.display().to_string())?;
                Ok(Directory { path, fd: plain, mount: None })
            }
            copied => {
                let (fd, mount) = copied.context(what)?;
                Ok(Directory { path, fd, mount: Some(mount) })
            }
        }
    }

    /// The copy of the mount that it is in. A criu that makes mounts in the directory has to have
    /// the copy in its own mount namespace.
    pub(crate) fn mount(&self) -> Option<BorrowedFd<'_>> {
        self.mount.as_ref().map(AsFd::as_fd)
    }

    /// Makes the directory at `path`, for its owner alone, unless it is there.
    pub(crate) fn make(path: &Path) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .context(|| format!("mkdir {}", path.display()))
    }

    /// The number of its descriptor, by which criu finds it.
    pub(crate) fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file `name`, which has at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let what = || format!("open {}", self.path.join(name).display());
        let file = self.open_file(name, OFlags::RDONLY).context(what)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).context(what)?;
        match bytes.len() as u64 > limit {
            true => Err(Error::invalid(format!("{}: it is too long", what()))),
            false => Ok(bytes),
        }
    }

    /// Reads the last `limit` bytes of the file `name`.
    pub(super) fn read_end(&self, name: &str, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut file = self.open_file(name, OFlags::RDONLY)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes `bytes` to the file `name`, for its owner alone.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let what = || format!("write {}", self.path.join(name).display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        self.open_file(name, flags).and_then(|mut file| file.write_all(bytes)).context(what)
    }

    /// Opens a plain file of the directory; a link, a pipe or a device in its place is refused.
    fn open_file(&self, name: &str, flags: OFlags) -> std::io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600))?;
        let file = File::from(fd);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(Errno::INVAL.into()),
        }
    }
}

/// A copy of the mount of which `directory` is the root, and on which no link is followed.
fn copy_without_links(directory: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let mount = clone_at(directory, Depth::One).context(|| "copy the mount")?;
    let change = Change { set: NOSYMFOLLOW, ..Change::default() };
    set_attributes(&mount, Depth::One, change).context(|| "follow no links")?;
    Ok((mount.try_clone().context(|| "hold the mount")?, mount))
}

/// A copy of the mount of which the directory around `directory` is the root, and the directory in
/// it: links to neighbours lead where they should.
fn copy_with_neighbours(directory: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let what = || "find the directory around";
    let here = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let here = here.context(what)?;
    let name = here.file_name().ok_or_else(|| Error::invalid("no directory is around"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let around = rustix::fs::openat(directory, "..", flags, Mode::empty()).context(what)?;
    let mount = clone_at(around, Depth::Tree).context(|| "copy the mount")?;
    let inside = rustix::fs::openat(&mount, name, flags, Mode::empty()).context(what)?;
    match is_same_file(&inside, directory).context(what)? {
        true => Ok((inside, mount)),
        false => Err(Error::invalid("it was exchanged while it was opened")),
    }
}

fn has_link(directory: &OwnedFd) -> rustix::io::Result<bool> {
    match statat(directory, PARENT, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Looks at the directory and those of the earlier dumps that it builds on.
fn check_chain(first: &OwnedFd) -> Result<()> {
    let mut directory = first.try_clone().context(|| "hold the images")?;
    for _ in 0..LONGEST_CHAIN {
        check_files(&directory)?;
        if !has_link(&directory).context(|| "look at the images")? {
            return Ok(());
        }
        directory = open_parent(&directory).context(|| format!("its link {PARENT:?}"))?;
    }
    Err(Error::invalid("it builds on too many earlier dumps"))
}

/// The directory that the link leads to: inside the one that `directory` is in.
fn open_parent(directory: &OwnedFd) -> Result<OwnedFd> {
    let what = || "follow it";
    let target = rustix::fs::readlinkat(directory, PARENT, Vec::new()).context(what)?;
    let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    let neighbour = neighbour(target)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let around = rustix::fs::openat(directory, "..", flags, Mode::empty()).context(what)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(around, neighbour, flags, Mode::empty(), resolve).context(what)
}

/// The path of an earlier dump, as seen from the directory that both are in.
pub(crate) fn neighbour(parent: &Path) -> Result<&Path> {
    parent.strip_prefix("..").map_err(|_| {
        Error::invalid("it must lead to a neighbour of the images' directory, as ../name does")
    })
}

/// Refuses a directory that holds anything but plain files and the link.
fn check_files(directory: &OwnedFd) -> Result<()> {
    let what = || "look at the images";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = rustix::fs::openat(directory, ".", flags, Mode::empty()).context(what)?;
    for entry in Dir::read_from(listing).context(what)? {
        let entry = entry.context(what)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || name.to_bytes() == PARENT.as_bytes() {
            continue;
        }
        let stat = statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).context(what)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(Error::invalid(format!("{name:?} is no plain file, as all images are")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn images() -> tempfile::TempDir {
        let around = tempfile::tempdir().unwrap();
        for name in ["first", "second"] {
            std::fs::create_dir(around.path().join(name)).unwrap();
            std::fs::write(around.path().join(name).join("pages-1.img"), "x").unwrap();
        }
        around
    }

    fn open(around: &tempfile::TempDir, earlier: Earlier) -> Result<Directory> {
        Directory::open(&around.path().join("second"), earlier)
    }

    #[test]
    fn no_link_is_read_or_written_through() {
        let around = images();
        let victim = around.path().join("victim");
        std::fs::write(&victim, "secret").unwrap();
        for name in ["descriptors.json", "restore.log"] {
            symlink(&victim, around.path().join("second").join(name)).unwrap();
        }
        let directory = open(&around, Earlier::There).unwrap();
        assert!(directory.read("descriptors.json", 100).is_err());
        assert!(directory.write("descriptors.json", b"new").is_err());
        // What criu itself does.
        let path = format!("/proc/self/fd/{}/restore.log", directory.number());
        assert_eq!(std::fs::write(path, "log").unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "secret");
        assert_eq!(directory.read("pages-1.img", 1).unwrap(), b"x");
        assert!(directory.read("pages-1.img", 0).is_err());
    }

    #[test]
    fn an_earlier_dump_is_a_neighbour_with_plain_files() {
        let link = |target: &str| {
            let around = images();
            symlink(target, around.path().join("second/parent")).unwrap();
            around
        };
        assert!(open(&link("../first"), Earlier::There).is_ok());
        assert!(open(&link("../first"), Earlier::None).is_ok());
        for bad in ["/etc", "../../etc", "../missing", "first", "..", "../second"] {
            assert!(open(&link(bad), Earlier::There).is_err(), "{bad}");
        }
        let around = link("../first");
        symlink("/etc/passwd", around.path().join("first/pages-2.img")).unwrap();
        let error = open(&around, Earlier::There).unwrap_err();
        assert!(error.to_string().contains("no plain file"), "{error}");
    }

    #[test]
    fn a_pipe_does_not_hold_us_up() {
        let around = images();
        let pipe = around.path().join("second/descriptors.json");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let directory = open(&around, Earlier::None).unwrap();
        assert!(directory.read("descriptors.json", 100).is_err());
    }
}
