//! A volume as an archive.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Volumes, blocking};
use crate::archived::{Archived, archived};
use crate::error::{Error, Result};
use crate::snapshot::pack::{Packer, Tree};

impl Volumes {
    /// All that is in the volume `name`, and what is said of its directory, as an archive. Containers
    /// may go on with it meanwhile: each file is read when it is come to.
    ///
    /// # Errors
    /// Not found; what keeps it from being mounted. What fails later breaks the archive off.
    pub async fn export(self: &Arc<Self>, name: &str) -> Result<Archived> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        let (directory, held) = blocking(move || {
            let (_, mut held) = volumes.hold_to_look(&name, "its archive is being read")?;
            volumes.mount_held(&mut held, &name)?;
            let place = held.attached.places.get(&name).cloned();
            let place = place.unwrap_or_else(|| volumes.content(&name));
            let directory = std::fs::File::open(&place)
                .map_err(|error| Error::io(format!("open {}", place.display()), error))?;
            Ok((OwnedFd::from(directory), held))
        })
        .await?;
        archived(move |to| {
            let mut packer = Packer::new(to, Tree::Merged);
            packer.pack(directory, Some(b"."), None)?;
            packer.finish()?;
            drop(held);
            Ok(())
        })
    }
}
