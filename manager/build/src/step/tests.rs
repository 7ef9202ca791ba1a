//! COPY, as BuildKit does it, told as trees before and after.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode as Bits, Timespec, Timestamps, mknodat};
use tare_dockerfile::plan::{Selection, StageId};
use tare_dockerfile::source::Mode;
use tempfile::TempDir;

use super::*;

/// Nobody unpacks here.
struct Nobody;

impl Unpacker for Nobody {
    fn unpack_over(
        &self,
        _: &mut (dyn Read + Send),
        _: &OwnedFd,
        _: Option<(u32, u32)>,
    ) -> tare_core::Result<()> {
        Err(tare_core::Error::invalid("it would be unpacked"))
    }
}

/// A source, a destination, and a canary beside them.
struct Yard(TempDir);

impl Yard {
    fn new() -> Self {
        let yard = Self(tempfile::tempdir().unwrap());
        for directory in ["from", "to", "outside"] {
            fs::create_dir(yard.0.path().join(directory)).unwrap();
        }
        fs::write(yard.0.path().join("outside/canary"), "alive").unwrap();
        yard
    }

    fn from(&self, path: &str) -> PathBuf {
        self.0.path().join("from").join(path)
    }

    fn to(&self, path: &str) -> PathBuf {
        self.0.path().join("to").join(path)
    }

    fn tree(&self) -> Tree {
        Tree::new(fs::File::open(self.from("")).unwrap().into(), ())
    }

    /// Files with their paths for text, and directories where a path ends so.
    fn with(self, paths: &[&str]) -> Self {
        for path in paths {
            fill(&self.from(path));
        }
        self
    }

    fn and_there(self, paths: &[&str]) -> Self {
        for path in paths {
            fill(&self.to(path));
        }
        self
    }

    fn copy(&self, copying: &Copying) -> Result<()> {
        let root = fs::File::open(self.to("")).unwrap();
        let (_wanted, given_up) = watch::channel(false);
        let (unpacker, root) = (&Nobody, root.as_fd());
        let place = Place { root, accounts: root, unpacker, given_up: &given_up };
        let sources: Vec<_> = copying.items.iter().map(|_| Some(self.tree())).collect();
        let done = copy(copying, &sources, &place);
        let canary = self.0.path().join("outside/canary");
        assert_eq!(fs::read(&canary).unwrap(), b"alive");
        assert_eq!(fs::read_dir(self.0.path().join("outside")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 3);
        done
    }

    fn make(&self, path: &str, user: &str) -> Result<bool> {
        let root = fs::File::open(self.to("")).unwrap();
        let (_wanted, given_up) = watch::channel(false);
        let (unpacker, root) = (&Nobody, root.as_fd());
        let place = Place { root, accounts: root, unpacker, given_up: &given_up };
        make(&Making { path: path.to_owned(), user: user.to_owned() }, &place)
    }

    /// All that is there now, by path; a directory ends with a slash.
    fn there(&self) -> Vec<String> {
        listed(&self.to(""), "")
    }

    fn digest(&self, copying: &Copying) -> Result<String> {
        let item = copying.items.first().unwrap();
        digest(&self.tree(), item, &copying.exclude).map(|digest| digest.to_string())
    }
}

fn fill(path: &Path) {
    let is_directory = path.to_string_lossy().ends_with('/');
    let parent = if is_directory { path } else { path.parent().unwrap() };
    fs::create_dir_all(parent).unwrap();
    if !is_directory {
        fs::write(path, path.to_string_lossy().as_bytes()).unwrap();
    }
}

fn listed(directory: &Path, above: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            all.extend(listed(&entry.path(), &format!("{name}/")));
            all.push(format!("{name}/"));
        } else {
            all.push(name);
        }
    }
    all.sort();
    all
}

fn item(path: &str) -> Item {
    let archive = Archive::Kept;
    Item::Files {
        origin: Origin::Stage(StageId::default()),
        path: path.to_owned(),
        selection: None,
        archive,
    }
}

fn copying(paths: &[&str], destination: &str) -> Copying {
    Copying {
        items: paths.iter().map(|path| item(path)).collect(),
        destination: destination.to_owned(),
        owner: String::new(),
        mode: None,
        exclude: Vec::new(),
        link: false,
    }
}

fn with_parents(top: &str, pattern: &str, required: Option<&str>, destination: &str) -> Copying {
    let mut copying = copying(&[top], destination);
    if let Some(Item::Files { selection, .. }) = copying.items.first_mut() {
        let (pattern, required) = (pattern.to_owned(), required.map(str::to_owned));
        *selection = Some(Selection { pattern, required });
    }
    copying
}

fn set_times(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 5 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// What is there, what was there, sources, destination, what is there then.
type Copied<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str, &'a [&'a str]);
/// What is there, what was there, source, destination, what is said.
type Refused<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a str, &'a str);

#[test]
fn what_goes_where() {
    let cases: &[Copied] = &[
        (&["a"], &[], &["/a"], "/b", &["b"]),
        (&["a"], &[], &["/a"], "/b/", &["b/", "b/a"]),
        (&["a"], &["b/"], &["/a"], "/b", &["b/", "b/a"]),
        (&["a"], &["b"], &["/a"], "/b", &["b"]),
        (&["a"], &[], &["/a"], "/x/y/z", &["x/", "x/y/", "x/y/z"]),
        (&["d/e/f", "d/g"], &[], &["/d"], "/x", &["x/", "x/e/", "x/e/f", "x/g"]),
        (&["d/e/f"], &["x/e/h"], &["/d/"], "/x/", &["x/", "x/e/", "x/e/f", "x/e/h"]),
        (&["d/f", "g"], &[], &["/d", "/g"], "/x/", &["x/", "x/f", "x/g"]),
        (&["d/f"], &[], &["/"], "/", &["d/", "d/f"]),
        (&["a1", "a2", "b"], &[], &["/a*"], "/x/", &["x/", "x/a1", "x/a2"]),
        (&["a/1/f", "b/1/g", "b/2/h"], &[], &["/*/1"], "/x", &["x/", "x/f", "x/g"]),
        (&["a"], &[], &["/a"], "/x/..", &["a"]),
        (&["a"], &[], &["/a"], "/x/../y/.", &["y/", "y/a"]),
        (&["a", "b"], &[], &["/c*"], "/x/", &[]),
        (&["d/f"], &[], &["/d*"], "/x/", &["x/", "x/f"]),
        (&["[a]"], &[], &["/[[]a]"], "/x/", &["x/", "x/[a]"]),
    ];
    for (from, before, sources, destination, after) in cases {
        let yard = Yard::new().with(from).and_there(before);
        yard.copy(&copying(sources, destination)).unwrap();
        assert_eq!(yard.there(), *after, "{sources:?} to {destination}");
    }
}

#[test]
fn what_cannot_be_is_said_in_known_words() {
    let cases: &[Refused] = &[
        (&[], &[], "/a", "/x", "\"/a\": not found"),
        (&["a"], &[], "/a/b", "/x", "\"/a/b\": not found"),
        (&["d/"], &["x"], "/d", "/x", "cannot copy to non-directory: /x"),
        (&["d/e/"], &["x/e"], "/d", "/x", "cannot copy to non-directory: /x/e"),
        (&["d/e"], &["x/e/f"], "/d", "/x", "cannot replace to directory /x/e with file"),
        (&["a"], &["x/a/f"], "/a", "/x", "cannot replace to directory /x/a with file"),
        (&["a"], &["x"], "/a", "/x/y", "mkdir /x: not a directory"),
        (&[], &[], "/a/b/*.c", "/x", "lstat /a/b: no such file or directory"),
    ];
    for (from, before, source, destination, expected) in cases {
        let yard = Yard::new().with(from).and_there(before);
        let error = yard.copy(&copying(&[source], destination)).unwrap_err();
        assert_eq!(error.message, *expected);
    }
}

#[test]
fn links_mean_what_they_mean_inside() {
    let yard = Yard::new().with(&["real/f", "outer"]).and_there(&["target/"]);
    symlink("/real", yard.from("d")).unwrap();
    symlink("../../../outer", yard.from("up")).unwrap();
    symlink("/nowhere", yard.from("dangling")).unwrap();
    symlink(yard.0.path().join("outside"), yard.from("out")).unwrap();
    symlink("/target", yard.to("way")).unwrap();
    symlink(yard.0.path().join("outside/canary"), yard.to("trap")).unwrap();
    symlink(yard.0.path().join("outside"), yard.to("traps")).unwrap();
    yard.copy(&copying(&["/d"], "/way/")).unwrap();
    yard.copy(&copying(&["/up"], "/way/")).unwrap();
    assert!(yard.to("target/f").is_file() && yard.to("target/up").is_file());
    for missing in ["/dangling", "/out", "/out/canary"] {
        assert!(yard.copy(&copying(&[missing], "/x")).unwrap_err().message.ends_with("not found"));
    }
    // Those at the destination lead to places inside, which are made.
    yard.copy(&copying(&["/outer"], "/trap")).unwrap();
    yard.copy(&copying(&["/outer"], "/traps/canary")).unwrap();
    let inside = format!("to{}", yard.0.path().join("outside").display());
    assert!(yard.0.path().join(inside).join("canary").is_file());
    // In a directory they are copied as they are.
    let yard = Yard::new().with(&["d/"]).and_there(&["x/l"]);
    symlink("/etc/passwd", yard.from("d/l")).unwrap();
    yard.copy(&copying(&["/d"], "/x")).unwrap();
    assert_eq!(fs::read_link(yard.to("x/l")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn owners_modes_and_times_are_buildkits() {
    let yard = Yard::new().with(&["d/e/f"]);
    for (path, id, mode) in [("d", 1, 0o700), ("d/e", 2, 0o711), ("d/e/f", 3, 0o4640)] {
        chown(yard.from(path), Some(id), Some(id)).unwrap();
        fs::set_permissions(yard.from(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("f", yard.from("d/e/l")).unwrap();
    lchown(yard.from("d/e/l"), Some(4), Some(4)).unwrap();
    for (path, time) in [("d/e/f", 1000), ("d/e/l", 1500), ("d/e", 2000), ("d", 3000)] {
        set_times(&yard.from(path), time);
    }
    let said = |path: &str| {
        let facts = fs::symlink_metadata(yard.to(path)).unwrap();
        (facts.uid(), facts.mode() & 0o7777, facts.mtime())
    };
    yard.copy(&copying(&["/d"], "/x")).unwrap();
    // The one at the destination is new, and nobody's copy; it has the time alone.
    assert_eq!(said("x"), (0, 0o755, 3000));
    assert_eq!(said("x/e"), (2, 0o711, 2000));
    assert_eq!(said("x/e/f"), (3, 0o4640, 1000));
    assert_eq!((said("x/e/l").0, said("x/e/l").2), (4, 1500));
    assert_eq!(fs::metadata(yard.to("x/e/f")).unwrap().mtime_nsec(), 5);

    fs::create_dir(yard.to("etc")).unwrap();
    fs::write(yard.to("etc/passwd"), "me:x:70:71::/:\n").unwrap();
    let mode = Some(Mode::parse("2750").unwrap());
    let changed = Copying { owner: "me".to_owned(), mode, ..copying(&["/d"], "/y/z") };
    yard.copy(&changed).unwrap();
    assert_eq!((said("y").0, said("y").1), (70, 0o750));
    assert_eq!(said("y/z"), (70, 0o750, 3000));
    assert_eq!(said("y/z/e"), (70, 0o2750, 2000));
    assert_eq!(said("y/z/e/f"), (70, 0o2750, 1000));
    assert_eq!(said("y/z/e/l").0, 70);
    assert_eq!(fs::metadata(yard.to("y/z/e/f")).unwrap().gid(), 71);

    let mode = Some(Mode::parse("u=rwX,go=rX").unwrap());
    yard.copy(&Copying { mode, ..copying(&["/d"], "/w") }).unwrap();
    assert_eq!((said("w").1, said("w/e").1, said("w/e/f").1), (0o755, 0o755, 0o644));
}

#[test]
fn what_is_from_elsewhere_is_roots() {
    let yard = Yard::new().with(&["f"]);
    chown(yard.from("f"), Some(9), Some(9)).unwrap();
    let mut copying = copying(&["/f"], "/");
    if let Some(Item::Files { origin, .. }) = copying.items.first_mut() {
        *origin = Origin::Context;
    }
    yard.copy(&copying).unwrap();
    assert_eq!(fs::metadata(yard.to("f")).unwrap().uid(), 0);
}

#[test]
fn documents_are_files() {
    let yard = Yard::new().and_there(&["d/", "there"]);
    let document = |name: &str, text: &str| Item::Document { name: name.into(), text: text.into() };
    let items = vec![document("one", "1\n"), document("two", "")];
    yard.copy(&Copying { items, ..copying(&[], "/d") }).unwrap();
    let items = vec![document("EOF", "3")];
    let mode = Some(Mode::parse("a+x").unwrap());
    yard.copy(&Copying { items, mode, owner: "7:8".into(), ..copying(&[], "/there") }).unwrap();
    assert_eq!(yard.there(), ["d/", "d/one", "d/two", "there"]);
    assert_eq!(fs::read_to_string(yard.to("d/one")).unwrap(), "1\n");
    assert_eq!(fs::metadata(yard.to("d/one")).unwrap().mode() & 0o7777, 0o644);
    let facts = fs::metadata(yard.to("there")).unwrap();
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (7, 8, 0o755));
}

#[test]
fn exclusions_and_parents_choose() {
    let files = ["a/b/c.txt", "a/b/d.go", "a/e/c.txt", "f.txt", "a/g/"];
    let exclude = |patterns: &[&str], path| {
        let exclude = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Copying { exclude, ..copying(&[path], "/x/") }
    };
    let cases: &[(Copying, &[&str])] = &[
        (exclude(&["**/*.txt"], "/"), &["x/", "x/a/", "x/a/b/", "x/a/b/d.go", "x/a/e/", "x/a/g/"]),
        (exclude(&["a/b"], "/"), &["x/", "x/a/", "x/a/e/", "x/a/e/c.txt", "x/a/g/", "x/f.txt"]),
        (exclude(&["*", "!a/b/d.go"], "/"), &["x/", "x/a/", "x/a/b/", "x/a/b/d.go"]),
        (exclude(&["b"], "/a"), &["x/", "x/e/", "x/e/c.txt", "x/g/"]),
        (
            with_parents("/", "a/b/c.txt", Some("/a/b/c.txt"), "/x/"),
            &["x/", "x/a/", "x/a/b/", "x/a/b/c.txt"],
        ),
        (
            with_parents("/", "a/*/c.txt", None, "/x/"),
            &["x/", "x/a/", "x/a/b/", "x/a/b/c.txt", "x/a/e/", "x/a/e/c.txt"],
        ),
        (with_parents("/a", "b", Some("/a/b"), "/x/"), &["x/", "x/b/", "x/b/c.txt", "x/b/d.go"]),
    ];
    for (copying, after) in cases {
        let yard = Yard::new().with(&files);
        yard.copy(copying).unwrap();
        assert_eq!(yard.there(), *after, "{copying:?}");
    }
    let yard = Yard::new().with(&files);
    let missing = with_parents("/", "a/z", Some("/a/z"), "/x/");
    assert_eq!(yard.copy(&missing).unwrap_err().message, "\"/a/z\": not found");
    assert_eq!(yard.digest(&missing).unwrap_err().message, "\"/a/z\": not found");
}

#[test]
fn all_kinds_of_files_are_copied() {
    let yard = Yard::new().with(&["d/one"]);
    fs::hard_link(yard.from("d/one"), yard.from("d/two")).unwrap();
    let node = |name: &str, kind, device| {
        mknodat(CWD, yard.from(name), kind, Bits::RUSR, device).unwrap();
    };
    node("d/fifo", FileType::Fifo, 0);
    node("d/zero", FileType::CharacterDevice, rustix::fs::makedev(1, 5));
    node("d/loop", FileType::BlockDevice, rustix::fs::makedev(7, 77));
    node("d/socket", FileType::Socket, 0);
    let sparse = fs::File::create(yard.from("d/sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let raw: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = |file: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set(&yard.from("d/one"), "security.capability", &raw);
    set(&yard.from("d/sparse"), "user.note", b"kept");
    yard.copy(&Copying { owner: "5".into(), ..copying(&["/d"], "/x") }).unwrap();
    let facts = |name: &str| fs::symlink_metadata(yard.to(name)).unwrap();
    assert_eq!((facts("x/one").ino(), facts("x/one").nlink()), (facts("x/two").ino(), 2));
    assert!(facts("x/fifo").file_type().is_fifo());
    assert!(facts("x/zero").file_type().is_char_device());
    assert!(facts("x/loop").file_type().is_block_device());
    assert_eq!(facts("x/zero").rdev(), rustix::fs::makedev(1, 5));
    // Nobody listens at a copy.
    assert!(facts("x/socket").is_file() && facts("x/socket").len() == 0);
    assert!(facts("x/sparse").blocks() < 100);
    let got = |name: &str, attribute: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(yard.to(name), attribute, value.as_mut_slice()).unwrap();
        value[..length].to_vec()
    };
    assert_eq!(got("x/one", "security.capability"), raw);
    assert_eq!(got("x/sparse", "user.note"), b"kept");
}

#[test]
fn directories_are_made_for_their_user() {
    let yard = Yard::new().and_there(&["there/", "file"]);
    symlink("/away/deep", yard.to("link")).unwrap();
    assert!(!yard.make("/there", "5").unwrap());
    assert!(yard.make("/new/er", "5:6").unwrap());
    assert!(!yard.make("/new/er", "").unwrap());
    assert!(yard.make("/link/x", "").unwrap());
    let facts = fs::metadata(yard.to("new")).unwrap();
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (5, 6, 0o755));
    assert!(yard.to("away/deep/x").is_dir());
    assert_eq!(fs::metadata(yard.to("there")).unwrap().uid(), 0);
    assert_eq!(yard.make("/file", "").unwrap_err().message, "mkdir /file: not a directory");
    assert_eq!(yard.make("/file/x", "").unwrap_err().message, "lstat /file/x: not a directory");
}

#[test]
fn archives_are_told_by_what_they_have() {
    let yard = Yard::new().with(&["text"]);
    let unpacked = |path: &str| {
        let mut copying = copying(&[path], "/x/");
        if let Some(Item::Files { archive, .. }) = copying.items.first_mut() {
            *archive = Archive::Unpacked;
        }
        yard.copy(&copying)
    };
    let mut header = vec![0_u8; 1024];
    header[..4].copy_from_slice(b"name");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(yard.from("tar"), &header).unwrap();
    fs::write(yard.from("half"), &header[..300]).unwrap();
    unpacked("/text").unwrap();
    unpacked("/half").unwrap();
    assert_eq!(unpacked("/tar").unwrap_err().message, "it would be unpacked");
    assert_eq!(yard.there(), ["x/", "x/half", "x/text"]);
}

#[test]
fn digests_tell_what_a_copy_would_see() {
    let yard = Yard::new().with(&["d/e/f", "d/g", "h"]);
    let of_all = copying(&["/d"], "/");
    let first = yard.digest(&of_all).unwrap();
    // Times, what is elsewhere, and what is said of the directory itself change nothing.
    set_times(&yard.from("d/e/f"), 77);
    fs::write(yard.from("h"), "other").unwrap();
    fs::set_permissions(yard.from("d"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(yard.digest(&of_all).unwrap(), first);
    let without = Copying { exclude: vec!["g".to_owned()], ..copying(&["/d"], "/") };
    let before = yard.digest(&without).unwrap();
    fs::write(yard.from("d/g"), "other").unwrap();
    assert_eq!(yard.digest(&without).unwrap(), before);
    let mut seen = vec![first, yard.digest(&of_all).unwrap()];
    fs::set_permissions(yard.from("d/g"), fs::Permissions::from_mode(0o600)).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    chown(yard.from("d/g"), Some(3), None).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    fs::rename(yard.from("d/g"), yard.from("d/i")).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    fs::create_dir(yard.from("d/empty")).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    symlink("a", yard.from("d/l")).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    fs::remove_file(yard.from("d/l")).unwrap();
    symlink("b", yard.from("d/l")).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    let note = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(yard.from("d/i"), "user.note", b"n", note).unwrap();
    seen.push(yard.digest(&of_all).unwrap());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

/// A path of few names, so that they meet, and some that lead elsewhere.
fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[abc]", Just("..".to_owned()), Just(".".to_owned())], 1..4)
        .prop_map(|names| names.join("/"))
}

/// Puts links, files and directories where they fit.
fn plant(root: &Path, plants: &[(String, u8, String)]) {
    for (path, kind, target) in plants {
        let clean: Vec<&str> = path.split('/').filter(|name| !name.starts_with('.')).collect();
        let mut at = root.to_owned();
        let mut fits = !clean.is_empty();
        for name in &clean {
            fits &= fs::symlink_metadata(&at).is_ok_and(|facts| facts.is_dir());
            at.push(name);
        }
        if !fits || fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        match kind {
            0 => fs::write(&at, "text").unwrap(),
            1 => symlink(format!("/{target}"), &at).unwrap(),
            2 => symlink("../outside/canary", &at).unwrap(),
            _ => fs::create_dir(&at).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is planted in both trees, nothing beside them is read or changed, and what was copied
    /// has the same digest.
    #[test]
    fn nothing_leads_out(
        source in prop::collection::vec((any_path(), 0..4_u8, any_path()), 0..12),
        target in prop::collection::vec((any_path(), 0..4_u8, any_path()), 0..12),
        from in any_path(),
        to in any_path(),
        ends in prop_oneof![Just("/"), Just("")],
    ) {
        let yard = Yard::new();
        plant(&yard.from(""), &source);
        plant(&yard.to(""), &target);
        let copying = copying(&[&format!("/{from}")], &format!("/{to}{ends}"));
        let digest = yard.digest(&copying);
        let copied = yard.copy(&copying);
        prop_assert!(digest.is_ok() || copied.is_err());
        let mut texts = Vec::new();
        collect(&yard.to(""), &mut texts);
        prop_assert!(texts.iter().all(|text| text == b"text"));
    }
}

fn collect(directory: &Path, texts: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let facts = fs::symlink_metadata(&path).unwrap();
        if facts.is_dir() {
            collect(&path, texts);
        } else if facts.is_file() {
            texts.push(fs::read(&path).unwrap());
        }
    }
}
