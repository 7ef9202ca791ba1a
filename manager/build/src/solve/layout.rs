//! Contexts that are images in a directory of the client: `oci-layout://STORE:TAG@sha256:...`.

use serde_json::Value;
use tare_core::image::{Blob, Digest};
use tare_dockerfile::image::Image;
use tare_dockerfile::platform::Platform;

use super::build::Build;
use super::images::Resolved;
use super::{keys, platform};
use crate::cache::NewResult;
use crate::error::{Error, Result};
use crate::export::cache::layer_of;
use crate::session::content::Store;

/// The most bytes of what describes an image.
const MOST: usize = 16 << 20;
/// An index in an index in an index is as deep as anyone goes.
const DEEPEST: usize = 4;

impl Build {
    /// The image that `layout` names, for a platform.
    pub(super) async fn layout(&self, layout: &str, platform: &Platform) -> Result<Resolved> {
        let (name, digest) = layout.split_once('@').ok_or_else(|| {
            Error::invalid(format!("oci-layout reference {layout:?} has no digest"))
        })?;
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        let store = Store::new(self.client.session().await?, &format!("oci:{name}"));
        let mut manifest = json(&store, digest.parse()?).await?;
        for _ in 0..DEEPEST {
            let Some(list) = manifest["manifests"].as_array() else { break };
            let chosen = choose(list, platform)?;
            manifest = json(&store, chosen).await?;
        }
        let config = described(&manifest["config"])?;
        let image: Image =
            serde_json::from_value(json(&store, config.digest).await?).map_err(|error| {
                Error::invalid(format!("could not parse oci-layout image config: {error}"))
            })?;
        let layers = manifest["layers"].as_array().into_iter().flatten().map(described);
        let layers = layers.collect::<Result<Vec<Blob>>>()?;
        // Layers that are here from an earlier time don't come again.
        let known: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
        let key = keys::of_layers(Some(&known.join(" ")), platform);
        let _turn = self.builder.cache.turns.wait(key).await;
        let found = match self.builder.cache.find(key) {
            Some(found) => found,
            None => {
                let mut value = self.builder.engine.builds.nothing();
                for layer in &layers {
                    value = layer_of(&store, &self.builder.engine.builds, &value, layer).await?;
                }
                let title = format!("layers of {layout}");
                let new = NewResult { value, title, parent: None, outline: None };
                self.builder.cache.insert(key, new)
            }
        };
        self.uses(found.used);
        let top = found.value.top().await?.map(|top| top.to_string());
        Ok(Resolved { stack: found.value, top, image, name: None })
    }
}

/// The entry for a platform.
fn choose(list: &[Value], wanted: &Platform) -> Result<Digest> {
    let wanted = platform::of_core(wanted)?;
    let ranked = list.iter().filter_map(|entry| {
        let platform = &entry["platform"];
        let (os, architecture) = (platform["os"].as_str()?, platform["architecture"].as_str()?);
        let variant = platform["variant"].as_str();
        let offered = tare_core::image::Platform::of(os, architecture, variant).ok()?;
        Some((wanted.rank_of(&offered)?, entry))
    });
    let best =
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry).or_else(|| list.first());
    let best =
        best.ok_or_else(|| Error::not_found("no match for platform in manifest: not found"))?;
    Ok(described(best)?.digest)
}

fn described(value: &Value) -> Result<Blob> {
    let blob = || {
        Some(Blob {
            digest: value["digest"].as_str()?.parse().ok()?,
            size: value["size"].as_u64()?,
            media_type: value["mediaType"].as_str()?.to_owned(),
        })
    };
    blob().ok_or_else(|| Error::invalid("an image of an OCI layout is described wrongly"))
}

async fn json(store: &Store, digest: Digest) -> Result<Value> {
    let content = store.read_all(&digest.to_string(), MOST).await?;
    if Digest::of(&content) != digest {
        return Err(Error::invalid(format!("{digest} is not what it is said to be")));
    }
    serde_json::from_slice(&content)
        .map_err(|error| Error::invalid(format!("{digest} can't be read: {error}")))
}
