//! The maker's side of the conversation with a container's init.

use super::create::Making;
use super::hooks::{self, DefaultEnv};
use super::identity::Identity;
use super::record::{Phase, to_json};
use super::status::Status;
use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::{Answer, Report};
use crate::init::idmap::IdMaps;
use crate::init::namespaces::Namespaces;
use crate::init::spawn::Spawned;
use crate::log::Level;
use crate::network::{self, plan::DevicePlan};
use crate::process::{rlimits, seccomp};
use crate::rootfs::idmapped::{self, ContainerIds};
use crate::rootfs::plan::MountPlan;
use oci_spec::runtime::{
    ContainerProcessStateBuilder, Hook, Hooks, LinuxSeccomp, PosixRlimit, State,
};
use rustix::fs::{Mode, OFlags};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};

/// The maker's side of the conversation with the init.
pub(super) struct Maker<'a> {
    /// The parts made so far.
    pub(super) making: Making,
    /// The init.
    pub(super) spawned: Spawned,
    /// The namespaces.
    pub(super) namespaces: &'a Namespaces,
    /// The ids of a new user namespace.
    pub(super) maps: IdMaps,
    /// The devices that come into its network namespace.
    pub(super) net_devices: &'a [DevicePlan],
    /// The mounts, whose sources the init may ask for.
    pub(super) mounts: Vec<MountPlan>,
    /// The profile, which says who is told of notifications.
    pub(super) seccomp: Option<LinuxSeccomp>,
    /// The hooks.
    pub(super) hooks: &'a Hooks,
    /// Resource limits that the init may not set itself.
    pub(super) limits: Option<&'a [PosixRlimit]>,
}

impl Maker<'_> {
    /// Answers the init until it is ready.
    pub(super) fn converse(&mut self) -> Result<()> {
        self.hold(self.spawned.pid)?;
        loop {
            let report = self.spawned.channel.next_report()?;
            match report.ok_or_else(ended)? {
                Report::Forked { pid } => {
                    self.hold(pid)?;
                    continue;
                }
                Report::MapIds => self.maps.write(self.spawned.pid)?,
                Report::NetDevices => self.move_net_devices()?,
                Report::MountSource { index } => {
                    let mount = self.mounts.get(index as usize).ok_or_else(unexpected)?;
                    let init = self.making.pidfd.as_ref().ok_or_else(unexpected)?;
                    let rootfs = &self.making.record.rootfs;
                    let tree = idmapped::open(
                        mount,
                        &ContainerIds::of(self.namespaces, &self.maps),
                        rootfs,
                        init,
                    )?;
                    self.spawned.channel.answer(&Answer::MountSource(tree))?;
                    continue;
                }
                Report::Hooks => self.run_host_hooks()?,
                Report::SeccompListener { number } => self.hand_over_listener(number)?,
                Report::Step(step) => {
                    self.making.log.write(Level::Debug, &step);
                    continue;
                }
                Report::Ready => return self.finish(),
                Report::Failed(error) => return Err(error),
            }
            self.spawned.channel.answer(&Answer::Proceed)?;
        }
    }

    /// Takes the process `pid` as the container's init.
    fn hold(&mut self, pid: u32) -> Result<()> {
        let by_helper = self.making.pidfd.take();
        if let Some(helper) = by_helper {
            let _ = waitid(WaitId::PidFd(helper.as_fd()), WaitIdOptions::EXITED);
        }
        let process = rustix::process::Pid::from_raw(pid as i32).ok_or_else(unexpected)?;
        let pidfd = match pid == self.spawned.pid {
            true => self.spawned.pidfd.try_clone().context(|| "hold the container's init")?,
            false => rustix::process::pidfd_open(process, PidfdFlags::empty())
                .context(|| "hold the container's init")?,
        };
        self.making.pidfd = Some(pidfd);
        self.spawned.pid = pid;
        self.making.record.init = Identity::of(pid).map_err(|_| ended())?;
        if let Some(group) = &self.making.record.resctrl {
            group.add(pid)?;
        }
        self.spawned.set_oom_score()
    }

    /// Moves the devices to where the init is, which waits meanwhile.
    fn move_net_devices(&self) -> Result<()> {
        let path = format!("/proc/{}/ns/net", self.spawned.pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(&path, flags, Mode::empty())
            .context(|| "open the container's network namespace")?;
        network::move_devices(self.net_devices, namespace.as_fd())
    }

    fn run_host_hooks(&mut self) -> Result<()> {
        self.making.dir.save(&self.making.record)?;
        for (point, status, list) in host_hooks(self.hooks) {
            let state = self.making.record.oci_state(status, self.spawned.pid)?;
            hooks::run(point, list, &to_json(&state)?, DefaultEnv::Inherit)?;
        }
        Ok(())
    }

    fn hand_over_listener(&self, number: i32) -> Result<()> {
        let pidfd = self.making.pidfd.as_ref().ok_or_else(unexpected)?;
        let state = self.making.record.oci_state(Status::Creating, self.spawned.pid)?;
        fetch_and_hand_over(pidfd, number, self.spawned.pid, state, self.seccomp.as_ref())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(limits) = self.limits {
            rlimits::apply(self.spawned.pid, limits)?;
        }
        self.making.record.phase = Phase::Ready;
        self.making.dir.save(&self.making.record)
    }

    /// An init that vanished was most likely killed for want of memory: that is said rather than
    /// that it vanished.
    pub(super) fn explain(&self, error: Error) -> Error {
        let killed = oom_kills(&self.making.record.cgroup) > 0;
        match killed {
            true => {
                Error::new(Kind::System, "container init was OOM-killed (memory limit too low?)")
            }
            false => error.context("error during container init"),
        }
        .context("unable to start container process")
    }
}

/// How many processes of the container the kernel has killed for want of memory.
fn oom_kills(cgroup: &Cgroup) -> u64 {
    let Some(directory) = cgroup.path_in("memory") else { return 0 };
    ["memory.events", "memory.oom_control"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(directory.join(file)).ok())
        .find_map(|text| {
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
            count.trim().parse().ok()
        })
        .unwrap_or(0)
}

/// Fetches the descriptor `number` of a process and gives it to the seccomp supervisor.
pub(super) fn fetch_and_hand_over(
    pidfd: &OwnedFd,
    number: i32,
    pid: u32,
    state: State,
    profile: Option<&LinuxSeccomp>,
) -> Result<()> {
    let path = profile.and_then(|profile| profile.listener_path().as_ref());
    let path = path.ok_or_else(|| Error::invalid("seccomp listenerPath is not set"))?;
    let metadata = profile.and_then(|profile| profile.listener_metadata().clone());
    let fd = rustix::process::pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
        .context(|| "fetch the seccomp listener")?;
    let builder = ContainerProcessStateBuilder::default()
        .version(state.version().clone())
        .fds(vec![seccomp::FD_NAME.to_owned()])
        .pid(pid as i32)
        .state(state);
    let process_state = match metadata {
        Some(metadata) => builder.metadata(metadata),
        None => builder,
    }
    .build()
    .map_err(|error| Error::invalid(format!("seccomp listener: {error}")))?;
    seccomp::hand_over(path, &process_state, fd.as_fd())
}

fn ended() -> Error {
    Error::new(Kind::System, "the container's init ended before it was ready")
}

pub(super) fn unexpected() -> Error {
    Error::new(Kind::System, "the container's init sent an unexpected message")
}

/// Hooks of the host that run before the root is switched, in their order, and the status that each
/// kind is told.
pub(super) fn host_hooks(hooks: &Hooks) -> [(&'static str, Status, &[Hook]); 2] {
    let prestart = hooks.prestart().as_deref().unwrap_or_default();
    let create_runtime = hooks.create_runtime().as_deref().unwrap_or_default();
    [
        // The older of the two, from before there was a status `creating`.
        ("prestart", Status::Created, prestart),
        ("createRuntime", Status::Creating, create_runtime),
    ]
}

pub(super) fn has_host_hooks(hooks: &Hooks) -> bool {
    host_hooks(hooks).iter().any(|(_, _, list)| !list.is_empty())
}
