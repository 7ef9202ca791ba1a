//! Archives that are damaged, that contradict themselves, or that mean harm: each is refused with a
//! reason, and leaves nothing.

use super::*;

#[tokio::test]
async fn archives_that_are_none_are_refused() {
    assert_refused_bytes(Vec::new(), "it is empty").await;
    assert_refused_bytes(b"hello".to_vec(), "not a tar archive").await;
    assert_refused_bytes(vec![b'x'; 4096], "invalid tar header").await;
    assert_refused(&[], "does not contain a manifest.json").await;
    assert_refused(&[Member::file("manifest.json", b"null")], "cannot be null").await;
    assert_refused(&[Member::file("manifest.json", b"[{}]")], "failed to decode").await;
    assert_refused(&[Member::file("manifest.json", b"{")], "failed to decode").await;
    assert_refused(&[Member::file("index.json", b"[]")], "failed to decode").await;
    assert_refused(&[Member::symlink("manifest.json", "/etc/passwd")], "does not contain").await;
    assert_refused(&[Member::symlink("manifest.json", "manifest.json")], "does not contain").await;
    assert_refused(&[Member::device("manifest.json", 1, 5)], "no plain file").await;
    let whole = tar_of(&docker(&config(&[&layer("x")]), &[&layer("x")], &json!(["a:b"])));
    assert_refused_bytes(whole[..700].to_vec(), "cut off").await;
    assert_refused_bytes(gzip(&whole)[..200].to_vec(), "cut off").await;
    assert_refused_bytes(b"BZh91AY".to_vec(), "bzip2 compression").await;
}

#[tokio::test]
async fn images_that_contradict_themselves_are_refused() {
    let good = layer("good");
    let config = config(&[&good]);
    let none = json!(null);
    assert_refused(&docker(b"{}", &[&good], &none), "no RootFS key").await;
    assert_refused(&docker(b"nonsense", &[&good], &none), "can't be read").await;
    assert_refused(&docker(&config, &[], &none), "layers length mismatch").await;
    assert_refused(&docker(&config, &[&good, &good], &none), "layers length mismatch").await;
    let many = [&good[..]; 1001];
    let of_many = super::config(&many);
    assert_refused(&docker(&of_many, &many, &none), "max depth exceeded").await;
    assert_refused(&docker(&config, &[&layer("bad")], &none), "invalid diffID for layer 0").await;
    assert_refused(&docker(&config, &[b"no tar"], &none), "layer 0").await;
    assert_refused(&docker(&config, &[&good], &json!(["Bad:tag"])), "must be lowercase").await;
    assert_refused(&docker(&config, &[&good], &json!(["untagged"])), "invalid tag").await;
    let mut members = docker(&config, &[&good], &none);
    members.remove(0);
    assert_refused(&members, "\"0/layer.tar\" is named in it, but not there").await;
    let mut members = docker(&config, &[&good], &none);
    members.remove(1);
    assert_refused(&members, "\"config.json\" is named in it, but not there").await;
}

#[tokio::test]
async fn a_false_copy_of_a_known_layer_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let good = layer("good");
    let config = config(&[&good]);
    load(&images, tar_of(&docker(&config, &[&good], &json!(["a:b"])))).await.unwrap();
    let forged = tar_of(&docker(&config, &[&layer("bad")], &json!(["a:c"])));
    let error = load(&images, forged).await.unwrap_err();
    assert!(error.to_string().contains("invalid diffID"), "{error}");
    assert!(images.resolve("a:c").is_err());
    assert!(images.resolve("a:b").is_ok());
    assert_eq!(std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 2);
}

#[tokio::test]
async fn of_two_images_none_is_loaded_if_one_is_wrong() {
    let good = layer("good");
    let manifest = json!([
        { "Config": "good.json", "RepoTags": ["good:1"], "Layers": ["layer.tar"] },
        { "Config": "bad.json", "RepoTags": ["bad:1"], "Layers": ["layer.tar"] },
    ]);
    let members = [
        Member::file("layer.tar", &good),
        Member::file("good.json", &config(&[&good])),
        Member::file("bad.json", &config(&[&layer("other")])),
        Member::file("manifest.json", manifest.to_string().as_bytes()),
    ];
    assert_refused(&members, "invalid diffID").await;
}

#[tokio::test]
async fn an_oci_blob_that_is_not_what_it_says_is_refused() {
    let (_, mut descriptor) = blob(b"{}", MANIFEST);
    let digest = Digest::of(b"{}");
    let lying = Member::file(format!("blobs/sha256/{}", digest.hex()), b"[]");
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    let index = Member::file("index.json", index.to_string().as_bytes());
    assert_refused(&[lying, index], "2 bytes with the digest").await;
    descriptor["digest"] = json!("sha512:00");
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    assert_refused(&[Member::file("index.json", index.to_string().as_bytes())], "").await;
}

#[tokio::test]
async fn the_cause_of_a_failure_is_told_and_not_what_follows_from_it() {
    let (base, good) = (layer("base"), tar_of(&[Member::hard_link("etc/other", "etc/base")]));
    let layers: [&[u8]; 3] = [&base, &good, &good];
    let config = config(&layers);
    // The uppermost layers wait for the lowest, which never comes.
    let cut: [&[u8]; 3] = [&base[..700], &good, &good];
    assert_refused(&docker(&config, &cut, &json!(null)), "layer 0").await;
}

#[tokio::test]
async fn a_member_that_is_there_twice_must_be_the_same() {
    let good = layer("good");
    let mut members = docker(&config(&[&good]), &[&good], &json!(["a:b"]));
    members.push(Member::file("0/layer.tar", &good));
    let root = tempfile::tempdir().unwrap();
    load(&open(root.path()), tar_of(&members)).await.unwrap();
    members.push(Member::file("./0/layer.tar", &layer("bad")));
    assert_refused(&members, "two different members called \"0/layer.tar\"").await;
    members.pop();
    members.push(Member::symlink("0/layer.tar", "../config.json"));
    assert_refused(&members, "two different members").await;
}

#[tokio::test]
async fn paths_that_lead_out_of_the_archive_lead_nowhere() {
    let good = layer("good");
    let with = |layer_path: &str| {
        let manifest = json!([{ "Config": "config.json", "Layers": [layer_path] }]);
        vec![
            Member::file("config.json", &config(&[&good])),
            Member::file("manifest.json", manifest.to_string().as_bytes()),
        ]
    };
    for path in ["../../etc/passwd", "/etc/passwd", "x/../../../etc/passwd"] {
        assert_refused(&with(path), "is named in it, but not there").await;
    }
    let mut members = with("link");
    members.push(Member::symlink("link", "../../../../etc/passwd"));
    assert_refused(&members, "is named in it, but not there").await;
    members.push(Member::symlink("a", "b"));
    members.push(Member::symlink("b", "a"));
    assert_refused(&members, "is named in it, but not there").await;
    let beyond = [Member::file("../manifest.json", b"[]")];
    let root = tempfile::tempdir().unwrap();
    // Whatever becomes of it, it stays inside.
    let _ = load(&open(root.path()), tar_of(&beyond)).await;
    assert!(!root.path().parent().unwrap().join("manifest.json").exists());
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let links = (0..70_000).map(|number| Member::symlink(number.to_string(), "manifest.json"));
    assert_refused(&links.collect::<Vec<_>>(), "too many members").await;
    let spaces = vec![b' '; 17 << 20];
    assert_refused(&[Member::file("manifest.json", &spaces)], "17825792 bytes").await;
    assert_refused(&[Member::file("x".repeat(600), b"")], "path is too long").await;
    let long = "x".repeat(600);
    assert_refused(&[Member::symlink("a", &long)], "target is too long").await;
}

#[tokio::test]
async fn lists_in_lists_end_somewhere() {
    let mut members = Vec::new();
    let mut inner = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    for _ in 0..6 {
        let (member, entry) = blob(inner.to_string().as_bytes(), INDEX);
        members.push(member);
        inner = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    }
    members.push(Member::file("index.json", inner.to_string().as_bytes()));
    assert_refused(&members, "nested too deep").await;
}

#[tokio::test]
async fn an_oci_blob_that_is_missing_is_named() {
    let content = layer("oci");
    let (layer_blob, layer) = blob(&content, LAYER);
    let (config_blob, config) = blob(&config(&[&content]), CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let (manifest_blob, entry) = blob(manifest.to_string().as_bytes(), MANIFEST);
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    let index = || Member::file("index.json", index.to_string().as_bytes());
    let missing =
        |what: &Value| format!("the blob {} is missing", what["digest"].as_str().unwrap());
    assert_refused(&[config_blob, index()], &missing(&entry)).await;
    assert_refused(&[layer_blob, manifest_blob, index()], &missing(&config)).await;
}

#[tokio::test]
async fn a_tag_with_a_digest_is_refused() {
    let layer = layer("x");
    let digest = Digest::of(b"x");
    let tags = json!([format!("web:1@{digest}")]);
    let archive = docker(&config(&[&layer]), &[&layer], &tags);
    assert_refused(&archive, "refusing to create a tag with a digest reference").await;
}

#[tokio::test]
async fn what_is_listed_too_often_is_refused_before_it_is_looked_at() {
    let item = json!({ "Config": "config.json", "Layers": [] });
    let manifest = serde_json::to_vec(&vec![item; 20_000]).unwrap();
    assert_refused(&[Member::file("manifest.json", &manifest)], "it lists 20000 images").await;
    // Lists of lists of lists, a hundred million in the end.
    let mut members = Vec::new();
    let mut content = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    for _ in 0..3 {
        let entry = json!({
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": Digest::of(&content).to_string(),
            "size": content.len(),
        });
        let path = format!("blobs/sha256/{}", Digest::of(&content).hex());
        members.push(Member::file(&path, &content));
        let list = json!({ "schemaVersion": 2, "manifests": vec![entry; 500] });
        content = serde_json::to_vec(&list).unwrap();
    }
    let one: serde_json::Value = serde_json::from_slice(&content).unwrap();
    let one = json!({ "schemaVersion": 2, "manifests": [one["manifests"][0]] });
    members.push(Member::file("index.json", one.to_string().as_bytes()));
    assert_refused(&members, "none of the images of the list").await;
}
