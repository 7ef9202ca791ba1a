//! Taking a directory away with all that is in it, by descriptor and to any depth.
//!
//! What a container writes may be nested deeper than a process has descriptors or stack: beyond a
//! fixed depth, a directory is first moved up to the top of what is deleted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, SeekFrom};
use rustix::io::Errno;

/// How deep directories are entered.
const DEEPEST: usize = 48;

/// Deletes the directory `path`; it is no error if it isn't there.
pub(crate) fn tree(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    tree_at(CWD, path.as_os_str().as_bytes())
}

/// Deletes the directory `name` in `parent`; it is no error if it isn't there.
pub(crate) fn tree_at(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut deletion = Deletion { top: top.as_fd(), moved: 0 };
    // What was moved to the top may be listed or not: go on until nothing moves any more.
    loop {
        let before = deletion.moved;
        rustix::fs::seek(&top, SeekFrom::Start(0))?;
        deletion.empty(top.as_fd(), 0)?;
        if deletion.moved == before {
            break;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
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
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = rustix::fs::openat(directory, name, flags, Mode::empty())?;
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
