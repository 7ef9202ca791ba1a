//! Small files of a context: Dockerfiles, and what says what is left out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::tree::Tree;

/// The longest file that is read.
const LONGEST: u64 = 16 << 20;

/// Opens what is at `path` below the root of a tree, as a place or to be read.
pub(super) fn open(tree: &Tree, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let path = match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    };
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(tree.root(), path, flags, Mode::empty(), within)?)
}

/// The bytes of a file; none: there is no such file.
pub(super) async fn read(tree: &Tree, path: &str) -> Result<Option<Vec<u8>>> {
    let (tree, path) = (tree.clone(), path.to_owned());
    let read = move || match read_now(&tree, &path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            _ => Err(Error::io(format!("open {path}"), error)),
        },
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| Error::system(format!("read a file: {error}")))?
}

fn read_now(tree: &Tree, path: &str) -> io::Result<Vec<u8>> {
    let file = File::from(open(tree, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_outside_is_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/file", root.path().join("own")).unwrap();
        let tree = Tree::new(File::open(root.path()).unwrap().into(), ());
        assert_eq!(read(&tree, "/file").await.unwrap().unwrap(), b"text");
        assert_eq!(read(&tree, "own").await.unwrap().unwrap(), b"text");
        for missing in ["link", "../file2", "file/x"] {
            assert_eq!(read(&tree, missing).await.unwrap(), None, "{missing}");
        }
        assert!(read(&tree, "/").await.is_err());
    }
}
