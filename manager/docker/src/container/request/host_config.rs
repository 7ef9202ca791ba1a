//! `HostConfig` of a create, with its `Resources`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tare_core::container::{
    EmptyLists, HostConfig, HostList, LogConfig, NetworkMode, Resources, TerminalSize,
};

use super::lenient::{Unset, kernel_memory};
use super::mounts::MountBody;
use super::resources::{
    DeviceBody, DeviceRequestBody, PortBindingBody, RateBody, UlimitBody, WeightBody, ip,
    port_bindings,
};
use super::restart_policy::RestartBody;
use crate::error::{Error, Result};
use crate::version::ApiVersion;

/// The first version in which the size of the client's terminal counts on Linux.
const CONSOLE_SIZE_SINCE: ApiVersion = ApiVersion::new(1, 42);
/// The first version with annotations.
const ANNOTATIONS_SINCE: ApiVersion = ApiVersion::new(1, 43);
/// The first version in which read-only binds reach what is mounted below them.
const RECURSIVE_SINCE: ApiVersion = ApiVersion::new(1, 44);
/// The first version that warns about a driver of volumes that doesn't count.
const VOLUME_DRIVER_WARNED_SINCE: ApiVersion = ApiVersion::new(1, 48);
const VOLUME_DRIVER_IGNORED: &str = "WARNING: the container-wide volume-driver configuration is \
    ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead";

/// All fields of `HostConfig`, past ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct HostConfigBody {
    binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile")]
    container_id_file: Option<String>,
    log_config: Option<LogBody>,
    network_mode: Option<String>,
    port_bindings: Option<BTreeMap<String, Option<Vec<PortBindingBody>>>>,
    restart_policy: Option<RestartBody>,
    auto_remove: Option<bool>,
    volume_driver: Option<String>,
    volumes_from: Option<Vec<String>>,
    console_size: Option<[u32; 2]>,
    annotations: Option<BTreeMap<String, String>>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    capabilities: Option<Unset>,
    cgroupns_mode: Option<String>,
    dns: Option<Vec<String>>,
    dns_options: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: Option<String>,
    cgroup: Option<Unset>,
    links: Option<Vec<String>>,
    oom_score_adj: Option<i32>,
    pid_mode: Option<String>,
    privileged: Option<bool>,
    publish_all_ports: Option<bool>,
    readonly_rootfs: Option<bool>,
    security_opt: Option<Vec<String>>,
    storage_opt: Option<BTreeMap<String, String>>,
    tmpfs: Option<BTreeMap<String, String>>,
    #[serde(rename = "UTSMode")]
    uts_mode: Option<String>,
    userns_mode: Option<String>,
    shm_size: Option<i64>,
    sysctls: Option<BTreeMap<String, String>>,
    runtime: Option<String>,
    isolation: Option<String>,
    mounts: Option<Vec<MountBody>>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    init: Option<bool>,

    cpu_shares: Option<i64>,
    memory: Option<i64>,
    nano_cpus: Option<i64>,
    cgroup_parent: Option<String>,
    blkio_weight: Option<u16>,
    blkio_weight_device: Option<Vec<WeightBody>>,
    blkio_device_read_bps: Option<Vec<RateBody>>,
    blkio_device_write_bps: Option<Vec<RateBody>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Option<Vec<RateBody>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Option<Vec<RateBody>>,
    cpu_period: Option<i64>,
    cpu_quota: Option<i64>,
    cpu_realtime_period: Option<i64>,
    cpu_realtime_runtime: Option<i64>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    devices: Option<Vec<DeviceBody>>,
    device_cgroup_rules: Option<Vec<String>>,
    device_requests: Option<Vec<DeviceRequestBody>>,
    disk_quota: Option<Unset>,
    kernel_memory: Option<i64>,
    #[serde(rename = "KernelMemoryTCP")]
    kernel_memory_tcp: Option<i64>,
    memory_reservation: Option<i64>,
    memory_swap: Option<i64>,
    memory_swappiness: Option<i64>,
    oom_kill_disable: Option<bool>,
    pids_limit: Option<i64>,
    ulimits: Option<Vec<UlimitBody>>,
    cpu_count: Option<Unset>,
    cpu_percent: Option<i64>,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: Option<u64>,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: Option<u64>,
    /// A setting of docker's first years, which clients still send empty.
    lxc_conf: Option<Unset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct LogBody {
    r#type: Option<String>,
    config: Option<BTreeMap<String, String>>,
}

impl HostConfigBody {
    /// What a client should know of settings that mean nothing on Linux, or nothing any more.
    pub(super) fn discarded(&self, version: ApiVersion) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(kernel_memory([self.kernel_memory, self.kernel_memory_tcp]));
        if self.cpu_percent.is_some_and(|percent| percent > 0) {
            warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
        }
        let names_a_driver = self.volume_driver.as_ref().is_some_and(|name| !name.is_empty());
        let mut mounts = self.mounts.iter().flatten();
        if version >= VOLUME_DRIVER_WARNED_SINCE
            && names_a_driver
            && mounts.any(MountBody::is_volume_without_driver)
        {
            warnings.push(VOLUME_DRIVER_IGNORED.to_owned());
        }
        warnings
    }

    pub(super) fn into_domain(mut self, version: ApiVersion) -> Result<HostConfig> {
        if let Some(isolation) = self.isolation.as_deref()
            && !(isolation.is_empty() || isolation.eq_ignore_ascii_case("default"))
        {
            return Err(Error::invalid(format!(
                "invalid isolation ({isolation}): linux only supports 'default'"
            )));
        }
        for (number, what) in
            [(self.io_maximum_bandwidth, "bandwidth"), (self.io_maximum_iops, "IOPs")]
        {
            if number.is_some_and(|number| number > 0) {
                return Err(Error::invalid(format!(
                    "invalid option: QoS maximum {what} configuration is not supported on linux"
                )));
            }
        }
        let empty_lists = self.empty_lists();
        let resources = self.take_resources();
        let mode = |text: Option<String>| text.unwrap_or_default();
        let log = self.log_config.unwrap_or_default();
        let size = self.console_size.filter(|_| version >= CONSOLE_SIZE_SINCE);
        let [height, width] = size.unwrap_or_default();
        let annotations = self.annotations.filter(|_| version >= ANNOTATIONS_SINCE);
        let dns = self.dns.unwrap_or_default();
        let mounts = self.mounts.unwrap_or_default().into_iter();
        let mounts = mounts.map(|mount| mount.into_domain(version));
        Ok(HostConfig {
            binds: each(self.binds, |text| text.parse())?,
            mounts: mounts.collect::<Result<_>>()?,
            read_only_top_only: version < RECURSIVE_SINCE,
            volumes_from: self.volumes_from.unwrap_or_default(),
            volume_driver: self.volume_driver.unwrap_or_default(),
            tmpfs: self.tmpfs.unwrap_or_default(),
            container_id_file: self.container_id_file.unwrap_or_default(),
            storage_options: self.storage_opt.unwrap_or_default(),
            log: LogConfig {
                driver: log.r#type.unwrap_or_default(),
                options: log.config.unwrap_or_default(),
            },
            network_mode: NetworkMode::from(mode(self.network_mode)),
            networks: BTreeMap::new(),
            links: self
                .links
                .unwrap_or_default()
                .iter()
                .map(|link| link.parse())
                .collect::<Result<_, _>>()?,
            mac_address: None,
            port_bindings: port_bindings(self.port_bindings.unwrap_or_default())?,
            publish_all_ports: self.publish_all_ports.unwrap_or_default(),
            restart_policy: self
                .restart_policy
                .unwrap_or_default()
                .into_domain()?
                .unwrap_or_default(),
            auto_remove: self.auto_remove.unwrap_or_default(),
            console_size: TerminalSize { height, width },
            annotations: annotations.unwrap_or_default(),
            cap_add: self.cap_add.unwrap_or_default(),
            cap_drop: self.cap_drop.unwrap_or_default(),
            dns: dns.iter().map(|text| ip(text)).collect::<Result<_>>()?,
            dns_options: self.dns_options.unwrap_or_default(),
            dns_search: self.dns_search.unwrap_or_default(),
            extra_hosts: self.extra_hosts.unwrap_or_default(),
            group_add: self.group_add.unwrap_or_default(),
            ipc_mode: mode(self.ipc_mode).parse()?,
            pid_mode: mode(self.pid_mode).parse()?,
            uts_mode: mode(self.uts_mode).parse()?,
            cgroupns_mode: mode(self.cgroupns_mode).parse()?,
            userns_mode: mode(self.userns_mode).parse()?,
            oom_score_adj: self.oom_score_adj.unwrap_or_default(),
            privileged: self.privileged.unwrap_or_default(),
            readonly_rootfs: self.readonly_rootfs.unwrap_or_default(),
            security_options: self.security_opt.unwrap_or_default(),
            shm_size: shm_size(self.shm_size)?,
            sysctls: self.sysctls.unwrap_or_default(),
            runtime: self.runtime.unwrap_or_default(),
            isolation: self.isolation.unwrap_or_default(),
            init: self.init,
            masked_paths: self.masked_paths,
            readonly_paths: self.readonly_paths,
            resources,
            empty_lists,
        })
    }
}

impl HostConfigBody {
    fn empty_lists(&self) -> EmptyLists {
        let mut lists = EmptyLists::default();
        lists.note(HostList::Binds, self.binds.as_ref());
        lists.note(HostList::VolumesFrom, self.volumes_from.as_ref());
        lists.note(HostList::CapAdd, self.cap_add.as_ref());
        lists.note(HostList::CapDrop, self.cap_drop.as_ref());
        lists.note(HostList::Dns, self.dns.as_ref());
        lists.note(HostList::DnsOptions, self.dns_options.as_ref());
        lists.note(HostList::DnsSearch, self.dns_search.as_ref());
        lists.note(HostList::ExtraHosts, self.extra_hosts.as_ref());
        lists.note(HostList::GroupAdd, self.group_add.as_ref());
        lists.note(HostList::SecurityOpt, self.security_opt.as_ref());
        lists.note(HostList::BlkioWeightDevice, self.blkio_weight_device.as_ref());
        lists.note(HostList::BlkioDeviceReadBps, self.blkio_device_read_bps.as_ref());
        lists.note(HostList::BlkioDeviceWriteBps, self.blkio_device_write_bps.as_ref());
        lists.note(HostList::BlkioDeviceReadIops, self.blkio_device_read_iops.as_ref());
        lists.note(HostList::BlkioDeviceWriteIops, self.blkio_device_write_iops.as_ref());
        lists.note(HostList::Devices, self.devices.as_ref());
        lists.note(HostList::DeviceCgroupRules, self.device_cgroup_rules.as_ref());
        lists.note(HostList::DeviceRequests, self.device_requests.as_ref());
        lists.note(HostList::Ulimits, self.ulimits.as_ref());
        lists
    }

    /// The fields that are docker's `Resources`.
    fn take_resources(&mut self) -> Resources {
        Resources {
            memory: self.memory.unwrap_or_default(),
            memory_swap: self.memory_swap.unwrap_or_default(),
            memory_reservation: self.memory_reservation.unwrap_or_default(),
            memory_swappiness: self.memory_swappiness.filter(|value| *value != -1),
            oom_kill_disable: self.oom_kill_disable,
            nano_cpus: self.nano_cpus.unwrap_or_default(),
            cpu_shares: self.cpu_shares.unwrap_or_default(),
            cpu_period: self.cpu_period.unwrap_or_default(),
            cpu_quota: self.cpu_quota.unwrap_or_default(),
            cpu_realtime_period: self.cpu_realtime_period.unwrap_or_default(),
            cpu_realtime_runtime: self.cpu_realtime_runtime.unwrap_or_default(),
            cpuset_cpus: self.cpuset_cpus.take().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.take().unwrap_or_default(),
            blkio_weight: self.blkio_weight.unwrap_or_default(),
            blkio_weight_devices: all(self.blkio_weight_device.take(), WeightBody::into_domain),
            blkio_read_bps: all(self.blkio_device_read_bps.take(), RateBody::into_domain),
            blkio_write_bps: all(self.blkio_device_write_bps.take(), RateBody::into_domain),
            blkio_read_iops: all(self.blkio_device_read_iops.take(), RateBody::into_domain),
            blkio_write_iops: all(self.blkio_device_write_iops.take(), RateBody::into_domain),
            pids_limit: self.pids_limit.filter(|limit| *limit > 0),
            cgroup_parent: self.cgroup_parent.take().unwrap_or_default(),
            devices: all(self.devices.take(), DeviceBody::into_domain),
            device_cgroup_rules: self.device_cgroup_rules.take().unwrap_or_default(),
            device_requests: all(self.device_requests.take(), DeviceRequestBody::into_domain),
            ulimits: all(self.ulimits.take(), UlimitBody::into_domain),
        }
    }
}

/// Turns each element of a list.
fn all<B, T>(list: Option<Vec<B>>, into_domain: fn(B) -> T) -> Vec<T> {
    list.unwrap_or_default().into_iter().map(into_domain).collect()
}

/// Reads each text of a list.
fn each<T>(
    list: Option<Vec<String>>,
    read: impl Fn(&str) -> tare_core::Result<T>,
) -> tare_core::Result<Vec<T>> {
    list.unwrap_or_default().iter().map(|text| read(text)).collect()
}

fn shm_size(bytes: Option<i64>) -> Result<Option<u64>> {
    match bytes {
        None | Some(0) => Ok(None),
        Some(bytes) => match u64::try_from(bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(Error::invalid("SHM size can not be less than 0")),
        },
    }
}
