//! What all parts of one build share.

use std::sync::{Arc, Mutex, PoisonError};

use tare_core::build::Stack;
use tare_dockerfile::ignore::Matcher;
use tare_dockerfile::plan::{ImageName, Options};
use tare_dockerfile::platform::Platform;
use tokio::sync::OnceCell;

use super::contexts::Contexts;
use super::definition::Definition;
use super::fetched::Fetches;
use super::images::ImagesOfBuild;
use super::imports::Imports;
use super::platform;
use super::request::Request;
use crate::builder::Builder;
use crate::cache::{Found, InUse, Key};
use crate::error::{Error, Result};
use crate::progress::Journal;
use crate::session::Session;

/// One build.
pub(super) struct Build {
    pub(super) builder: Arc<Builder>,
    pub(super) request: Request,
    pub(super) journal: Journal,
    pub(super) definition: Definition,
    pub(super) contexts: Contexts,
    pub(super) images: ImagesOfBuild,
    pub(super) fetches: Fetches,
    pub(super) imports: Imports,
    pub(super) client: Client,
    /// What the build has found or made, which stays until it has ended.
    used: Mutex<Vec<InUse>>,
}

/// The session of whoever asked for a build.
pub(super) struct Client {
    builder: Arc<Builder>,
    id: Option<String>,
    session: OnceCell<Session>,
}

impl Client {
    pub(super) fn new(builder: &Arc<Builder>, id: Option<String>) -> Self {
        Self { builder: Arc::clone(builder), id, session: OnceCell::new() }
    }

    /// Whether there is one, or will be.
    pub(super) fn is_there(&self) -> bool {
        self.id.is_some()
    }

    /// It, as soon as it is there.
    pub(super) async fn session(&self) -> Result<&Session> {
        let id = self.id.as_deref().ok_or_else(|| {
            Error::invalid("no active sessions: what is asked for has to come from a client")
        })?;
        Ok(self.session.get_or_init(|| self.builder.sessions.find(id)).await)
    }

    /// The session, if whoever asked has one.
    pub(super) async fn session_if_any(&self) -> Result<Option<&Session>> {
        if self.is_there() { self.session().await.map(Some) } else { Ok(None) }
    }

    /// The session that has a directory that `other` names, or else its own.
    pub(super) async fn with(&self, other: Option<&str>) -> Result<Session> {
        match other {
            Some(other) => Ok(self.builder.sessions.find(other).await),
            None => self.session().await.cloned(),
        }
    }
}

impl Build {
    pub(super) fn new(
        builder: &Arc<Builder>,
        request: Request,
        journal: &Journal,
        client: Client,
        definition: Definition,
        imports: Imports,
    ) -> Self {
        Self {
            builder: Arc::clone(builder),
            request,
            journal: journal.clone(),
            definition,
            contexts: Contexts::default(),
            images: ImagesOfBuild::default(),
            fetches: Fetches::default(),
            imports,
            client,
            used: Mutex::default(),
        }
    }

    /// Keeps a result until the build has ended.
    pub(super) fn uses(&self, used: InUse) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }

    /// Whether the result of a step is known, here or elsewhere.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.builder.cache.knows(key) || self.imports.knows(key)
    }

    /// A result, if it counts: where images were named that results may be taken of, only if one of
    /// them has it.
    pub(super) async fn may_use(&self, found: Found<Stack>) -> Option<Found<Stack>> {
        let images = &self.request.only_images;
        if images.is_empty() {
            return Some(found);
        }
        let layers = found.value.layers().await.ok()?;
        let has_them = |name: &String| {
            let image = self.builder.engine.images.resolve(name).ok()?;
            let same =
                image.layers.iter().zip(&layers).all(|(one, other)| one.chain_id == other.chain_id);
            (same && image.layers.len() >= layers.len()).then_some(())
        };
        images.iter().find_map(has_them).map(|()| found)
    }

    /// What the language has to know of what is asked for.
    pub(super) fn options(&self, target: Option<&Platform>) -> Options {
        let attrs = &self.request.attrs;
        Options {
            arguments: attrs.arguments.clone(),
            target: attrs.target.clone(),
            labels: attrs.labels.clone(),
            build_platform: platform::here(),
            target_platform: target.cloned(),
            several_platforms: attrs.several_platforms,
            contexts: attrs.contexts.clone(),
            fresh: attrs.fresh.clone(),
            all_stages: false,
            ignored: Matcher::default(),
            cache_namespace: attrs.cache_namespace.clone(),
            manner: self.request.manner,
            name_of,
        }
    }

    /// An error of the language, at its place in the file.
    pub(super) fn of_file(&self, error: &tare_dockerfile::Error) -> Error {
        Error::of_file(error, &self.definition.file)
    }
}

/// The name of an image, as it is meant.
pub(super) fn name_of(name: &str) -> std::result::Result<ImageName, String> {
    let reference = tare_core::image::Reference::parse(name).map_err(|error| error.to_string())?;
    let reference = reference.or_latest();
    Ok(ImageName { whole: reference.to_string(), short: reference.familiar() })
}
