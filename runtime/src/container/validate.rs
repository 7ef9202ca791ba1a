//! What a bundle asks for that cannot be, found before anything is made.

use super::hooks;
use crate::caller::is_root;
use crate::error::{Error, Result};
use crate::init::namespaces::{NEWTIME, Namespaces};
use nix::sched::CloneFlags;
use oci_spec::runtime::{Linux, LinuxIdMapping, Spec};
use std::path::Path;

/// Refuses a bundle whose parts contradict each other, or that would change the host.
pub(crate) fn validate(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    if !is_root() {
        super::rootless::check(spec, linux, namespaces)?;
    }
    check_names(spec, namespaces)?;
    check_mounts(linux, namespaces)?;
    check_user_namespace(linux, namespaces)?;
    check_time(linux, namespaces)?;
    check_net_devices(linux, namespaces)?;
    check_unsupported(linux)?;
    spec.hooks().as_ref().map_or(Ok(()), hooks::check)?;
    for sysctl in linux.sysctl().iter().flatten().map(|(name, _)| name) {
        check_sysctl(sysctl, namespaces)?;
    }
    Ok(())
}

fn check_names(spec: &Spec, namespaces: &Namespaces) -> Result<()> {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if namespaces.all().contains(CloneFlags::CLONE_NEWUTS) {
        return Ok(());
    }
    if named(spec.hostname()) {
        return Err(Error::invalid("unable to set hostname without a private UTS namespace"));
    }
    if named(spec.domainname()) {
        return Err(Error::invalid("unable to set domainname without a private UTS namespace"));
    }
    Ok(())
}

fn check_mounts(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let any = |paths: &Option<Vec<String>>| paths.as_ref().is_some_and(|paths| !paths.is_empty());
    let own = namespaces.all().contains(CloneFlags::CLONE_NEWNS);
    if !own && (any(linux.masked_paths()) || any(linux.readonly_paths())) {
        return Err(Error::invalid(
            "unable to restrict sys entries without a private MNT namespace",
        ));
    }
    Ok(())
}

fn check_user_namespace(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let mapped = linux.uid_mappings().is_some() || linux.gid_mappings().is_some();
    let new = namespaces.new.contains(CloneFlags::CLONE_NEWUSER);
    let joined = namespaces.existing(CloneFlags::CLONE_NEWUSER).is_some();
    let has_root = |map: &Option<Vec<LinuxIdMapping>>| {
        map.iter().flatten().any(|range| range.container_id() == 0 && range.size() > 0)
    };
    let refusal = match (new, joined, mapped) {
        (true, _, true) if !has_root(linux.uid_mappings()) => {
            "user namespaces enabled, but no mapping found for uid 0"
        }
        (true, _, true) if !has_root(linux.gid_mappings()) => {
            "user namespaces enabled, but no mapping found for gid 0"
        }
        (true, _, false) => {
            "user namespaces enabled, but no namespace path to join nor mappings to apply specified"
        }
        (false, false, true) => {
            "user namespace mappings specified, but user namespace isn't enabled in the config"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(refusal))
}

fn check_time(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let offsets = linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty());
    if !offsets || namespaces.new.contains(NEWTIME) {
        return Ok(());
    }
    Err(Error::invalid(match namespaces.existing(NEWTIME) {
        Some(_) => {
            "time namespace enabled, but both namespace path and time offsets specified -- you may \
             only provide one"
        }
        None => "time namespace offsets specified, but time namespace isn't enabled in the config",
    }))
}

fn check_net_devices(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    if linux.net_devices().as_ref().is_none_or(|devices| devices.is_empty()) {
        return Ok(());
    }
    if !namespaces.all().contains(CloneFlags::CLONE_NEWNET) {
        return Err(Error::invalid("unable to move network devices without a NET namespace"));
    }
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Error::invalid("network devices are not supported for rootless containers")),
    }
}

/// What this program does not do is refused, never passed over.
fn check_unsupported(linux: &Linux) -> Result<()> {
    if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())
        && !crate::process::lsm::has_selinux()
    {
        return Err(Error::unsupported(
            "mountLabel is specified in config, but selinux is disabled or not supported",
        ));
    }
    Ok(())
}

/// System V and POSIX message queue settings, which belong to the IPC namespace.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// A setting that no namespace of the container has for itself would be changed for the host.
fn check_sysctl(name: &str, namespaces: &Namespaces) -> Result<()> {
    let path = crate::rootfs::procfs::sysctl_path(name);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::invalid(format!("sysctl {name:?} is not the name of a setting")));
    }
    let path = path.strip_prefix("sys/").unwrap_or(&path);
    let dotted = path.replace('/', ".");
    let own = namespaces.all();
    if IPC_SYSCTLS.contains(&dotted.as_str()) || path.starts_with("fs/mqueue/") {
        return match own.contains(CloneFlags::CLONE_NEWIPC) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "sysctl {name:?} is not allowed in the hosts ipc namespace"
            ))),
        };
    }
    if path.starts_with("net/") {
        return match has_own_network(namespaces)? {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "sysctl {name:?} not allowed in host network namespace"
            ))),
        };
    }
    if own.contains(CloneFlags::CLONE_NEWUTS) {
        match dotted.as_str() {
            "kernel.domainname" => return Ok(()),
            "kernel.hostname" => {
                return Err(Error::invalid(format!(
                    "sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field"
                )));
            }
            _ => {}
        }
    }
    if path.starts_with("user/") && own.contains(CloneFlags::CLONE_NEWUSER) {
        return Ok(());
    }
    Err(Error::invalid(format!("sysctl {name:?} is not in a separate kernel namespace")))
}

/// Whether the container's network namespace is another than this process's.
fn has_own_network(namespaces: &Namespaces) -> Result<bool> {
    if namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        return Ok(true);
    }
    match namespaces.existing(CloneFlags::CLONE_NEWNET) {
        None => Ok(false),
        Some(joined) => joined.differs_from(Path::new("/proc/self/ns/net")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType};

    fn namespaces(list: &[(LinuxNamespaceType, Option<&str>)]) -> Namespaces {
        let list: Vec<_> = list
            .iter()
            .map(|(typ, path)| {
                let builder = LinuxNamespaceBuilder::default().typ(*typ);
                match path {
                    Some(path) => builder.path(*path),
                    None => builder,
                }
                .build()
                .unwrap()
            })
            .collect();
        Namespaces::plan(&list).unwrap()
    }

    #[test]
    fn a_sysctl_of_the_host_is_refused() {
        use LinuxNamespaceType::{Ipc, Network, User, Uts};
        let own = namespaces(&[(Network, None), (Ipc, None), (Uts, None), (User, None)]);
        let host = namespaces(&[(Network, Some("/proc/self/ns/net"))]);
        for good in [
            "net.ipv4.ip_forward",
            "net/core/x",
            "kernel.sem",
            "fs.mqueue.msg_max",
            "kernel.domainname",
            "user.max_user_namespaces",
        ] {
            assert!(check_sysctl(good, &own).is_ok(), "{good}");
            assert!(check_sysctl(good, &host).is_err(), "{good}");
        }
        for up in ["net/../kernel/panic", "net.//.kernel.panic", "net/./x", "net//x", "net."] {
            assert!(check_sysctl(up, &own).is_err(), "{up}");
        }
        for bad in ["kernel.panic", "vm.swappiness", "kernel.hostname", "fs.file-max", ""] {
            assert!(check_sysctl(bad, &own).is_err(), "{bad}");
        }
    }
}
