//! Keeping this program's own file out of the reach of containers.
//!
//! Between entering a container and executing its program, a process of ours can be made to show
//! its program file there: by an image whose program is `/proc/self/exe`, or to a privileged process
//! that opens `/proc/<pid>/exe`. Who holds that file open for reading can open it again for writing
//! once it is not executed any more, and so change what runs as root on the host next.
//!
//! So the commands that enter containers execute themselves anew from a copy of the file's mount
//! that is read-only. The copy is attached nowhere, and its last descriptor is closed by the
//! execution itself: from then on no call can reach the mount to make it writable again. Where
//! mounts cannot be copied, a sealed copy of the file in memory serves.

use crate::error::{Context, Error, Kind, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use crate::linux::system::executed_name;
use crate::log::{Level, Log};
use crate::rootfs::attach::clone_path;
use crate::rootfs::options::RDONLY;
use nix::fcntl::AtFlags;
use rustix::fs::{
    CWD, MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs,
    memfd_create,
};
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

const OWN_FILE: &str = "/proc/self/exe";

/// Commands that put a process of ours into a container.
const ENTERING: [&str; 3] = ["create", "run", "exec"];

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
    let entering = std::env::args_os().any(|word| ENTERING.iter().any(|name| word == *name));
    if !entering {
        return Ok(Shield::NotNeeded);
    }
    if is_raised()? {
        return Ok(Shield::Raised);
    }
    let protected = match read_only_mount() {
        Ok(mount) => mount,
        Err(_) => sealed_copy().context(|| "protect the runtime's own file")?,
    };
    execute(protected).map(|_: Infallible| Shield::Raised)
}

/// Whether this program runs from a file that [`raise`] has protected.
fn is_raised() -> Result<bool> {
    let what = || format!("look at {OWN_FILE}");
    // The first is how the kernel names a program that was executed by descriptor; the second is
    // how a caller names one that it has protected in the same way, once for many calls.
    let name = executed_name().to_bytes();
    if !name.starts_with(b"/dev/fd/") && !name.starts_with(b"/proc/self/fd/") {
        return Ok(false);
    }
    let own = File::open(OWN_FILE).context(what)?;
    let read_only = fstatvfs(&own).context(what)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    if read_only || fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SEALS)) {
        return Ok(true);
    }
    Err(Error::new(Kind::System, "the runtime was executed by descriptor from a writable file"))
}

fn read_only_mount() -> Result<OwnedFd> {
    let what = || "copy the mount of the runtime's own file";
    let mount = clone_path(CWD, Path::new(OWN_FILE), Depth::One).context(what)?;
    let change = Change { set: RDONLY, ..Change::default() };
    set_attributes(&mount, Depth::One, change).context(what)?;
    Ok(mount)
}

/// Nothing about the copy can be changed, these seals included.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

fn sealed_copy() -> Result<OwnedFd> {
    let what = || "copy the runtime's own file to memory";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create(c"tare", flags).context(what)?);
    let mut own = File::open(OWN_FILE).context(what)?;
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
