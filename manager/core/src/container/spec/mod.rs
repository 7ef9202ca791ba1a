//! A container as the OCI runtime is told of it. Everything here is a function of what it is given:
//! whatever must be asked of the host or the image is asked before.

pub(crate) mod capabilities;
pub(crate) mod devices;
pub(crate) mod document;
pub(crate) mod environment;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod paths;
pub(crate) mod seccomp;
pub(crate) mod security;
pub(crate) mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use document::{
    ConsoleSize, Hooks, Linux, Process, Resources, Rlimit, Root, Seccomp, Spec, VERSION,
};
use namespaces::{NetworkSource, Sources};
use security::{SeccompChoice, SecurityOptions};
use user::Account;

use super::host_config::TerminalSize;
use super::modes::{PidMode, UtsMode};
use super::options::ExecConfig;
use super::record::Container;
use super::resources::Ulimit;
use crate::error::{Error, Result};
use crate::ids::IdMap;

/// What of the host decides a container's spec.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// The capabilities that can be given.
    pub(crate) capabilities: BTreeSet<&'static str>,
    /// Version and patch level of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Whether the kernel can filter system calls.
    pub(crate) seccomp: bool,
    /// Whether programs of containers that don't say gain privileges by executing others.
    pub(crate) no_new_privileges: bool,
}

/// What a spec is made of.
#[derive(Debug, Clone)]
pub(crate) struct Inputs<'a> {
    /// The container.
    pub(crate) container: &'a Container,
    /// What of the host matters.
    pub(crate) host: &'a HostFacts,
    /// Who runs it.
    pub(crate) account: &'a Account,
    /// The cgroup that it gets.
    pub(crate) cgroup: String,
    /// Who its users are on the host, and the file that holds their namespace; `None`: the host's.
    pub(crate) users: Option<(&'a IdMap, &'a Path)>,
    /// Its network stack.
    pub(crate) network: NetworkSource<'a>,
    /// The process whose pid namespace it joins.
    pub(crate) pid_of: Option<u32>,
    /// The process whose IPC namespace it joins.
    pub(crate) ipc_of: Option<u32>,
    /// The /dev/shm that it shares, if it shares one.
    pub(crate) shared_memory: Option<&'a Path>,
    /// Whether what it writes has a limit.
    pub(crate) limited: bool,
    /// Files of ours, by their path inside.
    pub(crate) files: &'a [(&'static str, &'a Path)],
    /// Where its mounts are taken from that aren't taken from their own place, by target.
    pub(crate) staged: &'a BTreeMap<String, PathBuf>,
    /// The volumes that are something else than a directory of this manager's.
    pub(crate) foreign: &'a BTreeSet<String>,
    /// The init that runs before its program, if one does.
    pub(crate) init: Option<&'a Path>,
}

/// Where the bundle has the root file system.
const ROOTFS: &str = "rootfs";

/// The first kernel with mount_setattr(2), which makes trees of mounts read-only.
const RECURSIVE_READ_ONLY_SINCE: (u32, u32) = (5, 12);

/// Lets programs listen on low ports without any capability, in their own network only.
const LOW_PORTS: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");
/// Lets them ping.
const PING: &str = "net.ipv4.ping_group_range";
/// The last group there can be.
const LAST_GROUP: u32 = 2_147_483_647;

/// The spec of a container.
///
/// # Errors
/// Invalid if its settings contradict each other or this host.
pub(crate) fn generate(inputs: &Inputs<'_>) -> Result<Spec> {
    let Inputs { container, host, .. } = inputs;
    let settings = &container.host;
    let security = SecurityOptions::parse(&settings.security_options)?;
    let capabilities = capabilities_of(container, host)?;
    let devices = if settings.privileged {
        devices::Devices::privileged(&settings.resources.devices)?
    } else {
        let resources = &settings.resources;
        devices::Devices::ordinary(&resources.devices, &resources.device_cgroup_rules)?
    };
    let wishes = mounts::Wishes {
        points: &container.mounts,
        files: inputs.files,
        staged: inputs.staged,
        foreign: inputs.foreign,
        init: inputs.init,
        ipc: &settings.ipc_mode,
        shared_memory: inputs.shared_memory,
        shm_size: settings.shm_size.unwrap_or_default(),
        privileged: settings.privileged,
        writable_cgroups: security.writable_cgroups.unwrap_or(settings.privileged),
        readonly_rootfs: settings.readonly_rootfs,
        recursive_read_only: host.kernel >= RECURSIVE_READ_ONLY_SINCE,
        remapped: inputs.users.is_some(),
    };
    let sources = Sources {
        users: inputs.users.map(|(_, path)| path),
        network: inputs.network,
        pid: &settings.pid_mode,
        pid_of: inputs.pid_of,
        ipc: &settings.ipc_mode,
        ipc_of: inputs.ipc_of,
        uts: settings.uts_mode,
        cgroup: settings.cgroupns_mode,
    };
    let own_hostname = settings.uts_mode == UtsMode::Private;
    let named = |name: &String| if own_hostname { name.clone() } else { String::new() };
    Ok(Spec {
        oci_version: VERSION,
        process: process(inputs, &security, &capabilities),
        root: Root { path: ROOTFS.to_owned(), readonly: settings.readonly_rootfs },
        hostname: named(&container.config.hostname),
        domainname: named(&container.config.domainname),
        mounts: mounts::list(&wishes),
        annotations: settings.annotations.clone(),
        hooks: Hooks::default(),
        linux: Linux {
            cgroups_path: inputs.cgroup.clone(),
            namespaces: namespaces::list(&sources),
            devices: devices.nodes,
            resources: Resources {
                devices: devices.rules,
                memory: limits::memory(&settings.resources),
                cpu: limits::cpu(&settings.resources),
                pids: limits::pids(&settings.resources),
                block_io: limits::block_io(&settings.resources)?,
            },
            sysctl: sysctls(container, inputs.users.map(|(map, _)| map)),
            seccomp: filter(inputs, &security, &capabilities)?,
            masked_paths: settings.masked_paths.clone().unwrap_or_default(),
            readonly_paths: settings.readonly_paths.clone().unwrap_or_default(),
            rootfs_propagation: mounts::root_propagation(&container.mounts),
        },
    })
}

/// A process beside a container's own.
pub(crate) fn exec_process(
    container: &Container,
    config: &ExecConfig,
    size: Option<TerminalSize>,
    account: &Account,
    host: &HostFacts,
) -> Result<Process> {
    let security = SecurityOptions::parse(&container.host.security_options)?;
    let names = if config.privileged {
        capabilities::of_container(&[], &[], true, &host.capabilities)?
    } else {
        capabilities_of(container, host)?
    };
    let own = &container.config;
    let base = environment::of_container(&own.hostname, config.tty, &own.env);
    let env = environment::with_home(environment::merge(base, &config.env), &account.home);
    let directory =
        if config.working_dir.is_empty() { &own.working_dir } else { &config.working_dir };
    Ok(Process {
        terminal: config.tty,
        console_size: console_size(config.tty, size.unwrap_or_default()),
        user: account.user.clone(),
        args: config.cmd.clone(),
        env,
        cwd: or_root(directory),
        capabilities: capabilities::sets(&names),
        rlimits: rlimits(&container.host.resources.ulimits),
        no_new_privileges: security.no_new_privileges.unwrap_or(host.no_new_privileges),
        oom_score_adj: container.host.oom_score_adj,
    })
}

/// The init that runs before a container's program, if `asked` or `by_default`. In a pid namespace
/// that isn't its own there is an init already.
pub(crate) fn wants_init(container: &Container, by_default: bool) -> bool {
    container.host.pid_mode == PidMode::Private && container.host.init.unwrap_or(by_default)
}

fn process(inputs: &Inputs<'_>, security: &SecurityOptions, names: &[&'static str]) -> Process {
    let container = inputs.container;
    let config = &container.config;
    let mut args = Vec::new();
    if inputs.init.is_some() {
        args.extend([mounts::INIT.to_owned(), "--".to_owned()]);
    }
    args.push(container.path.clone());
    args.extend(container.arguments.iter().cloned());
    let env = environment::of_container(&config.hostname, config.tty, &config.env);
    Process {
        terminal: config.tty,
        console_size: console_size(config.tty, container.host.console_size),
        user: inputs.account.user.clone(),
        args,
        env: environment::with_home(env, &inputs.account.home),
        cwd: or_root(&config.working_dir),
        capabilities: capabilities::sets(names),
        rlimits: rlimits(&container.host.resources.ulimits),
        no_new_privileges: security.no_new_privileges.unwrap_or(inputs.host.no_new_privileges),
        oom_score_adj: container.host.oom_score_adj,
    }
}

fn capabilities_of(container: &Container, host: &HostFacts) -> Result<Vec<&'static str>> {
    let settings = &container.host;
    capabilities::of_container(
        &settings.cap_add,
        &settings.cap_drop,
        settings.privileged,
        &host.capabilities,
    )
}

/// The system call filter that `security` asks for.
fn filter(
    inputs: &Inputs<'_>,
    security: &SecurityOptions,
    names: &[&'static str],
) -> Result<Option<Seccomp>> {
    let Inputs { container, host, .. } = inputs;
    let privileged = container.host.privileged;
    let profile = match &security.seccomp {
        SeccompChoice::Unconfined => return Ok(None),
        SeccompChoice::Default if privileged || !host.seccomp => return Ok(None),
        SeccompChoice::Default | SeccompChoice::Builtin => seccomp::builtin(),
        SeccompChoice::Custom(profile) => profile,
    };
    if !host.seccomp {
        return Err(Error::invalid(
            "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
        ));
    }
    let mut filter = profile.resolve(&seccomp::Conditions {
        capabilities: names,
        processor: seccomp::PROCESSOR,
        kernel: host.kernel,
    });
    if let Some(filter) = &mut filter
        && inputs.limited
    {
        seccomp::keep_projects(filter);
    }
    Ok(filter)
}

fn sysctls(container: &Container, id_map: Option<&IdMap>) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    if container.host.network_mode.is_private() {
        // There are no other groups in a user namespace than those that are mapped.
        let last = id_map.map_or(LAST_GROUP, IdMap::last_group);
        sysctls.insert(PING.to_owned(), format!("0 {last}"));
        sysctls.insert(LOW_PORTS.0.to_owned(), LOW_PORTS.1.to_owned());
    }
    sysctls.extend(container.host.sysctls.clone());
    sysctls
}

fn rlimits(ulimits: &[Ulimit]) -> Vec<Rlimit> {
    // -1 is how users write "no limit"; RLIM_INFINITY has all bits set.
    let limit = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    ulimits
        .iter()
        .map(|ulimit| Rlimit {
            kind: format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase()),
            soft: limit(ulimit.soft),
            hard: limit(ulimit.hard),
        })
        .collect()
}

fn console_size(terminal: bool, size: TerminalSize) -> Option<ConsoleSize> {
    let known = terminal && size != TerminalSize::default();
    known.then_some(ConsoleSize { height: size.height, width: size.width })
}

fn or_root(directory: &str) -> String {
    if directory.is_empty() { "/".to_owned() } else { directory.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests;
