//! A bridge as the packet filter sees it: which sets of the table it is in.

use std::net::IpAddr;

use super::ruleset::{
    BRIDGES_SET, DOORS, HIDDEN, NEIGHBOURS, OPEN, PROTECTED, ROUTED, SEALED, SEEN_AS, SUBNETS,
    TRUSTED, name_for,
};
use crate::network::bridge::gateway::GatewayMode;
use crate::network::bridge::settings::{Neighbours, Outside};
use crate::network::family::{ByFamily, number};
use crate::network::info::Subnet;

/// A bridge, and who may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct Zone {
    pub(in crate::network) bridge: String,
    pub(in crate::network) subnets: Vec<Subnet>,
    pub(in crate::network) neighbours: Neighbours,
    pub(in crate::network) outside: Outside,
    pub(in crate::network) gateways: ByFamily<GatewayMode>,
    pub(in crate::network) seen_as: ByFamily<Option<IpAddr>>,
    pub(in crate::network) trusted: Vec<String>,
}

impl Zone {
    /// What puts it into the table, as `nft -f` reads it.
    pub(super) fn added_to(&self, table: &str) -> String {
        self.elements("add", table)
    }

    /// What takes it out again.
    pub(super) fn taken_from(&self, table: &str) -> String {
        self.elements("delete", table)
    }

    fn elements(&self, verb: &str, table: &str) -> String {
        let bridge = format!("\"{}\"", self.bridge);
        let mut sets = vec![(BRIDGES_SET.to_owned(), bridge.clone())];
        match self.neighbours {
            Neighbours::Reachable => {
                sets.push((NEIGHBOURS.to_owned(), format!("{bridge} . {bridge}")));
            }
            Neighbours::Apart => {}
        }
        let door = match self.outside {
            Outside::Unreachable => {
                sets.push((SEALED.to_owned(), bridge.clone()));
                "enter_sealed"
            }
            Outside::AsHost | Outside::AsThemselves => "enter",
        };
        sets.push((DOORS.to_owned(), format!("{bridge} : goto {door}")));
        sets.extend(self.subnets.iter().flat_map(|subnet| self.sets_of(subnet)));
        sets.iter()
            .map(|(set, element)| format!("{verb} element inet {table} {set} {{ {element} }}\n"))
            .collect()
    }

    /// The sets that one of its subnets is in, each with the element there.
    fn sets_of(&self, subnet: &Subnet) -> Vec<(String, String)> {
        let family = subnet.family();
        let mode = *self.gateways.get(family);
        let mut sets = vec![(SUBNETS, subnet.to_string())];
        match mode {
            GatewayMode::Nat | GatewayMode::Isolated => {
                sets.extend(beside_gateway(subnet).into_iter().map(|range| (PROTECTED, range)));
                // Neighbours whose host has no address among theirs, where what a bridge passes on is
                // filtered, too.
                let trusted = self.trusted.iter().chain([&self.bridge]);
                sets.extend(trusted.map(|name| (TRUSTED, format!("{subnet} . \"{name}\""))));
            }
            GatewayMode::Unprotected => sets.push((OPEN, subnet.to_string())),
            GatewayMode::Routed => sets.push((ROUTED, subnet.to_string())),
        }
        if self.outside == Outside::AsHost && mode.hides() {
            sets.push(match self.seen_as.get(family) {
                Some(address) => (SEEN_AS, format!("{subnet} : {address}")),
                None => (HIDDEN, subnet.to_string()),
            });
        }
        sets.into_iter().map(|(set, element)| (name_for(set, family), element)).collect()
    }
}

/// The addresses of a subnet without the host's own, as ranges: what is sent to that one, as are all
/// answers of containers to the host, needs no further look.
fn beside_gateway(subnet: &Subnet) -> Vec<String> {
    let Some(gateway) = subnet.gateway else { return vec![subnet.to_string()] };
    let [first, last] = [subnet.net.network(), subnet.net.broadcast()].map(number);
    let gateway = number(gateway);
    let before = (first < gateway).then(|| [first, gateway - 1]);
    let after = (gateway < last).then(|| [gateway + 1, last]);
    let range = |ends: [u128; 2]| {
        let [first, last] = ends.map(|end| subnet.family().numbered(end));
        // nft takes no range of one.
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    before.into_iter().chain(after).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(outside: Outside, gateways: ByFamily<GatewayMode>) -> Zone {
        let subnet = |gateway: &str, length| Subnet::of(gateway.parse().unwrap(), length);
        Zone {
            bridge: "br-1".to_owned(),
            subnets: vec![subnet("10.1.0.1", 24), subnet("fd00::1", 64)],
            neighbours: Neighbours::Reachable,
            outside,
            gateways,
            seen_as: ByFamily { ipv4: Some("192.0.2.1".parse().unwrap()), ipv6: None },
            trusted: vec!["eth1".to_owned()],
        }
    }

    #[test]
    fn each_subnet_is_in_the_sets_of_its_kind() {
        let text = zone(Outside::AsHost, ByFamily::default()).added_to("t");
        for line in [
            "add element inet t bridges { \"br-1\" }",
            "add element inet t neighbours { \"br-1\" . \"br-1\" }",
            "add element inet t seen_as { 10.1.0.0/24 : 192.0.2.1 }",
            "add element inet t doors { \"br-1\" : goto enter }",
            "add element inet t protected { 10.1.0.0 }",
            "add element inet t protected { 10.1.0.2-10.1.0.255 }",
            "add element inet t protected6 { fd00:: }",
            "add element inet t protected6 { fd00::2-fd00::ffff:ffff:ffff:ffff }",
            "add element inet t hidden6 { fd00::/64 }",
            "add element inet t trusted6 { fd00::/64 . \"eth1\" }",
            "add element inet t trusted6 { fd00::/64 . \"br-1\" }",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(" hidden {"), "{text}");
    }

    #[test]
    fn what_is_routed_is_not_hidden_and_what_is_internal_is_sealed() {
        let routed = ByFamily { ipv4: GatewayMode::Routed, ipv6: GatewayMode::Unprotected };
        let text = zone(Outside::AsHost, routed).taken_from("t");
        assert!(text.contains("delete element inet t routed { 10.1.0.0/24 }"), "{text}");
        assert!(text.contains("open6 { fd00::/64 }") && !text.contains("seen_as"), "{text}");
        assert!(!text.contains("protected"), "{text}");
        let text = zone(Outside::Unreachable, ByFamily::default()).added_to("t");
        assert!(text.contains("sealed { \"br-1\" }") && !text.contains("hidden"), "{text}");
        assert!(text.contains("doors { \"br-1\" : goto enter_sealed }"), "{text}");
    }

    #[test]
    fn a_gateway_may_be_at_the_edge_or_not_there() {
        let at = |gateway: &str| Subnet::of(gateway.parse().unwrap(), 30);
        assert_eq!(beside_gateway(&at("10.1.0.0")), ["10.1.0.1-10.1.0.3"]);
        assert_eq!(beside_gateway(&at("10.1.0.3")), ["10.1.0.0-10.1.0.2"]);
        assert_eq!(beside_gateway(&Subnet::of("10.1.0.1".parse().unwrap(), 32)), [""; 0]);
        let alone = Subnet { gateway: None, ..at("10.1.0.1") };
        assert_eq!(beside_gateway(&alone), ["10.1.0.0/30"]);
    }
}
