//! `update`: change a container's limits.

use super::Global;
use crate::container::Container;
use crate::container::dialect::settle_resources;
use crate::container::key_case;
use crate::error::{Context, Error, Result};
use crate::log::Level;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// update container resource constraints
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// path to the file containing the resources to update or '-' to read from the standard input;
    /// all other options are ignored then
    #[arg(long, short)]
    resources: Option<PathBuf>,
    /// per cgroup weight, range is from 10 to 1000
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// CPU CFS period to be used for hardcapping (in usecs). 0 to use system default
    #[arg(long)]
    cpu_period: Option<u64>,
    /// CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period
    #[arg(long, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPU CFS hardcap burst limit (in usecs)
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// CPU shares (relative weight vs. other containers)
    #[arg(long)]
    cpu_share: Option<u64>,
    /// CPU realtime period to be used for hardcapping (in usecs). 0 to use system default
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period
    #[arg(long, allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPU(s) to use
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// memory node(s) to use
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE
    #[arg(long)]
    cpu_idle: Option<i64>,
    /// memory limit (in bytes)
    #[arg(long, allow_negative_numbers = true)]
    memory: Option<String>,
    /// memory reservation or soft_limit (in bytes)
    #[arg(long, allow_negative_numbers = true)]
    memory_reservation: Option<String>,
    /// total memory usage (memory + swap); set '-1' to enable unlimited swap
    #[arg(long, allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// maximum number of pids allowed in the container
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// (obsoleted, do not use)
    #[arg(long, hide = true, value_name = "BYTES")]
    kernel_memory: Option<String>,
    /// (obsoleted, do not use)
    #[arg(long, hide = true, value_name = "BYTES")]
    kernel_memory_tcp: Option<String>,
    /// the string of Intel RDT/CAT L3 cache schema
    #[arg(long)]
    l3_cache_schema: Option<String>,
    /// the string of Intel RDT/MBA memory bandwidth schema
    #[arg(long)]
    mem_bw_schema: Option<String>,
    /// the container's id
    container_id: String,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let container = Container::open(&global.root, &arguments.container_id)?;
    let schemas = [&arguments.l3_cache_schema, &arguments.mem_bw_schema];
    let schemas: Vec<&str> = schemas.into_iter().filter_map(|schema| schema.as_deref()).collect();
    if !schemas.is_empty() {
        container.update_resctrl(&schemas)?;
    }
    if arguments.kernel_memory.is_some() || arguments.kernel_memory_tcp.is_some() {
        // As runc does: such limits are no more, and callers that still set them go on.
        let text = "Kernel memory settings are ignored and will be removed";
        global.log.write(Level::Warning, text);
    }
    let text = match &arguments.resources {
        Some(path) => read(path)?,
        None => arguments.resources()?.to_string(),
    };
    let invalid = |error| Error::invalid(format!("resources: {error}"));
    // A list would be taken for the fields in their order.
    let _: Map<String, Value> = serde_json::from_str(&text).map_err(invalid)?;
    let text = key_case::restore(text.as_bytes(), "");
    let mut resources = serde_json::from_slice(&text).map_err(invalid)?;
    settle_resources(&mut resources, &text, "");
    complete(&mut resources);
    container.update(&resources)
}

fn read(path: &Path) -> Result<String> {
    let what = || format!("open {}", path.display());
    match path == Path::new("-") {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context(|| "read from stdin")?;
            Ok(text)
        }
        false => std::fs::read_to_string(path).context(what),
    }
}

impl Arguments {
    /// The flags as the JSON that a file would have.
    fn resources(&self) -> Result<Value> {
        let mut cpu = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            cpu.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("period", self.cpu_period.map(Value::from));
        put("quota", self.cpu_quota.map(Value::from));
        put("burst", self.cpu_burst.map(Value::from));
        put("shares", self.cpu_share.map(Value::from));
        put("realtimePeriod", self.cpu_rt_period.map(Value::from));
        put("realtimeRuntime", self.cpu_rt_runtime.map(Value::from));
        put("cpus", self.cpuset_cpus.clone().map(Value::from));
        put("mems", self.cpuset_mems.clone().map(Value::from));
        put("idle", self.cpu_idle.map(Value::from));
        let mut memory = Map::new();
        for (name, flag, text) in [
            ("limit", "memory", &self.memory),
            ("reservation", "memory-reservation", &self.memory_reservation),
            ("swap", "memory-swap", &self.memory_swap),
        ] {
            if let Some(text) = text {
                let bytes = parse_bytes(text).context(|| format!("invalid value for {flag}"))?;
                memory.insert(name.to_owned(), bytes.into());
            }
        }
        let mut all = json!({ "cpu": cpu, "memory": memory });
        if let Some(weight) = self.blkio_weight {
            all["blockIO"] = json!({ "weight": weight });
        }
        if let Some(limit) = self.pids_limit {
            all["pids"] = json!({ "limit": limit });
        }
        Ok(all)
    }
}

/// Device rules are not changed by `update`. A memory limit that is lifted lifts that of memory and
/// swap together too, which could not stay below it.
fn complete(resources: &mut LinuxResources) {
    resources.set_devices(None);
    if let Some(memory) = resources.memory_mut()
        && memory.limit() == Some(-1)
        && memory.swap().is_none()
    {
        memory.set_swap(Some(-1));
    }
}

/// A number of bytes such as `64m`; `-1` is no limit.
fn parse_bytes(text: &str) -> Result<i64> {
    let bad = || Error::invalid(format!("invalid size: '{text}'"));
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let power = match lower.get(digits.len()..).unwrap_or_default() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(bad()),
    };
    let number: i64 = digits.trim().parse().map_err(|_| bad())?;
    number.checked_mul(1 << (10 * power)).filter(|bytes| *bytes >= 0).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in [("-1", -1), ("10", 10), ("2k", 2048), ("1MiB", 1 << 20), ("0", 0)] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "x", "-2", "1q", "99999999999999999g"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
