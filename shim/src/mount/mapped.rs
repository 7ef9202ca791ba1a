//! Root file systems whose ids are other ones on the host: what is on disk has the container's ids,
//! and each part of the root is shown by a mount that maps them as the container's user namespace
//! does.
//!
//! Overlay has no ids of its own: its layers are mapped, each as a copy of its mount that is attached
//! nowhere. What it makes itself, when something is changed, it makes as whoever mounted it, who must
//! be somebody there: the container's root.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    mount_change, move_mount, open_tree,
};
use rustix::thread::{capabilities, set_capabilities};

use crate::error::{Context, Error, Result};
use crate::linux;

/// The names of a writable layer's parts while it is mounted.
const OWN: &str = "own";
const WHOLE: &str = "whole";

/// How to mount an overlay.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    pub(super) source: &'a str,
    /// `lowerdir=`, `upperdir=` and the rest.
    pub(super) data: &'a [String],
    pub(super) flags: MountFlags,
    pub(super) attributes: MountAttrFlags,
}

/// The parts of an overlay, mapped.
struct Parts {
    lowers: Vec<OwnedFd>,
    /// The directory of `upperdir` and `workdir`, if it has them, and their names in it.
    own: Option<(OwnedFd, String, String)>,
    rest: Vec<String>,
}

/// Who makes an overlay that nobody writes to.
const NOBODY: u32 = 65_534;

/// Opens the user namespace that the file `path` holds.
pub(super) fn namespace(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open the user namespace {}", path.display()))
}

/// A copy of the mount at `path`, or of all mounts from there on, with its ids mapped as `user` does.
/// It is attached nowhere.
pub(super) fn tree(path: &Path, depth: OpenTreeFlags, user: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | depth;
    let tree = open_tree(CWD, path, flags).context(|| format!("open {}", path.display()))?;
    linux::map_mount(tree.as_fd(), user.as_fd(), depth.contains(OpenTreeFlags::AT_RECURSIVE))
        .context(|| format!("map the ids of {}", path.display()))?;
    Ok(tree)
}

impl Overlay<'_> {
    /// Mounts it attached nowhere, with all ids mapped as `user` does. `place` is a directory.
    pub(super) fn mount(&self, user: &OwnedFd, place: &Path) -> Result<OwnedFd> {
        let parts = Parts::open(self.data, user)?;
        let owner = parts.owner().context(|| "look at the container's own layer".to_owned())?;
        // Whoever mounts it ends with this thread.
        let mounted = thread::scope(|scope| {
            let mounting = scope.spawn(|| {
                act_as(owner)?;
                match self.mount_nowhere(&parts) {
                    // Linux before 6.15 takes layers that are attached somewhere only.
                    Err(Errno::INVAL) => self.mount_in_own_namespace(&parts, place),
                    outcome => outcome,
                }
            });
            mounting.join().map_err(|_| Errno::IO)?
        });
        mounted.context(|| format!("mount overlay {} with mapped ids", self.source))
    }

    fn mount_nowhere(&self, parts: &Parts) -> rustix::io::Result<OwnedFd> {
        let at = |tree: &OwnedFd| format!("/proc/self/fd/{}", tree.as_raw_fd());
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", self.source)?;
        for lower in &parts.lowers {
            fsconfig_set_string(&context, "lowerdir+", at(lower))?;
        }
        if let Some((own, upper, work)) = &parts.own {
            fsconfig_set_string(&context, "upperdir", format!("{}/{upper}", at(own)))?;
            fsconfig_set_string(&context, "workdir", format!("{}/{work}", at(own)))?;
        }
        for option in &parts.rest {
            match option.split_once('=') {
                Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                None => fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, self.attributes)
    }

    /// The same in a mount namespace of this thread's own, where all layers have a place with a short
    /// name. They are seen by nobody else, and stay as long as the overlay does.
    fn mount_in_own_namespace(&self, parts: &Parts, place: &Path) -> rustix::io::Result<OwnedFd> {
        linux::have_own_mounts()?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount("layers", place, "tmpfs", MountFlags::empty(), c"mode=711")?;
        rustix::process::chdir(place)?;
        let put = |tree: &OwnedFd, name: &str| {
            rustix::fs::mkdir(name, Mode::RWXU)?;
            move_mount(tree, "", CWD, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        };
        let names: Vec<String> = (0..parts.lowers.len()).map(|it| it.to_string()).collect();
        for (lower, name) in parts.lowers.iter().zip(&names) {
            put(lower, name)?;
        }
        let mut data = vec![format!("lowerdir={}", names.join(":"))];
        if let Some((own, upper, work)) = &parts.own {
            put(own, OWN)?;
            data.extend([format!("upperdir={OWN}/{upper}"), format!("workdir={OWN}/{work}")]);
        }
        data.extend_from_slice(&parts.rest);
        let data = std::ffi::CString::new(data.join(",")).map_err(|_| Errno::INVAL)?;
        rustix::fs::mkdir(WHOLE, Mode::RWXU)?;
        mount(self.source, WHOLE, "overlay", self.flags, data.as_c_str())?;
        open_tree(CWD, WHOLE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
    }
}

impl Parts {
    fn open(data: &[String], user: &OwnedFd) -> Result<Self> {
        let (mut lowers, mut upper, mut work, mut rest) = (Vec::new(), None, None, Vec::new());
        for option in data {
            match option.split_once('=') {
                Some(("lowerdir", layers)) => {
                    for layer in layers.split(':') {
                        lowers.push(tree(Path::new(layer), OpenTreeFlags::empty(), user)?);
                    }
                }
                Some(("upperdir", path)) => upper = Some(PathBuf::from(path)),
                Some(("workdir", path)) => work = Some(PathBuf::from(path)),
                _ => rest.push(option.clone()),
            }
        }
        let own = match (upper, work) {
            (None, None) => None,
            (Some(upper), Some(work)) => Some(beside(&upper, &work, user)?),
            _ => return Err(Error::invalid("an overlay has both upperdir and workdir, or none")),
        };
        Ok(Self { lowers, own, rest })
    }

    /// Who root of the container is on the host: the owner of overlay's own directory.
    fn owner(&self) -> rustix::io::Result<(u32, u32)> {
        let Some((own, _, work)) = &self.own else { return Ok((NOBODY, NOBODY)) };
        let facts = rustix::fs::statat(own, work, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((facts.st_uid, facts.st_gid))
    }
}

/// The directory that both are in, mapped, and their names: they must be of one mount.
fn beside(upper: &Path, work: &Path, user: &OwnedFd) -> Result<(OwnedFd, String, String)> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    match (upper.parent(), name(upper), name(work)) {
        (Some(parent), Some(upper), Some(name)) if work.parent() == Some(parent) => {
            Ok((tree(parent, OpenTreeFlags::empty(), user)?, upper, name))
        }
        _ => Err(Error::invalid(format!(
            "{} and {} must be in one directory to have their ids mapped",
            upper.display(),
            work.display()
        ))),
    }
}

/// This thread's files are those of the user and group from here on; its rights stay what they are.
fn act_as((uid, gid): (u32, u32)) -> rustix::io::Result<()> {
    let rights = capabilities(None)?;
    linux::make_files_as(uid, gid);
    set_capabilities(None, rights)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown};
    use std::process::{Command, Stdio};

    use super::*;

    /// A user namespace whose root is 100000 on the host.
    fn user() -> OwnedFd {
        let mut child =
            Command::new("unshare").args(["--user", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
        let path = format!("/proc/{}", child.id());
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        while fs::read_link(format!("{path}/ns/user")).unwrap() == own {
            assert!(child.try_wait().unwrap().is_none(), "no user namespace");
            thread::yield_now();
        }
        for file in ["uid_map", "gid_map"] {
            fs::write(format!("{path}/{file}"), "0 100000 65536").unwrap();
        }
        let user = namespace(Path::new(&format!("{path}/ns/user"))).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        user
    }

    fn check(how: impl Fn(&Overlay<'_>, &Parts, &Path) -> rustix::io::Result<OwnedFd> + Sync) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["lower", "own/fs", "own/work", "place"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("lower/file"), "text").unwrap();
        chown(at("lower/file"), Some(33), Some(34)).unwrap();
        let data = [
            format!("lowerdir={}", at("lower").display()),
            format!("upperdir={}", at("own/fs").display()),
            format!("workdir={}", at("own/work").display()),
        ];
        let overlay = Overlay {
            source: "overlay",
            data: &data,
            flags: MountFlags::empty(),
            attributes: MountAttrFlags::empty(),
        };
        let parts = Parts::open(&data, &user()).unwrap();
        let owner = parts.owner().unwrap();
        assert_eq!(owner, (100_000, 100_000));
        let mounted = thread::scope(|scope| {
            let mounting = scope.spawn(|| {
                act_as(owner).unwrap();
                let mounted = how(&overlay, &parts, &at("place")).unwrap();
                let seen = PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
                let facts = seen.join("file").metadata().unwrap();
                assert_eq!((facts.uid(), facts.gid()), (100_033, 100_034));
                fs::write(seen.join("file"), "other").unwrap();
                fs::write(seen.join("new"), "").unwrap();
                chown(seen.join("new"), Some(100_005), Some(100_006)).unwrap();
                mounted
            });
            mounting.join().unwrap()
        });
        let facts = |name: &str| {
            let facts = at("own/fs").join(name).metadata().unwrap();
            (facts.uid(), facts.gid())
        };
        assert_eq!((facts("file"), facts("new")), ((33, 34), (5, 6)));
        assert_eq!(fs::read_to_string(at("lower/file")).unwrap(), "text");
        assert_eq!(fs::read_dir(at("place")).unwrap().count(), 0, "nobody else sees it");
        drop(mounted);
    }

    #[test]
    fn what_is_on_disk_has_the_containers_ids() {
        check(|overlay, parts, _| overlay.mount_nowhere(parts));
    }

    #[test]
    fn an_older_kernels_way_does_the_same() {
        check(|overlay, parts, place| overlay.mount_in_own_namespace(parts, place));
    }
}
