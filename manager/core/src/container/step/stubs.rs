//! Places for mounts, which the runtime makes where there are none: when the step has ended, those are
//! taken away again that nobody has used for something else, so that they are in no layer.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, openat2, statat,
    unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// How often a path is looked up again while something else is renamed.
const ATTEMPTS: u32 = 128;
/// Nanoseconds between the making of a place and the making of what is in it, at most: if what it is
/// in was last changed then, nothing else has changed it.
const AT_ONCE: i128 = 5_000_000;

/// A place that the runtime will need.
#[derive(Debug, Clone)]
pub(super) struct Target(String);

/// What was not there before a step.
pub(super) struct Stubs {
    missing: Vec<Missing>,
}

/// A path of which nothing was there, below a directory that was.
struct Missing {
    parent: OwnedFd,
    /// Its names, the uppermost first.
    names: Vec<String>,
    times: Timestamps,
}

impl Target {
    pub(super) fn file(path: &str) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn directory(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl Stubs {
    /// Looks which of these are not there yet. Blocks.
    pub(super) fn look(root: OwnedFd, targets: Vec<Target>) -> Result<Self> {
        let mut missing: Vec<Missing> = Vec::new();
        for Target(path) in targets {
            missing.extend(missing_of(&root, &path)?);
        }
        Ok(Self { missing })
    }

    /// Takes away what is there now, and is empty. Blocks.
    pub(super) fn clean(self) -> Result<()> {
        // What was made last is in what was made before.
        for missing in self.missing.iter().rev() {
            missing.clean().map_err(|errno| {
                Error::io(format_args!("take away {}", missing.names.join("/")), errno.into())
            })?;
        }
        Ok(())
    }
}

fn missing_of(root: &OwnedFd, path: &str) -> Result<Option<Missing>> {
    let failed = |errno: Errno| Error::io(format_args!("look at {path}"), errno.into());
    let names: Vec<&str> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let mut parent = open_directory(root, "/").map_err(failed)?;
    for (position, name) in names.iter().enumerate() {
        let way = format!("/{}", names[..=position].join("/"));
        match open_directory(root, &way) {
            Ok(directory) => parent = directory,
            Err(Errno::NOENT) => {
                // A link that leads to nothing: the runtime makes what it leads to, wherever that is.
                if statat(&parent, *name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Ok(None);
                }
                let stat = rustix::fs::fstat(&parent).map_err(failed)?;
                let names = names[position..].iter().map(|name| (*name).to_owned()).collect();
                return Ok(Some(Missing { parent, names, times: times_of(&stat) }));
            }
            // A file that is there.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(None)
}

impl Missing {
    fn clean(&self) -> rustix::io::Result<()> {
        let mut above = self.parent.try_clone().map_err(|_| Errno::MFILE)?;
        let mut way = Vec::new();
        for name in &self.names {
            let Ok(stat) = statat(&above, OsStr::new(name), AtFlags::SYMLINK_NOFOLLOW) else {
                break;
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            let next = is_directory.then(|| open_below(&above, name)).transpose()?;
            way.push((above, name, stat));
            match next {
                Some(next) => above = next,
                None => break,
            }
        }
        for (depth, (directory, name, stat)) in way.into_iter().enumerate().rev() {
            let how = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => AtFlags::REMOVEDIR,
                FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
                _ => return Ok(()),
            };
            let last = rustix::fs::fstat(&directory)?;
            match unlinkat(&directory, name.as_str(), how) {
                Ok(()) => {}
                Err(Errno::NOENT) => continue,
                // Somebody uses it.
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            let untouched = depth == 0 && changed(&last) <= changed(&stat) + AT_ONCE;
            let times = if untouched { self.times.clone() } else { times_of(&last) };
            match utimensat(&directory, ".", &times, AtFlags::empty()) {
                // It has been deleted itself.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// When it was last changed, in nanoseconds.
fn changed(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

fn times_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec {
            tv_sec: stat.st_mtime as _,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}

fn open_directory(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0..ATTEMPTS;
    loop {
        match openat2(root, path, flags, Mode::empty(), inside) {
            // The kernel gives up at a `..` if anything was renamed meanwhile, anywhere.
            Err(Errno::AGAIN) if attempts.next().is_some() => {}
            opened => return opened,
        }
    }
}

fn open_below(directory: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn look(root: &std::path::Path, targets: &[&str]) -> Stubs {
        let handle = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        Stubs::look(handle.unwrap(), targets.iter().map(|path| Target::file(path)).collect())
            .unwrap()
    }

    #[test]
    fn what_nobody_used_is_taken_away_and_all_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/hosts"), "").unwrap();
        let before = UNIX_EPOCH + Duration::from_secs(1);
        for directory in [root.to_owned(), root.join("etc")] {
            fs::File::open(directory).unwrap().set_modified(before).unwrap();
        }
        let stubs = look(root, &["/etc/hosts", "/etc/resolv.conf", "/a/b/c", "/used/x", "/full"]);
        fs::write(root.join("etc/resolv.conf"), "").unwrap();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::create_dir_all(root.join("used/x")).unwrap();
        fs::write(root.join("used/own"), "").unwrap();
        fs::write(root.join("full"), "content").unwrap();
        let later = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        fs::File::open(root).unwrap().set_modified(later).unwrap();
        stubs.clean().unwrap();
        assert!(root.join("etc/hosts").exists() && !root.join("etc/resolv.conf").exists());
        assert_eq!(fs::metadata(root.join("etc")).unwrap().modified().unwrap(), before);
        // Somebody has changed it meanwhile.
        assert_eq!(fs::metadata(root).unwrap().modified().unwrap(), later);
        assert!(!root.join("a").exists() && !root.join("used/x").exists());
        assert!(root.join("used/own").exists() && root.join("full").exists());
    }
}
