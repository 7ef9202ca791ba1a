//! The life of images, from the outside.

use std::io::Cursor;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::archive::testing::{Member, tar_of};
use super::testing::{assert_empty, import, load, open, open_with, saved};
use super::*;
use crate::error::Kind;

/// Containers of an image, as a test wants them.
struct Users(Vec<ImageUser>);

impl ImageUsers for Users {
    fn containers_using(&self, _: &ImageId) -> Vec<ImageUser> {
        self.0.clone()
    }
}

fn nobody() -> Arc<Users> {
    Arc::new(Users(Vec::new()))
}

fn user(running: bool) -> Arc<Users> {
    let id = "0123456789abcdef".to_owned();
    Arc::new(Users(vec![ImageUser { id, name: "box".to_owned(), running }]))
}

fn tar(name: &str) -> Vec<u8> {
    tar_of(&[Member::file(name, name.as_bytes())])
}

const GENTLY: RemoveImage =
    RemoveImage { force: false, platforms: Vec::new(), keep_parents: false };
const FORCE: RemoveImage = RemoveImage { force: true, platforms: Vec::new(), keep_parents: false };

#[tokio::test]
async fn an_import_makes_an_image_of_one_layer() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let request = Import {
        reference: Some(Reference::parse("mine").unwrap()),
        message: "made here".to_owned(),
        changes: vec!["CMD [\"/init\"]".to_owned(), "ENV A=b".to_owned()],
        platform: Some("linux/arm64".to_owned()),
    };
    let packed = zstd::encode_all(&tar("init")[..], 1).unwrap();
    let id = images.import(Cursor::new(packed.clone()), request).await.unwrap();
    let image = images.resolve("mine").unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.config.architecture, "arm64");
    assert_eq!(image.config.comment, "made here");
    assert_eq!(image.config.defaults.cmd.as_deref().unwrap(), ["/init"]);
    assert_eq!(image.layers[0].diff_id.digest(), Digest::of(&tar("init")));
    assert_eq!(image.layers[0].blob.digest, Digest::of(&packed));
    assert_eq!(image.size, 4);
    let history = images.history("mine", None).unwrap();
    assert_eq!((history[0].id, history[0].size), (Some(id), 4));
    assert_eq!(history[0].tags, ["mine:latest"]);
    assert_eq!(history[0].comment, "made here");
}

#[tokio::test]
async fn an_import_that_fails_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let whole = tar("x");
    let changes = vec!["RUN x".to_owned()];
    let attempts = [
        (whole[..600].to_vec(), Import::default()),
        (vec![1; 3000], Import::default()),
        (whole.clone(), Import { changes, ..Import::default() }),
        (whole, Import { platform: Some("windows".to_owned()), ..Import::default() }),
        (tar_of(&[Member::hard_link("a", "b")]), Import::default()),
    ];
    for (archive, request) in attempts {
        let error = images.import(Cursor::new(archive), request).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert_empty(&images, root.path());
    }
}

#[tokio::test]
async fn images_are_found_by_every_name() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    images.tag("web:1", "example.org/web").await.unwrap();
    let id = image.id.to_string();
    let hex = image.id.digest().hex();
    for name in
        ["web:1", "docker.io/library/web:1", "example.org/web", &id, &hex, &id[..14], &hex[..5]]
    {
        assert_eq!(images.resolve(name).unwrap().id, image.id, "{name}");
    }
    for (name, text) in [
        ("web", "No such image: web:latest"),
        ("other:2", "No such image: other:2"),
        (&"0".repeat(64), "No such image: sha256:000"),
    ] {
        let error = images.resolve(name).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().starts_with(text), "{error}");
    }
    assert_eq!(images.resolve("Web").unwrap_err().kind(), Kind::Invalid);
    assert_eq!(images.tag("web:1", "a@sha256:b").await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(images.tag("gone", "b").await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_last_name_takes_the_image_along() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    images.tag("web:1", "web:2").await.unwrap();
    let removed = images.remove("web:1", GENTLY, user(false)).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("web:1".to_owned())]);
    let removed = images.remove("web:2", GENTLY, nobody()).await.unwrap();
    assert_eq!(
        removed,
        [
            Removed::Untagged("web:2".to_owned()),
            Removed::Deleted(image.id.to_string()),
            Removed::Deleted(image.layers[0].chain_id.to_string()),
        ]
    );
    assert_empty(&images, root.path());
    let error = images.remove("web:2", GENTLY, nobody()).await.unwrap_err();
    assert_eq!(error.to_string(), "No such image: web:2");
}

#[tokio::test]
async fn what_is_in_the_way_of_a_removal_is_said_in_dockers_words() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    let (id, short) = (image.id.to_string(), image.id.short());
    let conflict = async |name: &str, options, users: Arc<Users>| {
        let error = images.remove(name, options, users).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        error.to_string()
    };
    assert_eq!(
        conflict("web:1", GENTLY, user(false)).await,
        format!(
            "conflict: unable to remove repository reference \"web:1\" (must force) - container \
             0123456789ab is using its referenced image {short}"
        )
    );
    assert_eq!(
        conflict(&id, GENTLY, user(false)).await,
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped \
             container 0123456789ab"
        )
    );
    assert_eq!(
        conflict(&id, FORCE, user(true)).await,
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by \
             running container 0123456789ab"
        )
    );
    images.tag("web:1", "other").await.unwrap();
    assert_eq!(
        conflict(&id[..12], GENTLY, nobody()).await,
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in \
             multiple repositories"
        )
    );
    assert_eq!(images.remove(&id, FORCE, nobody()).await.unwrap().len(), 4);
    assert_empty(&images, root.path());
}

#[tokio::test]
async fn a_forced_name_goes_and_the_used_image_stays() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    for running in [true, false] {
        images.tag(&image.id.to_string(), "web:1").await.unwrap();
        let removed = images.remove("web:1", FORCE, user(running)).await.unwrap();
        assert_eq!(removed, [Removed::Untagged("web:1".to_owned())]);
        assert!(images.resolve(&image.id.to_string()).unwrap().references.is_empty());
    }
}

#[tokio::test]
async fn layers_stay_while_a_container_stands_on_them() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    images.snapshots().prepare("box", &image, None).await.unwrap();
    images.remove(&image.id.to_string(), FORCE, user(false)).await.unwrap();
    let lower = images.snapshots().directories("box").unwrap().1.unwrap().lower;
    assert!(std::path::Path::new(&lower).join("a").exists());
    assert_eq!(images.snapshots().prepare("late", &image, None).await.unwrap(), ());
    drop(images);
    let images = open(root.path());
    assert!(std::path::Path::new(&lower).join("a").exists());
    images.snapshots().remove("box").await.unwrap();
    images.snapshots().remove("late").await.unwrap();
    assert_empty(&images, root.path());
    assert_eq!(
        images.snapshots().prepare("x", &image, None).await.unwrap_err().kind(),
        Kind::NotFound
    );
}

#[tokio::test]
async fn what_is_saved_is_loaded_again() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let first = import(&images, &tar("a"), Some("web:1")).await;
    let packed = zstd::encode_all(&tar("b")[..], 1).unwrap();
    let second = import(&images, &packed, Some("web:2")).await;
    images.tag("web:2", "other").await.unwrap();

    let archive = saved(&images, &["web", &first.id.to_string()], None).await;
    let copy = tempfile::tempdir().unwrap();
    let copies = open(copy.path());
    let mut loaded = load(&copies, archive.clone()).await.unwrap();
    loaded.sort_by(|one, other| one.tags[0].name.cmp(&other.tags[0].name));
    assert_eq!(loaded.iter().map(|image| image.id).collect::<Vec<_>>(), [first.id, second.id]);
    assert_eq!(loaded[1].tags.len(), 1, "only the names that were asked for");
    assert_eq!(copies.resolve("web:2").unwrap().layers, second.layers);

    // The same images make the same archive, also by way of OCI's index.
    let again = saved(&copies, &["web"], None).await;
    assert!(again == archive);
    let error = images.save(&["gone".to_owned()], None).err().unwrap();
    assert_eq!(error.to_string(), "No such image: gone");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let before = {
        let images = open(root.path());
        import(&images, &tar("a"), Some("web:1")).await;
        images.tag("web:1", "other").await.unwrap();
        images.resolve("other").unwrap()
    };
    let after = open(root.path()).resolve("web:1").unwrap();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[tokio::test]
async fn an_image_whose_data_is_gone_is_dropped_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    for part in ["blobs/sha256", "snapshots"] {
        {
            let images = open(root.path());
            import(&images, &tar("a"), Some("web:1")).await;
        }
        for entry in std::fs::read_dir(root.path().join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::write(path, "").unwrap();
            }
        }
        assert_empty(&open(root.path()), root.path());
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_looked_at_is_not_dropped() {
    let root = tempfile::tempdir().unwrap();
    let image = import(&open(root.path()), &tar("a"), Some("web:1")).await;
    let file_of = |directory: &str| {
        let mut entries = std::fs::read_dir(root.path().join(directory)).unwrap();
        entries.next().unwrap().unwrap().path()
    };
    let config = root.path().join("blobs/sha256").join(image.id.digest().hex());
    let layer = root.path().join("blobs/sha256").join(image.layers[0].blob.digest.hex());
    let aside = root.path().join("elsewhere");
    for place in [config, layer, file_of("snapshots")] {
        std::fs::rename(&place, &aside).unwrap();
        // Whoever looks at it is told of an error that isn't that it is gone.
        std::os::unix::fs::symlink(&place, &place).unwrap();
        let settings = Config::with_roots(root.path(), &root.path().join("run"));
        let store = Arc::new(Store::open(&settings.store_file()).unwrap());
        let error = Images::open(&settings, store, Events::new()).err().unwrap().to_string();
        assert!(error.contains("look at"), "{error}");
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&aside, &place).unwrap();
        assert_eq!(open(root.path()).resolve("web:1").unwrap().id, image.id);
    }
}

#[tokio::test]
async fn listeners_are_told() {
    let root = tempfile::tempdir().unwrap();
    let events = Events::new();
    let images = open_with(root.path(), Arc::clone(&events));
    let request = Import {
        reference: Some(Reference::parse("web").unwrap()),
        changes: vec!["LABEL a=b".to_owned()],
        ..Import::default()
    };
    let id = images.import(Cursor::new(tar("a")), request).await.unwrap().to_string();
    images.tag("web", "other").await.unwrap();
    images.remove("other", GENTLY, nobody()).await.unwrap();
    images.remove("web", GENTLY, nobody()).await.unwrap();
    let (past, _) = events.subscribe(Some(Timestamp::UNIX_EPOCH));
    let told: Vec<(&str, &str)> = past
        .iter()
        .map(|event| (event.action.as_str(), event.attributes["name"].as_str()))
        .collect();
    let id = id.as_str();
    assert_eq!(
        told,
        [
            ("tag", "web:latest"),
            ("import", id),
            ("tag", "other:latest"),
            ("untag", id),
            ("untag", id),
            ("delete", id)
        ]
    );
    // The labels are told as long as there is the image.
    let labelled = past.iter().filter(|event| event.attributes.contains_key("a"));
    assert_eq!(labelled.count(), 5);
}

#[tokio::test]
async fn progress_is_told_without_waiting_for_anyone() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let large = tar_of(&[Member::file("large", &vec![7; 3 << 20])]);
    import(&images, &large, Some("large")).await;
    let archive = saved(&images, &["large"], None).await;
    let image = images.resolve("large").unwrap();
    images.remove("large", GENTLY, nobody()).await.unwrap();
    let (sender, mut receiver) = mpsc::channel(2);
    images.load(Cursor::new(archive), None, sender).await.unwrap();
    let first = receiver.recv().await.unwrap();
    assert_eq!(first.layer, image.layers[0].diff_id);
    assert_eq!(first.total, image.layers[0].blob.size);
    assert!(first.current >= 1 << 20);
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_nothing_stays() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let root = tempfile::tempdir().unwrap();
    let small = root.path().join("small");
    std::fs::create_dir(&small).unwrap();
    mount("tmpfs", &small, "tmpfs", MountFlags::empty(), Some(c"size=8m")).unwrap();
    let store = Arc::new(Store::open(&root.path().join("state.redb")).unwrap());
    let config = Config::with_roots(&small, &root.path().join("run"));
    let images = Images::open(&config, store, Events::new()).unwrap();

    let files: Vec<Member> =
        (0..12).map(|n| Member::file(format!("{n}"), &vec![n; 1 << 20])).collect();
    let huge = tar_of(&files);
    let outcomes = [
        images.import(Cursor::new(huge.clone()), Import::default()).await.map(drop),
        load(&images, tar_of(&[Member::file("layer.tar", &huge)])).await.map(drop),
        images
            .import(Cursor::new(zstd::encode_all(&huge[..], 1).unwrap()), Import::default())
            .await
            .map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_empty(&images, &small);
    }
    // There is room for what fits.
    import(&images, &tar("a"), Some("small")).await;
    drop(images);
    unmount(&small, UnmountFlags::DETACH).unwrap();
}

#[tokio::test]
async fn a_name_with_a_tag_and_a_digest_is_that_digests() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    let digest = Digest::of(b"manifest");
    let by_digest = Reference::parse("web").unwrap().with_digest(digest);
    images.catalog.give_names(record::Target::Image(image.id), &[by_digest]).unwrap();
    let both = format!("web:1@{digest}");
    assert_eq!(images.resolve(&both).unwrap().id, image.id);
    let archive = saved(&images, &[&both], None).await;
    let copies = tempfile::tempdir().unwrap();
    assert!(load(&open(copies.path()), archive).await.unwrap()[0].tags.is_empty());
    let removed = images.remove(&both, GENTLY, nobody()).await.unwrap();
    assert_eq!(removed, [Removed::Untagged(format!("web@{digest}"))]);
    assert_eq!(images.resolve(&both).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(images.resolve("web:1").unwrap().repo_digests(), Vec::<String>::new());
}

#[tokio::test]
async fn what_others_were_made_of_loses_its_name_alone() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let below = import(&images, &tar("a"), Some("below")).await;
    let commit = |of: &Image, name: &str| Commit {
        parent: Some(of.id),
        below: of.top(),
        reference: Some(Reference::parse(name).unwrap()),
        author: String::new(),
        message: String::new(),
        created_by: String::new(),
        defaults: Defaults::default(),
    };
    let above = images.commit(commit(&below, "above"), |_| Ok(0)).await.unwrap();
    let history = images.history("above", None).unwrap();
    let shown: Vec<_> = history.iter().map(|step| (step.id, step.tags.join(" "))).collect();
    let expected = [(Some(above), "above:latest"), (Some(below.id), "below:latest")];
    assert_eq!(shown, expected.map(|(id, tag)| (id, tag.to_owned())));
    for options in [GENTLY, FORCE] {
        let error = images.remove(&below.id.to_string(), options, nobody()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        let expected = format!(
            "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
            below.id.short()
        );
        assert_eq!(error.to_string(), expected);
    }
    let removed = images.remove("below", GENTLY, nobody()).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("below:latest".to_owned())]);
    // A prune of what has no name spares it, too, and it goes with what was made of it.
    images.prune(|image| image.references.is_empty(), nobody()).await.unwrap();
    assert_eq!(images.list().len(), 2);
    images.prune(|_| true, nobody()).await.unwrap();
    assert_empty(&images, root.path());

    let below = import(&images, &tar("a"), Some("below")).await;
    images.commit(commit(&below, "above"), |_| Ok(0)).await.unwrap();
    let used = user(false);
    images.prune(|image| image.parent.is_none(), nobody()).await.unwrap();
    assert!(images.resolve(&below.id.to_string()).unwrap().references.is_empty());
    assert_eq!(images.prune(|_| true, used).await.unwrap().removed, []);
    images.remove("above", GENTLY, nobody()).await.unwrap();
    assert_empty(&images, root.path());
}

#[tokio::test]
async fn an_image_that_left_is_told_to_whoever_wants_to_use_it() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    images.confirm(image.id, "web:1").await.unwrap();
    images.remove("web:1", GENTLY, nobody()).await.unwrap();
    let error = images.confirm(image.id, "web:1").await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, "No such image: web:1".into()));
}

#[tokio::test]
async fn an_image_for_one_platform_goes_by_that() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path());
    let image = import(&images, &tar("a"), Some("web:1")).await;
    let own = image.platform();
    let other = Platform::parse("linux/s390x").unwrap();
    let only = |platforms: &[&Platform]| RemoveImage {
        platforms: platforms.iter().map(|platform| (*platform).clone()).collect(),
        ..GENTLY
    };
    let error = images.remove("web:1", only(&[&other]), nobody()).await.unwrap_err();
    let expected = format!(
        "image with reference web:1 was found but its platform ({own}) does not match the \
         specified platform (linux/s390x)"
    );
    assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, expected));
    let error = images.remove("web:1", only(&[&own, &other]), nobody()).await.unwrap_err();
    assert_eq!(error.to_string(), "multiple platforms are not supported");
    let removed = images.remove("web:1", only(&[&own]), nobody()).await.unwrap();
    assert_eq!(removed[0], Removed::Untagged("web:1".to_owned()));
    assert_empty(&images, root.path());
}
