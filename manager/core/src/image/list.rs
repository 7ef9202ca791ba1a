//! Lists of images for several platforms: what their entries are.

use oci_spec::image::Descriptor;

use super::digest::Digest;

/// Marks what is no image, but says something about one, and how.
pub(super) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The manifest that it says something about.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The kind of what says how an image was built and what is in it.
const ATTESTATION: &str = "attestation-manifest";

/// Whether the entry of a list is an image, or leads to one.
pub(super) fn is_image(entry: &Descriptor) -> bool {
    annotation(entry, REFERENCE_TYPE).is_none()
}

/// The manifest of the image that an entry attests something about.
pub(super) fn attested(entry: &Descriptor) -> Option<Digest> {
    annotation(entry, REFERENCE_TYPE).filter(|kind| *kind == ATTESTATION)?;
    annotation(entry, REFERENCE_DIGEST)?.parse().ok()
}

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a str> {
    Some(entry.annotations().as_ref()?.get(key)?.as_str())
}
