//! What an image should show: the same steps, done in memory in the plainest way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use proptest::prelude::*;
use tare_erofs::{Attributes, Data, Kind, NodeId, Time, Tree};

/// Something that is done to a tree. One that makes no sense there is left out.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    File { path: String, content: Vec<u8> },
    Sparse { path: String, size: u64, parts: Vec<Range<u64>> },
    Directory { path: String },
    Symlink { path: String, target: String },
    CharacterDevice { path: String, major: u32, minor: u32 },
    BlockDevice { path: String, major: u32, minor: u32 },
    Fifo { path: String },
    HardLink { path: String, to: String },
    Remove { path: String },
    Attributes { path: String, attributes: Attributes },
}

pub(crate) fn file(path: &str, content: &[u8]) -> Step {
    Step::File { path: path.to_owned(), content: content.to_vec() }
}

pub(crate) fn symlink(path: &str, target: &str) -> Step {
    Step::Symlink { path: path.to_owned(), target: target.to_owned() }
}

/// Few names, so that steps meet.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => "[a-d]",
        1 => "[-!~]{1,3}",
        1 => "[e-g]{100,255}",
    ];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn sparse() -> impl Strategy<Value = Step> {
    let parts = prop::collection::vec((0_u64..9000, 0_u64..9000), 0..5);
    (path(), parts, 0_u64..300_000).prop_map(|(path, gaps, tail)| {
        let mut end = 0;
        let mut parts = Vec::new();
        for (gap, length) in gaps {
            parts.push(end + gap..end + gap + length);
            end += gap + length;
        }
        Step::Sparse { path, size: end + tail, parts }
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let name =
        prop_oneof!["user\\.[a-c]{1,20}", "trusted\\.[a-c]{1,20}", "security\\.[a-c]{1,200}",];
    let value = prop::collection::vec(any::<u8>(), 0..700);
    let extended = prop::collection::btree_map(name.prop_map(String::into_bytes), value, 0..4);
    // Times at which every program can look.
    let seconds = -4_000_000_000_i64..40_000_000_000;
    (0_u16..0o10000, any::<u32>(), any::<u32>(), seconds, 0_u32..1_000_000_000, extended).prop_map(
        |(mode, uid, gid, seconds, nanoseconds, extended)| {
            let (uid, gid) = (uid.min(u32::MAX - 1), gid.min(u32::MAX - 1));
            let modified = Time { seconds, nanoseconds };
            Attributes { mode, uid, gid, modified, extended }
        },
    )
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..1200),
        1 => (0_usize..20_000).prop_map(|size| vec![b'x'; size]),
    ];
    prop_oneof![
        4 => (path(), content).prop_map(|(path, content)| Step::File { path, content }),
        1 => sparse(),
        5 => path().prop_map(|path| Step::Directory { path }),
        2 => (path(), "[a-z/.]{1,600}").prop_map(|(path, target)| Step::Symlink { path, target }),
        1 => (path(), 0_u32..4096, 0_u32..1 << 20)
            .prop_map(|(path, major, minor)| Step::CharacterDevice { path, major, minor }),
        1 => (path(), 0_u32..4096, 0_u32..1 << 20)
            .prop_map(|(path, major, minor)| Step::BlockDevice { path, major, minor }),
        1 => path().prop_map(|path| Step::Fifo { path }),
        3 => (path(), path()).prop_map(|(path, to)| Step::HardLink { path, to }),
        2 => path().prop_map(|path| Step::Remove { path }),
        5 => (path(), attributes())
            .prop_map(|(path, attributes)| Step::Attributes { path, attributes }),
    ]
}

/// Something in the model; its other names share it.
struct Thing {
    what: What,
    attributes: Attributes,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    Device { block: bool, major: u32, minor: u32 },
    Fifo,
}

type Shared = Rc<RefCell<Thing>>;

/// Everything that should be there, by path; the root's is empty.
pub(crate) struct Model {
    things: BTreeMap<String, Shared>,
}

impl Model {
    /// An empty root of mode 755.
    pub(crate) fn new() -> Self {
        let attributes = Attributes { mode: 0o755, ..Attributes::default() };
        let root = Rc::new(RefCell::new(Thing { what: What::Directory, attributes }));
        Self { things: BTreeMap::from([(String::new(), root)]) }
    }

    /// Does `step` to both.
    pub(crate) fn apply(&mut self, step: &Step, tree: &mut Tree, data: &mut Data) {
        match step {
            Step::File { path, content } => {
                let mut file = data.file(content.len() as u64).unwrap();
                content.chunks(1000).for_each(|piece| file.write(piece).unwrap());
                let kind = Kind::File(file.finish().unwrap());
                self.put(path, kind, What::File(content.clone()), tree);
            }
            Step::Sparse { path, size, parts } => {
                let mut content = vec![0; *size as usize];
                let mut file = data.sparse_file(*size, parts).unwrap();
                for part in parts {
                    let bytes: Vec<u8> = part.clone().map(|at| (at % 251) as u8).collect();
                    file.write(&bytes).unwrap();
                    content[part.start as usize..part.end as usize].copy_from_slice(&bytes);
                }
                let kind = Kind::File(file.finish().unwrap());
                self.put(path, kind, What::File(content), tree);
            }
            Step::Directory { path } => self.put(path, Kind::Directory, What::Directory, tree),
            Step::Symlink { path, target } => {
                let kind = Kind::Symlink(target.clone().into_bytes());
                self.put(path, kind, What::Symlink(target.clone()), tree);
            }
            &Step::CharacterDevice { ref path, major, minor } => {
                let what = What::Device { block: false, major, minor };
                self.put(path, Kind::CharacterDevice(major, minor), what, tree);
            }
            &Step::BlockDevice { ref path, major, minor } => {
                let what = What::Device { block: true, major, minor };
                self.put(path, Kind::BlockDevice(major, minor), what, tree);
            }
            Step::Fifo { path } => self.put(path, Kind::Fifo, What::Fifo, tree),
            Step::HardLink { path, to } => self.link(path, to, tree),
            Step::Remove { path } => {
                if let Some((directory, name)) = self.place(path, tree) {
                    self.forget(path);
                    tree.remove(directory, name);
                }
            }
            Step::Attributes { path, attributes } => {
                if let Some(thing) = self.things.get(path) {
                    let mut thing = thing.borrow_mut();
                    thing.attributes = attributes.clone();
                    if !matches!(thing.what, What::File(_) | What::Directory) {
                        // The kernel lists those of the user, but reads them of no other kind.
                        thing.attributes.extended.retain(|name, _| !name.starts_with(b"user."));
                    }
                    let node = find(tree, path).unwrap();
                    tree.set_attributes(node, thing.attributes.clone()).unwrap();
                }
            }
        }
    }

    fn put(&mut self, path: &str, kind: Kind, what: What, tree: &mut Tree) {
        let Some((directory, name)) = self.place(path, tree) else { return };
        self.forget(path);
        let attributes = Attributes { mode: 0o640, ..Attributes::default() };
        tree.put(directory, name, kind, attributes.clone()).unwrap();
        let thing = Rc::new(RefCell::new(Thing { what, attributes }));
        self.things.insert(path.to_owned(), thing);
    }

    fn link(&mut self, path: &str, to: &str, tree: &mut Tree) {
        let Some(thing) = self.things.get(to).map(Rc::clone) else { return };
        let into_itself = path == to || path.starts_with(&format!("{to}/"));
        // What the new name replaces may be, or hold, the thing itself.
        let over_itself = to.starts_with(&format!("{path}/"));
        if thing.borrow().what == What::Directory || into_itself || over_itself {
            return;
        }
        let Some((directory, name)) = self.place(path, tree) else { return };
        tree.link(directory, name, find(tree, to).unwrap()).unwrap();
        self.forget(path);
        self.things.insert(path.to_owned(), thing);
    }

    /// The directory that `path` is in, if there is one.
    fn place<'a>(&self, path: &'a str, tree: &Tree) -> Option<(NodeId, &'a [u8])> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.things.get(above)?.borrow().what == What::Directory;
        directory.then(|| (find(tree, above).unwrap(), name.as_bytes()))
    }

    fn forget(&mut self, path: &str) {
        if !self.things.contains_key(path) {
            return;
        }
        let below = format!("{path}/");
        self.things.retain(|other, _| other != path && !other.starts_with(&below));
    }

    /// Compares all with what is mounted at `root`.
    pub(crate) fn compare(&self, root: &Path) {
        let mut seen = BTreeSet::new();
        list(root, "", &mut seen);
        let expected: BTreeSet<String> = self.things.keys().cloned().collect();
        assert_eq!(seen, expected);
        let links = self.links();
        let mut inodes = BTreeMap::new();
        for (path, thing) in &self.things {
            let shown = root.join(path);
            let stat = std::fs::symlink_metadata(&shown).unwrap();
            compare_one(path, &shown, &thing.borrow(), &stat);
            assert_eq!(stat.nlink(), links[&Rc::as_ptr(thing)], "links of {path:?}");
            assert_ne!(stat.ino(), 0, "{path:?}");
            let first = *inodes.entry(stat.ino()).or_insert(Rc::as_ptr(thing));
            assert!(first == Rc::as_ptr(thing), "{path:?} shares its inode");
        }
    }

    /// How many names lead to each thing: to a directory, those in itself and below it too.
    fn links(&self) -> BTreeMap<*const RefCell<Thing>, u64> {
        let mut links = BTreeMap::new();
        for (path, thing) in &self.things {
            *links.entry(Rc::as_ptr(thing)).or_default() += 1;
            if thing.borrow().what == What::Directory {
                *links.entry(Rc::as_ptr(thing)).or_default() += 1;
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                if !name.is_empty() {
                    *links.entry(Rc::as_ptr(&self.things[above])).or_default() += 1;
                }
            }
        }
        links
    }
}

fn find(tree: &Tree, path: &str) -> Option<NodeId> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.into_iter().try_fold(Tree::ROOT, |above, name| tree.find(above, name.as_bytes()))
}

fn list(root: &Path, path: &str, seen: &mut BTreeSet<String>) {
    assert!(seen.insert(path.to_owned()), "{path:?} is listed twice");
    for entry in std::fs::read_dir(root.join(path)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
        let stat = std::fs::symlink_metadata(root.join(&inner)).unwrap();
        // The type and number that a listing tells are the thing's own.
        assert_eq!(entry.file_type().unwrap(), stat.file_type(), "{inner:?}");
        assert_eq!(std::os::unix::fs::DirEntryExt::ino(&entry), stat.ino(), "{inner:?}");
        if stat.is_dir() {
            list(root, &inner, seen);
        } else {
            assert!(seen.insert(inner), "something is listed twice");
        }
    }
}

fn compare_one(path: &str, shown: &Path, thing: &Thing, stat: &Metadata) {
    let attributes = &thing.attributes;
    let (kind, device) = match &thing.what {
        What::Directory => (0o040_000, 0),
        What::File(content) => {
            assert_eq!(stat.len(), content.len() as u64, "size of {path:?}");
            assert!(std::fs::read(shown).unwrap() == *content, "content of {path:?}");
            (0o100_000, 0)
        }
        What::Symlink(target) => {
            let shown = std::fs::read_link(shown).unwrap();
            assert_eq!(shown.as_os_str().as_bytes(), target.as_bytes(), "target of {path:?}");
            (0o120_000, 0)
        }
        What::Device { block, major, minor } => {
            let kind = if *block { 0o060_000 } else { 0o020_000 };
            (kind, rustix::fs::makedev(*major, *minor))
        }
        What::Fifo => (0o010_000, 0),
    };
    assert_eq!(stat.mode(), kind | u32::from(attributes.mode), "mode of {path:?}");
    assert_eq!(stat.rdev(), device, "device of {path:?}");
    assert_eq!((stat.uid(), stat.gid()), (attributes.uid, attributes.gid), "owner of {path:?}");
    let time = Time { seconds: stat.mtime(), nanoseconds: stat.mtime_nsec() as u32 };
    assert_eq!(time, attributes.modified, "time of {path:?}");
    assert_eq!(extended(shown), attributes.extended, "attributes of {path:?}");
}

fn extended(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}
