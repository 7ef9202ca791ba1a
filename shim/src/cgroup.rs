//! A container's place in the cgroup hierarchies: what the out-of-memory killer did there, and
//! what a runtime that was killed left there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// How often, and after what time each, a cgroup whose last process is about to end is tried again.
const BUSY_RETRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The directories of the cgroups that a process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// By controller, where the memory controller is of version 1.
    V1(BTreeMap<String, PathBuf>),
    /// The one there is in version 2.
    V2(PathBuf),
}

impl Cgroups {
    /// Of a process that is there.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = File::open("/proc/self/mountinfo").ok()?;
        Self::find(&cgroups, BufReader::new(mounts))
    }

    /// Looks through `mounts` until all is found: each container that runs has some, and they come
    /// last.
    fn find(cgroups: &str, mounts: impl BufRead) -> Option<Self> {
        let mut sought = BTreeMap::new();
        for (controllers, path) in
            cgroups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
        {
            sought.extend(controllers.split(',').map(|controller| (controller, path)));
        }
        let mut by_controller = BTreeMap::new();
        let mut unified = None;
        for line in mounts.lines() {
            if sought.is_empty() {
                break;
            }
            let line = line.ok()?;
            match read_mount(&line) {
                Some(("cgroup", options, place)) => {
                    for controller in options.split(',') {
                        if let Some(path) = sought.remove(controller) {
                            by_controller.insert(controller.to_owned(), place.of(path));
                        }
                    }
                }
                Some(("cgroup2", _, place)) => {
                    unified = unified.or(sought.remove("").map(|path| place.of(path)));
                }
                _ => {}
            }
        }
        match by_controller.contains_key("memory") {
            true => Some(Cgroups::V1(by_controller)),
            false => unified.map(Cgroups::V2),
        }
    }

    /// What counts the out-of-memory killer's strikes there.
    fn oom_counter(&self) -> Option<OomCounter> {
        let path = match self {
            Cgroups::V1(by_controller) => by_controller.get("memory")?.join("memory.oom_control"),
            Cgroups::V2(cgroup) => cgroup.join("memory.events"),
        };
        Some(OomCounter::from_now_on(path))
    }
}

/// The file that counts the out-of-memory killer's strikes in one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OomCounter {
    path: PathBuf,
    /// What it showed at first.
    before: u64,
}

impl OomCounter {
    /// The counter of the cgroup that `pid` is in.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        Cgroups::of_process(pid)?.oom_counter()
    }

    fn from_now_on(path: PathBuf) -> Self {
        let before = read_oom_kills(&path);
        OomCounter { path, before }
    }

    /// Whether the killer has struck since this was made.
    pub(crate) fn has_struck(&self) -> bool {
        read_oom_kills(&self.path) > self.before
    }
}

/// What a counter shows; 0 where it can't be read.
fn read_oom_kills(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The processes of the cgroup at `path` below the root of whatever hierarchy has any there.
pub(crate) fn processes(path: &str) -> Vec<u32> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    hierarchies(&mounts)
        .filter_map(|place| {
            let list = place.of(&format!("/{path}")).join("cgroup.procs");
            let pids = fs::read_to_string(list).ok()?;
            Some(pids.lines().filter_map(|pid| pid.parse().ok()).collect())
        })
        .find(|pids: &Vec<u32>| !pids.is_empty())
        .unwrap_or_default()
}

/// Removes the cgroup at `path` below the root of each hierarchy, with those below it. The kernel
/// refuses for any that has a process, so nothing that lives can be harmed.
pub(crate) fn remove(path: &str) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for place in hierarchies(&mounts) {
        let cgroup = place.of(&format!("/{path}"));
        for _ in 0..BUSY_RETRIES {
            if remove_tree(&cgroup).is_ok() || !cgroup.exists() {
                break;
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
}

/// Puts this process into the cgroup at `path` below the root of each hierarchy that has one. It is
/// the caller's to make.
pub(crate) fn join(path: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let below = path.strip_prefix('/').filter(|below| below.split('/').all(plain));
    let below = below.ok_or_else(|| Error::invalid(format!("shim_cgroup: {path:?} is no path")))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context(|| "list mounts".to_owned())?;
    let mut joined = false;
    for place in hierarchies(&mounts) {
        let cgroup = place.of(&format!("/{below}"));
        if cgroup.is_dir() {
            // The one who writes is whom 0 stands for.
            fs::write(cgroup.join("cgroup.procs"), "0")
                .context(|| format!("shim_cgroup: join {}", cgroup.display()))?;
            joined = true;
        }
    }
    match joined {
        true => Ok(()),
        false => Err(Error::precondition(format!("shim_cgroup: there is no cgroup {path}"))),
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

/// Where cgroup hierarchies are mounted.
fn hierarchies(mounts: &str) -> impl Iterator<Item = Place<'_>> {
    mounts.lines().filter_map(read_mount).filter_map(|(kind, _, place)| match kind {
        "cgroup" | "cgroup2" => Some(place),
        _ => None,
    })
}

/// A mount's type, the options of its super block, and its place; see proc(5) for the fields.
fn read_mount(line: &str) -> Option<(&str, &str, Place<'_>)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let mut before = before.split(' ').skip(3);
    let place = Place { root: before.next()?, point: before.next()? };
    Some((kind, options, place))
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
        let counter =
            |cgroups| Some(Cgroups::find(cgroups, MOUNTS.as_bytes())?.oom_counter()?.path);
        let hybrid = "4:memory:/outer/tare/x\n2:cpu,cpuacct:/tare/x\n0::/tare/x\n";
        let path = counter(hybrid).unwrap();
        assert_eq!(path, Path::new("/sys/fs/cgroup/memory/tare/x/memory.oom_control"));
        let path = counter("0::/tare/x\n").unwrap();
        assert_eq!(path, Path::new("/sys/fs/cgroup/unified/tare/x/memory.events"));
        assert_eq!(counter(""), None);
    }

    #[test]
    fn what_comes_after_the_last_hierarchy_is_not_read() {
        struct Unreadable;
        impl std::io::Read for Unreadable {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("nobody should read this"))
            }
        }
        let find = |cgroups| {
            let mounts = std::io::Read::chain(MOUNTS.as_bytes(), Unreadable);
            // As small as a line, so that nothing is read ahead.
            Cgroups::find(cgroups, BufReader::with_capacity(1, mounts))
        };
        assert!(find("4:memory:/outer/tare/x\n2:cpu:/tare/x\n0::/tare/x\n").is_some());
        // One that is mounted nowhere is sought to the end.
        assert_eq!(find("4:memory:/outer/tare/x\n2:net_cls:/tare/x\n"), None);
    }

    #[test]
    fn reads_both_kinds_of_counter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("counter");
        let counter = OomCounter::from_now_on(path.clone());
        assert!(!counter.has_struck());
        fs::write(&counter.path, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n").unwrap();
        assert!(!counter.has_struck());
        fs::write(&counter.path, "low 0\noom 2\noom_kill 1\n").unwrap();
        assert!(counter.has_struck());
        assert!(!OomCounter::from_now_on(path).has_struck());
    }
}
