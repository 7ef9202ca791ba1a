//! Names of lists: one that has none any more goes, and no other.

use super::*;
use crate::image::Images;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::image::Image;
use crate::image::platform::Platform;
use crate::image::record::Variant;
use crate::image::testing::{import, open};

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// A list with this content, of one image.
fn list(content: &str, image: &Image, names: &[&str]) -> NewList {
    let blob = |text: &str| Blob {
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
        media_type: String::new(),
    };
    let manifest = blob("manifest");
    let variants = vec![Variant { platform: Platform::host(), manifest, image: image.id }];
    let record = ListRecord { list: blob(content), variants, others: Vec::new() };
    NewList { record, names: names.iter().map(|text| name(text)).collect() }
}

fn commit(images: &Images, lists: Vec<NewList>) {
    images.catalog.commit(New { lists, ..New::default() }).unwrap();
}

fn is_there(images: &Images, content: &str) -> bool {
    let key = Digest::of(content.as_bytes());
    let kept = images.catalog.store.get(&LISTS, &key.to_string()).unwrap().is_some();
    assert_eq!(kept, images.catalog.read().manifest_list(key).is_some());
    kept
}

#[tokio::test]
async fn a_list_stays_as_long_as_it_has_a_name_and_no_longer() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = &*import(&images, &tar_of(&[Member::file("a", b"a")]), None).await;

    commit(&images, vec![list("one", image, &["a:1"])]);
    // One name goes on to another list, and the list gets another name, at once.
    commit(&images, vec![list("two", image, &["a:1"]), list("one", image, &["a:old"])]);
    assert!(is_there(&images, "one") && is_there(&images, "two"));
    assert!(images.catalog.read().named(&name("a:old")).is_some());

    // Its names go on to different lists.
    commit(&images, vec![list("one", image, &["b:1"])]);
    commit(&images, vec![list("three", image, &["a:old"]), list("four", image, &["b:1"])]);
    assert!(!is_there(&images, "one"));
    assert!(is_there(&images, "three") && is_there(&images, "four"));

    // Of two that are to have the same name, the latter gets it.
    commit(&images, vec![list("five", image, &["c:1"]), list("six", image, &["c:1"])]);
    assert!(!is_there(&images, "five") && is_there(&images, "six"));
}

#[tokio::test]
async fn a_list_without_a_name_is_dropped_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar_of(&[Member::file("a", b"a")]), Some("a:1")).await;
    for content in ["one", "manifest"] {
        let blob = images.catalog.blobs.add(content.as_bytes()).unwrap();
        images.catalog.blobs.adopt(&blob).unwrap();
    }
    let record = list("one", &image, &[]).record;
    let key = record.list.digest.to_string();
    images.catalog.store.write(|change| change.put(&LISTS, &key, &record)).unwrap();
    drop(images);
    let images = open(root.path());
    assert!(!is_there(&images, "one"));
    assert!(!images.catalog.blobs.has(record.list.digest, 3));
}

#[tokio::test]
async fn a_record_that_somebody_else_has_changed_stays_so() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar_of(&[Member::file("a", b"a")]), None).await;
    let catalog = &images.catalog;
    let (before, _held) = catalog.held(image.id).unwrap();
    let with = |text: &str| {
        let blob = catalog.blobs.add(text.as_bytes()).unwrap();
        ImageRecord { manifest: Some(blob.describe("x")), ..before.clone() }
    };
    catalog.replace(&before, with("first")).unwrap();
    catalog.replace(&before, with("second")).unwrap();
    let first = Digest::of(b"first");
    assert_eq!(catalog.held(image.id).unwrap().0.manifest.unwrap().digest, first);
}
