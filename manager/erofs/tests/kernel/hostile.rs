//! Images that someone tampered with: what is accepted does the kernel no harm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::{self, Model, Step};
use crate::mount::Mounted;
use proptest::prelude::*;
use tare_erofs::{Attributes, Data, Tree};

const SUPERBLOCK: u64 = 1024;

fn image(steps: &[Step]) -> File {
    let mut data = Data::new(tempfile::tempfile().unwrap());
    let mut tree = Tree::new(Attributes { mode: 0o755, ..Attributes::default() }).unwrap();
    let mut model = Model::new();
    steps.iter().for_each(|step| model.apply(step, &mut tree, &mut data));
    tare_erofs::finish(&tree, data).unwrap()
}

/// Something of each kind.
fn samples() -> Vec<Step> {
    let path = |path: &str| path.to_owned();
    let extended = [(b"user.name".to_vec(), b"value".to_vec())].into();
    vec![
        Step::Directory { path: path("dir") },
        Step::Directory { path: path("dir/in") },
        model::file("dir/in/file", &[b'x'; 700]),
        model::file(&format!("dir/{}", "long".repeat(60)), b"1"),
        model::file(&format!("dir/{}", "name".repeat(60)), b"1"),
        Step::Sparse { path: path("sparse"), size: 20_000, parts: vec![5000..5010, 5010..5020] },
        Step::HardLink { path: path("link"), to: path("dir/in/file") },
        model::symlink("short", "to"),
        model::symlink("exact", &"t".repeat(512)),
        model::symlink("longer", &"t".repeat(600)),
        Step::CharacterDevice { path: path("null"), major: 1, minor: 3 },
        Step::Fifo { path: path("pipe") },
        Step::Attributes {
            path: path("dir/in/file"),
            attributes: Attributes { mode: 0o600, extended, ..Attributes::default() },
        },
    ]
}

/// Where the kernel reads more than a file's data.
fn trusted(image: &File) -> Vec<u64> {
    let mut start = [0; 4];
    image.read_exact_at(&mut start, SUPERBLOCK + 40).unwrap();
    let metadata = u64::from(u32::from_le_bytes(start)) * 512..image.metadata().unwrap().len();
    (SUPERBLOCK..SUPERBLOCK + 128).chain(metadata).collect()
}

/// What is accepted can be mounted, and all of it looked at.
fn is_harmless(image: &File) -> bool {
    if tare_erofs::check(image, |name, _| name == b"user.name").is_err() {
        return false;
    }
    look_at_all(&Mounted::new(image).path(), 0);
    true
}

fn look_at_all(directory: &Path, depth: usize) {
    assert!(depth < 10, "{directory:?}");
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, stat) = (entry.path(), entry.metadata().unwrap());
        assert_eq!(stat.file_type(), entry.file_type().unwrap());
        rustix::fs::llistxattr(&path, &mut [0; 1 << 16]).unwrap();
        if stat.is_dir() {
            look_at_all(&path, depth + 1);
        } else if stat.is_symlink() {
            std::fs::read_link(&path).unwrap();
        } else if stat.is_file() {
            let mut end = [0; 1000];
            let file = File::open(&path).unwrap();
            file.read_at(&mut end, 0).unwrap();
            file.read_at(&mut end, stat.len().saturating_sub(1000)).unwrap();
        }
    }
}

#[test]
fn any_byte_that_is_changed_is_noticed_or_does_no_harm() {
    let image = image(&samples());
    assert!(is_harmless(&image));
    let mut noticed = 0;
    for at in trusted(&image) {
        let mut was = [0];
        image.read_exact_at(&mut was, at).unwrap();
        image.write_all_at(&[was[0] ^ 1 << (at % 8)], at).unwrap();
        noticed += usize::from(!is_harmless(&image));
        image.write_all_at(&was, at).unwrap();
    }
    assert!(is_harmless(&image));
    assert!(noticed > 500, "{noticed} changes were noticed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_changes_are_noticed_or_do_no_harm(
        steps in prop::collection::vec(model::step(), 0..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let image = image(&[samples(), steps].concat());
        let places = trusted(&image);
        for (at, byte) in changes {
            image.write_all_at(&[byte], *at.get(&places)).unwrap();
        }
        is_harmless(&image);
    }
}

#[test]
fn an_attribute_that_is_not_wanted_is_noticed() {
    let image = image(&samples());
    assert!(tare_erofs::check(&image, |_, _| false).is_err());
    assert!(
        tare_erofs::check(&image, |name, value| (name, value) == (b"user.name", b"value")).is_ok()
    );
}

#[test]
fn an_image_that_was_cut_off_is_noticed() {
    let image = image(&samples());
    let length = image.metadata().unwrap().len();
    for end in [0, SUPERBLOCK, SUPERBLOCK + 100, 4096, length - 1, length + 512] {
        image.set_len(end).unwrap();
        assert!(tare_erofs::check(&image, |_, _| true).is_err(), "{end} bytes");
    }
}
