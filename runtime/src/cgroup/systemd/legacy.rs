//! Limits in the words that systemd has for cgroup v1.

use oci_spec::runtime::{LinuxCpu, LinuxResources};

use super::super::convert;
use super::super::devices::{Access, Class, DeviceList, Devices};
use super::super::v2::Bandwidth;
use super::message::Value;
use super::properties::{INFINITY, amount, bandwidth, bits, rounded};
use crate::error::Result;

/// A property and its value.
type Property = (&'static str, Value);

/// The kernel's own period, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The properties that say what `resources` says. What systemd has no word for is left to the
/// files of the cgroups.
///
/// # Errors
/// Limits that make no sense.
pub(super) fn properties(resources: &LinuxResources) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    let limit = resources.memory().as_ref().and_then(|memory| memory.limit()).unwrap_or(0);
    if let Some(limit) = convert::limit(limit) {
        properties.push(("MemoryLimit", Value::Number(amount("memory", &limit)?)));
    }
    if let Some(cpu) = resources.cpu() {
        let shares = cpu.shares().filter(|shares| *shares != 0);
        properties.extend(shares.map(|shares| ("CPUShares", Value::Number(shares))));
        properties.extend(wanted(cpu).into_iter().flat_map(bandwidth));
        for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                properties.push((name, Value::Bytes(bits(list)?)));
            }
        }
    }
    let weight = resources.block_io().as_ref().and_then(|io| io.weight()).unwrap_or(0);
    if weight != 0 {
        properties.push(("BlockIOWeight", Value::Number(u64::from(weight))));
    }
    if let Some(pids) = resources.pids() {
        // systemd knows no limit of zero.
        let limit = u64::try_from(pids.limit()).map_or(INFINITY, |limit| limit.max(1));
        properties.push(("TasksMax", Value::Number(limit)));
    }
    Ok(properties)
}

/// What `cpu` asks for, if anything.
fn wanted(cpu: &LinuxCpu) -> Option<Bandwidth> {
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    (quota.is_some() || period.is_some()).then(|| Bandwidth {
        // A negative quota is none.
        quota: quota.and_then(|quota| u64::try_from(quota).ok()),
        period: period.unwrap_or(DEFAULT_PERIOD),
    })
}

/// The same limits, with the CPU quota that systemd writes for them.
pub(super) fn as_systemd_rounds(resources: &LinuxResources) -> LinuxResources {
    let mut resources = resources.clone();
    let Some(mut cpu) = resources.cpu().clone() else { return resources };
    let asked = wanted(&cpu).and_then(|wanted| Some((wanted.quota?, wanted.period)));
    if let Some((quota, period)) = asked {
        cpu.set_quota(i64::try_from(rounded(quota, period)).ok());
        resources.set_cpu(Some(cpu));
    }
    resources
}

/// The properties that say what the file `name` of a cgroup is to hold; none where systemd has no
/// word for it.
///
/// # Errors
/// The value is none for this file.
pub(super) fn of_file(name: &str, value: &str) -> Result<Vec<Property>> {
    let property = match name {
        "memory.limit_in_bytes" => "MemoryLimit",
        "cpu.shares" => "CPUShares",
        "pids.max" => "TasksMax",
        "cpuset.cpus" => return Ok(vec![("AllowedCPUs", Value::Bytes(bits(value)?))]),
        "cpuset.mems" => return Ok(vec![("AllowedMemoryNodes", Value::Bytes(bits(value)?))]),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![(property, Value::Number(amount(name, value)?))])
}

/// The devices that may be used. systemd knows lists of what is allowed only, so one of what is
/// denied becomes "nothing", or "everything" if it is empty; the cgroup's own files have it right.
pub(super) fn devices(list: &DeviceList) -> Vec<Property> {
    let everything = list.allow_others && list.exceptions.is_empty();
    let policy = if everything { "auto" } else { "strict" };
    let allowed = match list.allow_others {
        true => Vec::new(),
        false => list.exceptions.iter().filter_map(allowance).collect(),
    };
    vec![
        ("DevicePolicy", Value::Text(policy.to_owned())),
        // An empty list takes back what was allowed before.
        ("DeviceAllow", Value::Pairs(Vec::new())),
        ("DeviceAllow", Value::Pairs(allowed)),
    ]
}

/// How systemd names devices; it has no name for any major number with one minor number.
fn allowance((devices, access): (&Devices, &Access)) -> Option<(String, String)> {
    let class = match devices.class {
        Class::Block => "block",
        Class::Character => "char",
    };
    let name = match (devices.major, devices.minor) {
        (Some(major), Some(minor)) => format!("/dev/{class}/{major}:{minor}"),
        (Some(major), None) => format!("{class}-{major}"),
        (None, None) => format!("{class}-*"),
        (None, Some(_)) => return None,
    };
    Some((name, access.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_their_words() {
        let json = r#"{
            "memory": {"limit": 64, "swap": 100},
            "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "1"},
            "blockIO": {"weight": 500}, "pids": {"limit": 0}}"#;
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        assert_eq!(
            properties(&resources).unwrap(),
            [
                ("MemoryLimit", Value::Number(64)),
                ("CPUShares", Value::Number(1024)),
                ("CPUQuotaPeriodUSec", Value::Number(100_000)),
                ("CPUQuotaPerSecUSec", Value::Number(130_000)),
                ("AllowedCPUs", Value::Bytes(vec![2])),
                ("BlockIOWeight", Value::Number(500)),
                ("TasksMax", Value::Number(1)),
            ]
        );
        let rounded = as_systemd_rounds(&resources);
        assert_eq!(rounded.cpu().as_ref().unwrap().quota(), Some(13_000));
    }

    #[test]
    fn devices_have_names() {
        let list = DeviceList::of_container(&[]).unwrap();
        let [policy, reset, allow] = devices(&list).try_into().unwrap();
        assert_eq!(policy, ("DevicePolicy", Value::Text("strict".to_owned())));
        assert_eq!(reset, ("DeviceAllow", Value::Pairs(Vec::new())));
        let Value::Pairs(allowed) = allow.1 else { panic!("{allow:?}") };
        for (name, access) in [("char-*", "m"), ("/dev/char/1:3", "rwm"), ("char-136", "rwm")] {
            assert!(allowed.contains(&(name.to_owned(), access.to_owned())), "{allowed:?}");
        }
        let all = DeviceList { allow_others: true, ..DeviceList::default() };
        assert_eq!(devices(&all)[0].1, Value::Text("auto".to_owned()));
    }
}
