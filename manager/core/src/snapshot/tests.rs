//! The life of snapshots, on a real file system.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use super::testing::{Mounted, image_of};
use super::*;
use crate::events::Events;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::testing::{import, load, open};

#[tokio::test]
async fn a_writable_layer_lives_upon_its_image() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let tar = tar_of(&[Member::directory("./").mode(0o751), Member::file("etc/name", b"tare")]);
    let image = import(&images, &tar, None).await;
    let snapshots = images.snapshots();

    snapshots.prepare("box", &image, None).await.unwrap();
    assert_eq!(
        snapshots.prepare("box", &image, None).await.unwrap_err().kind(),
        crate::Kind::Conflict
    );
    let directories = snapshots.directories("box").unwrap().1.unwrap();
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
    images.snapshots().prepare("kept", &image, None).await.unwrap();
    images.snapshots().prepare("lost", &image, None).await.unwrap();
    let kept = images.snapshots().directories("kept").unwrap().1.unwrap();
    drop(images);
    let stray = root.path().join("snapshots").join("77");
    std::fs::create_dir_all(stray.join("fs/deep/er")).unwrap();
    std::fs::write(root.path().join("ingest/3"), "half").unwrap();

    let images = open(root.path());
    assert!(!stray.exists());
    assert_eq!(std::fs::read_dir(root.path().join("ingest")).unwrap().count(), 0);
    assert_eq!(images.snapshots().directories("kept").unwrap().1.unwrap(), kept);
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
    images.snapshots().prepare("box", &image, None).await.unwrap();
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

#[tokio::test]
async fn the_kernel_sees_what_the_layers_say() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let layers = [
        tar_of(&[
            Member::directory("./").mode(0o755),
            Member::directory("etc").mode(0o750).owner(1, 2),
            Member::file("etc/kept", b"1"),
            Member::file("etc/gone", b"1"),
            Member::directory("opaque"),
            Member::file("opaque/hidden", b"1"),
            Member::directory("again"),
            Member::file("again/hidden", b"1"),
            Member::symlink("lib", "etc"),
        ]),
        tar_of(&[
            Member::file("etc/.wh.gone", b""),
            Member::file("opaque/.wh..wh..opq", b""),
            Member::file("opaque/new", b"2"),
            Member::file(".wh.again", b""),
            Member::directory("again"),
            Member::file("again/new", b"2"),
            Member::file("lib/through", b"2"),
        ]),
        tar_of(&[Member::hard_link("etc/linked", "etc/kept"), Member::file("etc/kept", b"3")]),
    ];
    load(&images, image_of(&layers, "a:b")).await.unwrap();
    let image = images.resolve("a:b").unwrap();
    images.snapshots().prepare("box", &image, None).await.unwrap();
    let mounts = images.snapshots().mounts("box").unwrap();
    let merged = Mounted::new(&mounts, root.path().join("merged"));
    assert_eq!(merged.names(""), ["again", "etc", "lib", "opaque"]);
    assert_eq!(merged.names("etc"), ["kept", "linked", "through"]);
    assert_eq!(merged.names("opaque"), ["new"]);
    assert_eq!(merged.names("again"), ["new"]);
    assert_eq!(std::fs::read(merged.0.join("etc/kept")).unwrap(), b"3");
    assert_eq!(std::fs::read(merged.0.join("etc/linked")).unwrap(), b"1");
    let etc = merged.0.join("etc").metadata().unwrap();
    assert_eq!((etc.mode() & 0o7777, etc.uid(), etc.gid()), (0o750, 1, 2));
    std::fs::write(merged.0.join("etc/kept"), "mine").unwrap();
    std::fs::remove_file(merged.0.join("opaque/new")).unwrap();
    assert_eq!(images.snapshots().usage("box").await.unwrap().bytes, 4);
}

#[tokio::test]
async fn the_driver_of_before_is_used_again_and_another_one_leaves_all_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let driver = |images: &crate::image::Images| images.snapshots().driver();
    let images = testing::open(root.path(), None);
    assert_eq!(driver(&images), DriverName::Overlay);
    let tar = tar_of(&[Member::directory("d"), Member::file("d/a", b"a")]);
    let layered = import(&images, &tar, Some("layered")).await;
    images.snapshots().prepare("layered", &layered, None).await.unwrap();
    drop(images);

    let images = testing::open(root.path(), Some(DriverName::Copying));
    images.snapshots().prepare("copied", &layered, None).await.unwrap();
    assert_eq!(images.snapshots().mounts("copied").unwrap()[0].kind, "bind");
    let mounted = |key: &str| {
        let mounts = images.snapshots().mounts(key).unwrap();
        Mounted::new(&mounts, root.path().join(key)).names("d")
    };
    assert_eq!((mounted("layered"), mounted("copied")), (vec!["a".into()], vec!["a".into()]));
    let plain = import(&images, &tar_of(&[Member::file("b", b"b")]), Some("plain")).await;
    drop(images);

    // It made the latest snapshot.
    let images = testing::open(root.path(), None);
    assert_eq!(driver(&images), DriverName::Copying);
    drop(images);

    let images = testing::open(root.path(), Some(DriverName::Overlay));
    assert_eq!(images.snapshots().mounts("copied").unwrap()[0].kind, "bind");
    images.snapshots().prepare("again", &layered, None).await.unwrap();
    let error = images.snapshots().prepare("plain", &plain, None).await.unwrap_err();
    assert_eq!(error.kind(), crate::Kind::Conflict);
    assert!(error.to_string().contains("--storage-driver vfs"), "{error}");
}

#[tokio::test]
async fn where_overlay_does_not_work_images_are_copied() {
    // The upper layer of an overlay can't be on another one.
    let outer = testing::Stage::new(DriverName::Overlay);
    outer.container(&[tar_of(&[Member::file("a", b"a")])], "outer").await;
    let mounted = outer.mounted("outer");
    let root = mounted.0.join("data");
    std::fs::create_dir(&root).unwrap();
    let images = testing::open(&root, None);
    assert_eq!(images.snapshots().driver(), DriverName::Copying);
    let image = import(&images, &tar_of(&[Member::file("in", b"in")]), Some("inner")).await;
    images.snapshots().prepare("inner", &image, None).await.unwrap();
    {
        let mounts = images.snapshots().mounts("inner").unwrap();
        let inner = Mounted::new(&mounts, root.join("inner"));
        assert_eq!(inner.names(""), ["in"]);
    }
    drop(images);
    let mut config = Config::with_roots(&root, &root.join("run"));
    config.storage_driver = Some(DriverName::Overlay);
    let store = Arc::new(Store::open(&config.store_file()).unwrap());
    let error = Snapshots::open(&config, store).err().unwrap();
    assert!(error.to_string().starts_with("driver not supported"), "{error}");
}
