//! What may be chosen about a dump and a restore alike.

use super::images::{Directory, Earlier};
use super::log::quote;
use super::rpc::{CgroupMode, Options};
use crate::error::{Context, Error, Result};
use nix::sched::CloneFlags;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What a caller may choose about a dump and a restore alike.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The directory of the images; absolute.
    pub(crate) images: PathBuf,
    /// The directory of the log and the statistics; absolute. Without one, that of the images.
    pub(crate) work: Option<PathBuf>,
    /// Whether connections are kept.
    pub(crate) tcp_established: bool,
    /// Whether connections are closed.
    pub(crate) tcp_close: bool,
    /// Whether unix sockets may have their other end outside.
    pub(crate) ext_unix_sk: bool,
    /// Whether the processes may have the caller's terminal.
    pub(crate) shell_job: bool,
    /// Whether file locks are kept.
    pub(crate) file_locks: bool,
    /// Whether memory is fetched when it is used first.
    pub(crate) lazy_pages: bool,
    /// Whether pages are taken out of earlier dumps.
    pub(crate) auto_dedup: bool,
    /// What is dumped and restored of cgroups.
    pub(crate) cgroups: CgroupMode,
}

/// What criu is handed for a job, open.
#[derive(Debug)]
pub(crate) struct Workplace {
    /// The images.
    pub(crate) images: Directory,
    work: Directory,
    config: Option<OwnedFd>,
    log: &'static str,
}

impl Settings {
    /// Opens the directories and finds criu's own configuration for a container of the bundle
    /// `bundle` with these `annotations`. criu's log is to be called `log`.
    pub(crate) fn open(
        &self,
        earlier: Earlier,
        bundle: &Path,
        annotations: &BTreeMap<String, String>,
        log: &'static str,
    ) -> Result<Workplace> {
        let images = Directory::open(&self.images, earlier)?;
        let work = match &self.work {
            None => Directory::open(&self.images, Earlier::None)?,
            Some(work) => {
                Directory::make(work)?;
                Directory::open(work, Earlier::None)?
            }
        };
        let strange: Vec<&Path> = [Some(self.images.as_path()), self.work.as_deref(), Some(bundle)]
            .into_iter()
            .flatten()
            .collect();
        let config = find_config(annotations, &strange)?;
        Ok(Workplace { images, work, config, log })
    }

    /// The options that follow.
    pub(crate) fn options(&self, place: &Workplace) -> Options {
        Options {
            images_dir_fd: place.images.number(),
            work_dir_fd: Some(place.work.number()),
            log_file: Some(place.log.to_owned()),
            log_level: Some(4),
            config_file: place.config.as_ref().map(|config| {
                // The very file that was looked at.
                format!("/proc/{}/fd/{}", std::process::id(), config.as_raw_fd())
            }),
            notify_scripts: Some(true),
            orphan_pts_master: Some(true),
            // Who made a container's network makes it again; hooks and callers do.
            empty_ns: Some(CloneFlags::CLONE_NEWNET.bits() as u32),
            // What a criu that does not know the next one goes by.
            manage_cgroups: Some(true),
            manage_cgroups_mode: Some(self.cgroups.into()),
            tcp_established: Some(self.tcp_established),
            tcp_close: Some(self.tcp_close),
            ext_unix_sk: Some(self.ext_unix_sk),
            shell_job: Some(self.shell_job),
            file_locks: Some(self.file_locks),
            lazy_pages: Some(self.lazy_pages),
            auto_dedup: Some(self.auto_dedup),
            ..Options::default()
        }
    }
}

impl Workplace {
    /// The mounts that criu's directories are in.
    pub(crate) fn mounts(&self) -> Vec<BorrowedFd<'_>> {
        [&self.images, &self.work].into_iter().filter_map(Directory::mount).collect()
    }

    /// What criu wrote down about a failure, of which it has told no more than `said`.
    pub(super) fn explain(&self, said: &str) -> String {
        quote(&self.work, self.log, said)
    }
}

/// The bundle's word on criu's configuration.
const ANNOTATION: &str = "org.criu.config";
/// Where the configuration is if the bundle has no word on it: that of this program, or runc's.
const DEFAULTS: [&str; 2] = ["/etc/criu/tare.conf", "/etc/criu/runc.conf"];

/// Opens criu's configuration, which overrules all options and may name commands to be run. So it
/// must be the host's own: neither writable by others nor in one of the directories `strange`, which
/// may hold what a stranger has packed. A file that is not there configures nothing.
fn find_config(
    annotations: &BTreeMap<String, String>,
    strange: &[&Path],
) -> Result<Option<OwnedFd>> {
    let Some(path) = annotations.get(ANNOTATION) else {
        return DEFAULTS
            .iter()
            .find_map(|path| open_config(Path::new(path), &[]).transpose())
            .transpose();
    };
    match path.is_empty() {
        true => Ok(None),
        false => open_config(Path::new(path), strange),
    }
    .context(|| format!("criu's configuration (annotation {ANNOTATION})"))
}

fn open_config(path: &Path, strange: &[&Path]) -> Result<Option<OwnedFd>> {
    let what = || format!("open {}", path.display());
    let refuse = |why: &str| Err(Error::invalid(format!("{}: {why}", path.display())));
    if !path.is_absolute() {
        return refuse("it must be an absolute path");
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.context(what)?,
    };
    let stat = rustix::fs::fstat(&fd).context(what)?;
    let own = rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return refuse("it is no plain file");
    }
    if !matches!(stat.st_uid, 0) && stat.st_uid != own || stat.st_mode & 0o022 != 0 {
        return refuse("it must belong to root, and nobody else may be able to write to it");
    }
    let real = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).context(what)?;
    let is_inside = |directory: &&Path| {
        std::fs::canonicalize(directory).is_ok_and(|directory| real.starts_with(directory))
    };
    match strange.iter().any(is_inside) {
        true => refuse("it may not come with the checkpoint or the bundle"),
        false => Ok(Some(fd)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn find(path: &Path, strange: &[&Path]) -> Result<Option<OwnedFd>> {
        let path = path.to_str().unwrap().to_owned();
        find_config(&BTreeMap::from([(ANNOTATION.to_owned(), path)]), strange)
    }

    #[test]
    fn criu_is_configured_by_the_host_alone() {
        let host = tempfile::tempdir().unwrap();
        let archive = tempfile::tempdir().unwrap();
        let [good, packed] = [&host, &archive].map(|place| {
            let file = place.path().join("criu.conf");
            std::fs::write(&file, "action-script=/bin/true\n").unwrap();
            file
        });
        let link = host.path().join("link");
        symlink(&packed, &link).unwrap();
        let strange = [archive.path()];
        assert!(find(&good, &strange).unwrap().is_some());
        assert!(find(Path::new(""), &strange).unwrap().is_none());
        assert!(find(&host.path().join("missing"), &strange).unwrap().is_none());
        for bad in [packed.as_path(), &link, host.path(), Path::new("criu.conf")] {
            assert!(find(bad, &strange).is_err(), "{}", bad.display());
        }
        std::fs::set_permissions(&good, PermissionsExt::from_mode(0o622)).unwrap();
        assert!(find(&good, &strange).is_err());
    }
}
