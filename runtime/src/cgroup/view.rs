//! What a container sees under `/sys/fs/cgroup`.

use std::path::Path;

use super::{Group, v2};

/// How the mount inside the container is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One v2 hierarchy, mounted at the destination itself.
    Unified,
    /// A tmpfs at the destination with a directory for each hierarchy.
    Legacy,
}

/// The hierarchies that a container is shown.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// How they are laid out.
    pub(crate) layout: Layout,
    /// The hierarchies; with [`Layout::Unified`] just one.
    pub(crate) hierarchies: Vec<Visible<'a>>,
}

/// One hierarchy as a container sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Visible<'a> {
    /// The name of its directory, such as `cpu,cpuacct`, `systemd` or `unified`: that of its mount
    /// point on the host.
    pub(crate) name: &'a str,
    /// Symbolic links to it: one for each controller where the name is a list of several.
    pub(crate) links: Vec<&'a str>,
    /// The type of file system: `cgroup` or `cgroup2`.
    pub(crate) fstype: &'static str,
    /// The mount data by which a new cgroup namespace mounts it: `cpu,cpuacct`, `name=systemd`, or
    /// nothing for v2.
    pub(crate) data: String,
    /// The container's own directory, for a bind mount where there is no cgroup namespace.
    pub(crate) directory: &'a Path,
}

/// What a mount of type `cgroup` inside the container is to show.
pub(super) fn view(groups: &[Group]) -> View<'_> {
    let layout = if groups.iter().any(|group| matches!(group, Group::V1(_))) {
        Layout::Legacy
    } else {
        Layout::Unified
    };
    View { layout, hierarchies: groups.iter().map(visible).collect() }
}

fn visible(group: &Group) -> Visible<'_> {
    match group {
        Group::V2(group) => visible_v2(group),
        Group::V1(group) => {
            let name = last_name(&group.mount_point);
            let names: Vec<&str> =
                group.controllers.iter().map(|controller| controller.v1_name()).collect();
            Visible {
                name,
                links: if name.contains(',') { name.split(',').collect() } else { Vec::new() },
                fstype: "cgroup",
                data: if names.is_empty() { "name=systemd".to_owned() } else { names.join(",") },
                directory: &group.directory,
            }
        }
    }
}

fn visible_v2(group: &v2::Group) -> Visible<'_> {
    Visible {
        name: last_name(&group.mount_point),
        links: Vec::new(),
        fstype: "cgroup2",
        data: String::new(),
        directory: &group.directory,
    }
}

fn last_name(mount_point: &Path) -> &str {
    mount_point.file_name().and_then(|name| name.to_str()).unwrap_or("cgroup")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::controller::Controller;
    use super::super::v1;
    use super::*;

    fn v1_at(mount: &str, controllers: &[Controller]) -> Group {
        Group::V1(v1::Group {
            controllers: controllers.to_vec(),
            mount_point: PathBuf::from(mount),
            directory: PathBuf::from(mount).join("box"),
        })
    }

    fn v2_at(mount: &str) -> Group {
        Group::V2(v2::Group {
            controllers: Vec::new(),
            mount_point: PathBuf::from(mount),
            directory: PathBuf::from(mount).join("box"),
        })
    }

    #[test]
    fn a_legacy_host_shows_each_hierarchy() {
        let groups = [
            v1_at("/sys/fs/cgroup/cpu,cpuacct", &[Controller::Cpu, Controller::Cpuacct]),
            v1_at("/sys/fs/cgroup/systemd", &[]),
            v2_at("/sys/fs/cgroup/unified"),
        ];
        let view = view(&groups);
        assert_eq!(view.layout, Layout::Legacy);
        let [cpu, systemd, unified] = view.hierarchies.as_slice() else { panic!("{view:?}") };
        assert_eq!((cpu.name, cpu.data.as_str()), ("cpu,cpuacct", "cpu,cpuacct"));
        assert_eq!(cpu.links, ["cpu", "cpuacct"]);
        assert_eq!((systemd.name, systemd.data.as_str()), ("systemd", "name=systemd"));
        assert_eq!((unified.name, unified.fstype), ("unified", "cgroup2"));
        assert_eq!(unified.directory, Path::new("/sys/fs/cgroup/unified/box"));
    }

    #[test]
    fn a_unified_host_shows_one() {
        let groups = [v2_at("/sys/fs/cgroup")];
        let view = view(&groups);
        assert_eq!((view.layout, view.hierarchies.len()), (Layout::Unified, 1));
    }
}
