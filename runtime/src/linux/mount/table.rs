//! The mounts of this process's namespace, as /proc/self/mountinfo lists them.

use rustix::fs::{AtFlags, StatxFlags, statx};
use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number.
    pub(crate) id: u64,
    /// The number of the mount that it lies on.
    pub(crate) parent: u64,
    /// What of its file system is mounted.
    pub(crate) root: PathBuf,
    /// Where, seen from this process's root.
    pub(crate) point: PathBuf,
    /// The type of its file system.
    pub(crate) typ: String,
}

/// All mounts that this process's root has below it.
pub(crate) fn read() -> io::Result<Vec<Entry>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The number of the mount that the file `name`, or `base` itself, lies on.
pub(crate) fn mount_id(base: impl AsFd, name: &CStr) -> rustix::io::Result<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    Ok(statx(base, name, flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// See proc(5): optional fields, as many as there are, end with a dash.
fn parse(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
    let (root, point) = (fields.nth(1)?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let typ = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Entry { id, parent, root: unescape(root), point: unescape(point), typ })
}

/// Undoes the octal escapes with which mountinfo writes white space and backslashes.
pub(crate) fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_line_is_read_whatever_its_optional_fields_are() {
        for tags in ["", "shared:2 ", "shared:2 master:1 "] {
            let line = format!("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime {tags}- ext4 /dev/root rw");
            let entry = parse(line.as_bytes()).unwrap();
            assert_eq!((entry.id, entry.parent), (36, 35));
            assert_eq!((entry.root.as_path(), entry.typ.as_str()), (Path::new("/mnt1"), "ext4"));
            assert_eq!(entry.point, Path::new("/mnt 2"));
        }
        for broken in ["", "1 2", "1 2 0:1 / /", "x 2 0:1 / / rw - t s o", "1 2 0:1 / / rw"] {
            assert_eq!(parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"a\\04"), Path::new("a\\04"));
        assert_eq!(unescape(b"\\134\\999"), Path::new("\\\\999"));
    }

    #[test]
    fn the_numbers_are_those_of_statx() {
        let root = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        let id = mount_id(root.unwrap(), c"").unwrap();
        assert!(read().unwrap().iter().any(|entry| entry.id == id));
    }
}
