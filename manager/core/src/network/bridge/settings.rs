//! How a bridge shall be: what the manager's settings and a network's options say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the names of docker's options for networks begin.
const PREFIX: &str = "com.docker.network.";

/// How a bridge shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) struct Settings {
    /// The interface's name.
    pub(in crate::network) name: String,
    /// The MTU of its interfaces; none: the kernel's default.
    pub(in crate::network) mtu: Option<u32>,
    /// The host's address for ports that are published without one.
    pub(in crate::network) default_bind: Ipv4Addr,
    /// Whether its containers reach each other.
    pub(in crate::network) neighbours: Neighbours,
    /// As whom its containers are seen outside.
    pub(in crate::network) outside: Outside,
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
    /// What the options of a network say; what they don't name is as it is in `default`.
    ///
    /// # Errors
    /// `Invalid` for a value that can't be, `Unsupported` for an option that isn't known.
    pub(in crate::network) fn with_options(
        default: Self,
        options: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut settings = default;
        for (key, value) in options {
            let truth = || truth(key, value);
            match key.strip_prefix(PREFIX).unwrap_or_default() {
                "bridge.name" => settings.name.clone_from(value),
                "bridge.enable_icc" => {
                    settings.neighbours =
                        if truth()? { Neighbours::Reachable } else { Neighbours::Apart };
                }
                "bridge.enable_ip_masquerade" => match (truth()?, settings.outside) {
                    (_, Outside::Unreachable) => {}
                    (true, _) => settings.outside = Outside::AsHost,
                    (false, _) => settings.outside = Outside::AsThemselves,
                },
                "bridge.host_binding_ipv4" => {
                    settings.default_bind = value.parse().map_err(|_| {
                        Error::invalid(format!("invalid host binding ip address: {value}"))
                    })?;
                }
                "driver.mtu" => {
                    settings.mtu = match value.parse() {
                        Ok(0) => None,
                        Ok(mtu) => Some(mtu),
                        Err(_) => {
                            return Err(Error::invalid(format!(
                                "failed to parse {key} value: {value} (strconv.Atoi: parsing \
                                 {value:?}: invalid syntax)"
                            )));
                        }
                    };
                }
                "bridge.gateway_mode_ipv4" if value == "nat" || value.is_empty() => {}
                "bridge.inhibit_ipv4" | "bridge.trusted_host_interfaces" if value.is_empty() => {}
                "bridge.inhibit_ipv4" if !truth()? => {}
                "enable_ipv4" if truth()? => {}
                "enable_ipv6" if !truth()? => {}
                _ => return Err(Error::unsupported(format!("the network option {key}={value}"))),
            }
        }
        Ok(settings)
    }
}

fn truth(key: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!(
            "failed to parse {key} value: {value} (strconv.ParseBool: parsing {value:?}: invalid \
             syntax)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settings(options: &[(&str, &str)]) -> Result<Settings> {
        let default = Settings {
            name: "br-0".to_owned(),
            mtu: None,
            default_bind: Ipv4Addr::UNSPECIFIED,
            neighbours: Neighbours::Reachable,
            outside: Outside::AsHost,
        };
        let owned = |(key, value): &(&str, &str)| (format!("{PREFIX}{key}"), (*value).to_owned());
        Settings::with_options(default, &options.iter().map(owned).collect())
    }

    #[test]
    fn options_are_read_by_dockers_names() {
        let settings = settings(&[
            ("bridge.name", "mine"),
            ("bridge.enable_icc", "false"),
            ("bridge.enable_ip_masquerade", "0"),
            ("bridge.host_binding_ipv4", "127.0.0.1"),
            ("driver.mtu", "1400"),
        ])
        .unwrap();
        assert_eq!((settings.name.as_str(), settings.mtu), ("mine", Some(1400)));
        assert_eq!(settings.neighbours, Neighbours::Apart);
        assert_eq!(settings.outside, Outside::AsThemselves);
        assert_eq!(settings.default_bind, Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn what_is_wrong_or_unknown_is_named() {
        let kind = |key, value| settings(&[(key, value)]).unwrap_err().kind();
        assert_eq!(kind("driver.mtu", "many"), Kind::Invalid);
        assert_eq!(kind("bridge.enable_icc", "perhaps"), Kind::Invalid);
        assert_eq!(kind("bridge.host_binding_ipv4", "::1"), Kind::Invalid);
        assert_eq!(kind("bridge.gateway_mode_ipv4", "routed"), Kind::Unsupported);
        let unknown = settings(&[("bridge.nmae", "x")]).unwrap_err().to_string();
        assert!(unknown.contains("com.docker.network.bridge.nmae=x"), "{unknown}");
    }
}
