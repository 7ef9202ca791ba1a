//! What a daemon has made on the machine, so that a test can see that nothing is left of it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::run;
use crate::daemon::Places;
use crate::namespaces::Namespaces;

/// What stays on purpose: the runtime's caches of compiled system call filters, which all containers
/// share, and all steps of builds; the place of the contexts of builds; and the note that the host has
/// forwarded IPv6 since the first container that has any.
const STAYING: [&str; 4] =
    ["file runtime/@seccomp", "file steps/@seccomp", "file forwarding.ipv6", "file builds/scratch"];

/// Everything there is, one line each: processes, mounts, interfaces, firewall elements, cgroups
/// and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Takes it.
    pub fn take(namespaces: &Namespaces, places: &Places) -> Self {
        let mut all = BTreeSet::new();
        processes(namespaces, &mut all);
        mounts(namespaces, &mut all);
        interfaces(namespaces, &mut all);
        firewall(namespaces, &mut all);
        for cgroup in cgroups(&places.cgroup_parent) {
            walk(&format!("cgroup {}", cgroup.display()), &cgroup, &Path::is_dir, &mut all);
        }
        for root in [&places.data_root, &places.exec_root] {
            // The directories at the top of a root are its order, made when first needed.
            for (name, path) in entries(&namespaces.outside_path(root)) {
                if path.is_dir() {
                    walk(&format!("file {name}"), &path, &|_| true, &mut all);
                } else {
                    all.insert(format!("file {name}"));
                }
            }
        }
        all.retain(|line| !STAYING.iter().any(|staying| line.starts_with(staying)));
        Self(all)
    }

    /// What is here that was not in `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self(self.0.difference(&earlier.0).cloned().collect())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines that start with this word.
    pub fn of_kind(&self, kind: &str) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|line| line.starts_with(kind)).collect()
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// The directories of a cgroup in the hierarchies there are.
pub fn cgroups(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read the list of mounts");
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(format!("{place}{path}")))
        })
        .collect()
}

/// All but the namespaces' first process and `ps` itself; the daemon's number is not told, as it is
/// another one after each start.
fn processes(namespaces: &Namespaces, all: &mut BTreeSet<String>) {
    let ps = run(namespaces.command("ps").args(["-e", "-o", "pid=,args="]));
    for line in ps.ok().lines().map(str::trim) {
        let (pid, arguments) = line.split_once(' ').unwrap_or((line, ""));
        if pid == "1" || arguments.starts_with("ps -e -o") {
            continue;
        }
        let program = arguments.split(' ').next().unwrap_or_default();
        if program.ends_with("/tared") {
            all.insert("process tared".to_owned());
        } else {
            all.insert(format!("process {pid} {arguments}"));
        }
    }
}

fn mounts(namespaces: &Namespaces, all: &mut BTreeSet<String>) {
    let mounts = run(namespaces.command("cat").arg("/proc/1/mounts"));
    for line in mounts.ok().lines() {
        let mut fields = line.split(' ');
        let (source, place) =
            (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        all.insert(format!("mount {place} of {source}"));
    }
}

fn interfaces(namespaces: &Namespaces, all: &mut BTreeSet<String>) {
    let links = run(namespaces.command("ip").args(["-o", "link", "show"]));
    for line in links.ok().lines() {
        let name = line.split(": ").nth(1).unwrap_or(line);
        all.insert(format!("interface {name}"));
    }
}

/// Each line of the rule set with the chain or set that it stands in. Counters change by
/// themselves and are left out (`-s`).
fn firewall(namespaces: &Namespaces, all: &mut BTreeSet<String>) {
    let rules = run(namespaces.command("nft").args(["-s", "list", "ruleset"]));
    let mut place = Vec::new();
    for line in rules.ok().lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(" {") {
            place.push(name);
        } else if line == "}" {
            place.pop();
        }
        // A set's elements are one line; each counts on its own.
        for part in line.split(", ") {
            all.insert(format!("nft {}: {}", place.join(" / "), part.trim_end_matches(" }")));
        }
    }
}

/// All below `directory` that `wanted` chooses; `label` is what `directory` is called.
fn walk(label: &str, directory: &Path, wanted: &dyn Fn(&Path) -> bool, all: &mut BTreeSet<String>) {
    for (name, path) in entries(directory).into_iter().filter(|(_, path)| wanted(path)) {
        let label = format!("{label}/{name}");
        if path.is_dir() && !path.is_symlink() {
            walk(&label, &path, wanted, all);
        }
        all.insert(label);
    }
}

/// What is in a directory; nothing, if it is gone.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let named =
        |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    entries.flatten().map(named).collect()
}
