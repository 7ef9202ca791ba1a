//! The way down a tree: what of it is chosen, in order, and the directories that it is in.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};
use tare_dockerfile::ignore::{Matcher, Parent};
use tokio::sync::watch;

use super::failed;
use super::find::names_in;
use crate::error::{Error, Result};

/// How deep directories may be nested: each level holds descriptors.
const DEEPEST: usize = 1000;

/// How directories are opened: never through a link.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What of a tree is meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Only this, with the directories that it is in; all, if there is none.
    pub(super) include: Option<Matcher>,
    /// But not this.
    pub(super) exclude: Matcher,
}

/// Something on the way.
pub(super) struct Member<'a> {
    /// The directory that it is in.
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
    /// Its path from the top.
    pub(super) path: &'a [u8],
    pub(super) facts: &'a Stat,
}

/// Why a directory is visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    Itself,
    /// It is only there for what is in it.
    ForMembers,
}

/// Who is shown what is chosen.
pub(super) trait Visitor {
    /// What a visitor keeps of a directory while it is in there.
    type Held;

    /// A directory begins, in one that is held.
    fn enter(
        &mut self,
        above: &Self::Held,
        directory: &Directory,
        chosen: Chosen,
    ) -> Result<Self::Held>;

    /// A directory ends.
    fn leave(&mut self, directory: &Directory, held: Self::Held) -> Result<()>;

    /// What is no directory.
    fn file(&mut self, above: &Self::Held, member: &Member<'_>) -> Result<()>;
}

/// A directory on the way.
pub(super) struct Directory {
    /// It, open to be read.
    pub(super) opened: OwnedFd,
    pub(super) name: CString,
    /// Its path from the top.
    pub(super) path: Vec<u8>,
    pub(super) facts: Stat,
}

struct Level<H> {
    directory: Directory,
    /// None as long as nothing in it was chosen.
    held: Option<H>,
}

/// Shows `visitor` what `choice` means of the directory `top`, which it holds as `held`.
pub(super) fn walk<V: Visitor>(
    top: Directory,
    held: V::Held,
    choice: &Choice,
    visitor: &mut V,
    given_up: Option<&watch::Receiver<bool>>,
) -> Result<()> {
    let levels = vec![Level { directory: top, held: Some(held) }];
    let mut walk = Walk { levels, choice, visitor, given_up };
    walk.below(&Parent::default(), &Parent::default())
}

struct Walk<'a, V: Visitor> {
    /// From the top down.
    levels: Vec<Level<V::Held>>,
    choice: &'a Choice,
    visitor: &'a mut V,
    given_up: Option<&'a watch::Receiver<bool>>,
}

impl<V: Visitor> Walk<'_, V> {
    /// All that is in the last directory.
    fn below(&mut self, included: &Parent, excluded: &Parent) -> Result<()> {
        if self.levels.len() > DEEPEST {
            return Err(Error::invalid(format!("directories are nested deeper than {DEEPEST}")));
        }
        let Some(last) = self.levels.last() else { return Ok(()) };
        let shown = String::from_utf8_lossy(&last.directory.path).into_owned();
        for name in names_in(last.directory.opened.as_fd(), &shown)? {
            if self.given_up.is_some_and(|given_up| *given_up.borrow()) {
                return Err(Error::cancelled());
            }
            self.member(&name, included, excluded)?;
        }
        Ok(())
    }

    fn member(&mut self, name: &CStr, included: &Parent, excluded: &Parent) -> Result<()> {
        let Some(last) = self.levels.last() else { return Ok(()) };
        let path = match last.directory.path.as_slice() {
            b"" => name.to_bytes().to_vec(),
            above => [above, b"/", name.to_bytes()].concat(),
        };
        let text = String::from_utf8_lossy(&path).into_owned();
        let (is_included, included) = match &self.choice.include {
            None => (true, Parent::default()),
            Some(include) => include.ignores_in(&text, included),
        };
        let (is_excluded, excluded) = self.choice.exclude.ignores_in(&text, excluded);
        let is_chosen = is_included && !is_excluded;
        let opened = last.directory.opened.as_fd();
        let facts = statat(opened, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed("lstat", &text, errno))?;
        if FileType::from_raw_mode(facts.st_mode) != FileType::Directory {
            return if is_chosen { self.file(name, &path, &facts) } else { Ok(()) };
        }
        let may_have_some = !is_excluded || self.choice.exclude.has_exceptions();
        if !is_chosen && !may_have_some {
            return Ok(());
        }
        let opened = openat(opened, name, DIRECTORY, Mode::empty())
            .map_err(|errno| failed("open", &text, errno))?;
        let directory = Directory { opened, name: name.to_owned(), path, facts };
        self.levels.push(Level { directory, held: None });
        if is_chosen {
            self.hold(Chosen::Itself)?;
        }
        if may_have_some {
            self.below(&included, &excluded)?;
        }
        match self.levels.pop() {
            Some(Level { directory, held: Some(held) }) => self.visitor.leave(&directory, held),
            _ => Ok(()),
        }
    }

    fn file(&mut self, name: &CStr, path: &[u8], facts: &Stat) -> Result<()> {
        self.hold(Chosen::ForMembers)?;
        let Some(Level { directory, held: Some(held) }) = self.levels.last() else {
            return Ok(());
        };
        let directory = directory.opened.as_fd();
        self.visitor.file(held, &Member { directory, name, path, facts })
    }

    /// Lets the visitor enter all directories that it isn't in yet; the last one is `chosen`.
    fn hold(&mut self, chosen: Chosen) -> Result<()> {
        let held = self.levels.iter().rposition(|level| level.held.is_some()).unwrap_or_default();
        for index in held + 1..self.levels.len() {
            let chosen = if index + 1 == self.levels.len() { chosen } else { Chosen::ForMembers };
            let (above, here) = self.levels.split_at_mut(index);
            let (Some(Level { held: Some(above), .. }), Some(here)) =
                (above.last(), here.first_mut())
            else {
                continue;
            };
            here.held = Some(self.visitor.enter(above, &here.directory, chosen)?);
        }
        Ok(())
    }
}
