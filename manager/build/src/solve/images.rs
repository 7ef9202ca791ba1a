//! Images that stages begin with, or copy from: here, or in their registries.

use std::collections::{BTreeMap, BTreeSet};

use tare_core::Kind;
use tare_core::build::Stack;
use tare_core::image::{LayerStep, Pull, Reference, Step};
use tare_core::registry::Credentials;
use tare_dockerfile::image::Image;
use tare_dockerfile::plan::Provided;
use tare_dockerfile::platform::Platform;
use tokio::sync::mpsc;

use super::build::Build;
use super::once::Once;
use super::platform;
use crate::attrs::ResolveMode;
use crate::error::{Error, Result};
use crate::progress::{TransferHandle, Vertex};
use crate::session::auth;

/// Steps of a pull that wait to be told.
const AHEAD: usize = 16;
/// Where Docker's own registry is reached: clients know their credentials for it by this name.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// An image that was found.
#[derive(Clone)]
pub(super) struct Resolved {
    /// Its files.
    pub(super) stack: Stack,
    /// Its uppermost layer; none: it has none.
    pub(super) top: Option<String>,
    /// Its settings.
    pub(super) image: Image,
    /// Its name with its digest, if it comes from a registry.
    pub(super) name: Option<String>,
}

/// The images of one build, by their names and platforms: each is looked up once.
pub(super) type ImagesOfBuild = Once<(String, String), Resolved>;

impl Resolved {
    /// What a graph has to be told of it.
    pub(super) fn provided(&self) -> Provided {
        Provided { image: Some(self.image.clone()), name: self.name.clone() }
    }
}

impl Build {
    /// The names of the images that were looked up, with their digests if they have them.
    pub(super) fn image_names(&self) -> Vec<String> {
        let there = self.images.there().into_iter();
        let names = there.map(|((name, _), resolved)| resolved.name.unwrap_or(name));
        let names: BTreeSet<String> = names.collect();
        names.into_iter().collect()
    }

    /// The image called `whole` for a platform; `title` is what progress says while it is looked up.
    pub(super) async fn image(
        &self,
        whole: &str,
        platform: &Platform,
        title: &str,
    ) -> Result<Resolved> {
        let resolve = async {
            let vertex = self.journal.vertex(title, &[]);
            vertex.run(self.resolve(whole, platform, &vertex)).await
        };
        self.images.get((whole.to_owned(), platform.to_string()), resolve).await
    }

    async fn resolve(&self, whole: &str, platform: &Platform, vertex: &Vertex) -> Result<Resolved> {
        let core = platform::of_core(platform)?;
        let reference = Reference::parse(whole)?;
        if self.request.attrs.resolve != ResolveMode::Pull
            && let Ok(image) = self.builder.engine.images.resolve_for(whole, Some(&core))
        {
            return self.found(&image, None).await;
        }
        let digest = self.pull(&reference, &core, vertex).await?;
        let image = self.builder.engine.images.resolve_for(whole, Some(&core));
        // A single image is taken for what it says to be for.
        let image = image.or_else(|_| self.builder.engine.images.resolve(whole))?;
        let name = match (digest, reference.digest()) {
            (Some(digest), None) => Some(format!("{whole}@{digest}")),
            _ => Some(whole.to_owned()),
        };
        self.found(&image, name).await
    }

    async fn found(
        &self,
        image: &tare_core::image::Image,
        name: Option<String>,
    ) -> Result<Resolved> {
        let engine = &self.builder.engine;
        let config = engine.images.configuration(image.id).await?;
        let settings = serde_json::from_value(config).map_err(|error| {
            Error::system(format!("failed to parse the configuration of {}: {error}", image.id))
        })?;
        Ok(Resolved {
            stack: engine.builds.of_image(image)?,
            top: image.top().map(|top| top.to_string()),
            image: settings,
            name,
        })
    }

    /// Brings an image, and gives the digest of what has its name.
    async fn pull(
        &self,
        name: &Reference,
        platform: &tare_core::image::Platform,
        vertex: &Vertex,
    ) -> Result<Option<String>> {
        let (tell, mut steps) = mpsc::channel(AHEAD);
        let pull = Pull {
            name: name.clone(),
            all_tags: false,
            platform: Some(platform.to_string()),
            credentials: self.credentials(name.registry()).await?,
        };
        let telling = async {
            let (mut digest, mut told) = (None, Told::default());
            while let Some(step) = steps.recv().await {
                match step {
                    Step::Digest(found) => digest = Some(found.to_string()),
                    Step::Layer { blob, step } => told.take(&blob.to_string(), step, vertex),
                    Step::Begun { .. } | Step::Warning(_) | Step::Done { .. } => {}
                }
            }
            digest
        };
        let (pulled, digest) = tokio::join!(self.builder.engine.images.pull(pull, tell), telling);
        pulled.map_err(|error| in_words(name, &error))?;
        Ok(digest)
    }

    /// What may be shown to a registry.
    pub(super) async fn credentials(&self, registry: &str) -> Result<Credentials> {
        let host = if registry == HUB.0 { HUB.1 } else { registry };
        let given = &self.request.credentials;
        if let Some(given) = given.get(registry).or_else(|| given.get(host)) {
            return Ok(given.clone());
        }
        if !self.client.is_there() {
            return Ok(Credentials::default());
        }
        let session = self.client.session().await?;
        let Some(found) = auth::credentials(session, host).await? else {
            return Ok(Credentials::default());
        };
        // A secret of nobody is a token that gets others.
        Ok(match found.username.as_str() {
            "" => Credentials { identity_token: found.secret, ..Credentials::default() },
            _ => Credentials {
                username: found.username,
                password: found.secret,
                ..Credentials::default()
            },
        })
    }
}

/// Why an image can't be had, in `BuildKit`'s words.
fn in_words(name: &Reference, error: &tare_core::Error) -> Error {
    let text = error.to_string();
    let denied = error.kind() == Kind::Forbidden || text.starts_with("pull access denied");
    match error.kind() {
        Kind::NotFound | Kind::Forbidden if denied => Error::not_found(
            "pull access denied, repository does not exist or may require authorization: server \
             message: insufficient_scope: authorization failed",
        ),
        Kind::NotFound if text.starts_with("no matching manifest") => {
            Error::not_found(format!("no match for platform in manifest: not found ({text})"))
        }
        Kind::NotFound => Error::not_found(format!("{name}: not found")),
        kind => Error::new(kind, text),
    }
}

/// How far the layers of a pull are.
#[derive(Default)]
struct Told(BTreeMap<String, TransferHandle>);

impl Told {
    fn take(&mut self, blob: &str, step: LayerStep, vertex: &Vertex) {
        match step {
            LayerStep::Downloading { current, total } => {
                let layer = self.0.entry(blob.to_owned()).or_insert_with(|| vertex.transfer(blob));
                let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                layer.set(bytes(current), bytes(total));
            }
            LayerStep::Downloaded | LayerStep::Complete => {
                self.0.remove(blob);
            }
            LayerStep::Known
            | LayerStep::Announced
            | LayerStep::Waiting
            | LayerStep::Retrying { .. }
            | LayerStep::Verifying
            | LayerStep::Extracting { .. } => {}
        }
    }
}
