//! The life of snapshots, on a real file system.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use super::*;
use crate::events::Events;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::testing::{import, open};

#[tokio::test]
async fn a_writable_layer_lives_upon_its_image() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let tar = tar_of(&[Member::directory("./").mode(0o751), Member::file("etc/name", b"tare")]);
    let image = import(&images, &tar, None).await;
    let snapshots = images.snapshots();

    snapshots.prepare("box", &image).await.unwrap();
    assert_eq!(snapshots.prepare("box", &image).await.unwrap_err().kind(), crate::Kind::Conflict);
    let directories = snapshots.directories("box").unwrap();
    assert_eq!(std::fs::read(format!("{}/etc/name", directories.lower)).unwrap(), b"tare");
    assert_eq!(directories.upper.metadata().unwrap().permissions().mode() & 0o7777, 0o751);
    let mounts = snapshots.mounts("box").unwrap();
    assert_eq!(mounts[0].kind, "overlay");
    assert_eq!(mounts[0].options[0], format!("lowerdir={}", directories.lower));

    std::fs::write(directories.upper.join("new"), [1; 5000]).unwrap();
    std::fs::hard_link(directories.upper.join("new"), directories.upper.join("again")).unwrap();
    assert_eq!(snapshots.usage("box").await.unwrap().bytes, 5000);

    snapshots.remove("box").await.unwrap();
    snapshots.remove("box").await.unwrap();
    assert!(!directories.upper.exists());
    assert_eq!(snapshots.mounts("box").unwrap_err().kind(), crate::Kind::NotFound);
}

#[tokio::test]
async fn what_no_record_names_is_swept_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar_of(&[Member::file("a", b"a")]), Some("kept")).await;
    images.snapshots().prepare("kept", &image).await.unwrap();
    images.snapshots().prepare("lost", &image).await.unwrap();
    let kept = images.snapshots().directories("kept").unwrap();
    drop(images);
    let stray = root.path().join("snapshots").join("77");
    std::fs::create_dir_all(stray.join("fs/deep/er")).unwrap();
    std::fs::write(root.path().join("ingest/3"), "half").unwrap();

    let images = open(root.path());
    assert!(!stray.exists());
    assert_eq!(std::fs::read_dir(root.path().join("ingest")).unwrap().count(), 0);
    assert_eq!(images.snapshots().directories("kept").unwrap(), kept);
    assert_eq!(images.resolve("kept").unwrap().id, image.id);
    images.snapshots().retain(&HashSet::from(["kept".to_owned()])).await.unwrap();
    assert!(images.snapshots().directories("lost").is_err());
    assert!(images.snapshots().directories("kept").is_ok());
}

#[tokio::test]
async fn nobody_else_may_look_into_the_data() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar_of(&[Member::file("a", b"a").mode(0o4755)]), None).await;
    images.snapshots().prepare("box", &image).await.unwrap();
    for name in ["blobs", "ingest", "snapshots", "blobs/sha256"] {
        let mode = root.path().join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700, "{name}");
    }
    let blobs = std::fs::read_dir(root.path().join("blobs/sha256")).unwrap();
    for blob in blobs {
        assert_eq!(blob.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn a_data_root_that_overlay_cannot_name_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = Config::with_roots(&root.path().join("a:b"), &root.path().join("run"));
    let store = Arc::new(Store::open(&root.path().join("state.redb")).unwrap());
    let error = crate::image::Images::open(&config, store, Events::new()).err().unwrap();
    assert_eq!(error.kind(), crate::Kind::Invalid);
}
