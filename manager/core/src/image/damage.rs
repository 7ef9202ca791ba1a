//! What becomes of images whose files were damaged behind the manager's back: none is taken for
//! whole, and a new pull or load repairs them.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::archive::testing::{Member, tar_of};
use super::digest::Digest;
use super::testing::{import, load, open};
use super::{Images, Pull, Reference};
use crate::error::{Kind, Result};
use crate::registry::Credentials;
use crate::registry::testing::{Honest, Scripted};

fn layer(name: &str) -> Vec<u8> {
    tar_of(&[Member::file(name, &[b'x'; 5000])])
}

async fn registry(layers: &[Vec<u8>]) -> Scripted {
    let mut honest = Honest::default();
    honest.image("1", layers);
    Scripted::start(move |asked| honest.answer(asked)).await
}

async fn pull(images: &Images, name: &Reference) -> Result<()> {
    let credentials = Credentials::default();
    let request = Pull { name: name.clone(), all_tags: false, platform: None, credentials };
    let (steps, mut told) = mpsc::channel(4);
    let listening = tokio::spawn(async move { while told.recv().await.is_some() {} });
    images.pull(request, steps).await?;
    listening.await.unwrap();
    Ok(())
}

async fn save(images: &Images, name: &str) -> Result<Vec<u8>> {
    let mut archive = images.save(&[name.to_owned()], None)?;
    let mut all = Vec::new();
    while let Some(piece) = archive.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// The blob of the uppermost layer.
fn blob_of(root: &Path, images: &Images, name: &str) -> (Digest, PathBuf) {
    let image = images.resolve(name).unwrap();
    let digest = image.layers.last().unwrap().blob.digest;
    (digest, root.join("blobs/sha256").join(digest.hex()))
}

fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_is_found_when_it_is_saved_and_mended_by_a_pull() {
    let registry = registry(&[layer("below"), layer("above")]).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    pull(&images, &name).await.unwrap();
    let whole = save(&images, &name.familiar()).await.unwrap();
    let (digest, path) = blob_of(root.path(), &images, &name.familiar());
    flip(&path);
    let error = save(&images, &name.familiar()).await.unwrap_err().to_string();
    assert!(error.contains(&digest.to_string()) && error.contains("pull or load"), "{error}");
    assert!(!path.exists());
    pull(&images, &name).await.unwrap();
    assert!(save(&images, &name.familiar()).await.unwrap() == whole);
}

#[tokio::test]
async fn a_load_mends_what_a_pull_brought_and_the_other_way_round() {
    let registry = registry(&[layer("a")]).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    pull(&images, &name).await.unwrap();
    let archive = save(&images, &name.familiar()).await.unwrap();
    for mended_by_load in [true, false] {
        let (_, path) = blob_of(root.path(), &images, &name.familiar());
        std::fs::write(&path, "").unwrap();
        save(&images, &name.familiar()).await.unwrap_err();
        if mended_by_load {
            load(&images, archive.clone()).await.unwrap();
        } else {
            pull(&images, &name).await.unwrap();
        }
        save(&images, &name.familiar()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_missing_or_cut_off_at_a_start_is_dropped_and_pulled_again() {
    let damages: [fn(&Path, &Path); 5] = [
        |_, blob| std::fs::remove_file(blob).unwrap(),
        |_, blob| std::fs::write(blob, "").unwrap(),
        |_, blob| std::fs::write(blob, "short").unwrap(),
        |_, blob| {
            std::fs::remove_file(blob).unwrap();
            std::fs::create_dir(blob).unwrap();
            std::fs::write(blob.join("file"), "x").unwrap();
        },
        |root, _| {
            let layers: Vec<_> = std::fs::read_dir(root.join("snapshots")).unwrap().collect();
            for layer in layers {
                std::fs::remove_dir_all(layer.unwrap().path()).unwrap();
            }
        },
    ];
    let registry = registry(&[layer("below"), layer("above")]).await;
    let name = registry.image("x:1");
    for damage in damages {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        pull(&images, &name).await.unwrap();
        let (_, blob) = blob_of(root.path(), &images, &name.familiar());
        drop(images);
        damage(root.path(), &blob);
        let images = open(root.path());
        assert_eq!(images.resolve(&name.familiar()).unwrap_err().kind(), Kind::NotFound);
        super::testing::assert_empty(&images, root.path());
        pull(&images, &name).await.unwrap();
        save(&images, &name.familiar()).await.unwrap();
    }
}

#[tokio::test]
async fn a_configuration_that_was_damaged_is_found_at_a_start() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &layer("a"), Some("x")).await;
    drop(images);
    flip(&root.path().join("blobs/sha256").join(image.id.digest().hex()));
    super::testing::assert_empty(&open(root.path()), root.path());
}
