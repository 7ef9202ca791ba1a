//! Registries that need not prove who they are: their certificate may be anyone's, or they may
//! have none and speak plain HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Which registries these are. Those on this machine always are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Insecure {
    hosts: Vec<String>,
    networks: Vec<IpNet>,
}

impl Insecure {
    /// Adds `HOST[:PORT]` or `NETWORK/LENGTH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if let Ok(network) = IpNet::from_str(text) {
            self.networks.push(network);
            return Ok(());
        }
        if text.contains("://") {
            return Err(format!("insecure registry {text} should not contain a scheme"));
        }
        let plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        if !plain {
            return Err(format!("insecure registry {text} is not valid: it must be HOST[:PORT]"));
        }
        self.hosts.push(text.to_lowercase());
        Ok(())
    }

    /// Whether the registry `authority` (`HOST[:PORT]`) is one of them, by its name or by an
    /// address that it has.
    pub(super) async fn has(&self, authority: &str) -> bool {
        let host = host(authority);
        if self.has_name(authority) || host == "localhost" {
            return true;
        }
        if let Ok(address) = host.parse() {
            return self.has_address(address);
        }
        match tokio::net::lookup_host((host, 0)).await {
            Ok(mut found) => found.any(|address| self.has_address(address.ip())),
            Err(_) => false,
        }
    }

    fn has_name(&self, authority: &str) -> bool {
        let authority = authority.to_lowercase();
        self.hosts.contains(&authority)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.networks.iter().any(|network| network.contains(&address))
    }

    /// The networks, as `docker info` shows them.
    pub fn networks(&self) -> Vec<String> {
        let own = [
            IpNet::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
            IpNet::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        ];
        own.iter().flatten().chain(&self.networks).map(IpNet::to_string).collect()
    }

    /// The names, as `docker info` shows them.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }
}

/// The host of `HOST[:PORT]`, without the brackets of an address.
fn host(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    authority.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn by_name_by_address_and_this_machine() {
        let mut insecure = Insecure::default();
        insecure.add("Registry.test:5000").unwrap();
        insecure.add("other.test").unwrap();
        insecure.add("10.1.0.0/16").unwrap();
        for registry in [
            "registry.test:5000",
            "other.test",
            "10.1.2.3:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
            "localhost:1",
        ] {
            assert!(insecure.has(registry).await, "{registry}");
        }
        for registry in ["registry.test:5001", "other.test:99", "10.2.0.1", "nowhere.invalid"] {
            assert!(!insecure.has(registry).await, "{registry}");
        }
        assert!(insecure.add("http://registry.test").is_err());
        assert!(insecure.add("registry.test/path").is_err());
    }
}
