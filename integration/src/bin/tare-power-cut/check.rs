//! Whether all that is listed is whole, and all that is on the disk is somebody's. It looks at the
//! files themselves and trusts no digest that it has not computed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tare_integration::archive::digest;

use crate::api::{self, Wrong, elements, text};
use crate::ledger::{Ledger, Standing};
use crate::tree;

/// What there is.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) images: usize,
    pub(crate) containers: usize,
    pub(crate) blobs: usize,
    pub(crate) layers: usize,
    /// Bytes of blobs whose download was cut off.
    pub(crate) parts: u64,
    /// Every name.
    pub(crate) ledger: Ledger,
}

/// The content of a blob that is JSON, or the digest of what another one holds, uncompressed.
enum Blob {
    Json(String),
    Layer(String),
}

/// Looks at everything below `data`.
pub(crate) fn check(data: &Path, expected: &Ledger) -> Result<Found, Wrong> {
    let blobs = blobs(&data.join("blobs/sha256"))?;
    let mut found = Found { blobs: blobs.len(), ..Found::default() };
    let (mut needed, mut directories) = (BTreeSet::new(), BTreeSet::new());
    let mut compared = BTreeMap::new();
    for image in elements(&api::get("/images/json?all=true")?) {
        let id = text(&image["Id"]);
        let inspected = api::get(&format!("/images/{id}/json"))?;
        if !matches!(blobs.get(&id), Some(Blob::Json(_))) {
            return Err(format!("the image {id} has no configuration"));
        }
        needed.insert(id.clone());
        let layers = stack(&inspected["GraphDriver"]["Data"]);
        let diff_ids: Vec<_> = elements(&inspected["RootFS"]["Layers"]).map(text).collect();
        if layers.len() != diff_ids.len() {
            return Err(format!("the image {id} has {diff_ids:?} in {layers:?}"));
        }
        let described = described(&blobs, &id);
        for (layer, diff_id) in layers.iter().zip(&diff_ids) {
            let of_layer: Vec<_> = blobs
                .iter()
                .filter(|(_, blob)| matches!(blob, Blob::Layer(it) if it == diff_id))
                .map(|(digest, _)| digest)
                .filter(|digest| described.is_none_or(|manifest| manifest.contains(*digest)))
                .collect();
            let Some(blob) = of_layer.first() else {
                return Err(format!("the image {id} has no blob of its layer {diff_id}"));
            };
            needed.extend(of_layer.iter().map(|digest| (*digest).clone()));
            if compared.insert(layer.clone(), diff_id.clone()).is_none() {
                let archive = unpacked(&fs::read(path(data, blob)).map_err(shown)?)?;
                tree::compare(&archive, layer).map_err(|wrong| {
                    format!("the image {id}, its layer {diff_id} in {}: {wrong}", layer.display())
                })?;
            }
        }
        directories.extend(layers);
        for name in elements(&image["RepoTags"]) {
            found.ledger.take(&format!("+ {} {id}", text(name)));
        }
        found.images += 1;
    }
    found.layers = compared.len();
    for container in elements(&api::get("/containers/json?all=true")?) {
        let id = text(&container["Id"]);
        let inspected = api::get(&format!("/containers/{id}/json"))?;
        let layers = stack(&inspected["GraphDriver"]["Data"]);
        if let Some(missing) = layers.iter().find(|layer| !layer.is_dir()) {
            return Err(format!("the container {id} has no {}", missing.display()));
        }
        directories.extend(layers);
        let name = text(&inspected["Name"]);
        found.ledger.take(&format!("+ container:{} {id}", name.trim_start_matches('/')));
        found.containers += 1;
        let own = data.join("containers").join(&id);
        if !own.is_dir() {
            return Err(format!("the container {id} has no {}", own.display()));
        }
    }
    compare_names(expected, &found.ledger)?;
    nothing_else(data, &blobs, needed, &directories)?;
    for part in list(&data.join("partial"))? {
        found.parts += part.metadata().map_err(shown)?.len();
    }
    Ok(found)
}

/// The manifest of the image with this configuration. Without one, any form of a layer will do.
fn described<'a>(blobs: &'a BTreeMap<String, Blob>, config: &str) -> Option<&'a str> {
    blobs.values().find_map(|blob| match blob {
        Blob::Json(content) if content.contains(config) => Some(content.as_str()),
        Blob::Json(_) | Blob::Layer(_) => None,
    })
}

/// Every name stands where the ledger says that it does.
fn compare_names(expected: &Ledger, there: &Ledger) -> Result<(), Wrong> {
    let there: BTreeMap<_, _> = there.iter().collect();
    for (name, standing) in expected.iter() {
        let now = there.get(name);
        let right = match standing {
            Standing::Open => true,
            Standing::Gone => now.is_none(),
            Standing::There(_) => now == Some(&standing),
        };
        if !right {
            return Err(format!("{name} was {standing:?} before the cut, and is {now:?}"));
        }
    }
    Ok(())
}

/// Nothing is on the disk that nobody needs.
fn nothing_else(
    data: &Path,
    blobs: &BTreeMap<String, Blob>,
    mut needed: BTreeSet<String>,
    directories: &BTreeSet<PathBuf>,
) -> Result<(), Wrong> {
    // What names something that is needed is a manifest.
    loop {
        let before = needed.len();
        for (digest, blob) in blobs {
            if let Blob::Json(content) = blob
                && needed.iter().any(|needed| content.contains(needed))
            {
                needed.insert(digest.clone());
            }
        }
        if needed.len() == before {
            break;
        }
    }
    if let Some(lost) = blobs.keys().find(|digest| !needed.contains(*digest)) {
        return Err(format!("nobody needs the blob {lost}"));
    }
    for snapshot in list(&data.join("snapshots"))? {
        if !directories.iter().any(|directory| directory.starts_with(&snapshot)) {
            return Err(format!("nobody needs {}", snapshot.display()));
        }
    }
    for directory in list(&data.join("containers"))? {
        let id = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        api::get(&format!("/containers/{id}/json"))
            .map_err(|_| format!("nobody needs {}", directory.display()))?;
    }
    match list(&data.join("ingest"))?.first() {
        Some(left) => Err(format!("nobody needs {}", left.display())),
        None => Ok(()),
    }
}

/// Removes all there is, and looks that nothing remains.
pub(crate) fn remove_all(data: &Path) -> Result<(), Wrong> {
    for container in elements(&api::get("/containers/json?all=true")?) {
        let path = format!("/containers/{}?force=true&v=true", text(&container["Id"]));
        api::ask("DELETE", &path, &Value::Null)?;
    }
    for image in elements(&api::get("/images/json?all=true")?) {
        let path = format!("/images/{}?force=true", text(&image["Id"]));
        api::ask("DELETE", &path, &Value::Null)?;
    }
    api::ask("POST", "/images/prune", &json!({}))?;
    for directory in ["blobs/sha256", "partial", "ingest", "snapshots", "containers"] {
        if let Some(left) = list(&data.join(directory))?.first() {
            return Err(format!("all is removed, but {} is there", left.display()));
        }
    }
    Ok(())
}

/// The blobs by digest, each of which is computed.
fn blobs(directory: &Path) -> Result<BTreeMap<String, Blob>, Wrong> {
    let mut blobs = BTreeMap::new();
    for path in list(directory)? {
        let content = fs::read(&path).map_err(shown)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let computed = digest(&content);
        if computed != format!("sha256:{name}") {
            return Err(format!("the blob {name} of {} bytes is {computed}", content.len()));
        }
        let blob = match String::from_utf8(content) {
            Ok(content) if content.starts_with('{') => Blob::Json(content),
            other => {
                let content = other.map_or_else(|error| error.into_bytes(), String::into_bytes);
                Blob::Layer(digest(&unpacked(&content)?))
            }
        };
        blobs.insert(computed, blob);
    }
    Ok(blobs)
}

/// Without the compression that it may have.
fn unpacked(content: &[u8]) -> Result<Vec<u8>, Wrong> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok(content.to_owned());
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(content).read_to_end(&mut plain).map_err(shown)?;
    Ok(plain)
}

/// The directories of an overlay, the lowest first.
fn stack(graph: &Value) -> Vec<PathBuf> {
    let (upper, lower) = (text(&graph["UpperDir"]), text(&graph["LowerDir"]));
    let upper = std::iter::once(upper.as_str());
    let mut layers: Vec<_> = upper
        .chain(lower.split(':'))
        .filter(|layer| !layer.is_empty())
        .map(PathBuf::from)
        .collect();
    layers.reverse();
    layers
}

fn path(data: &Path, digest: &str) -> PathBuf {
    data.join("blobs").join(digest.replace(':', "/"))
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, Wrong> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(shown)).collect()
        }
        // Made when it is first needed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("list {}: {error}", directory.display())),
    }
}

fn shown(error: impl std::fmt::Display) -> Wrong {
    error.to_string()
}
