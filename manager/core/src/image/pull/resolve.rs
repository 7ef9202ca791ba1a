//! From a name to the manifest of one image.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use crate::error::Error;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::{Failure, Manifest, Received, Session};

/// Marks what is no image, but says something about one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// An index in an index in an index is as deep as anyone goes.
const DEEPEST: usize = 4;
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The manifest of an image.
pub(super) struct Resolved {
    /// The digest of what has the name: the manifest itself, or an index that leads to it.
    pub(super) top: Digest,
    pub(super) received: Received,
    pub(super) image: Box<ImageManifest>,
}

/// The image called `name`; of several, the one for the platform.
pub(super) async fn resolve(
    session: &Session,
    name: &Reference,
    platform: Option<&Platform>,
) -> Result<Resolved, Failure> {
    let mut received = session.manifest(name).await?;
    let top = received.digest;
    for _ in 0..DEEPEST {
        match received.manifest.clone() {
            Manifest::Image(image) => {
                check_config(&image)?;
                return Ok(Resolved { top, received, image });
            }
            Manifest::Index(index) => {
                let digest = select(&index, platform)?.digest().to_string().parse()?;
                received = session.manifest(&name.clone().with_digest(digest)).await?;
            }
        }
    }
    Err(Failure::Wrong(format!("the indexes of {} are nested too deep", name.familiar())))
}

/// What is no image, such as a chart, is refused before anything is fetched.
fn check_config(image: &ImageManifest) -> Result<(), Error> {
    let media_type = image.config().media_type().to_string();
    if CONFIGS.contains(&media_type.as_str()) {
        return Ok(());
    }
    let class = match media_type.as_str() {
        "application/vnd.docker.plugin.v1+json" => "plugin",
        _ => "unknown",
    };
    Err(Error::invalid(format!("Encountered remote {media_type:?}({class}) when fetching")))
}

/// The entry that suits the platform best.
fn select<'a>(index: &'a ImageIndex, wanted: Option<&Platform>) -> Result<&'a Descriptor, Error> {
    let host = Platform::host();
    let wanted = wanted.unwrap_or(&host);
    let entries = index.manifests().iter().filter(|entry| is_image(entry));
    let ranked = entries.filter_map(|entry| {
        let platform = entry.platform().as_ref()?;
        let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
        let rank = wanted.rank(&os, &architecture, platform.variant().as_deref())?;
        Some((rank, entry))
    });
    let best = ranked.min_by_key(|(rank, _)| *rank);
    best.map(|(_, entry)| entry).ok_or_else(|| {
        Error::not_found(format!("no matching manifest for {wanted} in the manifest list entries"))
    })
}

fn is_image(entry: &Descriptor) -> bool {
    let annotations = entry.annotations().as_ref();
    annotations.is_none_or(|annotations| !annotations.contains_key(REFERENCE_TYPE))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index(platforms: &[&str]) -> ImageIndex {
        let manifests: Vec<_> = platforms
            .iter()
            .map(|text| {
                let mut parts = text.split('/');
                let mut platform = json!({ "os": parts.next(), "architecture": parts.next() });
                if let Some(variant) = parts.next() {
                    platform["variant"] = json!(variant);
                }
                json!({
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": Digest::of(text.as_bytes()).to_string(),
                    "size": 1,
                    "platform": platform,
                })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        serde_json::from_value(index).unwrap()
    }

    fn selected(platforms: &[&str], wanted: &str) -> Option<String> {
        let index = index(platforms);
        let wanted = Platform::parse(wanted).unwrap();
        let digest = select(&index, Some(&wanted)).ok()?.digest().to_string();
        let chosen =
            platforms.iter().find(|text| Digest::of(text.as_bytes()).to_string() == digest);
        chosen.map(|text| (*text).to_owned())
    }

    #[test]
    fn the_best_platform_is_chosen() {
        let all =
            ["linux/amd64/v3", "windows/amd64", "linux/amd64", "linux/arm/v6", "linux/arm/v7"];
        let select = |wanted: &str| selected(&all, wanted);
        assert_eq!(select("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(select("linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        assert_eq!(selected(&all[..4], "linux/arm/v7").as_deref(), Some("linux/arm/v6"));
        assert_eq!(select("linux/arm/v5"), None);
        assert_eq!(select("linux/s390x"), None);
    }

    #[test]
    fn attestations_are_no_images() {
        let mut value = serde_json::to_value(index(&["linux/amd64"])).unwrap();
        value["manifests"][0]["annotations"] = json!({ REFERENCE_TYPE: "attestation-manifest" });
        let index: ImageIndex = serde_json::from_value(value).unwrap();
        let wanted = Platform::parse("linux/amd64").unwrap();
        let error = select(&index, Some(&wanted)).unwrap_err();
        let expected = "no matching manifest for linux/amd64 in the manifest list entries";
        assert_eq!(error.to_string(), expected);
    }
}
