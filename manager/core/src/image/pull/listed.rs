//! What comes with an image because a list leads to it: the list, and what it attests.

use std::collections::HashMap;

use oci_spec::image::Descriptor;

use super::Work;
use super::resolve::{Manifests, Resolved};
use crate::error::{Error, Result};
use crate::image::catalog::{Catalog, NewList};
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Blob;
use crate::image::list::attested;
use crate::image::platform::Platform;
use crate::image::record::{ListRecord, Variant};
use crate::image::reference::Reference;
use crate::registry::{Failure, Manifest, Received, Wanted};
use crate::snapshot::Hold;

/// Bytes of attestations that come along with an image at the most: they are held in memory.
const MOST: u64 = 64 << 20;
/// Attestations that come along with an image at the most.
const MOST_ATTESTATIONS: usize = 64;

/// A list that leads to an image, with what it says about that image; not yet on the disk.
pub(super) struct Listed {
    lists: Vec<Received>,
    platform: Option<Platform>,
    manifest: Received,
    attestations: Vec<Small>,
}

/// A blob in memory.
struct Small {
    media_type: String,
    content: Vec<u8>,
}

impl Work<'_> {
    /// What comes with the image; none: no list led to it. Attestations that can't be had are left
    /// out: they are nothing that the image needs.
    pub(super) async fn listed(&self, name: &Reference, resolved: &Resolved) -> Option<Listed> {
        resolved.lists.first()?;
        let indexes = resolved.lists.iter().filter_map(|list| match &list.manifest {
            Manifest::Index(index) => Some(index),
            Manifest::Image(_) => None,
        });
        let about = |entry: &&Descriptor| attested(entry) == Some(resolved.received.digest);
        let entries = indexes.flat_map(|index| index.manifests().iter().filter(about));
        let (mut attestations, mut left) = (HashMap::new(), MOST);
        for entry in entries.take(MOST_ATTESTATIONS) {
            match self.attestation(name, entry, &attestations, &mut left).await {
                Ok(blobs) => attestations.extend(blobs),
                Err(failure) => {
                    let digest = entry.digest();
                    tracing::warn!(%digest, ?failure, "an attestation does not come along");
                }
            }
        }
        Some(Listed {
            lists: resolved.lists.clone(),
            platform: resolved.platform.clone(),
            manifest: resolved.received.clone(),
            attestations: attestations.into_values().collect(),
        })
    }

    /// The blobs of an attestation but for those that are `known`. Takes their bytes from what is
    /// `left`.
    async fn attestation(
        &self,
        name: &Reference,
        entry: &Descriptor,
        known: &HashMap<Digest, Small>,
        left: &mut u64,
    ) -> Result<HashMap<Digest, Small>, Failure> {
        let digest = entry.digest().to_string().parse()?;
        let mut blobs = HashMap::new();
        if known.contains_key(&digest) {
            return Ok(blobs);
        }
        let manifests = Manifests { session: &self.session, catalog: &self.images.catalog };
        let received = manifests.with_digest(name, digest).await?;
        let Manifest::Image(manifest) = &received.manifest else {
            return Err(Failure::Wrong("it is no manifest".to_owned()));
        };
        take(left, received.content.len() as u64)?;
        blobs.insert(digest, Small::of(&received));
        for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
            let wanted = Wanted { digest: blob.digest().to_string().parse()?, size: blob.size() };
            if known.contains_key(&wanted.digest) || blobs.contains_key(&wanted.digest) {
                continue;
            }
            take(left, wanted.size)?;
            let content = self.session.small_blob(wanted, wanted.size).await?;
            let media_type = blob.media_type().to_string();
            blobs.insert(wanted.digest, Small { media_type, content });
        }
        Ok(blobs)
    }
}

fn take(left: &mut u64, bytes: u64) -> Result<(), Failure> {
    let rest = left.checked_sub(bytes);
    *left = rest.ok_or_else(|| {
        Failure::Wrong(format!("attestations of more than {MOST} bytes in all are left out"))
    })?;
    Ok(())
}

impl Small {
    fn of(received: &Received) -> Self {
        let media_type = received.kind.media_type().to_owned();
        Self { media_type, content: received.content.to_vec() }
    }
}

impl Catalog {
    /// Puts what came with the image `id` in its place, held until it is recorded.
    pub(super) fn keep_listed(
        &self,
        listed: &Listed,
        id: ImageId,
        platform: Platform,
        names: Vec<Reference>,
    ) -> Result<(NewList, Hold<Digest>)> {
        let keep = |small: &Small| self.keep_small(small);
        let lists: Vec<_> =
            listed.lists.iter().map(|list| keep(&Small::of(list))).collect::<Result<_>>()?;
        let manifest = keep(&Small::of(&listed.manifest))?;
        let attestations: Vec<_> = listed.attestations.iter().map(keep).collect::<Result<_>>()?;
        let mut lists = lists.into_iter().map(|(blob, _)| blob);
        let list = lists.next().ok_or_else(|| Error::system("no list led to the image"))?;
        let others = lists.chain(attestations.into_iter().map(|(blob, _)| blob)).collect();
        let platform = listed.platform.clone().unwrap_or(platform);
        let variants = vec![Variant { platform, manifest: manifest.0, image: id }];
        let record = ListRecord { list, variants, others };
        let hold = self.blobs.hold(record.blobs().map(|blob| blob.digest));
        Ok((NewList { record, names }, hold))
    }

    fn keep_small(&self, small: &Small) -> Result<(Blob, Hold<Digest>)> {
        let written = self.blobs.add(&small.content)?;
        let hold = self.blobs.hold([written.digest]);
        self.blobs.adopt(&written)?;
        Ok((written.describe(&small.media_type), hold))
    }
}
