//! The text of a container's resolver settings, and who is asked for names.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::of_host;
use crate::config::Config;
use crate::container::host_config::HostConfig;
use crate::container::modes::NetworkMode;
use crate::container::record::Container;
use crate::network::{Forwarding, NAME_SERVER, Sandbox, Standpoint};

/// The host's settings.
const HOSTS: &str = "/etc/resolv.conf";
/// The servers that the host's stub asks, where that is systemd's.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";
/// Where systemd's stub is.
const STUB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
/// Name servers where none of the host's can be reached from a network of the container's own.
const PUBLIC: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];
/// The same where there is IPv6.
const PUBLIC_IPV6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
];

/// A resolver's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
    /// Lines that mean nothing to us.
    others: Vec<String>,
    /// Who is asked by the name server that the container has of its own.
    behind: Option<Behind>,
}

/// Who is asked for names that no container has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    servers: Vec<IpAddr>,
    forwarding: Forwarding,
}

/// Who is asked for names that no container has.
pub(in crate::container) fn name_servers(container: &Container, config: &Config) -> Vec<IpAddr> {
    Resolver::wanted(&of_host(HOSTS), &container.host, config).behind().servers
}

/// How they are asked.
pub(in crate::container) fn forwarding(container: &Container, config: &Config) -> Forwarding {
    Resolver::wanted(&of_host(HOSTS), &container.host, config).behind().forwarding
}

impl Resolver {
    /// That of a container with this network stack.
    pub(super) fn of(container: &Container, sandbox: Option<&Sandbox>, config: &Config) -> Self {
        let wanted = |of_host: &str| Self::wanted(of_host, &container.host, config);
        let endpoints = || sandbox.into_iter().flat_map(|sandbox| &sandbox.endpoints);
        if endpoints().any(|endpoint| !endpoint.names.is_empty()) {
            return wanted(&of_host(HOSTS)).with_own_server();
        }
        match container.host.network_mode {
            NetworkMode::Host => wanted(&of_host(HOSTS)).resolver,
            _ => {
                let mut interfaces = endpoints().filter_map(|end| end.interface.as_ref());
                let has_ipv6 = interfaces.any(|at| at.addresses().any(|a| a.is_ipv6()));
                wanted(&seen_from_outside()).on_a_network(has_ipv6)
            }
        }
    }

    /// Reads settings; of several lines for one thing, the last one counts, but for servers and
    /// options.
    fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default();
            let mut values = words.map(str::to_owned).peekable();
            match key {
                "" => {}
                "nameserver" => {
                    settings
                        .servers
                        .extend(values.next().and_then(|value| value.parse::<IpAddr>().ok()));
                }
                "search" | "domain" if values.peek().is_some() => {
                    settings.search = values.collect()
                }
                "search" | "domain" => {}
                "options" => settings.options.extend(values),
                _ => settings.others.push(line.to_owned()),
            }
        }
        settings
    }

    /// The host's settings, with what the container's user wants instead, else the manager's.
    fn wanted(of_host: &str, host: &HostConfig, config: &Config) -> Wanted {
        let mut resolver = Self::parse(of_host);
        let named = if host.dns.is_empty() { &config.dns } else { &host.dns };
        if !named.is_empty() {
            resolver.servers.clone_from(named);
        }
        if let Some(search) = first(&host.dns_search, &config.dns_search) {
            // A lone dot is how users ask for no search domain at all.
            resolver.search = search.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        if let Some(options) = first(&host.dns_options, &config.dns_options) {
            resolver.options = options.to_vec();
        }
        Wanted { resolver, names_servers: !named.is_empty() }
    }
}

/// The first of two lists that says anything.
fn first<'a>(own: &'a [String], default: &'a [String]) -> Option<&'a [String]> {
    [own, default].into_iter().find(|list| !list.is_empty())
}

/// The host's settings as they are of use from another network.
fn seen_from_outside() -> String {
    let text = of_host(HOSTS);
    match Resolver::parse(&text).servers.as_slice() {
        [STUB] => of_host(BEHIND_STUB),
        _ => text,
    }
}

/// Settings as they are wanted.
struct Wanted {
    resolver: Resolver,
    /// Whether the container's user or the manager's names the servers, not the host.
    names_servers: bool,
}

impl Wanted {
    /// Who is asked for names that no container has.
    fn behind(&self) -> Behind {
        let standpoint = match self.names_servers {
            true => Standpoint::Container,
            false => Standpoint::Host,
        };
        let keeps_single_words = self.resolver.options.iter().any(|option| key(option) == "ndots");
        let servers = self.resolver.servers.iter().copied();
        Behind {
            // Who asks itself never comes to an end.
            servers: match standpoint {
                Standpoint::Container => servers.filter(|it| *it != NAME_SERVER).collect(),
                Standpoint::Host => servers.collect(),
            },
            forwarding: Forwarding { standpoint, keeps_single_words },
        }
    }

    /// For a container that has a name server of its own.
    fn with_own_server(self) -> Resolver {
        let behind = self.behind();
        let Resolver { search, mut options, others, .. } = self.resolver;
        let is_number = |value: &str| value.parse::<u32>().is_ok();
        options.retain(|option| {
            key(option) != "ndots" || option.split_once(':').is_some_and(|(_, n)| is_number(n))
        });
        // So that names of a single word are asked for as they are.
        if !options.iter().any(|option| key(option) == "ndots") {
            options.push("ndots:0".to_owned());
        }
        Resolver {
            servers: vec![NAME_SERVER.into()],
            search,
            options,
            others,
            behind: Some(behind),
        }
    }

    /// For a container without: the host's servers on its loopback can't be reached from there.
    fn on_a_network(self, has_ipv6: bool) -> Resolver {
        let mut resolver = self.resolver;
        if !self.names_servers {
            resolver.servers.retain(|it| !it.is_loopback() && (it.is_ipv4() || has_ipv6));
            if resolver.servers.is_empty() {
                resolver.servers.extend(PUBLIC);
                resolver.servers.extend(PUBLIC_IPV6.iter().filter(|_| has_ipv6));
            }
        }
        resolver
    }
}

fn key(option: &str) -> &str {
    option.split(':').next().unwrap_or_default()
}

impl Display for Resolver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written for this container. Once it is edited, it stays as it is.\n")?;
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        for line in &self.others {
            writeln!(f, "{line}")?;
        }
        let Some(Behind { servers, forwarding }) = &self.behind else { return Ok(()) };
        let said = servers.iter().map(|server| match forwarding.standpoint {
            Standpoint::Host => format!("host({server})"),
            Standpoint::Container => server.to_string(),
        });
        writeln!(f, "\n# ExtServers: [{}]", said.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const HOST: &str = "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2 # first\n\
                        nameserver fd00::53\nnameserver nonsense\ndomain zero\nsearch one two\n\
                        search\noptions ndots:2\noptions edns0\nsortlist 10.0.0.0\n";

    fn config() -> Config {
        Config::with_roots(Path::new("/data"), Path::new("/run"))
    }

    fn wanted(of_host: &str, host: &HostConfig) -> Wanted {
        Resolver::wanted(of_host, host, &config())
    }

    /// The lines that mean something.
    fn lines(resolver: &Resolver) -> Vec<String> {
        let text = resolver.to_string();
        let says = |line: &&str| !line.is_empty() && !line.starts_with('#');
        text.lines().filter(says).map(str::to_owned).collect()
    }

    #[test]
    fn the_hosts_resolver_is_taken_over_but_for_what_is_out_of_reach() {
        let host = HostConfig::default();
        let rest = ["search one two", "options ndots:2 edns0", "sortlist 10.0.0.0"];
        let on_network = |has_ipv6| lines(&wanted(HOST, &host).on_a_network(has_ipv6));
        assert_eq!(on_network(false), [&["nameserver 10.0.0.2"][..], &rest].concat());
        let both = ["nameserver 10.0.0.2", "nameserver fd00::53"];
        assert_eq!(on_network(true), [&both[..], &rest].concat());
        assert_eq!(lines(&wanted(HOST, &host).resolver)[0], "nameserver 127.0.0.53");
        let public = |has_ipv6| wanted("nameserver ::1\n", &host).on_a_network(has_ipv6).servers;
        assert_eq!(public(false), PUBLIC);
        assert_eq!(public(true), [PUBLIC, PUBLIC_IPV6].concat());
        assert!(lines(&wanted("", &host).resolver).is_empty());
    }

    #[test]
    fn what_the_user_says_counts_more() {
        let host = HostConfig {
            dns: vec!["9.9.9.9".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            dns_search: vec![".".to_owned()],
            dns_options: vec!["rotate".to_owned()],
            ..HostConfig::default()
        };
        let own = lines(&wanted("nameserver 1.1.1.1\nsearch one\n", &host).on_a_network(false));
        assert_eq!(own, ["nameserver 9.9.9.9", "nameserver 127.0.0.1", "options rotate"]);
    }

    #[test]
    fn where_containers_have_names_their_own_server_is_asked() {
        let ours = |of_host: &str, options: &[&str]| {
            let dns_options = options.iter().map(|option| (*option).to_owned()).collect();
            let host = HostConfig { dns_options, ..HostConfig::default() };
            wanted(of_host, &host).with_own_server()
        };
        let options = |of_host, options| lines(&ours(of_host, options)).pop();
        assert_eq!(lines(&ours("", &[])), ["nameserver 127.0.0.11", "options ndots:0"]);
        assert_eq!(options("", &["rotate"]).as_deref(), Some("options rotate ndots:0"));
        assert_eq!(options("", &["ndots:5"]).as_deref(), Some("options ndots:5"));
        assert_eq!(options("", &["ndots:bad", "a"]).as_deref(), Some("options a ndots:0"));
        assert_eq!(options("options ndots:3\n", &[]).as_deref(), Some("options ndots:3"));
        let text = ours("nameserver 127.0.0.53\n", &[]).to_string();
        assert!(text.ends_with("\n\n# ExtServers: [host(127.0.0.53)]\n"), "{text}");
    }

    #[test]
    fn servers_are_asked_from_where_they_are_meant() {
        let host = HostConfig::default();
        let behind = wanted("nameserver 127.0.0.11\noptions ndots:1\n", &host).behind();
        assert_eq!(behind.servers, [IpAddr::V4(NAME_SERVER)]);
        let from_host = Forwarding { standpoint: Standpoint::Host, keeps_single_words: true };
        assert_eq!(behind.forwarding, from_host);
        let named: Vec<IpAddr> = vec![NAME_SERVER.into(), [10, 0, 0, 9].into()];
        let host = HostConfig { dns: named, ..HostConfig::default() };
        let behind = wanted("nameserver 1.1.1.1\n", &host).behind();
        assert_eq!(behind.servers, [IpAddr::from([10, 0, 0, 9])]);
        let own = Forwarding { standpoint: Standpoint::Container, keeps_single_words: false };
        assert_eq!(behind.forwarding, own);
    }
}
