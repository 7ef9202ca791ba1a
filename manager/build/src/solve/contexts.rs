//! Contexts: the build's own, and those that have names.

use std::collections::BTreeMap;

use tare_dockerfile::ignore::{self, Matcher};
use tare_dockerfile::plan::{Context, Provided, Wanted as WantedBase};
use tare_dockerfile::platform::Platform;
use tokio::sync::OnceCell;

use super::build::{Build, name_of};
use super::built::Part;
use super::definition::{Main, wanted_of};
use super::images::Resolved;
use super::once::Once;
use super::reading::read;
use super::remote;
use crate::attrs::CONTEXT;
use crate::error::{Error, Result};
use crate::session::files::{self, Wanted};
use crate::tree::Tree;

/// The file that says what is left out of a context.
const IGNORE: &str = ".dockerignore";

/// The contexts of one build: each is fetched once.
#[derive(Default)]
pub(super) struct Contexts {
    patterns: OnceCell<Result<Vec<String>>>,
    main: Once<Vec<String>, Tree>,
    named: Once<(String, String), Named>,
}

/// A context that has a name.
#[derive(Clone)]
pub(super) enum Named {
    /// Nothing.
    Nothing,
    /// An image.
    Image(Box<Resolved>),
    /// Files.
    Files(Tree),
    /// What another build made, and its settings, if those count.
    Part(Box<Part>, bool),
}

impl Build {
    /// What is left out of the context.
    pub(super) async fn ignored(&self) -> Result<Matcher> {
        let patterns = self.patterns().await?;
        Matcher::new(&patterns).map_err(|error| {
            Error::invalid(format!("failed to read dockerignore patterns: {error}"))
        })
    }

    async fn patterns(&self) -> Result<Vec<String>> {
        let read = || async {
            let Main::Client = self.definition.main else { return Ok(Vec::new()) };
            let text = match &self.definition.ignore {
                Some(text) => text.clone(),
                None => self.common_patterns().await?,
            };
            ignore::patterns(&text).map_err(|error| {
                Error::invalid(format!("failed to read dockerignore patterns: {error}"))
            })
        };
        self.contexts.patterns.get_or_init(read).await.clone()
    }

    async fn common_patterns(&self) -> Result<Vec<u8>> {
        let vertex = self.journal.vertex(&format!("[internal] load {IGNORE}"), &[]);
        let reading = async {
            let session = self.session_with(CONTEXT).await?;
            let wanted = Wanted { follow: vec![IGNORE.to_owned()], ..wanted_of(CONTEXT) };
            let tree = files::receive(&session, &wanted, &self.builder.contexts, &vertex).await?;
            Ok(read(&tree, IGNORE).await?.unwrap_or_default())
        };
        vertex.run(reading).await
    }

    /// The build's own context, or what of it is needed.
    pub(super) async fn context(&self, needed: &Context) -> Result<Tree> {
        let paths = match needed {
            Context::Everything | Context::Nothing => Vec::new(),
            Context::Paths(paths) => paths.clone(),
        };
        self.contexts.main.get(paths.clone(), self.fetch_context(paths)).await
    }

    async fn fetch_context(&self, follow: Vec<String>) -> Result<Tree> {
        if let Main::Here(tree) = &self.definition.main {
            return Ok(tree.clone());
        }
        let exclude = self.patterns().await?;
        let vertex = self.journal.vertex("[internal] load build context", &[]);
        let fetching = async {
            let session = self.session_with(CONTEXT).await?;
            let wanted = Wanted { exclude, follow, ..wanted_of(CONTEXT) };
            files::receive(&session, &wanted, &self.builder.contexts, &vertex).await
        };
        vertex.run(fetching).await
    }

    /// What a stage begins with that wants to know, and the image if it is one.
    pub(super) async fn provided(
        &self,
        wanted: &WantedBase,
    ) -> Result<(Provided, Option<Resolved>)> {
        let Some(name) = &wanted.context else {
            let title = format!("[internal] load metadata for {}", wanted.name);
            let resolved = self.image(&wanted.name, &wanted.platform, &title).await;
            let resolved = resolved.map_err(|error| {
                let written = &wanted.written;
                error
                    .while_doing(format!("failed to resolve source metadata for {}", wanted.name))
                    .while_doing(written)
                    .at(&self.definition.file, wanted.lines)
            })?;
            return Ok((resolved.provided(), Some(resolved)));
        };
        let named = self.named(name, &wanted.name, &wanted.platform).await;
        let provided = match named.map_err(|error| error.at(&self.definition.file, wanted.lines))? {
            Named::Nothing | Named::Files(_) | Named::Part(_, false) => Provided::default(),
            Named::Image(image) => Provided { name: None, ..image.provided() },
            Named::Part(part, true) => Provided { image: Some(part.image), name: None },
        };
        Ok((provided, None))
    }

    /// The context `name`, which is `value`.
    pub(super) async fn named(
        &self,
        name: &str,
        value: &str,
        platform: &Platform,
    ) -> Result<Named> {
        let key = (name.to_owned(), platform.to_string());
        self.contexts.named.get(key, self.fetch_named(name, value, platform)).await
    }

    async fn fetch_named(&self, name: &str, value: &str, platform: &Platform) -> Result<Named> {
        let (kind, rest) = value.split_once(':').ok_or_else(|| {
            Error::invalid(format!("invalid context specifier {value} for {name}"))
        })?;
        match kind {
            "docker-image" => {
                self.image_context(name, rest.trim_start_matches("//"), platform).await
            }
            "local" => self.local_context(name, rest).await.map(Named::Files),
            "input" => self.input_context(name, rest),
            "oci-layout" => {
                let title = format!("[context {name}] OCI load from client");
                let vertex = self.journal.vertex(&title, &[]);
                let layout = rest.trim_start_matches("//");
                let resolved = vertex.run(self.layout(layout, platform)).await?;
                Ok(Named::Image(Box::new(resolved)))
            }
            "git" | "http" | "https" | "ssh" => {
                let tree = remote::named(self, name, value).await?;
                Ok(Named::Files(tree))
            }
            kind if kind.starts_with("git@") => {
                Ok(Named::Files(remote::named(self, name, value).await?))
            }
            kind => Err(Error::invalid(format!("unsupported context source {kind} for {name}"))),
        }
    }

    async fn image_context(&self, name: &str, image: &str, platform: &Platform) -> Result<Named> {
        if image == "scratch" {
            return Ok(Named::Nothing);
        }
        let whole = name_of(image).map_err(Error::invalid)?.whole;
        let title = format!("[context {name}] load metadata for {image}");
        let resolved = self.image(&whole, platform, &title).await?;
        Ok(Named::Image(Box::new(resolved)))
    }

    async fn local_context(&self, name: &str, directory: &str) -> Result<Tree> {
        if let Some(given) = self.request.given.get(directory) {
            return Ok(given.clone());
        }
        let session = self.session_with(directory).await?;
        let store = &self.builder.contexts;
        let reading = self.journal.vertex(&format!("[context {name}] load {IGNORE}"), &[]);
        let exclude = reading
            .run(async {
                let wanted = Wanted { follow: vec![IGNORE.to_owned()], ..wanted_of(directory) };
                let tree = files::receive(&session, &wanted, store, &reading).await?;
                let text = read(&tree, IGNORE).await?.unwrap_or_default();
                ignore::patterns(&text)
                    .map_err(|error| Error::invalid(format!("failed parsing {IGNORE}: {error}")))
            })
            .await?;
        let title = format!("[context {name}] load from client");
        let loading = self.journal.vertex(&title, &[reading.id().clone()]);
        let wanted = Wanted { exclude, ..wanted_of(directory) };
        loading.run(files::receive(&session, &wanted, store, &loading)).await
    }

    fn input_context(&self, name: &str, input: &str) -> Result<Named> {
        let part = self
            .request
            .inputs
            .get(input)
            .ok_or_else(|| Error::invalid(format!("invalid input {input} for {name}")))?;
        let has_settings = match self.request.attrs.input_metadata.get(input) {
            None => false,
            Some(metadata) => {
                let known: BTreeMap<String, serde_json::Value> = serde_json::from_str(metadata)
                    .map_err(|error| {
                        Error::invalid(format!(
                            "failed to parse input metadata {metadata}: {error}"
                        ))
                    })?;
                known.contains_key("containerimage.config")
            }
        };
        Ok(Named::Part(Box::new(part.clone()), has_settings))
    }

    async fn session_with(&self, directory: &str) -> Result<crate::session::Session> {
        self.client.with(self.request.attrs.session_of(directory)).await
    }
}
