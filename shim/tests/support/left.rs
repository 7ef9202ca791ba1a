//! What a container has left behind.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Home;
use super::client::PATIENCE;

/// What is left of a container once what was killed has had the time to die.
pub(crate) async fn left_in_the_end(home: &Home) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = left_of(home);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Processes, cgroups and mounts that bear a container's mark.
pub(crate) fn left_of(home: &Home) -> Vec<String> {
    let list = |path: &str| std::fs::read_dir(path).unwrap().flatten().map(|entry| entry.path());
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let mut left = Vec::new();
    for process in list("/proc").filter(|process| process.join("cgroup").exists()) {
        let alive = !read(process.join("stat")).contains(") Z ");
        let cmdline = read(process.join("cmdline"));
        if alive && (cmdline + &read(process.join("cgroup"))).contains(&home.id) {
            left.push(format!("{}: {}", process.display(), read(process.join("stat"))));
        }
    }
    let cgroups = list("/sys/fs/cgroup").map(|hierarchy| hierarchy.join(&home.id));
    left.extend(
        cgroups.filter(|cgroup| cgroup.exists()).map(|cgroup| cgroup.display().to_string()),
    );
    let bundle = home.bundle().display().to_string();
    let mounts = read("/proc/self/mountinfo".into());
    left.extend(mounts.lines().filter(|mount| mount.contains(&bundle)).map(str::to_owned));
    left
}
