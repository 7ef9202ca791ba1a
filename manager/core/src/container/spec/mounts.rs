//! What is mounted into a container: the kernel's file systems, the files that we make for it, and
//! what its user asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::document::Mount;
use crate::container::modes::IpcMode;
use crate::container::mount::Propagation;
use crate::container::record::{MountPoint, MountSource, ReadOnlyReach};

/// What of a container decides its mounts.
#[derive(Debug, Clone)]
pub(crate) struct Wishes<'a> {
    pub(crate) points: &'a [MountPoint],
    /// Files of ours, by their path inside: /etc/hosts and the like.
    pub(crate) files: &'a [(&'static str, &'a Path)],
    /// Where points are taken from that aren't taken from their own place, by target.
    pub(crate) staged: &'a BTreeMap<String, PathBuf>,
    /// The volumes that are something else than a directory of this manager's.
    pub(crate) foreign: &'a BTreeSet<String>,
    /// The init, if one runs before the program.
    pub(crate) init: Option<&'a Path>,
    pub(crate) ipc: &'a IpcMode,
    /// Where the shared memory of a joined IPC namespace is seen, if one is joined.
    pub(crate) shared_memory: Option<&'a Path>,
    pub(crate) shm_size: u64,
    pub(crate) privileged: bool,
    pub(crate) writable_cgroups: bool,
    pub(crate) readonly_rootfs: bool,
    /// Whether the kernel can make a whole tree of mounts read-only.
    pub(crate) recursive_read_only: bool,
    /// Whether the container's users are others on the host. What is this manager's own, its files and
    /// volumes, has the ids that the container sees; what is the host's has the host's.
    pub(crate) remapped: bool,
}

/// Shows a mount with the ids of the container's user namespace, alone or with what is mounted upon it.
const ID_MAP: &str = "idmap";
const ID_MAP_ALL: &str = "ridmap";

/// Where the init is seen inside.
pub(crate) const INIT: &str = "/sbin/docker-init";

/// Mounts in the order in which they are made.
pub(crate) fn list(wishes: &Wishes<'_>) -> Vec<Mount> {
    let own: BTreeSet<&str> = wishes.points.iter().map(|point| point.target.as_str()).collect();
    let own_devices = own.contains("/dev");
    let mut mounts: Vec<Mount> = kernel_mounts(wishes)
        .into_iter()
        // A mount of the user's takes the place of one of these, and /dev of all below it.
        .filter(|mount| !own.contains(mount.destination.as_str()))
        .filter(|mount| !(own_devices && mount.destination.starts_with("/dev/")))
        .collect();
    if let Some(init) = wishes.init {
        mounts.push(bind(INIT, init, &["bind", "ro"]));
    }
    let mut chosen: Vec<Mount> = wishes
        .files
        .iter()
        .filter(|(target, _)| !own.contains(target))
        .map(|(target, source)| {
            let access = if wishes.readonly_rootfs { "ro" } else { "rw" };
            let options = ["bind", access, "rprivate", ID_MAP];
            bind(target, source, &options[..if wishes.remapped { 4 } else { 3 }])
        })
        .collect();
    chosen.extend(wishes.points.iter().filter_map(|point| of_point(point, wishes)));
    // What lies above is mounted first, or it would hide what lies below.
    chosen.sort_by_key(|mount| depth(&mount.destination));
    mounts.extend(chosen);
    mounts
}

/// How the root file system has to spread mounts, so that the user's binds can.
pub(crate) fn root_propagation(points: &[MountPoint]) -> Option<&'static str> {
    let has = |wanted: &[Propagation]| {
        points.iter().filter_map(|point| point.propagation).any(|mode| wanted.contains(&mode))
    };
    if has(&[Propagation::Shared, Propagation::Rshared]) {
        Some("rshared")
    } else if has(&[Propagation::Slave, Propagation::Rslave]) {
        Some("rslave")
    } else {
        None
    }
}

fn kernel_mounts(wishes: &Wishes<'_>) -> Vec<Mount> {
    let access = |writable: bool| if writable { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access(wishes.privileged)]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[access(wishes.writable_cgroups), "nosuid", "noexec", "nodev"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    match (wishes.ipc, wishes.shared_memory) {
        (IpcMode::None, _) => {}
        (_, Some(path)) => mounts.push(bind("/dev/shm", path, &["rbind", "rprivate"])),
        (_, None) => {
            let size = format!("size={}", wishes.shm_size);
            let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
            mounts.push(mount("/dev/shm", "tmpfs", "shm", &options));
        }
    }
    mounts
}

fn of_point(point: &MountPoint, wishes: &Wishes<'_>) -> Option<Mount> {
    let recursive_read_only = wishes.recursive_read_only;
    let staged = wishes.staged.get(&point.target);
    let path = match &point.source {
        MountSource::Tmpfs { options } => {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            return Some(mount(&point.target, "tmpfs", "tmpfs", &options));
        }
        MountSource::Path(path) => path,
        MountSource::Volume { path, .. } => staged.unwrap_or(path),
        // Whoever wants one stages it.
        MountSource::Image { .. } => staged?,
    };
    let mut options = vec![if point.non_recursive { "bind" } else { "rbind" }];
    if !point.writable {
        options.push(match point.read_only {
            ReadOnlyReach::TopOnly => "ro",
            ReadOnlyReach::IfPossible if point.non_recursive || !recursive_read_only => "ro",
            ReadOnlyReach::IfPossible | ReadOnlyReach::Required => "rro",
        });
    }
    let propagation = point.propagation.unwrap_or(Propagation::Rprivate).to_string();
    options.push(&propagation);
    if let MountSource::Volume { name, .. } = &point.source
        && wishes.remapped
        && !wishes.foreign.contains(name)
    {
        options.push(if point.non_recursive { ID_MAP } else { ID_MAP_ALL });
    }
    Some(bind(&point.target, path, &options))
}

fn bind(target: &str, source: &Path, options: &[&str]) -> Mount {
    mount(target, "bind", &source.to_string_lossy(), options)
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: target.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    }
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPC: IpcMode = IpcMode::Private;

    fn wishes(points: &[MountPoint]) -> Wishes<'_> {
        Wishes {
            points,
            files: &[],
            staged: const { &BTreeMap::new() },
            foreign: const { &BTreeSet::new() },
            init: None,
            ipc: &IPC,
            shared_memory: None,
            shm_size: 64 << 20,
            privileged: false,
            writable_cgroups: false,
            readonly_rootfs: false,
            recursive_read_only: true,
            remapped: false,
        }
    }

    fn point(target: &str) -> MountPoint {
        MountPoint {
            source: MountSource::Path("/src".into()),
            target: target.to_owned(),
            mode: String::new(),
            writable: true,
            propagation: None,
            non_recursive: false,
            read_only: ReadOnlyReach::default(),
        }
    }

    fn find<'a>(mounts: &'a [Mount], target: &str) -> &'a Mount {
        mounts.iter().find(|mount| mount.destination == target).unwrap()
    }

    #[test]
    fn the_kernels_file_systems_are_confined() {
        let mounts = list(&wishes(&[]));
        assert!(find(&mounts, "/sys").options.contains(&"ro".to_owned()));
        assert!(find(&mounts, "/sys/fs/cgroup").options.contains(&"ro".to_owned()));
        assert!(find(&mounts, "/dev/shm").options.contains(&"size=67108864".to_owned()));
        let privileged = list(&Wishes { privileged: true, writable_cgroups: true, ..wishes(&[]) });
        assert!(!find(&privileged, "/sys").options.contains(&"ro".to_owned()));
    }

    #[test]
    fn the_users_mounts_replace_ours_and_lie_in_order() {
        let points = [point("/a/b"), point("/dev"), point("/a")];
        let mounts = list(&wishes(&points));
        assert!(!mounts.iter().any(|mount| mount.destination == "/dev/pts"));
        let at = |target| mounts.iter().position(|mount| mount.destination == target).unwrap();
        assert!(at("/a") < at("/a/b"));
        assert_eq!(find(&mounts, "/a").options, ["rbind", "rprivate"]);
    }

    #[test]
    fn a_read_only_bind_is_so_all_the_way_down() {
        let points = [MountPoint { writable: false, ..point("/a") }];
        assert_eq!(find(&list(&wishes(&points)), "/a").options, ["rbind", "rro", "rprivate"]);
    }

    #[test]
    fn what_is_ours_has_the_containers_ids_and_what_is_the_hosts_does_not() {
        let path = Path::new("/ours/hosts");
        let (name, path_of_volume) = ("data".to_owned(), "/ours/data".into());
        let volume = MountSource::Volume {
            name,
            path: path_of_volume,
            driver: "local".to_owned(),
            anonymous: false,
            subpath: None,
        };
        let points = [point("/bind"), MountPoint { source: volume, ..point("/data") }];
        let files = [("/etc/hosts", path)];
        let wishes = Wishes { files: &files, remapped: true, ..wishes(&points) };
        let mounts = list(&wishes);
        assert_eq!(find(&mounts, "/etc/hosts").options, ["bind", "rw", "rprivate", "idmap"]);
        assert_eq!(find(&mounts, "/data").options, ["rbind", "rprivate", "ridmap"]);
        assert_eq!(find(&mounts, "/bind").options, ["rbind", "rprivate"]);
        let foreign = ["data".to_owned()].into();
        let by_options = list(&Wishes { foreign: &foreign, ..wishes.clone() });
        assert_eq!(find(&by_options, "/data").options, ["rbind", "rprivate"]);
        let as_host = list(&Wishes { remapped: false, ..wishes });
        assert_eq!(find(&as_host, "/data").options, ["rbind", "rprivate"]);
    }

    #[test]
    fn a_shared_bind_makes_the_root_spread_mounts() {
        let shared = MountPoint { propagation: Some(Propagation::Rshared), ..point("/a") };
        assert_eq!(root_propagation(&[point("/b"), shared]), Some("rshared"));
        assert_eq!(root_propagation(&[point("/b")]), None);
    }
}
