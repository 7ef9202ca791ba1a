//! What this process itself uses, under the names that every program has for it.

use super::text::{Kind, Text};

/// Fields of /proc/self/stat after the program's name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const VIRTUAL: usize = 20;
const RESIDENT: usize = 21;

/// Writes what the kernel tells; what it doesn't tell is left out.
pub(super) fn write(text: &mut Text) {
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        text.begin("process_open_fds", Kind::Gauge, "Number of open file descriptors.");
        text.value(&[], entries.count());
    }
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    let Some((_, fields)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<u64> =
        fields.split(' ').map(|field| field.trim().parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let (whole, part) = (
        (field(USER_TIME) + field(SYSTEM_TIME)) / ticks,
        (field(USER_TIME) + field(SYSTEM_TIME)) % ticks,
    );
    text.begin(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Total user and system CPU time spent in seconds.",
    );
    text.value(&[], format_args!("{whole}.{:02}", part * 100 / ticks));
    text.begin("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.");
    text.value(&[], field(RESIDENT) * u64::try_from(rustix::param::page_size()).unwrap_or(4096));
    text.begin("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes.");
    text.value(&[], field(VIRTUAL));
}
