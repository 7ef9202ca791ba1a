//! What tests of images and snapshots begin with.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Image, ImageId, ImageUser, ImageUsers, Images, Import, Loaded, Platform, Reference};
use crate::config::Config;
use crate::error::Result;
use crate::events::Events;
use crate::store::Store;

/// Nobody uses any image.
pub(crate) struct Nobody;

impl ImageUsers for Nobody {
    fn containers_using(&self, _: &ImageId) -> Vec<ImageUser> {
        Vec::new()
    }
}

/// The images under `root`.
pub(crate) fn open(root: &Path) -> Arc<Images> {
    open_with(root, Events::new())
}

/// The images under `root`, which tell `events`.
pub(crate) fn open_with(root: &Path, events: Arc<Events>) -> Arc<Images> {
    let config = Config::with_roots(root, &root.join("run"));
    let store = Arc::new(Store::open(&config.store_file()).unwrap());
    Images::open(&config, store, events).unwrap()
}

/// Imports a root file system.
pub(crate) async fn import(images: &Images, tar: &[u8], name: Option<&str>) -> Arc<Image> {
    let reference = name.map(|name| Reference::parse(name).unwrap());
    let request = Import { reference, ..Import::default() };
    let id = images.import(Cursor::new(tar.to_vec()), request).await.unwrap();
    images.resolve(&id.to_string()).unwrap()
}

/// Loads an archive and takes no notice of its progress.
pub(crate) async fn load(images: &Images, archive: Vec<u8>) -> Result<Vec<Loaded>> {
    images.load(Cursor::new(archive), None, mpsc::channel(1).0).await
}

/// That no image is there, and nothing of one on the disk.
pub(crate) fn assert_empty(images: &Images, root: &Path) {
    assert!(images.list().is_empty());
    for name in ["blobs/sha256", "ingest", "snapshots"] {
        let left = || std::fs::read_dir(root.join(name)).unwrap().collect::<Vec<_>>();
        // A snapshot is deleted by another thread.
        let patience = Instant::now() + Duration::from_secs(20);
        while !left().is_empty() && Instant::now() < patience {
            thread::yield_now();
        }
        assert!(left().is_empty(), "{name}: {:?}", left());
    }
}

/// An archive of these images.
pub(crate) async fn saved(images: &Images, names: &[&str], platform: Option<&Platform>) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut archive = images.save(&names, platform).unwrap();
    let mut all = Vec::new();
    while let Some(piece) = archive.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    all
}
