//! What is mounted in a container: that it is there, mounted, and put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::container::bundle::Bundle;
use crate::container::mount::BindSource;
use crate::container::record::{Container, MountSource};
use crate::container::remapped::Users;
use crate::container::settle::clean;
use crate::container::undo::Undo;
use crate::container::work::blocking;
use crate::container::{Containers, mounting, staging};
use crate::error::Result;
use crate::volume::Attached;

impl Containers {
    /// Mounts those of its volumes that are something else than a directory of ours; says which, and
    /// where they are.
    pub(super) async fn mount_volumes(
        &self,
        container: &Container,
        undo: &mut Undo,
    ) -> Result<Attached> {
        let names: Vec<String> = container.volumes().map(|(_, name, _)| name.to_owned()).collect();
        if names.is_empty() {
            return Ok(Attached::default());
        }
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        undo.push("unmount the volumes", blocking(move || volumes.unmount(id.as_str())));
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        blocking(move || volumes.mount(id.as_str(), &names)).await
    }

    /// Puts together what of its mounts is not taken from its own place.
    pub(super) async fn stage(
        &self,
        container: &Container,
        attached: &Attached,
        users: Option<&Users>,
        bundle: &Bundle,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let points = &container.mounts;
        if !points.iter().any(|point| staging::is_staged(&point.source, &attached.places)) {
            return Ok(BTreeMap::new());
        }
        let (images, bundle) = (Arc::clone(&self.images), bundle.clone());
        let (points, places) = (points.clone(), attached.places.clone());
        let users = users.map(|_| bundle.users());
        blocking(move || {
            staging::stage(&points, &places, &bundle, users.as_deref(), images.snapshots())
        })
        .await
    }
}

/// Sources of binds may have gone since the container was made.
pub(super) async fn check_sources(container: &Container) -> Result<()> {
    let made: Vec<String> = container
        .host
        .binds
        .iter()
        .filter_map(|bind| match &bind.source {
            BindSource::Path(path) => Some(clean(path)),
            BindSource::Volume(_) | BindSource::Anonymous => None,
        })
        .collect();
    let points = container.mounts.clone();
    blocking(move || {
        for point in points {
            if let MountSource::Path(path) = &point.source {
                let create = made.iter().any(|made| path.as_os_str() == made.as_str());
                mounting::provide_path(path, create)?;
            }
        }
        Ok(())
    })
    .await
}
