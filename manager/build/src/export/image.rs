//! Images in the store, under the names that were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tare_core::build::{ImageIndex, NewImage, Outgoing};
use tare_core::image::{ImageId, Reference};

use super::archive::outgoing;
use super::asked::Asked;
use super::manifest::{self, Document, Types};
use super::parts::Finished;
use super::push::push;
use crate::Builder;
use crate::error::{Error, Result};
use crate::progress::{Journal, Vertex};
use crate::solve::{Built, platform};

/// What an image is called.
pub(crate) struct Named<'a> {
    pub(crate) names: &'a [Reference],
    pub(crate) parent: Option<ImageId>,
}

/// Records an image of one platform.
///
/// # Errors
/// A full disk.
pub(crate) async fn record(
    builder: &Builder,
    finished: &Finished,
    named: Named<'_>,
) -> Result<ImageId> {
    let image = NewImage {
        stack: finished.part.stack.clone(),
        config: finished.config.clone(),
        manifest: None,
        outgoing: None,
        parent: named.parent,
        names: named.names.to_vec(),
    };
    let mut ids = builder.engine.builds.image(vec![image], None).await?;
    ids.pop().ok_or_else(|| Error::system("an image that was recorded has no id"))
}

/// Records what was built as images.
pub(super) async fn export(
    builder: &Arc<Builder>,
    built: &Built,
    asked: &Asked,
    session: &str,
    journal: &Journal,
) -> Result<BTreeMap<String, String>> {
    if asked.push_by_digest {
        return Err(Error::unsupported("the exporter's option push-by-digest=true"));
    }
    if !asked.store {
        return Err(Error::unsupported("the exporter's option store=false"));
    }
    let vertex = journal.vertex("exporting to image", &[]);
    let work = async {
        let said = work(builder, built, asked, &vertex).await?;
        if asked.push {
            let session = super::client(builder, session).await?;
            push(builder, &asked.names, &session, &vertex).await?;
        }
        Ok(said)
    };
    vertex.run(work).await
}

async fn work(
    builder: &Builder,
    built: &Built,
    asked: &Asked,
    vertex: &Vertex,
) -> Result<BTreeMap<String, String>> {
    let mut parts = Vec::with_capacity(built.parts.len());
    let exporting = vertex.transfer("exporting layers");
    for part in &built.parts {
        parts.push(Finished::of(part, asked.epoch, asked.inline).await?);
    }
    drop(exporting);
    let mut said = BTreeMap::new();
    let told = match parts.as_slice() {
        [only] if !built.multi && asked.annotations.is_empty() && asked.oci_types.is_none() => {
            let _writing = vertex.transfer(&format!("writing image {}", only.id()));
            let named = Named { names: &asked.names, parent: None };
            let id = record(builder, only, named).await?.to_string();
            said.insert("containerimage.config.digest".to_owned(), id.clone());
            id
        }
        several => {
            let types = types(asked);
            let list = built.multi;
            let mut described = Vec::with_capacity(several.len());
            for finished in several {
                described.push(Described::of(builder, finished, asked, types).await?);
            }
            record_list(builder, &described, asked, list, vertex, &mut said).await?
        }
    };
    for name in &asked.names {
        drop(vertex.transfer(&format!("naming to {name}")));
    }
    said.insert("containerimage.digest".to_owned(), told);
    if !asked.names.is_empty() {
        let names: Vec<String> = asked.names.iter().map(ToString::to_string).collect();
        said.insert("image.name".to_owned(), names.join(","));
    }
    Ok(said)
}

/// Whose types the manifests of images here have.
fn types(asked: &Asked) -> Types {
    if asked.oci_types == Some(false) { Types::Docker } else { Types::Oci }
}

/// An image and its manifest.
struct Described<'a> {
    finished: &'a Finished,
    outgoing: Outgoing,
    manifest: Document,
}

impl<'a> Described<'a> {
    async fn of(
        builder: &Builder,
        finished: &'a Finished,
        asked: &Asked,
        types: Types,
    ) -> Result<Self> {
        let outgoing = outgoing(builder, finished, asked).await?;
        let blobs = outgoing.layers.iter().map(|layer| &layer.blob);
        let platform = &finished.part.platform;
        let manifest =
            manifest::manifest(&finished.config, blobs, types, &asked.annotations, platform)?;
        Ok(Self { finished, outgoing, manifest })
    }

    fn image(&self, names: Vec<Reference>) -> NewImage {
        let Document { content, blob } = self.manifest.clone();
        NewImage {
            stack: self.finished.part.stack.clone(),
            config: self.finished.config.clone(),
            manifest: Some((content, blob.media_type)),
            outgoing: Some(self.outgoing.clone()),
            parent: None,
            names,
        }
    }
}

/// Records images that have manifests, and the list of them if there is to be one; gives the digest
/// of what has the names.
async fn record_list(
    builder: &Builder,
    parts: &[Described<'_>],
    asked: &Asked,
    list: bool,
    vertex: &Vertex,
    said: &mut BTreeMap<String, String>,
) -> Result<String> {
    let names = || if list { Vec::new() } else { asked.names.clone() };
    let images = parts.iter().map(|part| part.image(names())).collect();
    let (top, index) = if list {
        let each = parts.iter().map(|part| (&part.finished.part.platform, &part.manifest.blob));
        let document = manifest::list(each, types(asked), &asked.annotations)?;
        let platforms = parts.iter().map(|part| platform::of_core(&part.finished.part.platform));
        let index = ImageIndex {
            content: document.content.clone(),
            media_type: document.blob.media_type.clone(),
            platforms: platforms.collect::<Result<_>>()?,
            names: asked.names.clone(),
        };
        (Some(document.blob), Some(index))
    } else {
        (parts.first().map(|part| part.manifest.blob.clone()), None)
    };
    let top = top.ok_or_else(|| Error::invalid("there is nothing to be exported"))?;
    let _writing = vertex.transfer(&format!("exporting manifest list {}", top.digest));
    let ids = builder.engine.builds.image(images, index).await?;
    if let ([only], false) = (ids.as_slice(), list) {
        said.insert("containerimage.config.digest".to_owned(), only.to_string());
    }
    let described = manifest::describe(&top).to_string();
    said.insert("containerimage.descriptor".to_owned(), super::base64(&described));
    Ok(top.digest.to_string())
}
