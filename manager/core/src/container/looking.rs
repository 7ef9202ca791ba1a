//! Looking into a container's files, whether it runs or not.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::Containers;
use super::bundle::Bundle;
use super::entry::{Entry, lock};
use super::record::Container;
use super::remapped::id_map_for;
use super::rootfs::{Ids, Rootfs};
use super::view::{Access, View, Wanted, root_of_process};
use crate::error::Result;
use crate::given_up::GivenUp;
use crate::image::archive::unreadable;
use crate::image::compression::Compression;
use crate::snapshot::{Layers, Mount};
use crate::volume::Volumes;

/// Bytes of an archive that are read at once.
const BUFFER: usize = 256 << 10;

/// What it takes to look into a container's files, for a thread that may block.
pub(super) struct Looking {
    entry: Arc<Entry>,
    pub(super) container: Arc<Container>,
    files: Vec<(&'static str, PathBuf)>,
    bundle: Bundle,
    mounts: Vec<Mount>,
    volumes: Arc<Volumes>,
    layers: Arc<Layers>,
    /// Who its users are on the host if it is started now.
    ids: Ids,
}

impl Containers {
    /// What is needed to look into a container's files.
    pub(super) fn looking(&self, entry: &Arc<Entry>) -> Result<Looking> {
        let container = entry.container();
        let mounts = self.images.snapshots().mounts(container.id.as_str())?;
        let files = self.files_of(&container);
        let files = files.targets().map(|(target, source)| (target, source.to_owned()));
        let bundle = Bundle::of(&self.config, &container.id);
        let ids = id_map_for(&self.config, &container.host).cloned().map(Arc::new);
        let (entry, files) = (Arc::clone(entry), files.into());
        let (volumes, layers) =
            (Arc::clone(&self.volumes), Arc::clone(self.images.snapshots().layers()));
        Ok(Looking { entry, container, files, bundle, mounts, volumes, layers, ids })
    }
}

impl Looking {
    /// The root file system: what the shim has mounted, or, if it doesn't run, what others who look
    /// into it have, as overlay allows one mount of a container's layer. Blocks.
    pub(super) fn rootfs(&self) -> Result<Arc<Rootfs>> {
        let ids = self.bundle.id_map()?.map(Arc::new);
        if let Some(running) = Rootfs::of_bundle(&self.bundle.path.join("rootfs"), ids)? {
            return Ok(Arc::new(running));
        }
        let mut shared = lock(&self.entry.rootfs);
        if let Some(rootfs) = shared.upgrade() {
            return Ok(rootfs);
        }
        let rootfs = Arc::new(Rootfs::mount(&self.mounts)?);
        *shared = Arc::downgrade(&rootfs);
        Ok(rootfs)
    }

    /// The container's files as it sees them. Blocks.
    pub(super) fn view(&self) -> Result<View> {
        let rootfs = self.rootfs()?;
        let container = &self.container;
        let process = match container.state.life() {
            Some(life) => root_of_process(life.pid, &rootfs.handle()?),
            None => None,
        };
        // What is the host's shows the host's ids.
        let ids = if process.is_some() { rootfs.ids() } else { &self.ids };
        // One that doesn't run has nothing mounted: it is, for as long as it is looked at.
        let looked = match process {
            Some(_) => None,
            None => {
                let names: Vec<_> = container.volumes().map(|(_, name, _)| name.into()).collect();
                Some(self.volumes.mount_to_look(container.id.as_str(), &names)?)
            }
        };
        let attached = looked.as_ref().map(|looked| looked.attached.clone()).unwrap_or_default();
        let wanted = Wanted::of(container, &self.files, process.as_ref(), &attached, ids);
        let access = if container.host.readonly_rootfs { Access::ReadRoot } else { Access::Write };
        Ok(View::new(rootfs, access, wanted)?.with_mounted(looked))
    }

    /// What `archive` is uncompressed, whoever does that.
    pub(super) fn uncompressed(
        &self,
        archive: impl Read + Send + 'static,
        given_up: &GivenUp,
    ) -> Result<Box<dyn BufRead + Send>> {
        let mut source = BufReader::with_capacity(BUFFER, archive);
        let first = source.fill_buf().map_err(unreadable)?;
        let compression = Compression::detect(first)?;
        self.layers.uncompressed(source, compression, given_up)
    }
}
