//! Whether all rules are still in the table that were put there.
//!
//! Rules are told apart by numbers, which the kernel gives them and never gives again. What others
//! add to the table is theirs.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::network::kernel::attributes::{find, put_text};
use crate::network::kernel::netfilter;
use crate::network::kernel::netlink::{Batch, Netlink};

/// The part of netfilter that these messages are for.
const TABLES: i32 = libc::NFNL_SUBSYS_NFTABLES;

// Attributes, from `nf_tables.h`.
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_HANDLE: u16 = 3;

/// The numbers of a table's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape(BTreeSet<u64>);

impl Shape {
    /// As the table is now; without rules if it isn't there.
    pub(super) fn of(netlink: &Netlink, table: &str) -> Result<Self> {
        let mut body = netfilter::any();
        put_text(&mut body, NFTA_RULE_TABLE, table);
        let kind = netfilter::message(TABLES, libc::NFT_MSG_GETRULE);
        let mut question = Batch::default();
        question.push(format!("list the rules of {table}"), kind, libc::NLM_F_DUMP, &body);
        let rules = netlink.ask(&question)?;
        Ok(Self(rules.iter().filter_map(|rule| handle(rule, table)).collect()))
    }

    /// Whether this table has all rules of that one.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }
}

/// Whether a message of the kernel says that a rule was taken out of the table.
pub(super) fn is_loss_of(table: &str, kind: u16, body: &[u8]) -> bool {
    kind == netfilter::message(TABLES, libc::NFT_MSG_DELRULE)
        && body.get(netfilter::HEADER..).is_some_and(|attributes| is_in(attributes, table))
}

fn is_in(attributes: &[u8], table: &str) -> bool {
    find(attributes, NFTA_RULE_TABLE).and_then(|name| name.strip_suffix(&[0]))
        == Some(table.as_bytes())
}

fn handle(body: &[u8], table: &str) -> Option<u64> {
    let attributes = body.get(netfilter::HEADER..)?;
    let handle = find(attributes, NFTA_RULE_HANDLE)?;
    is_in(attributes, table).then(|| handle.first_chunk().copied().map(u64::from_be_bytes))?
}
