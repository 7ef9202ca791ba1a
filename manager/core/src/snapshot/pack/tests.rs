//! Trees into archives, and back.

use std::fs::{create_dir_all, hard_link, write};
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};

use super::*;
use crate::image::archive::{Archive, Entry, EntryKind};

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// The members of an archive of `directory`.
fn packed(directory: &Path, tree: Tree<'_>, shown: Option<&str>) -> Vec<Entry> {
    let mut packer = Packer::new(Vec::new(), tree);
    packer.pack(open(directory), shown.map(str::as_bytes), None).unwrap();
    let mut archive = Archive::new(Cursor::new(packer.finish().unwrap()));
    std::iter::from_fn(|| archive.next().unwrap()).collect()
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.path).unwrap()).collect()
}

#[test]
fn directories_come_before_what_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    create_dir_all(root.join("b/c")).unwrap();
    for name in ["b.txt", "b/c/file", "a"] {
        write(root.join(name), name).unwrap();
    }
    let expected = ["top/", "top/a", "top/b/", "top/b/c/", "top/b/c/file", "top/b.txt"];
    assert_eq!(paths(&packed(root, Tree::Merged, Some("top"))), expected);
    let all = packed(root, Tree::Merged, None);
    assert_eq!(paths(&all), ["a", "b/", "b/c/", "b/c/file", "b.txt"]);
    assert_eq!(paths(&packed(root, Tree::Merged, Some("/")))[..2], ["/", "/a"]);
    assert_eq!(paths(&packed(&root.join("a"), Tree::Merged, Some("one"))), ["one"]);
}

#[test]
fn every_kind_of_file_is_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root.join("file"), "text").unwrap();
    std::fs::set_permissions(root.join("file"), PermissionsExt::from_mode(0o4751)).unwrap();
    rustix::fs::setxattr(root.join("file"), "user.a", b"1", XattrFlags::empty()).unwrap();
    hard_link(root.join("file"), root.join("hard")).unwrap();
    symlink("file", root.join("link")).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"x", 1 << 30).unwrap();
    let entries = packed(root, Tree::Merged, None);
    assert_eq!(paths(&entries), ["file", "hard", "link", "pipe", "sparse"]);
    assert_eq!(entries[0].mode, 0o4751);
    assert_eq!(entries[0].attributes, [(b"user.a".to_vec(), b"1".to_vec())]);
    assert_ne!(entries[0].modified.nanoseconds, 0);
    assert_eq!(entries[1].kind, EntryKind::HardLink { target: b"file".to_vec() });
    assert_eq!(entries[2].kind, EntryKind::Symlink { target: b"file".to_vec() });
    assert_eq!(entries[3].kind, EntryKind::Fifo);
    let EntryKind::File { size, segments: Some(segments) } = &entries[4].kind else {
        panic!("{:?}", entries[4])
    };
    assert_eq!(*size, (1 << 30) + 1);
    assert!(segments.iter().all(|segment| segment.length <= 1 << 16), "{segments:?}");
}

#[test]
fn marks_of_overlay_become_those_of_a_layer() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    create_dir_all(root.join("d/new")).unwrap();
    let whiteout = |path: &str| {
        let mode = Mode::empty();
        rustix::fs::mknodat(CWD, root.join(path), FileType::CharacterDevice, mode, 0).unwrap();
    };
    whiteout("gone");
    whiteout("d/gone");
    rustix::fs::setxattr(root.join("d/new"), "trusted.overlay.opaque", b"y", XattrFlags::empty())
        .unwrap();
    write(root.join("d/new/file"), "").unwrap();
    let entries = packed(root, Tree::Upper(&|_, _| Made::Container), None);
    let expected = ["d/", "d/.wh.gone", "d/new/", "d/new/.wh..wh..opq", "d/new/file", ".wh.gone"];
    assert_eq!(paths(&entries), expected);
    assert!(entries.iter().all(|entry| entry.attributes.is_empty()));
    write(root.join(".wh.evil"), "").unwrap();
    let mut packer = Packer::new(Vec::new(), Tree::Upper(&|_, _| Made::Container));
    let error = packer.pack(open(root), None, None).unwrap_err().to_string();
    assert!(error.starts_with("/.wh.evil can't be part of an image"), "{error}");
}

#[test]
fn what_is_mounted_is_packed_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    create_dir_all(at("root/place/hidden")).unwrap();
    create_dir_all(at("other/deep")).unwrap();
    write(at("other/deep/file"), "").unwrap();
    let covered = rustix::fs::stat(at("root/place")).unwrap();
    let mounted = |stat: &Stat| {
        ((stat.st_dev, stat.st_ino) == (covered.st_dev, covered.st_ino))
            .then(|| (open(&at("other")), None))
    };
    let entries = packed(&at("root"), Tree::Seen(&mounted), None);
    assert_eq!(paths(&entries), ["place/", "place/deep/", "place/deep/file"]);
}

#[test]
fn depth_is_no_matter_up_to_the_longest_path() {
    let directory = tempfile::tempdir().unwrap();
    let mut deep = directory.path().to_owned();
    for _ in 0..100 {
        deep.push("directory");
    }
    create_dir_all(&deep).unwrap();
    write(deep.join("file"), "x").unwrap();
    let entries = packed(directory.path(), Tree::Merged, None);
    assert_eq!(entries.len(), 101);
    assert_eq!(entries[100].path.len(), 100 * "directory/".len() + "file".len());
}

#[test]
fn what_a_start_made_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in ["dev", "etc", "proc"] {
        create_dir_all(root.join(name)).unwrap();
    }
    write(root.join("etc/hosts"), "").unwrap();
    let made = |path: &[u8], _: &Seen| match path {
        b"dev" | b"etc" | b"proc" => Made::OtherAround,
        b"etc/hosts" => Made::Other,
        _ => Made::Container,
    };
    assert_eq!(paths(&packed(root, Tree::Upper(&made), None)), <[&str; 0]>::default());
    write(root.join("etc/own"), "").unwrap();
    assert_eq!(paths(&packed(root, Tree::Upper(&made), None)), ["etc/", "etc/own"]);
}
