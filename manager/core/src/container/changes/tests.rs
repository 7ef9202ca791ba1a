//! Changes as docker shows them.

use std::fs::{create_dir_all, write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};

use super::*;
use crate::snapshot::Written;
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::Marks;

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// The changes of `own` upon `old`, as `docker diff` prints them.
fn diff(directory: &Path) -> Vec<String> {
    let (own, old) = (open(&directory.join("own")), open(&directory.join("old")));
    let old = Lowers::open(vec![Layer { root: old, marks: Marks::Overlay }]);
    let changes = walk::changes(&Written::Changes(own), &old).unwrap();
    let letter = |kind| match kind {
        ChangeKind::Added => "A",
        ChangeKind::Modified => "C",
        ChangeKind::Deleted => "D",
    };
    changes.iter().map(|change| format!("{} {}", letter(change.kind), change.path)).collect()
}

fn set_time(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    std::fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn files_are_added_changed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, text) in [
        ("old/a/same", "x"),
        ("old/a/changed", "x"),
        ("old/a/mode", "x"),
        ("old/a/gone", "x"),
        ("old/gone/file", "x"),
        ("old/again/old", "x"),
        ("old/again/both", "x"),
        ("own/a/same", "x"),
        ("own/a/changed", "xy"),
        ("own/a/mode", "x"),
        ("own/a/new/deep", ""),
        ("own/again/new", ""),
        ("own/again/both", "x"),
    ] {
        create_dir_all(at(name).parent().unwrap()).unwrap();
        write(at(name), text).unwrap();
        set_time(&at(name), 1_000_000_000);
    }
    std::fs::set_permissions(at("own/a/mode"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("x", at("own/a/new/link")).unwrap();
    for name in ["own/a/gone", "own/gone", "own/never"] {
        let (kind, mode) = (FileType::CharacterDevice, Mode::empty());
        rustix::fs::mknodat(CWD, at(name), kind, mode, 0).unwrap();
    }
    rustix::fs::setxattr(at("own/again"), "trusted.overlay.opaque", b"y", XattrFlags::empty())
        .unwrap();
    assert_eq!(
        diff(directory.path()),
        [
            "C /a",
            "C /a/changed",
            "D /a/gone",
            "C /a/mode",
            "A /a/new",
            "A /a/new/deep",
            "A /a/new/link",
            "C /again",
            "A /again/new",
            "D /again/old",
            "D /gone",
        ]
    );
}

#[test]
fn what_a_start_made_is_nobodys_change() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    create_dir_all(at("old/etc")).unwrap();
    for name in ["own/etc", "own/proc", "own/dev", "own/sys"] {
        create_dir_all(at(name)).unwrap();
    }
    for name in ["own/etc/hosts", "own/etc/hostname", "own/etc/resolv.conf", "own/.dockerenv"] {
        write(at(name), "").unwrap();
    }
    assert!(diff(directory.path()).is_empty());
    write(at("own/etc/mine"), "").unwrap();
    write(at("own/dev/mine"), "").unwrap();
    assert_eq!(diff(directory.path()), ["C /dev", "A /dev/mine", "C /etc", "A /etc/mine"]);
    std::fs::remove_file(at("own/etc/mine")).unwrap();
    std::fs::set_permissions(at("own/etc"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(diff(directory.path()), ["C /dev", "A /dev/mine", "C /etc"]);
}
