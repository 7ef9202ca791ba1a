//! Which images are saved, and under which names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::image::catalog::Catalog;
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Image;
use crate::image::index::Index;
use crate::image::record::ImageRecord;
use crate::image::reference::Reference;
use crate::snapshot::Hold;

/// An image to be saved.
pub(super) struct Chosen {
    pub(super) image: Arc<Image>,
    pub(super) record: ImageRecord,
    /// Those of its names that were asked for.
    pub(super) names: BTreeSet<Reference>,
    /// Its blobs stay until it is saved, whatever becomes of the image.
    _blobs: Hold<Digest>,
}

/// Images and names, as far as they were asked for.
type Asked = BTreeMap<ImageId, BTreeSet<Reference>>;

impl Catalog {
    /// What `names` name, in the order of the images' ids.
    pub(super) fn choose(&self, names: &[String]) -> Result<Vec<Chosen>> {
        let index = self.read();
        let mut asked = Asked::new();
        for name in names {
            ask(&index, name, &mut asked)?;
        }
        let chosen = asked.into_iter().filter_map(|(id, names)| {
            let indexed = index.image(id)?;
            let record = indexed.record.clone();
            let blobs = self.blobs.hold(record.blobs().map(|blob| blob.digest));
            Some(Chosen { image: indexed.shown(), record, names, _blobs: blobs })
        });
        Ok(chosen.collect())
    }
}

fn ask(index: &Index, name: &str, asked: &mut Asked) -> Result<()> {
    let reference = Reference::parse(name).ok();
    if let Some(repository) = reference.as_ref().filter(|name| name.is_name_only()) {
        let all = index.of_repository(repository);
        let found = !all.is_empty();
        for (name, id) in all {
            asked.entry(id).or_default().extend(tagged(name));
        }
        if found {
            return Ok(());
        }
    }
    let id = index.resolve(name)?.id;
    let named = reference.filter(|name| index.named(name) == Some(id));
    asked.entry(id).or_default().extend(named.and_then(tagged));
    Ok(())
}

/// An archive has tags; digests are in it anyway.
fn tagged(name: Reference) -> Option<Reference> {
    Some(name).filter(|name| name.tag().is_some())
}
