//! Work on files in the name of a container's root.

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

use super::map::IdMap;
use crate::error::{Error, Result};

/// For as long as this lives, files that this thread makes are those of the container's root, as the
/// host sees it: what is id-mapped has no place for root of the host. The rights of the thread are as
/// before. It must be dropped by the thread that made it.
#[must_use]
pub(crate) struct Acting {
    /// Not to be sent to other threads.
    _here: std::marker::PhantomData<*const ()>,
}

impl Acting {
    /// Begins.
    pub(crate) fn as_root_of(map: &IdMap) -> Result<Self> {
        let failed =
            |errno: rustix::io::Errno| Error::io("act as a container's root", errno.into());
        let rights: CapabilitySets = capabilities(None).map_err(failed)?;
        let (uid, gid) = map.root();
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
        let acting = Self { _here: std::marker::PhantomData };
        // Who isn't root loses some.
        set_capabilities(None, rights).map_err(failed)?;
        Ok(acting)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn files_are_the_containers_for_as_long_as_it_lasts() {
        let map = IdMap::new(&[(100_000, 10)], &[(200_000, 10)]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let rights = capabilities(None).unwrap();
        let owner = |name: &str| {
            std::fs::write(directory.path().join(name), "").unwrap();
            let facts = directory.path().join(name).metadata().unwrap();
            (facts.uid(), facts.gid())
        };
        let acting = Acting::as_root_of(&map).unwrap();
        assert_eq!(owner("theirs"), (100_000, 200_000));
        assert_eq!(capabilities(None).unwrap(), rights);
        drop(acting);
        assert_eq!(owner("ours"), (0, 0));
        assert_eq!(capabilities(None).unwrap(), rights);
    }
}
