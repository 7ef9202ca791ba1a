//! The pipes of a process without a terminal.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Stdio;

use rustix::fs::{Gid, Uid, fchown};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::OurEnds;
use crate::error::{Context, Error, Result};

/// Who owns the pipes, as a user of the host; the caller where `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Owner {
    /// User.
    pub(crate) uid: Option<u32>,
    /// Group.
    pub(crate) gid: Option<u32>,
}

/// What the runtime gets as its standard streams, to hand on to the process.
pub(crate) struct ChildStdio {
    /// Standard input.
    pub(crate) stdin: Stdio,
    /// Standard output.
    pub(crate) stdout: Stdio,
    /// Standard error.
    pub(crate) stderr: Stdio,
}

impl ChildStdio {
    /// /dev/null three times.
    pub(crate) fn null() -> Self {
        ChildStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() }
    }
}

/// What an output pipe holds: four times what it does by default. The more is read at once, the less
/// each line costs.
pub(super) const CAPACITY: usize = 256 << 10;

/// What becomes of the output when this process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// It is nobody's any more.
    OurOwn,
    /// It stays in the pipe for whoever cleans up after us.
    Salvageable,
}

/// Makes a pipe for each stream that leads anywhere; the others get /dev/null.
pub(super) fn open(
    stdin: bool,
    stdout: bool,
    stderr: bool,
    output: Output,
    owner: Owner,
) -> Result<(ChildStdio, OurEnds)> {
    let mut child = ChildStdio::null();
    let mut ours = OurEnds { stdin: None, stdout: None, stderr: None };
    if stdin {
        let (theirs, writer) = pipe(owner)?;
        child.stdin = Stdio::from(File::from(theirs));
        ours.stdin = Some(non_blocking(writer)?);
    }
    let output_pipe = || {
        let (reader, theirs) = pipe(owner)?;
        let theirs = match output {
            Output::OurOwn => theirs,
            Output::Salvageable => readable_too(&theirs)?,
        };
        Ok::<_, Error>((non_blocking(enlarge(reader))?, Stdio::from(File::from(theirs))))
    };
    if stdout {
        let (reader, theirs) = output_pipe()?;
        child.stdout = theirs;
        ours.stdout = Some(reader);
    }
    if stderr {
        let (reader, theirs) = output_pipe()?;
        child.stderr = theirs;
        ours.stderr = Some(reader);
    }
    Ok((child, ours))
}

fn pipe(owner: Owner) -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe for the process".to_owned())?;
    if owner.uid.is_some() || owner.gid.is_some() {
        let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
        // Both ends are one inode.
        fchown(&reader, uid, gid).context(|| "set the owner of the process's pipe".to_owned())?;
    }
    Ok((reader, writer))
}

/// Where the kernel does not allow it, the pipe stays as it is: that is slower, and no more.
fn enlarge(end: OwnedFd) -> OwnedFd {
    let _ = fcntl_setpipe_size(&end, CAPACITY);
    end
}

/// The same end of a pipe, such that the pipe has a reader as long as it has this writer: the
/// writer isn't killed by SIGPIPE when we die, and what it wrote isn't lost.
pub(super) fn readable_too(writer: &OwnedFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let file = File::options().read(true).write(true).open(&path);
    file.map(OwnedFd::from).context(|| format!("open a pipe's other end at {path}"))
}

/// The process's own end stays in blocking mode, as programs expect: the mode is each end's own.
fn non_blocking(end: OwnedFd) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(end.as_fd(), true)
        .context(|| "set a pipe to non-blocking mode".to_owned())?;
    Ok(end)
}
