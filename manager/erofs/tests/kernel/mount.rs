//! Images and the kernel.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

/// An image, mounted nowhere: only its descriptor leads into it, and when that is closed it is gone.
pub(crate) struct Mounted(OwnedFd);

impl Mounted {
    pub(crate) fn new(image: &File) -> Self {
        let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        let source = format!("/proc/self/fd/{}", image.as_raw_fd());
        fsconfig_set_string(&context, "source", source).unwrap();
        fsconfig_create(&context).unwrap();
        Self(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/.", self.0.as_raw_fd()))
    }
}
