//! What pulls have in common: blobs, layers, and the work that brings them.

use super::*;

#[tokio::test]
async fn a_blob_that_is_here_for_another_reason_is_not_taken_for_a_layer() {
    let mut honest = Honest::default();
    let (one, other) = (layer("one", 1000), layer("other", 1000));
    honest.image("1", std::slice::from_ref(&one));
    honest.image("2", std::slice::from_ref(&other));
    let blob = crate::registry::testing::gzip(&other);
    honest.packed_image("3", std::slice::from_ref(&one), &[blob]);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x:1")).await.unwrap();
    pull(&images, &registry.image("x:2")).await.unwrap();
    let error = pull(&images, &registry.image("x:3")).await.unwrap_err();
    assert_eq!(error.to_string(), "layers from manifest don't match image configuration");
    assert_eq!(images.list().len(), 2);
}

#[tokio::test]
async fn a_pull_does_not_fail_because_another_registry_does() {
    let honest = one_large_layer();
    let stuck = lying(honest.clone(), |_, _, reply| reply.ending(Ending::Stall(0))).await;
    let well = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let failing = {
        let (images, name) = (Arc::clone(&images), stuck.image("x:1"));
        tokio::spawn(async move { pull(&images, &name).await })
    };
    let parts = root.path().join("partial");
    until(|| std::fs::read_dir(&parts).unwrap().next().is_some()).await;
    pull(&images, &well.image("x:1")).await.unwrap();
    failing.await.unwrap().unwrap_err();
    assert_eq!(images.list().len(), 1);
}
