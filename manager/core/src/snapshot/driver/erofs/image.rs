//! Layers' images and the kernel.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use tare_erofs::{Attributes, Data, Tree};

use crate::error::{Error, Result};
use crate::snapshot::marks::OPAQUE;
use crate::snapshot::unpack::metadata;
use crate::snapshot::{Mount, detached};

/// Tries whether an image can be mounted that is a file in `directory`, and an overlay upon it that
/// is mounted nowhere.
pub(super) fn probe(directory: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR)?;
    let tree = Tree::new(Attributes { mode: 0o755, ..Attributes::default() })?;
    let image = tare_erofs::finish(&tree, Data::new(File::from(file)))?;
    let layer = attached_nowhere(&image)?;
    let layers = format!("lowerdir=/proc/self/fd/{}:{}", layer.as_raw_fd(), directory.display());
    let overlay = "overlay".to_owned();
    detached::mount(
        &Mount { kind: overlay.clone(), source: overlay, options: vec![layers] },
        detached::Purpose::Look,
    )?;
    Ok(())
}

/// Looks the image at `path` over that another process wrote, and gives it its identity.
pub(super) fn seal(path: &Path) -> Result<()> {
    let may_have = |name: &[u8], value: &[u8]| {
        metadata::may_set(name) || (name, value) == (OPAQUE.as_bytes(), b"y")
    };
    let seal = || {
        let image = regular(path, OFlags::RDWR)?;
        tare_erofs::check(&image, may_have)?;
        tare_erofs::identify(&image, rand::random())
    };
    seal().map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::invalid(format!("unpack a layer: {error}")),
        _ => Error::io(format_args!("look {} over", path.display()), error),
    })
}

/// A mount of the image at `path`.
pub(super) fn mount(path: &Path) -> Result<OwnedFd> {
    regular(path, OFlags::RDONLY)
        .and_then(|image| Ok(attached_nowhere(&image)?))
        .map_err(|error| Error::io(format_args!("mount {}", path.display()), error))
}

/// Opens the image at `path`: what was opened is what is mounted, and no link leads anywhere else.
fn regular(path: &Path, access: OFlags) -> std::io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let image = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match image.metadata()?.is_file() {
        true => Ok(image),
        false => Err(std::io::Error::other("it is no file")),
    }
}

/// Opens the root of the image's tree, for looks only.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(mount(path)?, ".", flags, Mode::empty())
        .map_err(|errno| Error::io(format_args!("look into {}", path.display()), errno.into()))
}

/// A mount of the image that goes away when nothing of it is open or stands upon it any more.
fn attached_nowhere(image: &File) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", format!("/proc/self/fd/{}", image.as_raw_fd()))?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
