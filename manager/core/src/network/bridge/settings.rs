//! How a bridge shall be: what the manager's settings and a network's options say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::gateway::GatewayMode;
use crate::error::{Error, Result};
use crate::network::family::{ByFamily, Family};

/// How the names of docker's options for networks begin.
const PREFIX: &str = "com.docker.network.";
/// How the names of interfaces in containers begin, if nothing is said.
pub(in crate::network) const INTERFACES: &str = "eth";
/// The longest beginning of such a name: there has to be room for a number.
const LONGEST_PREFIX: usize = 11;

/// How a bridge shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) struct Settings {
    /// The interface's name.
    pub(in crate::network) name: String,
    /// The MTU of its interfaces; none: the kernel's default.
    pub(in crate::network) mtu: Option<u32>,
    /// The host's address for ports that are published without one.
    pub(in crate::network) default_bind: IpAddr,
    /// Whether its containers reach each other.
    pub(in crate::network) neighbours: Neighbours,
    /// As whom its containers are seen outside.
    pub(in crate::network) outside: Outside,
    /// How they and the outside reach each other.
    pub(in crate::network) gateways: ByFamily<GatewayMode>,
    /// The host's address under which they are seen outside; none: that of the interface by which
    /// their packets leave.
    pub(in crate::network) seen_as: ByFamily<Option<IpAddr>>,
    /// Where containers reach everything else; none: at the host's address.
    pub(in crate::network) way_out: ByFamily<Option<IpAddr>>,
    /// Whether the bridge gets no IPv4 address.
    pub(in crate::network) inhibit_ipv4: bool,
    /// The host's interfaces from which published ports are reached at containers' own addresses.
    pub(in crate::network) trusted: Vec<String>,
    /// How the names of its interfaces in containers begin.
    pub(in crate::network) interfaces: String,
}

/// Whether the containers on a bridge reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) enum Neighbours {
    /// They do.
    Reachable,
    /// They don't.
    Apart,
}

/// How the containers on a bridge reach what is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) enum Outside {
    /// Under the host's address.
    AsHost,
    /// Under their own addresses.
    AsThemselves,
    /// Not at all, and nobody outside reaches them.
    Unreachable,
}

impl Settings {
    /// A bridge of this name about which nothing else is said.
    pub(in crate::network) fn named(name: String) -> Self {
        Self {
            name,
            mtu: None,
            default_bind: Ipv4Addr::UNSPECIFIED.into(),
            neighbours: Neighbours::Reachable,
            outside: Outside::AsHost,
            gateways: ByFamily::default(),
            seen_as: ByFamily::default(),
            way_out: ByFamily::default(),
            inhibit_ipv4: false,
            trusted: Vec::new(),
            interfaces: INTERFACES.to_owned(),
        }
    }

    /// What the options of a network say; what they don't name is as it is in `default`. Options of
    /// others than docker's are passed over, as there: they are for people.
    ///
    /// # Errors
    /// `Invalid` for a value that can't be, `Unsupported` for an option of docker's that isn't known.
    pub(in crate::network) fn with_options(
        default: Self,
        options: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut settings = default;
        for (key, value) in options {
            match key.strip_prefix(PREFIX) {
                Some(option) => settings.set(option, key, value)?,
                None => tracing::debug!(key, value, "an option that no bridge has"),
            }
        }
        settings.check()?;
        Ok(settings)
    }

    fn set(&mut self, option: &str, key: &str, value: &str) -> Result<()> {
        match option {
            "bridge.name" => value.clone_into(&mut self.name),
            "bridge.enable_icc" => {
                self.neighbours = match truth(key, value)? {
                    true => Neighbours::Reachable,
                    false => Neighbours::Apart,
                };
            }
            "bridge.enable_ip_masquerade" => match (truth(key, value)?, self.outside) {
                (_, Outside::Unreachable) => {}
                (true, _) => self.outside = Outside::AsHost,
                (false, _) => self.outside = Outside::AsThemselves,
            },
            "bridge.host_binding_ipv4" => self.default_bind = address(key, value)?,
            "bridge.gateway_mode_ipv4" => self.gateways.ipv4 = GatewayMode::read(key, value)?,
            "bridge.gateway_mode_ipv6" => self.gateways.ipv6 = GatewayMode::read(key, value)?,
            "bridge.inhibit_ipv4" => self.inhibit_ipv4 = truth(key, value)?,
            "bridge.trusted_host_interfaces" => {
                let names = value.split(':').filter(|name| !name.is_empty());
                self.trusted = names.map(str::to_owned).collect();
            }
            "driver.mtu" => self.mtu = mtu(key, value)?,
            "container_iface_prefix" => value.clone_into(&mut self.interfaces),
            "host_ipv4" => self.seen_as.ipv4 = Some(address(key, value)?),
            "host_ipv6" => self.seen_as.ipv6 = Some(address(key, value)?),
            // What the network has is settled before.
            "enable_ipv4" | "enable_ipv6" => {
                truth(key, value)?;
            }
            _ => return Err(Error::unsupported(format!("the network option {key}={value}"))),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let isolated =
            Family::BOTH.iter().any(|family| *self.gateways.get(*family) == GatewayMode::Isolated);
        if isolated && self.outside != Outside::Unreachable {
            return Err(Error::invalid(
                "gateway mode 'isolated' can only be used for an internal network",
            ));
        }
        for family in Family::BOTH {
            if let Some(address) = self.seen_as.get(family)
                && Family::of(*address) != family
            {
                return Err(Error::invalid(format!("{address} is no {} address", family.name())));
            }
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        for name in self.trusted.iter().chain([&self.interfaces]) {
            if name.is_empty() || !name.bytes().all(|byte| plain(byte) || b".@".contains(&byte)) {
                return Err(Error::invalid(format!("{name:?} is no interface's name")));
            }
        }
        if self.interfaces.len() > LONGEST_PREFIX || self.interfaces == "lo" {
            return Err(Error::invalid(format!(
                "the interfaces' names can't begin with {:?}: it has more than {LONGEST_PREFIX} \
                 letters, or is another interface's",
                self.interfaces
            )));
        }
        Ok(())
    }
}

/// Whether a network has addresses of each kind by its options, where its user says nothing else.
///
/// # Errors
/// `Invalid` for what is neither true nor false.
pub(in crate::network) fn families(options: &BTreeMap<String, String>) -> Result<ByFamily<bool>> {
    let asked = |name: &str, otherwise| {
        let key = format!("{PREFIX}{name}");
        options.get(&key).map_or(Ok(otherwise), |value| {
            parse_truth(value)
                .ok_or_else(|| Error::invalid(format!("driver-opt {key:?} is not a valid bool")))
        })
    };
    Ok(ByFamily { ipv4: asked("enable_ipv4", true)?, ipv6: asked("enable_ipv6", false)? })
}

fn mtu(key: &str, value: &str) -> Result<Option<u32>> {
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(mtu) => Ok(Some(mtu)),
        Err(_) => {
            Err(unread(key, value, &format!("strconv.Atoi: parsing {value:?}: invalid syntax")))
        }
    }
}

fn address(key: &str, value: &str) -> Result<IpAddr> {
    value.parse().map_err(|_| unread(key, value, "nil ip"))
}

fn truth(key: &str, value: &str) -> Result<bool> {
    parse_truth(value).ok_or_else(|| {
        unread(key, value, &format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))
    })
}

fn parse_truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Docker's words for a value that can't be read.
pub(super) fn unread(key: &str, value: &str, why: &str) -> Error {
    Error::invalid(format!("failed to parse {key} value: {value} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings_within(outside: Outside, options: &[(&str, &str)]) -> Result<Settings> {
        let default = Settings { outside, ..Settings::named("br-0".to_owned()) };
        let owned = |(key, value): &(&str, &str)| (format!("{PREFIX}{key}"), (*value).to_owned());
        Settings::with_options(default, &options.iter().map(owned).collect())
    }

    fn settings(options: &[(&str, &str)]) -> Result<Settings> {
        settings_within(Outside::AsHost, options)
    }

    #[test]
    fn options_are_read_by_dockers_names() {
        let settings = settings(&[
            ("bridge.name", "mine"),
            ("bridge.enable_icc", "false"),
            ("bridge.enable_ip_masquerade", "0"),
            ("bridge.host_binding_ipv4", "127.0.0.1"),
            ("bridge.gateway_mode_ipv4", "routed"),
            ("bridge.gateway_mode_ipv6", "nat-unprotected"),
            ("bridge.inhibit_ipv4", "true"),
            ("bridge.trusted_host_interfaces", "eth1:vpn.7"),
            ("container_iface_prefix", "net"),
            ("host_ipv4", "192.0.2.1"),
            ("host_ipv6", "2001:db8::1"),
            ("driver.mtu", "1400"),
        ])
        .unwrap();
        assert_eq!((settings.name.as_str(), settings.mtu), ("mine", Some(1400)));
        assert_eq!(settings.neighbours, Neighbours::Apart);
        assert_eq!(settings.outside, Outside::AsThemselves);
        assert_eq!(settings.default_bind, Ipv4Addr::LOCALHOST);
        assert_eq!(settings.gateways.ipv4, GatewayMode::Routed);
        assert_eq!(settings.gateways.ipv6, GatewayMode::Unprotected);
        assert_eq!(settings.trusted, ["eth1", "vpn.7"]);
        assert!(settings.inhibit_ipv4 && settings.interfaces == "net");
        assert_eq!(settings.seen_as.ipv6.unwrap().to_string(), "2001:db8::1");
    }

    #[test]
    fn what_is_wrong_or_unknown_is_named() {
        let kind = |key, value| settings(&[(key, value)]).unwrap_err().kind();
        assert_eq!(kind("driver.mtu", "many"), Kind::Invalid);
        assert_eq!(kind("bridge.enable_icc", "perhaps"), Kind::Invalid);
        assert_eq!(kind("bridge.host_binding_ipv4", "here"), Kind::Invalid);
        assert_eq!(kind("bridge.gateway_mode_ipv4", "open"), Kind::Invalid);
        assert_eq!(kind("bridge.gateway_mode_ipv6", "isolated"), Kind::Invalid);
        assert_eq!(kind("container_iface_prefix", "a b"), Kind::Invalid);
        assert_eq!(kind("host_ipv6", "192.0.2.1"), Kind::Invalid);
        let unknown = settings(&[("bridge.nmae", "x")]).unwrap_err().to_string();
        assert!(unknown.contains("com.docker.network.bridge.nmae=x"), "{unknown}");
        settings_within(Outside::Unreachable, &[("bridge.gateway_mode_ipv6", "isolated")]).unwrap();
        let others = [("org.example.note".to_owned(), "x".to_owned())].into();
        Settings::with_options(Settings::named("br-0".to_owned()), &others).unwrap();
    }

    #[test]
    fn kinds_of_addresses_can_be_options() {
        let asked = |key: &str, value: &str| {
            families(&[(format!("{PREFIX}{key}"), value.to_owned())].into())
        };
        assert_eq!(asked("enable_ipv6", "1").unwrap(), ByFamily { ipv4: true, ipv6: true });
        assert_eq!(asked("enable_ipv4", "f").unwrap(), ByFamily { ipv4: false, ipv6: false });
        let error = asked("enable_ipv4", "no").unwrap_err().to_string();
        assert!(error.ends_with("is not a valid bool"), "{error}");
    }
}
