//! Can the kernel map the ids of what is on this disk?

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::map::IdMap;
use super::namespace;
use crate::error::{Error, Kind, Result};
use crate::linux::map_mount;

/// The first kernel with overlays whose layers are id-mapped.
const SINCE: (u32, u32) = (5, 19);

/// Tries it with `directory`, on a kernel of this version.
///
/// # Errors
/// [`Kind::Unavailable`] with what is missing.
pub(crate) fn probe(map: &IdMap, directory: &Path, kernel: (u32, u32)) -> Result<()> {
    let unavailable = |why: String| Error::new(Kind::Unavailable, format!("userns-remap: {why}"));
    if kernel < SINCE {
        let (major, minor) = SINCE;
        return Err(unavailable(format!(
            "containers' files are shown to them by id-mapped overlays, which takes Linux \
             {major}.{minor}"
        )));
    }
    let namespace = namespace::new(map).map_err(|error| {
        unavailable(format!(
            "{error}: the kernel has no user namespaces, or user.max_user_namespaces is too low"
        ))
    })?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, directory, flags)
        .and_then(|tree| map_mount(tree.as_fd(), namespace.as_fd()))
        .map_err(|errno| {
            unavailable(format!(
                "the file system of {} can't be mounted with other ids ({}): put the data root on \
                 ext4, XFS or Btrfs",
                directory.display(),
                std::io::Error::from(errno)
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let map = IdMap::new(&[(100_000, 65_536)], &[(100_000, 65_536)]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        probe(&map, directory.path(), (6, 0)).unwrap();
        let old = probe(&map, directory.path(), (5, 15)).unwrap_err();
        assert!(old.to_string().contains("Linux 5.19"), "{old}");
        let other = probe(&map, Path::new("/proc"), (6, 0)).unwrap_err();
        assert!(other.to_string().contains("file system of /proc"), "{other}");
        assert_eq!(other.kind(), Kind::Unavailable);
    }
}
