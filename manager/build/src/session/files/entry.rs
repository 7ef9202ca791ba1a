//! Files as senders tell of them, and what of that is believed.

use std::cmp::Ordering;

use tare_proto::builds::fsutil::types::Stat;

use crate::error::{Error, Result};

/// What sort of file an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum FileKind {
    Directory,
    Regular,
    Symlink,
    Fifo,
    CharacterDevice,
    BlockDevice,
}

/// Go's bits of a file's mode, beside the permissions.
mod bits {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const FIFO: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHARACTER: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
    /// Those that say what sort of file it is.
    pub(super) const TYPE: u32 =
        DIRECTORY | SYMLINK | DEVICE | FIFO | SOCKET | CHARACTER | IRREGULAR;
}

/// Bytes of a path, and of each name in it.
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 255;
/// Bytes of all extended attributes of a file.
const MOST_ATTRIBUTES: usize = 64 << 10;

impl FileKind {
    /// What sort of file `mode` says that it is.
    pub(in crate::session) fn of(mode: u32) -> Option<Self> {
        match mode & bits::TYPE {
            0 => Some(Self::Regular),
            bits::DIRECTORY => Some(Self::Directory),
            bits::SYMLINK => Some(Self::Symlink),
            bits::FIFO => Some(Self::Fifo),
            bits::DEVICE => Some(Self::BlockDevice),
            kind if kind == bits::DEVICE | bits::CHARACTER => Some(Self::CharacterDevice),
            _ => None,
        }
    }

    /// Its bits in Go's mode.
    fn bits(self) -> u32 {
        match self {
            Self::Regular => 0,
            Self::Directory => bits::DIRECTORY,
            Self::Symlink => bits::SYMLINK,
            Self::Fifo => bits::FIFO,
            Self::BlockDevice => bits::DEVICE,
            Self::CharacterDevice => bits::DEVICE | bits::CHARACTER,
        }
    }
}

/// The kernel's twelve bits of `mode`.
pub(in crate::session) fn permissions(mode: u32) -> u32 {
    let bit = |bit, is| if mode & bit == 0 { 0 } else { is };
    mode & 0o777 | bit(bits::SETUID, 0o4000) | bit(bits::SETGID, 0o2000) | bit(bits::STICKY, 0o1000)
}

/// Go's mode for a file of `kind` with the kernel's `permissions`.
pub(in crate::session) fn go_mode(kind: FileKind, permissions: u32) -> u32 {
    let bit = |bit, is| if permissions & bit == 0 { 0 } else { is };
    kind.bits()
        | permissions & 0o777
        | bit(0o4000, bits::SETUID)
        | bit(0o2000, bits::SETGID)
        | bit(0o1000, bits::STICKY)
}

/// Checks all of `stat` that can be checked without knowing of other files.
///
/// # Errors
/// [`tare_core::Kind::Invalid`]: no well-meaning client sends it.
pub(in crate::session) fn check(stat: &Stat) -> Result<FileKind> {
    let path = &stat.path;
    let refuse = |why: &str| {
        Err(Error::invalid(format!("file {:?} was sent, but {why}", String::from_utf8_lossy(path))))
    };
    if path.is_empty() || path.starts_with(b"/") {
        return refuse("the path is not a relative one");
    }
    if path.len() > LONGEST_PATH || path.contains(&0) {
        return refuse("no file can have that path");
    }
    for name in path.split(|&byte| byte == b'/') {
        if matches!(name, b"" | b"." | b"..") {
            return refuse("the path is not clean, or leads outside");
        }
        if name.len() > LONGEST_NAME {
            return refuse("no file can have that name");
        }
    }
    let Some(kind) = FileKind::of(stat.mode) else {
        return refuse("its mode is of no known sort of file");
    };
    if stat.size < 0 {
        return refuse("its size is negative");
    }
    if kind == FileKind::Symlink && (stat.linkname.is_empty() || stat.linkname.len() > LONGEST_PATH)
        || stat.linkname.contains(&0)
    {
        return refuse("no link can hold what it is said to hold");
    }
    if kind == FileKind::Directory && !stat.linkname.is_empty() {
        return refuse("a directory can't be a link");
    }
    let attributes: usize = stat.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if attributes > MOST_ATTRIBUTES || stat.xattrs.keys().any(|name| name.contains('\0')) {
        return refuse("no file can have its extended attributes");
    }
    Ok(kind)
}

/// Whether `stat` is another name of an earlier file.
pub(in crate::session) fn is_hard_link(stat: &Stat, kind: FileKind) -> bool {
    kind != FileKind::Symlink && !stat.linkname.is_empty()
}

/// The order in which a tree is walked: a directory before what is in it, names by their bytes.
pub(in crate::session) fn walking_order(one: &[u8], other: &[u8]) -> Ordering {
    let lowest = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    one.iter().map(lowest).cmp(other.iter().map(lowest))
}

/// What is above `path`, and its name in there.
pub(in crate::session) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_translated_there_and_back() {
        for kind in [FileKind::Regular, FileKind::Directory, FileKind::CharacterDevice] {
            for mode in [0, 0o644, 0o4755, 0o1777, 0o7777] {
                let there = go_mode(kind, mode);
                assert_eq!((FileKind::of(there), permissions(there)), (Some(kind), mode));
            }
        }
        assert_eq!(go_mode(FileKind::Directory, 0o1777), 0x8010_01ff);
        assert_eq!(FileKind::of(bits::DIRECTORY | bits::SYMLINK), None);
        assert_eq!(FileKind::of(bits::SOCKET), None);
    }

    #[test]
    fn what_is_in_a_directory_comes_before_its_longer_neighbours() {
        let mut paths = [&b"a.b"[..], b"a", b"a/z", b"a/b", b"b", b"a/b/c", b"a!"];
        paths.sort_by(|one, other| walking_order(one, other));
        assert_eq!(paths, [&b"a"[..], b"a/b", b"a/b/c", b"a/z", b"a!", b"a.b", b"b"]);
    }

    #[test]
    fn what_can_lead_out_is_refused() {
        let sent = |path: &[u8], mode, linkname: &[u8]| {
            let (path, linkname) = (path.to_vec(), linkname.to_vec());
            check(&Stat { path, mode, linkname, ..Stat::default() })
        };
        for path in
            ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b"]
        {
            assert!(sent(path.as_bytes(), 0o644, b"").is_err(), "{path:?}");
        }
        sent(&[b'x'; 256], 0o644, b"").unwrap_err();
        sent(&b"x/".repeat(3000), 0o644, b"").unwrap_err();
        sent(b"a", bits::SOCKET, b"").unwrap_err();
        sent(b"a", bits::SYMLINK, b"").unwrap_err();
        sent(b"a", bits::DIRECTORY, b"b").unwrap_err();
        assert_eq!(sent(b"..a/b..", bits::SYMLINK, b"/etc/passwd").unwrap(), FileKind::Symlink);
        check(&Stat { path: b"a".to_vec(), size: -1, ..Stat::default() }).unwrap_err();
    }
}
