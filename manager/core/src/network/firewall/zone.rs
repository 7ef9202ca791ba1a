//! A bridge as the packet filter sees it: which sets of the table it is in.

use super::ruleset::{BRIDGES_SET, HIDDEN, NEIGHBOURS, SEALED, SUBNETS};
use crate::network::bridge::settings::{Neighbours, Outside};
use crate::network::info::Subnet;

/// A bridge, and who may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct Zone {
    pub(in crate::network) bridge: String,
    pub(in crate::network) subnet: Subnet,
    pub(in crate::network) neighbours: Neighbours,
    pub(in crate::network) outside: Outside,
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
        let Self { bridge, subnet, .. } = self;
        let mut sets = vec![(BRIDGES_SET, format!("\"{bridge}\"")), (SUBNETS, subnet.to_string())];
        match self.neighbours {
            Neighbours::Reachable => {
                sets.push((NEIGHBOURS, format!("\"{bridge}\" . \"{bridge}\"")));
            }
            Neighbours::Apart => {}
        }
        match self.outside {
            Outside::AsHost => sets.push((HIDDEN, subnet.to_string())),
            Outside::AsThemselves => {}
            Outside::Unreachable => sets.push((SEALED, format!("\"{bridge}\""))),
        }
        sets.iter()
            .map(|(set, element)| format!("{verb} element ip {table} {set} {{ {element} }}\n"))
            .collect()
    }
}
