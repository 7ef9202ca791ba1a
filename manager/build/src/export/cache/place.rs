//! Where caches are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tare_core::build::{Builds, Remote, Stack, Way};
use tare_core::image::{Blob, Digest, Reference};
use tokio::io::{AsyncWriteExt, duplex};

use super::{CONFIG, form};
use crate::Builder;
use crate::attrs::CacheOption;
use crate::cache::Key;
use crate::error::{Error, Result};
use crate::export::manifest::Document;
use crate::export::{client, push};
use crate::session::content::Store;

/// The tag of a cache in a directory, where none is said.
const TAG: &str = "latest";
/// The most bytes of what describes a cache.
const MOST: usize = 64 << 20;
/// Bytes of a layer that wait to be unpacked.
const AHEAD: usize = 1 << 20;

/// Where a cache is written.
pub(super) enum Place {
    Registry(Box<Remote>),
    Client(Store),
}

/// Where a cache is read.
pub(super) enum Source {
    Registry(Arc<Remote>),
    Client(Store),
}

impl Place {
    pub(super) async fn of(builder: &Builder, option: &CacheOption, session: &str) -> Result<Self> {
        match option.kind.as_str() {
            "local" => Ok(Self::Client(store(builder, option, "dest", session).await?)),
            _ => Ok(Self::Registry(Box::new(remote(builder, option, session, Way::To).await?))),
        }
    }

    pub(super) async fn write(
        &self,
        builder: &Builder,
        stored: &[Blob],
        config: Vec<u8>,
        document: &Document,
    ) -> Result<()> {
        let Document { content, blob } = document.clone();
        let store = match self {
            Self::Registry(remote) => {
                remote.send(stored, vec![config], (content, &blob.media_type)).await?;
                return Ok(());
            }
            Self::Client(store) => store,
        };
        for blob in stored {
            let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
            let writer = store.write(&blob.digest.to_string(), size).await?;
            let Some(mut writer) = writer else { continue };
            let mut content = builder.engine.builds.blob(blob)?;
            while let Some(piece) = content.next().await? {
                writer.write(piece).await?;
            }
            writer.commit().await?;
        }
        for content in [config, content] {
            let digest = Digest::of(&content).to_string();
            let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
            let Some(mut writer) = store.write(&digest, size).await? else { continue };
            writer.write(content.into()).await?;
            writer.commit().await?;
        }
        Ok(())
    }
}

impl Source {
    /// Opens a cache: what is in it, by result.
    pub(super) async fn open(
        builder: &Arc<Builder>,
        option: &CacheOption,
        session: &str,
    ) -> Result<(Self, BTreeMap<Key, Vec<Blob>>)> {
        let (source, manifest) = if option.kind == "local" {
            let store = store(builder, option, "src", session).await?;
            let digest = option.attrs.get("digest").ok_or_else(|| {
                let tag = option.attrs.get("tag").map_or(TAG, String::as_str);
                Error::invalid(format!("the directory of a cache has no manifest {tag:?}"))
            })?;
            let manifest = store.read_all(digest, MOST).await?;
            (Self::Client(store), manifest)
        } else {
            let remote = Arc::new(remote(builder, option, session, Way::From).await?);
            let (manifest, _) = remote.manifest().await?;
            (Self::Registry(remote), manifest)
        };
        let manifest: Value = serde_json::from_slice(&manifest).map_err(unreadable)?;
        let known = source.known(&manifest).await?;
        Ok((source, known))
    }

    async fn known(&self, manifest: &Value) -> Result<BTreeMap<Key, Vec<Blob>>> {
        let list = |name: &str| -> Vec<Blob> {
            manifest[name].as_array().into_iter().flatten().filter_map(blob).collect()
        };
        let config = blob(&manifest["config"]);
        let described = config.iter().cloned().chain(list("manifests"));
        if let Some(config) = described.into_iter().find(|blob| blob.media_type == CONFIG) {
            return form::read(&self.small(&config).await?);
        }
        let config = config.ok_or_else(|| unreadable("it is neither a cache nor an image"))?;
        let config: Value =
            serde_json::from_slice(&self.small(&config).await?).map_err(unreadable)?;
        match config.get("moby.buildkit.cache.v0") {
            Some(said) => form::read_inline(said, &list("layers")),
            None => Ok(BTreeMap::new()),
        }
    }

    async fn small(&self, blob: &Blob) -> Result<Vec<u8>> {
        match self {
            Self::Registry(remote) => Ok(remote.small(blob, MOST as u64).await?),
            Self::Client(store) => {
                let content = store.read_all(&blob.digest.to_string(), MOST).await?;
                if Digest::of(&content) == blob.digest {
                    return Ok(content);
                }
                Err(unreadable(format!("{} is not what it is said to be", blob.digest)))
            }
        }
    }

    /// The layer `blob` upon `below`.
    pub(super) async fn layer(&self, builds: &Builds, below: &Stack, blob: &Blob) -> Result<Stack> {
        let store = match self {
            Self::Registry(remote) => {
                return Ok(builds.receive(below, remote.blob(blob), blob).await?);
            }
            Self::Client(store) => store,
        };
        layer_of(store, builds, below, blob).await
    }
}

/// The layer `blob` of a client's store upon `below`.
pub(crate) async fn layer_of(
    store: &Store,
    builds: &Builds,
    below: &Stack,
    blob: &Blob,
) -> Result<Stack> {
    let mut reader = store.read(&blob.digest.to_string()).await?;
    let (mut to, from) = duplex(AHEAD);
    let passing = async move {
        while let Some(piece) = reader.next().await? {
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let (passed, received) = tokio::join!(passing, builds.receive(below, from, blob));
    passed?;
    Ok(received?)
}

/// The store of the client that is named in `name`.
async fn store(
    builder: &Builder,
    option: &CacheOption,
    name: &str,
    session: &str,
) -> Result<Store> {
    let path = option.attrs.get(name).filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| Error::invalid(format!("local cache requires {name}")))?;
    let session = client(builder, session).await?;
    Ok(Store::new(&session, &format!("local:{path}")))
}

async fn remote(
    builder: &Builder,
    option: &CacheOption,
    session: &str,
    way: Way,
) -> Result<Remote> {
    let name =
        option.attrs.get("ref").ok_or_else(|| Error::invalid("registry cache requires ref"))?;
    let wrong = |error| Error::invalid(format!("failed to parse {name}: {error}"));
    let name = Reference::parse(name).map_err(wrong)?.or_latest();
    let credentials = match session {
        "" => Default::default(),
        session => push::credentials(&client(builder, session).await?, &name).await?,
    };
    Ok(builder.engine.builds.remote(&name, credentials, way).await?)
}

fn blob(value: &Value) -> Option<Blob> {
    Some(Blob {
        digest: value["digest"].as_str()?.parse().ok()?,
        size: value["size"].as_u64()?,
        media_type: value["mediaType"].as_str()?.to_owned(),
    })
}

fn unreadable(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("a cache can't be read: {why}"))
}
