//! The files that a container gets from its manager: host name, hosts and resolver settings. They
//! are written into the container's own directory and bind-mounted from there, so that no path of
//! the image is ever written through.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::host_config::HostConfig;
use super::modes::NetworkMode;
use super::record::Container;
use crate::config::Config;
use crate::error::{Error, Result};

/// Name servers where the host's can't be reached from a network of its own.
const PUBLIC_DNS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// What every hosts file begins with.
const LOOPBACK_HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// Where a container's files are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) hostname: PathBuf,
    pub(crate) hosts: PathBuf,
    pub(crate) resolv_conf: PathBuf,
}

impl Files {
    /// Those in the container's `directory`.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            hostname: directory.join("hostname"),
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
        }
    }

    /// Each with its path inside.
    pub(crate) fn targets(&self) -> [(&'static str, &Path); 3] {
        [
            ("/etc/resolv.conf", &self.resolv_conf),
            ("/etc/hostname", &self.hostname),
            ("/etc/hosts", &self.hosts),
        ]
    }

    /// Writes them for a start of `container` with `address`. Blocks.
    pub(super) fn write(
        &self,
        container: &Container,
        address: Option<Ipv4Addr>,
        gateway: Option<Ipv4Addr>,
        config: &Config,
    ) -> Result<()> {
        let of_host = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let name = full_name(container);
        let hosts = match container.host.network_mode {
            NetworkMode::Host => of_host("/etc/hosts"),
            _ => hosts(&name, address),
        };
        let hosts = hosts + &extra_hosts(&container.host, gateway)?;
        let resolver = resolver(&of_host("/etc/resolv.conf"), &container.host, config);
        write(&self.hostname, &format!("{}\n", container.config.hostname))?;
        write(&self.hosts, &hosts)?;
        write(&self.resolv_conf, &resolver)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| Error::io(format!("write {}", path.display()), error))
}

/// The host name, with its domain first if there is one.
fn full_name(container: &Container) -> String {
    let config = &container.config;
    if config.domainname.is_empty() {
        config.hostname.clone()
    } else {
        format!("{0}.{1} {0}", config.hostname, config.domainname)
    }
}

fn hosts(name: &str, address: Option<Ipv4Addr>) -> String {
    match address {
        Some(address) => format!("{LOOPBACK_HOSTS}{address}\t{name}\n"),
        None => LOOPBACK_HOSTS.to_owned(),
    }
}

fn extra_hosts(host: &HostConfig, gateway: Option<Ipv4Addr>) -> Result<String> {
    let mut lines = String::new();
    for extra in &host.extra_hosts {
        let (name, address) = extra.split_once([':', '=']).unwrap_or((extra, ""));
        // An IPv6 address may stand in brackets.
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = match (bare, gateway) {
            ("host-gateway", Some(gateway)) => gateway.to_string(),
            ("host-gateway", None) => {
                return Err(Error::invalid(
                    "unable to derive the IP value for host-gateway on this network",
                ));
            }
            (text, _) => text.to_owned(),
        };
        lines.push_str(&format!("{address}\t{name}\n"));
    }
    Ok(lines)
}

/// The resolver's settings: the container's, else the manager's, else the host's.
fn resolver(of_host: &str, host: &HostConfig, config: &Config) -> String {
    let first = |own: &[String], default: &[String], key: &str| -> Vec<String> {
        [own, default]
            .into_iter()
            .find(|list| !list.is_empty())
            .map_or_else(|| last_setting(of_host, key), <[String]>::to_vec)
    };
    let servers = if host.dns.is_empty() { &config.dns } else { &host.dns };
    let servers = if servers.is_empty() {
        host_servers(of_host, host.network_mode == NetworkMode::Host)
    } else {
        servers.clone()
    };
    let search = first(&host.dns_search, &config.dns_search, "search");
    let options = first(&host.dns_options, &config.dns_options, "options");
    let mut text = String::new();
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    // A lone dot is how users ask for no search domain at all.
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// The host's name servers; from a network of the container's own, those on the host's loopback
/// can't be reached.
fn host_servers(of_host: &str, on_host_network: bool) -> Vec<IpAddr> {
    let servers: Vec<IpAddr> = of_host
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter(|server: &IpAddr| on_host_network || !server.is_loopback())
        .collect();
    if servers.is_empty() && !on_host_network { PUBLIC_DNS.to_vec() } else { servers }
}

/// The words of the last line with `key`, which is the one that counts.
fn last_setting(text: &str, key: &str) -> Vec<String> {
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().as_deref() == Some(key)).then(|| words.collect())
    };
    text.lines().rev().find_map(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n\
                        search one two\noptions ndots:2\n";

    fn config() -> Config {
        Config::with_roots(Path::new("/data"), Path::new("/run"))
    }

    #[test]
    fn the_hosts_resolver_is_taken_over_but_for_its_loopback() {
        let text = resolver(HOST, &HostConfig::default(), &config());
        assert_eq!(text, "nameserver 10.0.0.2\nsearch one two\noptions ndots:2\n");
        let on_host = HostConfig { network_mode: NetworkMode::Host, ..HostConfig::default() };
        assert!(resolver(HOST, &on_host, &config()).contains("127.0.0.53"));
        let public = resolver("nameserver ::1\n", &HostConfig::default(), &config());
        assert_eq!(public, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn what_the_user_says_counts_more() {
        let host = HostConfig {
            dns: vec!["9.9.9.9".parse().unwrap()],
            dns_search: vec![".".to_owned()],
            ..HostConfig::default()
        };
        assert_eq!(resolver(HOST, &host, &config()), "nameserver 9.9.9.9\noptions ndots:2\n");
    }

    #[test]
    fn hosts_have_the_container_and_what_its_user_adds() {
        let text = hosts("box", Some(Ipv4Addr::new(172, 17, 0, 2)));
        assert!(text.ends_with("172.17.0.2\tbox\n"));
        let host = HostConfig {
            extra_hosts: vec!["db:10.0.0.9".into(), "up:host-gateway".into(), "six=[::2]".into()],
            ..HostConfig::default()
        };
        let gateway = Some(Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(
            extra_hosts(&host, gateway).unwrap(),
            "10.0.0.9\tdb\n172.17.0.1\tup\n::2\tsix\n"
        );
        assert!(extra_hosts(&host, None).is_err());
    }
}
