//! The tree of an image, in memory until all of it is known.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use crate::attributes;
use crate::data::{Content, invalid};

/// Bytes of the longest name.
const LONGEST_NAME: usize = 255;

/// Bytes of the longest target of a symbolic link.
pub(crate) const LONGEST_TARGET: usize = 4095;

/// The tree of an image: the root and what was put into it.
pub struct Tree {
    nodes: Vec<Node>,
}

/// A file, directory or anything else in a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
    pub(crate) entries: Entries,
    /// Names that lead to it.
    pub(crate) links: u32,
    /// The directory it was put into first.
    pub(crate) parent: NodeId,
}

pub(crate) type Entries = BTreeMap<Box<[u8]>, NodeId>;

/// What something in a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A character device; one of major and minor number 0 is overlay's mark of something deleted.
    CharacterDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// What is said of something in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The permissions, with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content last changed.
    pub modified: Time,
    /// Extended attributes, by their whole names.
    pub extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Seconds since 1970 and nanoseconds upon them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds; negative ones are before 1970.
    pub seconds: i64,
    /// Less than a second.
    pub nanoseconds: u32,
}

impl Tree {
    /// The root of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree of an empty root.
    ///
    /// # Errors
    /// The attributes don't fit into an image.
    pub fn new(root: Attributes) -> io::Result<Self> {
        let mut tree = Self { nodes: Vec::new() };
        tree.add(Kind::Directory, root, Self::ROOT)?;
        Ok(tree)
    }

    /// What `directory` has under `name`.
    #[must_use]
    pub fn find(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.node(directory).entries.get(name).copied()
    }

    /// What `node` is.
    #[must_use]
    pub fn kind(&self, node: NodeId) -> &Kind {
        &self.node(node).kind
    }

    /// What is said of `node`.
    #[must_use]
    pub fn attributes(&self, node: NodeId) -> &Attributes {
        &self.node(node).attributes
    }

    /// Says something else of `node`.
    ///
    /// # Errors
    /// The attributes don't fit into an image.
    pub fn set_attributes(&mut self, node: NodeId, attributes: Attributes) -> io::Result<()> {
        attributes::check(&attributes)?;
        self.node_mut(node).attributes = attributes;
        Ok(())
    }

    /// The names in `directory`, in the order of their bytes.
    pub fn names(&self, directory: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        self.node(directory).entries.iter().map(|(name, node)| (&**name, *node))
    }

    /// Puts something new into `directory`, in place of what has that name.
    ///
    /// # Errors
    /// The name or something else doesn't fit into an image, or `directory` is none.
    pub fn put(
        &mut self,
        directory: NodeId,
        name: &[u8],
        kind: Kind,
        attributes: Attributes,
    ) -> io::Result<NodeId> {
        self.check_place(directory, name)?;
        kind.check()?;
        let node = self.add(kind, attributes, directory)?;
        self.enter(directory, name, node);
        Ok(node)
    }

    /// Gives `node`, which is no directory, one more name.
    ///
    /// # Errors
    /// It is a directory, the name doesn't fit into an image, or `directory` is none.
    pub fn link(&mut self, directory: NodeId, name: &[u8], node: NodeId) -> io::Result<()> {
        self.check_place(directory, name)?;
        if *self.kind(node) == Kind::Directory {
            return Err(invalid("a directory has one name only"));
        }
        self.enter(directory, name, node);
        Ok(())
    }

    /// Takes what `directory` has under `name` away, with all below it.
    pub fn remove(&mut self, directory: NodeId, name: &[u8]) {
        if let Some(node) = self.node_mut(directory).entries.remove(name) {
            self.release(node);
        }
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    /// How many nodes there ever were; [`NodeId::index`] is less than that.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.index()]
    }

    fn add(&mut self, kind: Kind, attributes: Attributes, parent: NodeId) -> io::Result<NodeId> {
        attributes::check(&attributes)?;
        let id = u32::try_from(self.nodes.len()).map_err(|_| invalid("too many files"))?;
        self.nodes.push(Node { kind, attributes, entries: Entries::new(), links: 0, parent });
        Ok(NodeId(id))
    }

    fn check_place(&self, directory: NodeId, name: &[u8]) -> io::Result<()> {
        if *self.kind(directory) != Kind::Directory {
            return Err(invalid("only a directory has names in it"));
        }
        let plain = !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        if !plain || name.contains(&b'/') {
            return Err(invalid("this can't be a name"));
        }
        if name.len() > LONGEST_NAME {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the name is too long"));
        }
        Ok(())
    }

    fn enter(&mut self, directory: NodeId, name: &[u8], node: NodeId) {
        self.node_mut(node).links += 1;
        let replaced = match self.node_mut(directory).entries.entry(name.into()) {
            Entry::Occupied(mut entry) => Some(entry.insert(node)),
            Entry::Vacant(entry) => {
                entry.insert(node);
                None
            }
        };
        if let Some(replaced) = replaced {
            self.release(replaced);
        }
    }

    /// A name of `node` is gone: with its last one, so are the names in it.
    fn release(&mut self, node: NodeId) {
        let mut doomed = vec![node];
        while let Some(node) = doomed.pop() {
            let node = self.node_mut(node);
            node.links -= 1;
            if node.links == 0 {
                doomed.extend(std::mem::take(&mut node.entries).into_values());
            }
        }
    }
}

impl Kind {
    fn check(&self) -> io::Result<()> {
        match self {
            Self::Symlink(target) if !(1..=LONGEST_TARGET).contains(&target.len()) => {
                Err(invalid("a symbolic link's target has 1 to 4095 bytes"))
            }
            Self::CharacterDevice(major, minor) | Self::BlockDevice(major, minor)
                if *major >= 1 << 12 || *minor >= 1 << 20 =>
            {
                Err(invalid("there is no device of such a number"))
            }
            _ => Ok(()),
        }
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
