//! What processes weigh while they do nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The mean of a figure over the processes of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weight {
    /// How many there are.
    pub(crate) processes: usize,
    /// KiB that are their own, with their part of what they share.
    pub(crate) pss: f64,
    /// KiB that they have, shared or not.
    pub(crate) rss: f64,
    /// KiB that belong to no file.
    pub(crate) anonymous: f64,
    /// KiB of page tables.
    pub(crate) tables: f64,
    /// Threads.
    pub(crate) threads: f64,
    /// Open descriptors.
    pub(crate) descriptors: f64,
}

/// The processes whose program has this name.
pub(crate) fn processes(program: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").expect("list the processes").flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
            Path::new(&*String::from_utf8_lossy(first)).file_name() == Some(program.as_ref())
        })
        .collect()
}

/// What they weigh.
pub(crate) fn weigh(processes: &[PathBuf]) -> Weight {
    let mean = |of: &dyn Fn(&PathBuf) -> f64| {
        processes.iter().map(of).sum::<f64>() / processes.len().max(1) as f64
    };
    let field = |file: &str, name: &str| {
        let (file, name) = (file.to_owned(), format!("{name}:"));
        mean(&move |process| number(&process.join(&file), &name))
    };
    Weight {
        processes: processes.len(),
        pss: field("smaps_rollup", "Pss"),
        rss: field("smaps_rollup", "Rss"),
        anonymous: field("smaps_rollup", "Pss_Anon"),
        tables: field("status", "VmPTE"),
        threads: field("status", "Threads"),
        descriptors: mean(&|process| {
            fs::read_dir(process.join("fd")).map_or(0, Iterator::count) as f64
        }),
    }
}

/// How often each of them wakes up in a second, over some seconds.
pub(crate) fn wakes(processes: &[PathBuf]) -> f64 {
    const TIME: Duration = Duration::from_secs(10);
    let switches = || -> f64 {
        let threads = processes.iter().filter_map(|one| fs::read_dir(one.join("task")).ok());
        threads
            .flat_map(|threads| threads.flatten())
            .map(|thread| number(&thread.path().join("status"), "voluntary_ctxt_switches:"))
            .sum()
    };
    let before = switches();
    std::thread::sleep(TIME);
    (switches() - before) / TIME.as_secs_f64() / processes.len().max(1) as f64
}

fn number(file: &Path, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
