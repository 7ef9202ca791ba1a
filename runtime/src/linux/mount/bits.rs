//! Attributes of a mount as mount_setattr(2) and fsmount(2) count them, and the types of propagation.

/// MOUNT_ATTR_RDONLY.
pub(crate) const RDONLY: u64 = 0x1;
/// MOUNT_ATTR_NOSUID.
pub(crate) const NOSUID: u64 = 0x2;
/// MOUNT_ATTR_NODEV.
pub(crate) const NODEV: u64 = 0x4;
/// MOUNT_ATTR_NOEXEC.
pub(crate) const NOEXEC: u64 = 0x8;
/// MOUNT_ATTR__ATIME: the field that holds how access times are kept.
pub(crate) const ATIME: u64 = 0x70;
/// MOUNT_ATTR_RELATIME, a value of that field.
pub(crate) const RELATIME: u64 = 0;
/// MOUNT_ATTR_NOATIME, a value of that field.
pub(crate) const NOATIME: u64 = 0x10;
/// MOUNT_ATTR_STRICTATIME, a value of that field.
pub(crate) const STRICTATIME: u64 = 0x20;
/// MOUNT_ATTR_NODIRATIME.
pub(crate) const NODIRATIME: u64 = 0x80;
/// MOUNT_ATTR_NOSYMFOLLOW.
pub(crate) const NOSYMFOLLOW: u64 = 0x20_0000;
/// MS_UNBINDABLE.
pub(crate) const UNBINDABLE: u64 = 1 << 17;
/// MS_PRIVATE.
pub(crate) const PRIVATE: u64 = 1 << 18;
/// MS_SLAVE.
pub(crate) const SLAVE: u64 = 1 << 19;
/// MS_SHARED.
pub(crate) const SHARED: u64 = 1 << 20;
