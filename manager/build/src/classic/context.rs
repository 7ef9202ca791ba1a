//! The context that a request brings: an archive, unpacked where no name in it leads out, and the
//! Dockerfile in it.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tare_core::engine::Engine;
use tare_core::snapshot::Devices;
use tare_dockerfile::ignore::{self, Matcher};
use tokio::io::AsyncRead;

use super::asked::DOCKERFILE;
use super::scratch::Scratch;
use crate::error::{Error, Result};
use crate::tree::Tree;

/// The file that says what is no part of a context.
const IGNORE_FILE: &str = ".dockerignore";
/// The most bytes of a Dockerfile.
const MOST_TEXT: u64 = 16 << 20;

/// A context that has come, and the Dockerfile in it.
#[derive(Debug)]
pub(super) struct Context {
    /// Its files.
    pub(super) tree: Tree,
    /// The path of the Dockerfile.
    pub(super) path: String,
    /// Its text.
    pub(super) text: Vec<u8>,
}

impl Context {
    /// A directory with the Dockerfile alone: it may be left out of the context.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn dockerfile(&self, engine: &Engine) -> Result<Tree> {
        let scratch = Scratch::new(&engine.config.data_root)?;
        let path = self.path.trim_start_matches('/');
        scratch.write(path, &self.text)?;
        let root = scratch.open()?;
        Ok(Tree::new(root, scratch))
    }
}

/// Takes in a context.
///
/// # Errors
/// An archive that can't be read, or has no Dockerfile at `path`.
pub(super) async fn receive<R>(engine: &Engine, archive: R, path: &str) -> Result<Context>
where
    R: AsyncRead + Send + Unpin + 'static,
{
    let data_root = engine.config.data_root.clone();
    let scratch = blocking(move || Scratch::new(&data_root)).await?;
    let snapshots = engine.images.snapshots();
    snapshots.unpack_files(archive, scratch.open()?, Devices::Refuse).await?;
    let path = path.to_owned();
    blocking(move || read(scratch, &path)).await
}

fn read(scratch: Scratch, path: &str) -> Result<Context> {
    let root = scratch.open()?;
    let lower = path.to_lowercase();
    let found = match text(&root, path)? {
        None if path == DOCKERFILE => text(&root, &lower)?.map(|text| (lower, text)),
        found => found.map(|text| (path.to_owned(), text)),
    };
    let Some((path, text)) = found else {
        return Err(Error::system(format!("Cannot locate specified Dockerfile: {path}")));
    };
    if text.is_empty() {
        return Err(Error::invalid(format!("the Dockerfile ({path}) cannot be empty")));
    }
    leave_out(&root, &path)?;
    Ok(Context { tree: Tree::new(root, scratch), path, text })
}

/// The text of a file in the context, if it is there.
fn text(root: &OwnedFd, path: &str) -> Result<Option<Vec<u8>>> {
    let failed =
        |error: std::io::Error| Error::io(format_args!("read {path} of the context"), error);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(root, path, flags, Mode::empty(), within) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(failed(errno.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Error::invalid(format!("{path} of the context is no file")));
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file).take(MOST_TEXT + 1).read_to_end(&mut text);
    if read.map_err(failed)? as u64 > MOST_TEXT {
        return Err(Error::invalid(format!("{path} has more than {MOST_TEXT} bytes")));
    }
    Ok(Some(text))
}

/// Clients send the Dockerfile and the list of what is left out even if that says that they are left
/// out themselves.
fn leave_out(root: &OwnedFd, dockerfile: &str) -> Result<()> {
    let Some(list) = text(root, IGNORE_FILE)? else { return Ok(()) };
    let wrong = |error: tare_dockerfile::Error| Error::invalid(error.to_string());
    let ignored = Matcher::new(ignore::patterns(&list).map_err(wrong)?).map_err(wrong)?;
    for path in [IGNORE_FILE, dockerfile] {
        if ignored.ignores(path.trim_start_matches('/')) {
            remove(root, path)?;
        }
    }
    Ok(())
}

fn remove(root: &OwnedFd, path: &str) -> Result<()> {
    let path = path.trim_matches('/');
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let removed = rustix::fs::openat2(root, directory, flags, Mode::empty(), within)
        .and_then(|directory| rustix::fs::unlinkat(directory.as_fd(), name, AtFlags::empty()));
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::io(format_args!("leave {path} out"), errno.into())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let died = |error| Error::system(format!("the work on a context died: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(died)?
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is read of a context with these files.
    fn context(files: &[(&str, &str)], path: &str) -> Result<Context> {
        context_in(tempfile::tempdir().unwrap().path(), files, path)
    }

    fn context_in(root: &Path, files: &[(&str, &str)], path: &str) -> Result<Context> {
        let scratch = Scratch::new(root).unwrap();
        let directory = scratch.open().unwrap();
        for (name, content) in files {
            let flags = OFlags::CREATE | OFlags::WRONLY;
            let file = rustix::fs::openat(&directory, *name, flags, Mode::RUSR).unwrap();
            rustix::io::write(file, content.as_bytes()).unwrap();
        }
        rustix::fs::symlinkat("/Dockerfile", &directory, "absolute").unwrap();
        rustix::fs::symlinkat("../../../../../../etc/passwd", &directory, "outside").unwrap();
        read(scratch, path)
    }

    #[test]
    fn the_dockerfile_is_found_inside_alone() {
        let found = context(&[("Dockerfile", "FROM x")], "Dockerfile").unwrap();
        assert_eq!((found.path.as_str(), found.text.as_slice()), ("Dockerfile", &b"FROM x"[..]));
        assert_eq!(context(&[("dockerfile", "FROM y")], "Dockerfile").unwrap().path, "dockerfile");
        assert_eq!(context(&[("Dockerfile", "FROM z")], "absolute").unwrap().text, b"FROM z");
        let missing = |path| context(&[], path).unwrap_err().message;
        assert_eq!(missing("Dockerfile"), "Cannot locate specified Dockerfile: Dockerfile");
        assert_eq!(missing("outside"), "Cannot locate specified Dockerfile: outside");
        let empty = context(&[("Dockerfile", "")], "Dockerfile").unwrap_err().message;
        assert_eq!(empty, "the Dockerfile (Dockerfile) cannot be empty");
    }

    #[test]
    fn what_is_left_out_is_not_in_the_context() {
        let files = [("Dockerfile", "FROM x"), (".dockerignore", "Docker*\n.docker*"), ("a", "")];
        let root = tempfile::tempdir().unwrap();
        let found = context_in(root.path(), &files, "Dockerfile").unwrap();
        let has = |name: &str| {
            rustix::fs::statat(found.tree.root(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        assert!(has("a") && !has("Dockerfile") && !has(".dockerignore"));
    }
}
