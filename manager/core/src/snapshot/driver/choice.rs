//! Which drivers work here, and which of them makes new snapshots.

use std::sync::Arc;

use super::copying::Copying;
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
        let overlay = Overlay::open(directories.root());
        let trouble = match overlay {
            Ok(overlay) => {
                working.push(Box::new(overlay));
                None
            }
            Err(error) => Some(error),
        };
        working.push(Box::new(Copying));
        let preferred = wanted.or(latest).unwrap_or_default();
        let position = working.iter().position(|driver| driver.name() == preferred);
        let chosen = match (position, trouble) {
            (Some(chosen), _) => chosen,
            (None, trouble) if wanted.is_some() => return Err(unavailable(preferred, trouble)),
            (None, trouble) => {
                let error = trouble.map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(
                    driver = %preferred, error,
                    "the storage driver does not work here: each container gets a whole copy of \
                     its image (vfs), which takes time and room"
                );
                working.len() - 1
            }
        };
        tracing::info!(driver = %working[chosen].name(), "storage driver");
        Ok(Arc::new(Self { directories, working, chosen }))
    }
}

fn unavailable(wanted: DriverName, trouble: Option<Error>) -> Error {
    let reason = trouble.map(|error| format!(": {error}")).unwrap_or_default();
    Error::new(
        Kind::Unavailable,
        format!(
            "driver not supported: the storage driver {wanted} does not work here{reason}; without \
             --storage-driver, tared uses what works"
        ),
    )
}
