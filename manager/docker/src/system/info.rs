//! `GET /info`: what `docker info` shows of the server.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tare_core::config::Config;
use tare_core::container::{LOG_DRIVERS, State as ContainerState};
use tare_core::host::{Cgroups, Controller, Host, manager_id, program_version};

use super::registries::{RegistryConfig, without_password};
use super::runtimes::RuntimeView;
use super::{VERSION, runtimes};
use crate::api::Api;
use crate::time::rfc3339;
use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// The first version that tells which firewall there is.
const BACKEND_SINCE: ApiVersion = ApiVersion::new(1, 49);
/// The first version that tells no more whether bridges are filtered.
const NETFILTER_UNTIL: ApiVersion = ApiVersion::new(1, 50);
/// The first version without the commits that were expected.
const EXPECTED_UNTIL: ApiVersion = ApiVersion::new(1, 49);

/// The manager and its host.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    #[serde(rename = "ID")]
    id: String,
    #[serde(flatten)]
    counts: Counts,
    images: usize,
    driver: &'static str,
    driver_status: Vec<[String; 2]>,
    plugins: Plugins,
    #[serde(flatten)]
    limits: Limits,
    #[serde(rename = "IPv4Forwarding")]
    ipv4_forwarding: bool,
    debug: bool,
    #[serde(rename = "NFd")]
    open_files: usize,
    #[serde(rename = "NGoroutines")]
    goroutines: usize,
    system_time: String,
    logging_driver: String,
    cgroup_driver: &'static str,
    cgroup_version: &'static str,
    #[serde(rename = "NEventsListener")]
    events_listeners: usize,
    kernel_version: String,
    operating_system: String,
    #[serde(rename = "OSVersion")]
    os_version: String,
    #[serde(rename = "OSType")]
    os_type: &'static str,
    architecture: &'static str,
    index_server_address: &'static str,
    registry_config: RegistryConfig,
    #[serde(rename = "NCPU")]
    processors: usize,
    mem_total: u64,
    generic_resources: Option<()>,
    docker_root_dir: String,
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    name: String,
    labels: Vec<String>,
    experimental_build: bool,
    server_version: &'static str,
    runtimes: BTreeMap<String, RuntimeView>,
    default_runtime: String,
    swarm: Swarm,
    live_restore_enabled: bool,
    isolation: &'static str,
    init_binary: String,
    containerd_commit: Commit,
    runc_commit: Commit,
    init_commit: Commit,
    security_options: Vec<String>,
    /// Since 1.49.
    #[serde(skip_serializing_if = "Option::is_none")]
    firewall_backend: Option<Firewall>,
    /// Until 1.49.
    #[serde(flatten)]
    bridge_netfilter: Option<BridgeNetfilter>,
    #[serde(rename = "CDISpecDirs")]
    cdi_spec_dirs: Vec<String>,
    #[serde(serialize_with = "null_if_empty")]
    warnings: Vec<String>,
}

/// How many containers are in which state.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    containers: usize,
    containers_running: usize,
    containers_paused: usize,
    containers_stopped: usize,
}

/// Which limits the host's cgroups can set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Limits {
    memory_limit: bool,
    swap_limit: bool,
    cpu_cfs_period: bool,
    cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    cpu_set: bool,
    pids_limit: bool,
    oom_kill_disable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Plugins {
    volume: Vec<String>,
    network: [&'static str; 3],
    authorization: Option<()>,
    log: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(rename = "NodeID")]
    node_id: &'static str,
    node_addr: &'static str,
    local_node_state: &'static str,
    control_available: bool,
    error: &'static str,
    remote_managers: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Commit {
    #[serde(rename = "ID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
}

impl Commit {
    fn new(id: String, version: ApiVersion) -> Self {
        let expected = (version < EXPECTED_UNTIL).then(|| id.clone());
        Self { id, expected }
    }
}

/// Docker has said no to both for long.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct BridgeNetfilter {
    bridge_nf_iptables: bool,
    bridge_nf_ip6tables: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Firewall {
    driver: &'static str,
}

pub(super) async fn handle(State(api): State<Api>, version: ApiVersion) -> Json<Info> {
    let engine = &api.engine;
    let config = &engine.config;
    let live = config.live();
    let registry = engine.images.registries().settings();
    let proxies = &registry.proxies;
    let host = Host::read();
    let snapshots = engine.images.snapshots();
    let status = snapshots.driver_status().into_iter();
    let limits = Limits::of(&host.cgroups);
    let mut warnings = warnings(&host, &limits);
    warnings.extend(api.warnings.iter().cloned());
    let containers = engine.containers.list();
    Json(Info {
        id: manager_id(&config.data_root),
        counts: Counts::of(containers.iter().map(|container| &container.state)),
        images: engine.images.list().len(),
        driver: snapshots.driver().as_str(),
        driver_status: status.map(|(name, value)| [name.to_owned(), value]).collect(),
        plugins: Plugins {
            volume: engine.volumes.drivers(),
            network: ["bridge", "host", "null"],
            authorization: None,
            // Docker names those that do something.
            log: LOG_DRIVERS.into_iter().filter(|name| *name != "none").collect(),
        },
        limits,
        ipv4_forwarding: host.system.forwards_ipv4,
        debug: tracing::enabled!(tracing::Level::DEBUG),
        open_files: count_entries(Path::new("/proc/self/fd")),
        goroutines: count_entries(Path::new("/proc/self/task")),
        system_time: rfc3339(Timestamp::now()),
        logging_driver: config.log_driver.clone(),
        cgroup_driver: "cgroupfs",
        cgroup_version: if host.cgroups.is_unified() { "2" } else { "1" },
        events_listeners: engine.events.listeners(),
        kernel_version: host.system.kernel.clone(),
        operating_system: host.system.distribution.clone(),
        os_version: host.system.distribution_version.clone(),
        os_type: "linux",
        architecture: host.system.architecture.kernel_name(),
        index_server_address: "https://index.docker.io/v1/",
        registry_config: RegistryConfig::of(&registry, version),
        processors: host.system.processors,
        mem_total: host.system.memory,
        generic_resources: None,
        docker_root_dir: config.data_root.display().to_string(),
        http_proxy: without_password(proxies.http.as_deref()),
        https_proxy: without_password(proxies.https.as_deref()),
        no_proxy: proxies.without.clone().unwrap_or_default(),
        name: host.system.host_name.clone(),
        labels: live.labels.clone(),
        experimental_build: false,
        server_version: VERSION,
        runtimes: runtimes::views(&live.runtimes, version).await,
        default_runtime: live.default_runtime.clone(),
        swarm: Swarm {
            node_id: "",
            node_addr: "",
            local_node_state: "inactive",
            control_available: false,
            error: "",
            remote_managers: None,
        },
        live_restore_enabled: true,
        isolation: "",
        init_binary: file_name(&config.init),
        containerd_commit: Commit::new(VERSION.to_owned(), version),
        runc_commit: Commit::new(runtime_version(&api).await, version),
        init_commit: Commit::new(VERSION.to_owned(), version),
        security_options: security_options(&host, &api.engine.config),
        firewall_backend: (version >= BACKEND_SINCE).then_some(Firewall { driver: "nftables" }),
        bridge_netfilter: (version < NETFILTER_UNTIL).then(BridgeNetfilter::default),
        cdi_spec_dirs: Vec::new(),
        warnings,
    })
}

impl Counts {
    fn of<'a>(states: impl Iterator<Item = &'a ContainerState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.containers += 1;
            match state {
                ContainerState::Running(_) => counts.containers_running += 1,
                ContainerState::Paused(_) => counts.containers_paused += 1,
                ContainerState::Created { .. }
                | ContainerState::Restarting(_)
                | ContainerState::Exited(_)
                | ContainerState::Removing { .. }
                | ContainerState::Dead { .. } => counts.containers_stopped += 1,
            }
        }
        counts
    }
}

impl Limits {
    fn of(cgroups: &Cgroups) -> Self {
        let quota = cgroups.has_cpu_quota();
        Self {
            memory_limit: cgroups.has(Controller::Memory),
            swap_limit: cgroups.limits_swap(),
            cpu_cfs_period: quota,
            cpu_cfs_quota: quota,
            cpu_shares: cgroups.has(Controller::Cpu),
            cpu_set: cgroups.has(Controller::Cpuset),
            pids_limit: cgroups.has(Controller::Pids),
            oom_kill_disable: cgroups.can_disable_oom_killer(),
        }
    }
}

/// What docker's users are warned of, in docker's words.
fn warnings(host: &Host, limits: &Limits) -> Vec<String> {
    let unified = host.cgroups.is_unified();
    [
        (limits.memory_limit, "No memory limit support"),
        (limits.swap_limit, "No swap limit support"),
        (limits.oom_kill_disable || unified, "No oom kill disable support"),
        (limits.cpu_cfs_quota, "No cpu cfs quota support"),
        (limits.cpu_shares, "No cpu shares support"),
        (limits.cpu_set, "No cpuset support"),
        (limits.pids_limit, "No pids limit support"),
        (host.system.forwards_ipv4, "IPv4 forwarding is disabled"),
    ]
    .into_iter()
    .filter(|(there, _)| !there)
    .map(|(_, warning)| format!("WARNING: {warning}"))
    .collect()
}

fn security_options(host: &Host, config: &Config) -> Vec<String> {
    let mut options = Vec::new();
    if host.security.seccomp {
        options.push("name=seccomp,profile=builtin".to_owned());
    }
    if config.id_map.is_some() {
        options.push("name=userns".to_owned());
    }
    if host.security.cgroup_namespaces && host.cgroups.is_unified() {
        options.push("name=cgroupns".to_owned());
    }
    options
}

async fn runtime_version(api: &Api) -> String {
    let live = api.engine.config.live();
    let version = match live.runtime(&live.default_runtime) {
        Some(runtime) => program_version(&runtime.path).await,
        None => None,
    };
    version.unwrap_or_else(|| "N/A".to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn count_entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_counted_as_docker_does() {
        let states = [
            ContainerState::Created { failure: None },
            ContainerState::Dead { exit: None },
            ContainerState::Removing { exit: None, volumes: false },
        ];
        let counts = Counts::of(states.iter());
        assert_eq!(counts.containers, 3);
        assert_eq!(counts.containers_stopped, 3);
    }
}
