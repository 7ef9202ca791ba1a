//! Reading out of a bundle what the parts of a container are to be.

use super::create::CreateRequest;
use super::record::Record;
use crate::caller::{is_in_user_namespace, is_root};
use crate::error::{Context, Error, Result};
use crate::init::idmap::IdMaps;
use crate::init::launch::Launch;
use crate::init::namespaces::Namespaces;
use crate::log::Level;
use crate::process::memory::{MemoryPolicy, Personality};
use crate::process::terminal::Terminal;
use crate::process::user::Groups;
use crate::process::{env, rlimits, seccomp};
use crate::rootfs::options::propagation;
use crate::rootfs::pivot::Switch;
use crate::rootfs::plan::MountPlan;
use crate::rootfs::{RootfsPlan, cgroups, devices};
use nix::sched::CloneFlags;
use oci_spec::runtime::{Linux, LinuxSeccomp, Process, Spec};
use std::path::{Path, PathBuf};

pub(super) fn launch(
    request: &CreateRequest<'_>,
    linux: &Linux,
    process: Process,
    namespaces: &Namespaces,
) -> Result<Launch> {
    let filter = compile_filter(request.root, linux.seccomp().as_ref())?;
    if let Some(filter) = &filter {
        request.log.write(Level::Debug, &format!("seccomp filter flags: {}", filter.flags()));
    }
    let mut launch = Launch::plan(process, filter, request.log)?;
    launch.personality = linux.personality().as_ref().map(Personality::plan).transpose()?;
    launch.memory_policy = linux.memory_policy().as_ref().map(MemoryPolicy::plan).transpose()?;
    launch.cpus = cpus(linux);
    launch.preserve_fds = request.preserve_fds;
    launch.streams = request.streams;
    launch.groups = groups(namespaces.all(), launch.process())?;
    launch.limits = rlimits::from_inside(namespaces.all(), launch.process()).to_vec();
    for entry in &request.extra_env {
        launch.add_env(env::c_string(entry, "environment variable")?);
    }
    Ok(launch)
}

/// The CPUs that the container is restricted to.
pub(super) fn cpus(linux: &Linux) -> Option<String> {
    let cpu = linux.resources().as_ref()?.cpu().as_ref()?;
    cpu.cpus().clone().filter(|cpus| !cpus.is_empty())
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
    let restricted = !is_root() && namespaces.contains(CloneFlags::CLONE_NEWUSER);
    if !restricted {
        return Ok(Groups::Set);
    }
    match process.user().additional_gids().as_ref().is_some_and(|gids| !gids.is_empty()) {
        true => Err(Error::invalid("cannot set any additional groups in a rootless container")),
        false => Ok(Groups::Keep),
    }
}

pub(super) fn rootfs<'a>(
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
        device_source: match own_users || is_in_user_namespace() {
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

pub(super) fn terminal(process: &Process, request: &CreateRequest<'_>) -> Result<Option<Terminal>> {
    match &request.console {
        None => Ok(None),
        Some(socket) => {
            let socket = socket.try_clone().context(|| "hold the console socket")?;
            Ok(Some(Terminal::new(socket, process, request.streams)))
        }
    }
}

pub(super) fn id_maps(linux: &Linux) -> IdMaps {
    IdMaps {
        uids: linux.uid_mappings().clone().unwrap_or_default(),
        gids: linux.gid_mappings().clone().unwrap_or_default(),
    }
}

/// The lines of /proc/self/timens_offsets.
pub(super) fn time_offsets(linux: &Linux) -> String {
    let offsets = linux.time_offsets().iter().flatten();
    offsets
        .map(|(clock, offset)| {
            let (seconds, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            format!("{clock} {seconds} {nanos}\n")
        })
        .collect()
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
