//! The pipes of a process without a terminal.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use rustix::fs::{Gid, Uid, fchown};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::OurEnds;
use crate::error::{Context, Result};

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

/// Makes a pipe for each stream that leads anywhere; the others get /dev/null.
pub(super) fn open(
    stdin: bool,
    stdout: bool,
    stderr: bool,
    owner: Owner,
) -> Result<(ChildStdio, OurEnds)> {
    let mut child = ChildStdio::null();
    let mut ours = OurEnds { stdin: None, stdout: None, stderr: None };
    if stdin {
        let (theirs, writer) = pipe(owner)?;
        child.stdin = Stdio::from(File::from(theirs));
        ours.stdin = Some(non_blocking(writer)?);
    }
    if stdout {
        let (reader, theirs) = pipe(owner)?;
        child.stdout = Stdio::from(File::from(theirs));
        ours.stdout = Some(non_blocking(enlarge(reader))?);
    }
    if stderr {
        let (reader, theirs) = pipe(owner)?;
        child.stderr = Stdio::from(File::from(theirs));
        ours.stderr = Some(non_blocking(enlarge(reader))?);
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

/// The process's own end stays in blocking mode, as programs expect: the mode is each end's own.
fn non_blocking(end: OwnedFd) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(end.as_fd(), true)
        .context(|| "set a pipe to non-blocking mode".to_owned())?;
    Ok(end)
}
