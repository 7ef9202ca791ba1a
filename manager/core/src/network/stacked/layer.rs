//! What kind of interface a container gets, and who reaches whom by it.

use std::collections::BTreeMap;

use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, IpVlanFlags, IpVlanMode, LinkInfo, MacVlanMode,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::kernel::netlink::Netlink;

/// A kind of interface that stands on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::network) enum Layer {
    /// Each has a hardware address of its own.
    Macvlan(Macvlan),
    /// All have their parent's hardware address, and are told apart by their IP addresses.
    Ipvlan(Ipvlan, Flag),
}

/// Who reaches whom on a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::network) enum Macvlan {
    /// Containers reach each other.
    Bridge,
    /// They don't, not even by a switch that sends packets back.
    Private,
    /// They do by a switch that sends packets back.
    Vepa,
    /// There is but one, which has the parent for itself.
    Passthru,
}

/// What of its parent an interface takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::network) enum Ipvlan {
    /// In its wire.
    L2,
    /// In its routes alone: there are neither broadcasts nor neighbours.
    L3,
    /// The same, and the host's packet filter sees what passes.
    L3s,
}

/// Who reaches whom on a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::network) enum Flag {
    /// Containers reach each other.
    Bridge,
    /// They don't.
    Private,
    /// They do by a switch that sends packets back.
    Vepa,
}

impl Layer {
    /// What a network's options say of it; it takes those that it knows away from them.
    ///
    /// # Errors
    /// `System`, as with docker, for values that aren't known.
    pub(super) fn macvlan(options: &mut BTreeMap<&str, &str>) -> Result<Self> {
        let mode = match options.remove("macvlan_mode").unwrap_or_default() {
            "" | "bridge" => Macvlan::Bridge,
            "private" => Macvlan::Private,
            "vepa" => Macvlan::Vepa,
            "passthru" => Macvlan::Passthru,
            mode => return Err(not_valid("macvlan", "mode", mode, "'bridge' mode")),
        };
        Ok(Self::Macvlan(mode))
    }

    /// The same.
    ///
    /// # Errors
    /// The same.
    pub(super) fn ipvlan(options: &mut BTreeMap<&str, &str>) -> Result<Self> {
        let mode = match options.remove("ipvlan_mode").unwrap_or_default() {
            "" | "l2" => Ipvlan::L2,
            "l3" => Ipvlan::L3,
            "l3s" => Ipvlan::L3s,
            mode => return Err(not_valid("ipvlan", "mode", mode, "'l2' mode")),
        };
        let flag = match options.remove("ipvlan_flag").unwrap_or_default() {
            "" | "bridge" => Flag::Bridge,
            "private" => Flag::Private,
            "vepa" => Flag::Vepa,
            flag => return Err(not_valid("ipvlan", "flag", flag, "'bridge'")),
        };
        Ok(Self::Ipvlan(mode, flag))
    }

    /// The driver's name.
    pub(in crate::network) fn name(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }

    /// Whether only one interface can stand on a parent.
    pub(super) fn is_alone(self) -> bool {
        match self {
            Self::Macvlan(mode) => mode == Macvlan::Passthru,
            Self::Ipvlan(..) => false,
        }
    }

    /// Whether its interfaces have hardware addresses that can be chosen.
    pub(super) fn has_own_macs(self) -> bool {
        matches!(self, Self::Macvlan(_))
    }

    /// Whether its containers reach everything else by the interface itself, and not by a gateway.
    pub(super) fn routes(self) -> bool {
        matches!(self, Self::Ipvlan(Ipvlan::L3 | Ipvlan::L3s, _))
    }

    /// What the kernel has to know of such an interface.
    pub(super) fn info(self) -> Vec<LinkInfo> {
        let data = match self {
            Self::Macvlan(mode) => InfoData::MacVlan(vec![InfoMacVlan::Mode(match mode {
                Macvlan::Bridge => MacVlanMode::Bridge,
                Macvlan::Private => MacVlanMode::Private,
                Macvlan::Vepa => MacVlanMode::Vepa,
                Macvlan::Passthru => MacVlanMode::Passthrough,
            })]),
            Self::Ipvlan(mode, flag) => InfoData::IpVlan(vec![
                InfoIpVlan::Mode(match mode {
                    Ipvlan::L2 => IpVlanMode::L2,
                    Ipvlan::L3 => IpVlanMode::L3,
                    Ipvlan::L3s => IpVlanMode::L3S,
                }),
                InfoIpVlan::Flags(match flag {
                    Flag::Bridge => IpVlanFlags::empty(),
                    Flag::Private => IpVlanFlags::Private,
                    Flag::Vepa => IpVlanFlags::Vepa,
                }),
            ]),
        };
        vec![LinkInfo::Kind(self.kind()), LinkInfo::Data(data)]
    }

    /// Makes sure that the kernel has such interfaces.
    ///
    /// # Errors
    /// `Unsupported` if it has not.
    pub(super) fn check_kernel(self, netlink: &Netlink) -> Result<()> {
        match netlink.has_kind(self.kind())? {
            true => Ok(()),
            false => Err(lacks(self.name())),
        }
    }

    fn kind(self) -> InfoKind {
        match self {
            Self::Macvlan(_) => InfoKind::MacVlan,
            Self::Ipvlan(..) => InfoKind::IpVlan,
        }
    }
}

/// The kernel was built without something that has this name, or doesn't find its module.
pub(super) fn lacks(kind: &str) -> Error {
    let setting = match kind {
        "vlan" => "CONFIG_VLAN_8021Q, module 8021q".to_owned(),
        kind => format!("CONFIG_{}, module {kind}", kind.to_uppercase()),
    };
    Error::unsupported(format!(
        "{kind} interfaces: the kernel of this host has none ({setting}); networks that need them"
    ))
}

fn not_valid(driver: &str, what: &str, value: &str, default: &str) -> Error {
    Error::system(format!(
        "requested {driver} {what} '{value}' is not valid, {default} is the {driver} driver default"
    ))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn of(
        driver: fn(&mut BTreeMap<&str, &str>) -> Result<Layer>,
        options: &[(&str, &str)],
    ) -> Result<Layer> {
        let mut options = options.iter().copied().collect();
        let layer = driver(&mut options)?;
        assert!(options.is_empty(), "{options:?}");
        Ok(layer)
    }

    #[test]
    fn modes_are_read_and_the_first_is_the_default() {
        let macvlan = |mode| of(Layer::macvlan, &[("macvlan_mode", mode)]).unwrap();
        assert_eq!(of(Layer::macvlan, &[]).unwrap(), Layer::Macvlan(Macvlan::Bridge));
        assert_eq!(macvlan(""), Layer::Macvlan(Macvlan::Bridge));
        assert_eq!(macvlan("private"), Layer::Macvlan(Macvlan::Private));
        assert_eq!(macvlan("vepa"), Layer::Macvlan(Macvlan::Vepa));
        assert!(macvlan("passthru").is_alone());
        assert_eq!(of(Layer::ipvlan, &[]).unwrap(), Layer::Ipvlan(Ipvlan::L2, Flag::Bridge));
        let l3s = of(Layer::ipvlan, &[("ipvlan_mode", "l3s"), ("ipvlan_flag", "vepa")]).unwrap();
        assert_eq!(l3s, Layer::Ipvlan(Ipvlan::L3s, Flag::Vepa));
        assert!(l3s.routes() && !l3s.has_own_macs() && !l3s.is_alone());
    }

    #[test]
    fn what_is_wrong_is_said_in_dockers_words() {
        let said = |layer: Result<Layer>| layer.unwrap_err().to_string();
        assert_eq!(
            said(of(Layer::macvlan, &[("macvlan_mode", "foo")])),
            "requested macvlan mode 'foo' is not valid, 'bridge' mode is the macvlan driver default"
        );
        assert_eq!(
            said(of(Layer::ipvlan, &[("ipvlan_mode", "l9")])),
            "requested ipvlan mode 'l9' is not valid, 'l2' mode is the ipvlan driver default"
        );
        assert_eq!(
            said(of(Layer::ipvlan, &[("ipvlan_flag", "x")])),
            "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default"
        );
    }

    /// As `ip link add link par type ipvlan mode l3 vepa` sends it.
    #[test]
    fn the_kernel_is_told_the_mode_and_the_flag() {
        let sent = |layer: Layer| {
            let mut bytes = vec![0; layer.info().as_slice().buffer_len()];
            layer.info().as_slice().emit(&mut bytes);
            bytes
        };
        let ipvlan = sent(Layer::Ipvlan(Ipvlan::L3, Flag::Vepa));
        assert_eq!(ipvlan[4..10], *b"ipvlan");
        assert!(ipvlan.ends_with(&[6, 0, 1, 0, 1, 0, 0, 0, 6, 0, 2, 0, 2, 0, 0, 0]), "{ipvlan:?}");
        let macvlan = sent(Layer::Macvlan(Macvlan::Passthru));
        assert!(macvlan.ends_with(&[8, 0, 1, 0, 8, 0, 0, 0]), "{macvlan:?}");
    }
}
