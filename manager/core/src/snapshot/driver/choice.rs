//! Which drivers work here, and which of them makes new snapshots.

use std::sync::Arc;

use super::copying::Copying;
use super::erofs::Erofs;
use super::overlay::Overlay;
use super::{Driver, DriverName, Drivers};
use crate::error::{Error, Kind, Result};
use crate::snapshot::directory::Directories;

impl Drivers {
    /// Tries the drivers out. `wanted` is to make new snapshots; if none is wanted, the one that
    /// made the `latest`, or overlay, or what works.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the wanted driver doesn't work here.
    pub(in crate::snapshot) fn open(
        directories: Arc<Directories>,
        wanted: Option<DriverName>,
        latest: Option<DriverName>,
    ) -> Result<Arc<Self>> {
        let mut working: Vec<Box<dyn Driver>> = Vec::new();
        let mut troubles = Vec::new();
        match Overlay::open(directories.root()) {
            Ok(overlay) => {
                match Erofs::open(directories.root(), overlay.clone()) {
                    Ok(erofs) => working.push(Box::new(erofs)),
                    Err(error) => troubles.push((DriverName::Erofs, error)),
                }
                working.push(Box::new(overlay));
            }
            Err(error) => troubles.push((DriverName::Overlay, error)),
        }
        working.push(Box::new(Copying));
        let position = |name| working.iter().position(|driver| driver.name() == name);
        let preferred = wanted.or(latest).unwrap_or_default();
        let chosen = match position(preferred) {
            Some(chosen) => chosen,
            None if wanted.is_some() => return Err(unavailable(preferred, &troubles)),
            None => {
                tracing::warn!(
                    driver = %preferred, error = reason(preferred, &troubles),
                    "the storage driver does not work here; if vfs takes its place, each container \
                     gets a whole copy of its image, which takes time and room"
                );
                position(DriverName::Overlay).unwrap_or(working.len() - 1)
            }
        };
        tracing::info!(driver = %working[chosen].name(), "storage driver");
        Ok(Arc::new(Self { directories, working, chosen }))
    }
}

fn unavailable(wanted: DriverName, troubles: &[(DriverName, Error)]) -> Error {
    let reason = reason(wanted, troubles);
    Error::new(
        Kind::Unavailable,
        format!(
            "driver not supported: the storage driver {wanted} does not work here: {reason}; without \
             --storage-driver, tared uses what works"
        ),
    )
}

/// Why a driver doesn't work: if that wasn't even tried, what it stands on doesn't.
fn reason(of: DriverName, troubles: &[(DriverName, Error)]) -> String {
    let own = troubles.iter().find(|(name, _)| *name == of);
    own.or(troubles.first()).map(|(_, error)| error.to_string()).unwrap_or_default()
}
