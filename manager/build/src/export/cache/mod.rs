//! Caches that other builders find: with an image, in a registry, in a directory of the client.
//!
//! What is kept there has `BuildKit`'s form, a list of layers and of which results they are, so that
//! any builder can read it; what results are known by is our own.

mod form;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tare_core::build::{Packing, Repack, Stack};
use tare_core::image::{Blob, Layer};

use super::manifest::{self, Types};
use crate::Builder;
use crate::attrs::CacheOption;
use crate::cache::Key;
use crate::error::{Error, Result};
use crate::progress::Journal;
use crate::solve::{Built, Part};
use form::{Cache, Entry};
pub(crate) use place::layer_of;
use place::{Place, Source};

/// A cache that is to be written.
#[derive(Debug, Clone, Default)]
pub struct CacheExport {
    /// Where: `registry`, `local`.
    pub kind: String,
    /// How.
    pub attributes: BTreeMap<String, String>,
}

/// A cache that was read.
pub(crate) struct Imported {
    builder: Arc<Builder>,
    source: Source,
    /// The layers of each result, lowest first.
    known: BTreeMap<Key, Vec<Blob>>,
}

/// The type of what a cache is described by.
const CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// Writes what was built to a place where other builders find it.
///
/// # Errors
/// A place that is not known, or can't be written.
pub async fn write(
    builder: &Arc<Builder>,
    built: &Built,
    cache: CacheExport,
    session: &str,
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    let option = CacheOption { kind: cache.kind, attrs: cache.attributes };
    let lenient = option.attrs.get("ignore-error").is_some_and(|said| said == "true");
    let name = match option.kind.as_str() {
        "registry" => "exporting cache to registry",
        "local" => "exporting cache to client directory",
        other => return Err(Error::invalid(format!("unknown cache exporter: {other:?}"))),
    };
    require_smallest(option.attrs.get("mode").map(String::as_str))?;
    let vertex = journal.vertex(name, &[]);
    let work = async {
        let preparing = vertex.transfer("preparing build cache for export");
        let place = Place::of(builder, &option, session).await?;
        let mut cache = Cache::default();
        for part in &built.parts {
            add(builder, part, &option, &mut cache).await?;
        }
        let config = cache.config()?;
        let mut blobs: Vec<Blob> = cache.blobs().cloned().collect();
        blobs.push(form::described(&config, CONFIG));
        let document = index(&option, &blobs)?;
        drop(preparing);
        drop(
            vertex.transfer(&format!("writing config {}", form::described(&config, CONFIG).digest)),
        );
        let _writing = vertex.transfer(&format!("writing cache manifest {}", document.blob.digest));
        let stored: Vec<Blob> = cache.blobs().cloned().collect();
        place.write(builder, &stored, config, &document).await?;
        let described = manifest::describe(&document.blob).to_string();
        Ok(BTreeMap::from([("cache.manifest".to_owned(), described)]))
    };
    match vertex.run(work).await {
        Err(error) if lenient => {
            tracing::info!(%error, "a cache could not be written");
            Ok(BTreeMap::new())
        }
        done => done,
    }
}

/// The list of what a cache is made of: as an image, or as the index that older builders expect.
fn index(option: &CacheOption, blobs: &[Blob]) -> Result<manifest::Document> {
    let switch = |name: &str| {
        option.attrs.get(name).map_or(Ok(true), |said| super::asked::switch(name, said))
    };
    let types = if switch("oci-mediatypes")? { Types::Oci } else { Types::Docker };
    if switch("image-manifest")? && types == Types::Oci {
        let (config, layers) =
            blobs.split_last().ok_or_else(|| Error::system("a cache without a description"))?;
        return manifest::of_blobs(config, layers);
    }
    manifest::list_of_blobs(blobs, types)
}

async fn add(
    builder: &Builder,
    part: &Part,
    option: &CacheOption,
    cache: &mut Cache,
) -> Result<()> {
    let packing = match option.attrs.get("compression").map(String::as_str) {
        None | Some("gzip") => Packing::Gzip,
        Some("uncompressed") => Packing::Plain,
        Some("zstd") => Packing::Zstd,
        Some(other) => {
            return Err(Error::unsupported(format!(
                "the cache exporter's option compression={other}"
            )));
        }
    };
    let forced = option.attrs.get("force-compression").is_some_and(|said| said == "true");
    let repack = if forced { Repack::Others } else { Repack::Plain };
    let outgoing = builder.engine.builds.outgoing(&part.stack, packing, repack).await?;
    record(part, &outgoing.layers, cache);
    cache.keep(outgoing);
    Ok(())
}

/// Notes the results of a part, of which these are the layers.
fn record(part: &Part, layers: &[Layer], cache: &mut Cache) {
    let below = layers.len().saturating_sub(part.made.len());
    for (count, made) in part.made.iter().enumerate() {
        let layers = layers.iter().take(below + count + 1);
        let entries = layers.enumerate().map(|(place, layer)| Entry {
            layer: layer.clone(),
            at: place.checked_sub(below).and_then(|place| part.made.get(place)).map(|made| made.at),
        });
        cache.add(made.key, entries.collect());
    }
}

/// What an image says of the results in it, for later builds.
pub(super) fn inline(part: &Part, layers: &[Layer]) -> Result<Value> {
    let mut cache = Cache::default();
    record(part, layers, &mut cache);
    cache.inline()
}

/// Reads a cache. What is not there, or can't be read, is none.
///
/// # Errors
/// A kind of place that is not known.
pub(crate) async fn import(
    builder: &Arc<Builder>,
    option: &CacheOption,
    session: Option<&str>,
    journal: &Journal,
) -> Result<Option<Imported>> {
    if !matches!(option.kind.as_str(), "registry" | "local" | "inline") {
        return Err(Error::invalid(format!("unknown cache importer: {:?}", option.kind)));
    }
    let shown = option.attrs.get("ref").or_else(|| option.attrs.get("src"));
    let shown = shown.map_or("", String::as_str);
    let vertex = journal.vertex(&format!("importing cache manifest from {shown}"), &[]);
    let found = vertex.run(Source::open(builder, option, session.unwrap_or_default())).await;
    Ok(match found {
        Ok((source, known)) => Some(Imported { builder: Arc::clone(builder), source, known }),
        Err(error) => {
            tracing::info!(%error, "a cache can't be read");
            None
        }
    })
}

impl Imported {
    /// Whether the result is there.
    pub(crate) fn find(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }

    /// Brings the result.
    ///
    /// # Errors
    /// A layer that can't be had, or isn't what it is said to be.
    pub(crate) async fn bring(&self, key: &Key) -> Result<Stack> {
        let layers = self
            .known
            .get(key)
            .ok_or_else(|| Error::not_found(format!("no result {key} in a cache")))?;
        let builds = &self.builder.engine.builds;
        let mut stack = builds.nothing();
        for blob in layers {
            stack = self.source.layer(builds, &stack, blob).await?;
        }
        Ok(stack)
    }
}

/// Only what led to the result is written, and not what other stages have left.
fn require_smallest(mode: Option<&str>) -> Result<()> {
    match mode {
        None | Some("" | "min") => Ok(()),
        Some("max") => Err(Error::unsupported("a cache export with mode=max")),
        Some(other) => Err(Error::invalid(format!("unsupported cache export mode: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_less_than_was_asked_is_refused() {
        assert!(require_smallest(None).is_ok() && require_smallest(Some("min")).is_ok());
        let error = require_smallest(Some("max")).unwrap_err();
        assert!(error.message.contains("mode=max"), "{error}");
        assert!(require_smallest(Some("most")).is_err());
    }
}
