//! Layers are unpacked in a process of their own, which has next to no rights.
//!
//! A layer is untrusted input, and uncompressing it, reading its archive and making what it says is
//! a lot of code. So `tared` runs itself once more for each layer, as `tared-unpack`. That process
//! gets the compressed stream on a pipe, and on a socket the words of [`words`]. Before it reads the
//! first byte, it fences itself in ([`fence`]): its root is the new snapshot's directory, it keeps a
//! few capabilities, and it can make the system calls that unpacking needs, which are none of the
//! network's and no `execve`. It sees nothing of other snapshots: what a layer needs of those below
//! it, `tared` looks up and tells ([`service`]). What needs more rights than it has, an attribute of
//! overlay's and device nodes, `tared` does for it, in directories that it holds open.
//!
//! It ends with its layer; if `tared` dies, its pipe ends, and it with it.

mod fence;
mod filter;
mod line;
pub(crate) mod privileged;
mod service;
mod words;
mod worker;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::directory::{self, FILES};
use super::driver::DriverName;
use super::lookup::Lookup;
use crate::error::{Error, Result};
use crate::image::Digest;
use crate::image::archive::unreadable;
use crate::image::pipeline::Decoded;
use line::Line;
use service::serve;
pub use worker::run_if_unpacker;

/// How the process is called, by which it knows what it is.
const NAME: &str = "tared-unpack";
/// Bytes that the pipe to the process holds.
const PIPE: usize = 1 << 20;
/// Bytes that go into it at once.
const PIECE: usize = 256 << 10;

/// The program that runs as the process.
#[derive(Debug, Clone)]
pub(crate) struct Unpacker(pub(crate) PathBuf);

/// What is to be unpacked where.
pub(crate) struct Task<'a> {
    pub(crate) driver: DriverName,
    /// The new snapshot's directory.
    pub(crate) into: &'a Path,
    pub(crate) lowers: &'a dyn Lookup,
    /// The digest of the stream, if that is known already; it is not compressed then.
    pub(crate) known: Option<Digest>,
    pub(crate) limits: super::Limits,
}

impl Unpacker {
    /// Unpacks the stream `source`; gives the bytes of the files in the layer.
    ///
    /// # Errors
    /// As [`super::driver::Driver::unpack`]; [`crate::Kind::System`] if the process dies.
    pub(crate) fn unpack(&self, task: &Task<'_>, source: impl Read + Send) -> Result<Decoded<u64>> {
        let files = task.into.join(FILES);
        let given = directory::open(&files)?;
        let (stream, to_stream) = pipe()?;
        let (line, end) = Line::pair()?;
        let mut process = self.start(stream, end)?;
        let failure = Mutex::new(None);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                if let Err(error) = feed(source, to_stream) {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            });
            let outcome = serve(task, &line);
            // Whatever it does now is of no use: if it still reads, the feeding ends with it.
            process.end();
            outcome
        });
        // A stream that ended early is damaged, for the process; here it is known why.
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) if outcome.is_err() => Err(unreadable(error)),
            _ => {
                let done = outcome?.ok_or_else(|| process.died())?;
                is_still(&files, &given)?;
                Ok(done)
            }
        }
    }

    fn start(&self, stream: OwnedFd, line: OwnedFd) -> Result<Process> {
        let child = Command::new(&self.0)
            .arg0(NAME)
            .env_clear()
            .stdin(stream)
            .stdout(line)
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Error::io("start the process that unpacks a layer", error))?;
        Ok(Process { child, status: None })
    }
}

/// The process; it is killed when this is dropped.
struct Process {
    child: Child,
    status: Option<String>,
}

impl Process {
    fn end(&mut self) {
        let _ = self.child.kill();
        self.status = self.child.wait().ok().map(|status| status.to_string());
    }

    fn died(&self) -> Error {
        let status = self.status.as_deref().unwrap_or("unknown");
        Error::system(format!("the process that unpacks the layer died: {status}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.end();
        }
    }
}

/// Whether the directory `path` is the one that was `given` to the process, which has ended: it
/// could have put a link in its place, which would be mounted into containers.
fn is_still(path: &Path, given: &OwnedFd) -> Result<()> {
    let stat = |of: &OwnedFd| {
        let stat = rustix::fs::fstat(of);
        stat.map_err(|errno| Error::io(format_args!("look at {}", path.display()), errno.into()))
    };
    let (now, then) = (stat(&directory::open(path)?)?, stat(given)?);
    if (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino) {
        return Err(Error::system(format!(
            "another directory is in the place of {}",
            path.display()
        )));
    }
    Ok(())
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let failed = |errno: rustix::io::Errno| Error::io("make a pipe", errno.into());
    let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    // Where so much is not allowed, less will do.
    let _ = rustix::pipe::fcntl_setpipe_size(&ends.1, PIPE);
    Ok(ends)
}

/// Writes the whole stream, as far as the process takes it.
fn feed(mut source: impl Read, to: OwnedFd) -> io::Result<()> {
    let mut to = std::fs::File::from(to);
    let mut piece = vec![0; PIECE];
    loop {
        let count = match source.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match to.write_all(&piece[..count]) {
            // It says itself why it takes no more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_must_be_where_it_was_to_be() {
        let snapshot = tempfile::tempdir().unwrap();
        let files = snapshot.path().join(FILES);
        std::fs::create_dir(&files).unwrap();
        let given = directory::open(&files).unwrap();
        is_still(&files, &given).unwrap();
        std::fs::rename(&files, snapshot.path().join("aside")).unwrap();
        std::os::unix::fs::symlink("/", &files).unwrap();
        is_still(&files, &given).unwrap_err();
        std::fs::remove_file(&files).unwrap();
        std::fs::create_dir(&files).unwrap();
        is_still(&files, &given).unwrap_err();
    }
}
