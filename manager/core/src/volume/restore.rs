//! A volume from an archive. It is unpacked aside, as images' layers are, by a process with next to no
//! rights, and becomes the volume when it is whole.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::driver::source;
use super::fresh::Fresh;
use super::{LOCAL, RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking, name};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::stream::incoming;
use crate::snapshot::confined::{Kind, Task};
use crate::snapshot::lookup::Alone;

pub use crate::snapshot::confined::Devices;

/// How a volume is made of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    /// What is in the volume already goes.
    pub replace: bool,
    /// Whether there may be devices among the files.
    pub devices: Devices,
}

impl Volumes {
    /// Gives the volume `name`, made if there is none, what is in `archive`: all of it, or, if that
    /// fails, nothing.
    ///
    /// # Errors
    /// Invalid for the name or the archive; conflict if the volume is in use, or has something in it
    /// that isn't to be replaced.
    pub async fn restore<R>(
        self: &Arc<Self>,
        name: &str,
        how: Restore,
        archive: R,
    ) -> Result<VolumeInfo>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        let archive = incoming(archive);
        blocking(move || {
            name::check(&name)?;
            volumes
                .restore_now(&name, how, archive)
                .map_err(|error| error.while_doing(format!("restore {name}")))
        })
        .await
    }

    fn restore_now(
        &self,
        name: &str,
        how: Restore,
        archive: impl Read + Send,
    ) -> Result<VolumeInfo> {
        let former = self.check_restorable(name, how)?;
        let fresh = self.fresh(&former.map(|record| record.options).unwrap_or_default())?;
        self.unpack(&fresh, how.devices, archive)?;
        fresh.sync()?;
        let _turn = self.turns.take(name);
        let _changes = self.lock();
        // Much may have happened meanwhile.
        let former = self.check_restorable(name, how)?;
        let place = self.root.join(name);
        fresh.put(&place, former.is_some() && place.exists())?;
        let record = match former {
            Some(record) => record,
            None => {
                let record = VolumeRecord::local(false, Default::default(), Default::default());
                self.store.write(|change| change.put(&RECORDS, name, &record))?;
                self.announce(name, LOCAL, "create");
                record
            }
        };
        self.announce(name, LOCAL, "restore");
        Ok(self.info(name.to_owned(), record))
    }

    /// The record of the volume `name`, if there is one, whose content may be replaced so.
    fn check_restorable(&self, name: &str, how: Restore) -> Result<Option<VolumeRecord>> {
        self.check_unused(name)?;
        let Some(record) = self.store.get(&RECORDS, name)? else { return Ok(None) };
        self.check_ours(&record)?;
        if source(&record.options).is_some() {
            return Err(Error::invalid(
                "its options say what is mounted as it: only directories of tared's are restored",
            ));
        }
        let content = self.content(name);
        let is_empty = std::fs::read_dir(&content).map_or(true, |mut all| all.next().is_none());
        if !how.replace && !is_empty {
            return Err(Error::conflict(
                "there is something in it already: use replace=true to have the archive's content \
                 in its place",
            ));
        }
        Ok(Some(record))
    }

    fn unpack(&self, fresh: &Fresh, devices: Devices, archive: impl Read + Send) -> Result<()> {
        let unpacker = self.unpacker.as_ref().ok_or_else(|| {
            Error::system("there is no program that unpacks archives in a process of its own")
        })?;
        let content = fresh.content();
        let files = std::fs::File::open(&content)
            .map_err(|error| Error::io(format!("open {}", content.display()), error))?;
        let task = Task {
            kind: Kind::Files(devices),
            files: &OwnedFd::from(files),
            lowers: &Alone,
            known: None,
            limits: self.limits,
            given_up: &GivenUp::default(),
        };
        unpacker.unpack(&task, archive).map(drop)
    }
}
