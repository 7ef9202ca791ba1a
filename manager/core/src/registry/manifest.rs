//! Manifests: what an image or an index of images is made of.

use bytes::Bytes;
use oci_spec::image::{ImageIndex, ImageManifest};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response};
use serde::Deserialize;

use super::Session;
use super::failure::{self, Failure};
use super::referrers::{Referrer, SUBJECT};
use super::request::{Request, whole};
use crate::image::{Digest, Reference};

/// The longest manifest that is read, as the specification suggests and others have it.
const LONGEST: u64 = 4 << 20;
/// The header by which a registry says a manifest's digest.
const DIGEST: &str = "docker-content-digest";

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
const ACCEPTED: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.oci.image.index.v1+json, */*";

/// What a manifest describes.
#[derive(Debug, Clone)]
pub(crate) enum Manifest {
    /// An image.
    Image(Box<ImageManifest>),
    /// Images for several platforms.
    Index(Box<ImageIndex>),
}

/// The kinds of manifests, by their media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    OciImage,
    OciIndex,
    DockerImage,
    DockerList,
}

/// A manifest as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) digest: Digest,
    pub(crate) kind: ManifestKind,
    /// Byte for byte, since the digest is of it.
    pub(crate) content: Bytes,
    pub(crate) manifest: Manifest,
}

/// What tells the kinds apart where the registry doesn't.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Received {
    /// The longest that is read.
    pub(crate) const LONGEST: u64 = LONGEST;

    /// Reads a manifest that is said to be of `media_type`; what it says itself is enough.
    pub(crate) fn read(
        content: Vec<u8>,
        media_type: &str,
        name: &Reference,
    ) -> Result<Self, Failure> {
        let (kind, manifest) = parse(&content, media_type, name)?;
        Ok(Self { digest: Digest::of(&content), kind, content: content.into(), manifest })
    }
}

impl ManifestKind {
    /// The kind with this media type.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_MANIFEST => Some(Self::OciImage),
            OCI_INDEX => Some(Self::OciIndex),
            DOCKER_MANIFEST => Some(Self::DockerImage),
            DOCKER_LIST => Some(Self::DockerList),
            _ => None,
        }
    }

    /// Whether it lists manifests.
    pub(crate) fn is_list(self) -> bool {
        match self {
            Self::OciIndex | Self::DockerList => true,
            Self::OciImage | Self::DockerImage => false,
        }
    }

    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::OciImage => OCI_MANIFEST,
            Self::OciIndex => OCI_INDEX,
            Self::DockerImage => DOCKER_MANIFEST,
            Self::DockerList => DOCKER_LIST,
        }
    }
}

impl Session {
    /// The manifest with the tag or digest of `name`.
    pub(crate) async fn manifest(&self, name: &Reference) -> Result<Received, Failure> {
        let expected = name.digest();
        let tag = match (expected, name.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_owned(),
            (None, None) => "latest".to_owned(),
        };
        let answer = self
            .ask(|endpoint| {
                let url = self.url(endpoint, &format!("manifests/{tag}"))?;
                let mut request = Request::new(Method::GET, url);
                request.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
                Ok(request)
            })
            .await?;
        let request = failure::name("GET", answer.url());
        let (promised, media_type) = (promised_digest(&answer), media_type(&answer));
        let content = whole(answer, LONGEST, &request).await?;
        let digest = Digest::of(&content);
        if expected.or(promised).is_some_and(|expected| expected != digest) {
            let expected = expected.or(promised).unwrap_or(digest);
            return Err(Failure::Wrong(format!(
                "manifest verification failed for digest {expected}"
            )));
        }
        Received::read(content, &media_type, name)
    }

    /// The digest of what has the tag of `name`, if the registry says it without giving it.
    pub(crate) async fn manifest_digest(
        &self,
        name: &Reference,
    ) -> Result<Option<Digest>, Failure> {
        let tag = name.tag().unwrap_or("latest");
        let answer = self
            .ask(|endpoint| {
                let url = self.url(endpoint, &format!("manifests/{tag}"))?;
                let mut request = Request::new(Method::HEAD, url);
                request.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
                Ok(request)
            })
            .await;
        match answer {
            Ok(answer) => Ok(promised_digest(&answer)),
            Err(failure) if failure.is_passing() => Err(failure),
            // What is wrong is said in the answer to a whole request.
            Err(_) => Ok(None),
        }
    }

    /// Gives the manifest a name in the repository, or its digest alone. One that is about another
    /// manifest is found by that from then on.
    pub(crate) async fn put_manifest(
        &self,
        tag: &str,
        kind: ManifestKind,
        content: Bytes,
    ) -> Result<(), Failure> {
        let referrer = Referrer::of(kind, &content);
        let answer = self.put(tag, kind, content).await?;
        match referrer {
            Some(referrer) if !answer.headers().contains_key(SUBJECT) => self.note(&referrer).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn put(
        &self,
        tag: &str,
        kind: ManifestKind,
        content: Bytes,
    ) -> Result<Response, Failure> {
        self.ask(|endpoint| {
            let url = self.url(endpoint, &format!("manifests/{tag}"))?;
            let mut request = Request::new(Method::PUT, url);
            let media_type = HeaderValue::from_static(kind.media_type());
            request.headers.insert(CONTENT_TYPE, media_type);
            request.content = super::request::Content::Bytes(content.clone());
            Ok(request)
        })
        .await
    }
}

fn promised_digest(answer: &Response) -> Option<Digest> {
    answer.headers().get(DIGEST)?.to_str().ok()?.parse().ok()
}

fn media_type(answer: &Response) -> String {
    let value = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a manifest that the registry says to be of `media_type`.
fn parse(
    content: &[u8],
    media_type: &str,
    name: &Reference,
) -> Result<(ManifestKind, Manifest), Failure> {
    let wrong = |error| {
        Failure::Wrong(format!("the manifest of {} can't be read: {error}", name.familiar()))
    };
    let shape: Shape = serde_json::from_slice(content).map_err(wrong)?;
    if SCHEMA_1.contains(&media_type) || shape.schema_version == Some(1) {
        return Err(Failure::Ours(crate::Error::invalid(format!(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been \
             removed. Suggest the author of {} to upgrade the image to the OCI Format or Docker \
             Image manifest v2, schema 2. More information at \
             https://docs.docker.com/go/deprecated-image-specs/",
            name.familiar()
        ))));
    }
    if shape.manifests.is_some() && shape.layers.is_some() {
        return Err(Failure::Wrong(format!(
            "the manifest of {} is ambiguous: it has both layers and manifests",
            name.familiar()
        )));
    }
    let said = shape.media_type.as_deref().and_then(ManifestKind::of);
    let kind = match (ManifestKind::of(media_type), said) {
        (Some(kind), Some(other)) if kind != other => {
            return Err(Failure::Wrong(format!(
                "the manifest of {} says that it is {}, but came as {media_type}",
                name.familiar(),
                other.media_type()
            )));
        }
        (Some(kind), _) | (None, Some(kind)) => kind,
        (None, None) if shape.media_type.is_some() => {
            let media_type = shape.media_type.unwrap_or_default();
            return Err(Failure::Ours(crate::Error::invalid(format!(
                "unsupported media type {media_type}"
            ))));
        }
        (None, None) if shape.manifests.is_some() => ManifestKind::OciIndex,
        (None, None) => ManifestKind::OciImage,
    };
    let manifest = match kind {
        ManifestKind::OciImage | ManifestKind::DockerImage => {
            Manifest::Image(serde_json::from_slice(content).map_err(wrong)?)
        }
        ManifestKind::OciIndex | ManifestKind::DockerList => {
            Manifest::Index(serde_json::from_slice(content).map_err(wrong)?)
        }
    };
    Ok((kind, manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(content: &str, media_type: &str) -> Result<ManifestKind, String> {
        let name = Reference::parse("r.test/a:1").unwrap();
        parse(content.as_bytes(), media_type, &name)
            .map(|(kind, _)| kind)
            .map_err(|failure| crate::Error::from(failure).to_string())
    }

    const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

    #[test]
    fn the_kind_is_what_both_say() {
        assert_eq!(parsed(INDEX, OCI_INDEX), Ok(ManifestKind::OciIndex));
        assert_eq!(parsed(INDEX, DOCKER_LIST), Ok(ManifestKind::DockerList));
        assert_eq!(parsed(INDEX, "text/plain"), Ok(ManifestKind::OciIndex));
        let said =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{DOCKER_LIST}\",\"manifests\":[]}}");
        assert_eq!(parsed(&said, "application/json"), Ok(ManifestKind::DockerList));
        assert!(parsed(&said, OCI_MANIFEST).unwrap_err().contains("but came as"));
    }

    #[test]
    fn what_cannot_be_pulled_is_said() {
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        assert!(parsed(both, OCI_INDEX).unwrap_err().contains("ambiguous"));
        let old = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(parsed(old, "").unwrap_err().contains("schema 1 support has been removed"));
        let other = r#"{"schemaVersion":2,"mediaType":"application/x.y"}"#;
        assert_eq!(parsed(other, "").unwrap_err(), "unsupported media type application/x.y");
        assert!(parsed("<html>", OCI_INDEX).unwrap_err().contains("can't be read"));
    }
}
