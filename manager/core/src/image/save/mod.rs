//! `save`: images as an archive that docker, OCI tools and `load` read.
//!
//! Blobs go out as they came in: a layer that was pulled compressed stays so, and keeps the digest
//! by which registries know it. Beside them stand docker's `manifest.json` and `repositories` and
//! OCI's `index.json`, which all describe the same images.

mod chosen;
mod describe;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use super::archive::{Entry, EntryKind, ModifiedAt, Writer};
use super::catalog::Catalog;
use super::digest::Digest;
use super::image::Blob;
use super::manifest;
use super::platform::Platform;
use crate::archived::{Archived, archived};
use crate::error::{Error, Result};
use chosen::Chosen;
use describe::Description;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

impl Catalog {
    /// The images that `names` name, as an archive; of several platforms all, or only `platform`. A
    /// repository alone stands for all its tags.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown name, or one without an image for the platform.
    pub(super) fn save(
        self: &Arc<Self>,
        names: &[String],
        platform: Option<&Platform>,
    ) -> Result<Archived> {
        let chosen = self.choose(names, platform)?;
        let catalog = Arc::clone(self);
        archived(move |to| {
            let written = catalog.write_archive(&chosen, to);
            let ids: Vec<_> = chosen.images.iter().map(|image| image.record.id()).collect();
            drop(chosen);
            // What was removed while it was written.
            catalog.collect();
            written?;
            for id in ids {
                catalog.tell("save", id, &id.to_string());
            }
            Ok(())
        })
    }

    /// An archive of these blobs, and of these files after them.
    pub(super) fn layout(
        self: &Arc<Self>,
        blobs: Vec<Blob>,
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<Archived> {
        let catalog = Arc::clone(self);
        let held = self.blobs.hold(blobs.iter().map(|blob| blob.digest));
        archived(move |to| {
            let mut archive = Saved { to: Writer::new(to), buffer: vec![0; BUFFER] };
            archive.directory("blobs/")?;
            archive.directory("blobs/sha256/")?;
            for Blob { digest, size, .. } in blobs {
                archive.blob(digest, size, catalog.blobs.checked(digest, size)?)?;
            }
            for (path, content) in files {
                archive.file(&path, &content)?;
            }
            drop(held);
            archive.to.finish().map(drop)
        })
    }

    fn write_archive(&self, chosen: &Chosen, to: impl Write) -> Result<()> {
        let (contents, description) = contents(chosen)?;
        let mut archive = Saved { to: Writer::new(to), buffer: vec![0; BUFFER] };
        archive.directory("blobs/")?;
        archive.directory("blobs/sha256/")?;
        for (digest, content) in contents {
            match content {
                Content::Stored { size } => {
                    archive.blob(digest, size, self.blobs.checked(digest, size)?)?;
                }
                Content::Made(content) => archive.file(&describe::path(digest), &content)?,
            }
        }
        for (path, content) in description.files()? {
            archive.file(path, &content)?;
        }
        archive.to.finish().map(drop)
    }
}

/// Where the content of a blob comes from.
enum Content {
    Stored { size: u64 },
    Made(Vec<u8>),
}

/// All blobs, each once and in the order of their digests, and what is said of them.
fn contents(chosen: &Chosen) -> Result<(BTreeMap<Digest, Content>, Description)> {
    let of_lists = chosen.lists.iter().flat_map(|list| list.record.blobs());
    let of_images = chosen.images.iter().flat_map(|image| image.record.blobs());
    let stored = of_images.chain(of_lists);
    let stored = stored.map(|blob| (blob.digest, Content::Stored { size: blob.size }));
    let mut contents: BTreeMap<_, _> = stored.collect();
    let mut description = Description::default();
    for image in &chosen.images {
        description.add_item(image);
        let Some(names) = &image.alone else { continue };
        match &image.record.manifest {
            Some(manifest) => description.add_entry(manifest, names),
            // It came without one.
            None => {
                let layers = image.record.layers.iter().map(|layer| &layer.blob);
                let content = manifest::of(&image.record.config, layers)?;
                let manifest = Blob {
                    digest: Digest::of(&content),
                    size: content.len() as u64,
                    media_type: manifest::MEDIA_TYPE.to_owned(),
                };
                description.add_entry(&manifest, names);
                contents.insert(manifest.digest, Content::Made(content));
            }
        }
    }
    for list in &chosen.lists {
        description.add_entry(&list.record.list, &list.names);
    }
    Ok((contents, description))
}

/// The archive that is written.
struct Saved<W> {
    to: Writer<W>,
    buffer: Vec<u8>,
}

impl<W: Write> Saved<W> {
    fn directory(&mut self, path: &str) -> Result<()> {
        self.to.append(&entry(path, EntryKind::Directory, 0o755))
    }

    fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let kind = EntryKind::File { size: content.len() as u64, segments: None };
        self.to.append(&entry(path, kind, 0o644))?;
        self.to.data(content)
    }

    fn blob(&mut self, digest: Digest, size: u64, content: impl Read) -> Result<()> {
        let kind = EntryKind::File { size, segments: None };
        self.to.append(&entry(&describe::path(digest), kind, 0o644))?;
        let mut content = content.take(size);
        let mut copied = 0;
        loop {
            let count = content
                .read(&mut self.buffer)
                .map_err(|error| Error::io(format_args!("read the blob {digest}"), error))?;
            if count == 0 {
                break;
            }
            self.to.data(&self.buffer[..count])?;
            copied += count as u64;
        }
        if copied != size {
            return Err(Error::system(format!("the blob {digest} is cut off")));
        }
        Ok(())
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
