//! Does overlay work here: in this kernel, upon the file system of the data root?

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::deep::Stacking;
use crate::error::{Error, Result};
use crate::snapshot::delete;
use crate::snapshot::directory::make;
use crate::snapshot::marks::Marks;

/// Where it is tried; the sweep at a start takes away what a crash leaves of it.
const PLACE: &str = "probe";
const LOWER: &str = "lower";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// Mounts an overlay and deletes something in it, as a container would. Says how many layers it can
/// have.
///
/// # Errors
/// What doesn't work.
pub(super) fn probe(root: &Path) -> Result<Stacking> {
    let place = root.join(PLACE);
    let io = |error| Error::io(format_args!("try overlay in {}", place.display()), error);
    delete::tree(&place).map_err(io)?;
    make(&place, 0o700)?;
    let outcome = delete_through(&place);
    delete::tree(&place).map_err(io)?;
    outcome
}

fn delete_through(place: &Path) -> Result<Stacking> {
    let failed = |doing: &'static str| {
        move |errno: rustix::io::Errno| Error::io(format_args!("overlay: {doing}"), errno.into())
    };
    for name in [LOWER, UPPER, WORK] {
        make(&place.join(name), 0o700)?;
    }
    let file = place.join(LOWER).join("file");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &file, flags, Mode::RUSR).map_err(failed("make a file"))?;
    // An older kernel may say that an option is wrong when it is given, or when all are.
    let (root, stacking) = match mount(place, "lowerdir+") {
        Ok(root) => (root, Stacking::OneByOne),
        Err(_) => (mount(place, "lowerdir").map_err(failed("mount"))?, Stacking::Together),
    };
    rustix::fs::unlinkat(&root, "file", AtFlags::empty()).map_err(failed("delete a file"))?;
    drop(root);
    let upper = place.join(UPPER);
    let mark = rustix::fs::statat(CWD, upper.join("file"), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("look at the mark of a deleted file"))?;
    if !Marks::Overlay.is_whiteout(&mark) {
        return Err(Error::system("overlay: a deleted file has another mark than a device"));
    }
    let directory = crate::snapshot::directory::open(&upper)?;
    Marks::Overlay.make_opaque(directory.as_fd())?;
    Ok(stacking)
}

fn mount(place: &Path, lowerdir: &str) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (option, name) in [(lowerdir, LOWER), ("upperdir", UPPER), ("workdir", WORK)] {
        fsconfig_set_string(&context, option, place.join(name))?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}
