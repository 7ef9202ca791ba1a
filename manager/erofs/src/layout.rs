//! Where each inode and what belongs to it stands among the metadata.

use std::io;

use crate::attributes;
use crate::data::{Place, block_at, invalid};
use crate::directory;
use crate::disk::{BLOCK, Form, INODE, SLOT};
use crate::tree::{Kind, NodeId, Tree};

/// No inode has the number 0, which programs take for that of a deleted file.
pub(crate) const FIRST_INODE: u64 = INODE;

/// Where everything stands, from the start of the metadata.
pub(crate) struct Layout {
    /// All nodes that have names, in the order of their inodes.
    pub(crate) order: Vec<NodeId>,
    /// Each node's inode; 0 for those without a name.
    positions: Vec<u64>,
    /// Where blocks start that belong to nodes, in the same order.
    pub(crate) blocks_at: u64,
    /// Where the metadata ends.
    pub(crate) end: u64,
}

/// What stands after an inode and its attributes, and what stands in blocks.
pub(crate) struct Parts {
    pub(crate) form: Form,
    pub(crate) size: u64,
    /// Bytes in blocks among the metadata.
    pub(crate) in_blocks: u64,
    /// Bytes after the inode.
    pub(crate) after: u64,
}

impl Layout {
    pub(crate) fn of(tree: &Tree) -> io::Result<Self> {
        let order = order(tree);
        let mut positions = vec![0; tree.len()];
        let mut next = FIRST_INODE;
        let mut blocks = 0;
        for node in &order {
            let parts = Parts::of(tree, *node);
            let head = INODE + attributes::size(tree.attributes(*node)) as u64;
            // What is inline must not reach into another block.
            while parts.form == Form::Inline && (next + head) % BLOCK + parts.after > BLOCK {
                next += SLOT;
            }
            positions[node.index()] = next;
            next = (next + head + parts.after).next_multiple_of(SLOT);
            blocks += parts.in_blocks.next_multiple_of(BLOCK);
        }
        let blocks_at = next.next_multiple_of(BLOCK);
        Ok(Self { order, positions, blocks_at, end: blocks_at + blocks })
    }

    pub(crate) fn position(&self, node: NodeId) -> u64 {
        self.positions[node.index()]
    }

    /// The number of a node's inode.
    pub(crate) fn number(&self, node: NodeId) -> u64 {
        self.position(node) / SLOT
    }
}

impl Parts {
    pub(crate) fn of(tree: &Tree, node: NodeId) -> Self {
        match tree.kind(node) {
            Kind::Directory => Self::inline(directory::size(tree, node)),
            Kind::Symlink(target) => Self::inline(target.len() as u64),
            Kind::File(content) => match &content.place {
                Place::Whole(_) => Self { size: content.size, ..Self::nothing() },
                Place::Chunks(_, chunks) => {
                    let after = 4 * chunks.len() as u64;
                    Self { form: Form::Chunks, size: content.size, in_blocks: 0, after }
                }
            },
            Kind::CharacterDevice(..) | Kind::BlockDevice(..) | Kind::Fifo => Self::nothing(),
        }
    }

    fn nothing() -> Self {
        Self { form: Form::Plain, size: 0, in_blocks: 0, after: 0 }
    }

    /// Whole blocks, and what is left over after the inode if it fits there.
    fn inline(size: u64) -> Self {
        let after = size % BLOCK;
        if after == 0 || after > BLOCK - INODE {
            return Self { size, in_blocks: size, ..Self::nothing() };
        }
        Self { form: Form::Inline, size, in_blocks: size - after, after }
    }
}

/// All nodes with a name: what is in one directory stands together.
fn order(tree: &Tree) -> Vec<NodeId> {
    let mut order = vec![Tree::ROOT];
    let mut seen = vec![false; tree.len()];
    let mut ahead = vec![Tree::ROOT];
    while let Some(directory) = ahead.pop() {
        for (_, node) in tree.names(directory) {
            if !std::mem::replace(&mut seen[node.index()], true) {
                order.push(node);
                ahead.extend((*tree.kind(node) == Kind::Directory).then_some(node));
            }
        }
    }
    order
}

/// The block at `position` from the start of the metadata, which is the block `metadata`.
pub(crate) fn block(metadata: u32, position: u64) -> io::Result<u32> {
    let number = u64::from(metadata) + position / BLOCK;
    let offset = number.checked_mul(BLOCK).ok_or_else(|| invalid("the image is too large"))?;
    block_at(offset)
}
