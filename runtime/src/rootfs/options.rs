//! Mount options: what each word means.

use crate::linux::mount::Depth;

/// MOUNT_ATTR_RDONLY.
pub(crate) const RDONLY: u64 = 0x1;
/// MOUNT_ATTR_NOSUID.
pub(crate) const NOSUID: u64 = 0x2;
/// MOUNT_ATTR_NODEV.
pub(crate) const NODEV: u64 = 0x4;
/// MOUNT_ATTR_NOEXEC.
pub(crate) const NOEXEC: u64 = 0x8;
/// MOUNT_ATTR__ATIME: the field that holds how access times are kept.
pub(super) const ATIME: u64 = 0x70;
/// MOUNT_ATTR_RELATIME, a value of that field.
const RELATIME: u64 = 0;
/// MOUNT_ATTR_NOATIME, a value of that field.
pub(super) const NOATIME: u64 = 0x10;
/// MOUNT_ATTR_STRICTATIME, a value of that field.
const STRICTATIME: u64 = 0x20;
/// MOUNT_ATTR_NODIRATIME.
const NODIRATIME: u64 = 0x80;
/// MOUNT_ATTR_NOSYMFOLLOW.
pub(super) const NOSYMFOLLOW: u64 = 0x20_0000;
/// All attributes that are switches: a bind mount with options has those that are named, no others.
pub(super) const SWITCHES: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;

/// MS_UNBINDABLE.
pub(crate) const UNBINDABLE: u64 = 1 << 17;
/// MS_PRIVATE.
pub(crate) const PRIVATE: u64 = 1 << 18;
/// MS_SLAVE.
pub(crate) const SLAVE: u64 = 1 << 19;
/// MS_SHARED.
pub(crate) const SHARED: u64 = 1 << 20;

/// What one option does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// The default already.
    Nothing,
    /// Sets an attribute of the mount.
    Set(u64),
    /// Clears an attribute of the mount.
    Clear(u64),
    /// Sets how access times are kept.
    Atime(u64),
    /// Sets an attribute of the mount and all below.
    SetTree(u64),
    /// Clears an attribute of the mount and all below.
    ClearTree(u64),
    /// Sets how access times are kept, of the mount and all below.
    AtimeTree(u64),
    /// Sets the propagation type.
    Propagate(u64, Depth),
    /// Passes a flag of the file system itself.
    FileSystem(&'static str),
    /// Makes it a bind mount.
    Bind(Depth),
    /// Maps ids.
    IdMap(Depth),
    /// Fills a tmpfs with what lies below.
    CopyUp,
    /// Keeps the attributes that are not named.
    Remount,
}

use Effect::*;

/// Every option that is not handed to the file system as it is.
const OPTIONS: &[(&str, Effect)] = &[
    ("async", FileSystem("async")),
    ("atime", Atime(RELATIME)),
    ("bind", Bind(Depth::One)),
    ("defaults", Nothing),
    ("dev", Clear(NODEV)),
    ("diratime", Clear(NODIRATIME)),
    ("dirsync", FileSystem("dirsync")),
    ("exec", Clear(NOEXEC)),
    ("idmap", IdMap(Depth::One)),
    ("iversion", FileSystem("iversion")),
    ("lazytime", FileSystem("lazytime")),
    ("loud", Nothing),
    ("mand", FileSystem("mand")),
    ("noatime", Atime(NOATIME)),
    ("nodev", Set(NODEV)),
    ("nodiratime", Set(NODIRATIME)),
    ("noexec", Set(NOEXEC)),
    ("noiversion", Nothing),
    ("nolazytime", FileSystem("nolazytime")),
    ("nomand", FileSystem("nomand")),
    ("norelatime", Nothing),
    ("nostrictatime", Nothing),
    ("nosuid", Set(NOSUID)),
    ("nosymfollow", Set(NOSYMFOLLOW)),
    ("private", Propagate(PRIVATE, Depth::One)),
    ("ratime", AtimeTree(RELATIME)),
    ("rbind", Bind(Depth::Tree)),
    ("rdev", ClearTree(NODEV)),
    ("rdiratime", ClearTree(NODIRATIME)),
    ("relatime", Atime(RELATIME)),
    ("remount", Remount),
    ("rexec", ClearTree(NOEXEC)),
    ("ridmap", IdMap(Depth::Tree)),
    ("rnoatime", AtimeTree(NOATIME)),
    ("rnodev", SetTree(NODEV)),
    ("rnodiratime", SetTree(NODIRATIME)),
    ("rnoexec", SetTree(NOEXEC)),
    ("rnorelatime", Nothing),
    ("rnostrictatime", Nothing),
    ("rnosuid", SetTree(NOSUID)),
    ("rnosymfollow", SetTree(NOSYMFOLLOW)),
    ("ro", Set(RDONLY)),
    ("rprivate", Propagate(PRIVATE, Depth::Tree)),
    ("rrelatime", AtimeTree(RELATIME)),
    ("rro", SetTree(RDONLY)),
    ("rrw", ClearTree(RDONLY)),
    ("rshared", Propagate(SHARED, Depth::Tree)),
    ("rslave", Propagate(SLAVE, Depth::Tree)),
    ("rstrictatime", AtimeTree(STRICTATIME)),
    ("rsuid", ClearTree(NOSUID)),
    ("rsymfollow", ClearTree(NOSYMFOLLOW)),
    ("runbindable", Propagate(UNBINDABLE, Depth::Tree)),
    ("rw", Clear(RDONLY)),
    ("shared", Propagate(SHARED, Depth::One)),
    ("silent", Nothing),
    ("slave", Propagate(SLAVE, Depth::One)),
    ("strictatime", Atime(STRICTATIME)),
    ("suid", Clear(NOSUID)),
    ("symfollow", Clear(NOSYMFOLLOW)),
    ("sync", FileSystem("sync")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(UNBINDABLE, Depth::One)),
];

/// The names of all options that the runtime itself understands.
pub(crate) fn known_options() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

/// The propagation that `name` stands for, as `rootfsPropagation` has it.
pub(crate) fn propagation(name: &str) -> Option<(u64, Depth)> {
    match find(name) {
        Some(Propagate(kind, depth)) => Some((kind, depth)),
        _ => None,
    }
}

/// What the option `name` does; `None` if it is one for the file system.
pub(super) fn find(name: &str) -> Option<Effect> {
    OPTIONS.iter().find(|(known, _)| *known == name).map(|(_, effect)| *effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_for_searching_and_unique() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
