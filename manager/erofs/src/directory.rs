//! What a directory holds: its names in the order of their bytes, packed into blocks.
//!
//! Each block starts with its entries, fixed in size, and their names follow, so that a name is
//! found by bisection: first of the blocks, then in one.

use crate::disk::{BLOCK, ENTRY, take};
use crate::tree::{Kind, NodeId, Tree};

/// A block's entries: `first..end` of the directory's.
type Names<'a> = Vec<(&'a [u8], NodeId)>;

/// Bytes of the directory's content.
pub(crate) fn size(tree: &Tree, directory: NodeId) -> u64 {
    let names = names(tree, directory);
    let mut size = 0;
    let mut rest = names.as_slice();
    while !rest.is_empty() {
        let (count, used) = first_block(rest);
        rest = &rest[count..];
        size += if rest.is_empty() { used as u64 } else { BLOCK };
    }
    size
}

/// The directory's content, where `number` tells the number of a node's inode.
pub(crate) fn encode(tree: &Tree, directory: NodeId, number: impl Fn(NodeId) -> u64) -> Vec<u8> {
    let names = names(tree, directory);
    let mut content = Vec::new();
    let mut rest = names.as_slice();
    while !rest.is_empty() {
        let (count, _) = first_block(rest);
        let (block, next) = rest.split_at(count);
        rest = next;
        let mut name_at = count * ENTRY;
        for (name, node) in block {
            content.extend(number(*node).to_le_bytes());
            content.extend((name_at as u16).to_le_bytes());
            content.extend([file_type(tree.kind(*node)), 0]);
            name_at += name.len();
        }
        for (name, _) in block {
            content.extend(*name);
        }
        if !rest.is_empty() {
            content.resize(content.len().next_multiple_of(BLOCK as usize), 0);
        }
    }
    content
}

/// A name in a block, and what it says of what it leads to.
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The number of its inode.
    pub(crate) number: u64,
    pub(crate) file_type: u8,
}

/// The entries of a block of a directory; nothing if there is anything wrong with it. In the last
/// block, names go up to its end; in others, zeros may follow.
pub(crate) fn decode(block: &[u8], is_last: bool) -> Option<Vec<Entry>> {
    let names_at = usize::from(u16::from_le_bytes(*block.get(8..)?.first_chunk()?));
    if names_at == 0 || !names_at.is_multiple_of(ENTRY) {
        return None;
    }
    let (mut heads, names) = block.split_at_checked(names_at)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(names_at / ENTRY);
    let mut end = names_at;
    while !heads.is_empty() {
        let number = u64::from_le_bytes(take(&mut heads)?);
        let start = usize::from(u16::from_le_bytes(take(&mut heads)?));
        let [file_type, zero] = take(&mut heads)?;
        // The next one's start is where this name ends.
        let next = match heads.get(8..) {
            Some(next) => usize::from(u16::from_le_bytes(*next.first_chunk()?)),
            None if is_last => block.len(),
            None => {
                start
                    + names
                        .get(start.checked_sub(names_at)?..)?
                        .iter()
                        .take_while(|b| **b != 0)
                        .count()
            }
        };
        let name = block.get(start..next)?.to_vec();
        if start != end || zero != 0 || !(1..=255).contains(&name.len()) {
            return None;
        }
        if name.contains(&0) || name.contains(&b'/') {
            return None;
        }
        end = next;
        entries.push(Entry { name, number, file_type });
    }
    block[end..].iter().all(|byte| *byte == 0).then_some(entries)
}

/// How many of `names` fit into a block, and the bytes they take there.
fn first_block(names: &[(&[u8], NodeId)]) -> (usize, usize) {
    let mut used = 0;
    for (count, (name, _)) in names.iter().enumerate() {
        let more = used + ENTRY + name.len();
        if more > BLOCK as usize {
            return (count, used);
        }
        used = more;
    }
    (names.len(), used)
}

/// All names, with those of the directory itself and the one above.
fn names(tree: &Tree, directory: NodeId) -> Names<'_> {
    let node = tree.node(directory);
    let mut names: Names<'_> = Vec::with_capacity(node.entries.len() + 2);
    names.extend([(&b"."[..], directory), (&b".."[..], node.parent)]);
    names.extend(tree.names(directory));
    names.sort_unstable_by_key(|(name, _)| *name);
    names
}

fn file_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory => 2,
        Kind::CharacterDevice(..) => 3,
        Kind::BlockDevice(..) => 4,
        Kind::Fifo => 5,
        Kind::Symlink(_) => 7,
    }
}
