//! Which namespaces a container gets, shares with others, or leaves as they are.

use crate::error::{Context, Error, Result};
use nix::sched::{CloneFlags, setns};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::fs::{Mode, OFlags};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A namespace that is there already.
#[derive(Debug)]
pub(crate) struct Existing {
    /// Its type.
    pub(crate) kind: CloneFlags,
    fd: OwnedFd,
    /// Whether this process is in it already.
    joined: Cell<bool>,
}

/// The namespaces of a container.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Those to be made.
    pub(crate) new: CloneFlags,
    /// Those to be joined.
    pub(crate) existing: Vec<Existing>,
}

/// CLONE_NEWTIME, which the flag type does not know.
pub(crate) const NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

impl Namespaces {
    /// Understands the bundle's list, and opens the namespaces to be joined.
    pub(crate) fn plan(list: &[LinuxNamespace]) -> Result<Namespaces> {
        let mut plan = Namespaces { new: CloneFlags::empty(), existing: Vec::new() };
        for namespace in list {
            let kind = flag(namespace.typ());
            if plan.all().contains(kind) {
                return Err(Error::invalid(format!(
                    "malformed spec file: duplicated ns {:?}",
                    namespace.typ().to_string()
                )));
            }
            match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
                None => plan.new |= kind,
                Some(path) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    let fd = rustix::fs::open(path, flags, Mode::empty())
                        .context(|| format!("open namespace {}", path.display()))?;
                    plan.existing.push(Existing { kind, fd, joined: Cell::new(false) });
                }
            }
        }
        Ok(plan)
    }

    /// The namespaces of the types `kinds` that the process behind `pidfd` is in.
    ///
    /// A pid namespace is entered by children, and a user namespace before those that it owns, so
    /// each has an entry of its own where that matters; the rest is entered in one step.
    pub(crate) fn of_process(
        pidfd: &OwnedFd,
        kinds: CloneFlags,
        user_first: bool,
    ) -> Result<Namespaces> {
        let mut parts = vec![CloneFlags::CLONE_NEWPID];
        if user_first {
            parts.extend([CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNS]);
        }
        let rest = parts.iter().fold(kinds, |rest, part| rest - *part);
        parts.push(rest);
        let mut existing = Vec::new();
        for kind in parts.into_iter().filter(|part| !part.is_empty() && kinds.contains(*part)) {
            let fd = pidfd.try_clone().context(|| "hold the container's init")?;
            existing.push(Existing { kind, fd, joined: Cell::new(false) });
        }
        Ok(Namespaces { new: CloneFlags::empty(), existing })
    }

    /// All types that the container does not share with the host by default.
    pub(crate) fn all(&self) -> CloneFlags {
        self.existing.iter().fold(self.new, |all, one| all | one.kind)
    }

    /// Joins what this process may join while it is not in the user namespace yet: namespaces that
    /// another user namespace owns are closed to it afterwards. The others follow later, and so do
    /// the mounts, before which there is more to do.
    pub(crate) fn join_before_user(&self) -> Result<()> {
        let later = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        for one in self.existing.iter().filter(|one| !one.kind.intersects(later)) {
            match one.join() {
                Err(error) if error.errno() == Some(libc::EPERM) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The namespace of type `kind` that is to be joined, if there is one.
    pub(crate) fn existing(&self, kind: CloneFlags) -> Option<&Existing> {
        self.existing.iter().find(|one| one.kind == kind)
    }
}

impl Existing {
    /// The number that the kernel knows it by.
    pub(crate) fn inode(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd);
        Ok(stat.context(|| format!("look at namespace {}", name(self.kind)))?.st_ino)
    }

    /// The name of its type, as the kernel has it.
    pub(crate) fn name(&self) -> &'static str {
        name(self.kind)
    }

    /// Joins it, unless that is done. For pid namespaces that counts for children only.
    pub(crate) fn join(&self) -> Result<()> {
        if !self.joined.get() {
            setns(&self.fd, self.kind).context(|| format!("setns {}", name(self.kind)))?;
            self.joined.set(true);
        }
        Ok(())
    }

    /// A descriptor that stands for it.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it is another namespace than the one at `path`.
    pub(crate) fn differs_from(&self, path: &std::path::Path) -> Result<bool> {
        let what = || format!("look at namespace {}", path.display());
        let other = rustix::fs::stat(path).context(what)?;
        let this = rustix::fs::fstat(&self.fd).context(what)?;
        Ok((this.st_dev, this.st_ino) != (other.st_dev, other.st_ino))
    }
}

/// The CLONE_NEW* flag of a type.
fn flag(typ: LinuxNamespaceType) -> CloneFlags {
    match typ {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Time => NEWTIME,
    }
}

/// The name of a type, for messages.
fn name(kind: CloneFlags) -> &'static str {
    match kind {
        CloneFlags::CLONE_NEWNS => "mnt",
        CloneFlags::CLONE_NEWCGROUP => "cgroup",
        CloneFlags::CLONE_NEWUTS => "uts",
        CloneFlags::CLONE_NEWIPC => "ipc",
        CloneFlags::CLONE_NEWUSER => "user",
        CloneFlags::CLONE_NEWPID => "pid",
        CloneFlags::CLONE_NEWNET => "net",
        NEWTIME => "time",
        _ => "several",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxNamespaceBuilder;

    fn namespace(typ: LinuxNamespaceType, path: Option<&str>) -> LinuxNamespace {
        let builder = LinuxNamespaceBuilder::default().typ(typ);
        match path {
            Some(path) => builder.path(path),
            None => builder,
        }
        .build()
        .unwrap()
    }

    #[test]
    fn each_type_comes_once() {
        let pid = || namespace(LinuxNamespaceType::Pid, None);
        let network = namespace(LinuxNamespaceType::Network, Some("/proc/self/ns/net"));
        let plan = Namespaces::plan(&[pid(), network]).unwrap();
        assert_eq!(plan.new, CloneFlags::CLONE_NEWPID);
        assert_eq!(plan.all(), CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET);
        assert!(plan.existing(CloneFlags::CLONE_NEWNET).is_some());
        assert!(Namespaces::plan(&[pid(), pid()]).is_err());
    }
}
