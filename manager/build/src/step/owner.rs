//! Whom files are given to: names mean what the files of the stage say, and one that they don't have
//! means root, as BuildKit has it.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::error::Result;

/// The longest file of accounts that is read.
const LONGEST: u64 = 16 << 20;

/// Whom a file is given to; none: whom it belonged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// This one; root if it is none.
    pub(super) fn known(self) -> Self {
        Self(Some(self.or_root()))
    }

    /// Who `user` or `user:group` is; none if it is empty.
    pub(super) fn named(text: &str, accounts: BorrowedFd<'_>) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        let (uid, mut gid) = match number(user) {
            Some(uid) => (uid, uid),
            None => find(accounts, "etc/passwd", user, 2)?.unwrap_or((0, 0)),
        };
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            gid = match number(group) {
                Some(gid) => gid,
                None => find(accounts, "etc/group", group, 1)?.map_or(0, |(gid, _)| gid),
            };
        }
        Ok(Self(Some((uid, gid))))
    }

    /// This one, or root if it is none.
    pub(super) fn or_root(self) -> (u32, u32) {
        self.0.unwrap_or_default()
    }

    /// Whom that is; none: whom it belonged to.
    pub(super) fn asked(self) -> Option<(u32, u32)> {
        self.0
    }

    /// Whom the copy of a file belongs to.
    pub(super) fn of(self, original: &Stat) -> (u32, u32) {
        self.0.unwrap_or((original.st_uid, original.st_gid))
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// The numbers after the name and the password in the line that begins with `name`; one or two.
fn find(
    accounts: BorrowedFd<'_>,
    file: &str,
    name: &str,
    numbers: usize,
) -> Result<Option<(u32, u32)>> {
    let text = read(accounts, file)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    Ok(lines.find_map(|fields| {
        if fields.first() != Some(&name) {
            return None;
        }
        let first = number(fields.get(2)?)?;
        let second = if numbers == 2 { number(fields.get(3)?)? } else { 0 };
        Some((first, second))
    }))
}

fn read(accounts: BorrowedFd<'_>, file: &str) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = match openat2(accounts, file, flags, Mode::empty(), inside) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(error) => return Err(super::failed("open", file, error)),
    };
    let facts = fstat(&opened).map_err(|error| super::failed("stat", file, error))?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Ok(Vec::new());
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(opened).take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| super::failed("read", file, error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn names_are_those_of_the_stage() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/:\nme:x:7:8::/:\nbroken:x\n";
        std::fs::write(scratch.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(scratch.path().join("etc/group"), "mine:x:9:me\n").unwrap();
        let root = std::fs::File::open(scratch.path()).unwrap();
        let who = |text| Owner::named(text, root.as_fd()).unwrap().0;
        assert_eq!(who(""), None);
        assert_eq!(who("me"), Some((7, 8)));
        assert_eq!(who("me:mine"), Some((7, 9)));
        assert_eq!(who("5"), Some((5, 5)));
        assert_eq!(who("5:6"), Some((5, 6)));
        assert_eq!(who("nobody:none"), Some((0, 0)));
        assert_eq!(who("broken"), Some((0, 0)));
    }
}
