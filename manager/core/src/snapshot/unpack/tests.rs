//! Layers of every kind, and archives that want out.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::error::Error;
use crate::image::archive::testing::{Member, sparse_tar, tar_of};
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::OPAQUE;

/// A directory with layers in it, and a canary beside them.
struct Stage {
    directory: TempDir,
    layers: Vec<PathBuf>,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/canary"), "alive").unwrap();
        Self { directory, layers: Vec::new() }
    }

    /// Unpacks a layer upon those before.
    fn unpack_bytes(&mut self, tar: &[u8]) -> Result<u64> {
        self.unpack_within(tar, &Limits::default())
    }

    fn unpack_within(&mut self, tar: &[u8], limits: &Limits) -> Result<u64> {
        let path = self.directory.path().join(self.layers.len().to_string());
        fs::create_dir(&path).unwrap();
        let open = |path: &PathBuf| OwnedFd::from(fs::File::open(path).unwrap());
        let layer = |path| Layer { root: open(path), marks: Marks::Overlay };
        let lowers = Lowers::open(self.layers.iter().rev().map(layer).collect());
        let outcome = unpack(&mut &tar[..], open(&path), &lowers, Marks::Overlay, limits);
        self.layers.push(path);
        self.check_canary();
        outcome
    }

    fn unpack(&mut self, members: &[Member]) -> Result<u64> {
        self.unpack_bytes(&tar_of(members))
    }

    fn check_canary(&self) {
        let outside = self.directory.path().join("outside");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        let canary = outside.join("canary");
        assert_eq!(fs::read(&canary).unwrap(), b"alive");
        let stat = canary.metadata().unwrap();
        assert_eq!((stat.nlink(), stat.mode() & 0o7777), (1, 0o644));
    }

    fn top(&self) -> &Path {
        self.layers.last().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top().join(name)
    }

    fn outside(&self) -> String {
        self.directory.path().join("outside").display().to_string()
    }
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    let stat = path.symlink_metadata().unwrap();
    stat.file_type().is_char_device() && stat.rdev() == 0
}

#[test]
fn everything_that_a_member_says_comes_true() {
    let mut stage = Stage::new();
    // VFS_CAP_REVISION_2 with cap_net_bind_service.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let size = stage
        .unpack(&[
            Member::directory("./").mode(0o711).mtime("5.5"),
            Member::directory("tmp/").mode(0o1777).mtime("1000.000000001"),
            Member::file("tmp/a", b"hello").mode(0o640).owner(12, 34).mtime("1700000000.123456789"),
            Member::file("su", b"x")
                .mode(0o4755)
                .owner(1, 1)
                .attribute("security.capability", &capability),
            Member::file("labelled", b"").attribute("user.note", b"a\0b"),
            Member::symlink("link", "/etc/../nowhere").owner(7, 8).mtime("-5.25"),
            Member::hard_link("tmp/b", "tmp/a"),
            Member::device("null", 1, 3).mode(0o666),
            Member::fifo("pipe").mode(0o600),
        ])
        .unwrap();
    assert_eq!(size, 6);
    let root = stage.top().metadata().unwrap();
    assert_eq!((root.mode() & 0o7777, root.mtime(), root.mtime_nsec()), (0o711, 5, 500_000_000));
    let tmp = stage.path("tmp").metadata().unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime(), tmp.mtime_nsec()), (0o1777, 1000, 1));
    let file = stage.path("tmp/a").metadata().unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.nlink()), (12, 34, 0o640, 2));
    assert_eq!((file.mtime(), file.mtime_nsec()), (1_700_000_000, 123_456_789));
    assert_eq!(stage.path("su").metadata().unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(attribute(&stage.path("su"), "security.capability").unwrap(), capability);
    assert_eq!(attribute(&stage.path("labelled"), "user.note").unwrap(), b"a\0b");
    let link = stage.path("link").symlink_metadata().unwrap();
    assert_eq!((link.uid(), link.gid(), link.mtime(), link.mtime_nsec()), (7, 8, -6, 750_000_000));
    assert_eq!(fs::read_link(stage.path("link")).unwrap(), Path::new("/etc/../nowhere"));
    let null = stage.path("null").metadata().unwrap();
    assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
    assert!(stage.path("pipe").metadata().unwrap().file_type().is_fifo());
}

#[test]
fn sparse_files_keep_their_holes() {
    for form in ["0.0", "0.1", "1.0", "old"] {
        let mut stage = Stage::new();
        assert_eq!(stage.unpack_bytes(&sparse_tar(form)).unwrap(), 8192);
        let content = fs::read(stage.path("sparse")).unwrap();
        assert_eq!(content.len(), 8192);
        assert_eq!((&content[..2], &content[4096..4099]), (&b"ab"[..], &b"cde"[..]));
        assert!(content[2..4096].iter().chain(&content[4099..]).all(|byte| *byte == 0));
    }
}

#[test]
fn a_later_member_replaces_an_earlier_one() {
    let mut stage = Stage::new();
    stage
        .unpack(&[
            Member::file("a", b"first"),
            Member::file("a", b"second"),
            Member::directory("b"),
            Member::file("b/inner", b"x"),
            Member::file("b", b"file now"),
            Member::symlink("c", "elsewhere"),
            Member::directory("c").mode(0o700),
            Member::file("c/inner", b"y"),
            Member::directory("d").mode(0o500),
            Member::file("d/inner", b"z"),
            Member::directory("d").mode(0o711),
        ])
        .unwrap();
    assert_eq!(fs::read(stage.path("a")).unwrap(), b"second");
    assert_eq!(fs::read(stage.path("b")).unwrap(), b"file now");
    assert_eq!(fs::read(stage.path("c/inner")).unwrap(), b"y");
    assert_eq!(fs::read(stage.path("d/inner")).unwrap(), b"z");
    assert_eq!(stage.path("d").metadata().unwrap().permissions().mode() & 0o7777, 0o711);
}

#[test]
fn nothing_gets_out() {
    let outside = Stage::new().outside();
    drop(outside);
    let escapes: Vec<fn(&str) -> Vec<Member>> = vec![
        |_| vec![Member::file("../outside/canary", b"dead")],
        |_| vec![Member::file("a/../../outside/canary", b"dead")],
        |outside| vec![Member::file(format!("{outside}/canary"), b"dead")],
        |outside| vec![Member::symlink("l", outside), Member::file("l/canary", b"dead")],
        |_| vec![Member::symlink("l", "../outside"), Member::file("l/canary", b"dead")],
        |outside| {
            vec![
                Member::symlink("l", outside),
                Member::symlink("m", "l"),
                Member::directory("m/canary").mode(0o777),
            ]
        },
        |outside| {
            vec![Member::symlink("l", format!("{outside}/canary")), Member::file("l", b"dead")]
        },
        |outside| {
            vec![
                Member::symlink("l", format!("{outside}/canary")),
                Member::hard_link("h", "l"),
                Member::file("h", b"dead"),
            ]
        },
        |outside| vec![Member::symlink("l", outside), Member::directory("l").mode(0o777)],
        |outside| vec![Member::symlink("l", outside), Member::file("l/.wh.canary", b"")],
        |_| vec![Member::file("../outside/.wh.canary", b"")],
        |_| vec![Member::symlink("l", "../outside"), Member::device("l/canary", 1, 3)],
        |_| {
            vec![
                Member::symlink("l", "/"),
                Member::symlink("l/l2", ".."),
                Member::file("l2/x", b""),
            ]
        },
    ];
    for (number, escape) in escapes.iter().enumerate() {
        let mut stage = Stage::new();
        let members = escape(&stage.outside());
        // Confined or refused: the canary lives.
        let _ = stage.unpack(&members);
        // Nor does a layer that comes after it find a way.
        let _ = stage.unpack(&[Member::file("l/canary", b"dead"), Member::file("m/x", b"dead")]);
        stage.check_canary();
        assert!(fs::read_dir(stage.directory.path()).unwrap().count() <= 3, "{number}");
    }
}

#[test]
fn links_to_what_is_outside_are_refused() {
    for target in ["../outside/canary", "/etc/passwd", "missing"] {
        let mut stage = Stage::new();
        let error = stage.unpack(&[Member::hard_link("h", target)]).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Invalid, "{target}: {error}");
        assert!(error.to_string().contains("hard link"), "{error}");
    }
}

#[test]
fn nonsense_is_refused_with_the_members_name() {
    let refused: Vec<Vec<Member>> = vec![
        vec![Member::file("bad/.wh.", b"")],
        vec![Member::file("bad/.wh..", b"")],
        vec![Member::file("bad/.wh...", b"")],
        vec![Member::file("x", b""), Member::file("x/bad", b"")],
        vec![Member::symlink("bad", "bad"), Member::file("bad/bad", b"")],
        vec![Member::file("bad".repeat(100), b"")],
        vec![Member::file("bad/".repeat(2000), b"")],
        vec![Member::symlink("bad", "")],
        vec![Member::file("./bad", b"").record("uid", b"4294967295")],
    ];
    for members in refused {
        let mut stage = Stage::new();
        let error: Error = stage.unpack(&members).unwrap_err();
        assert!(matches!(error.kind(), crate::Kind::Invalid | crate::Kind::System), "{error:?}");
    }
}

#[test]
fn whiteouts_become_overlays() {
    let mut stage = Stage::new();
    stage
        .unpack(&[
            Member::file("gone", b""),
            Member::directory("dir").mode(0o750).owner(5, 6),
            Member::file("dir/gone", b""),
            Member::directory("emptied"),
            Member::file("emptied/x", b""),
            Member::directory("again"),
            Member::file("again/old", b""),
            Member::file(".wh.ignored", b""),
        ])
        .unwrap();
    assert_eq!(fs::read_dir(stage.top()).unwrap().count(), 4);
    stage
        .unpack(&[
            Member::file(".wh.gone", b""),
            Member::file("dir/.wh.gone", b""),
            Member::directory("emptied"),
            Member::file("emptied/.wh..wh..opq", b""),
            Member::file("emptied/new", b""),
            Member::file(".wh.again", b""),
            Member::file("again/new", b""),
            Member::file("kept", b"mine"),
            Member::file(".wh.kept", b""),
            Member::file(".wh..wh.plnk", b""),
        ])
        .unwrap();
    assert!(is_whiteout(&stage.path("gone")));
    assert!(is_whiteout(&stage.path("dir/gone")));
    let dir = stage.path("dir").metadata().unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.uid(), dir.gid()), (0o750, 5, 6));
    assert_eq!(attribute(&stage.path("emptied"), OPAQUE).unwrap(), b"y");
    assert!(stage.path("emptied/new").exists());
    assert_eq!(attribute(&stage.path("again"), OPAQUE).unwrap(), b"y");
    assert_eq!(fs::read(stage.path("kept")).unwrap(), b"mine");
    assert_eq!(attribute(&stage.path("dir"), OPAQUE), None);
    assert_eq!(fs::read_dir(stage.top()).unwrap().count(), 5);
}

#[test]
fn an_opaque_root_hides_each_thing() {
    let mut stage = Stage::new();
    stage
        .unpack(&[Member::file("a", b""), Member::directory("b"), Member::file("c", b"")])
        .unwrap();
    stage.unpack(&[Member::file("a", b"new"), Member::file(".wh..wh..opq", b"")]).unwrap();
    assert_eq!(fs::read(stage.path("a")).unwrap(), b"new");
    assert!(is_whiteout(&stage.path("b")));
    assert!(is_whiteout(&stage.path("c")));
}

#[test]
fn overlays_own_marks_are_not_taken_from_an_archive() {
    let mut stage = Stage::new();
    stage
        .unpack(&[Member::directory("d")
            .attribute("trusted.overlay.opaque", b"y")
            .attribute("trusted.overlay.redirect", b"/etc")
            .attribute("user.overlay.opaque", b"y")
            .attribute("security.selinux", b"x")
            .attribute("user.fine", b"1")])
        .unwrap();
    let directory = stage.path("d");
    assert_eq!(attribute(&directory, "trusted.overlay.opaque"), None);
    assert_eq!(attribute(&directory, "trusted.overlay.redirect"), None);
    assert_eq!(attribute(&directory, "user.overlay.opaque"), None);
    assert_eq!(attribute(&directory, "user.fine").unwrap(), b"1");
}

#[test]
fn a_directory_that_a_layer_leaves_out_is_like_the_one_below() {
    let mut stage = Stage::new();
    stage
        .unpack(&[
            Member::directory("./").mode(0o700).owner(3, 4),
            Member::directory("usr").mode(0o755),
            Member::directory("usr/lib")
                .mode(0o2711)
                .owner(9, 9)
                .mtime("77.5")
                .attribute("user.a", b"b"),
            Member::symlink("lib", "usr/lib"),
            Member::file("shared", b"content").mode(0o604).owner(2, 2),
        ])
        .unwrap();
    stage
        .unpack(&[Member::file("lib/x.so", b"elf"), Member::hard_link("usr/copy", "shared")])
        .unwrap();
    assert!(!stage.path("lib").exists(), "the link below must stay visible");
    let lib = stage.path("usr/lib").metadata().unwrap();
    assert_eq!((lib.mode() & 0o7777, lib.uid(), lib.mtime()), (0o2711, 9, 77));
    assert_eq!(attribute(&stage.path("usr/lib"), "user.a").unwrap(), b"b");
    assert_eq!(fs::read(stage.path("usr/lib/x.so")).unwrap(), b"elf");
    let root = stage.top().metadata().unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid()), (0o700, 3));
    let copy = stage.path("usr/copy").metadata().unwrap();
    assert_eq!((copy.mode() & 0o7777, copy.uid(), copy.nlink()), (0o604, 2, 2));
    // A third layer sees through the whiteout and the opaque directory of a second.
    stage
        .unpack(&[
            Member::file(".wh.usr", b""),
            Member::directory("opq"),
            Member::file("opq/.wh..wh..opq", b""),
        ])
        .unwrap();
    stage.unpack(&[Member::file("usr/lib/y", b""), Member::file("opq/sub/z", b"")]).unwrap();
    assert_eq!(stage.path("usr/lib").metadata().unwrap().uid(), 0);
    assert_eq!(stage.path("opq/sub").metadata().unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn random_archives_stay_inside() {
    // A small generator of our own: the same archives in each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    let names =
        ["a", "b", "..", ".", "l", "a/b", "l/c", "/", ".wh.a", ".wh..wh..opq", "../..", "l/../x"];
    for _ in 0..300 {
        let mut stage = Stage::new();
        let outside = stage.outside();
        let targets = ["/", "..", "../outside", outside.as_str(), "a", "l", ".", "a/../.."];
        for _ in 0..2 {
            let mut members = Vec::new();
            for _ in 0..random(12) {
                let mut path = String::new();
                for _ in 0..=random(3) {
                    path.push_str(names[random(names.len())]);
                    path.push('/');
                }
                let path = path.trim_end_matches('/').to_owned();
                let target = targets[random(targets.len())];
                members.push(match random(6) {
                    0 => Member::directory(path),
                    1 => Member::symlink(path, target),
                    2 => Member::hard_link(path, format!("{target}/canary")),
                    3 => Member::device(path, 1, 3),
                    4 => Member::hard_link(path, names[random(names.len())]),
                    _ => Member::file(path, b"dead"),
                });
            }
            let _ = stage.unpack(&members);
        }
    }
}

#[test]
fn a_planted_link_on_the_way_is_not_followed_outside() {
    // Someone else's link in the layer's directory: what the walk finds there stays inside too.
    let stage = Stage::new();
    let root = stage.directory.path().join("layer");
    fs::create_dir(&root).unwrap();
    symlink(stage.outside(), root.join("l")).unwrap();
    let open = OwnedFd::from(fs::File::open(&root).unwrap());
    let tar = tar_of(&[Member::file("l/canary", b"dead")]);
    let lowers = Lowers::open(Vec::new());
    unpack(&mut tar.as_slice(), open, &lowers, Marks::Overlay, &Limits::default()).unwrap();
    stage.check_canary();
}

#[test]
fn what_is_in_a_root_with_a_group_bit_keeps_its_own_group() {
    let mut stage = Stage::new();
    let root = Member::directory("./").mode(0o2755).owner(0, 5);
    stage.unpack(&[root, Member::file("a", b""), Member::directory("b")]).unwrap();
    for name in ["a", "b"] {
        assert_eq!(stage.path(name).metadata().unwrap().gid(), 0, "{name}");
    }
    let root = stage.top().metadata().unwrap();
    assert_eq!((root.gid(), root.mode() & 0o7777), (5, 0o2755));
}

#[test]
fn files_that_are_linked_to_count_and_keep_their_holes() {
    let mut stage = Stage::new();
    let files = [Member::file("one", &[7; 60_000]), Member::file("two", &[7; 60_000])];
    stage.unpack(&files).unwrap();
    let links = tar_of(&[Member::hard_link("a", "one"), Member::hard_link("b", "one")]);
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    assert_eq!(stage.unpack_within(&links, &limits).unwrap(), 60_000);
    let links = tar_of(&[Member::hard_link("a", "one"), Member::hard_link("b", "two")]);
    let error = stage.unpack_within(&links, &limits).unwrap_err();
    assert!(error.to_string().contains("more than the 100000 bytes"), "{error}");
    let mut stage = Stage::new();
    stage.unpack_bytes(&tar_of(&[Member::file("sparse", b"x")])).unwrap();
    let sparse = fs::File::options().write(true).open(stage.path("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    stage.unpack(&[Member::hard_link("link", "sparse")]).unwrap();
    let copy = stage.path("link").metadata().unwrap();
    assert_eq!(copy.len(), 64 << 20);
    assert!(copy.blocks() * 512 < 1 << 20);
}

#[test]
fn a_mark_is_no_directory() {
    let mut stage = Stage::new();
    stage.unpack(&[Member::directory("a"), Member::file("a/b", b"")]).unwrap();
    for path in ["a/.wh..wh..opq/b", "/./.wh.a/b"] {
        let error = stage.unpack(&[Member::file(path, b"")]).unwrap_err();
        assert!(error.to_string().contains("leads through the mark"), "{error}");
    }
}

#[test]
fn archives_are_put_over_what_is_there() {
    let stage = Stage::new();
    let root = stage.directory.path().join("root");
    let at = |path: &str| root.join(path);
    for directory in ["tmp", "usr/lib", "etc", "full/of", "old"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    fs::set_permissions(at("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(at("etc/file"), "old").unwrap();
    symlink("usr/lib", at("lib")).unwrap();
    symlink(stage.outside(), at("out")).unwrap();
    let members = [
        Member::directory("./").mode(0o777),
        Member::file("tmp/x", b"x"),
        Member::file("lib/y", b"y"),
        Member::directory("etc").mode(0o700),
        Member::file("etc/file", b"new"),
        Member::hard_link("etc/link", "etc/file"),
        Member::file("full", b"no directory"),
        Member::symlink("old", "elsewhere"),
        Member::file("out/z", b"z"),
        Member::file(".wh.etc", b"no mark"),
    ];
    let over = |owner| {
        let root = OwnedFd::from(fs::File::open(&root).unwrap());
        unpack_over(&mut &tar_of(&members)[..], root, owner, &Limits::default())
    };
    over(None).unwrap();
    over(Some((7, 8))).unwrap();
    stage.check_canary();
    let mode = |path: &str| at(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode(""), mode("tmp"), mode("etc")), (0o711, 0o1777, 0o700));
    assert_eq!(at("").metadata().unwrap().uid(), 0);
    assert_eq!(fs::read(at("usr/lib/y")).unwrap(), b"y");
    assert_eq!(fs::read(at("etc/link")).unwrap(), b"new");
    assert_eq!(fs::read(at("full")).unwrap(), b"no directory");
    assert_eq!(fs::read(at(".wh.etc")).unwrap(), b"no mark");
    assert!(at("old").is_symlink() && at("lib").is_symlink() && at("out").is_symlink());
    let inside = format!("{}/z", stage.outside());
    assert_eq!(fs::read(at(inside.trim_start_matches('/'))).unwrap(), b"z");
    let owner =
        |path: &str| (at(path).metadata().unwrap().uid(), at(path).metadata().unwrap().gid());
    assert_eq!((owner("tmp/x"), owner("etc"), owner("tmp")), ((7, 8), (7, 8), (0, 0)));
}
