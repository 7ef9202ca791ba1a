//! How a stacked network shall be: what its options say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layer::Layer;
use super::parent::{Makers, Parent};
use crate::error::{Error, Kind, Result};
use crate::network::kernel::netlink::Netlink;

/// How the names of docker's general options for networks begin.
const GENERAL: &str = "com.docker.network.";
/// The option for the MTU of containers' interfaces.
const MTU: &str = "com.docker.network.driver.mtu";

/// How a stacked network shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) struct Settings {
    pub(in crate::network) layer: Layer,
    pub(in crate::network) parent: Parent,
    /// The MTU of its interfaces; none: their parent's.
    pub(in crate::network) mtu: Option<u32>,
    /// Whether its user says that its containers reach nothing else.
    pub(in crate::network) internal: bool,
}

impl Settings {
    /// What the options of a network with this id say to the driver `driver`. Options of others than
    /// docker's are passed over, as there: they are for people.
    ///
    /// # Errors
    /// `System`, as with docker, for what can't be; `Unsupported` for what the kernel lacks, and for
    /// an option of docker's that this driver doesn't have.
    pub(in crate::network) fn read(
        driver: StackedDriver,
        network: &str,
        options: &BTreeMap<String, String>,
        makers: &Makers,
        netlink: &Netlink,
    ) -> Result<Self> {
        let mut options: BTreeMap<_, _> =
            options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let layer = match driver {
            StackedDriver::Macvlan => Layer::macvlan(&mut options)?,
            StackedDriver::Ipvlan => Layer::ipvlan(&mut options)?,
        };
        let mtu = options.remove(MTU).map(mtu).transpose()?.flatten();
        let parent = options.remove("parent");
        let settled = ["enable_ipv4", "enable_ipv6"];
        for (key, value) in options {
            match key.strip_prefix(GENERAL) {
                // What addresses the network has is settled before.
                Some(option) if settled.contains(&option) => {}
                Some(_) => {
                    let driver = layer.name();
                    let what = format!("the network option {key}={value} of the driver {driver}");
                    return Err(Error::unsupported(what));
                }
                None => tracing::debug!(key, value, "an option that the driver doesn't have"),
            }
        }
        layer.check_kernel(netlink)?;
        let parent = Parent::named(parent, layer, network, makers, netlink)?;
        Ok(Self { layer, parent, mtu, internal: false })
    }

    /// Whether a network like this can be beside another one, whose id this is.
    ///
    /// # Errors
    /// [`Kind::System`] if both need the parent for themselves, in docker's words.
    pub(in crate::network) fn check_beside(&self, other: &Self, id: &str) -> Result<()> {
        let parent = self.parent.name();
        if parent != other.parent.name() {
            return Ok(());
        }
        let words = match (self.layer, other.layer) {
            (Layer::Ipvlan(..), Layer::Ipvlan(..)) => {
                let short: String = id.chars().take(12).collect();
                format!("network di-{short} is already using parent interface {parent}")
            }
            (one, _) if one.is_alone() => format!(
                "cannot use mode passthru, {} network {id} is already using parent interface \
                 {parent}",
                other.layer.name()
            ),
            (_, two) if two.is_alone() => format!(
                "macvlan network {id} is already using parent interface {parent} in mode passthru"
            ),
            _ => return Ok(()),
        };
        Err(Error::new(Kind::System, words))
    }

    /// Whether its containers reach anything else.
    pub(in crate::network) fn leads_out(&self) -> bool {
        !self.internal && self.parent.leads_out()
    }
}

/// A driver whose networks are stacked on an interface of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum StackedDriver {
    Macvlan,
    Ipvlan,
}

fn mtu(value: &str) -> Result<Option<u32>> {
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(mtu) => Ok(Some(mtu)),
        Err(_) => Err(Error::invalid(format!(
            "failed to parse {MTU} value: {value} (strconv.Atoi: parsing {value:?}: invalid syntax)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::{Flag, Ipvlan, Macvlan};
    use super::*;

    fn on(parent: &str, layer: Layer) -> Settings {
        Settings { layer, parent: Parent::Given(parent.to_owned()), mtu: None, internal: false }
    }

    #[test]
    fn a_parent_is_shared_but_with_who_needs_it_alone() {
        let bridge = on("eth0", Layer::Macvlan(Macvlan::Bridge));
        let alone = on("eth0", Layer::Macvlan(Macvlan::Passthru));
        let ipvlan = on("eth0", Layer::Ipvlan(Ipvlan::L2, Flag::Bridge));
        bridge.check_beside(&bridge, "id").unwrap();
        alone.check_beside(&on("eth1", Layer::Macvlan(Macvlan::Passthru)), "id").unwrap();
        let said = |one: &Settings, other| {
            one.check_beside(other, "0123456789abcdef").unwrap_err().to_string()
        };
        assert_eq!(
            said(&alone, &bridge),
            "cannot use mode passthru, macvlan network 0123456789abcdef is already using parent \
             interface eth0"
        );
        assert_eq!(
            said(&bridge, &alone),
            "macvlan network 0123456789abcdef is already using parent interface eth0 in mode passthru"
        );
        assert_eq!(
            said(&ipvlan, &ipvlan),
            "network di-0123456789ab is already using parent interface eth0"
        );
    }
}
