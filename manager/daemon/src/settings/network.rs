//! What can be set about networks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tare_core::config::{Bridge, Config, Forwarding};
use tare_core::network::{AddressPool, ByFamily, Family};

use super::pairs::{NetworkOptions, network_options};
use crate::error::Error;

/// The kernel's limit for the name of an interface, in bytes.
const MAX_INTERFACE_NAME: usize = 15;

/// What was set about networks; nothing of it is checked yet.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct NetworkValues {
    /// The bridge of the default network; it is made if it is not there [default: tare0]
    #[arg(short = 'b', long, value_name = "NAME", global = true, help_heading = "Network")]
    pub bridge: Option<String>,
    /// The bridge's address and the length of its prefix [default: the one it has, or 172.17.0.1/16,
    /// or if that is in use on this host, the next of docker's ranges that is free]
    #[arg(long, value_name = "ADDRESS/LENGTH", global = true, help_heading = "Network")]
    pub bip: Option<String>,
    /// The same for IPv6 [default: the one it has, or one of a range that is this host's alone]
    #[arg(long, value_name = "ADDRESS/LENGTH", global = true, help_heading = "Network")]
    pub bip6: Option<String>,
    /// Give the default network IPv6 beside IPv4
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub ipv6: Option<bool>,
    /// Which addresses of the default network containers get [default: all of the bridge's subnet]
    #[arg(long, value_name = "SUBNET", global = true, help_heading = "Network")]
    pub fixed_cidr: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "SUBNET", global = true, help_heading = "Network")]
    pub fixed_cidr_v6: Option<String>,
    /// Where containers of the default network send what is for others [default: to the bridge]
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Network")]
    pub default_gateway: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Network")]
    pub default_gateway_v6: Option<String>,
    /// =false: containers of the default network do not reach each other
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub icc: Option<bool>,
    /// =false: containers of the default network are seen under their own addresses outside
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub ip_masq: Option<bool>,
    /// =false: leave it to the host's owner that the kernel forwards packets
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub ip_forward: Option<bool>,
    /// If it is this daemon that has the kernel forward packets, let it forward all, not only those
    /// from and to containers
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub ip_forward_no_drop: Option<bool>,
    /// =false: what comes to a published port by IPv6 is not passed on to containers that have IPv4
    /// alone, nor what comes from ::1 to any
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          hide_possible_values = true, value_name = "BOOL",
          global = true, help_heading = "Network")]
    pub userland_proxy: Option<bool>,
    /// The MTU of the bridge and of containers' interfaces
    #[arg(long, value_name = "BYTES", global = true, help_heading = "Network")]
    pub mtu: Option<u32>,
    /// The address that ports are published on if no other is named [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS", global = true, help_heading = "Network")]
    pub ip: Option<IpAddr>,
    /// What host-gateway stands for in containers' --add-host; may be given twice, for IPv4 and IPv6
    /// [default: the bridge's addresses]
    #[arg(
        long = "host-gateway-ip",
        value_name = "ADDRESS",
        global = true,
        help_heading = "Network"
    )]
    pub host_gateway_ips: Option<Vec<IpAddr>>,
    /// A range that is cut into subnets for networks that name none; may be given several times
    /// [default: docker's ranges]
    #[arg(
        long = "default-address-pool",
        value_name = "base=SUBNET,size=LENGTH",
        global = true,
        help_heading = "Network"
    )]
    pub default_address_pools: Option<Vec<PoolText>>,
    /// An option of networks that do not give it themselves; may be given several times
    #[arg(
        long = "default-network-opt",
        value_name = "DRIVER=OPTION=VALUE",
        global = true,
        help_heading = "Network"
    )]
    #[serde(with = "network_options")]
    pub default_network_opts: Option<Vec<NetworkOptions>>,
}

/// A range of addresses as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolText {
    base: String,
    size: u8,
}

impl FromStr for PoolText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: BTreeMap<_, _> =
            text.split(',').filter_map(|field| field.trim().split_once('=')).collect();
        match (fields.get("base"), fields.get("size").and_then(|size| size.parse().ok())) {
            (Some(base), Some(size)) => Ok(Self { base: (*base).to_owned(), size }),
            _ => Err("it must be base=SUBNET,size=LENGTH".to_owned()),
        }
    }
}

impl NetworkValues {
    /// Sets what was set.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first setting whose value cannot be.
    pub(super) fn apply(self, config: &mut Config) -> Result<(), Error> {
        config.address_pools = self.address_pools()?;
        config.network_options = BTreeMap::new();
        for NetworkOptions { driver, options } in self.default_network_opts.iter().flatten() {
            config.network_options.entry(driver.clone()).or_default().extend(options.clone());
        }
        config.forwarding = match (self.ip_forward, self.ip_forward_no_drop) {
            (Some(false), _) => Forwarding::Untouched,
            (_, Some(true)) => Forwarding::ForAll,
            _ => Forwarding::ForContainers,
        };
        config.passes_on = self.userland_proxy.unwrap_or(config.passes_on);
        self.apply_to(&mut config.bridge)?;
        config.host_gateways = self.host_gateway_ips.unwrap_or_default();
        let kinds: Vec<_> =
            config.host_gateways.iter().map(|address| Family::of(*address)).collect();
        match kinds[..] {
            [] | [_] => Ok(()),
            [one, other] if one != other => Ok(()),
            _ => Err(Error::setting(
                "host-gateway-ips",
                "there can be one address of IPv4 and one of IPv6".to_owned(),
            )),
        }
    }

    fn apply_to(&self, bridge: &mut Bridge) -> Result<(), Error> {
        if let Some(name) = &self.bridge {
            bridge.name = interface_name(name)?;
        }
        bridge.addresses = ByFamily {
            ipv4: read_net("bip", self.bip.as_deref(), Family::V4)?,
            ipv6: read_net("bip6", self.bip6.as_deref(), Family::V6)?,
        };
        bridge.ranges = ByFamily {
            ipv4: read_net("fixed-cidr", self.fixed_cidr.as_deref(), Family::V4)?,
            ipv6: read_net("fixed-cidr-v6", self.fixed_cidr_v6.as_deref(), Family::V6)?,
        };
        bridge.gateways = ByFamily {
            ipv4: read_ip("default-gateway", self.default_gateway.as_deref(), Family::V4)?,
            ipv6: read_ip("default-gateway-v6", self.default_gateway_v6.as_deref(), Family::V6)?,
        };
        bridge.ipv6 = self.ipv6.unwrap_or(bridge.ipv6);
        bridge.icc = self.icc.unwrap_or(bridge.icc);
        bridge.masquerade = self.ip_masq.unwrap_or(bridge.masquerade);
        bridge.mtu = self.mtu.filter(|mtu| *mtu != 0).or(bridge.mtu);
        bridge.default_bind = self.ip.unwrap_or(bridge.default_bind);
        Ok(())
    }

    fn address_pools(&self) -> Result<Vec<AddressPool>, Error> {
        let pool = |PoolText { base, size }: &PoolText| {
            let wrong = |reason: String| Error::setting("default-address-pools", reason);
            let net: IpNet =
                base.parse().map_err(|_| wrong(format!("invalid base prefix {base:?}")))?;
            if *size < net.prefix_len() || *size > net.max_prefix_len() {
                return Err(wrong(format!(
                    "the size {size} of subnets must be from {} to {} for the base {base}",
                    net.prefix_len(),
                    net.max_prefix_len()
                )));
            }
            Ok(AddressPool { base: net, size: *size })
        };
        self.default_address_pools.iter().flatten().map(pool).collect()
    }
}

fn interface_name(name: &str) -> Result<String, Error> {
    let fits = (1..=MAX_INTERFACE_NAME).contains(&name.len());
    if !fits || name.contains(|c: char| c == '/' || c.is_whitespace()) || name == "none" {
        let reason = format!(
            "{name:?} is no name of an interface: 1 to {MAX_INTERFACE_NAME} bytes, and not none"
        );
        return Err(Error::setting("bridge", reason));
    }
    Ok(name.to_owned())
}

/// An address or a subnet with the length of its prefix, like `172.17.0.1/16`.
fn read_net(
    setting: &'static str,
    text: Option<&str>,
    family: Family,
) -> Result<Option<IpNet>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let net = text.parse().ok().filter(|net: &IpNet| Family::of(net.addr()) == family);
    net.map(Some).ok_or_else(|| {
        let kind = family.name();
        Error::setting(setting, format!("{text:?} is no {kind} address with a prefix's length"))
    })
}

fn read_ip(
    setting: &'static str,
    text: Option<&str>,
    family: Family,
) -> Result<Option<IpAddr>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let address = text.parse().ok().filter(|address| Family::of(*address) == family);
    address
        .map(Some)
        .ok_or_else(|| Error::setting(setting, format!("{text:?} is no {} address", family.name())))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(values: NetworkValues) -> Result<Config, Error> {
        let mut config = Config::with_roots(Path::new("/d"), Path::new("/e"));
        values.apply(&mut config).map(|()| config)
    }

    fn refused(values: NetworkValues) -> String {
        config(values).unwrap_err().to_string()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_bridge_address_has_a_prefix() {
        let values = NetworkValues {
            bip: some("10.1.0.1/24"),
            bip6: some("fd00::1/64"),
            ..NetworkValues::default()
        };
        let addresses = config(values).unwrap().bridge.addresses;
        assert_eq!(addresses.ipv4.unwrap().to_string(), "10.1.0.1/24");
        assert_eq!(addresses.ipv6.unwrap().to_string(), "fd00::1/64");
        assert_eq!(config(NetworkValues::default()).unwrap().bridge.addresses.ipv4, None);
        for wrong in ["10.1.0.1", "10.1.0.1/33", "fd00::1/64"] {
            let values = NetworkValues { bip: some(wrong), ..NetworkValues::default() };
            assert!(refused(values).starts_with("invalid value for bip"), "{wrong}");
        }
    }

    #[test]
    fn an_interfaces_name_is_short() {
        let values =
            NetworkValues { bridge: some("a-very-long-name-for-it"), ..NetworkValues::default() };
        assert!(refused(values).starts_with("invalid value for bridge"));
    }

    #[test]
    fn pools_are_cut_into_subnets_that_fit() {
        let with = |text: &str| NetworkValues {
            default_address_pools: Some(vec![text.parse().unwrap()]),
            ..NetworkValues::default()
        };
        let pools = config(with("base=10.10.0.0/16,size=24")).unwrap().address_pools;
        assert_eq!((pools[0].base.to_string().as_str(), pools[0].size), ("10.10.0.0/16", 24));
        assert!(refused(with("base=10.10.0.0/16,size=8")).contains("from 16 to 32"));
        assert!(refused(with("base=here,size=8")).contains("invalid base prefix"));
        assert!("size=24".parse::<PoolText>().is_err());
    }

    #[test]
    fn what_the_host_forwards_is_its_owners_choice() {
        let with = |forward, no_drop| {
            let values = NetworkValues {
                ip_forward: forward,
                ip_forward_no_drop: no_drop,
                ..NetworkValues::default()
            };
            config(values).unwrap().forwarding
        };
        assert_eq!(with(None, None), Forwarding::ForContainers);
        assert_eq!(with(None, Some(true)), Forwarding::ForAll);
        assert_eq!(with(Some(false), Some(true)), Forwarding::Untouched);
    }

    #[test]
    fn host_gateway_is_at_most_one_address_of_each_kind() {
        let with = |addresses: &[&str]| NetworkValues {
            host_gateway_ips: Some(addresses.iter().map(|text| text.parse().unwrap()).collect()),
            ..NetworkValues::default()
        };
        assert_eq!(config(with(&["192.0.2.1", "fd00::1"])).unwrap().host_gateways.len(), 2);
        assert!(refused(with(&["192.0.2.1", "192.0.2.2"])).contains("host-gateway-ips"));
    }
}
