//! Files are received, kept, and refused.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tare_proto::builds::fsutil::types::packet::PacketType;
use tare_proto::builds::fsutil::types::{Packet, Stat};
use tokio::sync::{Notify, mpsc};

use super::entry::FileKind;
use super::receiver::Limits;
use super::testing::{TIME, directory, file, link, receiver, stat};
use super::{Wanted, receive};
use crate::progress::{Journal, Vertex};
use crate::session::contexts::ContextStore;
use crate::session::health::Patience;
use crate::session::testing::{Has, serve, session};
use crate::session::{Session, Sessions, send};
use crate::tree::Tree;

/// A place for contexts.
struct Yard {
    directory: tempfile::TempDir,
    store: ContextStore,
    vertex: Vertex,
}

fn yard() -> Yard {
    let directory = tempfile::tempdir().unwrap();
    let store = ContextStore::open(&directory.path().join("contexts"), 1 << 30).unwrap();
    Yard { directory, store, vertex: Journal::default().vertex("load", &[]) }
}

impl Yard {
    async fn receive(&self, session: &Session) -> Tree {
        receive(session, &context(), &self.store, &self.vertex).await.unwrap()
    }

    /// Waits until so many contexts lie on disk: they are removed in the background.
    fn has(&self, count: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        let contexts = || self.directory.path().join("contexts").read_dir().unwrap().count();
        while contexts() != count {
            assert!(Instant::now() < until, "{} contexts instead of {count}", contexts());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn context() -> Wanted {
    Wanted { name: "context".to_owned(), ..Wanted::default() }
}

fn path(tree: &Tree) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/", tree.root().as_raw_fd()))
}

fn read(tree: &Tree, name: &str) -> String {
    std::fs::read_to_string(path(tree).join(name)).unwrap()
}

/// All that is below `root`: kinds, modes, times and contents.
fn all(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut all, mut left) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = left.pop() {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let file = path.symlink_metadata().unwrap();
            let what = if file.is_dir() {
                left.push(path.clone());
                String::new()
            } else if file.is_symlink() {
                path.read_link().unwrap().display().to_string()
            } else if file.is_file() {
                std::fs::read_to_string(&path).unwrap()
            } else {
                "special".to_owned()
            };
            let time = (file.mtime(), file.mtime_nsec());
            let told = format!("{:o} {time:?} {what}", file.mode());
            all.insert(path.strip_prefix(root).unwrap().to_path_buf(), told);
        }
    }
    all
}

fn some_files() -> Vec<(Stat, Bytes)> {
    let (mut tool, mut odd) = (file("bin/tool", "#!"), file("odd", ""));
    tool.0.mode |= 1 << 23 | 0o111;
    odd.0.path = b"odd \xff name".to_vec();
    odd.0.xattrs =
        [("user.known", "yes"), ("trusted.overlay.opaque", "y"), ("user.overlay.x", "y")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into();
    let mut device = stat("null", FileKind::CharacterDevice, 0o666);
    (device.devmajor, device.devminor) = (1, 3);
    vec![
        directory("bin"),
        tool,
        link("bin/tool.again", FileKind::Regular, "bin/tool"),
        file("large", &"0123456789".repeat(10_000)),
        link("link", FileKind::Symlink, "/etc/passwd"),
        (device, Bytes::new()),
        odd,
        (stat("pipe", FileKind::Fifo, 0o600), Bytes::new()),
        directory("src"),
        directory("src/empty"),
        file("src/main", "main"),
    ]
}

#[tokio::test]
async fn a_tree_arrives_as_it_is_and_is_not_sent_again() {
    let (yard, has) = (yard(), Arc::<Has>::default());
    *has.files.lock().unwrap() = some_files();
    let (session, _serving) = session(&has).await;
    let tree = yard.receive(&session).await;
    assert_eq!(*has.asked.lock().unwrap(), 4);
    let root = path(&tree);
    let tool = root.join("bin/tool").metadata().unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.nlink()), (0o4755, 2));
    assert_eq!(tool.mtime() * 1_000_000_000 + tool.mtime_nsec(), TIME);
    assert_eq!(tool.ino(), root.join("bin/tool.again").metadata().unwrap().ino());
    assert_eq!(root.join("src").metadata().unwrap().mtime_nsec(), 123_456_789);
    assert_eq!(read(&tree, "large").len(), 100_000);
    assert_eq!(root.join("link").read_link().unwrap(), Path::new("/etc/passwd"));
    assert!(root.join("pipe").metadata().unwrap().file_type().is_fifo());
    assert_eq!(root.join("null").metadata().unwrap().rdev(), 0x103);
    let odd = root.join(std::ffi::OsStr::from_bytes(b"odd \xff name"));
    let attributes = {
        let mut names = Vec::with_capacity(1000);
        rustix::fs::listxattr(&odd, rustix::buffer::spare_capacity(&mut names)).unwrap();
        names
    };
    assert_eq!(attributes, b"user.known\0");

    let content: [u8; 32] = Sha256::digest("main").into();
    assert_eq!(tree.content(b"src/main"), Some(content));
    assert_eq!(tree.content(b"bin/tool.again"), tree.content(b"bin/tool"));
    assert!(tree.content(b"bin/tool").is_some());
    assert_eq!(
        (tree.content(b"src"), tree.content(b"link"), tree.content(b"no")),
        (None, None, None)
    );

    let before = all(&root);
    let again = yard.receive(&session).await;
    assert_eq!((*has.asked.lock().unwrap(), all(&path(&again))), (4, before));
    let inode = |tree: &Tree| rustix::fs::fstat(tree.root()).unwrap().st_ino;
    assert_eq!(inode(&again), inode(&tree));
    assert_eq!(again.content(b"src/main"), Some(content));
}

/// What a second transfer makes of a kept tree is what a first one would have made.
async fn becomes(from: Vec<(Stat, Bytes)>, to: Vec<(Stat, Bytes)>, asked: usize) {
    for is_held in [false, true] {
        let (yard, has) = (yard(), Arc::<Has>::default());
        *has.files.lock().unwrap() = from.clone();
        let (session, _serving) = session(&has).await;
        let first = yard.receive(&session).await;
        let before = all(&path(&first));
        let held = is_held.then_some(first);
        *has.asked.lock().unwrap() = 0;
        *has.files.lock().unwrap() = to.clone();
        let tree = yard.receive(&session).await;
        assert_eq!(*has.asked.lock().unwrap(), asked, "held: {is_held}");

        let fresh = self::yard();
        let expected = fresh.receive(&session).await;
        assert_eq!(all(&path(&tree)), all(&path(&expected)), "held: {is_held}");
        for (stat, _) in &to {
            assert_eq!(tree.content(&stat.path), expected.content(&stat.path));
        }
        // Who has the old one, has it as it was.
        if let Some(first) = held {
            assert_eq!(all(&path(&first)), before);
            yard.has(2);
            drop(first);
        }
        yard.has(1);
    }
}

#[tokio::test]
async fn only_what_has_changed_is_sent() {
    let mut changed = some_files();
    changed[3] = file("large", "small");
    becomes(some_files(), changed.clone(), 1).await;
    becomes(changed, some_files(), 1).await;
    // Modes, times, links and directories.
    let mut changed = some_files();
    changed[0].0.mode ^= 0o22;
    changed[8].0.mod_time += 1;
    changed[10].0.mod_time += 1;
    changed[4] = link("link", FileKind::Symlink, "elsewhere");
    becomes(some_files(), changed, 1).await;
    // A file that has another name: both are another one then.
    let mut changed = some_files();
    changed[1].0.mod_time += 1;
    becomes(some_files(), changed, 1).await;
}

#[tokio::test]
async fn what_is_not_told_of_any_more_goes() {
    becomes(some_files(), Vec::new(), 0).await;
    becomes(Vec::new(), some_files(), 4).await;
    becomes(some_files(), some_files().split_off(3), 0).await;
    becomes(some_files(), some_files()[..8].to_vec(), 0).await;
    becomes(some_files().split_off(8), some_files(), 3).await;
}

#[tokio::test]
async fn files_become_directories_and_back() {
    let is_file = vec![directory("a"), file("a/x", "x"), link("y", FileKind::Symlink, "a")];
    let is_directory = vec![
        directory("a"),
        directory("a/x"),
        file("a/x/x", "x"),
        directory("y"),
        file("y/x", "y"),
    ];
    becomes(is_file.clone(), is_directory.clone(), 2).await;
    becomes(is_directory, is_file, 1).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a tree was, it becomes what is sent.
    #[test]
    fn any_tree_becomes_any_other(from in trees(), to in trees()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let has = Arc::<Has>::default();
            let (session, _serving) = session(&has).await;
            let yard = yard();
            for files in [&from, &to, &from] {
                *has.files.lock().unwrap() = files.clone();
                let tree = yard.receive(&session).await;
                let fresh = self::yard();
                let expected = fresh.receive(&session).await;
                assert_eq!(all(&path(&tree)), all(&path(&expected)));
            }
        });
    }
}

/// Small trees with few names, so that they have much in common.
fn trees() -> impl Strategy<Value = Vec<(Stat, Bytes)>> {
    let names = prop::collection::btree_map("[ab]{1,2}", 0..5u8, 0..5);
    let inner = prop::collection::btree_map("[ab]{1,2}", 0..3u8, 0..3);
    (names, inner).prop_map(|(names, inner)| {
        let mut all = Vec::new();
        let mut first: Option<String> = None;
        for (name, what) in names {
            match what {
                0 => all.push(link(&name, FileKind::Symlink, "a")),
                1 | 2 => {
                    first.get_or_insert_with(|| name.clone());
                    all.push(file(&name, &"x".repeat(what.into())));
                }
                3 if first.is_some() => {
                    all.push(link(&name, FileKind::Regular, first.as_deref().unwrap()));
                }
                _ => {
                    all.push(directory(&name));
                    let files = inner.iter().map(|(inner, what)| {
                        file(&format!("{name}/{inner}"), &"y".repeat((*what).into()))
                    });
                    all.extend(files);
                }
            }
        }
        all
    })
}

#[tokio::test]
async fn other_choices_of_the_same_directory_share_files() {
    let (yard, has) = (yard(), Arc::<Has>::default());
    *has.files.lock().unwrap() = some_files();
    let (session, _serving) = session(&has).await;
    yard.receive(&session).await;
    let wanted = Wanted { exclude: vec!["bin".to_owned()], ..context() };
    *has.files.lock().unwrap() = some_files().split_off(3);
    *has.asked.lock().unwrap() = 0;
    let tree = receive(&session, &wanted, &yard.store, &yard.vertex).await.unwrap();
    assert_eq!((*has.asked.lock().unwrap(), read(&tree, "src/main")), (0, "main".to_owned()));
    assert!(!path(&tree).join("bin").exists());
    let said = has.said.lock().unwrap().last().unwrap().clone();
    assert_eq!(said.get("exclude-patterns").unwrap(), "bin");
    assert_eq!(said.get("dir-name").unwrap(), "context");
    assert_eq!(yard.store.usage().len(), 2);
    // The first one is there as it was.
    *has.files.lock().unwrap() = some_files();
    yard.receive(&session).await;
    assert_eq!(*has.asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn two_builds_at_once_get_what_each_was_sent() {
    let (yard, sessions) = (yard(), Sessions::default());
    let (slow, fast) = (Arc::<Has>::default(), Arc::<Has>::default());
    let release = Arc::new(Notify::new());
    let _serving = (
        serve(&sessions, "slow", &slow, Patience::default()),
        serve(&sessions, "fast", &fast, Patience::default()),
    );
    let (session, other) = (sessions.find("slow").await, sessions.find("fast").await);
    *fast.files.lock().unwrap() = vec![file("a", "old"), file("b", "b")];
    yard.receive(&other).await;

    // One has begun to change the tree when the other comes.
    *slow.files.lock().unwrap() = vec![file("a", "slow's"), file("b", "b")];
    *slow.hold.lock().unwrap() = Some(Arc::clone(&release));
    *fast.files.lock().unwrap() = vec![file("a", "fast's"), file("b", "b")];
    let both = async {
        slow.begun.notified().await;
        let tree = yard.receive(&other).await;
        release.notify_one();
        tree
    };
    let (slows, fasts) = tokio::join!(yard.receive(&session), both);
    assert_eq!((read(&slows, "a"), read(&fasts, "a")), ("slow's".to_owned(), "fast's".to_owned()));
    assert_eq!((read(&slows, "b"), read(&fasts, "b")), ("b".to_owned(), "b".to_owned()));

    // The same session doesn't send the same twice.
    *fast.files.lock().unwrap() = vec![file("new", "new")];
    *fast.asked.lock().unwrap() = 0;
    let (one, two) = tokio::join!(yard.receive(&other), yard.receive(&other));
    assert_eq!((*fast.asked.lock().unwrap(), read(&one, "new")), (1, read(&two, "new")));
}

#[tokio::test]
async fn contexts_outlive_the_process_if_they_are_whole() {
    let (yard, has) = (yard(), Arc::<Has>::default());
    *has.files.lock().unwrap() = some_files();
    let (session, _serving) = session(&has).await;
    drop(yard.receive(&session).await);
    let kept = yard.directory.path().join("contexts");
    std::fs::create_dir_all(kept.join("half/tree/deep/er")).unwrap();
    std::fs::write(kept.join("half/tree/deep/er/file"), "").unwrap();
    std::fs::write(kept.join("noise"), "").unwrap();
    let store = ContextStore::open(&kept, 1 << 30).unwrap();
    assert_eq!(kept.read_dir().unwrap().count(), 1);
    *has.asked.lock().unwrap() = 0;
    let tree = receive(&session, &context(), &store, &yard.vertex).await.unwrap();
    assert_eq!((*has.asked.lock().unwrap(), read(&tree, "src/main")), (0, "main".to_owned()));
}

#[tokio::test]
async fn what_is_kept_does_not_grow_beyond_what_it_may() {
    let (yard, has) = (yard(), Arc::<Has>::default());
    let store = ContextStore::open(&yard.directory.path().join("contexts"), 9000).unwrap();
    let (session, _serving) = session(&has).await;
    let mut trees = Vec::new();
    for name in ["one", "two", "three"] {
        *has.files.lock().unwrap() = vec![file("a", name)];
        let wanted = Wanted { name: name.to_owned(), ..Wanted::default() };
        trees.push(receive(&session, &wanted, &store, &yard.vertex).await.unwrap());
    }
    // All of them are in use.
    assert_eq!((store.usage().len(), read(&trees[0], "a")), (3, "one".to_owned()));
    assert!(store.usage().iter().all(|usage| usage.in_use && usage.size == 4096));
    assert!(!store.remove(&store.usage()[0].id));
    trees.clear();
    let left: Vec<_> = store.usage().into_iter().map(|usage| usage.name).collect();
    assert_eq!(left, ["two", "three"]);
    assert!(store.remove(&store.usage()[0].id));
    yard.has(1);
}

/// What the store makes of `packets`, with an eye on what it has nothing to do with.
fn received(packets: Vec<Packet>, limits: Limits) -> Result<(), String> {
    let yard = yard();
    let outside = yard.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("canary"), "alive").unwrap();
    let before = all(&outside);
    let (requests, _outgoing) = mpsc::unbounded_channel();
    let (sender, arriving) = mpsc::channel(packets.len().max(1));
    for packet in packets {
        sender.try_send(packet).unwrap();
    }
    drop(sender);
    let received = receiver(&yard.store, requests).within(limits).run(arriving);
    assert_eq!(all(&outside), before);
    let failed = received.is_err();
    let received = received.map(drop).map_err(|error| error.message);
    if failed {
        yard.has(0);
    }
    received
}

fn packet(kind: PacketType, id: u32, data: &'static [u8]) -> Packet {
    Packet { r#type: kind.into(), id, data: Bytes::from_static(data), stat: None }
}

fn told((stat, _): (Stat, Bytes)) -> Packet {
    Packet { stat: Some(stat), ..Packet::default() }
}

#[test]
fn hostile_packets_are_refused() {
    let refused = |packets: &[Packet], why: &str| {
        let error = received(packets.to_vec(), Limits::default()).unwrap_err();
        assert!(error.contains(why), "{error:?} instead of {why:?}");
    };
    let (end, fifo) = (Packet::default(), stat("dir", FileKind::Fifo, 0o600));
    refused(&[], "ended the transfer early");
    for outside in
        ["/etc/passwd", "../outside/canary", "..", "a/../../outside/canary", "./a", "a//b"]
    {
        refused(&[told(file(outside, "x"))], "path");
    }
    refused(&[told(file("b", "")), told(file("a", ""))], "out of order");
    refused(&[told(file("a", "")), told(file("a", ""))], "out of order");
    refused(&[told(file("missing/a", ""))], "without its directory");
    refused(&[told((fifo, Bytes::new())), told(file("dir/a", ""))], "without its directory");
    // Through a link that it has sent itself.
    let out = link("out", FileKind::Symlink, "../../../outside");
    refused(&[told(out.clone()), told(file("out/canary", "x"))], "without its directory");
    refused(&[told(out), told(link("z", FileKind::Regular, "out"))], "unknown path");
    for target in ["../outside/canary", "/etc/passwd", "later", "self", "dir", "first/x"] {
        let files = [directory("dir"), file("first", ""), link("self", FileKind::Regular, target)];
        refused(&files.map(told), "unknown path");
    }
    let negative = Stat { size: -1, ..file("a", "").0 };
    refused(&[told((negative, Bytes::new()))], "size is negative");
    let strange = Stat { mode: u32::MAX, ..file("a", "").0 };
    refused(&[told((strange, Bytes::new()))], "no known sort");
    let attributes = [("user.x".to_owned(), vec![0; 70_000])].into();
    let heavy = Stat { xattrs: attributes, ..file("a", "").0 };
    refused(&[told((heavy, Bytes::new()))], "extended attributes");
    // Contents that were not asked for, or not any more.
    refused(&[packet(PacketType::Data, 0, b"x")], "not asked for");
    refused(&[told(directory("a")), packet(PacketType::Data, 0, b"x")], "not asked for");
    refused(&[told(file("a", "x")), packet(PacketType::Data, 7, b"x")], "not asked for");
    let done = packet(PacketType::Data, 0, b"");
    refused(&[told(file("a", "")), done.clone(), done], "not asked for");
    // What only receivers say, and what comes too early or too late.
    refused(&[packet(PacketType::Req, 0, b"")], "doesn't belong");
    refused(&[packet(PacketType::Fin, 0, b"")], "doesn't belong");
    refused(&[told(file("a", "")), end.clone(), end.clone()], "doesn't belong");
    refused(&[told(file("a", "")), end.clone(), told(file("b", ""))], "doesn't belong");
    refused(&[told(file("a", "")), end], "ended the transfer early");
    refused(&[packet(PacketType::Err, 0, b"I am ill")], "error from sender: I am ill");
}

#[test]
fn floods_are_refused() {
    let known: Vec<_> = (1000..2000).map(|number| told(directory(&number.to_string()))).collect();
    let limits = Limits { known: 100_000, ..Limits::default() };
    let error = received(known, limits).unwrap_err();
    assert!(error.contains("too many files"), "{error}");
    let open = (0..10u32).flat_map(|number| {
        [told(file(&number.to_string(), "x")), packet(PacketType::Data, number, b"x")]
    });
    let error = received(open.collect(), Limits { open: 9, ..Limits::default() }).unwrap_err();
    assert!(error.contains("too many files at once"), "{error}");
}

#[test]
fn a_link_below_the_root_is_not_followed_even_if_it_is_there() {
    // Nobody but the store writes there; should anybody, it is an error and not a way out.
    let yard = yard();
    let place = yard.store.place().unwrap();
    let outside = yard.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}", place.root().unwrap().as_raw_fd()));
    symlink(&outside, yard.directory.path().join("link")).unwrap();
    rustix::fs::symlinkat(&outside, place.root().unwrap(), "dir").unwrap();
    drop(root);
    let mut target = super::target::Target::new(place.root().unwrap());
    target.create(&file("dir/a", "").0).unwrap_err();
    target.make(&stat("dir/b", FileKind::Directory, 0o755), FileKind::Directory).unwrap_err();
    target.settle(&stat("dir", FileKind::Directory, 0o777)).unwrap_err();
    assert_eq!(outside.read_dir().unwrap().count(), 0);
    target.remove(b"dir").unwrap();
    assert!(outside.exists());
}

proptest! {
    /// Whatever comes: nothing outside is touched, and what fails leaves nothing.
    #[test]
    fn no_packets_do_harm(packets in prop::collection::vec(packets(), 0..30)) {
        let _ = received(packets, Limits { known: 100_000, open: 4 });
    }
}

fn packets() -> impl Strategy<Value = Packet> {
    let names = "(a|b|\\.\\.|\\.|/|a/|\\.\\./outside/canary|b/|c){1,3}";
    let modes = prop_oneof![
        Just(0o644),
        Just(1 << 31 | 0o755),
        Just(1 << 27 | 0o777),
        Just(1 << 25),
        any::<u32>()
    ];
    let links = prop_oneof![Just(""), Just("a"), Just("../../outside"), Just("/etc")];
    let stats = (names, modes, links, any::<i64>()).prop_map(|(path, mode, link, number)| Packet {
        stat: Some(Stat {
            path: path.into_bytes(),
            // Devices aren't what is tried here.
            mode: mode & !(1 << 26),
            linkname: link.as_bytes().to_vec(),
            size: number & 0xffff,
            mod_time: number,
            ..Stat::default()
        }),
        ..Packet::default()
    });
    let others =
        (-1..6, 0..8u32, prop_oneof![Just(""), Just("data")]).prop_map(|(kind, id, data)| Packet {
            r#type: kind,
            id,
            data: Bytes::from(data),
            stat: None,
        });
    prop_oneof![3 => stats, 2 => others]
}

#[tokio::test]
async fn a_tree_is_sent_as_it_is() {
    let yard = yard();
    let taken = ContextStore::open(&yard.directory.path().join("taken"), 1 << 30).unwrap();
    let has = Arc::new(Has { takes: Some(taken.clone()), ..Has::default() });
    *has.files.lock().unwrap() = some_files();
    let (session, _serving) = session(&has).await;
    let tree = yard.receive(&session).await;
    let branches =
        |under: Option<&str>| send::Branch { under: under.map(str::to_owned), tree: tree.clone() };
    let transfer = || yard.vertex.transfer("copying files");
    send::tree(&session, 0, vec![branches(None)], None, transfer()).await.unwrap();
    let expected = all(&path(&tree));
    let arrived = || {
        let found = taken.usage();
        all(&yard.directory.path().join("taken").join(&found[0].id).join("tree"))
    };
    assert_eq!(arrived(), expected);

    let both = vec![branches(Some("linux_arm64")), branches(Some("linux_amd64"))];
    send::tree(&session, 0, both, Some(7_000_000_005), transfer()).await.unwrap();
    let arrived = arrived();
    assert_eq!(arrived.len(), 2 * expected.len() + 2);
    assert!(arrived[Path::new("linux_arm64/src/main")].ends_with("(7, 5) main"));
}
