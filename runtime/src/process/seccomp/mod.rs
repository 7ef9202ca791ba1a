//! The filter of system calls of a container's process.
//!
//! The parent compiles the profile of `config.json` into a program of classic BPF, which the child
//! installs as its last act before the container's own program starts. Compiling takes some
//! milliseconds and gives the same result for the same profile, so results are kept in files.

mod cache;
mod enosys;
mod filter;
mod listener;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

use crate::error::{Error, Result};
use crate::linux::bpf::seccomp::{self as bpf, Instruction};

pub(crate) use listener::{FD_NAME, hand_over};

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

/// Compiles `profile`.
///
/// # Errors
/// The profile contradicts itself, or asks for something that this libseccomp cannot express.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Program> {
    check(profile)?;
    let mut instructions = enosys::prelude(profile);
    instructions.extend(filter::build(profile)?);
    if instructions.len() > LONGEST {
        return Err(Error::invalid(format!(
            "seccomp: the profile becomes {} instructions, the kernel takes {LONGEST}: use fewer \
             argument rules",
            instructions.len()
        )));
    }
    Ok(Program { instructions, flags: flags(profile) })
}

/// Compiles `profile`, or takes the result of an earlier time from `directory`. The directory is
/// made if it is missing; one that others could write to is not used.
///
/// # Errors
/// Those of [`compile`]. Trouble with the files is none.
pub(crate) fn compile_cached(profile: &LinuxSeccomp, directory: &Path) -> Result<Program> {
    let Some(cache) = cache::Cache::open(directory, profile) else { return compile(profile) };
    if let Some(program) = cache.load() {
        return Ok(program);
    }
    let program = compile(profile)?;
    cache.store(&program);
    Ok(program)
}

impl Program {
    /// Puts the filter in force for the calling thread and what it executes. Returns the descriptor
    /// for the supervisor if the profile asks one ([`asks_supervisor`](Program::asks_supervisor)).
    ///
    /// # Errors
    /// seccomp(2)'s: `EACCES` without `CAP_SYS_ADMIN` or `no_new_privs`, `EINVAL` for a flag that
    /// this kernel does not have.
    pub(crate) fn install(&self) -> std::io::Result<Option<OwnedFd>> {
        bpf::install(&self.instructions, self.flags)
    }

    /// The flags with which it is installed, as seccomp(2) counts them.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether [`install`](Program::install) gives a descriptor.
    pub(crate) fn asks_supervisor(&self) -> bool {
        self.flags & bpf::FLAG_NEW_LISTENER != 0
    }
}

/// Refuses what the specification forbids, and what would stop the runtime itself.
fn check(profile: &LinuxSeccomp) -> Result<()> {
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(Error::invalid("seccomp: SCMP_ACT_NOTIFY cannot be used as default action"));
    }
    for rule in rules.iter().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify) {
        // The process tells the runtime about its supervisor's descriptor with write(2), and the
        // supervisor could not answer before it has that.
        if rule.names().iter().any(|name| name == "write") {
            return Err(Error::invalid(
                "seccomp: SCMP_ACT_NOTIFY cannot be used for the write syscall",
            ));
        }
    }
    let listener = profile.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    if asks(rules) && listener.is_none() {
        return Err(Error::invalid("seccomp: SCMP_ACT_NOTIFY is used but listenerPath is not set"));
    }
    Ok(())
}

fn asks(rules: &[oci_spec::runtime::LinuxSyscall]) -> bool {
    rules.iter().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify)
}

/// The flags of seccomp(2). Without any in the profile, speculation is not slowed down: the
/// kernel's own default since 5.16.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let listener = if asks(profile.syscalls().as_deref().unwrap_or_default()) {
        bpf::FLAG_NEW_LISTENER
    } else {
        0
    };
    let Some(names) = profile.flags() else { return bpf::FLAG_SPEC_ALLOW | listener };
    names.iter().fold(listener, |flags, name| {
        flags
            | match name {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => bpf::FLAG_LOG,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => bpf::FLAG_SPEC_ALLOW,
                // Only a process with a supervisor ever waits for one.
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if listener != 0 => {
                    bpf::FLAG_WAIT_KILLABLE_RECV
                }
                // The filter is installed by a process with one thread.
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv
                | LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            }
    })
}
