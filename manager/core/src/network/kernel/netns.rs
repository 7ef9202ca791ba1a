//! Network namespaces that live without a process: each is held by a bind mount on a file.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::{Batch, Netlink};
use crate::error::{Error, Result};
use crate::ids::namespace::{new_network, open};

/// The calling thread's own network namespace.
const OWN: &str = "/proc/thread-self/ns/net";
/// What the kernel's files are that hold namespaces, from `magic.h`.
const NAMESPACES: i64 = 0x6e73_6673;

/// A container's network namespace, seen by a thread that is in it.
pub(in crate::network) struct Inside {
    /// To the namespace that the thread comes from.
    host: Netlink,
    netlink: Netlink,
    namespace: File,
}

impl Inside {
    /// Carries out requests in this namespace.
    pub(in crate::network) fn run(&self, batch: &Batch) -> Result<()> {
        Ok(self.netlink.run(batch)?)
    }

    /// The number of the interface `name` here.
    pub(in crate::network) fn index(&self, name: &str) -> Result<u32> {
        self.netlink.index(name).map_err(|error| Error::io(format!("find {name}"), error))
    }

    /// Deletes the interface `name` here; it is no error if there is none.
    pub(in crate::network) fn delete(&self, name: &str) -> Result<()> {
        let mut batch = Batch::default();
        batch.delete_link(name);
        match self.netlink.run(&batch) {
            Err(refusal) if refusal.errno == libc::ENODEV => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// The kernel as the host has it.
    pub(in crate::network) fn host(&self) -> &Netlink {
        &self.host
    }

    /// The namespace itself, to put links into.
    pub(in crate::network) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// Makes a network namespace that the file `path` holds, in place of one that it may hold yet, and
/// lets `furnish` work in it. Root of the user namespace that the file `owner` holds rules it.
///
/// All of that runs on a thread of its own, which ends with it: no other work can ever find
/// itself in the container's namespace. After a failure, [`remove`] takes away what is left.
pub(in crate::network) fn create<T: Send>(
    path: &Path,
    owner: Option<&Path>,
    furnish: impl FnOnce(&Inside) -> Result<T> + Send,
) -> Result<T> {
    remove(path)?;
    on_a_thread(|| furnish(&enter_new(path, owner)?))
}

/// Lets `work` be done in the namespace that the file `path` holds, on a thread of its own.
pub(in crate::network) fn enter<T: Send>(
    path: &Path,
    work: impl FnOnce(&Inside) -> Result<T> + Send,
) -> Result<T> {
    if !is_held(path) {
        return Err(Error::conflict(format!(
            "the container's network namespace is not at {} any more, where somebody has let go of \
             it; start the container anew",
            path.display()
        )));
    }
    on_a_thread(|| {
        let host = Netlink::open(libc::NETLINK_ROUTE)?;
        let failed = |error| Error::io(format!("enter the namespace {}", path.display()), error);
        let namespace = File::open(path).map_err(failed)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| failed(errno.into()))?;
        work(&Inside { host, netlink: Netlink::open(libc::NETLINK_ROUTE)?, namespace })
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let helper = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io("start a thread", error))?;
        helper.join().map_err(|_| Error::system("the thread inside a netns has panicked"))?
    })
}

fn enter_new(path: &Path, owner: Option<&Path>) -> Result<Inside> {
    let host = Netlink::open(libc::NETLINK_ROUTE)?;
    match owner {
        None => unshare(CloneFlags::CLONE_NEWNET),
        Some(owner) => {
            // A thread can't leave the others' user namespace, so a process has made it there.
            let namespace = new_network(open(owner)?.as_fd())?;
            setns(namespace, CloneFlags::CLONE_NEWNET)
        }
    }
    .map_err(|errno| Error::io("make a network namespace", errno.into()))?;
    File::create(path).map_err(|error| Error::io(format!("make {}", path.display()), error))?;
    mount_bind(OWN, path).map_err(|errno| {
        Error::io(format!("hold a network namespace at {}", path.display()), errno.into())
    })?;
    let namespace = File::open(OWN).map_err(|error| Error::io(format!("open {OWN}"), error))?;
    Ok(Inside { host, netlink: Netlink::open(libc::NETLINK_ROUTE)?, namespace })
}

/// Whether the file `path` holds a namespace.
pub(in crate::network) fn is_held(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NAMESPACES)
}

/// Lets go of the namespace that the file `path` holds; it is no error if there is none. The
/// namespace ends when the last process in it does.
pub(in crate::network) fn remove(path: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("let go of {}", path.display()), error);
    loop {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
