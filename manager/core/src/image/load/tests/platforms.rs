//! Archives with images for several platforms.

use super::*;
use crate::image::Platform;
use crate::image::digest::ImageId;

/// An image of a list, with all its blobs.
struct Variant {
    members: Vec<Member>,
    entry: Value,
    id: ImageId,
}

fn variant(architecture: &str) -> Variant {
    let content = layer(architecture);
    let (layer_blob, layer) = blob(&gzip(&content), &format!("{LAYER}+gzip"));
    let mut config: Value = serde_json::from_slice(&config(&[&content])).unwrap();
    config["architecture"] = json!(architecture);
    let (config_blob, config) = blob(config.to_string().as_bytes(), CONFIG);
    let id: Digest = config["digest"].as_str().unwrap().parse().unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let (manifest_blob, mut entry) = blob(manifest.to_string().as_bytes(), MANIFEST);
    entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    Variant { members: vec![layer_blob, config_blob, manifest_blob], entry, id: ImageId(id) }
}

/// What says something about an image.
fn attestation(about: &Value) -> (Vec<Member>, Value) {
    let (layer_blob, layer) = blob(b"{\"how\":\"built\"}", "application/vnd.in-toto+json");
    let (config_blob, config) = blob(b"{}", CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let (manifest_blob, mut entry) = blob(manifest.to_string().as_bytes(), MANIFEST);
    entry["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    entry["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": about["digest"],
    });
    (vec![layer_blob, config_blob, manifest_blob], entry)
}

/// An archive with a list of an image for this machine, one for another, and one that is left out;
/// and the ids of the two that are there.
fn archive() -> (Vec<u8>, [ImageId; 2]) {
    let host = Platform::host().architecture;
    let (here, there) = (variant(&host), variant("riscv64"));
    let (mut members, attested) = attestation(&here.entry);
    let left_out = variant("s390x").entry;
    let list = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [there.entry, left_out, here.entry, attested],
    });
    let (list_blob, mut list) = blob(list.to_string().as_bytes(), INDEX);
    list["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/multi:1" });
    let index = json!({ "schemaVersion": 2, "manifests": [list] });
    let ids = [here.id, there.id];
    members.extend(here.members);
    members.extend(there.members);
    members.push(list_blob);
    members.push(Member::file("index.json", index.to_string().as_bytes()));
    (tar_of(&members), ids)
}

fn riscv() -> Platform {
    Platform::parse("linux/riscv64").unwrap()
}

#[tokio::test]
async fn a_list_comes_and_goes_whole() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (archive, [here, there]) = archive();
    let loaded = load(&images, archive).await.unwrap();
    assert_eq!(loaded.iter().map(|image| image.id).collect::<Vec<_>>(), [here]);
    assert_eq!(loaded[0].tags[0].name, "multi:1");
    assert_eq!(images.resolve("multi:1").unwrap().id, here);
    assert_eq!(images.resolve_for("multi:1", Some(&riscv())).unwrap().id, there);

    // Lists, attestations and all: eleven blobs.
    let blobs = |root: &std::path::Path| {
        let mut names: Vec<_> = std::fs::read_dir(root.join("blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let again = tempfile::tempdir().unwrap();
    let copies = open(again.path());
    let archive = saved(&images, &["multi:1"], None).await;
    load(&copies, archive.clone()).await.unwrap();
    assert_eq!(blobs(again.path()), blobs(root.path()));
    assert_eq!(copies.resolve_for("multi:1", Some(&riscv())).unwrap().id, there);
    assert!(saved(&copies, &["multi:1"], None).await == archive);
}

#[tokio::test]
async fn one_platform_of_several_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (archive, [_, there]) = archive();
    let (quiet, _) = tokio::sync::mpsc::channel(1);
    let source = std::io::Cursor::new(archive.clone());
    let loaded = images.load(source, Some(riscv()), quiet.clone()).await.unwrap();
    assert_eq!(loaded.iter().map(|image| image.id).collect::<Vec<_>>(), [there]);
    assert_eq!(images.list().len(), 1);
    let absent = Platform::parse("linux/ppc64le").unwrap();
    let source = std::io::Cursor::new(archive);
    let error = images.load(source, Some(absent), quiet).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(images.list().len(), 1);
}

#[tokio::test]
async fn one_platform_of_several_is_saved() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (archive, [_, there]) = archive();
    load(&images, archive).await.unwrap();
    let one = saved(&images, &["multi:1"], Some(&riscv())).await;
    let again = tempfile::tempdir().unwrap();
    let copies = open(again.path());
    load(&copies, one).await.unwrap();
    assert_eq!(copies.resolve("multi:1").unwrap().id, there);
    assert_eq!(copies.list().len(), 1);
    let absent = Platform::parse("linux/ppc64le").unwrap();
    let error = images.save(&["multi:1".to_owned()], Some(&absent)).err().unwrap();
    assert!(error.to_string().starts_with("no suitable export target found"), "{error}");
}

#[tokio::test]
async fn a_manifest_beside_dockers_is_kept_if_it_was_not_made_up_for_the_archive() {
    for compressed in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        let content = layer("oci");
        let (stored, suffix) =
            if compressed { (gzip(&content), "+gzip") } else { (content.clone(), "") };
        let (layer_blob, layer) = blob(&stored, &format!("{LAYER}{suffix}"));
        let (config_blob, config) = blob(&config(&[&content]), CONFIG);
        let path = |of: &Value| of["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        let docker = json!([{
            "Config": path(&config), "Layers": [path(&layer)], "RepoTags": ["both:1"],
        }]);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let (manifest_blob, entry) = blob(manifest.to_string().as_bytes(), MANIFEST);
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        let archive = tar_of(&[
            layer_blob,
            config_blob,
            manifest_blob,
            Member::file("index.json", index.to_string().as_bytes()),
            Member::file("manifest.json", docker.to_string().as_bytes()),
        ]);
        let loaded = load(&images, archive).await.unwrap();
        assert_eq!((loaded.len(), loaded[0].tags.len()), (1, 1));
        assert_eq!(images.resolve("both:1").unwrap().manifest.is_some(), compressed);
    }
}
