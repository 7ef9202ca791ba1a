//! Pushes to registries that have some things already, break off, or take only parts.

mod platforms;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::{Push, PushStep, PushedLayer};
use crate::config::Config;
use crate::error::{Kind, Result};
use crate::events::Events;
use crate::image::archive::testing::{Member, tar_of};
use crate::image::digest::Digest;
use crate::image::testing::import;
use crate::image::{Images, Platform, Reference};
use crate::registry::Credentials;
use crate::registry::testing::{Asked, Ending, Reply, Scripted, impatient};
use crate::store::Store;

/// What was pushed.
#[derive(Default)]
struct Depot {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Blobs that it has in another repository.
    elsewhere: BTreeSet<String>,
    /// What came of the upload that is under way.
    upload: Vec<u8>,
}

impl Depot {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next();
            value.map(|value| value.replace("%3A", ":"))
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        match asked.method.as_str() {
            "HEAD" if self.blobs.contains_key(name) => Reply::new(200, ""),
            "HEAD" => Reply::new(404, ""),
            "POST" => match parameter("mount").filter(|digest| self.elsewhere.contains(digest)) {
                Some(_) => Reply::new(201, ""),
                None => {
                    self.upload.clear();
                    Reply::new(202, "").with("location", "/v2/up/1?state=a")
                }
            },
            "PATCH" => {
                self.upload.extend_from_slice(&asked.body);
                Reply::new(202, "").with("location", "/v2/up/1?state=b")
            }
            "GET" => Reply::new(204, "")
                .with("location", "/v2/up/1?state=c")
                .with("range", format!("0-{}", self.upload.len().saturating_sub(1))),
            "PUT" if path.contains("/manifests/") => {
                let media_type = asked.header("content-type").unwrap_or_default().to_owned();
                self.manifests.insert(name.to_owned(), (media_type, asked.body.clone()));
                Reply::new(201, "")
            }
            "PUT" => {
                self.upload.extend_from_slice(&asked.body);
                let content = std::mem::take(&mut self.upload);
                let digest = parameter("digest").unwrap_or_default();
                if Digest::of(&content).to_string() != digest {
                    return Reply::error(400, "DIGEST_INVALID");
                }
                self.blobs.insert(digest, content);
                Reply::new(201, "")
            }
            _ => Reply::new(405, ""),
        }
    }
}

/// A registry that keeps what is pushed; `change` may answer first.
async fn depot(
    change: impl Fn(&Asked, &mut Depot) -> Option<Reply> + Send + Sync + 'static,
) -> (Scripted, Arc<Mutex<Depot>>) {
    let depot = Arc::new(Mutex::new(Depot::default()));
    let kept = Arc::clone(&depot);
    let registry = Scripted::start(move |asked| {
        let mut depot = kept.lock().unwrap();
        change(asked, &mut depot).unwrap_or_else(|| depot.answer(asked))
    })
    .await;
    (registry, depot)
}

fn open(root: &Path) -> Arc<Images> {
    let config = Config { registry: impatient(), ..Config::with_roots(root, &root.join("run")) };
    let store = Arc::new(Store::open(&config.store_file()).unwrap());
    Images::open(&config, store, Events::new()).unwrap()
}

async fn push(images: &Arc<Images>, name: &Reference) -> Result<Vec<PushStep>> {
    push_for(images, name, None).await
}

async fn push_for(
    images: &Arc<Images>,
    name: &Reference,
    platform: Option<Platform>,
) -> Result<Vec<PushStep>> {
    let (steps, mut receiver) = mpsc::channel(64);
    let listening = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(step) = receiver.recv().await {
            told.push(step);
        }
        told
    });
    let request = Push { name: name.clone(), platform, credentials: Credentials::default() };
    images.push(request, steps).await?;
    Ok(listening.await.unwrap())
}

fn tree() -> Vec<u8> {
    let mut content = vec![0; 200_000];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut content);
    tar_of(&[Member::file("file", &content)])
}

fn was(told: &[PushStep], wanted: &PushedLayer) -> bool {
    told.iter().any(|step| matches!(step, PushStep::Layer { step, .. } if step == wanted))
}

#[tokio::test]
async fn an_image_goes_once_and_has_one_digest() {
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    let told = push(&images, &name).await.unwrap();
    assert!(was(&told, &PushedLayer::Pushed));
    let Some(PushStep::Done { tag, digest, size }) = told.last() else { panic!("{told:?}") };
    {
        let depot = depot.lock().unwrap();
        let (media_type, manifest) = &depot.manifests["1"];
        assert_eq!((tag.as_str(), *size), ("1", manifest.len() as u64));
        assert_eq!(*digest, Digest::of(manifest));
        assert_eq!(media_type, "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(depot.blobs.len(), 2);
    }
    let image = images.resolve(&name.familiar()).unwrap();
    assert_eq!(image.repo_digests(), [format!("{}/x@{digest}", registry.address)]);

    images.tag(&name.familiar(), &registry.image("x:2").familiar()).await.unwrap();
    let again = push(&images, &registry.image("x:2")).await.unwrap();
    assert!(was(&again, &PushedLayer::Known));
    assert!(matches!(again.last(), Some(PushStep::Done { digest: other, .. }) if other == digest));
    drop(images);
    let images = open(root.path());
    assert_eq!(images.resolve(&name.familiar()).unwrap().references.len(), 3);
}

#[tokio::test]
async fn all_tags_go_and_what_is_not_here_is_said() {
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    images.tag(&name.familiar(), &registry.image("x:2").familiar()).await.unwrap();
    push(&images, &registry.image("x")).await.unwrap();
    let tags: Vec<String> = depot.lock().unwrap().manifests.keys().cloned().collect();
    assert_eq!(tags, ["1", "2"]);
    let error = push(&images, &registry.image("x:3")).await.unwrap_err();
    assert!(error.to_string().starts_with("tag does not exist: "), "{error}");
    let error = push(&images, &registry.image("y:1")).await.unwrap_err();
    assert!(error.to_string().starts_with("An image does not exist locally with the tag: "));
}

#[tokio::test]
async fn a_layer_is_taken_from_another_repository() {
    let (registry, depot) = depot(|_, _| None).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("first:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    push(&images, &name).await.unwrap();
    {
        let mut depot = depot.lock().unwrap();
        let blobs = std::mem::take(&mut depot.blobs);
        depot.elsewhere.extend(blobs.into_keys());
    }
    let other = registry.image("second:1");
    images.tag(&name.familiar(), &other.familiar()).await.unwrap();
    let told = push(&images, &other).await.unwrap();
    assert!(was(&told, &PushedLayer::Mounted("first".to_owned())));
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on() {
    let (registry, depot) = depot(|asked, depot| {
        let first = asked.method == "PUT" && asked.body.len() > 10_000;
        if first {
            depot.upload = asked.body[..10_000].to_vec();
        }
        first
            .then(|| Reply::new(201, "x").ending(Ending::Cut(0)).with("content-length", "1"))
            .map(|reply| Reply { status: 502, ..reply })
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    push(&images, &name).await.unwrap();
    assert_eq!(depot.lock().unwrap().blobs.len(), 2);
    let asked = registry.asked();
    let part = asked.iter().find(|asked| asked.method == "PATCH").unwrap();
    assert!(part.header("content-range").unwrap().starts_with("10000-"));
}

#[tokio::test]
async fn what_is_too_large_at_once_goes_in_parts() {
    let (registry, depot) = depot(|asked, _| {
        let large = asked.method == "PUT" && asked.body.len() > 10_000;
        large.then(|| Reply::error(413, "SIZE_INVALID"))
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    push(&images, &name).await.unwrap();
    assert_eq!(depot.lock().unwrap().blobs.len(), 2);
}

#[tokio::test]
async fn what_is_not_allowed_is_said() {
    let (registry, _) = depot(|_, _| Some(Reply::error(403, "DENIED"))).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    let error = push(&images, &name).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.to_string().starts_with("denied"), "{error}");
}

#[tokio::test]
async fn a_registry_may_take_its_time_with_a_blob() {
    let (registry, _) = depot(|asked, depot| {
        let large = asked.method == "PUT" && asked.body.len() > 10_000;
        let late = Ending::After(3 * impatient().patience.stall);
        large.then(|| depot.answer(asked).ending(late))
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let name = registry.image("x:1");
    import(&images, &tree(), Some(&name.familiar())).await;
    push(&images, &name).await.unwrap();
    let sent = registry.asked_for("/v2/up/");
    assert_eq!(sent.iter().filter(|sent| sent.starts_with("PUT")).count(), 2, "{sent:?}");
}
