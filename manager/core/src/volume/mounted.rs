//! Volumes that are something else than a directory of ours: what their options name is mounted at
//! their place while containers use it, and is the same for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};

use super::driver::{Source, source};
use super::{CONTENT, LOCAL, RECORDS, Volume, Volumes};
use crate::error::{Error, Result};

/// Who needs which volumes mounted: containers by volume.
pub(super) type Mounted = HashMap<String, HashSet<String>>;

/// What mount(8) calls flags: whether each is set or taken back by its name.
const FLAGS: [(&str, MountFlags, bool); 21] = [
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("suid", MountFlags::NOSUID, false),
    ("nodev", MountFlags::NODEV, true),
    ("dev", MountFlags::NODEV, false),
    ("noexec", MountFlags::NOEXEC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
    ("async", MountFlags::SYNCHRONOUS, false),
    ("dirsync", MountFlags::DIRSYNC, true),
    ("noatime", MountFlags::NOATIME, true),
    ("atime", MountFlags::NOATIME, false),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("diratime", MountFlags::NODIRATIME, false),
    ("relatime", MountFlags::RELATIME, true),
    ("norelatime", MountFlags::RELATIME, false),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("nostrictatime", MountFlags::STRICTATIME, false),
    ("bind", MountFlags::BIND, true),
    ("rbind", MountFlags::BIND.union(MountFlags::REC), true),
];

/// How mounts spread, by the names that options have for it.
const PROPAGATION: [(&str, MountPropagationFlags); 6] = [
    ("private", MountPropagationFlags::PRIVATE),
    ("rprivate", MountPropagationFlags::PRIVATE.union(MountPropagationFlags::REC)),
    ("shared", MountPropagationFlags::SHARED),
    ("rshared", MountPropagationFlags::SHARED.union(MountPropagationFlags::REC)),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("rslave", MountPropagationFlags::DOWNSTREAM.union(MountPropagationFlags::REC)),
];

/// Where a container's volumes are, as far as they aren't directories of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Those that are something else: their files have the host's ids.
    pub(crate) foreign: BTreeSet<String>,
    /// Those that are at another place than their own, and where: plugins mount where they like.
    pub(crate) places: BTreeMap<String, PathBuf>,
}

impl Volumes {
    /// Mounts the volumes `names` for the container `user`, as far as they are to be mounted and are
    /// not yet. Blocks.
    ///
    /// # Errors
    /// The kernel's, and what plugins say, with the volume's place or name. What was mounted until
    /// then is to be unmounted.
    pub(crate) fn mount(&self, user: &str, names: &[String]) -> Result<Attached> {
        let mut attached = Attached::default();
        for name in names.iter().collect::<BTreeSet<_>>() {
            if let Some(record) = self.store.get(&RECORDS, name)? {
                self.attach(user, name, &record.driver, &record.options, &mut attached)?;
            }
        }
        Ok(attached)
    }

    /// The same for one volume, which may have no record yet.
    pub(crate) fn mount_provided(&self, user: &str, volume: &Volume) -> Result<Attached> {
        let mut attached = Attached::default();
        let Volume { name, driver, .. } = volume;
        let record = self.store.get(&RECORDS, name)?;
        let options = record.as_ref().map_or(&volume.options, |it| &it.options);
        self.attach(user, name, driver, options, &mut attached)?;
        Ok(attached)
    }

    fn attach(
        &self,
        user: &str,
        name: &str,
        driver: &str,
        options: &BTreeMap<String, String>,
        attached: &mut Attached,
    ) -> Result<()> {
        if driver != LOCAL {
            attached.places.insert(name.to_owned(), self.mount_remote(user, name, driver)?);
            attached.foreign.insert(name.to_owned());
            return Ok(());
        }
        if let Some(source) = source(options) {
            self.mount_source(user, name, source)?;
        }
        if is_mounted(&self.content(name)) {
            attached.foreign.insert(name.to_owned());
        }
        Ok(())
    }

    fn mount_source(&self, user: &str, name: &str, source: Source) -> Result<()> {
        // Others go on meanwhile: both may ask a server that doesn't answer.
        let _turn = self.turns.take(name);
        let source = source.resolved()?;
        let place = self.content(name);
        if !is_mounted(&place) {
            attach(&source, &place).map_err(|error| {
                error.while_doing(format!("error while mounting volume '{}'", place.display()))
            })?;
        }
        self.keep_mounted(user, name);
        Ok(())
    }

    fn mount_remote(&self, user: &str, name: &str, driver: &str) -> Result<PathBuf> {
        let _turn = self.turns.take(name);
        // Noted before: a plugin that doesn't answer may have mounted it.
        self.keep_mounted(user, name);
        let place = self.drivers.get(driver).and_then(|remote| remote.mount(name, user));
        place.map_err(|error| {
            error.while_doing(format!("error while mounting volume '{name}' of {driver}"))
        })
    }

    /// Notes that `user` needs the volume `name` mounted.
    pub(crate) fn keep_mounted(&self, user: &str, name: &str) {
        self.mounted().entry(name.to_owned()).or_default().insert(user.to_owned());
    }

    /// Whether something is mounted for `user`.
    pub(super) fn is_mounted_for(&self, user: &str) -> bool {
        self.mounted().values().any(|users| users.contains(user))
    }

    /// Unmounts what only `user` needed, past whatever fails. Blocks.
    pub(crate) fn unmount(&self, user: &str) -> Result<()> {
        let needed =
            |(name, users): (&String, &HashSet<String>)| users.contains(user).then(|| name.clone());
        let names: Vec<String> = self.mounted().iter().filter_map(needed).collect();
        let mut outcome = Ok(());
        for name in names {
            outcome = outcome.and(self.unmount_one(user, &name));
        }
        outcome
    }

    fn unmount_one(&self, user: &str, name: &str) -> Result<()> {
        let _turn = self.turns.take(name);
        let is_last = {
            let mut mounted = self.mounted();
            let users = mounted.get_mut(name);
            let is_last = users.is_some_and(|users| users.remove(user) && users.is_empty());
            if is_last {
                mounted.remove(name);
            }
            is_last
        };
        match self.store.get(&RECORDS, name)? {
            // It counts for itself.
            Some(record) if !record.is_local() => {
                self.drivers.get(&record.driver)?.unmount(name, user)
            }
            _ if is_last => detach(&self.content(name)),
            _ => Ok(()),
        }
    }

    /// Unmounts what no container needs: what an earlier manager left. Blocks.
    pub(crate) fn unmount_unneeded(&self) -> Result<()> {
        for (name, record) in self.store.list(&RECORDS)? {
            let _turn = self.turns.take(&name);
            let is_ours = record.is_local() && source(&record.options).is_some();
            if is_ours && !self.mounted().contains_key(&name) {
                detach(&self.content(&name))?;
            }
        }
        Ok(())
    }
}

/// Makes sure that nothing is mounted as the volume in `directory`, which is about to be deleted: what
/// is mounted there isn't ours.
pub(super) fn detach_in(directory: &Path) -> Result<()> {
    detach(&directory.join(CONTENT))
}

fn is_mounted(place: &Path) -> bool {
    statx(CWD, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn detach(place: &Path) -> Result<()> {
    loop {
        match unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => {
                return Err(Error::io(format!("unmount {}", place.display()), error.into()));
            }
        }
    }
}

/// What options come to: flags, how mounts spread, and what is for the file system to read.
fn parse(options: &str) -> (MountFlags, MountPropagationFlags, String) {
    let (mut flags, mut spread, mut data) =
        (MountFlags::empty(), MountPropagationFlags::empty(), Vec::new());
    for option in options.split(',').filter(|option| !matches!(*option, "" | "defaults")) {
        if let Some((_, flag, set)) = FLAGS.iter().find(|(name, ..)| *name == option) {
            flags.set(*flag, *set);
        } else if let Some((_, how)) = PROPAGATION.iter().find(|(name, _)| *name == option) {
            spread |= *how;
        } else {
            data.push(option);
        }
    }
    (flags, spread, data.join(","))
}

fn attach(source: &Source, place: &Path) -> Result<()> {
    let (flags, spread, data) = parse(&source.options);
    let failed = |error: Errno| {
        let shown = parse(&source.shown_options()).2;
        let data = if shown.is_empty() { shown } else { format!(", data: {shown}") };
        let what = format!(
            "failed to mount local volume: mount {}:{}, flags: {:#x}{data}",
            source.device,
            place.display(),
            flags.bits()
        );
        Error::io(what, error.into())
    };
    let data = CString::new(data).map_err(|_| failed(Errno::INVAL))?;
    mount(source.device.as_str(), place, source.kind.as_str(), flags, data.as_c_str())
        .map_err(failed)?;
    let settle = || -> rustix::io::Result<()> {
        if flags.contains(MountFlags::BIND) && flags.contains(MountFlags::RDONLY) {
            mount_remount(place, flags, c"")?;
        }
        if spread.is_empty() { Ok(()) } else { mount_change(place, spread) }
    };
    settle().map_err(|error| {
        // It is no use half done.
        let _ = detach(place);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_for_the_file_system() {
        let (flags, spread, data) = parse("ro,nosuid,rw,size=1m,uid=7,rslave,defaults");
        assert_eq!(flags, MountFlags::NOSUID);
        assert_eq!(data, "size=1m,uid=7");
        assert!(spread.contains(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
        assert_eq!(parse("bind,ro").0, MountFlags::BIND | MountFlags::RDONLY);
    }

    #[test]
    fn what_is_no_mount_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_mounted(directory.path()));
        detach(directory.path()).unwrap();
        detach(&directory.path().join("none")).unwrap();
    }

    #[test]
    fn a_failure_hides_the_password() {
        let source = Source {
            kind: "no-such-kind".to_owned(),
            device: "//server/share".to_owned(),
            options: "ro,user=a,password=secret".to_owned(),
        };
        let directory = tempfile::tempdir().unwrap();
        let error = attach(&source, directory.path()).unwrap_err().to_string();
        assert!(error.contains("failed to mount local volume: mount //server/share:"), "{error}");
        assert!(error.contains("password=********") && !error.contains("secret"), "{error}");
    }
}
