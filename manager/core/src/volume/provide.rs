//! Volumes for containers: what a container is given, and what becomes of it when the container
//! goes, or doesn't come to be.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{Dir, DirEntry, Mode, OFlags};
use rustix::io::Errno;

use super::create::Known;
use super::remove::Force;
use super::{LOCAL, NewVolume, RECORDS, VolumeRecord, Volumes, copy, random_name, remove_logged};
use crate::disk::sync_directory;
use crate::error::{Error, Result};
use crate::ids::IdMap;
use crate::store::Transaction;

/// A volume that a container is given.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Its content; empty if only its plugin knows where that is.
    pub(crate) path: PathBuf,
    /// Who keeps it.
    pub(crate) driver: String,
    /// Made for this container alone, without a name.
    pub(crate) anonymous: bool,
    labels: BTreeMap<String, String>,
    pub(super) options: BTreeMap<String, String>,
    /// It has no record yet, and goes if its container doesn't come to be.
    fresh: bool,
}

impl Volumes {
    /// Gives the container `user` the volume `wanted`, made so if there is none of its name. From here
    /// on nobody can take it away. Blocks.
    pub(crate) fn provide(&self, user: &str, wanted: NewVolume) -> Result<Volume> {
        let NewVolume { name, labels, driver } = wanted;
        let anonymous = name.is_none();
        let name = name.unwrap_or_else(random_name);
        let failed = |error: Error| error.while_doing(format!("create {name}"));
        let _turn = self.turns.take(&name);
        let known = match self.known(&name, &driver.name).map_err(failed)? {
            None => self.make_remote(&name, &driver, &labels, anonymous).map_err(failed)?,
            known => known,
        };
        if known.is_none() {
            driver.check(|| self.limits_size()).map_err(failed)?;
        }
        let _changes = self.lock();
        if let Some(Known { record, told: Some(told) }) = known {
            self.uses.add(&name, user);
            let VolumeRecord { driver, labels, options, .. } = record;
            let path = told.place();
            return Ok(Volume { name, path, driver, anonymous, labels, options, fresh: false });
        }
        let fresh = self.store.get(&RECORDS, &name)?.is_none();
        let path = match fresh && !self.uses.has_users(&name) {
            true => self.make_local(&name, &driver.options)?,
            false => self.make_directory(&name)?,
        };
        self.uses.add(&name, user);
        let (driver, options) = (LOCAL.to_owned(), driver.options);
        Ok(Volume { name, path, driver, anonymous, labels, options, fresh })
    }

    /// Gives the container `user` a volume that another container has. Blocks.
    ///
    /// # Errors
    /// Not found if it is gone.
    pub(crate) fn share(&self, user: &str, name: &str) -> Result<Volume> {
        let _changes = self.lock();
        let record = self.record(name)?;
        self.uses.add(name, user);
        Ok(Volume {
            name: name.to_owned(),
            path: if record.is_local() { self.content(name) } else { PathBuf::new() },
            driver: record.driver,
            anonymous: record.anonymous,
            labels: record.labels,
            options: record.options,
            fresh: false,
        })
    }

    /// Copies what an image has at a volume's place into the volume, or the directory of it that is
    /// mounted there, if it is empty: `at`. `ids`: whose ids its files get that the image's stand for,
    /// if these are others.
    pub(crate) fn fill(
        &self,
        volume: &Volume,
        at: BorrowedFd<'_>,
        from: BorrowedFd<'_>,
        ids: Option<&IdMap>,
    ) -> Result<()> {
        let failed = |error| Error::io(format!("fill the volume {}", volume.name), error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let to = match rustix::fs::openat(at, ".", flags, Mode::empty()) {
            // A file of the volume's is as it is.
            Err(Errno::NOTDIR) => return Ok(()),
            opened => opened.map_err(|errno| failed(errno.into()))?,
        };
        let mut entries = Dir::read_from(&to).map_err(|errno| failed(errno.into()))?;
        let is_other = |entry: &DirEntry| !matches!(entry.file_name().to_bytes(), b"." | b"..");
        if entries.any(|entry| entry.as_ref().map_or(true, is_other)) {
            return Ok(());
        }
        copy::tree(from, to.as_fd(), ids).map_err(failed)?;
        rustix::fs::syncfs(to).map_err(|errno| failed(errno.into()))
    }

    /// Commits the records of those volumes that have none yet, together with `also`.
    pub(crate) fn commit(
        &self,
        used: &[Volume],
        also: impl FnOnce(&Transaction) -> Result<()>,
    ) -> Result<()> {
        for volume in used.iter().filter(|volume| volume.fresh) {
            let mut names = volume.path.ancestors().take_while(|path| path.starts_with(&self.root));
            names.try_for_each(sync_directory)?;
        }
        let made = self.store.write(|change| {
            let mut made = Vec::new();
            for volume in used.iter().filter(|volume| volume.fresh) {
                // Another may have made it a volume since.
                if change.get(&RECORDS, &volume.name)?.is_none() {
                    let (labels, options) = (volume.labels.clone(), volume.options.clone());
                    let record = VolumeRecord::local(volume.anonymous, labels, options);
                    change.put(&RECORDS, &volume.name, &record)?;
                    made.push(&volume.name);
                }
            }
            also(change)?;
            Ok(made)
        })?;
        made.into_iter().for_each(|name| self.announce(name, LOCAL, "create"));
        Ok(())
    }

    /// Notes that `user`, which an earlier manager made, uses the volume `name`.
    pub(crate) fn hold(&self, user: &str, name: &str) {
        self.uses.add(name, user);
    }

    /// Takes everything back from the container `user` that doesn't come to be. Blocks.
    pub(crate) fn give_up(&self, user: &str) -> Result<()> {
        let _changes = self.lock();
        for name in self.uses.end(user) {
            let is_kept = self.uses.has_users(&name) || self.store.get(&RECORDS, &name)?.is_some();
            if !is_kept {
                remove_logged(&self.root.join(&name));
            }
        }
        Ok(())
    }

    /// Takes everything back from the container `user` that goes for good, together with `also`.
    /// Those volumes among `doomed` that no other container uses go with it. Blocks.
    pub(crate) fn leave(
        &self,
        user: &str,
        doomed: Vec<String>,
        also: impl FnOnce(&Transaction) -> Result<()>,
    ) -> Result<()> {
        let mut gone = Vec::new();
        let mut remote = Vec::new();
        {
            let _changes = self.lock();
            let mut doomed = doomed;
            doomed.retain(|name| self.uses.is_alone(name, user));
            for name in std::mem::take(&mut doomed) {
                let record = self.store.get(&RECORDS, &name)?;
                let is_remote = record.is_some_and(|record| !record.is_local());
                if is_remote { remote.push(name) } else { doomed.push(name) }
            }
            self.store.write(|change| {
                doomed.iter().try_for_each(|name| change.delete(&RECORDS, name))?;
                also(change)
            })?;
            self.uses.end(user);
            for name in doomed {
                match self.set_aside(&name) {
                    Ok(aside) => gone.push((name, aside)),
                    // Swept at the next start.
                    Err(error) => tracing::error!(%error, "remove an anonymous volume"),
                }
            }
        }
        for (name, aside) in gone {
            remove_logged(&aside);
            self.announce(&name, LOCAL, "destroy");
        }
        for name in remote {
            // It is the plugin's to keep if that doesn't answer.
            if let Err(error) = self.remove_now(&name, Force::No) {
                tracing::error!(%error, "remove an anonymous volume");
            }
        }
        Ok(())
    }
}
