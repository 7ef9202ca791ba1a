//! Names of images for several platforms.

use super::*;
use crate::image::{Image, Platform, RemoveImage, Removed};

const FORCE: RemoveImage = RemoveImage { force: true, platforms: Vec::new(), keep_parents: false };

/// This machine's processor, and one that it surely is not.
fn here() -> String {
    Platform::host().architecture
}

/// A registry with one image for this machine and for s390x, under two tags.
fn two_platforms() -> (Honest, Digest) {
    let mut honest = Honest::default();
    let all = [("s390x", layer("s390x", 100)), (&here(), layer("here", 100))];
    let list = honest.list("1", &all);
    let again = honest.manifests["1"].clone();
    honest.manifests.insert("2".to_owned(), again);
    (honest, list)
}

/// Those two platforms in a registry, and a manager that has nothing yet.
struct Served {
    /// The list of both.
    list: Digest,
    /// The name it has in the registry.
    name: Reference,
    registry: Scripted,
    root: tempfile::TempDir,
    images: Arc<Images>,
}

async fn served() -> Served {
    let (honest, list) = two_platforms();
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    Served { list, name: registry.image("x:1"), registry, root, images }
}

async fn pull_for(images: &Arc<Images>, name: &Reference, platform: &str) -> Vec<Step> {
    let request = Pull { platform: Some(platform.to_owned()), ..request(name) };
    pull_as(images, request).await.unwrap()
}

fn architecture(image: &Image) -> &str {
    &image.config.architecture
}

fn of(platform: &str) -> Platform {
    Platform::parse(platform).unwrap()
}

#[tokio::test]
async fn another_platform_is_added_to_the_name() {
    let Served { list, registry, root, images, name, .. } = served().await;
    let familiar = name.familiar();

    let told = pull_for(&images, &name, "linux/s390x").await;
    assert!(told.contains(&Step::Digest(list)));
    assert_eq!(architecture(&images.resolve(&familiar).unwrap()), "s390x");
    let error = images.resolve_for(&familiar, Some(&Platform::host())).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("does not provide the specified platform"), "{error}");

    let told = pull(&images, &name).await.unwrap();
    assert_eq!(told.last(), Some(&Step::Done { name: familiar.clone(), newer: true }));
    let mut images = images;
    for again in [false, true] {
        if again {
            drop(images);
            images = open_again(root.path()).await;
        }
        let best = images.resolve(&familiar).unwrap();
        assert_eq!(architecture(&best), here());
        assert_eq!(best.repo_digests(), [format!("{}/x@{list}", registry.address)]);
        let other = images.resolve_for(&familiar, Some(&of("linux/s390x"))).unwrap();
        assert_eq!(architecture(&other), "s390x");
        assert!(other.is_variant_only());
        assert_eq!(other.variant_of, best.references);
        assert_eq!(best.variants, [other.id]);
        assert_eq!(images.list().len(), 2);
    }
    let none = Pull { platform: Some("linux/riscv64".to_owned()), ..request(&name) };
    let error = pull_as(&images, none).await.unwrap_err();
    assert!(error.to_string().starts_with("no matching manifest for linux/riscv64"), "{error}");
}

#[tokio::test]
async fn attestations_come_along_and_all_of_it_goes_with_the_name() {
    let (honest, list) = two_platforms();
    let blobs = honest.blobs.len();
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    pull(&images, &name).await.unwrap();
    pull_for(&images, &name, "linux/s390x").await;
    // The list, two manifests of images and two of attestations, and all their blobs.
    let kept = || std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(kept(), blobs + 5);
    assert_eq!(images.catalog.read().manifest_list(list).unwrap().others.len(), 6);
    drop(images);
    let images = open_again(root.path()).await;
    assert_eq!(kept(), blobs + 5);

    images.tag(&name.familiar(), "other:1").await.unwrap();
    images.remove(&name.familiar(), FORCE, Arc::new(Nobody)).await.unwrap();
    assert_eq!(images.list().len(), 2);
    let removed = images.remove("other:1", FORCE, Arc::new(Nobody)).await.unwrap();
    let deleted = |removed: &[Removed]| {
        removed.iter().filter(|removed| matches!(removed, Removed::Deleted(_))).count()
    };
    // Two images with one layer each.
    assert_eq!(deleted(&removed), 4);
    assert_empty(&images, root.path());
    drop(images);
    assert_empty(&*open_again(root.path()).await, root.path());
}

#[tokio::test]
async fn one_platform_can_be_taken_away() {
    let Served { registry: _registry, root, images, name, .. } = served().await;
    pull(&images, &name).await.unwrap();
    pull_for(&images, &name, "linux/s390x").await;
    let only = |force, platform: &str| RemoveImage {
        force,
        platforms: vec![of(platform)],
        keep_parents: false,
    };

    let familiar = name.familiar();
    let gently =
        images.remove(&familiar, only(false, "linux/s390x"), Arc::new(Nobody)).await.unwrap_err();
    assert!(gently.to_string().contains("Use --force"), "{gently}");
    let missing =
        images.remove(&familiar, only(true, "linux/arm"), Arc::new(Nobody)).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    images.remove(&familiar, only(true, &here()), Arc::new(Nobody)).await.unwrap();
    assert_eq!(architecture(&images.resolve(&familiar).unwrap()), "s390x");
    // It comes again where it was.
    pull(&images, &name).await.unwrap();
    assert_eq!(architecture(&images.resolve(&familiar).unwrap()), here());
    // A variant by its id.
    let other = images.resolve_for(&familiar, Some(&of("linux/s390x"))).unwrap();
    let removed = images.remove(&other.id.to_string(), FORCE, Arc::new(Nobody)).await.unwrap();
    assert_eq!(removed[0], Removed::Deleted(other.id.to_string()));
    // The last one takes the names along.
    let removed = images.remove(&familiar, only(true, &here()), Arc::new(Nobody)).await.unwrap();
    assert!(removed.contains(&Removed::Untagged(familiar)));
    assert_empty(&images, root.path());
}

#[tokio::test]
async fn a_name_that_moves_leaves_images_without_a_name() {
    let Served { registry: _registry, root, images, name, .. } = served().await;
    pull(&images, &name).await.unwrap();
    pull_for(&images, &name, "linux/s390x").await;
    let list = images.resolve(&name.familiar()).unwrap().references[0].clone();
    images.tag(&name.familiar(), "kept:1").await.unwrap();
    images.remove(&list.familiar(), FORCE, Arc::new(Nobody)).await.unwrap();
    images.remove(&name.familiar(), FORCE, Arc::new(Nobody)).await.unwrap();
    let tree = tar_of(&[Member::file("f", b"")]);
    let other = crate::image::testing::import(&images, &tree, Some("kept:1")).await;
    assert_eq!(images.resolve("kept:1").unwrap().id, other.id);
    let nameless = images.list().into_iter().filter(|image| image.id != other.id);
    let nameless: Vec<_> = nameless.collect();
    assert_eq!(nameless.len(), 2);
    for image in nameless {
        assert!(image.references.is_empty() && !image.is_variant_only());
        images.remove(&image.id.to_string(), FORCE, Arc::new(Nobody)).await.unwrap();
    }
    images.remove("kept:1", FORCE, Arc::new(Nobody)).await.unwrap();
    assert_empty(&images, root.path());
}

#[tokio::test]
async fn what_is_here_is_asked_for_by_a_look_only() {
    let Served { list, registry, root: _root, images, name, .. } = served().await;
    pull(&images, &name).await.unwrap();
    let before = registry.asked().len();
    let told = pull(&images, &name).await.unwrap();
    assert_eq!(told.last(), Some(&Step::Done { name: name.familiar(), newer: false }));
    let asked = registry.asked();
    let asked = asked[before..].iter().map(|asked| (asked.method.as_str(), asked.path.as_str()));
    assert_eq!(asked.collect::<Vec<_>>(), [("HEAD", "/v2/x/manifests/1")]);
    // Another name of the same is new, and nothing but its manifest comes.
    let blobs = registry.asked_for("/blobs/").len();
    let told = pull(&images, &registry.image("x:2")).await.unwrap();
    assert!(told.contains(&Step::Digest(list)));
    assert_eq!(registry.asked_for("/blobs/").len(), blobs);
}

#[tokio::test]
async fn an_image_that_was_here_goes_by_its_manifest_once_it_is_pulled() {
    let mut honest = Honest::default();
    let tree = layer("a", 100);
    let layers = std::slice::from_ref(&tree);
    let digest = honest.packed_image("1", layers, layers);
    let config = honest.manifests["1"].1.clone();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let config: Digest = config["config"]["digest"].as_str().unwrap().parse().unwrap();
    let archive = tar_of(&[
        Member::file("c.json", &honest.blobs[&config]),
        Member::file("l.tar", &tree),
        Member::file(
            "manifest.json",
            br#"[{"Config":"c.json","Layers":["l.tar"],"RepoTags":["loaded:1"]}]"#,
        ),
    ]);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    crate::image::testing::load(&images, archive).await.unwrap();
    assert_eq!(images.resolve("loaded:1").unwrap().manifest, None);
    let name = registry.image("x:1");
    pull(&images, &name).await.unwrap();
    let image = images.resolve("loaded:1").unwrap();
    assert_eq!(image.manifest, Some(digest));
    assert_eq!(image.repo_digests(), [format!("{}/x@{digest}", registry.address)]);
    assert_eq!(registry.asked_for("/blobs/"), Vec::<String>::new());
}

#[tokio::test]
async fn records_of_before_are_read() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let tree = tar_of(&[Member::file("f", b"")]);
    let image = crate::image::testing::import(&images, &tree, Some("old:1")).await;
    drop(images);
    let config = Config::with_roots(root.path(), &root.path().join("run"));
    until(|| Store::open(&config.store_file()).is_ok()).await;
    let store = Store::open(&config.store_file()).unwrap();
    let table = crate::store::Table::<serde_json::Value>::new("references");
    let (key, value) = store.list(&table).unwrap().remove(0);
    assert_eq!(value["list"], serde_json::Value::Null);
    assert_eq!(key, "docker.io/library/old:1");
    drop(store);
    assert_eq!(open_again(root.path()).await.resolve("old:1").unwrap().id, image.id);
}

#[tokio::test]
async fn attestations_go_with_their_image() {
    let Served { list, registry: _registry, root, images, name } = served().await;
    pull(&images, &name).await.unwrap();
    let before = std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count();
    pull_for(&images, &name, "linux/s390x").await;
    let others = || images.catalog.read().manifest_list(list).unwrap().others.len();
    assert_eq!(others(), 6);
    let only = RemoveImage { platforms: vec![of("linux/s390x")], ..FORCE };
    images.remove(&name.familiar(), only, Arc::new(Nobody)).await.unwrap();
    assert_eq!(others(), 3);
    let after = std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(after, before);
    // They come again with it.
    pull_for(&images, &name, "linux/s390x").await;
    assert_eq!(others(), 6);
}

#[tokio::test]
async fn only_so_many_attestations_come_along_and_none_of_their_blobs_twice() {
    let mut honest = Honest::default();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let image = honest.image("image", &[layer("a", 100)]);
    let statement = honest.blob(b"{\"it\":\"is so\"}".to_vec(), "application/vnd.in-toto+json");
    let config = honest.blob(b"{}".to_vec(), "application/vnd.oci.image.config.v1+json");
    let mut entries = vec![serde_json::json!({
        "mediaType": manifest, "digest": image.to_string(),
        "size": honest.manifests["image"].1.len(),
        "platform": { "os": "linux", "architecture": here() },
    })];
    for number in 0..200 {
        let content = serde_json::json!({
            "schemaVersion": 2, "mediaType": manifest, "config": config,
            "layers": [statement, statement], "annotations": { "number": number.to_string() },
        });
        let digest = honest.manifest(&format!("a{number}"), manifest, &content);
        entries.push(serde_json::json!({
            "mediaType": manifest, "digest": digest.to_string(), "size": content.to_string().len(),
            "annotations": {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": image.to_string(),
            },
        }));
    }
    let index = "application/vnd.oci.image.index.v1+json";
    let content =
        serde_json::json!({ "schemaVersion": 2, "mediaType": index, "manifests": entries });
    let list = honest.manifest("1", index, &content);
    let registry = Scripted::start(move |asked| honest.answer(asked)).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    pull(&images, &registry.image("x:1")).await.unwrap();
    assert_eq!(images.catalog.read().manifest_list(list).unwrap().others.len(), 64 + 2);
    let statement = statement["digest"].as_str().unwrap();
    assert_eq!(registry.asked_for(statement).len(), 1);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_left_out() {
    let Served { list, registry: _registry, root, images, name } = served().await;
    pull(&images, &name).await.unwrap();
    let image = images.resolve(&name.familiar()).unwrap();
    let manifests = async || images.manifests(vec![Arc::clone(&image)]).await.unwrap().remove(0);
    assert_eq!(manifests().await.len(), 4);
    std::fs::write(root.path().join("blobs/sha256").join(list.hex()), "damaged").unwrap();
    assert_eq!(manifests().await.len(), 0);
}
