//! The body of an update: docker's `Resources` and `RestartPolicy`. What can't be changed of a
//! container that is there may be said only as what it is when nothing is said.

use std::collections::BTreeMap;

use serde::Deserialize;
use tare_core::container::{Resources, Update};

use super::lenient::{Unset, kernel_memory};
use super::resources::{PortBindingBody, port_bindings};
use super::restart_policy::RestartBody;
use crate::error::Result;
use crate::version::ApiVersion;

/// The first version that can change the number of processes.
const PIDS_LIMIT_SINCE: ApiVersion = ApiVersion::new(1, 40);

/// All fields of an update.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct UpdateBody {
    restart_policy: Option<RestartBody>,
    cpu_shares: Option<i64>,
    memory: Option<i64>,
    nano_cpus: Option<i64>,
    blkio_weight: Option<u16>,
    cpu_period: Option<i64>,
    cpu_quota: Option<i64>,
    cpu_realtime_period: Option<i64>,
    cpu_realtime_runtime: Option<i64>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    memory_reservation: Option<i64>,
    memory_swap: Option<i64>,
    pids_limit: Option<i64>,
    /// Not docker's: where ports are published from the next start on, in place of where they were.
    port_bindings: Option<BTreeMap<String, Option<Vec<PortBindingBody>>>>,

    cgroup_parent: Option<Unset>,
    blkio_weight_device: Option<Unset>,
    blkio_device_read_bps: Option<Unset>,
    blkio_device_write_bps: Option<Unset>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Option<Unset>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Option<Unset>,
    devices: Option<Unset>,
    device_cgroup_rules: Option<Unset>,
    device_requests: Option<Unset>,
    disk_quota: Option<Unset>,
    kernel_memory: Option<i64>,
    #[serde(rename = "KernelMemoryTCP")]
    kernel_memory_tcp: Option<i64>,
    memory_swappiness: Option<Unset>,
    oom_kill_disable: Option<Unset>,
    ulimits: Option<Unset>,
    cpu_count: Option<Unset>,
    cpu_percent: Option<Unset>,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: Option<Unset>,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: Option<Unset>,
}

impl UpdateBody {
    /// What a client should know of limits that the kernel has no more.
    pub(crate) fn discarded(&self) -> Option<String> {
        kernel_memory([self.kernel_memory, self.kernel_memory_tcp])
    }

    /// What it asks of the domain, if all of it makes sense.
    pub(crate) fn into_domain(self, version: ApiVersion) -> Result<Update> {
        let pids_limit = self.pids_limit.filter(|_| version >= PIDS_LIMIT_SINCE);
        let resources = Resources {
            memory: self.memory.unwrap_or_default(),
            memory_swap: self.memory_swap.unwrap_or_default(),
            memory_reservation: self.memory_reservation.unwrap_or_default(),
            nano_cpus: self.nano_cpus.unwrap_or_default(),
            cpu_shares: self.cpu_shares.unwrap_or_default(),
            cpu_period: self.cpu_period.unwrap_or_default(),
            cpu_quota: self.cpu_quota.unwrap_or_default(),
            cpu_realtime_period: self.cpu_realtime_period.unwrap_or_default(),
            cpu_realtime_runtime: self.cpu_realtime_runtime.unwrap_or_default(),
            cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.unwrap_or_default(),
            blkio_weight: self.blkio_weight.unwrap_or_default(),
            // 0 and anything below mean "no limit".
            pids_limit: pids_limit.map(|limit| limit.max(0)),
            ..Resources::default()
        };
        let restart_policy = self.restart_policy.unwrap_or_default().into_domain()?;
        let port_bindings = self.port_bindings.map(port_bindings).transpose()?;
        Ok(Update { resources, restart_policy, port_bindings })
    }
}

#[cfg(test)]
mod tests {
    use tare_core::container::RestartPolicy;

    use super::*;

    /// What `docker update --restart always` sends.
    const PLAIN: &str = r#"{"CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"",
        "BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,
        "BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,
        "CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"",
        "CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,
        "MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,"OomKillDisable":null,
        "PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,
        "IOMaximumBandwidth":0,"RestartPolicy":{"Name":"always","MaximumRetryCount":0}}"#;

    fn parse(json: &str) -> Result<Update> {
        crate::body::parse::<UpdateBody>(json.as_bytes())?.into_domain(ApiVersion::NEWEST)
    }

    #[test]
    fn a_policy_alone_changes_no_limit() {
        let update = parse(PLAIN).unwrap();
        assert_eq!(update.restart_policy, Some(RestartPolicy::Always));
        assert_eq!(update.resources, Resources::default());
        assert_eq!(parse("{}").unwrap().restart_policy, None);
    }

    #[test]
    fn what_cannot_be_changed_is_refused_by_name() {
        for (field, value) in [
            ("Ulimits", r#"[{"Name":"nofile","Hard":1,"Soft":1}]"#),
            ("CgroupParent", "\"/x\""),
            ("OomKillDisable", "true"),
        ] {
            let error = parse(&format!("{{\"{field}\":{value}}}")).unwrap_err().to_string();
            assert!(error.contains(&format!("{field}: not supported")), "{error}");
        }
        let body: UpdateBody = crate::body::parse(br#"{"KernelMemory":5}"#).unwrap();
        assert!(body.discarded().unwrap().contains("no longer supported"));
        assert_eq!(parse(r#"{"PidsLimit":-1}"#).unwrap().resources.pids_limit, Some(0));
    }
}
