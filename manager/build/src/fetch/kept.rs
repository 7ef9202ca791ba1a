//! Files that were fetched, kept for as long as there is room: each under the digest of its address.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tare_core::Engine;

use super::Fetched;
use super::file::{Wanted, moment};
use crate::classic::Scratch;
use crate::error::{Error, Result};
use crate::tree::Tree;

/// Where they are, below the data root.
const PLACE: &str = "builds/fetched";
/// Bytes that all of them have together, about.
const MOST: u64 = 2 << 30;

/// What is kept of one address.
pub(super) struct Kept {
    data_root: PathBuf,
    place: PathBuf,
    name: String,
}

/// What is known of a file that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    /// What its server calls this content.
    pub(super) tag: Option<String>,
    /// When it was last changed, in seconds since 1970.
    pub(super) modified: i64,
    /// The digest of its content.
    pub(super) digest: String,
}

/// A file that is being fetched. Dropped, it is gone.
pub(super) struct Arriving {
    pub(super) file: File,
    scratch: Scratch,
}

/// The name of a file that is being fetched.
const ARRIVING: &str = "arriving";

impl Kept {
    pub(super) fn new(engine: &Engine, url: &str) -> Self {
        let data_root = engine.config.data_root.clone();
        let place = data_root.join(PLACE);
        Self { data_root, place, name: hex::encode(Sha256::digest(url.as_bytes())) }
    }

    /// What is known of the file, if it is kept.
    pub(super) fn known(&self) -> Option<About> {
        let about = fs::read(self.about()).ok()?;
        serde_json::from_slice(&about).ok().filter(|_| self.content().exists())
    }

    /// A file to write.
    pub(super) fn begin(&self) -> Result<Arriving> {
        let scratch = Scratch::new(&self.data_root)?;
        let path = scratch.path().join(ARRIVING);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| Error::io("keep a download", error))?;
        Ok(Arriving { file, scratch })
    }

    /// Gives the file that is kept.
    pub(super) fn give(&self, about: &About, wanted: Wanted<'_>) -> Result<Fetched> {
        let scratch = Scratch::new(&self.data_root)?;
        fs::hard_link(self.content(), scratch.path().join(wanted.name))
            .map_err(|error| Error::io("take a download that is kept", error))?;
        // So that it is seen when it was last of use.
        let _ = File::open(self.about()).and_then(|file| file.set_modified(SystemTime::now()));
        fetched(scratch, about, wanted)
    }

    /// Takes in a file that has arrived, and gives it.
    pub(super) fn take(
        &self,
        arriving: Arriving,
        about: About,
        wanted: Wanted<'_>,
    ) -> Result<Fetched> {
        let failed = |error| Error::io("keep a download", error);
        let Arriving { file, scratch } = arriving;
        file.set_modified(moment(about.modified)).map_err(failed)?;
        let (arrived, path) = (scratch.path().join(ARRIVING), scratch.path().join(wanted.name));
        fs::rename(&arrived, &path).map_err(failed)?;
        if about.tag.is_some() {
            self.keep(&path, &about).map_err(failed)?;
        }
        fetched(scratch, &about, wanted)
    }

    fn keep(&self, path: &Path, about: &About) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.place)?;
        // Without the one, the other counts for nothing.
        let _ = fs::remove_file(self.about());
        let _ = fs::remove_file(self.content());
        make_room(&self.place, path.metadata()?.len());
        match fs::hard_link(path, self.content()) {
            // Somebody else has fetched it at the same time: that one is kept.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            linked => linked?,
        }
        fs::write(self.about(), serde_json::to_vec(about)?)
    }

    fn content(&self) -> PathBuf {
        self.place.join(&self.name)
    }

    fn about(&self) -> PathBuf {
        self.place.join(format!("{}.json", self.name))
    }
}

fn fetched(scratch: Scratch, about: &About, wanted: Wanted<'_>) -> Result<Fetched> {
    let root = scratch.open()?;
    let digest = format!("{} {} {}", wanted.name, about.digest, about.modified);
    Ok(Fetched { tree: Tree::new(root, scratch), digest })
}

/// Deletes what was not of use for longest, until there is room for so many bytes more.
fn make_room(place: &Path, bytes: u64) {
    let mut all: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
    for about in fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if about.extension().is_some_and(|extension| extension == "json") {
            let used = about.metadata().and_then(|about| about.modified());
            let size = about.with_extension("").metadata().map_or(0, |content| content.len());
            all.push((used.unwrap_or(SystemTime::UNIX_EPOCH), about, size));
        }
    }
    all.sort();
    let mut total = bytes + all.iter().map(|(_, _, size)| size).sum::<u64>();
    for (_, about, size) in all {
        if total <= MOST {
            return;
        }
        total -= size;
        let _ = fs::remove_file(&about);
        let _ = fs::remove_file(about.with_extension(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let place = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 1), ("new", 2)] {
            let content = File::create(place.path().join(name)).unwrap();
            content.set_len(MOST / 2).unwrap();
            let about = File::create(place.path().join(format!("{name}.json"))).unwrap();
            about.set_modified(moment(age)).unwrap();
        }
        make_room(place.path(), 0);
        assert!(place.path().join("old").exists());
        make_room(place.path(), 1);
        assert!(!place.path().join("old").exists() && !place.path().join("old.json").exists());
        assert!(place.path().join("new").exists());
    }
}
