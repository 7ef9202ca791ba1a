//! What a copy of something would see, in one digest: paths, modes, owners, contents, links and
//! attributes, and no times. It is what keys of the cache are made of.

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, openat, readlinkat};
use sha2::{Digest as _, Sha256};
use tare_core::Kind;
use tare_core::image::Digest;
use tare_dockerfile::plan::Item;

use super::attributes::attributes;
use super::find::{self, Found, reading};
use super::walk::{Choice, Chosen, Directory, Member, Visitor, walk};
use super::{choice, failed, wildcard};
use crate::error::Result;
use crate::tree::Tree;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// The digest of what a copy of `item` would see in `tree`, but for what is left out of it by
/// `exclude`. Blocks.
///
/// # Errors
/// [`tare_core::Kind::NotFound`], and `"/path": not found`, for what isn't there.
pub fn digest(tree: &Tree, item: &Item, exclude: &[String]) -> Result<Digest> {
    let choice = choice(item, exclude)?;
    let found = match item {
        Item::Files { path, selection, .. } => {
            match find::all(tree.root(), path, selection.as_ref()) {
                // A copy says so in its own words.
                Err(error) if error.kind == Kind::NotFound && wildcard::are_in(path) => Vec::new(),
                found => found?,
            }
        }
        Item::Url { name, .. } => vec![find::one(tree.root(), name)?],
        Item::Git(_) => vec![find::one(tree.root(), "/")?],
        Item::Document { .. } => Vec::new(),
    };
    let mut hasher = Hasher { tree, top: None, sum: Sha256::new(), buffer: Vec::new() };
    for found in found {
        hasher.found(found, &choice)?;
    }
    Ok(Digest::from_bytes(hasher.sum.finalize().into()))
}

struct Hasher<'a> {
    tree: &'a Tree,
    /// The path of what is looked at, if there is no link on it.
    top: Option<Vec<u8>>,
    sum: Sha256,
    buffer: Vec<u8>,
}

impl Hasher<'_> {
    fn found(&mut self, found: Found, choice: &Choice) -> Result<()> {
        self.part(found.name.to_bytes());
        self.top = found.is_plain.then(|| found.path.clone().into_bytes());
        let wrong = |error: std::io::Error| failed("read", &found.path, error);
        if found.kind() != FileType::Directory {
            return self.entry(&found.facts, b"", found.handle.as_fd()).map_err(wrong);
        }
        // What is said of the directory itself doesn't go along.
        self.part(b"directory");
        let opened = found.open().map_err(wrong)?;
        let top = Directory { opened, name: found.name, path: Vec::new(), facts: found.facts };
        walk(top, (), choice, self, None)
    }

    /// Something with a length, so that no two lists of parts are the same bytes.
    fn part(&mut self, bytes: &[u8]) {
        self.sum.update((bytes.len() as u64).to_le_bytes());
        self.sum.update(bytes);
    }

    /// What is said of anything.
    fn facts(&mut self, facts: &Stat) {
        for number in [facts.st_mode, facts.st_uid, facts.st_gid] {
            self.sum.update(number.to_le_bytes());
        }
    }

    fn attributes(&mut self, file: BorrowedFd<'_>) {
        let found = attributes(file);
        self.sum.update((found.len() as u64).to_le_bytes());
        for (name, value) in found {
            self.part(&name);
            self.part(&value);
        }
    }

    /// What is no directory: `path` from the top leads to it.
    fn entry(&mut self, facts: &Stat, path: &[u8], handle: BorrowedFd<'_>) -> std::io::Result<()> {
        self.part(path);
        self.facts(facts);
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::RegularFile => {
                let mut file = reading(handle)?;
                self.attributes(file.as_fd());
                let content = match self.known(path) {
                    Some(content) => content,
                    None => self.content(&mut file)?,
                };
                self.sum.update(content);
            }
            FileType::Symlink => {
                let target = readlinkat(handle, c"", Vec::new())?;
                self.part(target.as_bytes());
            }
            _ => self.sum.update(facts.st_rdev.to_le_bytes()),
        }
        Ok(())
    }

    /// The digest of a file's content, if it is known.
    fn known(&self, path: &[u8]) -> Option<[u8; 32]> {
        let top = self.top.as_deref()?;
        match (top, path) {
            (b"", path) => self.tree.content(path),
            (top, b"") => self.tree.content(top),
            (top, path) => self.tree.content(&[top, b"/", path].concat()),
        }
    }

    fn content(&mut self, file: &mut impl Read) -> std::io::Result<[u8; 32]> {
        let mut sum = Sha256::new();
        self.buffer.resize(PIECE, 0);
        loop {
            match file.read(&mut self.buffer)? {
                0 => return Ok(sum.finalize().into()),
                length => sum.update(&self.buffer[..length]),
            }
        }
    }
}

impl Visitor for Hasher<'_> {
    type Held = ();

    fn enter(&mut self, (): &(), directory: &Directory, _: Chosen) -> Result<()> {
        self.part(&directory.path);
        self.facts(&directory.facts);
        self.attributes(directory.opened.as_fd());
        Ok(())
    }

    fn leave(&mut self, _: &Directory, (): ()) -> Result<()> {
        Ok(())
    }

    fn file(&mut self, (): &(), member: &Member<'_>) -> Result<()> {
        let wrong = |error| failed("read", &String::from_utf8_lossy(member.path), error);
        let handle = handle(member.directory, member.name).map_err(wrong)?;
        self.entry(member.facts, member.path, handle.as_fd()).map_err(wrong)
    }
}

fn handle(directory: BorrowedFd<'_>, name: &CStr) -> std::io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}
