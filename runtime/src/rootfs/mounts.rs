//! Making one mount of the bundle.

use super::attach::{
    attach, attach_changed, clone_path, fits_new_api, mount_long, new_file_system, propagate,
    restrict_bind, restrict_tree,
};
use super::options::RDONLY;
use super::place::{file_type, is_same_file};
use super::plan::{MountPlan, Parameter, What};
use super::procfs::{Procfs, is_proc};
use super::{Built, RootfsPlan, SourceGiver, cgroups, copyup};
use crate::error::{Context, Error, Result};
use crate::linux::mount::Depth;
use rustix::fs::{CWD, FileType};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes `mount`, number `index` of the plan, in the root that is being built.
pub(super) fn make(
    plan: &RootfsPlan<'_>,
    mount: &MountPlan,
    index: usize,
    giver: &impl SourceGiver,
    built: &mut Built,
) -> Result<()> {
    let made = match &mount.what {
        What::Bind(depth) => {
            let tree = open_source(mount, *depth, index, giver)?;
            let place = place_for(mount, &tree, built)?;
            attach_changed(&tree, place, |tree| restrict_bind(tree, mount))?;
            tree
        }
        What::Cgroups => {
            let place = directory_for(mount, built)?;
            cgroups::mount(mount, &plan.cgroup.view(), plan.cgroup_namespace, &place)?
        }
        What::New(typ) => {
            let mode = mode_below(mount, built)?;
            let place = directory_for(mount, built)?;
            make_new(plan, mount, typ, place, mode, built)?
        }
    };
    restrict_tree(&made, mount)?;
    propagate(&made, mount)?;
    built.remember(mount, made);
    Ok(())
}

/// The tree to bind. What this process cannot open itself, or not with other ids, the host's side
/// gives.
fn open_source(
    mount: &MountPlan,
    depth: Depth,
    index: usize,
    giver: &impl SourceGiver,
) -> Result<OwnedFd> {
    if mount.id_map.is_some() {
        return giver.mount_source(index);
    }
    let source = mount.source.as_deref().unwrap_or(Path::new("/"));
    match clone_path(CWD, source, depth) {
        Err(rustix::io::Errno::ACCESS) => giver.mount_source(index),
        other => other.context(|| format!("open {}", source.display())),
    }
}

/// The place of a bind mount: made, where it is missing, as the kind of thing that the source is.
fn place_for(mount: &MountPlan, tree: &OwnedFd, built: &Built) -> Result<OwnedFd> {
    let place = match built.root.find(&mount.destination)? {
        Some(place) => place,
        None => match file_type(tree).context(|| "look at the source")? {
            FileType::Directory => built.root.make_dir(&mount.destination, 0o755)?,
            _ => built.root.make_file(&mount.destination)?,
        },
    };
    refuse_root(&place, built)?;
    if is_proc_place(mount, &place, built)? && !is_proc(tree).context(|| "look at the source")? {
        return Err(not_proc(mount));
    }
    refuse_inside_proc(mount, &place)?;
    Ok(place)
}

/// The place of a new file system: a directory, made where it is missing.
fn directory_for(mount: &MountPlan, built: &Built) -> Result<OwnedFd> {
    let is = |name: &str| mount.what == What::New(name.to_owned());
    // A procfs or sysfs behind a link would not be where the container is protected from it.
    let place = match &mount.what {
        What::New(typ) if typ == "proc" || typ == "sysfs" => {
            let plain = built.root.make_plain_dir(&mount.destination, 0o755)?;
            plain.ok_or_else(|| {
                Error::invalid(format!("filesystem {typ:?} must be mounted on ordinary directory"))
            })?
        }
        What::New(_) | What::Bind(_) | What::Cgroups => {
            built.root.make_dir(&mount.destination, 0o755)?
        }
    };
    refuse_root(&place, built)?;
    if !is("proc") && is_proc_place(mount, &place, built)? {
        return Err(not_proc(mount));
    }
    refuse_inside_proc(mount, &place)?;
    Ok(place)
}

fn make_new(
    plan: &RootfsPlan<'_>,
    mount: &MountPlan,
    typ: &str,
    place: OwnedFd,
    mode: Option<u32>,
    built: &mut Built,
) -> Result<OwnedFd> {
    if !fits_new_api(mount) {
        return mount_long(typ, mount, &place);
    }
    // What is to be filled before it becomes read-only.
    let is_filled =
        typ == "tmpfs" || mount.destination.components().eq(Path::new("/dev").components());
    let attributes = match is_filled {
        true => mount.attributes.set & !RDONLY,
        false => mount.attributes.set,
    };
    let parameters = parameters(plan, mount, typ, mode);
    let source = mount.source.as_deref().filter(|source| !source.as_os_str().is_empty());
    let made = new_file_system(typ, source, &parameters, attributes)?;
    if mount.copy_up {
        copyup::copy(&place, &made)?;
    }
    attach(&made, &place).context(|| "attach")?;
    let hold = || made.try_clone().context(|| "hold the mount");
    if is_filled && mount.is_read_only() {
        built.late_read_only.push(hold()?);
    }
    if typ == "proc" && mount.destination.components().eq(Path::new("/proc").components()) {
        built.procfs = Some(Procfs::verify(hold()?)?);
    }
    Ok(made)
}

/// The permissions of the directory that a mount covers; `None` if it has to be made first.
fn mode_below(mount: &MountPlan, built: &Built) -> Result<Option<u32>> {
    let Some(place) = built.root.find(&mount.destination)? else { return Ok(None) };
    let stat = rustix::fs::fstat(place).context(|| "look at its place")?;
    Ok(Some(stat.st_mode & 0o7777))
}

/// The file system's options: a tmpfs takes the permissions of the directory it covers, if the
/// image has one and the bundle says no others; and the container's label where there is one.
fn parameters(
    plan: &RootfsPlan<'_>,
    mount: &MountPlan,
    typ: &str,
    mode: Option<u32>,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let is_said = mount.parameters.iter().any(|one| one.name == "mode");
    if let Some(mode) = mode.filter(|_| typ == "tmpfs" && !is_said) {
        parameters.push(Parameter { name: "mode".to_owned(), value: Some(format!("{mode:o}")) });
    }
    parameters.extend(mount.parameters.iter().cloned());
    let labelled = plan.label.as_ref().filter(|_| !matches!(typ, "proc" | "sysfs" | "mqueue"));
    if let Some(label) = labelled {
        parameters.push(Parameter { name: "context".to_owned(), value: Some(label.clone()) });
    }
    parameters
}

fn refuse_root(place: &OwnedFd, built: &Built) -> Result<()> {
    match is_same_file(place, &built.root).context(|| "look at its place")? {
        true => Err(Error::invalid("a mount cannot cover the root of the container")),
        false => Ok(()),
    }
}

/// Whether the place is the container's /proc, by whatever path it was named.
fn is_proc_place(mount: &MountPlan, place: &OwnedFd, built: &Built) -> Result<bool> {
    if mount.destination.components().eq(Path::new("/proc").components()) {
        return Ok(true);
    }
    match built.root.find(Path::new("/proc"))? {
        Some(proc) => is_same_file(proc, place).context(|| "look at its place"),
        None => Ok(false),
    }
}

fn not_proc(mount: &MountPlan) -> Error {
    Error::invalid(format!(
        "{:?} cannot be mounted because it is not of type proc",
        mount.destination.display().to_string()
    ))
}

/// Files of /proc that are replaced to show a container's own share of the machine.
const REPLACEABLE: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// Nothing is mounted inside a procfs but over files that only inform.
fn refuse_inside_proc(mount: &MountPlan, place: &OwnedFd) -> Result<()> {
    let what = || "look at its place";
    if !is_proc(place).context(what)? {
        return Ok(());
    }
    // A procfs that is being covered whole is no place inside it.
    if rustix::fs::fstat(place).context(what)?.st_ino == 1 {
        return Ok(());
    }
    let replaceable = mount
        .destination
        .strip_prefix("/proc")
        .is_ok_and(|below| REPLACEABLE.iter().any(|file| below == Path::new(file)));
    match replaceable && is_regular(place).context(what)? {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{:?} cannot be mounted because it is inside /proc",
            mount.destination.display().to_string()
        ))),
    }
}

fn is_regular(fd: impl AsFd) -> rustix::io::Result<bool> {
    Ok(file_type(fd)? == FileType::RegularFile)
}
