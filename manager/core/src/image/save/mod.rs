//! `save`: images as an archive that docker, OCI tools and `load` read.
//!
//! Blobs go out as they came in: a layer that was pulled compressed stays so, and keeps the digest
//! by which registries know it. Beside them stand docker's `manifest.json` and `repositories` and
//! OCI's `index.json`, which all describe the same images.

mod chosen;
mod describe;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use super::archive::{Entry, EntryKind, ModifiedAt, Writer};
use super::catalog::Catalog;
use super::digest::Digest;
use super::image::Blob;
use super::manifest;
use crate::archived::{Archived, archived};
use crate::error::{Error, Result};
use chosen::Chosen;
use describe::Description;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

impl Catalog {
    /// The images that `names` name, as an archive. A repository alone stands for all its tags.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown name.
    pub(super) fn save(self: &Arc<Self>, names: &[String]) -> Result<Archived> {
        let chosen = self.choose(names)?;
        let catalog = Arc::clone(self);
        Ok(archived(move |to| {
            let written = catalog.write_archive(&chosen, to);
            let ids: Vec<_> = chosen.iter().map(|chosen| chosen.image.id).collect();
            drop(chosen);
            // What was removed while it was written.
            catalog.collect();
            written?;
            for id in ids {
                catalog.tell("save", id, &id.to_string());
            }
            Ok(())
        }))
    }

    fn write_archive(&self, chosen: &[Chosen], to: impl Write) -> Result<()> {
        let mut archive = Saved::new(to);
        let mut description = Description::default();
        archive.directory("blobs/")?;
        archive.directory("blobs/sha256/")?;
        for chosen in chosen {
            for blob in chosen.record.blobs() {
                archive.blob(blob, || self.blobs.read(blob.digest))?;
            }
            let made;
            let manifest = match &chosen.record.manifest {
                Some(manifest) => manifest,
                None => {
                    made = archive.manifest(chosen)?;
                    &made
                }
            };
            description.add(chosen, manifest);
        }
        for (path, content) in description.files(chosen)? {
            archive.file(path, &content)?;
        }
        archive.to.finish().map(drop)
    }
}

/// The archive that is written.
struct Saved<W> {
    to: Writer<W>,
    /// Blobs that are in it already: images share layers.
    done: BTreeSet<Digest>,
    buffer: Vec<u8>,
}

impl<W: Write> Saved<W> {
    fn new(to: W) -> Self {
        Self { to: Writer::new(to), done: BTreeSet::new(), buffer: vec![0; BUFFER] }
    }

    fn directory(&mut self, path: &str) -> Result<()> {
        self.to.append(&entry(path, EntryKind::Directory, 0o755))
    }

    fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let kind = EntryKind::File { size: content.len() as u64, segments: None };
        self.to.append(&entry(path, kind, 0o644))?;
        self.to.data(content)
    }

    fn blob(&mut self, blob: &Blob, open: impl FnOnce() -> Result<File>) -> Result<()> {
        if !self.done.insert(blob.digest) {
            return Ok(());
        }
        let kind = EntryKind::File { size: blob.size, segments: None };
        self.to.append(&entry(&describe::path(blob.digest), kind, 0o644))?;
        let mut content = open()?.take(blob.size);
        let mut copied = 0;
        loop {
            let count = content
                .read(&mut self.buffer)
                .map_err(|error| Error::io(format_args!("read the blob {}", blob.digest), error))?;
            if count == 0 {
                break;
            }
            self.to.data(&self.buffer[..count])?;
            copied += count as u64;
        }
        if copied != blob.size {
            return Err(Error::system(format!("the blob {} is cut off", blob.digest)));
        }
        Ok(())
    }

    /// Makes a manifest for an image that came without one.
    fn manifest(&mut self, chosen: &Chosen) -> Result<Blob> {
        let layers = chosen.record.layers.iter().map(|layer| &layer.blob);
        let content = manifest::of(&chosen.record.config, layers)?;
        let blob = Blob {
            digest: Digest::of(&content),
            size: content.len() as u64,
            media_type: manifest::MEDIA_TYPE.to_owned(),
        };
        if self.done.insert(blob.digest) {
            self.file(&describe::path(blob.digest), &content)?;
        }
        Ok(blob)
    }
}

/// A member of the archive; the same images make the same archive, whenever.
fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        modified: ModifiedAt::default(),
        attributes: Vec::new(),
    }
}
