//! The confinements that the kernel offers to containers.

use std::fs;
use std::path::Path;

/// Which of the kernel's confinements are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Security {
    /// System call filters.
    pub seccomp: bool,
    /// AppArmor is on.
    pub apparmor: bool,
    /// SELinux is on.
    pub selinux: bool,
    /// Containers can have a cgroup namespace.
    pub cgroup_namespaces: bool,
}

impl Security {
    /// Reads the facts.
    pub fn read() -> Self {
        let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        Self {
            seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
            apparmor: apparmor.is_ok_and(|enabled| enabled.trim() == "Y"),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            cgroup_namespaces: Path::new("/proc/self/ns/cgroup").exists(),
        }
    }
}
