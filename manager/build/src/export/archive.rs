//! Images as archives or layouts for the client, in OCI's form or docker's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tare_core::build::{Outgoing, Packing, Repack};
use tare_core::image::Blob;

use super::annotations::Place;
use super::asked::{Asked, Compression, switch};
use super::files::sent;
use super::manifest::{self, Document, Types, annotate, describe};
use super::parts::Finished;
use crate::Builder;
use crate::error::{Error, Result};
use crate::progress::{Journal, Vertex};
use crate::session::Session;
use crate::session::content::Store;
use crate::solve::Built;

/// The store of the client that takes a layout.
const STORE: &str = "export";

/// Whose form it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Oci,
    Docker,
}

/// What goes out.
struct Cargo {
    /// Blobs that are in the store.
    stored: Vec<Blob>,
    /// Those that were made for it.
    made: Vec<(Blob, Vec<u8>)>,
    /// What the names are of.
    top: Blob,
    parts: Vec<(Finished, Outgoing)>,
}

pub(super) async fn export(
    builder: &Arc<Builder>,
    built: &Built,
    asked: &Asked,
    form: Form,
    (session, index): (&Session, usize),
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    if form == Form::Docker && built.parts.len() > 1 {
        return Err(Error::invalid(
            "docker exporter does not currently support exporting manifest lists",
        ));
    }
    let is_archive = asked.more.get("tar").map_or(Ok(true), |said| switch("tar", said))?;
    let name = match form {
        Form::Oci => "exporting to oci image format",
        Form::Docker => "exporting to docker image format",
    };
    let vertex = journal.vertex(name, &[]);
    let work = async {
        let cargo = cargo(builder, built, asked, form, &vertex).await?;
        let said = said(&cargo, asked);
        if is_archive {
            archive(builder, &cargo, asked, form, (session, index), &vertex, &said).await?;
        } else {
            layout(builder, &cargo, session, &vertex).await?;
        }
        Ok(said)
    };
    vertex.run(work).await
}

async fn cargo(
    builder: &Builder,
    built: &Built,
    asked: &Asked,
    form: Form,
    vertex: &Vertex,
) -> Result<Cargo> {
    // Docker's own form has docker's types, unless it is asked otherwise.
    let types = match asked.oci_types.unwrap_or(form == Form::Oci) {
        true => Types::Oci,
        false => Types::Docker,
    };
    let exporting = vertex.transfer("exporting layers");
    let (mut stored, mut made, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut manifests: Vec<Document> = Vec::new();
    for part in &built.parts {
        let finished = Finished::of(part, asked.epoch, asked.inline).await?;
        let outgoing = outgoing(builder, &finished, asked).await?;
        let blobs = outgoing.layers.iter().map(|layer| &layer.blob);
        let document =
            manifest::manifest(&finished.config, blobs, types, &asked.annotations, &part.platform)?;
        stored.extend(outgoing.layers.iter().map(|layer| layer.blob.clone()));
        made.push((config_blob(&finished), finished.config.clone()));
        made.push((document.blob.clone(), document.content.clone()));
        manifests.push(document);
        parts.push((finished, outgoing));
    }
    drop(exporting);
    for document in &manifests {
        drop(vertex.transfer(&format!("exporting manifest {}", document.blob.digest)));
    }
    let only = manifests.first().map(|document| document.blob.clone());
    let top = if built.multi {
        let platforms = built.parts.iter().map(|part| &part.platform);
        let each = platforms.zip(manifests.iter().map(|document| &document.blob));
        let list = manifest::list(each, types, &asked.annotations)?;
        drop(vertex.transfer(&format!("exporting manifest list {}", list.blob.digest)));
        made.push((list.blob.clone(), list.content));
        Some(list.blob)
    } else {
        only
    };
    let top = top.ok_or_else(|| Error::invalid("there is nothing to be exported"))?;
    stored.sort_by_key(|blob| blob.digest.to_string());
    stored.dedup_by_key(|blob| blob.digest);
    Ok(Cargo { stored, made, top, parts })
}

/// The layers as they were asked for.
pub(super) async fn outgoing(
    builder: &Builder,
    finished: &Finished,
    asked: &Asked,
) -> Result<Outgoing> {
    let packing = match asked.compression.unwrap_or(Compression::Gzip) {
        Compression::None => Packing::Plain,
        Compression::Gzip => Packing::Gzip,
        Compression::Zstd => Packing::Zstd,
    };
    let repack = if asked.force_compression { Repack::Others } else { Repack::Plain };
    Ok(builder.engine.builds.outgoing(&finished.part.stack, packing, repack).await?)
}

fn config_blob(finished: &Finished) -> Blob {
    Blob {
        digest: finished.id().digest(),
        size: finished.config.len() as u64,
        media_type: String::new(),
    }
}

/// What is told of it.
fn said(cargo: &Cargo, asked: &Asked) -> BTreeMap<String, String> {
    let mut said = BTreeMap::from([
        ("containerimage.digest".to_owned(), cargo.top.digest.to_string()),
        ("containerimage.descriptor".to_owned(), super::base64(&describe(&cargo.top).to_string())),
    ]);
    if let [(only, _)] = cargo.parts.as_slice() {
        said.insert("containerimage.config.digest".to_owned(), only.id().to_string());
    }
    if !asked.names.is_empty() {
        let names: Vec<String> = asked.names.iter().map(ToString::to_string).collect();
        said.insert("image.name".to_owned(), names.join(","));
    }
    said
}

async fn archive(
    builder: &Builder,
    cargo: &Cargo,
    asked: &Asked,
    form: Form,
    (session, index): (&Session, usize),
    vertex: &Vertex,
    said: &BTreeMap<String, String>,
) -> Result<()> {
    let mut files: Vec<(String, Vec<u8>)> =
        cargo.made.iter().map(|(blob, content)| (place(blob), content.clone())).collect();
    files.sort();
    files.dedup();
    files.push(("index.json".to_owned(), encode(&top(cargo, asked))?));
    if form == Form::Docker {
        files.push(("manifest.json".to_owned(), encode(&docker_items(cargo, asked))?));
    }
    files.push(("oci-layout".to_owned(), encode(&json!({ "imageLayoutVersion": "1.0.0" }))?));
    let archive = builder.engine.builds.layout(cargo.stored.clone(), files)?;
    sent(archive, session, index, said, vertex).await
}

/// Writes the blobs to the client, which makes the rest of the layout itself.
async fn layout(
    builder: &Builder,
    cargo: &Cargo,
    session: &Session,
    vertex: &Vertex,
) -> Result<()> {
    let store = Store::new(session, STORE);
    let _copying = vertex.transfer("copying to the client");
    for blob in &cargo.stored {
        let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
        let Some(mut writer) = store.write(&blob.digest.to_string(), size).await? else { continue };
        let mut content = builder.engine.builds.blob(blob)?;
        while let Some(piece) = content.next().await? {
            writer.write(piece).await?;
        }
        writer.commit().await?;
    }
    for (blob, content) in &cargo.made {
        let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
        let Some(mut writer) = store.write(&blob.digest.to_string(), size).await? else { continue };
        writer.write(content.clone().into()).await?;
        writer.commit().await?;
    }
    Ok(())
}

/// The index of the archive, with an entry for each of the names.
fn top(cargo: &Cargo, asked: &Asked) -> Value {
    let mut plain = describe(&cargo.top);
    annotate(&mut plain, asked.annotations.of(Place::IndexDescriptor, ""));
    let entries: Vec<Value> = if asked.names.is_empty() {
        vec![plain]
    } else {
        let named = asked.names.iter().map(|name| {
            let mut entry = plain.clone();
            if entry.get("annotations").is_none() {
                entry["annotations"] = json!({});
            }
            entry["annotations"]["io.containerd.image.name"] = json!(name.to_string());
            entry["annotations"]["org.opencontainers.image.ref.name"] = json!(name.tag());
            entry
        });
        named.collect()
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    })
}

/// What docker looks for.
fn docker_items(cargo: &Cargo, asked: &Asked) -> Value {
    let tags: Vec<String> = asked.names.iter().map(|name| name.familiar()).collect();
    let items = cargo.parts.iter().map(|(finished, outgoing)| {
        let layers: Vec<String> = outgoing.layers.iter().map(|layer| place(&layer.blob)).collect();
        json!({
            "Config": place(&config_blob(finished)),
            "RepoTags": (!tags.is_empty()).then(|| tags.clone()),
            "Layers": layers,
        })
    });
    Value::Array(items.collect())
}

/// Where a blob is in the archive.
fn place(blob: &Blob) -> String {
    format!("blobs/sha256/{}", blob.digest.hex())
}

fn encode(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::system(format!("encode the index of an archive: {error}")))
}
