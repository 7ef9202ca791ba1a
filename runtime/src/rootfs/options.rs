//! Mount options: what each word means.

pub(crate) use crate::linux::mount::bits::*;

use crate::linux::mount::Depth;

/// All attributes that are switches: a bind mount with options has those that are named, no others.
pub(super) const SWITCHES: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;

/// What one option does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// Names what is so anyway. Only that it is named counts.
    Default,
    /// Sets an attribute of the mount.
    Set(u64),
    /// Clears an attribute of the mount.
    Clear(u64),
    /// Says one word on how access times are kept; all such words together decide.
    Atime(AtimeWord),
    /// Takes back one such word.
    NotAtime(AtimeWord),
    /// Sets an attribute of the mount and all below.
    SetTree(u64),
    /// Clears an attribute of the mount and all below.
    ClearTree(u64),
    /// Sets how access times are kept, of the mount and all below.
    AtimeTree(u64),
    /// Takes that way of keeping them back, for the mount and all below.
    NotAtimeTree(u64),
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

impl Effect {
    /// Whether it is about the attributes of the one mount: a bind mount with any such option has
    /// those that are named, and no others.
    pub(super) fn restricts(self) -> bool {
        match self {
            Default | Set(_) | Clear(_) | Atime(_) | NotAtime(_) | FileSystem(_) => true,
            Nothing | SetTree(_) | ClearTree(_) | AtimeTree(_) | NotAtimeTree(_) => false,
            Propagate(..) | Bind(_) | IdMap(_) | CopyUp | Remount => false,
        }
    }
}

/// Words on how access times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtimeWord {
    /// `noatime`
    Never,
    /// `nodiratime`
    NotOfDirectories,
    /// `relatime`
    Relative,
    /// `strictatime`
    Strict,
}

use AtimeWord::{Never, NotOfDirectories, Relative, Strict};
use Effect::*;

/// Every option that is not handed to the file system as it is.
const OPTIONS: &[(&str, Effect)] = &[
    ("async", FileSystem("async")),
    ("atime", NotAtime(Never)),
    ("bind", Bind(Depth::One)),
    ("defaults", Nothing),
    ("dev", Clear(NODEV)),
    ("diratime", NotAtime(NotOfDirectories)),
    ("dirsync", FileSystem("dirsync")),
    ("exec", Clear(NOEXEC)),
    ("idmap", IdMap(Depth::One)),
    ("iversion", FileSystem("iversion")),
    ("lazytime", FileSystem("lazytime")),
    ("loud", Default),
    ("mand", FileSystem("mand")),
    ("noatime", Atime(Never)),
    ("nodev", Set(NODEV)),
    ("nodiratime", Atime(NotOfDirectories)),
    ("noexec", Set(NOEXEC)),
    ("noiversion", Default),
    ("nolazytime", FileSystem("nolazytime")),
    ("nomand", FileSystem("nomand")),
    ("norelatime", NotAtime(Relative)),
    ("nostrictatime", NotAtime(Strict)),
    ("nosuid", Set(NOSUID)),
    ("nosymfollow", Set(NOSYMFOLLOW)),
    ("private", Propagate(PRIVATE, Depth::One)),
    ("ratime", NotAtimeTree(NOATIME)),
    ("rbind", Bind(Depth::Tree)),
    ("rdev", ClearTree(NODEV)),
    ("rdiratime", ClearTree(NODIRATIME)),
    ("relatime", Atime(Relative)),
    ("remount", Remount),
    ("rexec", ClearTree(NOEXEC)),
    ("ridmap", IdMap(Depth::Tree)),
    ("rnoatime", AtimeTree(NOATIME)),
    ("rnodev", SetTree(NODEV)),
    ("rnodiratime", SetTree(NODIRATIME)),
    ("rnoexec", SetTree(NOEXEC)),
    ("rnorelatime", NotAtimeTree(RELATIME)),
    ("rnostrictatime", NotAtimeTree(STRICTATIME)),
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
    ("silent", Default),
    ("slave", Propagate(SLAVE, Depth::One)),
    ("strictatime", Atime(Strict)),
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
