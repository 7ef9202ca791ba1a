//! Which layers of an image are here, and which have to come.

use oci_spec::image::{Descriptor, ImageManifest};

use crate::error::{Error, Result};
use crate::image::catalog::Catalog;
use crate::image::config::ImageConfig;
use crate::image::digest::{ChainId, DiffId, Digest};
use crate::image::image::Blob;
use crate::registry::Wanted;
use crate::snapshot::{Hold, MOST_LAYERS};

/// The layers of one image, before they are here.
pub(super) struct Layers {
    pub(super) planned: Vec<Planned>,
    pub(super) blobs: Vec<Hold<Digest>>,
    pub(super) chains: Hold<ChainId>,
}

/// One layer, and what there is to do for it.
pub(super) struct Planned {
    pub(super) wanted: Wanted,
    media_type: &'static str,
    pub(super) diff_id: DiffId,
    pub(super) chain_id: ChainId,
    /// Its blob, if that is here, and unpacked.
    pub(super) here: Option<Blob>,
}

impl Layers {
    /// Looks which layers are here, and keeps them from being collected.
    pub(super) fn plan(
        catalog: &Catalog,
        image: &ImageManifest,
        config: &ImageConfig,
    ) -> Result<Self> {
        let diff_ids = &config.rootfs.diff_ids;
        if image.layers().len() != diff_ids.len() {
            return Err(Error::system("layers from manifest don't match image configuration"));
        }
        // What can't be stacked is not even asked for.
        if diff_ids.len() > MOST_LAYERS {
            return Err(Error::invalid(format!("max depth exceeded: {MOST_LAYERS} layers")));
        }
        let mut planned = Vec::new();
        let mut below = None;
        for (descriptor, diff_id) in image.layers().iter().zip(diff_ids) {
            let chain_id = ChainId::extend(below, *diff_id);
            below = Some(chain_id);
            let wanted = Wanted {
                digest: descriptor.digest().to_string().parse()?,
                size: descriptor.size(),
            };
            let media_type = media_type(descriptor)?;
            planned.push(Planned { wanted, media_type, diff_id: *diff_id, chain_id, here: None });
        }
        // Whoever needs something holds it first and looks for it then.
        let chains = catalog.layers.hold(planned.iter().map(|layer| layer.chain_id));
        let blobs = vec![catalog.blobs.hold(planned.iter().map(|layer| layer.wanted.digest))];
        for layer in &mut planned {
            // One that is here in another form only comes again: what is pushed is what came.
            // A blob that no image has as this layer may be anything: it is unpacked to see that.
            let blob = layer.described();
            let known = catalog.read().has_layer(layer.chain_id, blob.digest)
                && catalog.layers.find(layer.chain_id).is_some();
            layer.here =
                Some(blob).filter(|blob| known && catalog.blobs.has(blob.digest, blob.size));
        }
        Ok(Self { planned, blobs, chains })
    }
}

impl Planned {
    /// The blob that the manifest names.
    pub(super) fn described(&self) -> Blob {
        let Wanted { digest, size } = self.wanted;
        Blob { digest, size, media_type: self.media_type.to_owned() }
    }
}

/// The media type, in OCI's words, of what the manifest describes as a layer.
fn media_type(descriptor: &Descriptor) -> Result<&'static str> {
    let said = descriptor.media_type().to_string();
    match said.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok("application/vnd.oci.image.layer.v1.tar")
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Ok("application/vnd.oci.image.layer.v1.tar+gzip")
        }
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            Ok("application/vnd.oci.image.layer.v1.tar+zstd")
        }
        foreign if foreign.contains("foreign") || foreign.contains("nondistributable") => {
            Err(Error::unsupported(format!(
                "the layer {} ({foreign}), which is not kept in registries but at {},",
                descriptor.digest(),
                descriptor.urls().as_ref().map_or("no known place".into(), |urls| urls.join(", "))
            )))
        }
        other => Err(Error::invalid(format!("unsupported media type {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layer(media_type: &str) -> Descriptor {
        let descriptor = json!({
            "mediaType": media_type,
            "digest": Digest::of(b"x").to_string(),
            "size": 1,
            "urls": ["https://elsewhere.test/x"],
        });
        serde_json::from_value(descriptor).unwrap()
    }

    #[test]
    fn layers_that_registries_do_not_keep_are_refused() {
        let foreign = layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let error = media_type(&foreign).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Unsupported);
        assert!(error.to_string().contains("https://elsewhere.test/x"), "{error}");
        let unknown = media_type(&layer("application/x.y")).unwrap_err();
        assert_eq!(unknown.to_string(), "unsupported media type application/x.y");
    }
}
