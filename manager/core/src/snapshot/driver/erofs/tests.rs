//! An image shows what the same archives make of a directory.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::image::archive::testing::{Member, sparse_tar, tar_of};
use crate::snapshot::unpack::{metadata, unpack};
use crate::snapshot::{Limits, detached};

/// The same layers, unpacked both ways.
struct Stage {
    root: TempDir,
    count: usize,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("directories")).unwrap();
        fs::create_dir(root.path().join("images")).unwrap();
        Self { root, count: 0 }
    }

    fn directory(&self, number: usize) -> PathBuf {
        self.root.path().join("directories").join(number.to_string())
    }

    /// The directory of a layer's image.
    fn image(&self, number: usize) -> PathBuf {
        self.root.path().join("images").join(number.to_string())
    }

    /// Unpacks a layer upon those before: whether and how it was refused is the same, too.
    fn unpack(&mut self, tar: &[u8]) {
        let number = self.count;
        fs::create_dir(self.directory(number)).unwrap();
        let directories =
            self.lowers(|number| OwnedFd::from(fs::File::open(self.directory(number)).unwrap()));
        let root = fs::File::open(self.directory(number)).unwrap().into();
        let limits = Limits::default();
        let directory = unpack(&mut &tar[..], root, &directories, Marks::Overlay, &limits);
        fs::create_dir(self.image(number)).unwrap();
        let root = fs::File::open(self.image(number)).unwrap().into();
        let images = self.lowers(|number| image::open(&self.image(number).join(IMAGE)).unwrap());
        let image = layer::unpack(&mut &tar[..], &root, &images, &limits);
        match (directory, image) {
            (Ok(directory), Ok(image)) => {
                assert_eq!(directory, image);
                self.count += 1;
                self.compare(number);
            }
            (Err(_), Err(_)) => {
                fs::remove_dir_all(self.directory(number)).unwrap();
                fs::remove_dir_all(self.image(number)).unwrap();
            }
            (directory, image) => panic!("as a directory {directory:?}, as an image {image:?}"),
        }
    }

    fn lowers(&self, open: impl Fn(usize) -> OwnedFd) -> Lowers {
        let layer = |number| Layer { root: open(number), marks: Marks::Overlay };
        Lowers::open((0..self.count).rev().map(layer).collect())
    }

    fn compare(&self, number: usize) {
        let root = image::open(&self.image(number).join(IMAGE)).unwrap();
        let shown = PathBuf::from(format!("/proc/self/fd/{}/.", root.as_raw_fd()));
        assert_eq!(told(&shown), told(&self.directory(number)));
    }
}

/// All that can be seen of a tree, by path.
fn told(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut told = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(path) = ahead.pop() {
        let shown = root.join(&path);
        let stat = shown.symlink_metadata().unwrap();
        if stat.is_dir() {
            let mut names: Vec<_> =
                fs::read_dir(&shown).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            ahead.extend(names.into_iter().rev().map(|name| path.join(name)));
        }
        let first = first_names.entry(stat.ino()).or_insert_with(|| path.clone()).clone();
        told.insert(path, format!("{} linked with {first:?}", tell(&shown, &stat)));
    }
    told
}

fn tell(path: &Path, stat: &Metadata) -> String {
    // What nobody gave a time is as old as its layer, which is younger than all here that has one.
    let time = match stat.mtime() < 1_600_000_000 && stat.mtime() != 0 {
        true => format!("{}.{}", stat.mtime(), stat.mtime_nsec()),
        false => "now".to_owned(),
    };
    let content = if stat.is_file() {
        format!("{:?}", fs::read(path).unwrap())
    } else if stat.is_symlink() {
        format!("-> {:?}", fs::read_link(path).unwrap())
    } else {
        stat.rdev().to_string()
    };
    let attributes = match stat.is_file() || stat.is_dir() {
        true => {
            let file = fs::File::open(path).unwrap();
            let mut attributes = metadata::attributes(file.as_fd()).unwrap();
            attributes.sort();
            let opaque = Marks::Overlay.is_opaque(file.as_fd()).unwrap();
            format!("{attributes:?}{}", if opaque && stat.is_dir() { " opaque" } else { "" })
        }
        false => String::new(),
    };
    let (mode, uid, gid) = (stat.mode(), stat.uid(), stat.gid());
    format!("{mode:o} {uid}:{gid} {time} {} {content} {attributes}", stat.nlink())
}

/// Few names, so that members meet; and ways out of the tree and around in it.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        20 => "[a-c]",
        2 => Just("..".to_owned()),
        2 => Just(".".to_owned()),
        1 => "\\.wh\\.[a-c]",
    ];
    let names = prop::collection::vec(name, 1..4);
    (prop::bool::weighted(0.1), names).prop_map(|(absolute, names)| {
        format!("{}{}", if absolute { "/" } else { "" }, names.join("/"))
    })
}

fn member() -> impl Strategy<Value = Member> {
    let beside = |path: String, name: &str| match path.rsplit_once('/') {
        Some((above, last)) => format!("{above}/{}", name.replace('*', last)),
        None => name.replace('*', &path),
    };
    let content = prop::collection::vec(any::<u8>(), 0..600);
    let plain = prop_oneof![
        5 => (path(), content).prop_map(|(path, content)| Member::file(path, &content)),
        5 => path().prop_map(Member::directory),
        3 => (path(), path()).prop_map(|(path, target)| Member::symlink(path, target)),
        3 => (path(), path()).prop_map(|(path, target)| Member::hard_link(path, target)),
        1 => (path(), 0_u32..9).prop_map(|(path, minor)| Member::device(path, 1, minor)),
        1 => path().prop_map(Member::fifo),
        3 => path().prop_map(move |path| Member::file(beside(path, ".wh.*"), b"")),
        1 => path().prop_map(move |path| Member::file(beside(path, ".wh..wh..opq"), b"")),
    ];
    let attribute = prop::option::of(("user\\.[a-c]", prop::collection::vec(any::<u8>(), 0..9)));
    (plain, 0_u32..0o10000, 0_u64..9, 1_u32..1_000_000_000, attribute).prop_map(
        |(member, mode, owner, time, attribute)| {
            // Whoever runs this may read all of it.
            let member = member.mode(mode).owner(owner, owner + 1).mtime(&format!("{time}.25"));
            match attribute {
                Some((name, value)) => member.attribute(&name, &value),
                None => member,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_archives_make_the_same_of_both(
        layers in prop::collection::vec(prop::collection::vec(member(), 0..12), 1..4),
    ) {
        let mut stage = Stage::new();
        for members in layers {
            stage.unpack(&tar_of(&members));
        }
    }
}

#[test]
fn a_copy_of_a_file_below_counts_even_if_it_is_replaced() {
    let mut stage = Stage::new();
    stage.unpack(&tar_of(&[Member::file("a", b"tare")]));
    stage.unpack(&tar_of(&[Member::hard_link("a", "a"), Member::file("a", b"")]));
    stage.unpack(&tar_of(&[Member::hard_link("b", "a")]));
}

#[test]
fn sparse_files_are_the_same() {
    for form in ["0.0", "0.1", "1.0", "old"] {
        Stage::new().unpack(&sparse_tar(form));
    }
}

/// A driver, and the snapshot of a layer that has the file `name`.
fn driver(root: &Path) -> (Erofs, PathBuf) {
    let erofs = Erofs::open(root, Overlay::open(root).unwrap()).unwrap();
    let layer = root.join("7");
    fs::create_dir_all(layer.join(FILES)).unwrap();
    let tar = tar_of(&[Member::file("name", b"tare")]);
    let files = fs::File::open(layer.join(FILES)).unwrap().into();
    let nothing = Lowers::open(Vec::new());
    layer::unpack(&mut &tar[..], &files, &nothing, &Limits::default()).unwrap();
    (erofs, layer)
}

fn overlay(layer: &Path, below: &Path) -> OwnedFd {
    let overlay = "overlay".to_owned();
    let layers = format!("lowerdir={}:{}", layer.display(), below.display());
    detached::mount(
        &Mount { kind: overlay.clone(), source: overlay, options: vec![layers] },
        detached::Purpose::Look,
    )
    .unwrap()
}

fn inside(mount: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd()))
}

#[test]
fn all_who_stand_on_a_layer_share_one_mount_of_it_that_stands_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let (erofs, layer) = driver(root.path());
    let shown = erofs.show(&layer).unwrap();
    assert_eq!(erofs.show(&layer).unwrap(), shown);
    assert_eq!(fs::read(shown.join("name")).unwrap(), b"tare");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*layer.to_string_lossy()), "{mounts}");
}

#[test]
fn who_stands_on_a_layer_needs_neither_its_file_nor_who_made_its_mount() {
    let root = tempfile::tempdir().unwrap();
    let (erofs, layer) = driver(root.path());
    let overlay = overlay(&erofs.show(&layer).unwrap(), &root.path().join("7"));
    fs::remove_file(erofs.place(&layer)).unwrap();
    erofs.forget(&layer);
    assert!(erofs.show(&layer).is_err());
    drop(erofs);
    assert_eq!(fs::read(inside(&overlay, "name")).unwrap(), b"tare");
}

#[test]
fn a_link_in_place_of_an_image_leads_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let (erofs, layer) = driver(root.path());
    let place = erofs.place(&layer);
    fs::rename(&place, root.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(root.path().join("aside"), &place).unwrap();
    assert!(erofs.show(&layer).is_err());
    assert!(erofs.open(&layer).is_err());
}

#[test]
fn a_file_that_is_no_image_is_named_in_the_error() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(IMAGE);
    fs::write(&path, [0; 8192]).unwrap();
    let error = image::open(&path).unwrap_err();
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
}
