//! What a container wants of its networks, whether it runs or not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::endpoint_options;
use super::modes::NetworkMode;
use super::record::Container;
use crate::error::{Error, Result};
use crate::network::{Family, NetworkInfo, Sysctl, Wish, all_wrong};

/// What a container wants of one network, by docker's `EndpointSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// A fixed IPv4 address.
    #[serde(alias = "address")]
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Addresses beside those, which are good for the network's link alone.
    pub link_local: Vec<IpAddr>,
    /// Options of the endpoint, by docker's names.
    pub options: Option<BTreeMap<String, String>>,
    /// A fixed hardware address, as written by its user.
    pub mac_address: Option<String>,
    /// Names beside its own.
    pub aliases: Vec<String>,
    /// Others by names of its own: `name` or `name:alias`.
    pub links: Vec<String>,
    /// What is on none of its networks is reached by the one with the highest.
    pub gateway_priority: i64,
}

impl Membership {
    /// The fixed addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let (older, newer) = (self.ipv4.map(IpAddr::from), self.ipv6.map(IpAddr::from));
        older.into_iter().chain(newer).collect()
    }
}

impl Container {
    /// What it wants of its networks: nothing if it has another container's; the one that its mode
    /// names if it was taken from all.
    pub fn memberships(&self) -> BTreeMap<String, Membership> {
        let Some(name) = self.host.network_mode.network() else { return BTreeMap::new() };
        match self.host.networks.is_empty() {
            true => BTreeMap::from([(name.to_owned(), Membership::default())]),
            false => self.host.networks.clone(),
        }
    }

    /// The hardware address that it wants on the network that its mode names.
    pub fn mac_address(&self) -> Option<&str> {
        let main = self.host.network_mode.network()?;
        let wanted = self.host.networks.get(main).and_then(|wanted| wanted.mac_address.as_ref());
        wanted.or(self.host.mac_address.as_ref()).map(String::as_str)
    }

    /// What it is called on a network that a user has made; that by which its address is known first.
    pub fn names_on(&self, membership: &Membership) -> Vec<String> {
        let own = [self.name.clone()];
        let more = [self.id.short().to_owned(), self.config.hostname.clone()];
        let mut names: Vec<String> = Vec::new();
        for name in own.into_iter().chain(membership.aliases.clone()).chain(more) {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What it asks of the network `name`; `main` is the one that its mode names.
    pub(super) fn wish(
        &self,
        name: &str,
        membership: &Membership,
        main: Option<&str>,
    ) -> Result<Wish> {
        let container_wide = self.mac_address().filter(|_| main == Some(name));
        let mac = membership.mac_address.as_deref().or(container_wide);
        let link = |link: &String| {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            (alias.to_owned(), target.trim_start_matches('/').to_owned())
        };
        let options = membership.options.clone().unwrap_or_default();
        let sysctls = endpoint_options::sysctls(&options)?;
        Ok(Wish {
            without_ipv6: self.is_without_ipv6(&sysctls),
            network: name.to_owned(),
            ipv4: membership.ipv4,
            ipv6: membership.ipv6,
            link_local: membership.link_local.clone(),
            mac: mac.map(|mac| mac.parse()).transpose()?,
            names: self.names_on(membership),
            links: membership.links.iter().map(link).collect(),
            gateway_priority: membership.gateway_priority,
            interface: endpoint_options::interface(&options),
            sysctls,
        })
    }

    /// Whether its user keeps the kernel from IPv6: everywhere in it, or by these settings of one
    /// interface.
    fn is_without_ipv6(&self, sysctls: &[Sysctl]) -> bool {
        let off = |sysctl: &Sysctl| {
            let (family, key) = (sysctl.family.as_str(), sysctl.key.as_str());
            (family, key, sysctl.value.as_str()) == ("ipv6", "disable_ipv6", "1")
        };
        let everywhere = self.host.sysctls.get("net.ipv6.conf.all.disable_ipv6");
        everywhere.is_some_and(|value| value == "1") || sysctls.iter().any(off)
    }

    /// What it asks of all its networks as it starts: first of the one that its mode names, so that
    /// its first interface is there.
    pub(super) fn wishes(&self, main: Option<&str>) -> Result<Vec<Wish>> {
        if self.config.network_disabled {
            return Ok(vec![self.wish("none", &Membership::default(), main)?]);
        }
        let memberships = self.memberships();
        let (first, others): (Vec<_>, Vec<_>) =
            memberships.iter().partition(|(name, _)| Some(name.as_str()) == main);
        first
            .into_iter()
            .chain(others)
            .map(|(name, wanted)| self.wish(name, wanted, main))
            .collect()
    }
}

impl NetworkMode {
    /// The network that it names; none if it is another container's.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Default | Self::Bridge => Some("bridge"),
            Self::Host => Some("host"),
            Self::None => Some("none"),
            Self::Named(name) => Some(name),
            Self::Container(_) => None,
        }
    }
}

/// Refuses what can't be had on a network, in the words that docker has for it.
pub(super) fn check(network: &NetworkInfo, wanted: &Membership) -> Result<()> {
    let mut wrong = Vec::new();
    let addresses = wanted.addresses();
    if network.predefined && !addresses.is_empty() {
        wrong.push(
            "user specified IP address is supported on user defined networks only".to_owned(),
        );
    }
    if network.predefined && !wanted.aliases.is_empty() {
        wrong
            .push("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    for address in addresses {
        // Also of a kind of which the network has none: then it is not given.
        let mut pools = network.ipam.pools_of(Family::of(address)).peekable();
        if pools.peek().is_none() {
            wrong.push(
                "user specified IP address is supported only when connecting to networks with user \
                 configured subnets"
                    .to_owned(),
            );
        } else if !pools.any(|pool| pool.subnet.contains(&address))
            && !network.subnets.iter().any(|subnet| subnet.contains(address))
        {
            wrong
                .push(format!("no configured subnet or ip-range contain the IP address {address}"));
        }
    }
    wrong.extend(wanted.options.iter().flat_map(endpoint_options::wrong_sysctls));
    all_wrong("invalid endpoint settings", &wrong)
}

/// Refuses networks that can't go together.
pub(super) fn check_together<'a>(
    new: &str,
    others: impl IntoIterator<Item = &'a str>,
) -> Result<()> {
    for other in others.into_iter().filter(|other| *other != new) {
        if other == "host" || new == "host" {
            return Err(Error::invalid(
                "container sharing network namespace with another container or host cannot be \
                 connected to any other network",
            ));
        }
        if other == "none" || new == "none" {
            return Err(Error::invalid(
                "container cannot be connected to multiple networks with one of the networks in \
                 private (none) mode",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;

    fn container(mode: &str, networks: &[&str]) -> Container {
        let mut container = fixture::container();
        container.host.network_mode = NetworkMode::from(mode.to_owned());
        let one = |name: &&str| ((*name).to_owned(), Membership::default());
        container.host.networks = networks.iter().map(one).collect();
        container
    }

    fn asked(container: &Container) -> Vec<String> {
        let main = container.host.network_mode.network();
        container.wishes(main).unwrap().into_iter().map(|wish| wish.network).collect()
    }

    #[test]
    fn the_network_of_the_mode_comes_first_and_is_there_if_no_other_is() {
        assert_eq!(asked(&container("mid", &["back", "front", "mid"])), ["mid", "back", "front"]);
        assert_eq!(asked(&container("default", &[])), ["bridge"]);
        assert!(asked(&container("container:x", &[])).is_empty());
        let mut alone = container("mid", &[]);
        alone.config.network_disabled = true;
        assert_eq!(asked(&alone), ["none"]);
    }

    #[test]
    fn names_are_those_of_the_container_and_its_aliases() {
        let mut container = container("mine", &[]);
        container.config.hostname = "box".to_owned();
        let aliases = vec!["web".to_owned(), container.name.clone()];
        let names = container.names_on(&Membership { aliases, ..Membership::default() });
        assert_eq!(names, ["calm_turing", "web", container.id.short(), "box"]);
        let links = vec!["db:store".to_owned(), "cache".to_owned()];
        let wish =
            container.wish("mine", &Membership { links, ..Membership::default() }, None).unwrap();
        assert_eq!(wish.links["store"], "db");
        assert_eq!(wish.links["cache"], "cache");
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        check_together("a", ["b", "a"]).unwrap();
        assert!(check_together("host", ["a"]).is_err() && check_together("a", ["none"]).is_err());
        check_together("none", ["none"]).unwrap();
    }
}
