//! Running one more program in a container.

use super::Container;
use super::create::Started;
use super::maker::fetch_and_hand_over;
use super::plan::{compile_filter, groups, linux_of};
use super::status::{Action, Status};
use crate::caller::is_root;
use crate::cgroup::Below;
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::{Answer, Report};
use crate::init::join::JoinPlan;
use crate::init::launch::{Launch, Streams};
use crate::init::namespaces::Namespaces;
use crate::init::spawn::{Affinity, Spawn, Spawned};
use crate::log::{Level, Log};
use crate::process::memory::{MemoryPolicy, Personality};
use crate::process::rlimits;
use crate::process::terminal::Terminal;
use nix::sched::CloneFlags;
use oci_spec::runtime::{LinuxSeccomp, PosixRlimit, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// What `exec` is asked.
#[derive(Debug)]
pub(crate) struct ExecRequest<'a> {
    /// The directory of all containers.
    pub(crate) root: &'a Path,
    /// The process to run.
    pub(crate) process: Process,
    /// Cgroups inside the container's that the process goes to.
    pub(crate) below: Below,
    /// Whether a paused container is joined too.
    pub(crate) ignore_paused: bool,
    /// How many descriptors after the standard streams are passed on.
    pub(crate) preserve_fds: u32,
    /// Where the controlling end of the terminal goes, if there is one.
    pub(crate) console: Option<OwnedFd>,
    /// Whose standard streams the program gets.
    pub(crate) streams: Streams,
    /// Where it is told what is done.
    pub(crate) log: &'a Log,
}

impl Container {
    /// Runs the program that `request` describes in this container.
    pub(crate) fn exec(&self, request: ExecRequest<'_>) -> Result<Started> {
        let action = Action::Exec { ignore_paused: request.ignore_paused };
        self.status()?.allows(action)?;
        self.join(request).map_err(|error| {
            // Whatever went wrong, it is because the container has ended meanwhile, or is ending.
            let gone = match error.kind() {
                Kind::State => self.ends_within(Duration::from_secs(1)),
                _ => error.errno() == Some(libc::ESRCH) || !self.record.init.is_alive(),
            };
            Status::Stopped.allows(action).err().filter(|_| gone).unwrap_or(error)
        })
    }

    /// Whether the first process ends before `limit` is over. It kills all others on its way out.
    fn ends_within(&self, limit: Duration) -> bool {
        let Ok(pidfd) = self.record.init.open() else { return true };
        let limit =
            Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let mut list = [PollFd::new(&pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut list, Some(&limit))).is_ok_and(|count| count > 0)
    }

    fn join(&self, request: ExecRequest<'_>) -> Result<Started> {
        let spec = self.spec()?;
        let linux = linux_of(&spec);
        let process = request.process.clone();
        let kinds = CloneFlags::from_bits_truncate(self.record.namespaces)
            | CloneFlags::from_bits_retain(self.record.namespaces & libc::CLONE_NEWTIME);

        let init = self.record.init.open()?;
        let user_first = !is_root();
        let namespaces = Namespaces::of_process(&init, kinds, user_first)?;
        let filter = compile_filter(request.root, linux.seccomp().as_ref())?;
        let mut launch = Launch::plan(request.process, filter, request.log)?;
        launch.personality = linux.personality().as_ref().map(Personality::plan).transpose()?;
        launch.memory_policy =
            linux.memory_policy().as_ref().map(MemoryPolicy::plan).transpose()?;
        launch.preserve_fds = request.preserve_fds;
        launch.streams = request.streams;
        launch.groups = groups(kinds, launch.process())?;
        launch.limits = rlimits::from_inside(kinds, launch.process()).to_vec();
        let affinity = process.exec_cpu_affinity().as_ref();
        let plan = JoinPlan {
            id: &self.record.id,
            namespaces: &namespaces,
            new_keyring: self.record.new_keyring,
            terminal: request
                .console
                .map(|socket| Terminal::new(socket, &process, request.streams)),
            affinity: affinity.and_then(|affinity| affinity.cpu_affinity_final().clone()),
            launch,
        };
        let entry = match request.below.is_empty() {
            true => self.record.cgroup.entry_beside(self.record.init.pid)?,
            false => self
                .record
                .cgroup
                .entry_below(&request.below)
                .context(|| "error adding pid 0 (the new process) to cgroups")?,
        };
        let spawn = Spawn {
            namespaces: &namespaces,
            entry: &entry,
            time_offsets: "",
            oom_score_adj: process.oom_score_adj(),
            affinity: match affinity {
                None => Affinity::Reset,
                Some(affinity) => affinity.initial().clone().map_or(Affinity::Keep, Affinity::Set),
            },
            log: request.log,
        };
        let mut joining = Joining {
            container: self,
            spawned: spawn.run(|channel| plan.run(channel))?,
            seccomp: linux.seccomp().clone(),
            limits: rlimits::from_outside(kinds, &process),
            log: request.log,
            keep: false,
        };
        drop(plan);
        joining.converse().context(|| "unable to start container process")?;
        joining.keep = true;
        let Spawned { pid, ref pidfd, .. } = joining.spawned;
        Ok(Started { pid, pidfd: pidfd.try_clone().context(|| "hold the process")? })
    }
}

/// A process on its way into the container. Dropped as it is, it is ended.
struct Joining<'a> {
    container: &'a Container,
    spawned: Spawned,
    seccomp: Option<LinuxSeccomp>,
    /// Resource limits that the process may not set itself.
    limits: Option<&'a [PosixRlimit]>,
    log: &'a Log,
    keep: bool,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if !self.keep {
            let _ = super::identity::send_signal(&self.spawned.pidfd, super::identity::SIGKILL);
            let _ = waitid(WaitId::PidFd(self.spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

impl Joining<'_> {
    /// Answers the process until its program runs.
    fn converse(&mut self) -> Result<()> {
        self.enter_from_outside()?;
        loop {
            match self.spawned.channel.next_report()? {
                None => return Err(ended()),
                Some(Report::Forked { pid }) => {
                    self.hold(pid)?;
                    continue;
                }
                Some(Report::Step(step)) => {
                    self.log.write(Level::Debug, &step);
                    continue;
                }
                Some(Report::SeccompListener { number }) => self.hand_over_listener(number)?,
                Some(Report::Ready) => return self.let_go(),
                Some(Report::Failed(error)) => return Err(error),
                Some(
                    Report::MapIds
                    | Report::NetDevices
                    | Report::MountSource { .. }
                    | Report::Hooks,
                ) => {
                    return Err(unexpected());
                }
            }
            self.spawned.channel.answer(&Answer::Proceed)?;
        }
    }

    fn hold(&mut self, pid: u32) -> Result<()> {
        let _ = waitid(WaitId::PidFd(self.spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
        let process = rustix::process::Pid::from_raw(pid as i32).ok_or_else(ended)?;
        self.spawned.pidfd = rustix::process::pidfd_open(process, PidfdFlags::empty())
            .context(|| "hold the process")?;
        self.spawned.pid = pid;
        self.enter_from_outside()
    }

    /// What only someone on the host can do for the process.
    fn enter_from_outside(&self) -> Result<()> {
        if let Some(group) = &self.container.record().resctrl {
            group.add(self.spawned.pid)?;
        }
        self.spawned.set_oom_score()
    }

    fn hand_over_listener(&self, number: i32) -> Result<()> {
        let record = self.container.record();
        let state = record.oci_state(Status::Running, record.init.pid)?;
        let Spawned { pid, pidfd, .. } = &self.spawned;
        fetch_and_hand_over(pidfd, number, *pid, state, self.seccomp.as_ref())
    }

    /// Lets the program run; from then on only its failure to is heard of.
    fn let_go(&self) -> Result<()> {
        if let Some(limits) = self.limits {
            rlimits::apply(self.spawned.pid, limits)?;
        }
        self.spawned.channel.answer(&Answer::Proceed)?;
        while let Some(report) = self.spawned.channel.next_report()? {
            match report {
                Report::Step(step) => self.log.write(Level::Debug, &step),
                Report::Failed(error) => return Err(error),
                _ => return Err(unexpected()),
            }
        }
        Ok(())
    }
}

fn unexpected() -> Error {
    Error::new(Kind::System, "the process sent an unexpected message")
}

fn ended() -> Error {
    Error::state("the process ended before its program ran")
}
