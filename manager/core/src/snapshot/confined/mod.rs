//! Layers are uncompressed and unpacked in processes of their own, which have next to no rights.
//!
//! A layer is untrusted input, and uncompressing it, reading its archive and making what it says is
//! a lot of code. So `tared` runs itself twice more for each layer:
//!
//!     compressed ─pipe─> tared-uncompress ─pipe─> tared ─pipe─> tared-unpack ─> snapshots/N/fs
//!                                               (hashes)            ^
//!                                                 tared <──socket───┘
//!
//! `tared-uncompress` has two pipes and can do nothing but read the one and write the other
//! ([`inflate`]). What comes out, `tared` passes on and hashes ([`stream`]): what a layer's digest is
//! does not depend on what those two say who read it.
//!
//! `tared-unpack` sees one directory, its root, through a mount without devices
//! ([`super::shielded`]); it keeps a few capabilities, and it can make the system calls that unpacking
//! needs, which are none of the network's and no `execve` ([`fence`], [`filter`]). It sees nothing of
//! other snapshots: what a layer needs of those below it, `tared` looks up and tells ([`service`], in
//! the words of [`words`]). What needs more rights than it has, an attribute of overlay's and device
//! nodes, `tared` does for it, in directories that it holds open.
//!
//! Both end with their layer; if `tared` dies, so do they.

mod fence;
mod filter;
mod inflate;
mod line;
pub(crate) mod privileged;
mod process;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod words;
mod worker;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use super::Limits;
use super::lookup::Lookup;
use super::shielded::{Access, shielded};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::Digest;
use crate::image::archive::unreadable;
use crate::image::compression::Compression;
use crate::image::pipeline::Decoded;
use crate::threads;
use inflate::Inflating;
pub(crate) use inflate::Uncompressed;
use line::Line;
use process::{Process, Role};
use service::serve;
use stream::Passed;
pub use words::Devices;
pub(crate) use words::Kind;

/// Bytes that a pipe to or from a process holds.
const PIPE: usize = 1 << 20;
/// Bytes that go into it at once.
const PIECE: usize = 256 << 10;

/// The program that runs as these processes.
#[derive(Debug, Clone)]
pub(crate) struct Unpacker(pub(crate) PathBuf);

/// What is to be unpacked where.
pub(crate) struct Task<'a> {
    pub(crate) kind: Kind,
    /// The empty directory of the new snapshot, or of the new volume.
    pub(crate) files: &'a OwnedFd,
    pub(crate) lowers: &'a dyn Lookup,
    /// The digest of the stream, if that is known already; it is not compressed then.
    pub(crate) known: Option<Digest>,
    pub(crate) limits: Limits,
    pub(crate) given_up: &'a GivenUp,
}

/// If this process was started to be one of those, does that, and says how to end; a program that
/// layers are unpacked by asks for this before all else.
pub fn run_if_unpacker() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let role = Role::of(&arguments.next()?)?;
    fence::close_inherited();
    let done = match role {
        Role::Uncompress => inflate::run(arguments.next().as_deref()),
        Role::Unpack => worker::run(),
    };
    // Whom there is to tell was told.
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Unpacker {
    /// Unpacks the stream `source`; gives the bytes of the files in the layer.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is no layer, or a damaged one; [`crate::Kind::Exhausted`] for
    /// a full disk; [`crate::Kind::System`] if a process dies, or if it was given up.
    pub(crate) fn unpack(&self, task: &Task<'_>, source: impl Read + Send) -> Result<Decoded<u64>> {
        let root = shielded(task.files.as_fd(), Access::Write)?;
        let (stream, to_stream) = pipe()?;
        let (line, end) = Line::pair()?;
        let mut process = Process::start(&self.0, Role::Unpack, None, stream, end)?;
        let (passed, outcome) = thread::scope(|scope| {
            let passing = threads::start(scope, "layer", || self.pass(task, source, to_stream))?;
            let outcome = serve(task, root, &line);
            // Whatever it does now is of no use: if it still reads, the passing ends with it.
            process.end();
            Ok::<_, Error>((threads::join(passing)?, outcome))
        })?;
        let compression = match passed {
            // A stream that ends early is damaged, for the process; here it is known why.
            Err(error) => return Err(error),
            Ok((Passed::Whole(digest), compression)) => Some((digest, compression)),
            Ok((Passed::Refused, _)) => None,
        };
        let size = outcome?.ok_or_else(|| process.died())?;
        let (digest, compression) = compression
            .ok_or_else(|| Error::system("the process that unpacks has not read all of it"))?;
        Ok(Decoded { outcome: size, digest, compression })
    }

    /// The content of the compressed stream `source`.
    pub(crate) fn uncompressed(
        &self,
        source: impl BufRead + Send + 'static,
        compression: Compression,
        limits: &Limits,
        given_up: &GivenUp,
    ) -> Result<Uncompressed> {
        Uncompressed::start(&self.0, source, compression, limits, given_up)
    }

    /// Passes the stream `source` on, uncompressed.
    fn pass(
        &self,
        task: &Task<'_>,
        source: impl Read + Send,
        to: OwnedFd,
    ) -> Result<(Passed, Compression)> {
        let mut source = BufReader::with_capacity(PIECE, source);
        let compression = match task.known {
            Some(_) => Compression::None,
            None => Compression::detect(source.fill_buf().map_err(unreadable)?)?,
        };
        let passed = match compression {
            Compression::None => stream::pass(source, task.known, task.limits, to)?,
            _ => self.pass_uncompressed(task, source, compression, &to)?,
        };
        Ok((passed, compression))
    }

    fn pass_uncompressed(
        &self,
        task: &Task<'_>,
        source: impl BufRead + Send,
        compression: Compression,
        to: &OwnedFd,
    ) -> Result<Passed> {
        let Inflating { mut process, to_it, from_it } =
            Inflating::start(&self.0, compression, &task.limits)?;
        let (fed, passed) = thread::scope(|scope| {
            let feeding = threads::start(scope, "blob", || stream::feed(source, to_it))?;
            let passed = stream::pass_on(&from_it, to, task.limits);
            if !matches!(passed, Ok(Passed::Whole(_))) {
                process.end();
            }
            Ok::<_, Error>((threads::join(feeding)?, passed))
        })?;
        // Whatever came of it after that, this was first.
        fed.map_err(unreadable)?;
        let passed = passed?;
        if let Passed::Whole(_) = passed {
            process.last_word().map_err(unreadable)?;
        }
        Ok(passed)
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let failed = |errno: rustix::io::Errno| Error::io("make a pipe", errno.into());
    let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    // Where so much is not allowed, less will do.
    let _ = rustix::pipe::fcntl_setpipe_size(&ends.1, PIPE);
    Ok(ends)
}
