//! A container's place in the cgroup hierarchies: what the out-of-memory killer did there, and
//! what a runtime that was killed left there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and after what time each, a cgroup whose last process is about to end is tried again.
const BUSY_RETRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The file that counts the out-of-memory killer's strikes in one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OomCounter {
    path: PathBuf,
}

impl OomCounter {
    /// The counter of the cgroup that `pid` is in: of the memory controller of version 1 where it
    /// is mounted, of version 2 otherwise.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Some(OomCounter { path: counter_path(&cgroups, &mounts)? })
    }

    /// Whether the killer has struck.
    pub(crate) fn has_struck(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| {
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            count.is_some_and(|count| count.trim() != "0")
        })
    }
}

/// Removes the cgroup at `path` below the root of each hierarchy, with those below it. The kernel
/// refuses for any that has a process, so nothing that lives can be harmed.
pub(crate) fn remove(path: &str) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for place in mount_places(&mounts, |kind, _| kind == "cgroup" || kind == "cgroup2") {
        let cgroup = place.of(&format!("/{path}"));
        for _ in 0..BUSY_RETRIES {
            if remove_tree(&cgroup).is_ok() || !cgroup.exists() {
                break;
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
}

fn remove_tree(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

fn counter_path(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let version_1 = cgroups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    });
    if let Some(path) = version_1 {
        let place = mount_place(mounts, |kind, options| {
            kind == "cgroup" && options.split(',').any(|option| option == "memory")
        })?;
        return Some(place.of(path).join("memory.oom_control"));
    }
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let place = mount_place(mounts, |kind, _| kind == "cgroup2")?;
    Some(place.of(path).join("memory.events"))
}

/// Where a hierarchy is mounted, and which of its directories.
struct Place<'a> {
    root: &'a str,
    point: &'a str,
}

impl Place<'_> {
    fn of(&self, path: &str) -> PathBuf {
        let below = Path::new(path).strip_prefix(self.root).unwrap_or(Path::new(path));
        Path::new(self.point).join(below.strip_prefix("/").unwrap_or(below))
    }
}

/// The first mount whose type and super block options are the ones sought.
fn mount_place<'a>(mounts: &'a str, wanted: impl Fn(&str, &str) -> bool) -> Option<Place<'a>> {
    mount_places(mounts, wanted).next()
}

/// All of them; see proc(5) for the fields of mountinfo.
fn mount_places<'a>(
    mounts: &'a str,
    wanted: impl Fn(&str, &str) -> bool,
) -> impl Iterator<Item = Place<'a>> {
    mounts.lines().filter_map(move |line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let mut before = before.split(' ').skip(3);
        let place = Place { root: before.next()?, point: before.next()? };
        wanted(kind, options).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 29 0:26 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu
31 29 0:27 /outer /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn finds_the_hierarchy_that_has_memory() {
        let hybrid = "4:memory:/outer/tare/x\n2:cpu,cpuacct:/tare/x\n0::/tare/x\n";
        let path = counter_path(hybrid, MOUNTS).unwrap();
        assert_eq!(path, Path::new("/sys/fs/cgroup/memory/tare/x/memory.oom_control"));
        let path = counter_path("0::/tare/x\n", MOUNTS).unwrap();
        assert_eq!(path, Path::new("/sys/fs/cgroup/unified/tare/x/memory.events"));
        assert_eq!(counter_path("", MOUNTS), None);
    }

    #[test]
    fn reads_both_kinds_of_counter() {
        let directory = tempfile::tempdir().unwrap();
        let counter = OomCounter { path: directory.path().join("counter") };
        assert!(!counter.has_struck());
        fs::write(&counter.path, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n").unwrap();
        assert!(!counter.has_struck());
        fs::write(&counter.path, "low 0\noom 2\noom_kill 1\n").unwrap();
        assert!(counter.has_struck());
    }
}
