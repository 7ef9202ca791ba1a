//! Which namespaces a container gets, and which it joins.

use std::path::Path;

use super::document::{Namespace, NamespaceKind};
use crate::container::modes::{CgroupnsMode, IpcMode, PidMode, UtsMode};

/// Where a container's namespaces come from, with names of other containers already turned into
/// what is joined of them.
#[derive(Debug, Clone)]
pub(crate) struct Sources<'a> {
    /// The file that holds its user namespace; `None`: it shares the host's.
    pub(crate) users: Option<&'a Path>,
    pub(crate) network: NetworkSource<'a>,
    pub(crate) pid: &'a PidMode,
    pub(crate) pid_of: Option<u32>,
    pub(crate) ipc: &'a IpcMode,
    pub(crate) ipc_of: Option<u32>,
    pub(crate) uts: UtsMode,
    pub(crate) cgroup: CgroupnsMode,
}

/// Where a container's network stack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkSource<'a> {
    /// It is held here.
    Held(&'a Path),
    /// It is the host's.
    Host,
}

/// The namespaces to make and to join; one that isn't listed is the host's.
pub(crate) fn list(sources: &Sources<'_>) -> Vec<Namespace> {
    let make = |kind| Namespace { kind, path: None };
    let join = |kind, pid: Option<u32>, file: &str| Namespace {
        kind,
        path: pid.map(|pid| format!("/proc/{pid}/ns/{file}")),
    };
    let mut namespaces = vec![make(NamespaceKind::Mount)];
    let held =
        |kind, path: &Path| Namespace { kind, path: Some(path.to_string_lossy().into_owned()) };
    namespaces.extend(sources.users.map(|path| held(NamespaceKind::User, path)));
    match sources.network {
        NetworkSource::Held(path) => namespaces.push(held(NamespaceKind::Network, path)),
        NetworkSource::Host => {}
    }
    match sources.uts {
        UtsMode::Private => namespaces.push(make(NamespaceKind::Uts)),
        UtsMode::Host => {}
    }
    match sources.pid {
        PidMode::Private => namespaces.push(make(NamespaceKind::Pid)),
        PidMode::Container(_) => {
            namespaces.push(join(NamespaceKind::Pid, sources.pid_of, "pid"));
        }
        PidMode::Host => {}
    }
    match sources.ipc {
        IpcMode::Default | IpcMode::None | IpcMode::Private | IpcMode::Shareable => {
            namespaces.push(make(NamespaceKind::Ipc));
        }
        IpcMode::Container(_) => namespaces.push(join(NamespaceKind::Ipc, sources.ipc_of, "ipc")),
        IpcMode::Host => {}
    }
    match sources.cgroup {
        CgroupnsMode::Private => namespaces.push(make(NamespaceKind::Cgroup)),
        CgroupnsMode::Default | CgroupnsMode::Host => {}
    }
    namespaces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources<'a>() -> Sources<'a> {
        Sources {
            users: None,
            network: NetworkSource::Held(Path::new("/run/netns/x")),
            pid: &PidMode::Private,
            pid_of: None,
            ipc: &IpcMode::Private,
            ipc_of: None,
            uts: UtsMode::Private,
            cgroup: CgroupnsMode::Private,
        }
    }

    #[test]
    fn by_default_all_are_its_own() {
        let namespaces = list(&sources());
        assert_eq!(namespaces.len(), 6);
        let paths: Vec<_> = namespaces.iter().filter_map(|ns| ns.path.as_deref()).collect();
        assert_eq!(paths, ["/run/netns/x"]);
    }

    #[test]
    fn a_user_namespace_is_joined_before_what_it_owns() {
        let users = Some(Path::new("/run/users"));
        let namespaces = list(&Sources { users, ..sources() });
        assert_eq!(namespaces[1].kind, NamespaceKind::User);
        assert_eq!(namespaces[1].path.as_deref(), Some("/run/users"));
    }

    #[test]
    fn the_hosts_are_left_out_and_others_are_joined() {
        let other = PidMode::Container("web".to_owned());
        let namespaces = list(&Sources {
            network: NetworkSource::Host,
            pid: &other,
            pid_of: Some(7),
            ipc: &IpcMode::Host,
            uts: UtsMode::Host,
            cgroup: CgroupnsMode::Host,
            ..sources()
        });
        let pid = Namespace { kind: NamespaceKind::Pid, path: Some("/proc/7/ns/pid".to_owned()) };
        assert_eq!(namespaces, [Namespace { kind: NamespaceKind::Mount, path: None }, pid]);
    }
}
