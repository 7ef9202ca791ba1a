//! Records on the disk: a directory each, named by the digest of its build's name, in which there is
//! the record, and what it names by the digests of that.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use tare_proto::builds::moby::buildkit::v1 as api;
use tokio::task::spawn_blocking;

use super::super::identity::random_id;
use super::super::wire::digest;
use super::{Blob, Kept, Place};
use crate::error::{Error, Result};

/// The record's own file.
const RECORD: &str = "record";
/// What directories begin with that are being made, or removed.
const UNFINISHED: &str = ".unfinished-";

/// All that is there, by the names of the builds. What is damaged is removed, and so is what is being
/// written: this is for the beginning.
pub(super) async fn read(directory: PathBuf) -> HashMap<String, Kept> {
    let all = spawn_blocking(move || read_all(&directory)).await;
    all.unwrap_or_default()
}

/// Writes one: what it names is in files now.
pub(super) async fn write(directory: PathBuf, kept: Kept) -> Result<Vec<Blob>> {
    let doing = format!("write a record to {}", directory.display());
    let written = spawn_blocking(move || write_one(&directory, &kept)).await;
    written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|e| Error::io(doing, e))
}

/// Removes the one of the build called `name`, if it is there.
pub(super) async fn remove(directory: PathBuf, name: String) -> Result<()> {
    let doing = format!("remove a record from {}", directory.display());
    let removed = spawn_blocking(move || remove_one(&directory, &entry(&name))).await;
    removed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|e| Error::io(doing, e))
}

/// What the directory of the build called `name` is called.
pub(super) fn entry(name: &str) -> String {
    file_name(&digest(name.as_bytes()))
}

fn file_name(digest: &str) -> String {
    digest.replace(':', "-")
}

fn read_all(directory: &Path) -> HashMap<String, Kept> {
    let mut all = HashMap::new();
    let Ok(entries) = fs::read_dir(directory) else { return all };
    for entry in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        match read_one(&directory.join(&entry)).filter(|_| !entry.starts_with(UNFINISHED)) {
            Some(kept) => drop(all.insert(kept.record.r#ref.clone(), kept)),
            None => {
                if let Err(error) = fs::remove_dir_all(directory.join(&entry)) {
                    tracing::warn!("a damaged record of a build can't be removed: {error}");
                }
            }
        }
    }
    all
}

/// One, if it is whole.
fn read_one(directory: &Path) -> Option<Kept> {
    let bytes = fs::read(directory.join(RECORD)).ok()?;
    let record = api::BuildHistoryRecord::decode(bytes.as_slice()).ok()?;
    let blobs = named(&record)
        .map(|descriptor| {
            let path = directory.join(file_name(&descriptor.digest));
            let size = fs::metadata(&path).ok()?.len();
            let is_whole = u64::try_from(descriptor.size) == Ok(size);
            let place = Place::File(path);
            is_whole.then(|| Blob { digest: descriptor.digest.clone(), size, place })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Kept { record, blobs })
}

/// What a record names that is kept with it.
fn named(record: &api::BuildHistoryRecord) -> impl Iterator<Item = &api::Descriptor> {
    let results = record.result.iter().chain(record.results.values());
    let attestations = results.flat_map(|result| &result.attestations);
    record.logs.iter().chain(&record.external_error).chain(attestations)
}

fn write_one(directory: &Path, kept: &Kept) -> io::Result<Vec<Blob>> {
    let place = directory.join(entry(&kept.record.r#ref));
    let unfinished = directory.join(format!("{UNFINISHED}{}", random_id()));
    fs::create_dir_all(&unfinished)?;
    let filled = fill(&unfinished, kept).and_then(|()| {
        remove_one(directory, &entry(&kept.record.r#ref))?;
        fs::rename(&unfinished, &place)?;
        File::open(directory)?.sync_all()
    });
    if let Err(error) = filled {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    let in_file = |blob: &Blob| Blob {
        digest: blob.digest.clone(),
        size: blob.size,
        place: Place::File(place.join(file_name(&blob.digest))),
    };
    Ok(kept.blobs.iter().map(in_file).collect())
}

/// Writes all of one into a directory of its own.
fn fill(directory: &Path, kept: &Kept) -> io::Result<()> {
    for blob in &kept.blobs {
        let path = directory.join(file_name(&blob.digest));
        match &blob.place {
            // Two of one digest are one.
            _ if path.exists() => {}
            Place::Memory(bytes) => durably(&path, bytes)?,
            Place::File(from) => fs::hard_link(from, path)?,
        }
    }
    durably(&directory.join(RECORD), &kept.record.encode_to_vec())?;
    File::open(directory)?.sync_all()
}

fn durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes one, in such a way that it isn't there halfway.
fn remove_one(directory: &Path, entry: &str) -> io::Result<()> {
    let going = directory.join(format!("{UNFINISHED}{}", random_id()));
    match fs::rename(directory.join(entry), &going) {
        Ok(()) => fs::remove_dir_all(going),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
