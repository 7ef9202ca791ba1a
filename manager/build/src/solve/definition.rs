//! The Dockerfile, and where the context is.

use std::sync::Arc;

use tare_dockerfile::syntax;

use super::build::Client;
use super::reading::read;
use super::remote;
use super::request::Request;
use crate::attrs::{CONTEXT, DOCKERFILE, DOCKERFILE_DIRECTORY};
use crate::builder::Builder;
use crate::error::{Error, Result, SourceFile};
use crate::progress::{Journal, Vertex};
use crate::session::files::{self, Wanted};
use crate::tree::Tree;

/// What is built.
pub(super) struct Definition {
    /// The Dockerfile.
    pub(super) file: Arc<SourceFile>,
    /// The step that read it.
    pub(super) reader: Vertex,
    /// Where the context is.
    pub(super) main: Main,
    /// What stands beside the Dockerfile about what is left out of the context.
    pub(super) ignore: Option<Vec<u8>>,
}

/// Where the context is.
#[derive(Clone)]
pub(super) enum Main {
    /// In a directory of the client.
    Client,
    /// Here, as it is meant.
    Here(Tree),
}

impl Definition {
    /// Finds the context, and reads the Dockerfile.
    pub(super) async fn read(
        builder: &Arc<Builder>,
        client: &Client,
        request: &Request,
        journal: &Journal,
    ) -> Result<Self> {
        let attrs = &request.attrs;
        let mut name = attrs.file().to_owned();
        let main = match (&attrs.context, request.given.get(CONTEXT)) {
            (Some(address), _) => {
                let remote = remote::context(builder, client, address, attrs, journal).await?;
                name = remote.file.unwrap_or(name);
                Main::Here(remote.tree)
            }
            (None, Some(tree)) => Main::Here(tree.clone()),
            (None, None) => Main::Client,
        };
        let reader = journal.vertex(&format!("[internal] load build definition from {name}"), &[]);
        let reading = async {
            let tree = match (&main, request.given.get(DOCKERFILE_DIRECTORY)) {
                (_, Some(tree)) => tree.clone(),
                (Main::Here(tree), None) if attrs.file_directory.is_none() => tree.clone(),
                (Main::Here(_) | Main::Client, None) => {
                    let directory = attrs.file_directory.as_deref().unwrap_or(DOCKERFILE_DIRECTORY);
                    let session = client.with(attrs.session_of(directory)).await?;
                    let wanted = Wanted { follow: paths(&name), ..wanted_of(directory) };
                    files::receive(&session, &wanted, &builder.contexts, &reader).await?
                }
            };
            let text = text(&tree, &name).await?;
            let ignore = match &main {
                Main::Client => read(&tree, &format!("{name}.dockerignore")).await?,
                Main::Here(_) => None,
            };
            Ok((text, ignore))
        };
        let (text, ignore) = reader.run(reading).await?;
        let file = Arc::new(SourceFile { name, text });
        let read = Self { file, reader, main, ignore };
        read.require_ours(attrs.syntax.as_deref())?;
        Ok(read)
    }

    /// Makes sure that the file is in our language.
    fn require_ours(&self, syntax: Option<&str>) -> Result<()> {
        let frontend = match syntax {
            // What was asked for counts for what stands in the file.
            Some(syntax) => syntax::frontend(format!("# syntax={syntax}").as_bytes()),
            None => syntax::frontend(&self.file.text),
        };
        frontend.require_here().map_err(|error| match syntax {
            Some(_) => Error::invalid(error.to_string()),
            None => Error::of_file(&error, &self.file),
        })
    }
}

/// All of a directory of the client.
pub(super) fn wanted_of(directory: &str) -> Wanted {
    Wanted {
        name: directory.to_owned(),
        include: Vec::new(),
        exclude: Vec::new(),
        follow: Vec::new(),
    }
}

/// What is asked of the directory with the Dockerfile.
fn paths(name: &str) -> Vec<String> {
    let lower = lower_case(name);
    [Some(name.to_owned()), Some(format!("{name}.dockerignore")), lower]
        .into_iter()
        .flatten()
        .collect()
}

/// The Dockerfile's other name: in small letters.
fn lower_case(name: &str) -> Option<String> {
    name.strip_suffix(DOCKERFILE)
        .filter(|directory| directory.is_empty() || directory.ends_with('/'))
        .map(|directory| format!("{directory}{}", DOCKERFILE.to_lowercase()))
}

async fn text(tree: &Tree, name: &str) -> Result<Vec<u8>> {
    if let Some(text) = read(tree, name).await.map_err(|error| in_words(&error))? {
        return Ok(text);
    }
    if let Some(lower) = lower_case(name)
        && let Some(text) = read(tree, &lower).await.map_err(|error| in_words(&error))?
    {
        return Ok(text);
    }
    Err(Error::not_found(format!(
        "failed to read dockerfile: open {name}: no such file or directory"
    )))
}

fn in_words(error: &Error) -> Error {
    Error { message: format!("failed to read dockerfile: {}", error.message), ..error.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_may_be_written_small() {
        assert_eq!(
            paths("a/Dockerfile"),
            ["a/Dockerfile", "a/Dockerfile.dockerignore", "a/dockerfile"]
        );
        assert_eq!(paths("myDockerfile"), ["myDockerfile", "myDockerfile.dockerignore"]);
    }
}
