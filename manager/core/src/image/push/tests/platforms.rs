//! Pushes of names of images for several platforms.

use super::*;
use crate::image::Pull;
use crate::registry::testing::Honest;

/// A registry to pull from, with an image for this machine and one for s390x under the tag `1`.
async fn source() -> (Scripted, Digest) {
    let mut honest = Honest::default();
    let here = Platform::host().architecture;
    let list = honest.list("1", &[(&here, tree()), ("s390x", tree())]);
    (Scripted::start(move |asked| honest.answer(asked)).await, list)
}

async fn pull(images: &Arc<Images>, name: &Reference, platform: &str) {
    let request = Pull {
        name: name.clone(),
        all_tags: false,
        platform: Some(platform.to_owned()),
        credentials: Credentials::default(),
    };
    let (steps, mut told) = mpsc::channel(64);
    let listening = tokio::spawn(async move { while told.recv().await.is_some() {} });
    images.pull(request, steps).await.unwrap();
    listening.await.unwrap();
}

fn done(told: &[PushStep]) -> Digest {
    match told.last() {
        Some(PushStep::Done { digest, .. }) => *digest,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_list_that_is_all_here_goes_with_its_attestations() {
    let (source, list) = source().await;
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (from, to) = (source.image("x:1"), registry.image("y:2"));
    pull(&images, &from, "linux").await;
    pull(&images, &from, "linux/s390x").await;
    images.tag(&from.familiar(), &to.familiar()).await.unwrap();
    let told = push(&images, &to).await.unwrap();
    assert_eq!(done(&told), list);
    assert!(!told.iter().any(|step| matches!(step, PushStep::Instead { .. })));
    let named = format!("{}/y@{list}", registry.address);
    assert!(images.resolve(&to.familiar()).unwrap().repo_digests().contains(&named));
    let depot = depot.lock().unwrap();
    // Two images and two attestations by their digest, and the list by its tag.
    assert_eq!(depot.manifests.len(), 5);
    assert_eq!(Digest::of(&depot.manifests["2"].1), list);
    // Of each image a configuration and a layer, of each attestation a configuration and a
    // statement.
    assert_eq!(depot.blobs.len(), 8);
}

#[tokio::test]
async fn where_something_is_missing_one_image_goes_alone() {
    let (source, list) = source().await;
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (from, to) = (source.image("x:1"), registry.image("y:2"));
    pull(&images, &from, "linux/s390x").await;
    images.tag(&from.familiar(), &to.familiar()).await.unwrap();
    let told = push(&images, &to).await.unwrap();
    let image = images.resolve(&to.familiar()).unwrap();
    assert_eq!(Some(done(&told)), image.manifest);
    let instead = told.iter().find_map(|step| match step {
        PushStep::Instead { list, manifest } => Some((list.digest, manifest.digest)),
        _ => None,
    });
    assert_eq!(instead, Some((list, done(&told))));
    // What this name stands for here has not changed.
    assert_eq!(image.lists, [list]);
    assert_eq!(depot.lock().unwrap().manifests.len(), 1);
}

#[tokio::test]
async fn one_platform_goes_if_it_is_asked_for() {
    let (source, _) = source().await;
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (from, to) = (source.image("x:1"), registry.image("y:2"));
    let s390x = Platform::parse("linux/s390x").unwrap();
    pull(&images, &from, "linux").await;
    images.tag(&from.familiar(), &to.familiar()).await.unwrap();
    let missing = push_for(&images, &to, Some(s390x.clone())).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(missing.to_string().contains("specified platform (linux/s390x)"), "{missing}");
    assert!(depot.lock().unwrap().manifests.is_empty());

    pull(&images, &from, "linux/s390x").await;
    let told = push_for(&images, &to, Some(s390x.clone())).await.unwrap();
    let image = images.resolve_for(&to.familiar(), Some(&s390x)).unwrap();
    assert_eq!(Some(done(&told)), image.manifest);
    assert_eq!(depot.lock().unwrap().blobs.len(), 2);
}
