//! Files and repositories that steps add from elsewhere.

use std::sync::Arc;

use tare_dockerfile::plan::Item;

use super::build::{Build, Client};
use super::once::Once;
use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::fetch::{self, Fetched, Way};

/// What one build has fetched.
pub(super) type Fetches = Once<String, Fetched>;

impl Build {
    /// Fetches what an item names, once for a build.
    pub(super) async fn fetched(&self, item: &Item) -> Result<Fetched> {
        self.fetches.get(format!("{item:?}"), self.fetch(item)).await
    }

    async fn fetch(&self, item: &Item) -> Result<Fetched> {
        let way = way(&self.builder, &self.client).await?;
        match item {
            Item::Url { url, name, checksum, .. } => {
                let vertex = self.journal.vertex(&fetch::shown(url), &[]);
                let wanted = fetch::Wanted { url, name, checksum: checksum.as_deref() };
                vertex.run(fetch::file(&way, wanted, &vertex)).await
            }
            Item::Git(repository) => {
                let vertex = self.journal.vertex(&fetch::shown(&repository.remote), &[]);
                vertex.run(fetch::repository(&way, repository)).await
            }
            Item::Files { .. } | Item::Document { .. } => {
                Err(Error::system("what is no address is not fetched"))
            }
        }
    }
}

/// How a build fetches.
pub(super) async fn way<'a>(builder: &'a Arc<Builder>, client: &'a Client) -> Result<Way<'a>> {
    let session = client.session_if_any().await?;
    Ok(Way { engine: &builder.engine, session, agents: builder.agents() })
}
