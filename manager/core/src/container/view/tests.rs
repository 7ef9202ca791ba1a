//! Paths in views, honest and hostile.

use std::fs::{create_dir_all, read_to_string, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::container::fixture;
use crate::container::record::{Container, MountPoint, MountSource, ReadOnlyReach};
use crate::snapshot::Mount;
use crate::volume::Attached;

fn point(target: &str, source: &Path, writable: bool) -> MountPoint {
    MountPoint {
        source: MountSource::Path(source.to_owned()),
        target: target.to_owned(),
        mode: String::new(),
        writable,
        propagation: None,
        non_recursive: false,
        read_only: ReadOnlyReach::default(),
    }
}

/// The view of a container whose root is `root`, with these mounts.
fn view(root: &Path, mounts: Vec<MountPoint>) -> View {
    let mount =
        Mount { kind: "bind".to_owned(), source: root.display().to_string(), options: Vec::new() };
    let rootfs = Arc::new(Rootfs::mount(&[mount]).unwrap());
    let container = Container { mounts, ..fixture::container() };
    View::new(rootfs, Access::Write, Wanted::of(&container, &[], None, &Attached::default(), &None))
        .unwrap()
}

/// The path that `path` leads to, or why it doesn't.
fn led(view: &View, path: &str, last: Last) -> std::result::Result<String, Errno> {
    let found = view.find(path.as_bytes(), last).map_err(|stopped| stopped.errno)?;
    Ok(String::from_utf8(found.path).unwrap())
}

#[test]
fn links_lead_where_the_root_is_the_container() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    create_dir_all(root.join("a/b")).unwrap();
    write(root.join("a/file"), "inside").unwrap();
    write(directory.path().join("file"), "outside").unwrap();
    symlink("/a", root.join("absolute")).unwrap();
    symlink("../../../../..", root.join("a/up")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/a/nowhere/x", root.join("broken")).unwrap();
    symlink("a/", root.join("slash")).unwrap();
    let view = view(&root, Vec::new());
    for (path, expected) in [
        ("/", ""),
        ("a/b", "a/b"),
        ("/absolute/b/../file", "a/file"),
        ("/../../file/..", ""),
        ("a/up/absolute/file", "a/file"),
        ("absolute", "a"),
        ("slash", "a"),
    ] {
        let found = led(&view, path, Last::Follow);
        match path {
            "/../../file/.." => assert_eq!(found, Err(Errno::NOENT)),
            _ => assert_eq!(found.as_deref(), Ok(expected), "{path}"),
        }
    }
    assert_eq!(led(&view, "absolute", Last::Keep).unwrap(), "absolute");
    assert_eq!(led(&view, "absolute/", Last::Keep).unwrap(), "a");
    assert_eq!(led(&view, "absolute/.", Last::Keep).unwrap(), "a");
    assert_eq!(led(&view, "loop", Last::Follow), Err(Errno::LOOP));
    assert_eq!(led(&view, "a/file/", Last::Keep), Err(Errno::NOTDIR));
    assert_eq!(led(&view, "a/file/x", Last::Keep), Err(Errno::NOTDIR));
    let stopped = view.find(b"/broken", Last::Follow).err().unwrap();
    assert_eq!((stopped.errno, stopped.path.as_slice()), (Errno::NOENT, &b"a/nowhere/x"[..]));
}

#[test]
fn mounts_are_crossed_in_both_directions() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    create_dir_all(at("root/data")).unwrap();
    create_dir_all(at("one")).unwrap();
    create_dir_all(at("two/deep")).unwrap();
    write(at("one/file"), "one").unwrap();
    write(at("two/deep/file"), "two").unwrap();
    symlink("data", at("root/link")).unwrap();
    let view = view(
        &at("root"),
        vec![
            point("/link/new/two", &at("two"), false),
            point("/link", &at("one"), true),
            point("/etc/file", &at("one/file"), true),
        ],
    );
    let access = |path: &str| view.find(path.as_bytes(), Last::Follow).map(|found| found.access);
    assert_eq!(led(&view, "/data/file", Last::Keep).unwrap(), "data/file");
    assert_eq!(led(&view, "/data/new/two/deep/../../../..", Last::Keep).unwrap(), "");
    assert_eq!(access("/data/file").unwrap(), Access::Write);
    assert_eq!(access("/data/new/two/deep/file").unwrap(), Access::ReadMount);
    // Places that weren't there were made: in what is mounted above, and of the right kind.
    assert!(at("one/new/two").is_dir() && !at("root/data/new").exists());
    assert!(at("root/etc/file").is_file());
    let found = view.find(b"etc/file", Last::Keep).unwrap();
    assert_eq!(found.stat.st_size, 3);
    assert!(view.is_mounted_within(b"data/new") && !view.is_mounted_within(b"data/ne"));
    assert_eq!(read_to_string(at("one/file")).unwrap(), "one");
}

#[test]
fn a_link_for_a_mounts_place_stays_inside() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    create_dir_all(at("root/a")).unwrap();
    create_dir_all(at("outside")).unwrap();
    create_dir_all(at("source")).unwrap();
    symlink("../../../../outside", at("root/a/link")).unwrap();
    symlink(at("outside"), at("root/data")).unwrap();
    let mounts = ["/a/link/x", "/data/y"].map(|target| point(target, &at("source"), true));
    let view = view(&at("root"), mounts.into());
    assert_eq!(led(&view, "/a/link/x", Last::Keep).unwrap(), "outside/x");
    assert!(at("outside").read_dir().unwrap().next().is_none());
}

#[test]
fn another_process_is_no_container() {
    let root = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    assert!(root_of_process(std::process::id(), &root).is_some());
    let other = tempfile::tempdir().unwrap();
    let other = rustix::fs::open(other.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
        .unwrap();
    assert!(root_of_process(std::process::id(), &other).is_none());
}
