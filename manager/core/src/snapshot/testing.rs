//! What the tests that every driver has to pass have in common.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, UnmountFlags, mount_bind, move_mount, unmount};
use serde_json::json;
use tempfile::TempDir;

use super::{DriverName, Mount, detached};
use crate::config::Config;
use crate::events::Events;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::archive::{Archive, EntryKind, path};
use crate::image::testing::load;
use crate::image::{Digest, Image, Images};
use crate::store::Store;

/// Runs each of these tests with every driver.
macro_rules! with_each_driver {
    ($($test:ident)*) => {
        mod overlay2 {
            $(#[tokio::test] async fn $test() { super::$test($crate::snapshot::DriverName::Overlay).await; })*
        }
        mod erofs {
            $(#[tokio::test] async fn $test() { super::$test($crate::snapshot::DriverName::Erofs).await; })*
        }
        mod vfs {
            $(#[tokio::test] async fn $test() { super::$test($crate::snapshot::DriverName::Copying).await; })*
        }
    };
}
pub(crate) use with_each_driver;

/// Images kept by one driver.
pub(crate) struct Stage {
    pub(crate) root: TempDir,
    pub(crate) images: Arc<Images>,
}

impl Stage {
    pub(crate) fn new(driver: DriverName) -> Self {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path(), Some(driver));
        assert_eq!(images.snapshots().driver(), driver);
        Self { root, images }
    }

    /// An image of these layers, and the container `key` upon it.
    pub(crate) async fn container(&self, layers: &[Vec<u8>], key: &str) -> Arc<Image> {
        load(&self.images, image_of(layers, &format!("{key}:latest"))).await.unwrap();
        let image = self.images.resolve(key).unwrap();
        self.images.snapshots().prepare(key, &image, None).await.unwrap();
        image
    }

    /// The container's root, mounted.
    pub(crate) fn mounted(&self, key: &str) -> Mounted {
        let mounts = self.images.snapshots().mounts(key).unwrap();
        Mounted::new(&mounts, self.root.path().join(format!("mounted-{key}")))
    }
}

/// The images under `root`, with this driver.
pub(crate) fn open(root: &Path, driver: Option<DriverName>) -> Arc<Images> {
    let mut config = Config::with_roots(root, &root.join("run"));
    config.storage_driver = driver;
    let store = Arc::new(Store::open(&config.store_file()).unwrap());
    Images::open(&config, store, Events::new()).unwrap()
}

/// A container's root, mounted where programs see it.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    pub(crate) fn new(mounts: &[Mount], at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let [mount] = mounts else { panic!("one mount, not {mounts:?}") };
        if mount.kind == "bind" {
            mount_bind(&mount.source, &at).unwrap();
            return Self(at);
        }
        let mount = detached::mount(mount, detached::Purpose::Look).unwrap();
        move_mount(&mount, "", CWD, &at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).unwrap();
        Self(at)
    }

    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(directory)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
        fs::remove_dir(&self.0).unwrap();
    }
}

/// An archive in docker's form with one image of these layers.
pub(crate) fn image_of(layers: &[Vec<u8>], tag: &str) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let manifest = json!([{ "Config": "config", "RepoTags": [tag], "Layers": names }]);
    let mut members: Vec<Member> =
        names.iter().zip(layers).map(|(name, layer)| Member::file(name, layer)).collect();
    members.push(Member::file("config", config.to_string().as_bytes()));
    members.push(Member::file("manifest.json", manifest.to_string().as_bytes()));
    tar_of(&members)
}

/// What GNU tar makes of the layers, one after another, in the new directory `at`. It knows no
/// whiteouts, and doesn't put a file in place of a directory: that is done for it.
pub(crate) fn tar_extracts(layers: &[Vec<u8>], at: &Path) {
    fs::create_dir(at).unwrap();
    for layer in layers {
        let mut archive = Archive::new(layer.as_slice());
        let mut own = std::collections::BTreeSet::new();
        while let Some(entry) = archive.next().unwrap() {
            make_room(at, &entry.path, &entry.kind, &mut own);
        }
        extract(layer, at);
    }
}

fn make_room(
    at: &Path,
    member: &[u8],
    kind: &EntryKind,
    own: &mut std::collections::BTreeSet<Vec<u8>>,
) {
    let place = |path: &[u8]| at.join(std::ffi::OsStr::from_bytes(path));
    let plain = path::plain(member).unwrap();
    let (above, name) = path::split(&plain);
    match name.strip_prefix(b".wh.") {
        Some(b".wh..opq") => {
            for entry in fs::read_dir(place(above)).into_iter().flatten() {
                let inside = path::join(above, entry.unwrap().file_name().as_bytes());
                if !own.contains(&inside) {
                    remove(&place(&inside));
                }
            }
        }
        Some(gone) => remove(&place(&path::join(above, gone))),
        None => {
            let old = place(&plain).symlink_metadata();
            let is_merged = |old: fs::Metadata| old.is_dir() && *kind == EntryKind::Directory;
            if old.is_ok_and(|old| !is_merged(old)) {
                remove(&place(&plain));
            }
            own.insert(plain);
        }
    }
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(stat) if stat.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Extracts an archive with GNU tar, without marks.
pub(crate) fn extract(archive: &[u8], at: &Path) {
    let mut tar = Command::new("tar")
        .args(["--extract", "--file=-", "--numeric-owner", "--same-owner", "--same-permissions"])
        .args(["--xattrs", "--xattrs-include=*", "--exclude=.wh.*", "--directory"])
        .arg(at)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut tar.stdin.take().unwrap(), archive).unwrap();
    assert!(tar.wait().unwrap().success());
}

/// All that can be told of the files below `root`, by path. The time of the root itself says when
/// something was last put there.
pub(crate) fn told(root: &Path) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    let mut paths = std::collections::BTreeSet::from([PathBuf::new()]);
    let mut ahead = vec![PathBuf::new()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                ahead.push(path.clone());
            }
            paths.insert(path);
        }
    }
    let told = paths.iter().map(|path| {
        let shown = path.as_os_str().as_bytes().escape_ascii().to_string();
        let text = tell(&root.join(path), &shown, &mut links);
        (shown, text)
    });
    told.collect()
}

fn tell(place: &Path, shown: &str, links: &mut BTreeMap<u64, String>) -> String {
    let stat = place.symlink_metadata().unwrap();
    let kind = stat.file_type();
    let mut text = format!("{:o} {}:{}", stat.mode(), stat.uid(), stat.gid());
    // The directories that nobody describes were made now.
    if !kind.is_dir() || !shown.is_empty() && stat.mtime() < 1_600_000_000 {
        text += &format!(" at {}.{:09}", stat.mtime(), stat.mtime_nsec());
    }
    if kind.is_symlink() {
        return text + &format!(" to {:?}", fs::read_link(place).unwrap());
    }
    if kind.is_char_device() || kind.is_block_device() {
        text += &format!(" device {:x}", stat.rdev());
    }
    if kind.is_file() {
        let content = fs::read(place).unwrap();
        text += &format!(" {} bytes {}", content.len(), Digest::of(&content));
        if stat.len() > 1 << 20 {
            // Not every file system counts the blocks that a file takes.
            let file = fs::File::open(place).unwrap();
            let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
            text += if hole < stat.len() { " sparse" } else { " full" };
        }
    }
    if !kind.is_dir() && stat.nlink() > 1 {
        let first = links.entry(stat.ino()).or_insert_with(|| shown.to_owned());
        text += &format!(" linked with {first}");
    }
    text + &attributes(place)
}

fn attributes(place: &Path) -> String {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(place, names.as_mut_slice()).unwrap();
    let mut told: Vec<String> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(place, name, value.as_mut_slice()).unwrap();
            format!(" {}={}", name.escape_ascii(), value[..length].escape_ascii())
        })
        .collect();
    told.sort();
    told.concat()
}
