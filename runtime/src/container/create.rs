//! Making a container: everything up to its program.
//!
//! What can be refused is refused first; then the parts are made in order, and if one fails, those
//! made before it are taken back.

use super::bundle::Bundle;
use super::hooks::{self, DefaultEnv};
use super::id::ContainerId;
use super::identity::{Identity, SIGKILL, send_signal};
use super::maker::{Maker, has_host_hooks, unexpected};
use super::notify::{self, Readiness, Supervisor};
use super::plan;
use super::record::{Phase, Record, SPEC_VERSION, to_json};
use super::status::Status;
use super::store::StateDir;
use super::validate::validate;
use super::{clock, delegation};
use crate::cgroup::{Cgroup, Request};
use crate::error::{Error, Kind, Result};
use crate::init::channel::{Answer, Channel, Report};
use crate::init::container::{ContainerPlan, Gate, InnerHooks};
use crate::init::launch::Streams;
use crate::init::namespaces::Namespaces;
use crate::init::spawn::{Affinity, Spawn};
use crate::log::{Level, Log};
use crate::network::plan::DevicePlan;
use crate::process::rlimits;
use crate::resctrl;
use crate::rootfs::on_host::OnHost;
use crate::rootfs::plan::MountPlan;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Hook, Hooks, Linux};
use rustix::process::{WaitId, WaitIdOptions, waitid};
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
    /// Where warnings go, and what is done.
    pub(crate) log: &'a Log,
    /// Whether to move the root instead of pivoting to it.
    pub(crate) no_pivot: bool,
    /// Whether to stay in the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// How many descriptors after the standard streams are passed on.
    pub(crate) preserve_fds: u32,
    /// Entries for the program's environment beside the bundle's.
    pub(crate) extra_env: Vec<String>,
    /// Who is told when the container is ready, if anybody wants to know.
    pub(crate) supervisor: Option<Supervisor>,
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
pub(super) struct Making {
    /// The container's directory.
    pub(super) dir: StateDir,
    /// The container as its state file is to have it.
    pub(super) record: Record,
    /// Its init.
    pub(super) pidfd: Option<OwnedFd>,
    /// What runs when they are gone again.
    poststop: Vec<Hook>,
    pub(super) log: Log,
    /// Its root, where the host sees its mounts.
    on_host: Option<OnHost>,
    /// Whether they are there to stay.
    pub(super) keep: bool,
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
        if let Some(root) = &self.on_host {
            let _ = root.take_off();
        }
        let _ = self.record.cgroup.remove();
        let _ = self.record.resctrl.as_ref().map(resctrl::Group::remove);
        let _ = self.dir.remove();
        if self.pidfd.is_some() {
            // Other hooks may have run: what they have made is to be taken back too.
            hooks::run_poststop(&self.poststop, &self.record, &self.log);
        }
    }
}

/// Makes the container that `request` describes, up to the point where its program waits.
pub(crate) fn create(request: CreateRequest<'_>) -> Result<Prepared> {
    let spec = &request.bundle.spec;
    let process = request.bundle.process()?.clone();
    let rootfs = request.bundle.rootfs()?;
    let linux = plan::linux_of(spec);
    let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap_or_default())?;
    validate(spec, &linux, &namespaces)?;
    let mounts = spec.mounts().iter().flatten();
    let mounts = mounts
        .map(|mount| MountPlan::parse(mount, &request.bundle.path, &rootfs))
        .collect::<Result<_>>()?;
    let net_devices = match linux.net_devices() {
        Some(devices) => DevicePlan::parse(devices)?,
        None => Vec::new(),
    };
    let launch = plan::launch(&request, &linux, process.clone(), &namespaces)?;

    let dir = StateDir::claim(request.root, &request.id)?;
    // Until there is a record, `delete` would take the directory for remains.
    dir.lock()?;
    let mut making = make_cgroup(&request, &linux, &namespaces, rootfs, dir)?;
    if !namespaces.all().contains(CloneFlags::CLONE_NEWNS) {
        making.on_host = Some(OnHost::remember(&making.record.rootfs)?);
    }
    if let Some(settings) = linux.intel_rdt() {
        making.record.resctrl = Some(resctrl::Group::create(settings, request.id.as_str())?);
    }
    if request.supervisor.is_some() {
        notify::make_directory(&making.dir)?;
    }
    // Should this process be killed, `delete --force` finds here what there is to remove.
    making.dir.save(&making.record)?;
    making.dir.unlock()?;
    let entry = making.record.cgroup.entry()?;
    let hooks = spec.hooks().clone().unwrap_or_default();
    let inside = ContainerPlan {
        record: &making.record,
        namespaces: &namespaces,
        rootfs: plan::rootfs(&request, &linux, &namespaces, mounts, &making.record)?,
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        sysctls: linux.sysctl().clone().unwrap_or_default(),
        terminal: plan::terminal(&process, &request)?,
        has_net_devices: !net_devices.is_empty(),
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
    let time_offsets = plan::time_offsets(&linux);
    let spawn = Spawn {
        namespaces: &namespaces,
        entry: &entry,
        time_offsets: &time_offsets,
        oom_score_adj: process.oom_score_adj(),
        affinity: Affinity::Reset,
        log: request.log,
    };
    let spawned = spawn.run(|channel| inside.run(channel))?;
    let mounts = inside.rootfs.mounts.clone();
    drop(inside);

    let mut maker = Maker {
        making,
        spawned,
        namespaces: &namespaces,
        maps: plan::id_maps(&linux),
        net_devices: &net_devices,
        mounts,
        seccomp: linux.seccomp().clone(),
        hooks: &hooks,
        limits: rlimits::from_outside(namespaces.all(), &process),
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

    /// Listens for the container's word that it is ready, if the caller's supervisor wants to know.
    pub(crate) fn listen(&self) -> Result<Option<Readiness>> {
        match Supervisor::of_caller() {
            Some(supervisor) => supervisor.listen(&self.making.dir),
            None => Ok(None),
        }
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
        while let Some(report) = self.channel.next_report()? {
            match report {
                Report::Step(step) => self.making.log.write(Level::Debug, &step),
                Report::Failed(error) => return Err(error),
                _ => return Err(unexpected()),
            }
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

/// Makes the cgroup, and with it the first record of the container.
pub(super) fn make_cgroup(
    request: &CreateRequest<'_>,
    linux: &Linux,
    namespaces: &Namespaces,
    rootfs: PathBuf,
    dir: StateDir,
) -> Result<Making> {
    let spec = &request.bundle.spec;
    let cgroups_path = linux.cgroups_path().as_ref().and_then(|path| path.to_str());
    let annotations = spec.annotations().clone().unwrap_or_default().into_iter().collect();
    let cgroup = dir
        .save_config(&request.bundle.config)
        .and_then(|()| {
            Cgroup::create(&Request {
                container_id: request.id.as_str(),
                cgroups_path,
                systemd: request.systemd_cgroup,
                rootless: request.rootless,
                resources: linux.resources().as_ref(),
                annotations: &annotations,
                owner: delegation::owner(spec, linux, namespaces),
            })
        })
        .inspect_err(|_| {
            let _ = dir.remove();
        })?;
    if cgroup.is_none() && !namespaces.new.contains(CloneFlags::CLONE_NEWPID) {
        request.log.write(
            Level::Warning,
            "Creating a rootless container with no cgroup and no private pid namespace. Such \
             configuration is strongly discouraged (as it is impossible to properly kill all \
             container's processes)",
        );
    }
    let record = Record {
        oci_version: SPEC_VERSION.to_owned(),
        id: request.id.to_string(),
        bundle: request.bundle.path.clone(),
        rootfs,
        created: clock::now(),
        phase: Phase::Creating,
        init: Identity::NONE,
        annotations,
        namespaces: namespaces.all().bits(),
        own_pid_namespace: namespaces.new.contains(CloneFlags::CLONE_NEWPID),
        new_keyring: !request.no_new_keyring,
        cgroup,
        resctrl: None,
    };
    let poststop = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().clone());
    let (poststop, log) = (poststop.unwrap_or_default(), request.log.clone());
    Ok(Making { dir, record, pidfd: None, on_host: None, poststop, log, keep: false })
}
