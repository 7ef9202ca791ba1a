//! Keeping this program's own file out of the reach of containers.
//!
//! Between entering a container and executing its program, a process of ours can be made to show
//! its program file there: by an image whose program is `/proc/self/exe`, or to a privileged process
//! that opens `/proc/<pid>/exe`. Who holds that file open for reading can open it again for writing
//! once it is not executed any more, and so change what runs as root on the host next.
//!
//! So the commands that enter containers execute the program anew from a copy of the file's mount
//! that is read-only. The copy is attached nowhere, and its last descriptor is closed by the
//! execution itself: from then on no call can reach the mount to make it writable again.
//! [`crate::linux`] does that before all else; where mounts cannot be copied, it is done here, from
//! a sealed copy of the file in memory.

use crate::error::{Context, Error, Result};
use crate::linux::system::executed_name;
use crate::log::{Level, Log};
use nix::fcntl::AtFlags;
use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals,
    fstatvfs, memfd_create,
};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The file that this process runs.
pub(crate) const OWN_FILE: &CStr = c"/proc/self/exe";

/// Commands that put a process of ours into a container, as words that end with a zero byte.
pub(crate) const ENTERING: [&[u8]; 4] = [b"create\0", b"run\0", b"exec\0", b"restore\0"];

/// How the name begins by which a program is executed by descriptor: the first as the kernel calls
/// it, the second as a caller does that has protected the file in the same way, once for many calls.
pub(crate) const BY_DESCRIPTOR: [&[u8]; 2] = [b"/dev/fd/", b"/proc/self/fd/"];

/// Whether this program runs from a file that is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shield {
    /// It does.
    Raised,
    /// It enters no container.
    NotNeeded,
}

impl Shield {
    /// Tells the log, in the words by which runc tells of its own ways to the same end.
    pub(crate) fn tell(self, log: &Log) {
        if self == Shield::Raised {
            log.write(
                Level::Debug,
                "the runtime's file is protected by a read-only mount or sealed memory, where runc \
                 has \"runc exeseal: using /proc/self/exe clone\" and \"runc exeseal: using \
                 overlayfs for sealed /proc/self/exe\"",
            );
        }
    }
}

/// Executes this program anew from a protected file, if its command enters a container and it does
/// not run from one yet. The word is looked for in the bare command line, so that it is parsed only
/// once; one too many does no harm.
pub(crate) fn raise() -> Result<Shield> {
    if !std::env::args_os().skip(1).any(|word| is_entering(&word)) {
        return Ok(Shield::NotNeeded);
    }
    if is_raised()? {
        return Ok(Shield::Raised);
    }
    let protected = sealed_copy().context(|| "protect the runtime's own file")?;
    execute(protected).map(|_: Infallible| Shield::Raised)
}

fn is_entering(word: &OsStr) -> bool {
    ENTERING.iter().any(|name| name.strip_suffix(b"\0") == Some(word.as_bytes()))
}

/// Whether this program runs from a protected file.
fn is_raised() -> Result<bool> {
    let what = || "look at the runtime's own file";
    let name = executed_name().to_bytes();
    if !BY_DESCRIPTOR.iter().any(|start| name.starts_with(start)) {
        return Ok(false);
    }
    let own = open_own().context(what)?;
    let read_only = fstatvfs(&own).context(what)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(read_only || fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SEALS)))
}

fn open_own() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(OWN_FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Nothing about the copy can be changed, these seals included.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

fn sealed_copy() -> Result<OwnedFd> {
    let what = || "copy the runtime's own file to memory";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create(c"tare", flags).context(what)?);
    let mut own = File::from(open_own().context(what)?);
    std::io::copy(&mut own, &mut copy).context(what)?;
    fcntl_add_seals(&copy, SEALS).context(what)?;
    Ok(copy.into())
}

fn execute(file: OwnedFd) -> Result<Infallible> {
    let c_string = |text: Vec<u8>| CString::new(text).unwrap_or_default();
    let args: Vec<CString> = std::env::args_os().map(|arg| c_string(arg.into_vec())).collect();
    let env: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| c_string([name, value].join(OsStr::new("=")).into_vec()))
        .collect();
    let Err(errno) = nix::unistd::execveat(&file, c"", &args, &env, AtFlags::AT_EMPTY_PATH);
    Err(Error::system("execute the runtime's protected file", errno))
}
