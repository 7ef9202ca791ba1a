//! What an archive says about one of its members.

use super::sparse::Segment;

/// A member of an archive. Paths and targets are as the archive has them: any bytes but NUL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its path.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: EntryKind,
    /// The permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// When its content last changed.
    pub(crate) modified: ModifiedAt,
    /// Extended attributes, by their whole names.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Seconds since 1970 and nanoseconds upon them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ModifiedAt {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EntryKind {
    /// A file of `size` bytes. With `segments`, its data in the archive is these one after the
    /// other, and the rest of the file is holes.
    File {
        size: u64,
        segments: Option<Vec<Segment>>,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    /// Another name of the member `target`.
    HardLink {
        target: Vec<u8>,
    },
    CharacterDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}
