//! Pulls from registries that are honest, and from others.

mod platforms;
mod shared;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{LayerStep, Pull, Step};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::events::Events;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::digest::Digest;
use crate::image::testing::{Nobody, assert_empty};
use crate::image::{Images, Reference};
use crate::registry::testing::{Asked, Ending, Honest, Reply, Scripted, impatient, until};
use crate::registry::{Credentials, Patience, RegistrySettings};
use crate::store::Store;

fn open(root: &Path) -> Arc<Images> {
    open_with(root, impatient())
}

fn open_with(root: &Path, registry: RegistrySettings) -> Arc<Images> {
    let config = Config { registry, ..Config::with_roots(root, &root.join("run")) };
    let store = Arc::new(Store::open(&config.store_file()).unwrap());
    Images::open(&config, store, Events::new()).unwrap()
}

/// Opens what another manager has just let go of; the last of its work may be on its way out.
async fn open_again(root: &Path) -> Arc<Images> {
    let config = Config::with_roots(root, &root.join("run"));
    until(|| Store::open(&config.store_file()).is_ok()).await;
    open(root)
}

fn request(name: &Reference) -> Pull {
    let all_tags = name.is_name_only();
    Pull { name: name.clone(), all_tags, platform: None, credentials: Credentials::default() }
}

/// Pulls, and gives all that was told.
async fn pull(images: &Arc<Images>, name: &Reference) -> Result<Vec<Step>> {
    pull_as(images, request(name)).await
}

async fn pull_as(images: &Arc<Images>, request: Pull) -> Result<Vec<Step>> {
    let (steps, mut receiver) = mpsc::channel(4);
    let listening = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(step) = receiver.recv().await {
            told.push(step);
        }
        told
    });
    images.pull(request, steps).await?;
    Ok(listening.await.unwrap())
}

/// A layer with a file of this name and size, which does not compress.
fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut content = vec![0; size];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut content);
    tar_of(&[Member::file(name, &content)])
}

/// An error of a pull that leaves no image, and no part of one that is wrong.
async fn refused(registry: &Scripted, name: &str) -> Error {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let error = pull(&images, &registry.image(name)).await.unwrap_err();
    images.blocking(|catalog| catalog.blobs.parts().sweep(Duration::ZERO)).await.unwrap();
    // What unpacks notices a moment later that nobody waits for it.
    let snapshots = root.path().join("snapshots");
    until(|| std::fs::read_dir(&snapshots).unwrap().next().is_none()).await;
    assert_empty(&images, root.path());
    error
}

fn steps_of(told: &[Step], wanted: LayerStep) -> usize {
    told.iter().filter(|step| matches!(step, Step::Layer { step, .. } if *step == wanted)).count()
}

#[tokio::test]
async fn an_image_comes_whole_and_only_once() {
    let mut honest = Honest::default();
    let layers = [layer("a", 100_000), layer("b", 10)];
    let digest = honest.image("1", &layers);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    let told = pull(&images, &name).await.unwrap();
    assert_eq!(steps_of(&told, LayerStep::Announced), 2);
    assert_eq!(steps_of(&told, LayerStep::Downloaded), 2);
    assert_eq!(steps_of(&told, LayerStep::Complete), 2);
    assert_eq!(told.last(), Some(&Step::Done { name: name.familiar(), newer: true }));
    let image = images.resolve(&name.familiar()).unwrap();
    assert_eq!(image.repo_digests(), [format!("{}/x@{digest}", registry.address)]);
    assert_eq!(image.layers.len(), 2);

    let before = registry.asked_for("/blobs/").len();
    let told = pull(&images, &name).await.unwrap();
    assert_eq!(told.last(), Some(&Step::Done { name: name.familiar(), newer: false }));
    let by_digest = pull(&images, &name.clone().with_digest(digest)).await.unwrap();
    assert!(by_digest.contains(&Step::Digest(digest)));
    assert_eq!(registry.asked_for("/blobs/").len(), before);

    drop(images);
    let again = open_again(root.path()).await;
    assert_eq!(again.resolve(&name.familiar()).unwrap().id, image.id);
}

#[tokio::test]
async fn layers_that_are_here_are_not_asked_for() {
    let mut honest = Honest::default();
    let (base, top) = (layer("base", 1000), layer("top", 1000));
    honest.image("1", std::slice::from_ref(&base));
    honest.image("2", &[base, top]);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x:1")).await.unwrap();
    let before = registry.asked_for("/blobs/").len();
    let told = pull(&images, &registry.image("x:2")).await.unwrap();
    assert_eq!(steps_of(&told, LayerStep::Known), 1);
    // The configuration and one layer.
    assert_eq!(registry.asked_for("/blobs/").len(), before + 2);
}

#[tokio::test]
async fn a_repository_is_pulled_with_all_its_tags() {
    let mut honest = Honest::default();
    honest.image("1", &[layer("a", 10)]);
    honest.image("2", &[layer("b", 10)]);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x")).await.unwrap();
    assert_eq!(images.list().len(), 2);
}

/// A registry whose answers about blobs `change` may change; it is told how many came before.
async fn lying(
    honest: Honest,
    change: impl Fn(&Asked, usize, Reply) -> Reply + Send + Sync + 'static,
) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |asked| {
        let reply = honest.answer(asked);
        if !asked.path.contains("/blobs/") || reply.body.len() < 10_000 {
            return reply;
        }
        change(asked, count.fetch_add(1, Ordering::Relaxed), reply)
    })
    .await
}

fn one_large_layer() -> Honest {
    let mut honest = Honest::default();
    honest.image("1", &[layer("a", 100_000)]);
    honest
}

#[tokio::test]
async fn a_connection_that_breaks_is_gone_on_with() {
    let registry = lying(one_large_layer(), |_, count, reply| match count {
        0 => reply.ending(Ending::Cut(60_000)),
        1 => Reply::error(503, "UNAVAILABLE"),
        2 => reply.ending(Ending::Stall(10_000)),
        _ => reply,
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x:1")).await.unwrap();
    let ranges: Vec<String> = registry
        .asked()
        .iter()
        .filter_map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=60000-", "bytes=60000-", "bytes=70000-"]);
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_again() {
    let honest = one_large_layer();
    let blobs = honest.blobs.clone();
    let registry = lying(honest, move |asked, count, reply| {
        let digest: Digest = asked.path.rsplit('/').next().unwrap().parse().unwrap();
        let ending = if count == 0 { Ending::Cut(60_000) } else { Ending::Whole };
        Reply { status: 200, body: blobs[&digest].clone(), ..reply }.ending(ending)
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    pull(&open(root.path()), &registry.image("x:1")).await.unwrap();
}

#[tokio::test]
async fn a_download_goes_on_after_a_restart() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let breaks = Arc::clone(&broken);
    let registry = lying(one_large_layer(), move |asked, _, reply| {
        if asked.header("range").is_none() {
            return reply.ending(Ending::Cut(60_000));
        }
        if breaks.load(Ordering::Relaxed) { Reply::error(503, "UNAVAILABLE") } else { reply }
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    pull(&images, &name).await.unwrap_err();
    drop(images);
    broken.store(false, Ordering::Relaxed);
    let images = open_again(root.path()).await;
    pull(&images, &name).await.unwrap();
    let asked = registry.asked();
    let last = asked.iter().rev().find(|asked| asked.path.contains("/blobs/")).unwrap();
    assert_eq!(last.header("range"), Some("bytes=60000-"));
}

#[tokio::test]
async fn what_was_kept_and_is_damaged_is_fetched_anew() {
    let honest = one_large_layer();
    let (digest, size) = honest
        .blobs
        .iter()
        .map(|(digest, blob)| (*digest, blob.len()))
        .max_by_key(|(_, size)| *size)
        .unwrap();
    let registry = lying(honest, |_, _, reply| reply).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    std::fs::write(root.path().join("partial").join(digest.hex()), vec![0; size / 2]).unwrap();
    pull(&images, &registry.image("x:1")).await.unwrap();
}

#[tokio::test]
async fn a_blob_with_another_digest_is_refused() {
    let registry = lying(one_large_layer(), |_, _, mut reply| {
        let last = reply.body.len() - 1;
        reply.body[last] ^= 1;
        reply
    })
    .await;
    let error = refused(&registry, "x:1").await.to_string();
    // The gzip stream's own checksum may be found wrong first.
    let expected = ["filesystem layer verification failed", "gzip stream is damaged"];
    assert!(expected.iter().any(|text| error.contains(text)), "{error}");
}

#[tokio::test]
async fn a_blob_with_another_length_is_refused() {
    let registry = lying(one_large_layer(), |_, _, mut reply| {
        reply.body.push(0);
        reply
    })
    .await;
    let error = refused(&registry, "x:1").await.to_string();
    assert!(error.contains("according to the manifest"), "{error}");
}

#[tokio::test]
async fn an_endless_blob_ends_where_it_should() {
    let registry = lying(one_large_layer(), |_, _, reply| reply.ending(Ending::Never)).await;
    let root = tempfile::tempdir().unwrap();
    pull(&open(root.path()), &registry.image("x:1")).await.unwrap();
}

#[tokio::test]
async fn an_endless_manifest_is_refused() {
    let registry =
        Scripted::start(|_| Reply::new(200, vec![b' '; 4096]).ending(Ending::Never)).await;
    let error = refused(&registry, "x:1").await.to_string();
    assert!(error.contains("longer than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn redirects_that_lead_nowhere_end() {
    let registry = lying(one_large_layer(), |asked, _, _| {
        Reply::new(307, "x".repeat(10_000)).with("location", asked.path.clone())
    })
    .await;
    let error = refused(&registry, "x:1").await.to_string();
    assert!(error.contains("too many redirects"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_another_is_refused() {
    let mut honest = one_large_layer();
    let other = honest.manifests["1"].clone();
    honest.manifests.insert(Digest::of(b"wanted").to_string(), other);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let name = format!("x@{}", Digest::of(b"wanted"));
    let error = refused(&registry, &name).await.to_string();
    assert!(error.starts_with("manifest verification failed for digest"), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_another_is_refused() {
    let mut honest = Honest::default();
    let (real, other) = (layer("a", 10_000), layer("b", 10_000));
    let packed = crate::registry::testing::gzip(&other);
    honest.packed_image("1", &[real], &[packed]);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let error = refused(&registry, "x:1").await;
    assert_eq!(error.to_string(), "layers from manifest don't match image configuration");
}

#[tokio::test]
async fn what_is_not_there_is_said_as_docker_says_it() {
    let registry = Scripted::start(|_| Reply::error(404, "MANIFEST_UNKNOWN")).await;
    let error = refused(&registry, "x:1").await;
    assert_eq!(error.kind(), Kind::NotFound);
    let name = registry.image("x:1").familiar();
    let expected = format!("manifest for {name} not found: manifest unknown: manifest unknown");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn two_pulls_share_the_work_and_one_may_leave() {
    let registry = lying(one_large_layer(), |_, count, reply| match count {
        0 => reply.ending(Ending::Stall(50_000)),
        _ => reply,
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    let leaving = {
        let (images, name) = (Arc::clone(&images), name.clone());
        tokio::spawn(async move { pull(&images, &name).await })
    };
    until(|| !registry.asked_for("/blobs/").is_empty()).await;
    let staying = {
        let (images, name) = (Arc::clone(&images), name.clone());
        tokio::spawn(async move { pull(&images, &name).await })
    };
    until(|| registry.asked_for("/manifests/").len() == 2).await;
    leaving.abort();
    timeout(Duration::from_secs(120), staying).await.unwrap().unwrap().unwrap();
    assert_eq!(images.list().len(), 1);
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let mut honest = Honest::default();
    honest.image("1", &[layer("a", 100_000)]);
    let all = honest.clone();
    let registry = Scripted::start(move |asked| all.answer(asked)).await;
    // The mirror has the manifest alone.
    honest.blobs.clear();
    let mirror = Scripted::start(move |asked| honest.answer(asked)).await;
    let mut settings = impatient();
    let address = format!("http://{}", mirror.address);
    settings.mirrors.add(&registry.address.to_string(), address.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    pull(&open_with(root.path(), settings), &registry.image("x:1")).await.unwrap();
    assert_eq!(mirror.asked_for("/manifests/").len(), 1);
    assert!(registry.asked_for("/manifests/").is_empty());
    assert_eq!(registry.asked_for("/blobs/").len(), 2);
}

#[tokio::test]
async fn a_mirror_that_lies_is_left() {
    let mut honest = Honest::default();
    honest.image("1", &[layer("a", 100_000)]);
    let all = honest.clone();
    let registry = Scripted::start(move |asked| all.answer(asked)).await;
    let mirror = lying(honest, |_, _, mut reply| {
        let middle = reply.body.len() / 2;
        reply.body[middle] ^= 1;
        reply
    })
    .await;
    let mut settings = impatient();
    let address = format!("http://{}", mirror.address);
    settings.mirrors.add(&registry.address.to_string(), address.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    pull(&open_with(root.path(), settings), &registry.image("x:1")).await.unwrap();
    assert!(registry.asked_for("/manifests/").is_empty());
}

#[tokio::test]
async fn a_blob_that_another_image_has_is_not_fetched() {
    let mut honest = Honest::default();
    let (one, two) = (layer("one", 20_000), layer("two", 20_000));
    honest.image("1", &[one.clone(), two.clone()]);
    honest.image("2", &[two, one]);
    let registry = lying(honest, |_, _, reply| reply).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x:1")).await.unwrap();
    let before = registry.asked_for("/blobs/").len();
    pull(&images, &registry.image("x:2")).await.unwrap();
    assert_eq!(registry.asked_for("/blobs/").len(), before + 1);
}

#[tokio::test]
async fn every_compression_is_read() {
    let tree = layer("a", 20_000);
    let zstd = zstd::encode_all(tree.as_slice(), 1).unwrap();
    for (packed, expected) in [(tree.clone(), "tar"), (zstd, "tar+zstd")] {
        let mut honest = Honest::default();
        honest.packed_image("1", std::slice::from_ref(&tree), &[packed]);
        let registry = Scripted::start(move |asked| honest.answer(asked)).await;
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        let name = registry.image("x:1");
        pull(&images, &name).await.unwrap();
        let blob = &images.resolve(&name.familiar()).unwrap().layers[0].blob;
        assert!(blob.media_type.ends_with(expected), "{}", blob.media_type);
    }
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends() {
    let registry =
        lying(one_large_layer(), |_, _, reply| reply.ending(Ending::Stall(50_000))).await;
    let settings = RegistrySettings {
        patience: Patience { stall: Duration::from_secs(60), ..impatient().patience },
        ..impatient()
    };
    let root = tempfile::tempdir().unwrap();
    let images = open_with(root.path(), settings);
    let name = registry.image("x:1");
    let pulling = {
        let images = Arc::clone(&images);
        tokio::spawn(async move { pull(&images, &name).await })
    };
    let parts = root.path().join("partial");
    let some = || std::fs::read_dir(&parts).unwrap().count();
    until(|| some() == 1).await;
    let prune = async || images.prune(|_| false, Arc::new(Nobody)).await.unwrap().freed;
    assert_eq!(prune().await, 0, "it is being written");
    pulling.abort();
    let ending = async {
        while some() == 1 {
            prune().await;
        }
    };
    timeout(Duration::from_secs(120), ending).await.unwrap();
    let snapshots = root.path().join("snapshots");
    until(|| std::fs::read_dir(&snapshots).unwrap().next().is_none()).await;
}
