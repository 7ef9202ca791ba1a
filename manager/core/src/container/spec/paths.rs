//! Which files of /proc and /sys a container must not see or not write.

use std::path::Path;

/// What every container has hidden: they tell about the host, or about other containers' timing.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What every container can read but not write.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The default list of hidden paths on this host.
pub(crate) fn masked() -> Vec<String> {
    let fixed = MASKED.into_iter().map(str::to_owned);
    fixed.chain(thermal_throttle(Path::new("/sys/devices/system/cpu"))).collect()
}

/// The default list of read-only paths.
pub(crate) fn read_only() -> Vec<String> {
    READ_ONLY.into_iter().map(str::to_owned).collect()
}

/// Each processor's counters of thermal events, where it has any.
fn thermal_throttle(processors: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(processors) else { return Vec::new() };
    let mut paths: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let number = name.strip_prefix("cpu")?;
            let is_processor = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            let path = processors.join(&name).join("thermal_throttle");
            if is_processor && path.exists() { path.to_str().map(str::to_owned) } else { None }
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_that_have_counters_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["cpu0/thermal_throttle", "cpu1", "cpufreq/thermal_throttle"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let paths = thermal_throttle(directory.path());
        assert_eq!(paths.len(), 1);
        assert!(paths.first().unwrap().ends_with("cpu0/thermal_throttle"));
    }

    #[test]
    fn the_lists_have_what_told_about_the_host() {
        let masked = masked();
        for path in ["/proc/interrupts", "/proc/kcore", "/sys/devices/virtual/powercap"] {
            assert!(masked.iter().any(|masked| masked == path), "{path}");
        }
        assert!(read_only().contains(&"/proc/sys".to_owned()));
    }
}
