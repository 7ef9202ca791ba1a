//! Taking a directory away with all that is in it, by descriptor and to any depth.
//!
//! What a container writes may be nested deeper than a process has descriptors or stack: beyond a
//! fixed depth, a directory is first moved up to the top of what is deleted. A file system that takes
//! its time for each file takes it for several at once: of a tree with many directories, some are
//! emptied side by side.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RawDir, RenameFlags, SeekFrom};
use rustix::io::Errno;

use crate::threads;

/// How deep directories are entered.
const DEEPEST: usize = 48;

/// Directories that are emptied side by side.
const THREADS: usize = 8;
/// As many directories are looked for to begin with; with far fewer, it isn't worth a thread.
const PARTS: usize = 128;
/// Directories that are held open at most for that.
const MOST_PARTS: usize = 1024;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Deletes whatever is at `path`; it is no error if nothing is.
pub(crate) fn anything(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => tree(path),
        outcome => outcome,
    }
}

/// Deletes the directory `path`, which nobody else uses; it is no error if it isn't there.
pub(crate) fn tree(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
        Ok(top) => side_by_side(&parts(top)),
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    tree_at(CWD, path.as_os_str().as_bytes())
}

/// Directories in `top` that have nothing to do with one another. What can't be looked into is left
/// out: whoever deletes the rest finds out why.
fn parts(top: OwnedFd) -> Vec<OwnedFd> {
    let mut parts = VecDeque::from([top]);
    let mut leaves = Vec::new();
    while parts.len() + leaves.len() < PARTS
        && let Some(directory) = parts.pop_front()
    {
        let before = parts.len();
        for entry in Dir::read_from(&directory).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name();
            if entry.file_type() == FileType::Directory
                && !matches!(name.to_bytes(), b"." | b"..")
                && let Ok(child) = rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty())
            {
                parts.push_back(child);
            }
            if parts.len() + leaves.len() == MOST_PARTS {
                break;
            }
        }
        if parts.len() == before {
            leaves.push(directory);
        }
    }
    leaves.extend(parts);
    leaves
}

/// Empties these directories as far as that goes.
fn side_by_side(parts: &[OwnedFd]) {
    if parts.len() < THREADS {
        return;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let _ = empty(part.as_fd());
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS {
            // Where there can't be as many, the others do it.
            let _ = threads::start(scope, "delete", work);
        }
        work();
    });
}

/// Deletes the directory `name` in `parent`; it is no error if it isn't there.
pub(crate) fn tree_at(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let top = match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    empty(top.as_fd())?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Deletes all that is in the directory `top`.
fn empty(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut deletion = Deletion { top, moved: 0 };
    // What was moved to the top may be listed or not: go on until nothing moves any more.
    loop {
        let before = deletion.moved;
        rustix::fs::seek(top, SeekFrom::Start(0))?;
        deletion.empty(top, 0)?;
        if deletion.moved == before {
            return Ok(());
        }
    }
}

struct Deletion<'a> {
    top: BorrowedFd<'a>,
    moved: u64,
}

impl Deletion<'_> {
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(16 << 10);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if entry.file_type() != FileType::Directory {
                match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    // A file system that doesn't tell types in its listings.
                    Err(Errno::ISDIR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            if depth == DEEPEST {
                self.move_up(directory, name)?;
                continue;
            }
            let child = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())?;
            self.empty(child.as_fd(), depth + 1)?;
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    fn move_up(&mut self, directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let unique = format!(".deep-{}", self.moved);
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, name, self.top, unique, flags) {
                Err(Errno::EXIST) => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_directories_are_emptied_side_by_side() {
        let directory = tempfile::tempdir().unwrap();
        let doomed = directory.path().join("doomed");
        for number in 0..3 * PARTS {
            let deep = doomed.join(format!("{}/{number}/deep/er", number % 7));
            std::fs::create_dir_all(&deep).unwrap();
            std::fs::write(deep.join("file"), "x").unwrap();
            std::fs::write(doomed.join(format!("{}/{number}/file", number % 7)), "x").unwrap();
        }
        assert!(parts(std::fs::File::open(&doomed).unwrap().into()).len() >= PARTS);
        tree(&doomed).unwrap();
        assert!(!doomed.exists());
    }

    #[test]
    fn links_are_not_followed_and_depth_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let doomed = directory.path().join("doomed");
        std::fs::create_dir(&doomed).unwrap();
        std::os::unix::fs::symlink(&kept, doomed.join("link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here = rustix::fs::openat(CWD, &doomed, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, ".deep-1", Mode::RWXU).unwrap();
            rustix::fs::symlinkat("/", &here, "root").unwrap();
            here = rustix::fs::openat(&here, ".deep-1", flags, Mode::empty()).unwrap();
        }
        tree(&doomed).unwrap();
        assert!(!doomed.exists());
        assert!(kept.join("file").exists());
        tree(&doomed).unwrap();
    }
}
