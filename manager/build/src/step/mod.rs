//! What steps do to files: copy them, and make directories.
//!
//! Everything is looked up below a root by descriptor, and links mean what they would mean to a
//! program for which that is the root: none leads out of it. The rules are BuildKit's.

mod archive;
mod attributes;
mod copier;
mod digest;
mod find;
mod owner;
#[cfg(test)]
mod tests;
mod walk;
mod way;
mod wildcard;

use std::io;
use std::os::fd::BorrowedFd;

use tare_core::Kind;
use tare_dockerfile::ignore::Matcher;
use tare_dockerfile::plan::{Archive, Copying, Item, Making, Origin};
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::tree::Tree;
pub use archive::Unpacker;
use copier::{Copier, Rules};
pub use digest::digest;
use find::Found;
use owner::Owner;
use walk::Choice;
use way::Made;

/// Where a step works.
pub struct Place<'a> {
    /// The root that is written below.
    pub root: BorrowedFd<'a>,
    /// The root whose `/etc/passwd` says who is who.
    pub accounts: BorrowedFd<'a>,
    /// What unpacks archives.
    pub unpacker: &'a dyn Unpacker,
    /// Becomes true when nobody wants it any more.
    pub given_up: &'a watch::Receiver<bool>,
}

/// Copies files. `sources` has the tree that each item is copied from; a document needs none. Blocks.
///
/// # Errors
/// What isn't there, and what can't be written.
pub fn copy(copying: &Copying, sources: &[Option<Tree>], place: &Place<'_>) -> Result<()> {
    let asked = Owner::named(&copying.owner, place.accounts)?;
    let destination = way::clean(&copying.destination);
    for (item, source) in copying.items.iter().zip(sources) {
        // Nobody that an image knows owns what is from elsewhere.
        let is_of_stage = matches!(item, Item::Files { origin: Origin::Stage(_), .. });
        let owner = if is_of_stage { asked } else { asked.known() };
        let choice = choice(item, &copying.exclude)?;
        let rules = Rules { owner, mode: copying.mode.clone(), choice };
        let job = Job { destination: &destination, asked, rules: &rules, place };
        let tree = || source.as_ref().ok_or_else(|| Error::system("a source is missing"));
        match item {
            Item::Files { path, selection, archive, .. } => {
                let found = find::all(tree()?.root(), path, selection.as_ref());
                for found in found.map_err(|error| unmatched(error, path))? {
                    job.found(found, *archive)?;
                }
            }
            Item::Url { name, archive, .. } => {
                job.found(find::one(tree()?.root(), name)?, *archive)?;
            }
            Item::Git(_) => job.found(find::one(tree()?.root(), "/")?, Archive::Kept)?,
            Item::Document { name, text } => {
                Copier::new(place, &rules, &destination).document(name, text)?;
            }
        }
    }
    Ok(())
}

/// What is said if the directory isn't there that wildcards are looked for in.
fn unmatched(error: Error, path: &str) -> Error {
    match error.kind {
        Kind::NotFound if wildcard::are_in(path) => {
            Error::not_found(format!("lstat {}: no such file or directory", wildcard::top(path)))
        }
        _ => error,
    }
}

/// One item of a step.
struct Job<'a> {
    /// Where it goes.
    destination: &'a str,
    /// Whom files are to belong to.
    asked: Owner,
    rules: &'a Rules,
    place: &'a Place<'a>,
}

impl Job<'_> {
    /// Copies what was found, or unpacks it.
    fn found(&self, found: Found, archive: Archive) -> Result<()> {
        if archive == Archive::Unpacked
            && let Some(file) = archive::open(&found)?
        {
            let made = Made { mode: 0o755, ..self.rules.directories() };
            return archive::unpack(file, self.asked, &made, self.destination, self.place);
        }
        Copier::new(self.place, self.rules, self.destination).copy(found)
    }
}

/// Makes a directory, with those that it is in. Says whether it was not there. Blocks.
///
/// # Errors
/// It can't be made.
pub fn make(making: &Making, place: &Place<'_>) -> Result<bool> {
    if way::existing_directory(place.root, &making.path)?.is_some() {
        return Ok(false);
    }
    let owner = Owner::named(&making.user, place.accounts)?;
    way::ensure(place.root, &making.path, &Made { mode: 0o755, owner: owner.or_root() })?;
    Ok(true)
}

/// What of the files of `item` is meant.
fn choice(item: &Item, exclude: &[String]) -> Result<Choice> {
    let patterns = |patterns: &[String]| {
        Matcher::new(patterns).map_err(|error| Error::invalid(error.to_string()))
    };
    let include = match item {
        Item::Files { selection: Some(selection), .. } => {
            Some(patterns(std::slice::from_ref(&selection.pattern))?)
        }
        _ => None,
    };
    Ok(Choice { include, exclude: patterns(exclude)? })
}

/// An error of a path, in the words that Go has for it.
fn failed(doing: &str, path: &str, error: impl Into<io::Error>) -> Error {
    let error = error.into();
    let path = format!("/{}", path.trim_matches('/'));
    let mut reason = error.to_string();
    if let Some(end) = reason.find(" (os error") {
        reason.truncate(end);
        reason.make_ascii_lowercase();
    }
    let kind = tare_core::Error::io(doing, error).kind();
    Error::new(kind, format!("{doing} {path}: {reason}"))
}
