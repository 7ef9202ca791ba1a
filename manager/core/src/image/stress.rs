//! Many at once take images in, name them, give them out and take them away. Whenever they pause, all
//! that is named is there, and all that is there is named.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;
use tokio::sync::mpsc;

use super::archive::testing::{Member, tar_of};
use super::commit::Commit;
use super::testing::{Nobody, assert_empty, load, open};
use super::{Defaults, Images, Pull, Reference, RemoveImage};
use crate::error::Kind;
use crate::registry::Credentials;
use crate::registry::testing::{Honest, Scripted};

const WORKERS: usize = 4;
const ROUNDS: usize = 6;
const STEPS: usize = 15;

fn layer(number: usize) -> Vec<u8> {
    tar_of(&[
        Member::directory("etc"),
        Member::file(format!("etc/{number}"), &vec![b'x'; 4000 * (number + 1)]),
    ])
}

/// Images that share layers: each has the lowest, some the next, and one of its own.
fn stacks() -> Vec<Vec<Vec<u8>>> {
    (0..4).map(|own| (0..2).take(1 + own % 2).chain([10 + own]).map(layer).collect()).collect()
}

async fn registry() -> Scripted {
    let mut honest = Honest::default();
    for (number, layers) in stacks().iter().enumerate() {
        honest.image(&number.to_string(), layers);
    }
    Scripted::start(move |asked| honest.answer(asked)).await
}

/// One of those who work at once. What another has just taken away it does without.
async fn work(images: Arc<Images>, names: Vec<Reference>, archives: Vec<Vec<u8>>, number: usize) {
    for step in 0..STEPS {
        let (choice, name, archive) = {
            let mut random = rand::rng();
            let name = names.choose(&mut random).unwrap().clone();
            (random.random_range(0..7), name, archives.choose(&mut random).unwrap().clone())
        };
        let outcome = match choice {
            0 | 1 => {
                let (credentials, platform) = (Credentials::default(), None);
                let request = Pull { name, all_tags: false, platform, credentials };
                let (steps, mut told) = mpsc::channel(1);
                let pulling = images.pull(request, steps);
                let listening = async { while told.recv().await.is_some() {} };
                tokio::join!(pulling, listening).0
            }
            2 => load(&images, archive).await.map(drop),
            3 => images.tag(&name.familiar(), &format!("own:{number}")).await,
            4 => commit(&images, &name.familiar(), number * STEPS + step).await,
            5 => {
                let any = images.list().choose(&mut rand::rng()).cloned();
                match any {
                    Some(image) => {
                        let options = RemoveImage { force: true, ..RemoveImage::default() };
                        images
                            .remove(&image.id.to_string(), options, Arc::new(Nobody))
                            .await
                            .map(drop)
                    }
                    None => Ok(()),
                }
            }
            _ => match images.save(&[name.familiar()], None) {
                Ok(mut archive) => loop {
                    match archive.next().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                },
                Err(error) => Err(error),
            },
        };
        if let Err(error) = outcome {
            let gone = matches!(error.kind(), Kind::NotFound | Kind::Conflict);
            assert!(gone, "{choice}: {error}");
        }
    }
}

async fn commit(images: &Images, name: &str, number: usize) -> crate::error::Result<()> {
    let parent = images.resolve(name)?;
    let commit = Commit {
        parent: Some(parent.id),
        below: parent.top(),
        reference: Some(Reference::parse(&format!("made:{}", number % 3))?),
        author: String::new(),
        message: String::new(),
        created_by: String::new(),
        defaults: Defaults::default(),
    };
    let content = tar_of(&[Member::file(format!("made-{number}"), &vec![b'y'; 10_000])]);
    let pack = move |to: &mut super::Layering| {
        std::io::Write::write_all(to, &content)
            .map_err(|error| crate::error::Error::io("write", error))?;
        Ok(1)
    };
    images.commit(commit, pack).await.map(drop)
}

/// That the directories have what the images name, and nothing else.
fn assert_exact(images: &Images, root: &Path) {
    let (mut blobs, mut layers) = (BTreeSet::new(), BTreeSet::new());
    for image in images.list() {
        let catalog = &images.catalog;
        let record = catalog.read().image(image.id).unwrap().record.clone();
        assert!(catalog.is_whole(&record), "{record:?}");
        for blob in record.blobs() {
            catalog.blobs.verify(blob).unwrap();
            blobs.insert(blob.digest.hex());
        }
        for snapshot in catalog.layers.stack(image.top()).unwrap() {
            layers.insert(snapshot.number.to_string());
        }
    }
    let names = |directory: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root.join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("blobs/sha256"), blobs);
    // Those that are given up are deleted by another thread.
    let patience = Instant::now() + Duration::from_secs(20);
    while names("snapshots") != layers && Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!(names("snapshots"), layers);
    assert_eq!(names("ingest"), BTreeSet::new());
}

#[tokio::test]
async fn what_is_named_is_there_and_what_is_there_is_named() {
    let registry = registry().await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let names: Vec<Reference> =
        (0..stacks().len()).map(|number| registry.image(&format!("x:{number}"))).collect();
    let archives: Vec<Vec<u8>> = stacks().iter().map(|layers| archive(layers)).collect();
    for _ in 0..ROUNDS {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let work = work(Arc::clone(&images), names.clone(), archives.clone(), number);
                tokio::spawn(work)
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        // What an operation leaves to the next one.
        images.blocking(|catalog| Ok(catalog.collect())).await.unwrap();
        assert_exact(&images, root.path());
    }
    drop(images);
    let images = open(root.path());
    assert_exact(&images, root.path());
    images.prune(|_| true, Arc::new(Nobody)).await.unwrap();
    assert_empty(&images, root.path());
}

/// An archive in docker's form.
fn archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| super::Digest::of(layer).to_string()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["loaded"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": ["loaded:1"], "Layers": names }]);
    let mut members: Vec<Member> =
        names.iter().zip(layers).map(|(name, layer)| Member::file(name, layer)).collect();
    members.push(Member::file("config.json", config.to_string().as_bytes()));
    members.push(Member::file("manifest.json", manifest.to_string().as_bytes()));
    tar_of(&members)
}
