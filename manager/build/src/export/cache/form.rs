//! The form of a cache: layers, each upon another, and the results that they are.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tare_core::build::Outgoing;
use tare_core::image::{Blob, Digest, Layer};

use crate::cache::Key;
use crate::error::{Error, Result};

/// The most layers that are read of a cache, and the most results.
const MOST: usize = 100_000;

/// What a cache has.
#[derive(Default)]
pub(super) struct Cache {
    layers: Vec<Noted>,
    /// Where a layer is, by its blob and the layer below.
    places: BTreeMap<(String, Option<usize>), usize>,
    results: BTreeMap<Key, (usize, Option<Timestamp>)>,
    /// What goes out stays until then.
    _kept: Vec<Outgoing>,
}

/// A layer, upon another one.
struct Noted {
    layer: Layer,
    below: Option<usize>,
}

/// A layer of a result, and when it was made here.
pub(super) struct Entry {
    pub(super) layer: Layer,
    pub(super) at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    layers: Vec<ConfigLayer>,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ConfigLayer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
    #[serde(rename = "parent", default = "nothing")]
    parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<LayerNotes>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LayerNotes {
    media_type: String,
    #[serde(rename = "diffID")]
    diff_id: String,
    size: u64,
    created_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    digest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<RecordLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordLayer {
    layer: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

fn nothing() -> i64 {
    -1
}

impl Cache {
    /// Adds a result, of which these are the layers, lowest first.
    pub(super) fn add(&mut self, key: Key, entries: Vec<Entry>) {
        let (mut below, mut at) = (None, None);
        for entry in entries {
            let place = (entry.layer.blob.digest.to_string(), below);
            let next = self.layers.len();
            let known = *self.places.entry(place).or_insert(next);
            if known == next {
                self.layers.push(Noted { layer: entry.layer, below });
            }
            (below, at) = (Some(known), entry.at);
        }
        if let Some(top) = below {
            self.results.insert(key, (top, at));
        }
    }

    pub(super) fn keep(&mut self, outgoing: Outgoing) {
        self._kept.push(outgoing);
    }

    /// The blobs of its layers, each once.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let mut seen = std::collections::BTreeSet::new();
        let blobs = self.layers.iter().map(|noted| &noted.layer.blob);
        blobs.filter(move |blob| seen.insert(blob.digest.to_string()))
    }

    fn described(&self, is_inline: bool) -> Config {
        let index = |place: usize| i64::try_from(place).unwrap_or(-1);
        let layers = self.layers.iter().map(|noted| {
            let blob = &noted.layer.blob;
            let notes = LayerNotes {
                media_type: blob.media_type.clone(),
                diff_id: noted.layer.diff_id.to_string(),
                size: blob.size,
                created_at: None,
            };
            ConfigLayer {
                // An image has its layers in order; they need no name.
                blob: (!is_inline).then(|| blob.digest.to_string()),
                parent: noted.below.map_or(-1, index),
                annotations: (!is_inline).then_some(notes),
            }
        });
        let records = self.results.iter().map(|(key, (top, at))| Record {
            digest: key.to_string(),
            layers: vec![RecordLayer {
                layer: index(*top),
                created_at: at.map(|at| at.to_string()),
            }],
            inputs: Vec::new(),
        });
        Config { layers: layers.collect(), records: records.collect() }
    }

    /// It, as the blob that describes it.
    pub(super) fn config(&self) -> Result<Vec<u8>> {
        encode(&self.described(false))
    }

    /// It, as it is in the configuration of the image whose layers it is about.
    pub(super) fn inline(&self) -> Result<Value> {
        Ok(Value::String(STANDARD.encode(encode(&self.described(true))?)))
    }
}

fn encode(config: &Config) -> Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|error| Error::system(format!("encode a cache: {error}")))
}

/// A document as a blob.
pub(super) fn described(content: &[u8], media_type: &str) -> Blob {
    Blob {
        digest: Digest::of(content),
        size: content.len() as u64,
        media_type: media_type.to_owned(),
    }
}

/// Reads what describes a cache: the layers of each result, lowest first.
///
/// # Errors
/// It can't be understood.
pub(super) fn read(config: &[u8]) -> Result<BTreeMap<Key, Vec<Blob>>> {
    let config = parse(config)?;
    let blob = |layer: &ConfigLayer| -> Option<Blob> {
        let notes = layer.annotations.as_ref()?;
        Some(Blob {
            digest: layer.blob.as_deref()?.parse().ok()?,
            size: notes.size,
            media_type: notes.media_type.clone(),
        })
    };
    let blobs: Vec<Option<Blob>> = config.layers.iter().map(blob).collect();
    Ok(results(&config, &blobs))
}

/// Reads what an image with these layers says of itself.
///
/// # Errors
/// It can't be understood.
pub(super) fn read_inline(said: &Value, layers: &[Blob]) -> Result<BTreeMap<Key, Vec<Blob>>> {
    let text = said.as_str().ok_or_else(|| unreadable("it is no text"))?;
    let config = STANDARD.decode(text).map_err(unreadable)?;
    let blobs: Vec<Option<Blob>> = layers.iter().cloned().map(Some).collect();
    Ok(results(&parse(&config)?, &blobs))
}

fn parse(config: &[u8]) -> Result<Config> {
    let config: Config = serde_json::from_slice(config).map_err(unreadable)?;
    if config.layers.len() > MOST || config.records.len() > MOST {
        return Err(unreadable("it is too large"));
    }
    Ok(config)
}

fn unreadable(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("a cache can't be read: {why}"))
}

fn results(config: &Config, blobs: &[Option<Blob>]) -> BTreeMap<Key, Vec<Blob>> {
    let found = config.records.iter().filter_map(|record| {
        let key = Key(record.digest.parse().ok()?);
        let top = record.layers.last()?.layer;
        Some((key, chain(config, blobs, top)?))
    });
    found.collect()
}

/// A layer with all below it, lowest first; none if that has no end, or if one is not there.
fn chain(config: &Config, blobs: &[Option<Blob>], top: i64) -> Option<Vec<Blob>> {
    let (mut chain, mut next) = (Vec::new(), top);
    while let Ok(place) = usize::try_from(next) {
        chain.push(blobs.get(place)?.clone()?);
        if chain.len() > config.layers.len() {
            return None;
        }
        next = config.layers.get(place)?.parent;
    }
    chain.reverse();
    Some(chain)
}

#[cfg(test)]
mod tests {
    use tare_core::image::{ChainId, DiffId};

    use super::*;

    fn layer(name: &str) -> Layer {
        let digest = Digest::of(name.as_bytes());
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
        let diff_id = DiffId(digest);
        Layer {
            diff_id,
            chain_id: ChainId::extend(None, diff_id),
            blob: Blob { digest, size: 7, media_type },
            size: 9,
        }
    }

    fn cache(results: &[(&str, &[&str])]) -> Cache {
        let mut cache = Cache::default();
        for (key, layers) in results {
            let entry = |name: &&str| Entry { layer: layer(name), at: Some(Timestamp::UNIX_EPOCH) };
            cache.add(Key(Digest::of(key.as_bytes())), layers.iter().map(entry).collect());
        }
        cache
    }

    fn names(found: &BTreeMap<Key, Vec<Blob>>, key: &str) -> Option<Vec<Digest>> {
        let found = found.get(&Key(Digest::of(key.as_bytes())))?;
        Some(found.iter().map(|blob| blob.digest).collect())
    }

    fn digests(names: &[&str]) -> Option<Vec<Digest>> {
        Some(names.iter().map(|name| Digest::of(name.as_bytes())).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let cache = cache(&[("one", &["a"]), ("two", &["a", "b"]), ("three", &["c", "b"])]);
        assert_eq!(cache.blobs().count(), 3);
        let found = read(&cache.config().unwrap()).unwrap();
        assert_eq!(names(&found, "one"), digests(&["a"]));
        assert_eq!(names(&found, "two"), digests(&["a", "b"]));
        assert_eq!(names(&found, "three"), digests(&["c", "b"]));
        assert_eq!(names(&found, "four"), None);
    }

    #[test]
    fn an_image_says_which_of_its_layers_are_results() {
        let cache = cache(&[("one", &["a"]), ("two", &["a", "b"])]);
        let layers = [layer("a").blob, layer("b").blob];
        let found = read_inline(&cache.inline().unwrap(), &layers).unwrap();
        assert_eq!(names(&found, "two"), digests(&["a", "b"]));
        let found = read_inline(&cache.inline().unwrap(), &layers[..1]).unwrap();
        assert_eq!(names(&found, "one"), digests(&["a"]));
        assert_eq!(names(&found, "two"), None);
        assert!(read_inline(&Value::Null, &layers).is_err());
    }

    #[test]
    fn what_leads_nowhere_is_no_result() {
        let digest = Digest::of(b"x");
        let notes = r#"{"mediaType":"m","diffID":"d","size":1}"#;
        let config = format!(
            r#"{{"layers":[{{"blob":"{digest}","parent":0,"annotations":{notes}}},
                           {{"blob":"{digest}","parent":7,"annotations":{notes}}},{{"parent":-1}}],
                "records":[{{"digest":"{digest}","layers":[{{"layer":0}}]}},
                           {{"digest":"{digest}","layers":[{{"layer":1}}]}},
                           {{"digest":"{digest}","layers":[{{"layer":2}}]}},
                           {{"digest":"random:1","layers":[{{"layer":0}}]}},
                           {{"digest":"{digest}"}}]}}"#
        );
        assert!(read(config.as_bytes()).unwrap().is_empty());
        assert!(read(b"{").is_err() && read(b"7").is_err());
    }
}
