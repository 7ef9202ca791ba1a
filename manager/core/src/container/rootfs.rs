//! A container's root file system as this manager looks into it: through a descriptor of its root,
//! below which the kernel resolves every path, so that nothing the image or the container puts
//! there leads out.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, statx,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::spec::user::Accounts;
use crate::error::{Error, Result};
use crate::ids::IdMap;
use crate::snapshot::detached::Purpose;
use crate::snapshot::{Mount, detached};

/// How often a path is looked up again that leads up while something else is renamed.
const ATTEMPTS: u32 = 128;

/// The most that is read of an account file; a hostile one could be endless.
const LARGEST_FILE: u64 = 16 << 20;

/// The root of a container's file system.
#[derive(Debug)]
pub(crate) struct Rootfs {
    root: OwnedFd,
    /// Whose ids it shows; `None`: those that are on disk.
    ids: Ids,
}

/// Who the users are on the host whose files are looked at; `None`: those whose ids are shown.
pub(crate) type Ids = Option<Arc<IdMap>>;

impl Rootfs {
    /// The file system that `mounts` make, mounted where nobody else sees it for as long as this
    /// lives. Blocks; the container must not run, as overlay allows one mount of its upper layer.
    pub(crate) fn mount(mounts: &[Mount]) -> Result<Self> {
        Self::mount_for(mounts, Purpose::Look)
    }

    /// The same for containers: what is in it can be run.
    pub(crate) fn mount_to_use(mounts: &[Mount]) -> Result<Self> {
        Self::mount_for(mounts, Purpose::Use)
    }

    /// The same for this purpose.
    pub(crate) fn mount_for(mounts: &[Mount], purpose: Purpose) -> Result<Self> {
        let [mount] = mounts else {
            return Err(Error::system(format!("a root made of {} mounts", mounts.len())));
        };
        let root = match mount.kind.as_str() {
            "bind" => open_tree_root(Path::new(&mount.source)),
            _ => detached::mount(mount, purpose),
        };
        let root = root.map_err(|error| Error::io("mount the root file system", error.into()))?;
        Ok(Self { root, ids: None })
    }

    /// What a shim has mounted at `path` for users who are `ids` on the host, for as long as this
    /// lives, whatever becomes of the container; none if nothing is mounted there. Mounts upon it are
    /// not seen.
    pub(crate) fn of_bundle(path: &Path, ids: Ids) -> Result<Option<Self>> {
        let failed = |error: Errno| Error::io(format!("open {}", path.display()), error.into());
        let place = match open_tree_root(path) {
            Ok(place) => place,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let facts = statx(&place, "", AtFlags::EMPTY_PATH, StatxFlags::empty()).map_err(failed)?;
        if !facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(None);
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        match open_tree(&place, "", flags) {
            Ok(root) => Ok(Some(Self { root, ids })),
            // It has just been unmounted.
            Err(Errno::INVAL) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Its root, opened as a handle.
    pub(crate) fn handle(&self) -> Result<OwnedFd> {
        let root = self.root.try_clone();
        root.map_err(|error| Error::io("keep the root file system", error))
    }

    /// Its root alone.
    pub(crate) fn into_handle(self) -> OwnedFd {
        self.root
    }

    /// The one with this root.
    pub(crate) fn of_root(root: OwnedFd) -> Self {
        Self { root, ids: None }
    }

    /// The root of a running process.
    pub(crate) fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/root");
        let root = open_tree_root(Path::new(&path))
            .map_err(|error| Error::io(format!("open {path}"), error.into()))?;
        Ok(Self { root, ids: None })
    }

    /// Whose ids it shows.
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The account files.
    pub(crate) fn accounts(&self) -> Result<Accounts> {
        Ok(Accounts { passwd: self.read("etc/passwd")?, group: self.read("etc/group")? })
    }

    /// A directory inside; `None` if nothing is there.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) if something else is.
    pub(crate) fn directory(&self, path: &str) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.open(path, flags) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => Err(Error::invalid(format!("{path} is not a directory"))),
            Err(error) => Err(Error::io(format!("open {path} in the container"), error.into())),
        }
    }

    /// Makes the directory `path` and those above it that aren't there.
    pub(crate) fn make_directory(&self, path: &str) -> Result<()> {
        let mut done = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = if done.is_empty() { "/" } else { &done };
            let parent = self.directory(above)?.ok_or_else(|| {
                Error::invalid(format!("{above} leads to nothing, so {path} can't be made"))
            })?;
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => {
                    return Err(Error::io(format!("mkdir {path} in the container"), error.into()));
                }
            }
            done = format!("{done}/{name}");
        }
        // What was there already may be something else than a directory.
        self.directory(path).map(drop)
    }

    /// A file's text; empty if there is none. What is no regular file counts as none, and what is
    /// in a procfs too. Neither is opened: a pipe would make us wait for ever, and a device or a
    /// file of the kernel's may do something at that.
    fn read(&self, path: &str) -> Result<String> {
        let failed =
            |error: Errno| Error::io(format!("open {path} in the container"), error.into());
        let found = match self.open(path, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
            Err(error) => return Err(failed(error)),
        };
        plain_text(&found, path)
    }

    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open_inside(&self.root, path, flags)
    }
}

/// Opens what a container has at `path`: links lead where they lead in it, and never out.
///
/// # Errors
/// openat2(2)'s.
pub(crate) fn open_inside(
    root: &OwnedFd,
    path: &str,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // The kernel gives up at a `..` if anything was renamed or mounted meanwhile, anywhere.
    let mut attempts = 0..ATTEMPTS;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), inside) {
            Err(Errno::AGAIN) if attempts.next().is_some() => {}
            opened => return opened,
        }
    }
}

impl AsFd for Rootfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The text of the file that `found` is a handle of; empty for what is no regular file.
pub(crate) fn plain_text(found: &OwnedFd, path: &str) -> Result<String> {
    let failed = |error| Error::io(format!("read {path} in the container"), error);
    if !is_plain_file(found).map_err(|errno| failed(errno.into()))? {
        return Ok(String::new());
    }
    // This name leads to what was looked at, whatever has come to be at the path since.
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = std::fs::File::open(name).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::invalid(format!(
            "/{path} in the container is larger than {} MiB",
            LARGEST_FILE >> 20
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether it is a file of a disk's or of memory, and not one of the kernel's.
fn is_plain_file(file: &OwnedFd) -> rustix::io::Result<bool> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    let file_system = rustix::fs::fstatfs(file)?.f_type;
    Ok(kind == FileType::RegularFile && file_system != rustix::fs::PROC_SUPER_MAGIC)
}

fn open_tree_root(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn rootfs(directory: &Path) -> Rootfs {
        Rootfs { root: open_tree_root(directory).unwrap(), ids: None }
    }

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("etc")).unwrap();
        symlink("/../../../../etc/passwd-of-image", root.join("etc/passwd")).unwrap();
        std::fs::write(root.join("etc/passwd-of-image"), "web:x:1:2::/:\n").unwrap();
        let accounts = rootfs(root).accounts().unwrap();
        assert_eq!(accounts.passwd, "web:x:1:2::/:\n");
        assert_eq!(accounts.group, "");
    }

    #[test]
    fn what_is_no_file_is_not_even_opened() {
        use rustix::fs::inotify;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("etc/group")).unwrap();
        let passwd = root.join("etc/passwd");
        rustix::fs::mknodat(CWD, &passwd, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, &passwd, inotify::WatchFlags::OPEN).unwrap();
        assert_eq!(rootfs(root).accounts().unwrap().passwd, "");
        let mut events = [0; 256];
        assert_eq!(rustix::io::read(&watch, &mut events), Err(Errno::AGAIN));
    }

    #[test]
    fn a_file_of_the_kernels_is_not_read() {
        let root = rootfs(Path::new("/"));
        assert_eq!(root.read("proc/version").unwrap(), "");
        assert_ne!(root.read("etc/passwd").unwrap(), "");
    }

    #[test]
    fn directories_are_made_below_the_root_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        symlink("/..", root.join("out")).unwrap();
        rootfs(&root).make_directory("/out/a/b").unwrap();
        assert!(root.join("a/b").is_dir());
        assert!(!directory.path().join("a").exists());
        std::fs::write(root.join("file"), "").unwrap();
        assert!(rootfs(&root).make_directory("/file").is_err());
    }

    #[test]
    fn what_is_renamed_elsewhere_does_not_stand_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("there")).unwrap();
        symlink("../../..", root.join("up")).unwrap();
        let rootfs = rootfs(&root);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, other) = (directory.path().join("one"), directory.path().join("other"));
                std::fs::create_dir(&one).unwrap();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::rename(&one, &other).unwrap();
                    std::fs::rename(&other, &one).unwrap();
                }
            });
            let failed = (0..2000).find_map(|_| rootfs.make_directory("/up/there/a").err());
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }
}
