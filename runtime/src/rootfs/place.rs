//! Finding and making places below the container's root, by descriptor only.
//!
//! The image and running containers that share a volume may change any path at any time, so no
//! path is looked at and then used: whatever is found is held open and used through that.

use crate::error::{Context, Error, Kind, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How many symbolic links a path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// The root of a tree that no lookup leaves.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Takes the open directory as root.
    pub(crate) fn new(fd: OwnedFd) -> Root {
        Root(fd)
    }

    /// Opens what is at `path`, as a place only: it can be mounted on and looked at, not read.
    /// `None` if there is nothing.
    pub(crate) fn find(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.open(path, OFlags::PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(Error::system(format!("open {}", path.display()), errno)),
        }
    }

    /// Opens `path` with `flags`; every link on the way is resolved inside the root.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // A rename elsewhere during a walk through ".." makes the kernel give up; it is repeated.
        for _ in 0..128 {
            match openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory at `path`; what is missing of it is made, with permissions `mode`.
    pub(crate) fn make_dir(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::system(format!("open {}", path.display()), errno)),
        }
        let mut walk = Walk::new(self, path)?;
        while let Some(name) = walk.next_name()? {
            walk.enter(&name, mode).context(|| format!("mkdir {}", path.display()))?;
        }
        Ok(walk.end())
    }

    /// The same, but what is at `path` must be a directory itself and no link to one: it is looked
    /// at and held in one step, so it cannot become a link in between. `None` if it is something
    /// else.
    pub(crate) fn make_plain_dir(&self, path: &Path, mode: u32) -> Result<Option<OwnedFd>> {
        let what = || format!("mkdir {}", path.display());
        let (parent, name) = self.make_parent(path)?;
        let fd = match open_here(&parent, &name) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::system(what(), errno)),
                }
                open_here(&parent, &name)
            }
            other => other,
        }
        .context(what)?;
        Ok((file_type(&fd).context(what)? == FileType::Directory).then_some(fd))
    }

    /// Opens the file at `path`; if it is missing, an empty one is made, with its directories. Where
    /// the path ends in a link to nothing, that is where the file is made, inside the root as all.
    pub(crate) fn make_file(&self, path: &Path) -> Result<OwnedFd> {
        let what = || format!("create {}", path.display());
        let mut walk = Walk::new(self, path)?;
        while let Some(name) = walk.next_name()? {
            if !walk.ahead.is_empty() {
                walk.enter(&name, 0o755).context(what)?;
            } else if let Some(file) = walk.file(&name).context(what)? {
                return Ok(file);
            }
        }
        Err(Error::system(what(), Errno::ISDIR))
    }

    /// Opens the directory that `path` lies in, making it if need be, and gives the last name.
    pub(crate) fn make_parent(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::invalid(format!("{} has no file name", path.display())))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.make_dir(parent, 0o755)?, name.to_owned()))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens `name` in `directory` as a place, without following a link.
pub(crate) fn open_here(directory: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Makes an empty file `name` in `directory` and opens it as a place. What is there already serves
/// too, but for a link; it is not opened, since opening a pipe waits and a device may act.
pub(crate) fn make_here(
    directory: impl AsFd,
    name: &OsStr,
    mode: u32,
) -> rustix::io::Result<OwnedFd> {
    let file = touch(directory, name, mode)?;
    match file_type(&file)? {
        FileType::Symlink => Err(Errno::LOOP),
        _ => Ok(file),
    }
}

/// The same for whatever is there, links included.
fn touch(directory: impl AsFd, name: &OsStr, mode: u32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&directory, name, flags, Mode::from_raw_mode(mode)) {
        Ok(_) | Err(Errno::EXIST) => open_here(&directory, name),
        Err(errno) => Err(errno),
    }
}

/// A walk down a path, one name at a time. The directories passed are kept, so that `..` goes back
/// to where the walk came from and never above the root.
struct Walk {
    passed: Vec<OwnedFd>,
    ahead: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(root: &Root, path: &Path) -> Result<Walk> {
        let start = root.0.try_clone().context(|| "hold the root")?;
        Ok(Walk { passed: vec![start], ahead: names(path.as_os_str()).collect(), links: 0 })
    }

    /// The next name that is not a step in place or back.
    fn next_name(&mut self) -> Result<Option<OsString>> {
        while let Some(name) = self.ahead.pop_front() {
            match name.as_bytes() {
                b"." => {}
                b".." => {
                    if self.passed.len() > 1 {
                        self.passed.pop();
                    }
                }
                _ => return Ok(Some(name)),
            }
        }
        Ok(None)
    }

    /// Goes down to `name`, along a link if it is one; makes it, with permissions `mode`, if it is
    /// not there.
    fn enter(&mut self, name: &OsStr, mode: u32) -> Result<()> {
        let here = self.here()?;
        let fd = match open_here(here, name) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::system(name.display(), errno)),
                }
                open_here(here, name)
            }
            other => other,
        }
        .map_err(|errno| Error::system(name.display(), errno))?;
        match file_type(&fd).context(|| name.display().to_string())? {
            FileType::Directory => {
                self.passed.push(fd);
                Ok(())
            }
            FileType::Symlink => self.follow(&fd, name),
            _ => Err(Error::system(name.display(), Errno::NOTDIR)),
        }
    }

    /// The file `name`, which is made if it is not there; `None` if it is a link, which then is
    /// followed.
    fn file(&mut self, name: &OsStr) -> Result<Option<OwnedFd>> {
        let what = || name.display().to_string();
        let file = touch(self.here()?, name, 0o644).context(what)?;
        match file_type(&file).context(what)? {
            FileType::Symlink => self.follow(&file, name).map(|()| None),
            _ => Ok(Some(file)),
        }
    }

    /// Puts the link's target ahead of what is left of the path.
    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Error::system(name.display(), Errno::LOOP));
        }
        let target =
            rustix::fs::readlinkat(link, c"", Vec::new()).context(|| name.display().to_string())?;
        let target = OsString::from_vec(target.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            self.passed.truncate(1);
        }
        for name in names(&target).rev() {
            self.ahead.push_front(name);
        }
        Ok(())
    }

    fn here(&self) -> Result<BorrowedFd<'_>> {
        self.passed
            .last()
            .map(AsFd::as_fd)
            .ok_or_else(|| Error::new(Kind::System, "the walk has left its root"))
    }

    fn end(mut self) -> OwnedFd {
        // The root is always there, and is never taken out before.
        self.passed.swap_remove(self.passed.len() - 1)
    }
}

fn names(path: &OsStr) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .map(|name| OsStr::from_bytes(name).to_owned())
}

/// What kind of file is held open.
pub(crate) fn file_type(fd: impl AsFd) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// Whether two descriptors stand for the same file.
pub(crate) fn is_same_file(one: impl AsFd, other: impl AsFd) -> rustix::io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Removes the file or link `name` in `directory`, if it is there.
pub(crate) fn remove_here(directory: impl AsFd, name: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/real")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = rustix::fs::open(dir.path().join("root"), flags, Mode::empty()).unwrap();
        (dir, Root::new(fd))
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let (dir, root) = tree();
        symlink("/../../real", dir.path().join("root/absolute")).unwrap();
        symlink("../../../../new/deep", dir.path().join("root/real/dangling")).unwrap();
        root.make_dir(Path::new("/absolute/a/../b"), 0o755).unwrap();
        root.make_dir(Path::new("real/dangling/x"), 0o755).unwrap();
        root.make_file(Path::new("/../../etc/motd")).unwrap();
        for made in ["real/b", "new/deep/x", "etc/motd"] {
            assert!(dir.path().join("root").join(made).exists(), "{made}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_in_the_way_and_a_loop_are_errors() {
        let (dir, root) = tree();
        std::fs::write(dir.path().join("root/file"), "").unwrap();
        symlink("two", dir.path().join("root/one")).unwrap();
        symlink("one", dir.path().join("root/two")).unwrap();
        let error = root.make_dir(Path::new("/file/x"), 0o755).unwrap_err();
        assert!(error.to_string().ends_with("not a directory"), "{error}");
        assert!(root.make_dir(Path::new("/one/x"), 0o755).is_err());
    }

    #[test]
    fn a_plain_directory_is_no_link_to_one() {
        let (dir, root) = tree();
        symlink("real", dir.path().join("root/link")).unwrap();
        symlink("nowhere", dir.path().join("root/dangling")).unwrap();
        std::fs::write(dir.path().join("root/file"), "").unwrap();
        for other in ["/link", "/dangling", "/file"] {
            assert!(root.make_plain_dir(Path::new(other), 0o755).unwrap().is_none(), "{other}");
        }
        for plain in ["/real", "/new", "/link/below"] {
            assert!(root.make_plain_dir(Path::new(plain), 0o755).unwrap().is_some(), "{plain}");
        }
        assert!(dir.path().join("root/real/below").is_dir());
        assert!(root.make_plain_dir(Path::new("/"), 0o755).is_err());
    }

    #[test]
    fn a_pipe_serves_as_a_place_without_being_opened() {
        let (dir, root) = tree();
        let pipe = dir.path().join("root/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let place = root.make_file(Path::new("/pipe")).unwrap();
        assert_eq!(file_type(&place).unwrap(), FileType::Fifo);
    }

    #[test]
    fn a_link_as_last_name_leads_nowhere_outside() {
        let (dir, root) = tree();
        symlink("/outside/victim", dir.path().join("root/link")).unwrap();
        let (parent, name) = root.make_parent(Path::new("/link")).unwrap();
        let fd = open_here(&parent, &name).unwrap();
        assert_eq!(file_type(&fd).unwrap(), FileType::Symlink);
        assert_eq!(make_here(&parent, &name, 0o644).unwrap_err(), Errno::LOOP);
        root.make_file(Path::new("/link")).unwrap();
        assert!(!dir.path().join("outside/victim").exists());
        assert!(dir.path().join("root/outside/victim").is_file());
        for (name, target) in [("self", "self"), ("up", "real/.."), ("dir", "real")] {
            symlink(target, dir.path().join("root").join(name)).unwrap();
        }
        assert!(root.make_file(Path::new("/self")).is_err());
        assert!(root.make_file(Path::new("/up")).is_err(), "a directory is no file");
        assert_eq!(
            file_type(root.make_file(Path::new("/dir")).unwrap()).unwrap(),
            FileType::Directory,
            "what is there is for the kernel to judge"
        );
    }
}
