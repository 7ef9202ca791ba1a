//! Links on the default bridge, where there are no names: a container is told where others are by
//! its hosts file and its environment, as it starts.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Containers;
use super::files::Files;
use super::host_config::HostConfig;
use super::modes::NetworkMode;
use super::ports::{Port, Protocol};
use super::record::Container;
use super::work::blocking;
use crate::error::{Error, Kind, Result};
use crate::network::Sandbox;

/// Variables that say nothing about what a container serves.
const PRIVATE: [&str; 2] = ["HOME", "PATH"];

/// Another container, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The other's name or, of a container that is made, its id.
    pub target: String,
    /// What it is called.
    pub alias: String,
}

/// A link of a container that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linked {
    alias: String,
    name: String,
    hostname: String,
    /// At least one.
    addresses: Vec<IpAddr>,
    ports: Vec<Port>,
    env: Vec<String>,
}

impl FromStr for Link {
    type Err = Error;

    /// Reads `name`, `name:alias` or, as `inspect` shows it, `/name:/container/alias`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("bad format for links: {text}"));
        let mut parts = text.split(':');
        let target = parts.next().filter(|target| !target.is_empty()).ok_or_else(wrong)?;
        let alias = parts.next().unwrap_or(target);
        if parts.next().is_some() {
            return Err(wrong());
        }
        let alias = if target.starts_with('/') {
            alias.rsplit('/').next().unwrap_or_default()
        } else {
            alias
        };
        if alias.is_empty() {
            return Err(wrong());
        }
        Ok(Self { target: target.trim_start_matches('/').to_owned(), alias: alias.to_owned() })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.alias)
    }
}

impl Containers {
    /// Turns names in links into ids, which outlive a renaming. Where there are names, a link is one
    /// of them.
    pub(super) fn pin_links(&self, host: &mut HostConfig) -> Result<()> {
        match &host.network_mode {
            NetworkMode::Default | NetworkMode::Bridge => {}
            NetworkMode::Named(network) => {
                let found = self.networks.find(network);
                let name = found.map_or_else(|_| network.clone(), |found| found.name);
                let membership = host.networks.entry(name).or_default();
                for link in host.links.drain(..).map(|link| link.to_string()) {
                    if !membership.links.contains(&link) {
                        membership.links.push(link);
                    }
                }
            }
            NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {
                if !host.links.is_empty() {
                    return Err(Error::invalid(format!(
                        "conflicting options: {} type networking can't be used with links. This \
                         would result in undefined behavior",
                        host.network_mode
                    )));
                }
            }
        }
        for link in &mut host.links {
            let other = self.find(&link.target).map_err(|error| match error.kind() {
                Kind::NotFound => {
                    Error::invalid(format!("could not get container for {}: {error}", link.target))
                }
                _ => error,
            })?;
            if other.host.network_mode == NetworkMode::Host {
                return Err(Error::conflict(
                    "conflicting options: host type networking can't be used with links. This would \
                     result in undefined behavior",
                ));
            }
            other.id.as_str().clone_into(&mut link.target);
        }
        Ok(())
    }

    /// Those that a container is linked to, which have to run.
    pub(super) fn linked(&self, container: &Container) -> Result<Vec<Linked>> {
        container.host.links.iter().map(|link| self.linked_one(container, link)).collect()
    }

    /// Tells those that run and are linked to a container where it is from now on.
    pub(super) async fn tell_linked(&self, container: &Container, sandbox: &Sandbox) -> Result<()> {
        let addresses = on_bridge(sandbox);
        if addresses.is_empty() {
            return Ok(());
        }
        let others = self.index.linking(&container.id).into_iter().map(|entry| entry.container());
        let others = others.filter(|other| other.state.is_running());
        let told: Vec<_> = others
            .flat_map(|other| {
                let links = other.host.links.iter();
                let here = links.filter(|link| link.target == container.id.as_str());
                let files = Files::in_directory(&other.directory);
                here.map(|link| (files.clone(), link.alias.clone())).collect::<Vec<_>>()
            })
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        blocking(move || {
            told.iter().try_for_each(|(files, alias)| files.move_linked(alias, &addresses))
        })
        .await
    }

    fn linked_one(&self, container: &Container, link: &Link) -> Result<Linked> {
        let other = self.find(&link.target)?;
        let sandbox = other.network.as_ref().filter(|_| other.state.is_running());
        let Some(sandbox) = sandbox else {
            return Err(Error::system(format!(
                "Cannot link to a non running container: /{} AS /{}/{}",
                other.name, container.name, link.alias
            )));
        };
        let addresses = on_bridge(sandbox);
        if addresses.is_empty() {
            return Err(Error::system(format!(
                "container {} not attached to default bridge network",
                other.id
            )));
        }
        Ok(Linked {
            alias: link.alias.clone(),
            name: other.name.clone(),
            hostname: other.config.hostname.clone(),
            addresses,
            ports: other.config.exposed_ports.iter().copied().collect(),
            env: other.config.env.clone(),
        })
    }
}

/// Where a container is on the default bridge.
fn on_bridge(sandbox: &Sandbox) -> Vec<IpAddr> {
    let endpoint = sandbox.endpoints.iter().find(|endpoint| endpoint.network == "bridge");
    let interface = endpoint.and_then(|endpoint| endpoint.interface.as_ref());
    interface.map(|interface| interface.addresses().collect()).unwrap_or_default()
}

impl Linked {
    /// What its lines in the hosts file say.
    pub(super) fn hosts_lines(&self) -> Vec<(IpAddr, String)> {
        let mut names = vec![self.alias.as_str(), &self.hostname];
        if self.alias != self.name {
            names.push(&self.name);
        }
        self.addresses.iter().map(|address| (*address, names.join(" "))).collect()
    }

    /// What the environment of the container `parent` says of it.
    pub(super) fn variables(&self, parent: &str) -> Vec<String> {
        let alias = self.alias.to_uppercase().replace('-', "_");
        let mut ports = self.ports.clone();
        ports.sort_by_key(|port| (port.protocol != Protocol::Tcp, port.protocol, port.number));
        let Some(address) = self.addresses.first() else { return Vec::new() };
        let place = |port: &Port| format!("{}://{address}:{}", port.protocol, port.number);
        let mut lines: Vec<String> =
            ports.first().map(|port| format!("{alias}_PORT={}", place(port))).into_iter().collect();
        for port in &ports {
            let Port { number, protocol } = port;
            let key = format!("{alias}_PORT_{number}_{}", protocol.to_string().to_uppercase());
            lines.push(format!("{key}={}", place(port)));
            lines.push(format!("{key}_ADDR={address}"));
            lines.push(format!("{key}_PORT={number}"));
            lines.push(format!("{key}_PROTO={protocol}"));
        }
        lines.push(format!("{alias}_NAME=/{parent}/{}", self.alias));
        let env = self.env.iter().filter_map(|line| line.split_once('='));
        let public = env.filter(|(name, _)| !PRIVATE.contains(name));
        lines.extend(public.map(|(name, value)| format!("{alias}_ENV_{name}={value}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_all_their_forms() {
        let read = |text: &str| text.parse::<Link>().map(|link| link.to_string());
        assert_eq!(read("db").unwrap(), "db:db");
        assert_eq!(read("db:store").unwrap(), "db:store");
        assert_eq!(read("/db:/web/store").unwrap(), "db:store");
        for text in ["", ":x", "a:", "a:b:c"] {
            assert_eq!(
                read(text).unwrap_err().to_string(),
                format!("bad format for links: {text}")
            );
        }
    }

    #[test]
    fn the_environment_says_where_the_other_is() {
        let linked = Linked {
            alias: "my-db".to_owned(),
            name: "db".to_owned(),
            hostname: "box".to_owned(),
            addresses: vec![[172, 17, 0, 2].into()],
            ports: vec!["53/udp".parse().unwrap(), "80/tcp".parse().unwrap()],
            env: vec!["PATH=/bin".to_owned(), "A=b".to_owned()],
        };
        let place = IpAddr::from([172, 17, 0, 2]);
        assert_eq!(linked.hosts_lines(), [(place, "my-db box db".to_owned())]);
        assert_eq!(
            linked.variables("web"),
            [
                "MY_DB_PORT=tcp://172.17.0.2:80",
                "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
                "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_80_TCP_PORT=80",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
                "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_A=b",
            ]
        );
    }
}
