//! Archives of every form, and those that are wrong.

mod hostile;
mod platforms;

use std::io::Write;

use serde_json::{Value, json};

use crate::error::Kind;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::digest::Digest;
use crate::image::testing::{assert_empty, load, open, saved};
use crate::image::{Images, Reference};
use crate::registry::testing::until;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layer(name: &str) -> Vec<u8> {
    tar_of(&[Member::directory("etc"), Member::file(format!("etc/{name}"), name.as_bytes())])
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    serde_json::to_vec(&config).unwrap()
}

/// An archive in docker's form with one image.
fn docker(config: &[u8], layers: &[&[u8]], tags: &Value) -> Vec<Member> {
    let names: Vec<String> =
        (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": tags, "Layers": names }]);
    let mut members: Vec<Member> =
        names.iter().zip(layers).map(|(name, layer)| Member::file(name, layer)).collect();
    members.push(Member::file("config.json", config));
    members.push(Member::file("manifest.json", manifest.to_string().as_bytes()));
    members
}

/// A blob of an OCI layout and its descriptor.
fn blob(content: &[u8], media_type: &str) -> (Member, Value) {
    let digest = Digest::of(content);
    let descriptor =
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": content.len() });
    (Member::file(format!("blobs/sha256/{}", digest.hex()), content), descriptor)
}

async fn assert_refused(members: &[Member], text: &str) {
    assert_refused_bytes(tar_of(members), text).await;
}

async fn assert_refused_bytes(archive: Vec<u8>, text: &str) {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let error = load(&images, archive).await.unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
    assert!(matches!(error.kind(), Kind::Invalid | Kind::Unsupported), "{error:?}");
    assert_empty(&images, root.path());
}

fn file(images: &Images, name: &str, path: &str) -> Vec<u8> {
    let image = images.resolve(name).unwrap();
    let directories = images.snapshots().image_directories(&image).unwrap().1.unwrap();
    std::fs::read(directories.upper.join(path)).unwrap()
}

#[tokio::test]
async fn dockers_form_is_loaded_with_its_tags() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let (base, top) = (layer("base"), layer("top"));
    let config = config(&[&base, &top]);
    let packed = gzip(&top);
    let tags = json!(["web:1", "example.org/web:2"]);
    let archive = tar_of(&docker(&config, &[&base, &packed], &tags));
    for archive in [archive.clone(), gzip(&archive), zstd::encode_all(&archive[..], 1).unwrap()] {
        let loaded = load(&images, archive).await.unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].id.digest(), Digest::of(&config));
        let names: Vec<&str> = loaded[0].tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["web:1", "example.org/web:2"]);
        assert!(loaded[0].tags.iter().all(|tag| tag.taken_from.is_none()));
    }
    let image = images.resolve("web:1").unwrap();
    assert_eq!(images.list().len(), 1);
    assert_eq!(image.repo_tags(), ["web:1", "example.org/web:2"]);
    assert_eq!(image.size, 7);
    assert!(image.layers[1].blob.media_type.ends_with("+gzip"));
    assert_eq!(file(&images, "web:1", "etc/top"), b"top");
    // Two layers, and nothing twice.
    assert_eq!(std::fs::read_dir(root.path().join("snapshots")).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 3);
}

#[tokio::test]
async fn an_archive_of_old_with_links_between_layers_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let layer = layer("x");
    let config = config(&[&layer, &layer]);
    let manifest = json!([{
        "Config": "abc.json", "RepoTags": null, "Layers": ["two/layer.tar", "one/layer.tar"],
    }]);
    let archive = tar_of(&[
        Member::directory("one/"),
        Member::file("one/VERSION", b"1.0"),
        Member::file("one/json", b"{}"),
        Member::file("one/layer.tar", &layer),
        Member::directory("two/"),
        Member::symlink("two/layer.tar", "../one/layer.tar"),
        Member::file("abc.json", &config),
        Member::file("repositories", b"{}"),
        Member::file("manifest.json", manifest.to_string().as_bytes()),
    ]);
    let loaded = load(&images, archive).await.unwrap();
    assert!(loaded[0].tags.is_empty());
    assert_eq!(images.resolve(&loaded[0].id.to_string()).unwrap().layers.len(), 2);
}

#[tokio::test]
async fn a_tag_goes_from_the_image_that_had_it() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        let layer = layer(name);
        let archive = tar_of(&docker(&config(&[&layer]), &[&layer], &json!(["app:latest"])));
        let loaded = load(&images, archive).await.unwrap();
        assert_eq!(loaded[0].tags[0].taken_from, ids.last().copied());
        ids.push(loaded[0].id);
    }
    assert_eq!(images.resolve("app").unwrap().id, ids[1]);
    assert!(images.resolve(&ids[0].to_string()).unwrap().references.is_empty());
}

#[tokio::test]
async fn ocis_form_is_loaded_through_nested_indexes() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let content = layer("oci");
    let (layer_blob, layer) =
        blob(&zstd::encode_all(&content[..], 1).unwrap(), &format!("{LAYER}+zstd"));
    let (config_blob, config) = blob(&config(&[&content]), CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let (manifest_blob, mut manifest) = blob(manifest.to_string().as_bytes(), MANIFEST);
    let plain = manifest.clone();
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    manifest["platform"] = json!({ "os": "linux", "architecture": architecture });
    let elsewhere = json!({
        "mediaType": MANIFEST, "digest": Digest::of(b"not here").to_string(), "size": 8,
        "platform": { "os": "linux", "architecture": "s390x" },
    });
    let attestation = json!({
        "mediaType": MANIFEST, "digest": Digest::of(b"nor here").to_string(), "size": 8,
        "annotations": { "vnd.docker.reference.type": "attestation-manifest" },
        "platform": { "os": "unknown", "architecture": "unknown" },
    });
    let nested = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [elsewhere, attestation, manifest],
    });
    let (nested_blob, mut nested) = blob(nested.to_string().as_bytes(), INDEX);
    nested["annotations"] = json!({
        "io.containerd.image.name": "docker.io/library/nested:3",
        "org.opencontainers.image.ref.name": "3",
    });
    let mut named = plain.clone();
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "quay.io/a/b:c" });
    let index = json!({ "schemaVersion": 2, "manifests": [nested, named] });
    let archive = tar_of(&[
        Member::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        layer_blob,
        config_blob,
        manifest_blob,
        nested_blob,
        Member::file("index.json", index.to_string().as_bytes()),
    ]);
    let loaded = load(&images, archive).await.unwrap();
    assert_eq!(loaded.len(), 1, "both names are of the same image");
    assert_eq!(loaded[0].tags.len(), 2);
    let image = images.resolve("nested:3").unwrap();
    assert_eq!(image.repo_tags(), ["nested:3", "quay.io/a/b:c"]);
    assert_eq!(image.manifest.unwrap().to_string(), plain["digest"].as_str().unwrap());
    assert_eq!(file(&images, "nested:3", "etc/oci"), b"oci");
}

#[tokio::test]
async fn the_order_of_the_members_does_not_matter() {
    let (base, top) = (layer("base"), layer("top"));
    let mut members = docker(&config(&[&base, &top]), &[&base, &gzip(&top)], &json!(["a:b"]));
    for _ in 0..members.len() {
        members.rotate_left(1);
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        load(&images, tar_of(&members)).await.unwrap();
        assert_eq!(file(&images, "a:b", "etc/top"), b"top");
    }
}

#[tokio::test]
async fn a_layer_may_need_what_is_unpacked_at_the_same_time() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let large = vec![7; 4 << 20];
    let base = tar_of(&[Member::directory("srv"), Member::file("srv/first", &large)]);
    let middle = tar_of(&[Member::hard_link("srv/second", "srv/first")]);
    let top = tar_of(&[Member::hard_link("srv/third", "srv/second")]);
    let layers: [&[u8]; 3] = [&base, &middle, &top];
    load(&images, tar_of(&docker(&config(&layers), &layers, &json!(["a:b"])))).await.unwrap();
    assert!(file(&images, "a:b", "srv/third") == large);
}

#[tokio::test]
async fn words_that_oci_tools_call_an_image_by_become_its_name() {
    let content = layer("oci");
    let (layer_blob, layer) = blob(&content, LAYER);
    let (config_blob, config) = blob(&config(&[&content]), CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let (manifest_blob, mut entry) = blob(manifest.to_string().as_bytes(), MANIFEST);
    let mut members = vec![layer_blob, config_blob, manifest_blob];
    for (word, name) in [
        ("word", Some("word:latest")),
        ("localhost/a/b:c", Some("localhost/a/b:c")),
        ("No Name", None),
    ] {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": word });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        members.push(Member::file("index.json", index.to_string().as_bytes()));
        let loaded = load(&images, tar_of(&members)).await.unwrap();
        let names: Vec<&str> = loaded[0].tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, Vec::from_iter(name));
        members.pop();
    }
}

#[tokio::test]
async fn an_image_keeps_the_parent_that_comes_with_it() {
    let (base, top) = (layer("base"), layer("top"));
    let history = |steps: usize| json!(vec![json!({ "created_by": "step" }); steps]);
    let with_history = |layers: &[&[u8]], steps| {
        let mut config: Value = serde_json::from_slice(&config(layers)).unwrap();
        config["history"] = history(steps);
        serde_json::to_vec(&config).unwrap()
    };
    for (steps, is_kept) in [(2, true), (3, false)] {
        let parent = with_history(&[&base], 1);
        let child = with_history(&[&base, &top], steps);
        let manifest = json!([
            { "Config": "parent", "Layers": ["base"], "RepoTags": ["parent:1"] },
            {
                "Config": "child", "Layers": ["base", "top"], "RepoTags": ["child:1"],
                "Parent": Digest::of(&parent).to_string(),
            },
        ]);
        let archive = tar_of(&[
            Member::file("base", &base),
            Member::file("top", &top),
            Member::file("parent", &parent),
            Member::file("child", &child),
            Member::file("manifest.json", manifest.to_string().as_bytes()),
        ]);
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        load(&images, archive).await.unwrap();
        let parent = images.resolve("parent:1").unwrap().id;
        let kept = images.resolve("child:1").unwrap().parent;
        assert_eq!(kept, Some(parent).filter(|_| is_kept));
        // It goes where its child goes, and only with it.
        let again = tempfile::tempdir().unwrap();
        let copies = open(again.path());
        load(&copies, saved(&images, &["child", "parent"], None).await).await.unwrap();
        assert_eq!(copies.resolve("child:1").unwrap().parent, kept);
    }
}

#[tokio::test]
async fn many_at_once_share_what_they_have_in_common() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let base = layer("base");
    let mut loads = Vec::new();
    for number in 0..8 {
        let top = layer(&format!("top{number}"));
        let tag = json!([format!("app:{number}")]);
        let archive = tar_of(&docker(&config(&[&base, &top]), &[&base, &top], &tag));
        let images = std::sync::Arc::clone(&images);
        loads.push(tokio::spawn(async move { load(&images, archive).await }));
    }
    for load in loads {
        load.await.unwrap().unwrap();
    }
    assert_eq!(images.list().len(), 8);
    // What some unpacked in vain is deleted by another thread.
    until(|| std::fs::read_dir(root.path().join("snapshots")).unwrap().count() == 9).await;
    assert_eq!(std::fs::read_dir(root.path().join("ingest")).unwrap().count(), 0);
    let name = Reference::parse("app:5").unwrap();
    assert!(images.list().iter().any(|image| image.references == [name.clone()]));
}
