//! Making mounts that are attached nowhere yet, and attaching them to a place held open.
//!
//! A mount gets all its attributes while nothing can reach it, and is attached to a descriptor, not
//! to a path: there is no moment at which it could be used too early or put elsewhere.

use super::options::RDONLY;
use super::plan::{Attributes, MountPlan, Parameter};
use crate::error::{Context, Error, Result};
use crate::linux::mount::{Change, Depth, changes_detached, set_attributes};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// File systems whose superblock is shared with, or the same as, one of the host's: `ro` is a
/// matter of the mount alone.
const SHARED_SUPERBLOCK: [&str; 7] =
    ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];

/// The longest value that fsconfig(2) takes, in bytes.
const LONGEST_VALUE: usize = 255;

/// A copy of the mount at `place`, attached nowhere.
pub(crate) fn clone_at(place: impl AsFd, depth: Depth) -> rustix::io::Result<OwnedFd> {
    open_tree(place, c"", tree_flags(depth) | OpenTreeFlags::AT_EMPTY_PATH)
}

/// A copy of the mount at `path`, seen from the directory `base`, attached nowhere.
pub(crate) fn clone_path(
    base: impl AsFd,
    path: &Path,
    depth: Depth,
) -> rustix::io::Result<OwnedFd> {
    open_tree(base, path, tree_flags(depth))
}

fn tree_flags(depth: Depth) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match depth {
        Depth::One => flags,
        Depth::Tree => flags | OpenTreeFlags::AT_RECURSIVE,
    }
}

/// Attaches `mount` at `place`, over whatever is there.
pub(crate) fn attach(mount: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags)
}

/// Attaches `mount` at `place` as `change` makes it. It is changed while nothing can reach it, if the
/// kernel can do that, and else as soon as it is attached.
pub(crate) fn attach_changed(
    mount: &OwnedFd,
    place: impl AsFd,
    change: impl FnOnce(&OwnedFd) -> Result<()>,
) -> Result<()> {
    let attach = || attach(mount, &place).context(|| "attach");
    match changes_detached() {
        true => change(mount).and_then(|()| attach()),
        false => attach().and_then(|()| change(mount)),
    }
}

/// A new instance of the file system type `typ`, attached nowhere.
pub(crate) fn new_file_system(
    typ: &str,
    source: Option<&Path>,
    parameters: &[Parameter],
    attributes: u64,
) -> Result<OwnedFd> {
    let context =
        fsopen(typ, FsOpenFlags::FSOPEN_CLOEXEC).context(|| format!("open file system {typ:?}"))?;
    configure(&context, typ, source, parameters, attributes)
        .map_err(|errno| Error::system(complaint(&context, typ), errno))?;
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .context(|| format!("mount file system {typ:?}"))
}

fn configure(
    context: &OwnedFd,
    typ: &str,
    source: Option<&Path>,
    parameters: &[Parameter],
    attributes: u64,
) -> rustix::io::Result<()> {
    if let Some(source) = source {
        fsconfig_set_string(context, "source", source)?;
    }
    if attributes & RDONLY != 0 && !SHARED_SUPERBLOCK.contains(&typ) {
        fsconfig_set_flag(context, "ro")?;
    }
    for Parameter { name, value } in parameters {
        match value {
            Some(value) => fsconfig_set_string(context, name, value)?,
            None => fsconfig_set_flag(context, name)?,
        }
    }
    fsconfig_create(context)
}

/// What the kernel says about a failed configuration, beside the error number.
fn complaint(context: &OwnedFd, typ: &str) -> String {
    let mut text = format!("configure file system {typ:?}");
    let mut line = [0u8; 512];
    while let Ok(length) = rustix::io::read(context, &mut line) {
        let said = String::from_utf8_lossy(line.get(..length).unwrap_or_default()).into_owned();
        text.push_str(&format!(" ({})", said.trim_end().trim_start_matches("e ")));
    }
    text
}

/// Whether the new mount API can carry all of the plan's parameters.
pub(crate) fn fits_new_api(plan: &MountPlan) -> bool {
    plan.parameters
        .iter()
        .filter_map(|parameter| parameter.value.as_ref())
        .all(|value| value.len() <= LONGEST_VALUE)
}

/// Mounts a file system whose options are too long for fsconfig(2), and gives the mount. mount(2)
/// takes a path: that is a name in a directory of our own, which is attached at `place` for as long
/// as it takes, and the mount is moved from there to `place` by descriptor as all others are.
pub(crate) fn mount_long(typ: &str, plan: &MountPlan, place: &OwnedFd) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    const NAME: &std::ffi::CStr = c"mount";
    let data = plan
        .parameters
        .iter()
        .map(|Parameter { name, value }| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect::<Vec<_>>()
        .join(",");
    let data = std::ffi::CString::new(data)
        .map_err(|_| Error::invalid("a mount option has a zero byte in it"))?;
    // The lower bits of the attributes have the same meaning as those of mount(2).
    let flags = MountFlags::from_bits_retain((plan.attributes.set & 0xf) as u32);
    let source = plan.source.as_deref().unwrap_or(Path::new("none"));
    let before = rustix::fs::open(c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| "hold the working directory")?;
    let own = new_file_system("tmpfs", None, &[], 0)?;
    attach(&own, place).context(|| "attach a directory to mount in")?;
    let private = Change { propagation: libc::MS_PRIVATE, ..Change::default() };
    let made = set_attributes(&own, Depth::One, private)
        .context(|| "separate the directory to mount in")
        .and_then(|()| {
            rustix::fs::mkdirat(&own, NAME, Mode::RWXU).context(|| "make a place to mount at")?;
            rustix::process::fchdir(&own).context(|| "enter the directory to mount in")?;
            mount(source, NAME, typ, flags, Some(data.as_c_str()))
                .context(|| format!("mount file system {typ:?}"))?;
            clone_path(&own, Path::new("mount"), Depth::One).context(|| "hold the mount")
        });
    let removed = rustix::process::fchdir(&own)
        .and_then(|()| unmount(c".", UnmountFlags::DETACH))
        .context(|| "take the directory to mount in away");
    rustix::process::fchdir(before).context(|| "go back")?;
    let made = made.and_then(|made| removed.map(|()| made))?;
    attach(&made, place).context(|| "attach")?;
    Ok(made)
}

/// Gives a bind mount the attributes that its plan names.
pub(crate) fn restrict_bind(tree: impl AsFd, plan: &MountPlan) -> Result<()> {
    let Some(Attributes { set, clear }) = plan.bind_attributes() else { return Ok(()) };
    let what = || "failed to set user-requested vfs flags on bind-mount";
    match set_attributes(&tree, Depth::One, Change { set, clear, ..Change::default() }) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let Attributes { set, clear } = plan.bind_attributes_beside_locked();
            set_attributes(&tree, Depth::One, Change { set, clear, ..Change::default() })
                .context(|| format!("{}: cannot clear locked flags", what()))
        }
        other => other.context(what),
    }
}

/// Applies what a plan says of a mount and all below it.
pub(crate) fn restrict_tree(tree: impl AsFd, plan: &MountPlan) -> Result<()> {
    let Attributes { set, clear } = plan.tree_attributes;
    if plan.tree_attributes.is_empty() {
        return Ok(());
    }
    set_attributes(tree, Depth::Tree, Change { set, clear, ..Change::default() })
        .context(|| "set recursive mount attributes")
}

/// Applies the plan's propagation types to a mount that is attached.
pub(crate) fn propagate(mount: impl AsFd, plan: &MountPlan) -> Result<()> {
    for (kind, depth) in &plan.propagation {
        let change = Change { propagation: *kind, ..Change::default() };
        set_attributes(&mount, *depth, change).context(|| "set mount propagation")?;
    }
    Ok(())
}

/// Opens the working directory's idea of `path` as a place.
pub(crate) fn open_host(path: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
