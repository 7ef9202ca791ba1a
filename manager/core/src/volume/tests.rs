//! Tests of volumes: what comes, what stays, and what goes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use super::*;
use crate::error::Kind;

/// Volumes in a directory of their own.
struct Bench {
    directory: tempfile::TempDir,
    store: Arc<Store>,
    events: Arc<Events>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_roots(directory.path(), directory.path());
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        Self { directory, store, events: Events::new() }
    }

    /// The volumes as a new manager finds them.
    fn open(&self) -> Arc<Volumes> {
        let config = Config::with_roots(self.directory.path(), self.directory.path());
        Volumes::open(&config, Arc::clone(&self.store), Arc::clone(&self.events)).unwrap()
    }

    /// What was told of volumes so far.
    fn told(&self) -> Vec<String> {
        let (past, _) = self.events.subscribe(Some(Timestamp::UNIX_EPOCH));
        past.iter().map(|event| format!("{} {}", event.action, event.actor_id)).collect()
    }
}

fn provide_here(volumes: &Volumes, user: &str, name: Option<&str>) -> Volume {
    let name = name.map(str::to_owned);
    volumes.provide(user, NewVolume { name, ..NewVolume::default() }).unwrap()
}

/// The same among others who wait: where one may wait for plugins.
async fn provide(volumes: &Arc<Volumes>, user: &str, name: Option<&str>) -> Volume {
    let (volumes, user, name) = (Arc::clone(volumes), user.to_owned(), name.map(str::to_owned));
    blocking(move || Ok(provide_here(&volumes, &user, name.as_deref()))).await.unwrap()
}

fn named(name: &str) -> NewVolume {
    NewVolume { name: Some(name.to_owned()), ..NewVolume::default() }
}

fn nothing(_: &crate::store::Transaction) -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn a_volume_keeps_what_was_said_of_it_across_managers() {
    let bench = Bench::new();
    let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
    let new = NewVolume { labels: labels.clone(), ..named("data") };
    let made = bench.open().create(new).await.unwrap();
    let volumes = bench.open();
    let found = volumes.find("data").await.unwrap();
    assert_eq!(found, made);
    assert!(found.labels == labels && !found.anonymous && found.path.is_dir());
    // Made again, it stays what it is.
    assert_eq!(volumes.create(named("data")).await.unwrap(), made);
    assert_eq!(volumes.list().await.unwrap().volumes, [made]);
    assert_eq!(bench.told(), ["create data"]);
}

#[tokio::test]
async fn a_volume_without_a_name_is_anonymous() {
    let bench = Bench::new();
    let made = bench.open().create(NewVolume::default()).await.unwrap();
    assert!(made.anonymous && made.name.len() == 64, "{made:?}");
    let error = bench.open().create(named("a/b")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_volume_goes_when_no_container_uses_it() {
    let bench = Bench::new();
    let volumes = bench.open();
    let error = volumes.remove("data", Force::No).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.to_string(), "get data: no such volume");
    let volume = provide(&volumes, "c1", Some("data")).await;
    std::fs::write(volume.path.join("file"), "content").unwrap();
    volumes.commit(std::slice::from_ref(&volume), nothing).unwrap();
    volumes.hold("c2", "data");
    let error = volumes.remove("data", Force::No).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(error.to_string(), "remove data: volume is in use - [c1, c2]");
    for user in ["c1", "c2"] {
        volumes.leave(user, Vec::new(), nothing).unwrap();
    }
    assert_eq!(volumes.size("data").await.unwrap(), 7);
    volumes.remove("data", Force::No).await.unwrap();
    assert!(volumes.list().await.unwrap().volumes.is_empty());
    assert_eq!(std::fs::read_dir(&volumes.root).unwrap().count(), 0);
    assert_eq!(bench.told(), ["create data", "destroy data"]);
}

#[tokio::test]
async fn an_anonymous_volume_goes_with_the_last_container_that_uses_it() {
    let bench = Bench::new();
    let volumes = bench.open();
    let volume = provide(&volumes, "c1", None).await;
    volumes.commit(std::slice::from_ref(&volume), nothing).unwrap();
    provide(&volumes, "c2", Some(&volume.name)).await;
    volumes.leave("c1", vec![volume.name.clone()], nothing).unwrap();
    assert!(volume.path.is_dir());
    volumes.leave("c2", vec![volume.name.clone()], nothing).unwrap();
    assert!(!volume.path.exists());
    assert!(volumes.list().await.unwrap().volumes.is_empty());
}

#[tokio::test]
async fn what_a_container_that_failed_was_given_goes_unless_another_has_it() {
    let bench = Bench::new();
    let volumes = bench.open();
    let lost = [provide(&volumes, "c1", None).await, provide(&volumes, "c1", Some("lost")).await];
    let shared = provide(&volumes, "c1", Some("shared")).await;
    provide(&volumes, "c2", Some("shared")).await;
    let made = provide(&volumes, "c1", Some("made")).await;
    volumes.create(named("made")).await.unwrap();
    volumes.give_up("c1").unwrap();
    assert!(lost.iter().all(|volume| !volume.path.exists()));
    assert!(shared.path.is_dir() && made.path.is_dir());
    assert_eq!(volumes.find("made").await.unwrap().users, Vec::<String>::new());
}

#[tokio::test]
async fn pruning_takes_what_is_chosen_and_unused() {
    let bench = Bench::new();
    let volumes = bench.open();
    for name in ["used", "kept", "goes"] {
        volumes.create(named(name)).await.unwrap();
    }
    volumes.hold("c1", "used");
    std::fs::write(volumes.content("goes").join("file"), "content").unwrap();
    let pruned = volumes.prune(|volume| volume.name != "kept").await.unwrap();
    assert_eq!(pruned, Pruned { names: vec!["goes".to_owned()], bytes: 7 });
    let left: Vec<_> = volumes.list().await.unwrap().volumes.into_iter().map(|v| v.name).collect();
    assert_eq!(left, ["kept", "used"]);
}

#[test]
fn a_volume_without_a_record_is_swept() {
    let bench = Bench::new();
    let volumes = bench.open();
    let kept = provide_here(&volumes, "c1", Some("data"));
    volumes.commit(&[kept.clone(), kept.clone()], nothing).unwrap();
    let lost = provide_here(&volumes, "c1", None);
    let half_removed = volumes.root.join(format!("{ASIDE}x"));
    std::fs::create_dir(&half_removed).unwrap();
    assert!(lost.path.is_dir());
    bench.open();
    assert!(kept.path.is_dir() && !lost.path.exists() && !half_removed.exists());
}

#[tokio::test]
async fn a_renaming_that_was_broken_off_is_ended() {
    let bench = Bench::new();
    let volumes = bench.open();
    for moved in [false, true] {
        let (old, new) = (format!("old-{moved}"), format!("new-{moved}"));
        volumes.create(named(&old)).await.unwrap();
        std::fs::write(volumes.content(&old).join("file"), "content").unwrap();
        let record = volumes.record(&old).unwrap();
        let record = VolumeRecord { renamed_from: Some(old.clone()), ..record };
        let write = |change: &crate::store::Transaction| {
            change.delete(&RECORDS, &old)?;
            change.put(&RECORDS, &new, &record)
        };
        bench.store.write(write).unwrap();
        if moved {
            std::fs::rename(volumes.root.join(&old), volumes.root.join(&new)).unwrap();
        }
        let volumes = bench.open();
        assert!(volumes.content(&new).join("file").exists() && !volumes.root.join(&old).exists());
        assert_eq!(volumes.record(&new).unwrap().renamed_from, None);
    }
}

#[tokio::test]
async fn what_is_looked_into_stays_what_it_is() {
    let bench = Bench::new();
    let volumes = bench.open();
    volumes.create(named("data")).await.unwrap();
    let (_, held) = volumes.hold_to_look("data", "it is read").unwrap();
    let error = volumes.remove("data", Force::Yes).await.unwrap_err();
    assert!(
        error.to_string().starts_with("remove data: volume is in use - [it is read"),
        "{error}"
    );
    assert_eq!(volumes.rename("data", "other").await.unwrap_err().kind(), Kind::Conflict);
    drop(held);
    volumes.rename("data", "other").await.unwrap();
    let clone = CloneAs { name: Some("third".to_owned()), labels: None };
    volumes.clone_volume("other", clone).await.unwrap();
    assert_eq!(bench.told(), ["create data", "rename other", "create third"]);
}

#[test]
fn only_an_empty_volume_is_filled() {
    let bench = Bench::new();
    let volumes = bench.open();
    let image = bench.directory.path().join("image");
    std::fs::create_dir_all(image.join("a/b")).unwrap();
    std::fs::write(image.join("a/file"), "content").unwrap();
    std::os::unix::fs::symlink("file", image.join("a/link")).unwrap();
    let volume = provide_here(&volumes, "c1", None);
    let from = std::fs::File::open(&image).unwrap();
    let to = std::fs::File::open(&volume.path).unwrap();
    for _ in 0..2 {
        volumes.fill(&volume, to.as_fd(), from.as_fd(), None).unwrap();
    }
    let link = std::fs::read_link(volume.path.join("a/link")).unwrap();
    assert_eq!(link, Path::new("file"));
    assert_eq!(std::fs::read_to_string(volume.path.join("a/file")).unwrap(), "content");
    assert!(volume.path.join("a/b").is_dir());
}

#[test]
fn a_volume_goes_however_deep_it_is() {
    let bench = Bench::new();
    let volumes = bench.open();
    let volume = provide_here(&volumes, "c1", None);
    nest(&volume.path, 20_000);
    volumes.give_up("c1").unwrap();
    assert!(!volume.path.exists());
}

#[test]
fn an_image_that_is_nested_too_deeply_fills_no_volume() {
    let bench = Bench::new();
    let volumes = bench.open();
    let image = bench.directory.path().join("image");
    std::fs::create_dir(&image).unwrap();
    nest(&image, 20_000);
    let volume = provide_here(&volumes, "c1", None);
    let from = std::fs::File::open(&image).unwrap();
    let to = std::fs::File::open(&volume.path).unwrap();
    let error = volumes.fill(&volume, to.as_fd(), from.as_fd(), None).unwrap_err();
    assert!(error.to_string().contains("nested"), "{error}");
    delete::tree(&image).unwrap();
    volumes.give_up("c1").unwrap();
}

fn nest(top: &Path, depth: usize) {
    use rustix::fs::{Mode, OFlags};
    let open = |at: BorrowedFd<'_>| {
        rustix::fs::mkdirat(at, "d", Mode::RWXU).unwrap();
        rustix::fs::openat(at, "d", OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let top = std::fs::File::open(top).unwrap();
    let mut here = open(top.as_fd());
    for _ in 1..depth {
        here = open(here.as_fd());
    }
}
