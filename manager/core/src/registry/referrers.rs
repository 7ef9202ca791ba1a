//! Referrers: manifests that say of themselves what other manifest they are about.
//!
//! A registry of OCI's distribution specification 1.1 finds them by that manifest's digest, and says
//! so when one is put there. For any other registry whoever puts one there keeps a list of them,
//! under a tag that is made of the digest. Nothing is fetched by way of referrers: what an image's
//! list attests comes along with the image, and signatures and the like are for their own tools,
//! which find here all that was pushed.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use oci_spec::image::Descriptor;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Session;
use super::failure::{self, Failure};
use super::manifest::{Manifest, ManifestKind};
use super::request::{Request, whole};
use crate::error::Error;
use crate::image::Digest;

/// The longest list of referrers that is read.
const LONGEST: u64 = 4 << 20;
/// The header by which a registry says that it has found a manifest's subject.
pub(super) const SUBJECT: &str = "oci-subject";

/// What a manifest says about itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    annotations: Option<Value>,
}

/// A list of referrers.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// A manifest that is about another one.
pub(super) struct Referrer {
    /// The other one.
    subject: Digest,
    digest: Digest,
    /// What a list of referrers says of it.
    entry: Value,
}

impl Referrer {
    /// What there is to know of a manifest that is about another one; none: it is not.
    pub(super) fn of(kind: ManifestKind, content: &[u8]) -> Option<Self> {
        let about: About = serde_json::from_slice(content).ok()?;
        let subject = about.subject?.digest().to_string().parse().ok()?;
        let digest = Digest::of(content);
        let mut entry = json!({
            "mediaType": kind.media_type(), "digest": digest.to_string(), "size": content.len(),
        });
        let config = about.config.map(|config| config.media_type().to_string());
        if let Some(artifact) = about.artifact_type.or(config) {
            entry["artifactType"] = artifact.into();
        }
        if let Some(annotations) = about.annotations.filter(|annotations| !annotations.is_null()) {
            entry["annotations"] = annotations;
        }
        Some(Self { subject, digest, entry })
    }
}

impl Session {
    /// Makes sure that a manifest which was put into the repository is found by its subject.
    pub(super) async fn note(&self, referrer: &Referrer) -> Result<(), Failure> {
        let known = self.referrers(referrer.subject).await?;
        let is_it = |entry: &Descriptor| entry.digest().to_string() == referrer.digest.to_string();
        match known {
            Some(known) if known.iter().any(is_it) => Ok(()),
            _ => self.list_by_tag(referrer).await,
        }
    }

    /// The manifests that are about `subject`, as the registry finds them; none: it does not look.
    async fn referrers(&self, subject: Digest) -> Result<Option<Vec<Descriptor>>, Failure> {
        let answer = self
            .ask(|endpoint| {
                Ok(Request::new(Method::GET, self.url(endpoint, &format!("referrers/{subject}"))?))
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            // Those that have never heard of it answer in many ways.
            Err(failure) if !failure.is_passing() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let request = failure::name("GET", answer.url());
        let content = whole(answer, LONGEST, &request).await?;
        Ok(serde_json::from_slice::<Listed>(&content).ok().map(|listed| listed.manifests))
    }

    /// Adds a manifest to the list that stands under its subject's tag.
    async fn list_by_tag(&self, referrer: &Referrer) -> Result<(), Failure> {
        let tag = format!("sha256-{}", referrer.subject.hex());
        let name = self.name().clone().with_tag(&tag)?;
        let before = match self.manifest(&name).await {
            Ok(received) => Some(received),
            Err(failure) if failure.is_status(StatusCode::NOT_FOUND) => None,
            Err(failure) => return Err(failure),
        };
        let mut entries = Vec::new();
        if let Some(received) = before {
            let Manifest::Index(index) = &received.manifest else {
                return Err(Failure::Wrong(format!("the tag {tag} has no list of referrers")));
            };
            let digest = referrer.digest.to_string();
            if index.manifests().iter().any(|entry| entry.digest().to_string() == digest) {
                return Ok(());
            }
            let list: Value = serde_json::from_slice(&received.content).unwrap_or_default();
            entries.extend(list["manifests"].as_array().into_iter().flatten().cloned());
        }
        entries.push(referrer.entry.clone());
        let kind = ManifestKind::OciIndex;
        let list = json!({
            "schemaVersion": 2, "mediaType": kind.media_type(), "manifests": entries,
        });
        let content = serde_json::to_vec(&list)
            .map_err(|error| Error::system(format!("encode the list of referrers: {error}")))?;
        self.put(&tag, kind, Bytes::from(content)).await.map(drop)
    }
}
