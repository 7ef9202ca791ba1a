//! Images mounted by the kernel show what was put into them.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::model::{self, Model, Step};
use crate::mount::Mounted;
use proptest::prelude::*;
use tare_erofs::{Attributes, Data, Kind, Time, Tree};

/// Makes an image by these steps, and says what should be in it.
fn image(steps: &[Step]) -> (File, Model) {
    let mut data = Data::new(tempfile::tempfile().unwrap());
    let mut tree = Tree::new(Attributes { mode: 0o755, ..Attributes::default() }).unwrap();
    let mut model = Model::new();
    for step in steps {
        model.apply(step, &mut tree, &mut data);
    }
    (tare_erofs::finish(&tree, data).unwrap(), model)
}

fn check(steps: &[Step]) {
    let (file, model) = image(steps);
    tare_erofs::check(&file, |_, _| true).unwrap();
    model.compare(&Mounted::new(&file).path());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_out_as_it_went_in(steps in prop::collection::vec(model::step(), 0..60)) {
        check(&steps);
    }
}

#[test]
fn an_empty_tree_can_be_mounted() {
    check(&[]);
}

#[test]
fn a_directory_of_many_long_and_short_names_is_listed_and_searched() {
    let mut steps = Vec::new();
    for number in 0..5000_u32 {
        let long = "x".repeat(number as usize % 250);
        steps.push(model::file(&format!("{number}{long}"), &[b'a'; 3]));
        steps.push(model::file(&format!("!{number}"), b""));
    }
    check(&steps);
}

#[test]
fn files_around_the_sizes_of_blocks_and_pages_are_whole() {
    let sizes = [0, 1, 447, 448, 449, 511, 512, 513, 4095, 4096, 4097, 1 << 20, (3 << 20) + 7];
    let steps = sizes.map(|size| {
        let content: Vec<u8> = (0..size).map(|at: usize| (at / 3) as u8).collect();
        model::file(&format!("file-{size}"), &content)
    });
    check(&steps);
}

#[test]
fn links_of_every_length_lead_where_they_say() {
    let lengths = [1, 100, 447, 448, 449, 511, 512, 513, 1000, 4095];
    let steps =
        lengths.map(|length| model::symlink(&format!("link-{length}"), &"t".repeat(length)));
    check(&steps);
}

#[test]
fn a_huge_sparse_file_takes_no_room_and_has_its_data_where_it_was() {
    let parts = [(5 << 30, vec![7_u8; 10_000]), ((300 << 30) - 3, vec![8; 3])];
    let mut data = Data::new(tempfile::tempfile().unwrap());
    let mut tree = Tree::new(Attributes::default()).unwrap();
    let ranges = parts.clone().map(|(start, bytes)| start..start + bytes.len() as u64);
    let mut file = data.sparse_file(300 << 30, &ranges).unwrap();
    for (_, bytes) in &parts {
        file.write(bytes).unwrap();
    }
    let content = file.finish().unwrap();
    tree.put(Tree::ROOT, b"sparse", Kind::File(content), Attributes::default()).unwrap();
    let image = tare_erofs::finish(&tree, data).unwrap();
    assert!(image.metadata().unwrap().blocks() < 4096, "holes were written");

    tare_erofs::check(&image, |_, _| true).unwrap();
    let mounted = Mounted::new(&image);
    let sparse = File::open(mounted.path().join("sparse")).unwrap();
    assert_eq!(sparse.metadata().unwrap().len(), 300 << 30);
    let mut around = vec![1_u8; 20_000];
    sparse.read_exact_at(&mut around, (5 << 30) - 5000).unwrap();
    let expected = [vec![0; 5000], vec![7; 10_000], vec![0; 5000]].concat();
    assert!(around == expected);
    let mut end = [1_u8; 6];
    sparse.read_exact_at(&mut end, (300 << 30) - 6).unwrap();
    assert_eq!(end, [0, 0, 0, 8, 8, 8]);
    // A program that looks for data finds it without reading the holes.
    let first = rustix::fs::seek(&sparse, rustix::fs::SeekFrom::Data(0)).unwrap();
    assert!((4 << 30..=5 << 30).contains(&first), "data at {first}");
}

#[test]
fn overlay_sees_whiteouts_and_opaque_directories() {
    let extended = [(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())].into();
    let steps = [
        Step::CharacterDevice { path: "gone".into(), major: 0, minor: 0 },
        Step::Directory { path: "opaque".into() },
        Step::Attributes {
            path: "opaque".into(),
            attributes: Attributes { mode: 0o700, extended, ..Attributes::default() },
        },
    ];
    check(&steps);
}

#[test]
fn what_an_image_cannot_have_is_refused() {
    let mut tree = Tree::new(Attributes::default()).unwrap();
    let put = |tree: &mut Tree, name: &[u8], kind: Kind, attributes: Attributes| {
        tree.put(Tree::ROOT, name, kind, attributes).is_ok()
    };
    let plain = Attributes::default();
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        assert!(!put(&mut tree, name, Kind::Fifo, plain.clone()), "{name:?}");
    }
    assert!(put(&mut tree, &[b'x'; 255], Kind::Fifo, plain.clone()));
    let refused = [
        Kind::Symlink(Vec::new()),
        Kind::Symlink(vec![b'x'; 4096]),
        Kind::BlockDevice(4096, 0),
        Kind::CharacterDevice(0, 1 << 20),
    ];
    for kind in refused {
        assert!(!put(&mut tree, b"name", kind.clone(), plain.clone()), "{kind:?}");
    }
    let with = |name: &[u8], size: usize| Attributes {
        extended: [(name.to_vec(), vec![0; size])].into(),
        ..Attributes::default()
    };
    for name in [&b"security."[..], b"unknown.x", b"system.posix_acl_accessible", b"user"] {
        assert!(!put(&mut tree, b"name", Kind::Fifo, with(name, 1)), "{name:?}");
    }
    assert!(!put(&mut tree, b"name", Kind::Fifo, with(b"user.x", 65_536)));
    assert!(put(&mut tree, b"name", Kind::Fifo, with(b"user.x", 65_535)));
    let late = Time { seconds: 0, nanoseconds: 1_000_000_000 };
    assert!(!put(&mut tree, b"late", Kind::Fifo, Attributes { modified: late, ..plain.clone() }));

    let directory = tree.put(Tree::ROOT, b"dir", Kind::Directory, plain.clone()).unwrap();
    let pipe = tree.find(Tree::ROOT, b"name").unwrap();
    assert!(tree.link(Tree::ROOT, b"other", directory).is_err());
    assert!(tree.link(pipe, b"other", pipe).is_err());
    assert!(tree.put(pipe, b"other", Kind::Fifo, plain).is_err());
}

#[test]
fn a_file_of_another_size_than_was_said_is_refused() {
    let mut data = Data::new(tempfile::tempfile().unwrap());
    let mut file = data.file(3).unwrap();
    file.write(b"ab").unwrap();
    assert!(file.finish().is_err());
    assert!(data.file(3).unwrap().write(b"abcd").is_err());
    for parts in [&[5..6, 4..5][..], &[0..3, 2..4], &[8..9, 9..11]] {
        assert!(data.sparse_file(10, parts).is_err(), "{parts:?}");
    }
    assert!(data.sparse_file(u64::MAX, &[]).is_err());
}
