//! What mount_setattr(2) does and what mount(2) does instead is the same. The tests need root.

use super::bits::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, PRIVATE, RDONLY, RELATIME,
    SHARED, SLAVE, STRICTATIME, UNBINDABLE,
};
use super::table;
use super::{Change, Depth, remount, setattr};
use crate::rootfs::attach::{attach, new_file_system, open_host};
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

type Way = fn(BorrowedFd<'_>, Depth, Change<'_>) -> io::Result<()>;

/// Runs `act` on a directory, in a mount namespace that is gone afterwards. The directory goes when
/// nothing is mounted in it any more.
fn apart<T: Send + 'static>(act: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let directory = tempfile::tempdir().unwrap();
    let place = std::fs::canonicalize(directory.path()).unwrap();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        let private = Change { propagation: PRIVATE, ..Change::default() };
        remount::apply(open_host(Path::new("/")).unwrap().as_fd(), Depth::Tree, private).unwrap();
        act(&place)
    });
    let outcome = thread.join().unwrap();
    directory.close().unwrap();
    outcome
}

/// A new tmpfs at `place`.
fn mount(place: &Path, attributes: u64) -> OwnedFd {
    std::fs::create_dir_all(place).unwrap();
    let made = new_file_system("tmpfs", None, &[], attributes).unwrap();
    attach(&made, open_host(place).unwrap()).unwrap();
    made
}

/// The options and tags of the mounts at `top` and below, in the order of their places. Groups of
/// propagation are numbered anew for each mount, and are not told.
fn options(top: &Path) -> Vec<(String, String)> {
    let top = top.to_str().unwrap();
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mut found: Vec<_> = text
        .lines()
        .map(|line| line.split(' ').skip(4).take_while(|field| *field != "-").collect::<Vec<_>>())
        .filter(|fields| fields[0].starts_with(top))
        .map(|fields| {
            let tags = fields[1..].iter().map(|tag| tag.split(':').next().unwrap());
            (fields[0].replacen(top, "", 1), tags.collect::<Vec<_>>().join(" "))
        })
        .collect();
    found.sort();
    found
}

/// What becomes of a mount with two below it, one of them a file's, that start with `attributes`.
fn outcome(
    way: Way,
    attributes: u64,
    depth: Depth,
    change: Change<'static>,
) -> Vec<(String, String)> {
    apart(move |place| {
        let top = place.join("top");
        let held = mount(&top, attributes);
        let below = mount(&top.join("a b"), attributes);
        std::fs::write(top.join("file"), "").unwrap();
        std::fs::write(top.join("a b/file"), "").unwrap();
        let file = open_host(&top.join("a b/file")).unwrap();
        let copy = crate::rootfs::attach::clone_at(file, Depth::One).unwrap();
        attach(copy, open_host(&top.join("file")).unwrap()).unwrap();
        way(held.as_fd(), depth, change).unwrap();
        let options = options(&top);
        assert_eq!(options.len(), 3, "{options:?}");
        drop((held, below));
        options
    })
}

#[test]
fn both_ways_lead_to_the_same_mounts() {
    let of = |set, clear| Change { set, clear, ..Change::default() };
    let as_kind = |propagation| Change { propagation, ..Change::default() };
    let changes = [
        of(RDONLY, 0),
        of(NOSUID | NODEV | NOEXEC, 0),
        of(NOSYMFOLLOW, 0),
        of(NODIRATIME, 0),
        of(NOATIME, ATIME),
        of(STRICTATIME, ATIME | NODIRATIME),
        of(RELATIME, ATIME),
        of(0, RDONLY | NOSUID),
        of(RDONLY | NODEV, NOEXEC | NOSYMFOLLOW),
        as_kind(SHARED),
        as_kind(SLAVE),
        as_kind(UNBINDABLE),
    ];
    for before in [0, RDONLY | NOEXEC | NOATIME, NOSUID | NOSYMFOLLOW | STRICTATIME | NODIRATIME] {
        for change in changes {
            for depth in [Depth::One, Depth::Tree] {
                // What is read-only from the start cannot be filled.
                let before = before & !RDONLY;
                let new = outcome(setattr::apply, before, depth, change);
                let old = outcome(remount::apply, before, depth, change);
                assert_eq!(old, new, "{before:#x}, {depth:?}, {change:?}");
            }
        }
    }
}

#[test]
fn what_mount_2_cannot_do_is_refused_with_its_reason() {
    let error = apart(|place| {
        let held = mount(&place.join("top"), 0);
        let user = std::fs::File::open("/proc/self/ns/user").unwrap();
        let change = Change { id_map: Some(user.as_fd()), ..Change::default() };
        remount::apply(held.as_fd(), Depth::One, change).unwrap_err()
    });
    assert!(error.to_string().contains("id-mapped mounts need Linux 5.12"), "{error}");

    let error = apart(|place| {
        let top = place.join("top");
        let held = mount(&top, 0);
        let _covered = mount(&top.join("below"), 0);
        let _cover = mount(&top.join("below"), 0);
        let change = Change { set: RDONLY, ..Change::default() };
        remount::apply(held.as_fd(), Depth::Tree, change).unwrap_err()
    });
    assert!(error.to_string().contains("covered by another"), "{error}");

    let detached = new_file_system("tmpfs", None, &[], 0).unwrap();
    let change = Change { set: RDONLY, ..Change::default() };
    assert!(remount::apply(detached.as_fd(), Depth::One, change).is_err());
    setattr::apply(detached.as_fd(), Depth::One, change).unwrap();
}

#[test]
fn a_read_only_tree_becomes_writable_again() {
    for way in [setattr::apply as Way, remount::apply] {
        let change = Change { set: RDONLY, ..Change::default() };
        let back = Change { clear: RDONLY, ..Change::default() };
        apart(move |place| {
            let top = place.join("top");
            let held = mount(&top, NOEXEC);
            let _below = mount(&top.join("below"), 0);
            way(held.as_fd(), Depth::Tree, change).unwrap();
            assert!(std::fs::write(top.join("below/file"), "").is_err());
            way(held.as_fd(), Depth::Tree, back).unwrap();
            std::fs::write(top.join("below/file"), "").unwrap();
            assert!(table::read().unwrap().iter().any(|entry| entry.point.ends_with("top/below")));
        });
    }
}
