//! Finding what a path of a COPY or ADD means: one thing, or as many as its wildcards stand for.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use tare_dockerfile::plan::Selection;

use super::walk::DIRECTORY;
use super::{failed, wildcard};
use crate::error::{Error, Result};

/// Something that was found.
pub(super) struct Found {
    /// It, opened as a handle.
    pub(super) handle: OwnedFd,
    pub(super) facts: Stat,
    /// Its name, or that of the link that leads there.
    pub(super) name: CString,
    /// Its path in the tree.
    pub(super) path: String,
    /// There is no link on its path.
    pub(super) is_plain: bool,
}

impl Found {
    /// What kind of file it is.
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.facts.st_mode)
    }

    /// Opens it, which is a directory.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.handle, c".", DIRECTORY, Mode::empty())?)
    }
}

/// Opens a regular file to be read, by its handle.
pub(super) fn reading(handle: BorrowedFd<'_>) -> io::Result<File> {
    let itself = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(openat(CWD, itself, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from)?)
}

/// The one thing at a path without wildcards.
pub(super) fn one(root: BorrowedFd<'_>, path: &str) -> Result<Found> {
    let relative = path.trim_matches('/');
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let place = if relative.is_empty() { "." } else { relative };
    let plain = openat2(root, place, flags, Mode::empty(), inside | ResolveFlags::NO_SYMLINKS);
    let is_plain = plain.is_ok();
    let handle = match plain {
        Err(Errno::LOOP) => openat2(root, place, flags, Mode::empty(), inside),
        found => found,
    };
    let handle = handle.map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => missing(path),
        error => failed("open", path, error),
    })?;
    let facts = fstat(&handle).map_err(|error| failed("stat", path, error))?;
    let name = Path::new(relative).file_name().unwrap_or_default().as_encoded_bytes();
    let name = CString::new(name).map_err(|_| Error::invalid("a path with a null byte"))?;
    Ok(Found { handle, facts, name, path: relative.to_owned(), is_plain })
}

/// All that `path` means; of wildcards, that may be nothing.
pub(super) fn all(
    root: BorrowedFd<'_>,
    path: &str,
    selection: Option<&Selection>,
) -> Result<Vec<Found>> {
    let found = match wildcard::are_in(path) {
        false => vec![one(root, path)?],
        true => matching(root, path)?,
    };
    if let Some(required) = selection.and_then(|selection| selection.required.as_deref()) {
        one(root, required)?;
    }
    Ok(found)
}

/// What clients match on follows after "failed to calculate checksum of ref X: ".
fn missing(path: &str) -> Error {
    let path = format!("/{}", path.trim_matches('/'));
    Error::not_found(format!("{path:?}: not found"))
}

/// What a path with wildcards means, in order.
fn matching(root: BorrowedFd<'_>, path: &str) -> Result<Vec<Found>> {
    let top = wildcard::top(path).trim_start_matches('/').to_owned();
    let names = path.split('/').filter(|name| !name.is_empty());
    let patterns: Vec<&str> = names.skip_while(|name| !wildcard::are_in(name)).collect();
    let begin = one(root, &top)?;
    if begin.kind() != FileType::Directory {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    walk(begin.handle.as_fd(), &top, &patterns, &mut paths)?;
    paths.iter().map(|path| one(root, path)).collect()
}

/// The paths below `directory`, which is at `path`, that the patterns match one after the other.
fn walk(
    directory: BorrowedFd<'_>,
    path: &str,
    patterns: &[&str],
    paths: &mut Vec<String>,
) -> Result<()> {
    let Some((pattern, deeper)) = patterns.split_first() else { return Ok(()) };
    let opened = openat(directory, c".", DIRECTORY, Mode::empty())
        .map_err(|error| failed("open", path, error))?;
    for name in names_in(opened.as_fd(), path)? {
        let text = name.to_string_lossy();
        if !wildcard::matches(pattern, &text) {
            continue;
        }
        let below = if path.is_empty() { text.to_string() } else { format!("{path}/{text}") };
        if deeper.is_empty() {
            paths.push(below);
            continue;
        }
        match openat(&opened, &name, DIRECTORY, Mode::empty()) {
            Ok(child) => walk(child.as_fd(), &below, deeper, paths)?,
            // No directory, or a link: those aren't followed here.
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(failed("open", &below, error)),
        }
    }
    Ok(())
}

/// The names in an open directory, in order.
pub(super) fn names_in(directory: BorrowedFd<'_>, path: &str) -> Result<Vec<CString>> {
    let wrong = |error: Errno| failed("read", path, error);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
