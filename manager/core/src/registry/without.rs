//! Hosts that are reached without a proxy, as `NO_PROXY` lists them.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;

/// Which hosts a proxy is not asked for. This machine never is one of a proxy's.
#[derive(Debug, Clone, Default)]
pub(super) struct Without(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Everything,
    Network(IpNet),
    /// An address, at one port or at all.
    Address(IpAddr, Option<u16>),
    Domain {
        /// With a dot before it, as it ends the names in it.
        ending: String,
        /// The domain's own name counts, too.
        itself: bool,
        port: Option<u16>,
    },
}

impl Without {
    /// Reads addresses, networks and domains, each but a network with a port or without, by commas.
    /// What is none of these excludes nothing.
    pub(super) fn parse(list: &str) -> Self {
        let parts = list.split(',').map(|part| part.trim().to_ascii_lowercase());
        Self(parts.filter_map(|part| entry(&part)).collect())
    }

    /// Whether `url` is reached without a proxy.
    pub(super) fn has(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let at =
            |port: &Option<u16>| port.is_none_or(|port| url.port_or_known_default() == Some(port));
        self.0.iter().any(|entry| match entry {
            Entry::Everything => true,
            Entry::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Entry::Address(one, port) => address == Some(*one) && at(port),
            Entry::Domain { ending, itself, port } => {
                let named = host.ends_with(ending.as_str()) || (*itself && host == ending[1..]);
                address.is_none() && named && at(port)
            }
        })
    }
}

fn entry(text: &str) -> Option<Entry> {
    if text == "*" {
        return Some(Entry::Everything);
    }
    if let Ok(network) = text.parse() {
        return Some(Entry::Network(network));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse() {
        return Some(Entry::Address(address, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Some(Entry::Address(address, port));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    if host.trim_matches('.').is_empty() {
        return None;
    }
    let itself = !host.starts_with('.');
    let ending = if itself { format!(".{host}") } else { host.to_owned() };
    Some(Entry::Domain { ending, itself, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &str, url: &str) -> bool {
        Without::parse(list).has(&url.parse().unwrap())
    }

    #[test]
    fn hosts_are_found_as_other_programs_find_them() {
        for (list, url, expected) in [
            ("", "https://r.test", false),
            ("", "http://localhost:5000", true),
            ("", "http://127.0.0.2:5000", true),
            ("", "http://[::1]:5000", true),
            ("*", "https://r.test", true),
            ("r.test", "https://r.test:5000", true),
            ("R.test", "https://a.r.TEST", true),
            ("r.test", "https://other.test", false),
            ("r.test", "https://ar.test", false),
            (".r.test", "https://r.test", false),
            ("*.r.test", "https://a.r.test", true),
            ("r.test:5000", "https://r.test:5000", true),
            ("r.test:5000", "https://r.test", false),
            ("r.test:443", "https://r.test", true),
            ("192.0.2.1", "https://192.0.2.1:5000", true),
            (" 192.0.2.1:5000 , x", "https://192.0.2.1:5000", true),
            ("192.0.2.1:5000", "https://192.0.2.1:5001", false),
            ("192.0.2.0/24", "https://192.0.2.77", true),
            ("192.0.2.0/24", "https://192.0.3.77", false),
            ("2001:db8::1", "https://[2001:db8::1]:5000", true),
            ("[2001:db8::1]:5000", "https://[2001:db8::1]:5000", true),
            ("2001:db8::/32", "https://[2001:db8::1]", true),
            ("2.1", "https://192.0.2.1", false),
            (",:,.,*.", "https://r.test", false),
        ] {
            assert_eq!(has(list, url), expected, "{list:?} {url}");
        }
    }
}
