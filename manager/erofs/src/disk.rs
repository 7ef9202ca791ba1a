//! What stands where in an image; all numbers are little-endian.

/// Bytes of a block, as a power of two.
pub(crate) const BLOCK_BITS: u32 = 9;

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 1 << BLOCK_BITS;

/// Inodes start at multiples of this; an inode's number counts them.
pub(crate) const SLOT: u64 = 32;

/// Bytes of an inode in its long form, the only one used here: the short one has no room for the
/// time, nor for an owner above 65535.
pub(crate) const INODE: u64 = 64;

/// Where the superblock stands.
pub(crate) const SUPERBLOCK_AT: u64 = 1024;

/// Where it says which file system this is.
pub(crate) const IDENTITY_AT: u64 = SUPERBLOCK_AT + 48;

/// Bytes of the superblock.
pub(crate) const SUPERBLOCK: usize = 128;

/// Bytes of a directory's entry, without its name.
pub(crate) const ENTRY: usize = 12;

/// A block's number where there is a hole.
pub(crate) const HOLE: u32 = u32::MAX;

/// How an inode's content is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Form {
    /// In consecutive blocks.
    Plain = 0,
    /// In consecutive blocks, and what is left over follows the inode.
    Inline = 2,
    /// In chunks: the blocks where each starts follow the inode.
    Chunks = 4,
}

/// An inode, without what follows it.
pub(crate) struct Inode {
    pub(crate) form: Form,
    /// The type and the permissions.
    pub(crate) mode: u16,
    /// What [`crate::attributes::count`] says.
    pub(crate) attribute_count: u16,
    pub(crate) size: u64,
    /// The first block, the device or the chunks' format.
    pub(crate) place: u32,
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) links: u32,
}

impl Inode {
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        const LONG: u16 = 1;
        let start = to.len();
        to.extend((LONG | (self.form as u16) << 1).to_le_bytes());
        to.extend(self.attribute_count.to_le_bytes());
        to.extend(self.mode.to_le_bytes());
        to.extend([0; 2]);
        to.extend(self.size.to_le_bytes());
        to.extend(self.place.to_le_bytes());
        to.extend(self.number.to_le_bytes());
        to.extend(self.uid.to_le_bytes());
        to.extend(self.gid.to_le_bytes());
        to.extend(self.seconds.to_le_bytes());
        to.extend(self.nanoseconds.to_le_bytes());
        to.extend(self.links.to_le_bytes());
        to.extend([0; 16]);
        debug_assert_eq!(to.len() - start, INODE as usize);
    }
}

impl Inode {
    /// What [`Self::encode`] made; anything else is nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let form = match u16::from_le_bytes(take(&mut rest)?) >> 1 {
            0 => Form::Plain,
            2 => Form::Inline,
            4 => Form::Chunks,
            _ => return None,
        };
        let attribute_count = u16::from_le_bytes(take(&mut rest)?);
        let mode = u16::from_le_bytes(take(&mut rest)?);
        let _zeros: [u8; 2] = take(&mut rest)?;
        let inode = Self {
            form,
            mode,
            attribute_count,
            size: u64::from_le_bytes(take(&mut rest)?),
            place: u32::from_le_bytes(take(&mut rest)?),
            number: u32::from_le_bytes(take(&mut rest)?),
            uid: u32::from_le_bytes(take(&mut rest)?),
            gid: u32::from_le_bytes(take(&mut rest)?),
            seconds: i64::from_le_bytes(take(&mut rest)?),
            nanoseconds: u32::from_le_bytes(take(&mut rest)?),
            links: u32::from_le_bytes(take(&mut rest)?),
        };
        let mut again = Vec::with_capacity(INODE as usize);
        inode.encode(&mut again);
        (again == bytes).then_some(inode)
    }
}

/// What says where everything else is.
pub(crate) struct Superblock {
    pub(crate) root: u16,
    pub(crate) inodes: u64,
    pub(crate) blocks: u32,
    pub(crate) metadata: u32,
    /// Tells this file system from all others.
    pub(crate) identity: [u8; 16],
    /// Whether an inode has chunks: a kernel that knows none must not mount the image.
    pub(crate) chunks: bool,
}

impl Superblock {
    /// What [`Self::encode`] made; anything else is nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut root = bytes.get(14..)?;
        let mut inodes = bytes.get(16..)?;
        let mut places = bytes.get(36..)?;
        let mut identity = bytes.get(48..)?;
        let mut features = bytes.get(80..)?;
        let superblock = Self {
            root: u16::from_le_bytes(take(&mut root)?),
            inodes: u64::from_le_bytes(take(&mut inodes)?),
            blocks: u32::from_le_bytes(take(&mut places)?),
            metadata: u32::from_le_bytes(take(&mut places)?),
            identity: take(&mut identity)?,
            chunks: u32::from_le_bytes(take(&mut features)?) != 0,
        };
        (superblock.encode() == bytes).then_some(superblock)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        const MAGIC: u32 = 0xE0F5_E1E2;
        const HAS_TIMES: u32 = 2;
        const HAS_CHUNKS: u32 = 4;
        let mut to = Vec::with_capacity(SUPERBLOCK);
        to.extend(MAGIC.to_le_bytes());
        to.extend([0; 4]); // no checksum
        to.extend(HAS_TIMES.to_le_bytes());
        to.extend([BLOCK_BITS as u8, 0]);
        to.extend(self.root.to_le_bytes());
        to.extend(self.inodes.to_le_bytes());
        to.extend([0; 12]); // the time of short inodes
        to.extend(self.blocks.to_le_bytes());
        to.extend(self.metadata.to_le_bytes());
        to.extend([0; 4]); // no shared attributes
        to.extend(self.identity);
        to.extend([0; 16]); // no name
        to.extend(if self.chunks { HAS_CHUNKS } else { 0 }.to_le_bytes());
        to.resize(SUPERBLOCK, 0);
        to
    }
}

/// The first bytes of `rest`, which then starts after them.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}
