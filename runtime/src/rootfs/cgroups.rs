//! The container's view of its own cgroups.

use super::attach::{attach, attach_changed, clone_path, new_file_system};
use super::options::{NODEV, NOEXEC, NOSUID, RDONLY};
use super::place::open_here;
use super::plan::{Attributes, MountPlan, Parameter};
use crate::cgroup::{Cgroup, Layout, View, Visible};
use crate::error::{Context, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use rustix::fs::{CWD, Mode};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Whether the container has a cgroup namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// It has: its own cgroup is the top of what it sees.
    Own,
    /// It sees the host's.
    Host,
}

/// Mounts the view at `place` and gives the mount.
///
/// A bind mount of the container's own directory shows what a new mount in its cgroup namespace
/// would, and needs no privilege.
pub(crate) fn mount(
    plan: &MountPlan,
    view: &View<'_>,
    namespace: Namespace,
    place: &OwnedFd,
) -> Result<OwnedFd> {
    match (view.layout, view.hierarchies.as_slice()) {
        (Layout::Unified, [only]) => mount_unified(plan, only, namespace, place),
        (Layout::Unified, _) => mount_callers(plan, place),
        (Layout::Legacy, hierarchies) => mount_legacy(plan, hierarchies, place),
    }
}

/// A container without a cgroup of its own is shown those that it is in, to look at. On v2 that is
/// nothing but a part of the host's tree.
fn mount_callers(plan: &MountPlan, place: &OwnedFd) -> Result<OwnedFd> {
    let cgroup = Cgroup::of_caller()?;
    match cgroup.is_none() {
        true => mount_nothing(plan, place),
        false => mount_legacy(&plan.clone().read_only(), &cgroup.view().hierarchies, place),
    }
}

/// Something has to be mounted all the same: the place may be the host's, where what the host lets
/// its user write to would be the container's to write to as well.
fn mount_nothing(plan: &MountPlan, place: &OwnedFd) -> Result<OwnedFd> {
    let parameter = |name: &str, value: &str| Parameter {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let parameters = [parameter("mode", "555"), parameter("nr_inodes", "1")];
    let attributes = plan.attributes.set | RDONLY | NOSUID | NODEV | NOEXEC;
    let empty = new_file_system("tmpfs", Some(Path::new("tmpfs")), &parameters, attributes)?;
    attach(&empty, place).context(|| "cover the directory of cgroups")?;
    Ok(empty)
}

/// Without a namespace of its own the container sees the whole tree, if it is run by root. Anyone
/// else may not mount that, and is not given the host's own mount of it instead: parts of the tree
/// may be theirs to write to, and are none of the container's business.
fn mount_unified(
    plan: &MountPlan,
    own: &Visible<'_>,
    namespace: Namespace,
    place: &OwnedFd,
) -> Result<OwnedFd> {
    let tree = match namespace {
        Namespace::Own => return bind(own.directory, plan, place),
        Namespace::Host => {
            match new_file_system(
                "cgroup2",
                Some(Path::new("cgroup2")),
                &plan.parameters,
                plan.attributes.set,
            ) {
                Err(error) if matches!(error.errno(), Some(libc::EPERM | libc::EBUSY)) => {
                    return bind(own.directory, plan, place);
                }
                other => other?,
            }
        }
    };
    attach(&tree, place).context(|| "mount cgroup2")?;
    Ok(tree)
}

fn mount_legacy(plan: &MountPlan, hierarchies: &[Visible<'_>], place: &OwnedFd) -> Result<OwnedFd> {
    let mode = Parameter { name: "mode".to_owned(), value: Some("755".to_owned()) };
    let name = Some(Path::new("tmpfs"));
    let top = new_file_system("tmpfs", name, &[mode], plan.attributes.set & !RDONLY)?;
    attach(&top, place).context(|| "mount the directory of cgroups")?;
    for hierarchy in hierarchies {
        let name = OsStr::new(hierarchy.name);
        let below = rustix::fs::mkdirat(&top, name, Mode::from_raw_mode(0o755))
            .and_then(|()| open_here(&top, name))
            .context(|| format!("make a place for cgroup {}", hierarchy.name))?;
        bind(hierarchy.directory, plan, &below)?;
        for link in hierarchy.links.iter().filter(|link| **link != hierarchy.name) {
            rustix::fs::symlinkat(hierarchy.name, &top, *link)
                .context(|| format!("link cgroup {link}"))?;
        }
    }
    if plan.is_read_only() {
        set_attributes(&top, Depth::One, Change { set: RDONLY, ..Change::default() })
            .context(|| "make the directory of cgroups read-only")?;
    }
    Ok(top)
}

fn bind(source: &Path, plan: &MountPlan, place: &OwnedFd) -> Result<OwnedFd> {
    let what = || format!("mount cgroup {}", source.display());
    let tree = clone_path(CWD, source, Depth::One).context(what)?;
    let Attributes { set, clear } = plan.attributes;
    let change = Change { set, clear, ..Change::default() };
    attach_changed(&tree, place, |tree| {
        set_attributes(tree, Depth::One, change).context(|| "change it")
    })
    .context(what)?;
    Ok(tree)
}
