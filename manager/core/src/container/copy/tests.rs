//! Archives into directories that are someone else's.

use std::fs::{create_dir_all, read_to_string, write};
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use super::super::view::{Access, Last, View, Wanted};
use super::within::Within;
use crate::container::fixture;
use crate::container::record::{Container, MountPoint, MountSource, ReadOnlyReach};
use crate::container::rootfs::Rootfs;
use crate::error::Result;
use crate::image::archive::Archive;
use crate::image::archive::testing::{Member, tar_of};
use crate::snapshot::Mount;
use crate::volume::Attached;

/// Unpacks these in `/place` of a container whose root is `root`, with `mounted` on /place/mounted
/// if it is there.
fn unpack(root: &Path, members: &[Member], replace: bool) -> Result<()> {
    let mount =
        Mount { kind: "bind".to_owned(), source: root.display().to_string(), options: Vec::new() };
    let mounted = root.with_file_name("mounted");
    let point = mounted.exists().then(|| MountPoint {
        source: MountSource::Path(mounted),
        target: "/place/mounted".to_owned(),
        mode: String::new(),
        writable: false,
        propagation: None,
        non_recursive: false,
        read_only: ReadOnlyReach::default(),
    });
    let mounts = point.into_iter().collect();
    let container = Container { mounts, ..fixture::container() };
    let rootfs = Arc::new(Rootfs::mount(&[mount])?);
    let view = View::new(
        rootfs,
        Access::Write,
        Wanted::of(&container, &[], None, &Attached::default(), &None),
    )?;
    let place = view.find(b"/place", Last::Follow).unwrap();
    let mut within = Within::new(&view, &place, None, replace);
    let mut archive = Archive::new(Cursor::new(tar_of(members)));
    while let Some(entry) = archive.next()? {
        within.apply(entry, &mut archive)?;
    }
    within.finish()
}

#[test]
fn members_become_files_with_all_that_is_said_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    create_dir_all(root.join("place")).unwrap();
    let members = [
        Member::directory("d").mode(0o2750).owner(7, 8).mtime("1000.5"),
        Member::file("d/file", b"text").mode(0o4711).owner(9, 10).mtime("-5"),
        Member::hard_link("d/hard", "d/file"),
        Member::symlink("link", "/nowhere").owner(11, 12),
        Member::fifo("pipe").mode(0o620),
        Member::file("not/there/before", b""),
    ];
    unpack(&root, &members, false).unwrap();
    let place = root.join("place");
    let facts = |name: &str| {
        let facts = place.join(name).symlink_metadata().unwrap();
        (facts.mode() & 0o7777, facts.uid(), facts.gid())
    };
    assert_eq!(facts("d"), (0o2750, 7, 8));
    assert_eq!(facts("d/file"), (0o4711, 9, 10));
    assert_eq!(facts("link"), (0o777, 11, 12));
    assert_eq!(facts("pipe"), (0o620, 0, 0));
    assert_eq!(facts("not/there"), (0o755, 0, 0));
    assert_eq!(place.join("d").metadata().unwrap().mtime(), 1000);
    assert_eq!(place.join("d").metadata().unwrap().mtime_nsec(), 500_000_000);
    assert_eq!(place.join("d/hard").metadata().unwrap().mtime(), -5);
    assert_eq!(place.join("d/file").metadata().unwrap().nlink(), 2);
}

#[test]
fn what_is_there_is_replaced_but_not_written_through() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    create_dir_all(root.join("place/dir/deep")).unwrap();
    let outside = directory.path().join("outside");
    write(&outside, "outside").unwrap();
    symlink(&outside, root.join("place/link")).unwrap();
    std::fs::hard_link(&outside, root.join("place/hard")).unwrap();
    let members = ["link", "hard"].map(|name| Member::file(name, b"new").mode(0o777));
    unpack(&root, &members, false).unwrap();
    assert_eq!(read_to_string(&outside).unwrap(), "outside");
    assert_eq!(outside.metadata().unwrap().mode() & 0o777, 0o644);
    assert_eq!(read_to_string(root.join("place/link")).unwrap(), "new");
    let error = unpack(&root, &[Member::file("dir", b"")], false).unwrap_err().to_string();
    assert_eq!(error, "cannot overwrite directory \"dir\" with non-directory \"/place\"");
    let error = unpack(&root, &[Member::directory("hard")], false).unwrap_err().to_string();
    assert_eq!(error, "cannot overwrite non-directory \"hard\" with directory \"/place\"");
    unpack(&root, &[Member::file("dir", b"now a file"), Member::directory("hard")], true).unwrap();
    assert_eq!(read_to_string(root.join("place/dir")).unwrap(), "now a file");
    assert!(root.join("place/hard").is_dir());
}

#[test]
fn no_member_leaves_the_container_or_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    create_dir_all(root.join("place")).unwrap();
    symlink(directory.path(), root.join("place/out")).unwrap();
    symlink("../../..", root.join("place/up")).unwrap();
    for path in ["../x", "a/../../x", "/../x"] {
        assert!(unpack(&root, &[Member::file(path, b"")], false).is_err(), "{path}");
    }
    assert!(unpack(&root, &[Member::hard_link("h", "../../../etc/passwd")], false).is_err());
    // Through a link, it is where the container would find it.
    unpack(&root, &[Member::file("up/made", b"")], false).unwrap();
    assert!(root.join("made").exists());
    assert!(unpack(&root, &[Member::file("out/made", b"")], false).is_err());
    assert!(!directory.path().join("made").exists());
}

#[test]
fn mounts_stay_and_read_only_ones_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    create_dir_all(root.join("place")).unwrap();
    create_dir_all(directory.path().join("mounted")).unwrap();
    for members in [
        vec![Member::file("mounted", b"")],
        vec![Member::file("mounted/file", b"")],
        vec![Member::directory("mounted").mode(0o777)],
    ] {
        let error = unpack(&root, &members, true).unwrap_err().to_string();
        assert!(error.ends_with("busy") || error.ends_with("read-only file system"), "{error}");
    }
    assert!(directory.path().join("mounted").read_dir().unwrap().next().is_none());
}
