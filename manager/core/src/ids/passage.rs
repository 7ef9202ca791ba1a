//! The way of a container's root to its root file system, while the runtime sets it up.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::map::IdMap;
use crate::error::{Error, Result};

/// Lets root of containers, and no other user of the host, pass through `directory`, which is closed
/// to others. It stays so when users are mapped no more: containers of before may still run.
///
/// # Errors
/// [`crate::Kind::Invalid`] if a directory above is closed to it.
pub(crate) fn open(map: &IdMap, directory: &Path) -> Result<()> {
    let (uid, gid) = map.root();
    chown(directory, None, Some(gid))
        .map_err(|error| Error::io(format!("set the group of {}", directory.display()), error))?;
    for above in directory.ancestors().skip(1) {
        let facts = above.metadata();
        let facts =
            facts.map_err(|error| Error::io(format!("look at {}", above.display()), error))?;
        if !lets_through(&facts, uid, gid) {
            return Err(Error::invalid(format!(
                "userns-remap: {} restricts access for the remapped root uid/gid ({uid}:{gid}), so \
                 that it can't reach what is in {}: allow others to pass by \"chmod o+x {}\", or give \
                 another --exec-root",
                above.display(),
                directory.display(),
                above.display()
            )));
        }
    }
    Ok(())
}

/// Whether the user and group can go through a directory.
fn lets_through(facts: &Metadata, uid: u32, gid: u32) -> bool {
    let needed = match (facts.uid() == uid, facts.gid() == gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    facts.mode() & needed != 0
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_open_to_their_root_and_the_way_there_must_be() {
        let map = IdMap::new(&[(100_000, 10)], &[(200_000, 10)]).unwrap();
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("run");
        create_dir(&directory).unwrap();
        set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        let error = open(&map, &directory).unwrap_err().to_string();
        let shown = root.path().display();
        assert!(error.contains(&format!("{shown} restricts access")), "{error}");
        set_permissions(root.path(), Permissions::from_mode(0o711)).unwrap();
        open(&map, &directory).unwrap();
        assert_eq!(directory.metadata().unwrap().gid(), 200_000);
    }
}
