//! Volumes that are something else than a directory of ours: what their options name is mounted at
//! their place while containers use it, and is the same for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};

use super::driver::{Source, source};
use super::{CONTENT, RECORDS, Volume, Volumes};
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

impl Volumes {
    /// Mounts the volumes `names` for the container `user`, as far as they are to be mounted and are
    /// not yet. Gives those that are something else than a directory of ours. Blocks.
    pub(crate) fn mount(&self, user: &str, names: &[String]) -> Result<BTreeSet<String>> {
        for name in names {
            if let Some(record) = self.store.get(&RECORDS, name)? {
                self.mount_one(user, name, &record.options)?;
            }
        }
        Ok(names.iter().filter(|name| is_mounted(&self.content(name))).cloned().collect())
    }

    /// The same for a volume that may have no record yet; says whether it is something else than a
    /// directory of ours.
    pub(crate) fn mount_provided(&self, user: &str, volume: &Volume) -> Result<bool> {
        let record = self.store.get(&RECORDS, &volume.name)?;
        self.mount_one(
            user,
            &volume.name,
            record.as_ref().map_or(&volume.options, |it| &it.options),
        )?;
        Ok(is_mounted(&volume.path))
    }

    fn mount_one(&self, user: &str, name: &str, options: &BTreeMap<String, String>) -> Result<()> {
        let Some(source) = source(options) else { return Ok(()) };
        // Before anything is held: it may ask a server that doesn't answer.
        let source = source.resolved()?;
        let place = self.content(name);
        let mut mounted = self.mounted();
        if !is_mounted(&place) {
            attach(&source, &place).map_err(|error| {
                error.while_doing(format!("error while mounting volume '{}'", place.display()))
            })?;
        }
        mounted.entry(name.to_owned()).or_default().insert(user.to_owned());
        Ok(())
    }

    /// Notes that `user`, which an earlier manager started, needs the volume `name` mounted.
    pub(crate) fn keep_mounted(&self, user: &str, name: &str) {
        self.mounted().entry(name.to_owned()).or_default().insert(user.to_owned());
    }

    /// Unmounts what only `user` needed. What fails is left for the next time. Blocks.
    pub(crate) fn unmount(&self, user: &str) -> Result<()> {
        let mut mounted = self.mounted();
        let mut outcome = Ok(());
        mounted.retain(|name, users| {
            if users.remove(user) && users.is_empty() {
                outcome = std::mem::replace(&mut outcome, Ok(())).and(detach(&self.content(name)));
            }
            !users.is_empty()
        });
        outcome
    }

    /// Unmounts what no container needs: what an earlier manager left. Blocks.
    pub(crate) fn unmount_unneeded(&self) -> Result<()> {
        for (name, record) in self.store.list(&RECORDS)? {
            let mounted = self.mounted();
            if source(&record.options).is_some() && !mounted.contains_key(&name) {
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
