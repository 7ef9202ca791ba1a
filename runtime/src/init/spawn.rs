//! Making the process that becomes the container's program, in its namespaces and cgroups.

use super::channel::{Answer, Channel, Report};
use super::fork::fork_into;
use super::namespaces::{NEWTIME, Namespaces};
use crate::caller::is_in_user_namespace;
use crate::cgroup::Entry;
use crate::error::{Context, Error, Kind, Result};
use crate::linux::clone::{Forked, Kinship, fork};
use crate::linux::descriptor::close_on_exec_from;
use crate::linux::system::exit;
use crate::log::Log;
use crate::process::schedule::{apply_affinity, first_cpus, reset_affinity};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{CpuSet, set_thread_res_gid, set_thread_res_uid};
use std::convert::Infallible;
use std::os::fd::OwnedFd;

/// What a new process needs beside its namespaces.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// Its namespaces.
    pub(crate) namespaces: &'a Namespaces,
    /// Its cgroups.
    pub(crate) entry: &'a Entry,
    /// The clock offsets of a new time namespace, as its file takes them.
    pub(crate) time_offsets: &'a str,
    /// How ready the kernel is to kill it for want of memory.
    pub(crate) oom_score_adj: Option<i32>,
    /// The CPUs that it is to run on at first.
    pub(crate) affinity: Affinity,
    /// Where its steps are to be told.
    pub(crate) log: &'a Log,
}

/// The CPUs that a process runs on from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// All that its cgroup allows, whatever its maker is bound to.
    Reset,
    /// Those of its maker.
    Keep,
    /// These: a list like `0-3,7`.
    Set(String),
}

/// Takes the clock offsets of the time namespace that children will be in.
const CLOCKS: &str = "/proc/self/timens_offsets";

/// A process that was made, as its maker sees it.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its id.
    pub(crate) pid: u32,
    /// A descriptor of it.
    pub(crate) pidfd: OwnedFd,
    /// The conversation with it.
    pub(crate) channel: Channel,
    /// What its maker has yet to write.
    oom_score_adj: Option<i32>,
}

impl Spawned {
    /// Says how ready the kernel is to kill the process. That is its maker's to write, who may have
    /// privileges that the process has not in its own user namespace.
    pub(crate) fn set_oom_score(&self) -> Result<()> {
        write_oom_score(&self.pid.to_string(), self.oom_score_adj)
    }
}

impl Spawn<'_> {
    /// Makes the process, which then runs `inside`. An error there is reported to the maker and
    /// ends the process.
    ///
    /// Where it takes several steps to reach the namespaces, a helper goes through them and the
    /// process is made by the helper, as this process's child all the same; the helper says so by
    /// [`Report::Forked`].
    pub(crate) fn run(
        &self,
        inside: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> Result<Spawned> {
        let (theirs, ours) = Channel::pair(self.log.least)?;
        let by_helper = self.needs_helper();
        if !by_helper && !self.namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
            hide()?;
        }
        let new = match by_helper {
            true => CloneFlags::empty(),
            false => self.namespaces.new - CloneFlags::CLONE_NEWCGROUP,
        };
        let home = self.enter_pid_namespace(by_helper)?;
        let own_cpus = self.bind_to_first_cpus()?;
        let forked = fork_into(self.entry, new);
        if let Ok(Forked::Child) = forked {
            drop(ours);
            live(&theirs, |channel| {
                // What the caller left open is not for hooks, which may be the container's.
                close_on_exec_from(3).context(|| "error closing exec fds")?;
                channel.step(|| "nsexec container setup".to_owned());
                channel.step(|| format!("nsexec: affinity: {:#x}", first_cpus()));
                self.enter_cgroups()?;
                match by_helper {
                    true => self.help(channel, inside),
                    false => {
                        self.settle_ids(channel)?;
                        inside(channel)
                    }
                }
            })
        }
        if let Some(own) = own_cpus {
            rustix::thread::sched_setaffinity(None, &own).context(|| "reset own CPU affinity")?;
        }
        if let Some(home) = home {
            setns(home, CloneFlags::CLONE_NEWPID).context(|| "setns pid")?;
        }
        match forked? {
            Forked::Parent { pid, pidfd } => {
                let oom_score_adj = self.oom_score_adj.filter(|_| !by_helper);
                Ok(Spawned { pid, pidfd, channel: ours, oom_score_adj })
            }
            Forked::Child => exit(255),
        }
    }

    /// A user namespace that exists must be joined before others are made, so that they belong to
    /// it; clocks are set before anything runs by them; only who has privileges in the user
    /// namespace may enter the pid namespace below it; and root of a user namespace could not come
    /// back from a pid namespace to the host's.
    fn needs_helper(&self) -> bool {
        let joins = |kind| self.namespaces.existing(kind).is_some();
        joins(CloneFlags::CLONE_NEWUSER)
            || self.namespaces.new.contains(NEWTIME)
            || (joins(CloneFlags::CLONE_NEWPID) && is_in_user_namespace())
    }

    /// A pid namespace that exists is entered by children only: this process sends itself there,
    /// makes the child, and comes back by the descriptor that this gives.
    fn enter_pid_namespace(&self, by_helper: bool) -> Result<Option<OwnedFd>> {
        use rustix::fs::{Mode, OFlags};
        let Some(pid) = self.namespaces.existing(CloneFlags::CLONE_NEWPID).filter(|_| !by_helper)
        else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open("/proc/self/ns/pid", flags, Mode::empty())
            .context(|| "open /proc/self/ns/pid")?;
        pid.join()?;
        Ok(Some(home))
    }

    /// What the helper does, and then the process that it makes.
    fn help(
        &self,
        channel: &Channel,
        inside: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> Result<Infallible> {
        // As long as it is an ordinary process of its user: what is hidden is root's, and what is in
        // a new user namespace is nobody's.
        write_oom_score("self", self.oom_score_adj)?;
        let clocks = self.open_clocks()?;
        if !self.namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
            // Otherwise once its ids are mapped, which a plain user may not do to what is hidden.
            hide()?;
        }
        if let Some(user) = self.namespaces.existing(CloneFlags::CLONE_NEWUSER) {
            self.namespaces.join_before_user()?;
            user.join()?;
            become_root()?;
        }
        if self.namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
            unshare(CloneFlags::CLONE_NEWUSER).context(|| "unshare user")?;
            self.settle_ids(channel)?;
        }
        if let Some(pid) = self.namespaces.existing(CloneFlags::CLONE_NEWPID) {
            pid.join()?;
        }
        if self.namespaces.new.contains(NEWTIME) {
            unshare(NEWTIME).context(|| "unshare time")?;
        }
        if let Some(clocks) = clocks {
            rustix::io::write(clocks, self.time_offsets.as_bytes())
                .context(|| format!("failed to update {CLOCKS}"))?;
        }
        let rest = self.namespaces.new
            - (CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWCGROUP | NEWTIME);
        // The process says nothing before its maker has heard of it: both use the same channel.
        let (told, telling) = pipe_with(PipeFlags::CLOEXEC).context(|| "make a pipe")?;
        match fork(rest, None, Kinship::Sibling).context(|| "clone")? {
            Forked::Child => {
                drop(telling);
                rustix::io::retry_on_intr(|| rustix::io::read(&told, &mut [0u8; 1]))
                    .context(|| "wait for the helper's end")?;
                drop(told);
                inside(channel)
            }
            Forked::Parent { pid, .. } => {
                channel.report(&Report::Forked { pid })?;
                exit(0)
            }
        }
    }

    /// Binds this process to the CPUs that the new one is to start on, and gives those that it was
    /// bound to. They need not be among those of the container's cgroup.
    fn bind_to_first_cpus(&self) -> Result<Option<CpuSet>> {
        let Affinity::Set(cpus) = &self.affinity else { return Ok(None) };
        let what = || "error setting initial CPU affinity";
        let own = rustix::thread::sched_getaffinity(None).context(what)?;
        apply_affinity(cpus).context(what)?;
        Ok(Some(own))
    }

    /// Enters the cgroups, and with that the CPUs that they allow.
    fn enter_cgroups(&self) -> Result<()> {
        self.entry.join_self().context(|| "enter the container's cgroup")?;
        if self.affinity == Affinity::Reset {
            reset_affinity();
        }
        Ok(())
    }

    /// The file that sets the clocks of the new time namespace, if they are to be set.
    fn open_clocks(&self) -> Result<Option<OwnedFd>> {
        use rustix::fs::{Mode, OFlags};
        if !self.namespaces.new.contains(NEWTIME) || self.time_offsets.is_empty() {
            return Ok(None);
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(CLOCKS, flags, Mode::empty());
        file.map(Some).context(|| format!("open {CLOCKS}"))
    }

    /// In a new user namespace a process is nobody until its maker has written the mappings.
    fn settle_ids(&self, channel: &Channel) -> Result<()> {
        if !self.namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
            return Ok(());
        }
        match channel.ask(&Report::MapIds)? {
            Answer::Proceed => become_root()?,
            Answer::MountSource(_) => {
                return Err(Error::new(Kind::System, "the runtime sent an unknown answer"));
            }
        }
        hide()
    }
}

/// Runs `life` as a process of its own: whatever comes of it, nothing after this call runs.
fn live(channel: &Channel, life: impl FnOnce(&Channel) -> Result<Infallible>) -> ! {
    /// Ends the process on a panic too, before what its maker has on the stack is cleaned up twice.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            exit(255)
        }
    }
    let _end = End;
    let Err(error) = life(channel);
    if channel.report(&Report::Failed(error.clone())).is_err() {
        // Nobody listens any more: the message is left on the program's standard error.
        let text = format!("{error}\n");
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    }
    exit(255)
}

/// Makes this process one that others in the container cannot look into: its descriptors, its
/// memory and, through /proc/<pid>/exe, its program file.
fn hide() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl(SET_DUMPABLE)")
}

fn write_oom_score(process: &str, score: Option<i32>) -> Result<()> {
    let Some(score) = score else { return Ok(()) };
    let path = format!("/proc/{process}/oom_score_adj");
    std::fs::write(&path, score.to_string()).context(|| format!("write {path}"))
}

/// Becomes root of the user namespace.
pub(super) fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_res_gid(gid, gid, gid)
        .context(|| "become group root of the user namespace: gid 0 must be mapped")?;
    set_thread_res_uid(uid, uid, uid)
        .context(|| "become root of the user namespace: uid 0 must be mapped")
}
