//! What becomes of what was built: images here, archives and directories for whoever asked for it.

mod annotations;
mod archive;
mod asked;
pub(crate) mod cache;
mod config;
mod files;
mod image;
mod manifest;
mod parts;
mod push;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;

use crate::Builder;
use crate::error::{Error, Result};
use crate::progress::Journal;
use crate::session::Session;
use crate::solve::Built;
use archive::Form;
use asked::Asked;

pub use cache::{CacheExport, write as cache};
pub(crate) use image::{Named, record};
pub(crate) use parts::Finished;

/// How long a client may take until its session is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// An export that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Exporter {
    /// What it makes: `image`, `local`, `tar`.
    pub kind: String,
    /// How.
    pub attributes: BTreeMap<String, String>,
    /// Its place among those of the build.
    pub index: usize,
    /// The image tells later builds what there is to find in it.
    pub inline: bool,
}

/// Exports what was built, and says what came of it in the words of `BuildKit`'s clients.
///
/// # Errors
/// An export that is not known, or what it asks for that is not there; what goes wrong with it.
pub async fn export(
    builder: &Arc<Builder>,
    built: &Built,
    exporter: Exporter,
    session: &str,
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    let asked = Asked::read(&exporter, built.epoch)?;
    let index = exporter.index;
    match exporter.kind.as_str() {
        "image" | "moby" => image::export(builder, built, &asked, session, journal).await,
        "local" => {
            let session = client(builder, session).await?;
            files::local(builder, built, &asked, (&session, index), journal).await
        }
        "tar" => {
            let session = client(builder, session).await?;
            files::tar(builder, built, &asked, (&session, index), journal).await
        }
        "oci" | "docker" => {
            let form = if exporter.kind == "oci" { Form::Oci } else { Form::Docker };
            let session = client(builder, session).await?;
            archive::export(builder, built, &asked, form, (&session, index), journal).await
        }
        "" | "cacheonly" => Ok(BTreeMap::new()),
        other => Err(Error::invalid(format!("exporter {other:?} could not be found"))),
    }
}

/// The client, who takes what is exported.
async fn client(builder: &Builder, session: &str) -> Result<Session> {
    if session.is_empty() {
        return Err(Error::invalid("there is no session of a client who takes what is exported"));
    }
    builder.sessions.find_within(session, PATIENCE).await
}

/// Base64 as it is sent.
pub(super) fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
