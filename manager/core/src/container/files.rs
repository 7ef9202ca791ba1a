//! The files that a container gets from its manager: host name, hosts and resolver settings. They
//! are written into the container's own directory and bind-mounted from there, so that no path of
//! the image is ever written through.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::host_config::HostConfig;
use super::link::Linked;
use super::modes::NetworkMode;
use super::record::Container;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::network::{NAME_SERVER as ADDRESS, Sandbox};

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

    /// Writes them for a start of `container` with this network stack and these others that
    /// it is told of; from inside, the host is reached at `host`. Blocks.
    pub(super) fn write(
        &self,
        container: &Container,
        sandbox: Option<&Sandbox>,
        linked: &[Linked],
        host: Option<Ipv4Addr>,
        config: &Config,
    ) -> Result<()> {
        let hosts = match container.host.network_mode {
            NetworkMode::Host => of_host("/etc/hosts"),
            _ => LOOPBACK_HOSTS.to_owned(),
        };
        let own: String = own_lines(container, sandbox).concat();
        let others: String = linked.iter().map(Linked::hosts_line).collect();
        let hosts = hosts + &extra_hosts(&container.host, host)? + &others + &own;
        write(&self.hostname, &format!("{}\n", container.config.hostname))?;
        write(&self.hosts, &hosts)?;
        write(&self.resolv_conf, &resolver(container, sandbox, config))
    }

    /// Brings them from the networks that a running container had to those that it has. What its
    /// user has written into them stays. Blocks.
    pub(super) fn follow(
        &self,
        container: &Container,
        before: &Sandbox,
        after: &Sandbox,
        config: &Config,
    ) -> Result<()> {
        let [old, new] = [before, after].map(|sandbox| own_lines(container, Some(sandbox)));
        let text = read(&self.hosts)?;
        let kept = text.split_inclusive('\n').filter(|line| !old.iter().any(|own| own == line));
        let hosts: String = kept.map(str::to_owned).chain(new).collect();
        if hosts != text {
            write(&self.hosts, &hosts)?;
        }
        let [old, new] = [before, after].map(|sandbox| resolver(container, Some(sandbox), config));
        if old != new && read(&self.resolv_conf)? == old {
            write(&self.resolv_conf, &new)?;
        }
        Ok(())
    }
}

/// Who is asked for names that no container has.
pub(super) fn name_servers(container: &Container, config: &Config) -> Vec<IpAddr> {
    // The process that asks them is the host's, and reaches its loopback.
    servers(&of_host("/etc/resolv.conf"), &container.host, config, Standpoint::Host)
}

fn of_host(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::io(format!("read {}", path.display()), error))
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

/// The lines of the hosts file that say where the container itself is.
fn own_lines(container: &Container, sandbox: Option<&Sandbox>) -> Vec<String> {
    let name = full_name(container);
    let endpoints = sandbox.into_iter().flat_map(|sandbox| &sandbox.endpoints);
    let interfaces = endpoints.filter_map(|endpoint| endpoint.interface.as_ref());
    let addresses = interfaces.flat_map(|interface| interface.addresses());
    addresses.map(|address| format!("{address}\t{name}\n")).collect()
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

/// From where names are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standpoint {
    /// From the host's network.
    Host,
    /// From one of the container's own.
    Container,
}

/// The container's resolver settings.
fn resolver(container: &Container, sandbox: Option<&Sandbox>, config: &Config) -> String {
    let of_host = of_host("/etc/resolv.conf");
    let answered = |sandbox: &Sandbox| sandbox.endpoints.iter().any(|end| !end.names.is_empty());
    if sandbox.is_some_and(answered) {
        return settings(&of_host, &container.host, config, &[ADDRESS.into()], Some("ndots:0"));
    }
    let standpoint = match container.host.network_mode {
        NetworkMode::Host => Standpoint::Host,
        _ => Standpoint::Container,
    };
    let servers = servers(&of_host, &container.host, config, standpoint);
    settings(&of_host, &container.host, config, &servers, None)
}

/// The text of a resolver's settings: the container's, else the manager's, else the host's. The last
/// option is there unless it is set.
fn settings(
    of_host: &str,
    host: &HostConfig,
    config: &Config,
    servers: &[IpAddr],
    last_option: Option<&str>,
) -> String {
    let first = |own: &[String], default: &[String], key: &str| -> Vec<String> {
        [own, default]
            .into_iter()
            .find(|list| !list.is_empty())
            .map_or_else(|| last_setting(of_host, key), <[String]>::to_vec)
    };
    let search = first(&host.dns_search, &config.dns_search, "search");
    let mut options = first(&host.dns_options, &config.dns_options, "options");
    if let Some(last) = last_option {
        let key = last.split(':').next().unwrap_or_default();
        if !options.iter().any(|option| option.split(':').next() == Some(key)) {
            options.push(last.to_owned());
        }
    }
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

/// Who is asked for names: who the container's user names, else the manager's, else the host.
fn servers(
    of_host: &str,
    host: &HostConfig,
    config: &Config,
    standpoint: Standpoint,
) -> Vec<IpAddr> {
    let named = if host.dns.is_empty() { &config.dns } else { &host.dns };
    if named.is_empty() { host_servers(of_host, standpoint) } else { named.clone() }
}

/// The host's name servers; from a network of the container's own, those on the host's loopback
/// can't be reached.
fn host_servers(of_host: &str, standpoint: Standpoint) -> Vec<IpAddr> {
    let servers: Vec<IpAddr> = of_host
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter(|server: &IpAddr| standpoint == Standpoint::Host || !server.is_loopback())
        .collect();
    match (servers.is_empty(), standpoint) {
        (true, Standpoint::Container) => PUBLIC_DNS.to_vec(),
        _ => servers,
    }
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

    fn text(of_host: &str, host: &HostConfig, standpoint: Standpoint) -> String {
        let servers = servers(of_host, host, &config(), standpoint);
        settings(of_host, host, &config(), &servers, None)
    }

    #[test]
    fn the_hosts_resolver_is_taken_over_but_for_its_loopback() {
        let host = HostConfig::default();
        let plain = text(HOST, &host, Standpoint::Container);
        assert_eq!(plain, "nameserver 10.0.0.2\nsearch one two\noptions ndots:2\n");
        assert!(text(HOST, &host, Standpoint::Host).contains("127.0.0.53"));
        let public = text("nameserver ::1\n", &host, Standpoint::Container);
        assert_eq!(public, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        assert_eq!(text("", &host, Standpoint::Host), "");
    }

    #[test]
    fn what_the_user_says_counts_more() {
        let host = HostConfig {
            dns: vec!["9.9.9.9".parse().unwrap()],
            dns_search: vec![".".to_owned()],
            ..HostConfig::default()
        };
        let own = text(HOST, &host, Standpoint::Container);
        assert_eq!(own, "nameserver 9.9.9.9\noptions ndots:2\n");
    }

    #[test]
    fn where_containers_have_names_their_own_server_is_asked() {
        let ours = |options: &[&str]| {
            let dns_options = options.iter().map(|option| (*option).to_owned()).collect();
            let host = HostConfig { dns_options, ..HostConfig::default() };
            settings("", &host, &config(), &[ADDRESS.into()], Some("ndots:0"))
        };
        assert_eq!(ours(&[]), "nameserver 127.0.0.11\noptions ndots:0\n");
        assert_eq!(ours(&["rotate"]), "nameserver 127.0.0.11\noptions rotate ndots:0\n");
        assert_eq!(ours(&["ndots:5"]), "nameserver 127.0.0.11\noptions ndots:5\n");
    }

    #[test]
    fn hosts_have_what_their_user_adds() {
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
