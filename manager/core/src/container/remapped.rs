//! Containers whose users are others on the host: which they are, what they can't have, and with whom
//! they share namespaces.

use std::path::PathBuf;

use super::Containers;
use super::bundle::Bundle;
use super::host_config::HostConfig;
use super::modes::{IpcMode, NetworkMode, PidMode, UsernsMode};
use super::record::Container;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::{IdMap, namespace};

/// Who a container's users are on the host.
#[derive(Debug, Clone)]
pub(super) struct Users {
    pub(super) id_map: IdMap,
    /// The user namespace of another container that it shares; `None`: it gets one of its own.
    pub(super) joined: Option<PathBuf>,
}

/// Who the users of containers with these settings are on the host; `None`: the host's own.
pub(super) fn id_map_for<'a>(config: &'a Config, host: &HostConfig) -> Option<&'a IdMap> {
    match host.userns_mode {
        UsernsMode::Host => None,
        UsernsMode::Default => config.id_map.as_ref(),
    }
}

/// Refuses what a container can't have whose users are others on the host, in docker's words where it
/// has them.
pub(super) fn check(config: &Config, host: &HostConfig) -> Result<()> {
    if id_map_for(config, host).is_none() {
        return Ok(());
    }
    if host.privileged {
        return Err(Error::invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in \
             the host namespace when running privileged mode",
        ));
    }
    if host.network_mode == NetworkMode::Host {
        return Err(Error::invalid(
            "cannot share the host's network namespace when user namespaces are enabled",
        ));
    }
    if host.pid_mode == PidMode::Host {
        return Err(Error::invalid(
            "cannot share the host PID namespace when user namespaces are enabled",
        ));
    }
    if host.ipc_mode == IpcMode::Host {
        // Docker leaves it to the kernel, which doesn't let it have /dev/mqueue.
        return Err(Error::invalid(
            "cannot share the host IPC namespace when user namespaces are enabled",
        ));
    }
    Ok(())
}

impl Containers {
    /// Who the users of the container are when it starts now: those whose namespaces it shares have
    /// the same.
    ///
    /// # Errors
    /// Conflict if these have others.
    pub(super) fn users_for(&self, container: &Container) -> Result<Option<Users>> {
        let host = &container.host;
        // It may have been made when users weren't mapped.
        check(&self.config, host)?;
        let Some(id_map) = id_map_for(&self.config, host) else { return Ok(None) };
        let mut users = Users { id_map: id_map.clone(), joined: None };
        for (name, what) in joined(host) {
            let bundle = Bundle::of(&self.config, &self.find(name)?.id);
            let Some(id_map) = bundle.id_map()? else {
                return Err(Error::conflict(format!(
                    "cannot join {what} of container {name}, whose users are the host's: run both \
                     containers with --userns=host, or neither"
                )));
            };
            match &users.joined {
                Some(other) if !namespace::is_same(other, &bundle.users())? => {
                    return Err(Error::conflict(format!(
                        "cannot join {what} of container {name} and others of another container, \
                         which has a user namespace of its own"
                    )));
                }
                _ => users = Users { id_map, joined: Some(bundle.users()) },
            }
        }
        Ok(Some(users))
    }
}

/// The containers whose namespaces a container joins, and which ones.
fn joined(host: &HostConfig) -> impl Iterator<Item = (&str, &'static str)> {
    let network = match &host.network_mode {
        NetworkMode::Container(name) => Some((name.as_str(), "network")),
        _ => None,
    };
    let pid = match &host.pid_mode {
        PidMode::Container(name) => Some((name.as_str(), "PID namespace")),
        _ => None,
    };
    let ipc = match &host.ipc_mode {
        IpcMode::Container(name) => Some((name.as_str(), "IPC")),
        _ => None,
    };
    [network, pid, ipc].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_the_hosts_takes_the_hosts_users() {
        let id_map = Some(IdMap::new(&[(100_000, 65_536)], &[(100_000, 65_536)]).unwrap());
        let plain = Config::with_roots(Path::new("/d"), Path::new("/r"));
        let remapped = Config { id_map, ..plain.clone() };
        let default = HostConfig::default();
        let settings = [
            HostConfig { privileged: true, ..default.clone() },
            HostConfig { network_mode: NetworkMode::Host, ..default.clone() },
            HostConfig { pid_mode: PidMode::Host, ..default.clone() },
            HostConfig { ipc_mode: IpcMode::Host, ..default.clone() },
        ];
        for host in settings {
            let refused = check(&remapped, &host).unwrap_err().to_string();
            assert!(refused.contains("user namespaces"), "{refused}");
            check(&plain, &host).unwrap();
            check(&remapped, &HostConfig { userns_mode: UsernsMode::Host, ..host }).unwrap();
        }
        check(&remapped, &default).unwrap();
    }
}
