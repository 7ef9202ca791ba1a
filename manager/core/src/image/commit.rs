//! `commit`: an image of another one's layers and one more, which is packed while it is taken in.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;

use super::catalog::{Catalog, New, NewImage};
use super::config::{HistoryStep, ImageConfig};
use super::digest::{ChainId, Digest, ImageId};
use super::image::Layer;
use super::import::Received;
use super::pipe::{PipeWriter, pipe};
use super::platform::Platform;
use super::record::{CONFIG, ImageRecord};
use super::reference::Reference;
use super::{Defaults, taggable};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::snapshot::Hold;
use crate::threads;

/// What a commit makes.
pub(crate) struct Commit {
    /// The image that it is based on; none: its one layer is all there is.
    pub(crate) parent: Option<ImageId>,
    /// The uppermost of that image's layers.
    pub(crate) below: Option<ChainId>,
    /// The name that the new one gets.
    pub(crate) reference: Option<Reference>,
    /// Who makes it.
    pub(crate) author: String,
    /// What is said about it.
    pub(crate) message: String,
    /// The command line of the container that it is made from.
    pub(crate) created_by: String,
    /// What its containers do unless told otherwise.
    pub(crate) defaults: Defaults,
}

/// What a new image stands on; it stays as long as this lives.
struct Parent {
    layers: Vec<Layer>,
    config: Arc<ImageConfig>,
    _blobs: Hold<Digest>,
}

/// Where a layer is packed to.
pub(crate) struct Layering(PipeWriter);

impl Write for Layering {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Catalog {
    /// Makes an image upon `commit.parent`. `pack` writes the layer's archive and says how many
    /// members it has; a layer without any is left out.
    pub(super) fn commit_layer(
        &self,
        commit: Commit,
        pack: impl FnOnce(&mut Layering) -> Result<u64> + Send,
    ) -> Result<ImageId> {
        let name = commit.reference.clone().map(taggable).transpose()?;
        let made = self.make(&commit, name.clone(), pack);
        self.collect();
        let id = made?;
        self.tell("create", id, &id.to_string());
        if let Some(name) = name {
            self.tell("tag", id, &name.familiar());
        }
        Ok(id)
    }

    fn make(
        &self,
        commit: &Commit,
        name: Option<Reference>,
        pack: impl FnOnce(&mut Layering) -> Result<u64> + Send,
    ) -> Result<ImageId> {
        // Nobody takes what the new image stands on away meanwhile.
        let _layers = self.layers.hold(self.layers.chain(commit.below));
        let parent = commit.parent.map(|id| self.parent(id)).transpose()?;
        let (members, received) = self.pack(commit.below, pack)?;
        let received = (members > 0).then_some(received);
        self.record_commit(commit, parent, received, name)
    }

    fn parent(&self, id: ImageId) -> Result<Parent> {
        let gone = || Error::conflict(format!("the image {id} has just been removed: try again"));
        let (record, blobs) = self.held(id).map_err(|_| gone())?;
        let config = self.read().image(id).map(|image| Arc::clone(&image.config));
        let config = config.ok_or_else(gone)?;
        Ok(Parent { layers: record.layers, config, _blobs: blobs })
    }

    /// Packs in one thread what others hash, store and unpack.
    fn pack(
        &self,
        below: Option<ChainId>,
        pack: impl FnOnce(&mut Layering) -> Result<u64> + Send,
    ) -> Result<(u64, Received)> {
        let (writer, reader) = pipe();
        let packing = move || -> Result<u64> {
            let mut to = Layering(writer);
            let members = pack(&mut to)?;
            to.0.end().map_err(|error| Error::io("write the archive", error))?;
            Ok(members)
        };
        let (packed, received) = thread::scope(|scope| {
            let packing = threads::start(scope, "pack", packing)?;
            let received = self.receive(reader, below, &GivenUp::default());
            let packed = threads::join(packing).and_then(|packed| packed);
            Ok::<_, Error>((packed, received))
        })?;
        match (packed, received) {
            (Ok(members), Ok(received)) => Ok((members, received)),
            // Who packs fails too when nobody takes what is packed.
            (Err(error), Err(cause)) if is_broken_pipe(&error) => Err(cause),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    fn record_commit(
        &self,
        commit: &Commit,
        parent: Option<Parent>,
        received: Option<Received>,
        name: Option<Reference>,
    ) -> Result<ImageId> {
        let layer = received.as_ref().map(|received| Layer {
            diff_id: received.layer.diff_id,
            chain_id: received.layer.chain,
            blob: received.blob.describe(received.media_type),
            size: received.layer.unpacked.size,
        });
        let own = || Arc::new(of_this_machine());
        let base = parent.as_ref().map_or_else(own, |parent| Arc::clone(&parent.config));
        let config = configuration(commit, &base, layer.as_ref());
        let content = serde_json::to_vec(&config)
            .map_err(|error| Error::system(format!("encode the configuration: {error}")))?;
        let config_blob = self.blobs.add(&content)?;
        let below = parent.iter().flat_map(|parent| &parent.layers).cloned();
        let layers: Vec<Layer> = below.chain(layer).collect();
        let record = ImageRecord {
            config: config_blob.describe(CONFIG),
            layers,
            manifest: None,
            parent: commit.parent,
        };
        let _blobs = self.blobs.hold(record.blobs().map(|blob| blob.digest));
        let _layers = self.layers.hold(record.layers.iter().map(|layer| layer.chain_id));
        self.blobs.adopt(&config_blob)?;
        let new_layer = match received {
            Some(received) => {
                self.blobs.adopt(&received.blob)?;
                Some(Arc::new(received.layer))
            }
            None => None,
        };
        let id = record.id();
        let names = name.into_iter().collect();
        let image = NewImage { record, config: Arc::new(config), names };
        let layers = new_layer.into_iter().collect();
        self.commit(New { images: vec![image], layers, ..New::default() })?;
        Ok(id)
    }
}

/// What an image says that stands on nothing.
fn of_this_machine() -> ImageConfig {
    let Platform { architecture, variant, .. } = Platform::host();
    ImageConfig { architecture, variant, os: "linux".to_owned(), ..ImageConfig::default() }
}

fn configuration(commit: &Commit, parent: &ImageConfig, layer: Option<&Layer>) -> ImageConfig {
    let created = Some(Timestamp::now());
    let step = HistoryStep {
        created,
        created_by: commit.created_by.clone(),
        author: commit.author.clone(),
        comment: commit.message.clone(),
        empty_layer: layer.is_none(),
    };
    let mut config = ImageConfig {
        created,
        author: commit.author.clone(),
        comment: commit.message.clone(),
        docker_version: String::new(),
        defaults: commit.defaults.clone(),
        ..parent.clone()
    };
    config.rootfs.diff_ids.extend(layer.map(|layer| layer.diff_id));
    config.history.push(step);
    config
}

fn is_broken_pipe(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &std::io::Error| cause.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::archive::testing::{Member, tar_of};
    use crate::image::catalog::Leaving;
    use crate::image::testing::{load, open};
    use crate::snapshot::testing::image_of;

    #[tokio::test]
    async fn what_a_commit_stands_on_stays_though_all_else_goes() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        let layer = |name: &str| tar_of(&[Member::file(name, name.as_bytes())]);
        load(&images, image_of(&[layer("low"), layer("high")], "x:1")).await.unwrap();
        let image = images.resolve("x:1").unwrap();
        let commit = Commit {
            parent: Some(image.id),
            below: image.top(),
            reference: None,
            author: String::new(),
            message: String::new(),
            created_by: String::new(),
            defaults: Defaults::default(),
        };
        let (catalog, top) = (Arc::clone(&images.catalog), layer("top"));
        let pack = move |to: &mut Layering| {
            let leaving = Leaving { names: image.references.clone(), images: vec![image.id] };
            catalog.forget(&leaving)?;
            assert!(catalog.collect().is_empty());
            to.write_all(&top).map_err(|error| Error::io("write", error))?;
            Ok(1)
        };
        let id = images.commit(commit, pack).await.unwrap();
        let made = images.catalog.read().image(id).unwrap().record.clone();
        assert_eq!(made.layers.len(), 3);
        assert!(images.catalog.is_whole(&made));
    }
}
