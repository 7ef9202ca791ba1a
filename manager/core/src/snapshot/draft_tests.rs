//! Layers that are written step by step, with every driver that makes them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::detached::Purpose;
use super::layers::MOST_LAYERS;
use super::mapped::Users;
use super::testing::{Stage, with_each_driver};
use super::{Draft, DriverName, SnapshotId};
use crate::Kind;
use crate::ids::{Acting, IdMap, namespace};
use crate::image::ChainId;
use crate::image::build::Written;

with_each_driver! {
    what_is_written_is_a_layer_for_what_comes_upon_it
    what_is_dropped_leaves_nothing
}

/// The root of a draft, as programs see it.
struct Seen(OwnedFd);

impl Seen {
    fn of(draft: &Draft) -> Self {
        Self(draft.root().handle().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.at("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// A layer that a draft became.
struct Sealed {
    written: Written,
    snapshot: SnapshotId,
    chain: Option<ChainId>,
}

fn sealed(stage: &Stage, draft: Draft, below: Option<&Sealed>) -> Sealed {
    let stack: Vec<SnapshotId> = below.iter().map(|below| below.snapshot).collect();
    let top = below.and_then(|below| below.chain);
    let written = stage.images.building().write(draft, top, &stack).unwrap();
    let (snapshot, chain) = match &written {
        Written::Adopted(layer) => (layer.snapshot(), None),
        Written::Packed(layer, packed) => {
            (layer.snapshot(), Some(ChainId::extend(top, packed.diff_id)))
        }
    };
    Sealed { written, snapshot, chain }
}

async fn what_is_written_is_a_layer_for_what_comes_upon_it(driver: DriverName) {
    let stage = Stage::new(driver);
    let layers = stage.images.snapshots().layers();
    let draft = layers.draft(&[], Purpose::Use).unwrap();
    let seen = Seen::of(&draft);
    std::fs::write(seen.at("kept"), "one").unwrap();
    std::fs::write(seen.at("gone"), "one").unwrap();
    std::fs::create_dir(seen.at("directory")).unwrap();
    drop(seen);
    let first = sealed(&stage, draft, None);

    let draft = layers.draft(&[first.snapshot], Purpose::Use).unwrap();
    let seen = Seen::of(&draft);
    assert_eq!(std::fs::read_to_string(seen.at("kept")).unwrap(), "one");
    std::fs::remove_file(seen.at("gone")).unwrap();
    std::fs::remove_dir(seen.at("directory")).unwrap();
    std::fs::create_dir(seen.at("directory")).unwrap();
    std::fs::write(seen.at("new"), "two").unwrap();
    drop(seen);
    let second = sealed(&stage, draft, Some(&first));
    if let Written::Adopted(layer) = &second.written {
        let building = stage.images.building();
        let packed = building.pack(layer).unwrap();
        assert_eq!(packed.diff_id, building.pack(layer).unwrap().diff_id);
    }

    let look = layers.draft(&[second.snapshot, first.snapshot], Purpose::Look).unwrap();
    assert_eq!(Seen::of(&look).names(), ["directory", "kept", "new"]);
}

async fn what_is_dropped_leaves_nothing(driver: DriverName) {
    let stage = Stage::new(driver);
    let directory = stage.root.path().join("snapshots");
    // What is being deleted is gone as far as anybody sees.
    let is_there =
        |entry: &std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with("gone-");
    let count = || {
        let entries = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap());
        entries.filter(is_there).count()
    };
    let before = count();
    let layers = stage.images.snapshots().layers();
    let draft = layers.draft(&[], Purpose::Use).unwrap();
    std::fs::write(Seen::of(&draft).at("file"), "content").unwrap();
    let layer = sealed(&stage, draft, None);
    let draft = layers.draft(&[layer.snapshot], Purpose::Use).unwrap();
    assert!(count() > before);
    drop(draft);
    let many = vec![layer.snapshot; MOST_LAYERS];
    assert_eq!(layers.draft(&many, Purpose::Use).err().unwrap().kind(), Kind::Invalid);
    drop(layer);
    assert_eq!(count(), before);
}

#[tokio::test]
async fn users_that_are_others_on_the_host_write_as_themselves() {
    let stage = Stage::new(DriverName::Overlay);
    let layers = stage.images.snapshots().layers();
    let draft = layers.draft(&[], Purpose::Use).unwrap();
    std::fs::write(Seen::of(&draft).at("below"), "one").unwrap();
    let first = sealed(&stage, draft, None);
    let map = IdMap::new(&[(100_000, 65_536)], &[(100_000, 65_536)]).unwrap();
    let held = namespace::new(&map).unwrap();
    let users = Users { ids: &map, namespace: held.as_fd() };
    let draft = layers.draft_to_run(&[first.snapshot], Some(users)).unwrap();
    let seen = Seen::of(&draft);
    {
        let _acting = Acting::as_root_of(&map).unwrap();
        std::fs::write(seen.at("below"), "two").unwrap();
        std::fs::write(seen.at("new"), "two").unwrap();
    }
    let owner = |seen: &Seen, name: &str| seen.at(name).metadata().unwrap().uid();
    assert_eq!((owner(&seen, "below"), owner(&seen, "new")), (100_000, 100_000));
    drop(seen);
    let second = sealed(&stage, draft, Some(&first));
    let look = layers.draft(&[second.snapshot, first.snapshot], Purpose::Look).unwrap();
    let seen = Seen::of(&look);
    assert_eq!((owner(&seen, "below"), owner(&seen, "new")), (0, 0));
    assert_eq!(std::fs::read_to_string(seen.at("below")).unwrap(), "two");
}
