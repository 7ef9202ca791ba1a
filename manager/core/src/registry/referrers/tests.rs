//! Manifests that are about others, put into registries that find them and into others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;

use crate::image::Digest;
use crate::registry::testing::{Asked, Reply, Scripted, impatient};
use crate::registry::{Access, Credentials, ManifestKind, Registries};

/// A registry that keeps manifests, and may know of referrers: then it says so by a header, or by an
/// answer.
async fn keeping(
    answers: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static,
) -> (Scripted, Arc<Mutex<HashMap<String, Vec<u8>>>>) {
    let kept = Arc::new(Mutex::new(HashMap::new()));
    let manifests = Arc::clone(&kept);
    let registry = Scripted::start(move |asked| {
        let name = asked.path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut manifests = manifests.lock().unwrap();
        if asked.method == "PUT" {
            manifests.insert(name, asked.body.clone());
            return answers(asked).unwrap_or_else(|| Reply::new(201, ""));
        }
        answers(asked).unwrap_or_else(|| match manifests.get(&name) {
            Some(content) => Reply::new(200, content.clone()),
            None => Reply::error(404, "MANIFEST_UNKNOWN"),
        })
    })
    .await;
    (registry, kept)
}

/// A manifest that is about another one.
fn about(subject: Digest, what: &str) -> Bytes {
    let blob = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
        "digest": Digest::of(b"{}").to_string(),
    });
    let content = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/spdx+json", "config": blob, "layers": [blob],
        "subject": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": subject.to_string(), "size": 7,
        },
        "annotations": { "what": what },
    });
    content.to_string().into()
}

async fn put(registry: &Scripted, content: Bytes) {
    let registries = Registries::new(impatient());
    let name = registry.image("x");
    let session = registries.session(&name, Access::Push, Credentials::default()).await.unwrap();
    let digest = Digest::of(&content).to_string();
    session.put_manifest(&digest, ManifestKind::OciImage, content).await.unwrap();
}

#[tokio::test]
async fn what_is_about_another_manifest_is_listed_where_the_registry_does_not_find_it() {
    let (registry, kept) = keeping(|_| None).await;
    let subject = Digest::of(b"image");
    let (first, second) = (about(subject, "first"), about(subject, "second"));
    for content in [&first, &second, &first] {
        put(&registry, content.clone()).await;
    }
    let kept = kept.lock().unwrap();
    let list: serde_json::Value =
        serde_json::from_slice(&kept[&format!("sha256-{}", subject.hex())]).unwrap();
    assert_eq!(list["mediaType"], "application/vnd.oci.image.index.v1+json");
    let entries = list["manifests"].as_array().unwrap();
    let digests: Vec<_> = entries.iter().map(|entry| entry["digest"].clone()).collect();
    let expected = [&first, &second].map(|content| Digest::of(content).to_string());
    assert_eq!(digests, expected);
    assert_eq!(entries[0]["artifactType"], "application/spdx+json");
    assert_eq!(entries[1]["annotations"]["what"], "second");
    assert_eq!(entries[1]["size"], second.len());
}

#[tokio::test]
async fn no_list_is_kept_where_the_registry_finds_referrers() {
    let subject = Digest::of(b"image");
    let content = about(subject, "x");
    let by_header = move |asked: &Asked| {
        let put = asked.method == "PUT";
        put.then(|| Reply::new(201, "").with("OCI-Subject", subject.to_string()))
    };
    let (registry, kept) = keeping(by_header).await;
    put(&registry, content.clone()).await;
    assert_eq!(kept.lock().unwrap().len(), 1);
    assert!(registry.asked_for("/referrers/").is_empty());

    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::of(&content).to_string(), "size": content.len(),
    });
    let answer = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let by_answer = move |asked: &Asked| {
        let asked_for_them = asked.path.contains("/referrers/");
        asked_for_them.then(|| Reply::new(200, answer.clone()))
    };
    let (registry, kept) = keeping(by_answer).await;
    put(&registry, content).await;
    assert_eq!(kept.lock().unwrap().len(), 1);
}
