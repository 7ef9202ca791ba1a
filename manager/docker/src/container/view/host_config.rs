//! `HostConfig`: how a container sits on its host.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::container::{
    Container, Containers, EmptyLists, HostConfig, HostList, Link, Resources, RestartPolicy,
    TerminalSize,
};

use super::devices::{DeviceRequestView, DeviceView, RateView, UlimitView, WeightView};
use super::mount_requests::MountRequestView;
use super::networks::network_name;
use super::ports::{Bindings, wished};

/// Docker's `HostConfig`. Fields that mean nothing on Linux have docker's empty values.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::container) struct HostConfigView {
    binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile")]
    container_id_file: String,
    log_config: LogConfigView,
    network_mode: String,
    port_bindings: Bindings,
    restart_policy: RestartPolicyView,
    auto_remove: bool,
    volume_driver: String,
    volumes_from: Option<Vec<String>>,
    console_size: [u32; 2],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: String,
    dns: Option<Vec<String>>,
    dns_options: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: String,
    cgroup: &'static str,
    links: Option<Vec<String>>,
    oom_score_adj: i32,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage_opt: BTreeMap<String, String>,
    security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
    shm_size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<String, String>,
    runtime: String,
    isolation: String,
    #[serde(flatten)]
    resources: ResourcesView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<MountRequestView>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfigView {
    r#type: String,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicyView {
    name: &'static str,
    maximum_retry_count: u32,
}

/// Docker's `Resources`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourcesView {
    cpu_shares: i64,
    memory: i64,
    nano_cpus: i64,
    cgroup_parent: String,
    blkio_weight: u16,
    blkio_weight_device: Option<Vec<WeightView>>,
    blkio_device_read_bps: Option<Vec<RateView>>,
    blkio_device_write_bps: Option<Vec<RateView>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Option<Vec<RateView>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Option<Vec<RateView>>,
    cpu_period: i64,
    cpu_quota: i64,
    cpu_realtime_period: i64,
    cpu_realtime_runtime: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Option<Vec<DeviceView>>,
    device_cgroup_rules: Option<Vec<String>>,
    device_requests: Option<Vec<DeviceRequestView>>,
    memory_reservation: i64,
    memory_swap: i64,
    memory_swappiness: Option<i64>,
    oom_kill_disable: Option<bool>,
    pids_limit: Option<i64>,
    ulimits: Option<Vec<UlimitView>>,
    cpu_count: i64,
    cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: u64,
}

impl HostConfigView {
    /// The same with the links of `container`, by the names that containers have now.
    pub(in crate::container) fn with_links(
        self,
        container: &Container,
        known: &Containers,
    ) -> Self {
        let line = |link: &Link| {
            let target = known.find(&link.target).map(|other| other.name.clone());
            let target = target.unwrap_or_else(|_| link.target.clone());
            format!("/{target}:/{}/{}", container.name, link.alias)
        };
        let links: Vec<_> = container.host.links.iter().map(line).collect();
        Self { links: (!links.is_empty()).then_some(links), ..self }
    }
}

impl From<&HostConfig> for HostConfigView {
    fn from(host: &HostConfig) -> Self {
        let TerminalSize { height, width } = host.console_size;
        let (host, lists) = (host.clone(), host.empty_lists);
        let network_mode = match network_name(&host.network_mode) {
            Some(name) => name.to_owned(),
            None => host.network_mode.to_string(),
        };
        Self {
            binds: lists
                .shown(HostList::Binds, host.binds.iter().map(ToString::to_string).collect()),
            container_id_file: host.container_id_file,
            log_config: LogConfigView { r#type: host.log.driver, config: host.log.options },
            network_mode,
            port_bindings: wished(&host.port_bindings),
            restart_policy: host.restart_policy.into(),
            auto_remove: host.auto_remove,
            volume_driver: host.volume_driver,
            volumes_from: lists.shown(HostList::VolumesFrom, host.volumes_from),
            console_size: [height, width],
            annotations: host.annotations,
            cap_add: lists.shown(HostList::CapAdd, host.cap_add),
            cap_drop: lists.shown(HostList::CapDrop, host.cap_drop),
            cgroupns_mode: host.cgroupns_mode.to_string(),
            dns: lists.shown(HostList::Dns, host.dns.iter().map(ToString::to_string).collect()),
            dns_options: lists.shown(HostList::DnsOptions, host.dns_options),
            dns_search: lists.shown(HostList::DnsSearch, host.dns_search),
            extra_hosts: lists.shown(HostList::ExtraHosts, host.extra_hosts),
            group_add: lists.shown(HostList::GroupAdd, host.group_add),
            ipc_mode: host.ipc_mode.to_string(),
            cgroup: "",
            links: None,
            oom_score_adj: host.oom_score_adj,
            pid_mode: host.pid_mode.to_string(),
            privileged: host.privileged,
            publish_all_ports: host.publish_all_ports,
            readonly_rootfs: host.readonly_rootfs,
            storage_opt: host.storage_options.clone(),
            security_opt: lists.shown(HostList::SecurityOpt, host.security_options),
            tmpfs: host.tmpfs,
            uts_mode: host.uts_mode.to_string(),
            userns_mode: host.userns_mode.to_string(),
            shm_size: host.shm_size.unwrap_or_default(),
            sysctls: host.sysctls,
            runtime: host.runtime,
            isolation: host.isolation,
            resources: ResourcesView::of(host.resources, lists),
            mounts: host.mounts.iter().map(MountRequestView::from).collect(),
            masked_paths: host.masked_paths,
            readonly_paths: host.readonly_paths,
            init: host.init,
        }
    }
}

impl From<RestartPolicy> for RestartPolicyView {
    fn from(policy: RestartPolicy) -> Self {
        let (name, maximum_retry_count) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
            RestartPolicy::OnFailure { maximum_retries } => ("on-failure", maximum_retries),
        };
        Self { name, maximum_retry_count }
    }
}

impl ResourcesView {
    fn of(resources: Resources, lists: EmptyLists) -> Self {
        Self {
            cpu_shares: resources.cpu_shares,
            memory: resources.memory,
            nano_cpus: resources.nano_cpus,
            cgroup_parent: resources.cgroup_parent,
            blkio_weight: resources.blkio_weight,
            blkio_weight_device: lists
                .shown(HostList::BlkioWeightDevice, views(resources.blkio_weight_devices)),
            blkio_device_read_bps: lists
                .shown(HostList::BlkioDeviceReadBps, views(resources.blkio_read_bps)),
            blkio_device_write_bps: lists
                .shown(HostList::BlkioDeviceWriteBps, views(resources.blkio_write_bps)),
            blkio_device_read_iops: lists
                .shown(HostList::BlkioDeviceReadIops, views(resources.blkio_read_iops)),
            blkio_device_write_iops: lists
                .shown(HostList::BlkioDeviceWriteIops, views(resources.blkio_write_iops)),
            cpu_period: resources.cpu_period,
            cpu_quota: resources.cpu_quota,
            cpu_realtime_period: resources.cpu_realtime_period,
            cpu_realtime_runtime: resources.cpu_realtime_runtime,
            cpuset_cpus: resources.cpuset_cpus,
            cpuset_mems: resources.cpuset_mems,
            devices: lists.shown(HostList::Devices, views(resources.devices)),
            device_cgroup_rules: lists
                .shown(HostList::DeviceCgroupRules, resources.device_cgroup_rules),
            device_requests: lists
                .shown(HostList::DeviceRequests, views(resources.device_requests)),
            memory_reservation: resources.memory_reservation,
            memory_swap: resources.memory_swap,
            memory_swappiness: resources.memory_swappiness,
            oom_kill_disable: resources.oom_kill_disable,
            pids_limit: resources.pids_limit,
            ulimits: lists.shown(HostList::Ulimits, views(resources.ulimits)),
            cpu_count: 0,
            cpu_percent: 0,
            io_maximum_iops: 0,
            io_maximum_bandwidth: 0,
        }
    }
}

/// The views of a list's elements.
fn views<T, V: From<T>>(list: Vec<T>) -> Vec<V> {
    list.into_iter().map(V::from).collect()
}
