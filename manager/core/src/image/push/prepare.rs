//! Making an image that was made here fit to be pushed: its layers compressed, a manifest written.

use super::Prepared;
use super::compress::compress;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::catalog::Catalog;
use crate::image::digest::ImageId;
use crate::image::image::{Blob, Layer};
use crate::image::manifest;
use crate::image::record::ImageRecord;
use crate::registry::ManifestKind;

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Catalog {
    /// The image as it is sent: with `manifest`, if that is a manifest of its blobs. What it lacks for
    /// that is made, and kept: the image then is what it would be had it been pulled.
    pub(super) fn prepare_push(
        &self,
        id: ImageId,
        manifest: Option<Blob>,
        given_up: &GivenUp,
    ) -> Result<Prepared> {
        let (before, _held) = self.held(id)?;
        let record = before.clone();
        let manifest = manifest.filter(|manifest| self.consists_of(&record, manifest));
        if let Some(manifest) = manifest.or_else(|| record.manifest.clone()) {
            return self.prepared(record, manifest);
        }
        let mut made = Vec::new();
        let mut layers = Vec::new();
        for layer in &record.layers {
            layers.push(if layer.blob.media_type == PLAIN {
                let blob = compress(layer, &self.blobs, given_up)?;
                let layer = Layer { blob: blob.describe(GZIP), ..layer.clone() };
                made.push(blob);
                layer
            } else {
                layer.clone()
            });
        }
        let content = manifest::of(&record.config, layers.iter().map(|layer| &layer.blob))?;
        let written = self.blobs.add(&content)?;
        let manifest = written.describe(manifest::MEDIA_TYPE);
        made.push(written);
        let record = ImageRecord { layers, manifest: Some(manifest.clone()), ..record };
        let prepared = self.prepared(record.clone(), manifest)?;
        for blob in &made {
            self.blobs.adopt(blob)?;
        }
        self.replace(&before, record)?;
        Ok(prepared)
    }

    fn prepared(&self, record: ImageRecord, manifest: Blob) -> Result<Prepared> {
        let kind = ManifestKind::of(&manifest.media_type).ok_or_else(|| {
            Error::unsupported(format!("pushing a manifest of type {}", manifest.media_type))
        })?;
        let blobs = record.blobs().chain([&manifest]).map(|blob| blob.digest);
        let _blobs = self.blobs.hold(blobs);
        Ok(Prepared { record, manifest, kind, _blobs })
    }
}

#[cfg(test)]
mod tests {
    use crate::given_up::GivenUp;
    use crate::image::archive::testing::{Member, tar_of};
    use crate::image::testing::{import, open};

    #[tokio::test]
    async fn a_damaged_blob_is_given_no_other_digest() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        let image = import(&images, &tar_of(&[Member::file("a", &[7; 5000])]), Some("x")).await;
        let blob = images.catalog.blobs.path(image.layers[0].blob.digest);
        let mut content = std::fs::read(&blob).unwrap();
        content[1000] ^= 1;
        std::fs::write(&blob, content).unwrap();
        let error = images
            .catalog
            .prepare_push(image.id, None, &GivenUp::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("damaged on the disk"), "{error}");
    }
}
