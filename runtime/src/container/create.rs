//! Making a container: everything up to its program.
//!
//! What can be refused is refused first; then the parts are made in order, and if one fails, those
//! made before it are taken back.

use super::bundle::Bundle;
use super::clock;
use super::hooks::{self, DefaultEnv};
use super::id::ContainerId;
use super::identity::{Identity, SIGKILL, send_signal};
use super::record::{Phase, Record, to_json};
use super::status::Status;
use super::store::StateDir;
use super::validate::validate;
use crate::cgroup::{Cgroup, Request};
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::{Answer, Channel, Report};
use crate::init::container::{ContainerPlan, Gate, InnerHooks};
use crate::init::idmap::IdMaps;
use crate::init::launch::{Launch, Streams};
use crate::init::namespaces::Namespaces;
use crate::init::spawn::{Spawn, Spawned};
use crate::process::terminal::Terminal;
use crate::process::user::Groups;
use crate::process::{rlimits, seccomp};
use crate::rootfs::options::{MountPlan, propagation};
use crate::rootfs::pivot::Switch;
use crate::rootfs::{RootfsPlan, cgroups, devices, idmapped};
use nix::sched::CloneFlags;
use oci_spec::runtime::{
    ContainerProcessStateBuilder, Hooks, Linux, LinuxSeccomp, PosixRlimit, Process, Spec,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// When the program is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// When `start` comes.
    Later,
    /// At once.
    Now,
}

/// What `create` and `run` are asked.
#[derive(Debug)]
pub(crate) struct CreateRequest<'a> {
    /// The directory of all containers.
    pub(crate) root: &'a Path,
    /// The new container's id.
    pub(crate) id: ContainerId,
    /// What it is made from.
    pub(crate) bundle: Bundle,
    /// When its program is to run.
    pub(crate) start: Start,
    /// Whether systemd is to make its cgroup.
    pub(crate) systemd_cgroup: bool,
    /// Whether refusals of the cgroup file system are to be borne.
    pub(crate) rootless: bool,
    /// Whether to move the root instead of pivoting to it.
    pub(crate) no_pivot: bool,
    /// Whether to stay in the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// How many descriptors after the standard streams are passed on.
    pub(crate) preserve_fds: u32,
    /// Entries for the program's environment beside the bundle's.
    pub(crate) extra_env: Vec<String>,
    /// Where the controlling end of the terminal goes, if there is one.
    pub(crate) console: Option<OwnedFd>,
    /// Whose standard streams the program gets.
    pub(crate) streams: Streams,
}

/// A container whose program is not running yet. Dropped as it is, it is taken back.
#[derive(Debug)]
pub(crate) struct Prepared {
    making: Making,
    channel: Channel,
    hooks: Hooks,
}

/// The parts of a container that were made so far.
#[derive(Debug)]
struct Making {
    dir: StateDir,
    record: Record,
    pidfd: Option<OwnedFd>,
    keep: bool,
}

impl Drop for Making {
    /// Takes the parts back, the last one first. What fails here cannot be helped.
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Some(pidfd) = &self.pidfd {
            let _ = send_signal(pidfd, SIGKILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        let _ = self.record.cgroup.remove();
        let _ = self.dir.remove();
    }
}

/// Makes the container that `request` describes, up to the point where its program waits.
pub(crate) fn create(request: CreateRequest<'_>) -> Result<Prepared> {
    let spec = &request.bundle.spec;
    let process = request.bundle.process()?.clone();
    let rootfs = request.bundle.rootfs()?;
    let linux = linux_of(spec);
    let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
    validate(spec, &linux, &namespaces)?;
    let mounts = spec.mounts().iter().flatten().map(MountPlan::parse).collect::<Result<_>>()?;
    let launch = plan_launch(&request, &linux, process.clone(), &namespaces)?;

    let dir = StateDir::claim(request.root, &request.id)?;
    let making = make_cgroup(&request, &linux, &namespaces, rootfs, dir)?;
    making.dir.save_config(&request.bundle.config)?;
    let entry = making.record.cgroup.entry()?;
    let hooks = spec.hooks().clone().unwrap_or_default();
    let plan = ContainerPlan {
        record: &making.record,
        namespaces: &namespaces,
        rootfs: plan_rootfs(&request, &linux, &namespaces, mounts, &making.record)?,
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        sysctls: linux.sysctl().clone().unwrap_or_default(),
        terminal: plan_terminal(&process, &request)?,
        has_host_hooks: has_host_hooks(&hooks),
        hooks: InnerHooks {
            create_container: hooks.create_container().clone().unwrap_or_default(),
            start_container: hooks.start_container().clone().unwrap_or_default(),
        },
        launch,
        gate: match request.start {
            Start::Later => Gate::Fifo(making.dir.make_gate()?),
            Start::Now => Gate::Maker,
        },
    };
    let time_offsets = time_offsets(&linux);
    let spawn = Spawn { namespaces: &namespaces, entry: &entry, time_offsets: &time_offsets };
    let spawned = spawn.run(|channel| plan.run(channel))?;
    let mounts = plan.rootfs.mounts.clone();
    drop(plan);

    let mut maker = Maker {
        making,
        spawned,
        maps: id_maps(&linux),
        mounts,
        seccomp: linux.seccomp().clone(),
        hooks: &hooks,
        limits: rlimits::from_outside(namespaces.all(), &process),
        oom_score_adj: process.oom_score_adj(),
    };
    maker.converse().map_err(|error| maker.explain(error))?;
    let Maker { making, spawned, .. } = maker;
    Ok(Prepared { making, channel: spawned.channel, hooks })
}

impl Prepared {
    /// The container as its state file has it.
    pub(crate) fn record(&self) -> &Record {
        &self.making.record
    }

    /// A descriptor of the container's first process.
    pub(crate) fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        let pidfd = self.making.pidfd.as_ref();
        pidfd.map(AsFd::as_fd).ok_or_else(|| Error::new(Kind::System, "the container has no init"))
    }

    /// Leaves the program waiting for `start`.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.channel.answer(&Answer::Proceed)?;
        self.making.keep = true;
        Ok(())
    }

    /// Lets the program run, and gives what is left to do when it has ended.
    pub(crate) fn start(mut self) -> Result<Started> {
        self.channel.answer(&Answer::Proceed)?;
        match self.channel.next_report()? {
            None => {}
            Some(Report::Failed(error)) => return Err(error),
            Some(_) => return Err(unexpected()),
        }
        let state = || self.making.record.oci_state(Status::Running, self.making.record.init.pid);
        if let Some(list) = self.hooks.poststart().as_ref().filter(|list| !list.is_empty()) {
            hooks::run("poststart", list, &to_json(&state()?)?, DefaultEnv::Inherit)?;
        }
        self.making.keep = true;
        let pidfd = self.making.pidfd.take();
        let pidfd = pidfd.ok_or_else(|| Error::new(Kind::System, "the container has no init"))?;
        Ok(Started { pid: self.making.record.init.pid, pidfd })
    }
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Started {
    /// Its process id.
    pub(crate) pid: u32,
    /// A descriptor of it.
    pub(crate) pidfd: OwnedFd,
}

/// The maker's side of the conversation with the init.
struct Maker<'a> {
    making: Making,
    spawned: Spawned,
    maps: IdMaps,
    mounts: Vec<MountPlan>,
    seccomp: Option<LinuxSeccomp>,
    hooks: &'a Hooks,
    /// Resource limits that the init may not set itself.
    limits: Option<&'a [PosixRlimit]>,
    oom_score_adj: Option<i32>,
}

impl Maker<'_> {
    /// Answers the init until it is ready.
    fn converse(&mut self) -> Result<()> {
        self.hold(self.spawned.pid)?;
        loop {
            let report = self.spawned.channel.next_report()?;
            match report.ok_or_else(ended)? {
                Report::Forked { pid } => {
                    self.hold(pid)?;
                    continue;
                }
                Report::MapIds => self.maps.write(self.spawned.pid)?,
                Report::MountSource { index } => {
                    let mount = self.mounts.get(index as usize).ok_or_else(unexpected)?;
                    let tree = idmapped::open(mount, &self.maps)?;
                    self.spawned.channel.answer(&Answer::MountSource(tree))?;
                    continue;
                }
                Report::Hooks => self.run_host_hooks()?,
                Report::SeccompListener { number } => self.hand_over_listener(number)?,
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
        if let Some(score) = self.oom_score_adj {
            let path = format!("/proc/{pid}/oom_score_adj");
            std::fs::write(&path, score.to_string()).context(|| format!("write {path}"))?;
        }
        Ok(())
    }

    fn run_host_hooks(&mut self) -> Result<()> {
        self.making.dir.save(&self.making.record)?;
        let state = self.making.record.oci_state(Status::Creating, self.spawned.pid)?;
        let state = to_json(&state)?;
        for (point, list) in host_hooks(self.hooks) {
            hooks::run(point, list, &state, DefaultEnv::Inherit)?;
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
    fn explain(&self, error: Error) -> Error {
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
    state: oci_spec::runtime::State,
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

fn unexpected() -> Error {
    Error::new(Kind::System, "the container's init sent an unexpected message")
}

/// Makes the cgroup, and with it the first record of the container.
fn make_cgroup(
    request: &CreateRequest<'_>,
    linux: &Linux,
    namespaces: &Namespaces,
    rootfs: PathBuf,
    dir: StateDir,
) -> Result<Making> {
    let spec = &request.bundle.spec;
    let cgroups_path = linux.cgroups_path().as_ref().and_then(|path| path.to_str());
    let cgroup = Cgroup::create(&Request {
        container_id: request.id.as_str(),
        cgroups_path,
        systemd: request.systemd_cgroup,
        rootless: request.rootless,
        resources: linux.resources().as_ref(),
    })
    .inspect_err(|_| {
        let _ = dir.remove();
    })?;
    let record = Record {
        oci_version: spec.version().clone(),
        id: request.id.to_string(),
        bundle: request.bundle.path.clone(),
        rootfs,
        created: clock::now(),
        phase: Phase::Creating,
        init: Identity { pid: 0, start_time: 0 },
        annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        namespaces: namespaces.all().bits(),
        own_pid_namespace: namespaces.new.contains(CloneFlags::CLONE_NEWPID),
        new_keyring: !request.no_new_keyring,
        cgroup,
    };
    Ok(Making { dir, record, pidfd: None, keep: false })
}

fn plan_launch(
    request: &CreateRequest<'_>,
    linux: &Linux,
    process: Process,
    namespaces: &Namespaces,
) -> Result<Launch> {
    let filter = compile_filter(request.root, linux.seccomp().as_ref())?;
    let mut launch = Launch::plan(process, filter)?;
    launch.personality = linux.personality().clone();
    launch.memory_policy = linux.memory_policy().clone();
    launch.preserve_fds = request.preserve_fds;
    launch.streams = request.streams;
    launch.groups = groups(namespaces.all(), launch.process())?;
    launch.limits = rlimits::from_inside(namespaces.all(), launch.process()).to_vec();
    for entry in &request.extra_env {
        launch.add_env(crate::process::env::c_string(entry, "environment variable")?);
    }
    Ok(launch)
}

/// The filter, from the cache that this user keeps beside the containers.
pub(super) fn compile_filter(
    root: &Path,
    profile: Option<&LinuxSeccomp>,
) -> Result<Option<seccomp::Program>> {
    /// No container has this name.
    const CACHE: &str = "@seccomp";
    profile.map(|profile| seccomp::compile_cached(profile, &root.join(CACHE))).transpose()
}

/// Who is not root on the host cannot set groups in the namespaces that they make.
pub(super) fn groups(namespaces: CloneFlags, process: &Process) -> Result<Groups> {
    let restricted =
        !rustix::process::geteuid().is_root() && namespaces.contains(CloneFlags::CLONE_NEWUSER);
    if !restricted {
        return Ok(Groups::Set);
    }
    match process.user().additional_gids().as_ref().is_some_and(|gids| !gids.is_empty()) {
        true => Err(Error::invalid("cannot set any additional groups in a rootless container")),
        false => Ok(Groups::Keep),
    }
}

fn plan_rootfs<'a>(
    request: &CreateRequest<'_>,
    linux: &Linux,
    namespaces: &Namespaces,
    mounts: Vec<MountPlan>,
    record: &'a Record,
) -> Result<RootfsPlan<'a>> {
    let own_mounts = namespaces.all().contains(CloneFlags::CLONE_NEWNS);
    let own_users = namespaces.all().contains(CloneFlags::CLONE_NEWUSER);
    let paths = |list: &Option<Vec<String>>| list.iter().flatten().map(PathBuf::from).collect();
    let name = linux.rootfs_propagation().as_deref().filter(|name| !name.is_empty());
    let propagation = name
        .map(|name| {
            propagation(name)
                .ok_or_else(|| Error::invalid(format!("rootfsPropagation={name} is not supported")))
        })
        .transpose()?;
    let root = request.bundle.spec.root().as_ref();
    Ok(RootfsPlan {
        path: record.rootfs.clone(),
        read_only: root.and_then(|root| root.readonly()).unwrap_or(false),
        propagation,
        mounts,
        devices: devices::plan(linux.devices().as_deref().unwrap_or_default())?,
        device_source: match own_users {
            true => devices::Source::Host,
            false => devices::Source::Made,
        },
        masked: paths(linux.masked_paths()),
        read_only_paths: paths(linux.readonly_paths()),
        label: linux.mount_label().clone().filter(|label| !label.is_empty()),
        switch: match (own_mounts, request.no_pivot) {
            (true, false) => Switch::Pivot,
            (true, true) => Switch::Move,
            (false, _) => Switch::Chroot,
        },
        cgroup: &record.cgroup,
        cgroup_namespace: match namespaces.all().contains(CloneFlags::CLONE_NEWCGROUP) {
            true => cgroups::Namespace::Own,
            false => cgroups::Namespace::Host,
        },
    })
}

fn plan_terminal(process: &Process, request: &CreateRequest<'_>) -> Result<Option<Terminal>> {
    match &request.console {
        None => Ok(None),
        Some(socket) => {
            let socket = socket.try_clone().context(|| "hold the console socket")?;
            Ok(Some(Terminal::new(socket, process)))
        }
    }
}

fn id_maps(linux: &Linux) -> IdMaps {
    IdMaps {
        uids: linux.uid_mappings().clone().unwrap_or_default(),
        gids: linux.gid_mappings().clone().unwrap_or_default(),
    }
}

/// The lines of /proc/self/timens_offsets.
fn time_offsets(linux: &Linux) -> String {
    let offsets = linux.time_offsets().iter().flatten();
    offsets
        .map(|(clock, offset)| {
            let (seconds, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            format!("{clock} {seconds} {nanos}\n")
        })
        .collect()
}

/// Hooks of the host that run before the root is switched, in their order.
fn host_hooks(hooks: &Hooks) -> [(&'static str, &[oci_spec::runtime::Hook]); 2] {
    // The first is the old name of the second; bundles use both.
    let prestart = hooks.prestart().as_deref().unwrap_or_default();
    [
        ("prestart", prestart),
        ("createRuntime", hooks.create_runtime().as_deref().unwrap_or_default()),
    ]
}

fn has_host_hooks(hooks: &Hooks) -> bool {
    host_hooks(hooks).iter().any(|(_, list)| !list.is_empty())
}

/// What a bundle without a Linux part asks for: nothing.
fn empty_linux() -> Linux {
    let mut linux = Linux::default();
    linux.set_namespaces(None).set_resources(None).set_masked_paths(None).set_readonly_paths(None);
    linux
}

/// The Linux part of `spec`.
pub(super) fn linux_of(spec: &Spec) -> Linux {
    spec.linux().clone().unwrap_or_else(empty_linux)
}
