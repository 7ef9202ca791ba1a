//! The end of an image: all that is said of its files.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::data::{Data, Place};
use crate::disk::{BLOCK, BLOCK_BITS, IDENTITY_AT, Inode, SUPERBLOCK_AT, Superblock};
use crate::layout::{self, Layout, Parts};
use crate::tree::{Kind, NodeId, Tree};
use crate::{attributes, directory};

/// Appends `tree` to `data`, which has what its files hold, and returns the image, which has no
/// identity yet. Nothing is synced.
///
/// # Errors
/// The image is full or can't be written.
pub fn finish(tree: &Tree, data: Data) -> io::Result<File> {
    let (file, metadata) = data.finish()?;
    let layout = Layout::of(tree)?;
    let end = layout::block(metadata, layout.end)?;
    let mut writer = Writer::new(file, tree, &layout, metadata)?;
    for node in &layout.order {
        writer.inode(*node)?;
    }
    writer.pad_to(layout.blocks_at)?;
    for node in &layout.order {
        writer.blocks(*node)?;
    }
    let file = writer.finish()?;
    let superblock = Superblock {
        root: layout.number(Tree::ROOT) as u16,
        inodes: layout.order.len() as u64,
        blocks: end,
        metadata,
        identity: [0; 16],
        chunks: layout.order.iter().any(|node| has_chunks(tree.kind(*node))),
    };
    file.write_all_at(&superblock.encode(), SUPERBLOCK_AT)?;
    Ok(file)
}

/// Gives `image` an identity, which is to be no other one's: by it and a file's number, overlay knows
/// again which file it has copied.
///
/// # Errors
/// The image can't be written.
pub fn identify(image: &File, identity: [u8; 16]) -> io::Result<()> {
    image.write_all_at(&identity, IDENTITY_AT)
}

/// Writes the metadata, from its start to its end.
struct Writer<'a> {
    to: BufWriter<File>,
    tree: &'a Tree,
    layout: &'a Layout,
    /// The block at which the metadata starts.
    metadata: u32,
    /// What was written of it so far.
    position: u64,
    /// Where the blocks of the next node stand that has some.
    next_blocks: u64,
}

impl<'a> Writer<'a> {
    fn new(mut file: File, tree: &'a Tree, layout: &'a Layout, metadata: u32) -> io::Result<Self> {
        file.seek(SeekFrom::Start(u64::from(metadata) << BLOCK_BITS))?;
        let to = BufWriter::with_capacity(256 << 10, file);
        let next_blocks = layout.blocks_at;
        Ok(Self { to, tree, layout, metadata, position: 0, next_blocks })
    }

    /// Writes the inode of `node` and what follows it.
    fn inode(&mut self, node: NodeId) -> io::Result<()> {
        self.pad_to(self.layout.position(node))?;
        let parts = Parts::of(self.tree, node);
        let said = self.tree.attributes(node);
        let mut bytes = Vec::with_capacity(256);
        let inode = Inode {
            form: parts.form,
            mode: file_type(self.tree.kind(node)) | (said.mode & 0o7777),
            attribute_count: attributes::count(said),
            size: parts.size,
            place: self.place(node, &parts)?,
            number: self.layout.number(node) as u32,
            uid: said.uid,
            gid: said.gid,
            seconds: said.modified.seconds,
            nanoseconds: said.modified.nanoseconds,
            links: self.links(node),
        };
        inode.encode(&mut bytes);
        attributes::encode(said, &mut bytes);
        self.write(&bytes)?;
        if parts.after == 0 {
            return Ok(());
        }
        if let Kind::File(content) = self.tree.kind(node)
            && let Place::Chunks(_, chunks) = &content.place
        {
            let starts: Vec<u8> = chunks.iter().flat_map(|block| block.to_le_bytes()).collect();
            return self.write(&starts);
        }
        let content = self.content(node);
        self.write(&content[parts.in_blocks as usize..])
    }

    /// Writes the blocks of `node`, if it has some among the metadata.
    fn blocks(&mut self, node: NodeId) -> io::Result<()> {
        let in_blocks = Parts::of(self.tree, node).in_blocks;
        if in_blocks > 0 {
            let content = self.content(node);
            self.write(&content[..in_blocks as usize])?;
            self.pad_to(self.position.next_multiple_of(BLOCK))?;
        }
        Ok(())
    }

    /// What a directory or link holds.
    fn content(&self, node: NodeId) -> Vec<u8> {
        match self.tree.kind(node) {
            Kind::Symlink(target) => target.clone(),
            _ => directory::encode(self.tree, node, |node| self.layout.number(node)),
        }
    }

    fn place(&mut self, node: NodeId, parts: &Parts) -> io::Result<u32> {
        Ok(match self.tree.kind(node) {
            Kind::File(content) => match &content.place {
                Place::Whole(block) => *block,
                Place::Chunks(bits, _) => bits - BLOCK_BITS,
            },
            Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
            }
            Kind::Fifo => 0,
            Kind::Directory | Kind::Symlink(_) => {
                let place = self.next_blocks;
                self.next_blocks += parts.in_blocks.next_multiple_of(BLOCK);
                layout::block(self.metadata, place)?
            }
        })
    }

    /// How many names lead to `node`; a directory is named by itself and by those in it, too.
    fn links(&self, node: NodeId) -> u32 {
        if *self.tree.kind(node) != Kind::Directory {
            return self.tree.node(node).links;
        }
        let inner = self.tree.names(node).map(|(_, inner)| self.tree.kind(inner));
        2 + inner.filter(|kind| **kind == Kind::Directory).count() as u32
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        const ZEROS: [u8; 512] = [0; 512];
        while self.position < position {
            let gap = (position - self.position).min(ZEROS.len() as u64);
            self.write(&ZEROS[..gap as usize])?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn finish(self) -> io::Result<File> {
        self.to.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

fn has_chunks(kind: &Kind) -> bool {
    matches!(kind, Kind::File(content) if matches!(content.place, Place::Chunks(..)))
}

fn file_type(kind: &Kind) -> u16 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::CharacterDevice(..) => 0o020_000,
        Kind::Directory => 0o040_000,
        Kind::BlockDevice(..) => 0o060_000,
        Kind::File(_) => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
    }
}
