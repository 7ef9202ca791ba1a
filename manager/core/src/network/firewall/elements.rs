//! Adding and removing elements of the table's maps, by nfnetlink messages of our own: that takes
//! microseconds, where the program nft takes milliseconds.
//!
//! The layouts are those of the kernel's uapi headers `nfnetlink.h` and `nf_tables.h`, and those in
//! which nft stores keys of several fields: each field padded to four bytes.

use std::collections::BTreeMap;

use super::Published;
use super::ruleset::{BY_ADDRESS, DIRECT, EVERYWHERE, name_for};
use crate::error::Result;
use crate::network::family::{Family, octets};
use crate::network::kernel::attributes::{find, put, put_nested, put_text};
use crate::network::kernel::netfilter;
use crate::network::kernel::netlink::{Batch, Netlink, Refusal};

/// The part of netfilter that these messages are for.
const TABLES: i32 = libc::NFNL_SUBSYS_NFTABLES;
/// Elements in one transaction; a message's attribute can hold 64 KiB.
const AT_ONCE: usize = 256;

// Attributes, from `nf_tables.h`.
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_DATA_VALUE: u16 = 1;
/// The kind of user data that nft shows as a comment.
const COMMENT: u8 = 0;
/// What fits into it, in bytes.
const LONGEST_COMMENT: usize = 128;

/// Whether the table is there.
pub(super) fn table_exists(netlink: &Netlink, table: &str) -> Result<bool> {
    let mut body = netfilter::tables();
    put_text(&mut body, NFTA_TABLE_NAME, table);
    let mut question = Batch::default();
    question.push(
        format!("look for the table {table}"),
        netfilter::message(TABLES, libc::NFT_MSG_GETTABLE),
        0,
        &body,
    );
    match netlink.ask(&question) {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.errno == libc::ENOENT => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Whether a message of the kernel says that the table was deleted.
pub(super) fn is_deletion_of(table: &str, kind: u16, body: &[u8]) -> bool {
    let name = || find(body.get(netfilter::HEADER..)?, NFTA_TABLE_NAME)?.strip_suffix(&[0]);
    kind == netfilter::message(TABLES, libc::NFT_MSG_DELTABLE)
        && body.first() == Some(&netfilter::TABLES_FAMILY)
        && name() == Some(table.as_bytes())
}

/// One element of a set or map, which stands for a published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// The set's name.
    set: String,
    /// As nft writes it.
    key: String,
    /// As the kernel has it.
    key_bytes: Vec<u8>,
    /// Where a map leads, as nft writes it and as the kernel has it.
    value: Option<(String, Vec<u8>)>,
    /// The container's id, for people who list the table.
    comment: String,
}

impl Published {
    /// What stands for it in the table.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> + use<> {
        let (port, family) = (&self.port, Family::of(self.address));
        let (protocol, name) = (port.protocol.number(), port.protocol.name());
        let place = |address: Option<std::net::IpAddr>, number: u16| {
            let mut bytes = address.map(octets).unwrap_or_default();
            bytes.extend([protocol, 0, 0, 0]);
            bytes.extend(padded_port(number));
            let before = address.map(|address| format!("{address} . ")).unwrap_or_default();
            (format!("{before}{name} . {number}"), bytes)
        };
        let of = |set, (key, key_bytes): (String, Vec<u8>), value| Element {
            set: name_for(set, family),
            key,
            key_bytes,
            value,
            comment: self.container.clone(),
        };
        let translated = (port.host_port != 0).then(|| {
            let mut bytes = octets(self.address);
            bytes.extend(padded_port(port.container_port));
            let value = Some((format!("{} . {}", self.address, port.container_port), bytes));
            match port.host_ip.is_unspecified() {
                true => of(EVERYWHERE, place(None, port.host_port), value),
                false => of(BY_ADDRESS, place(Some(port.host_ip), port.host_port), value),
            }
        });
        let direct = (self.is_direct || port.host_port == 0)
            .then(|| of(DIRECT, place(Some(self.address), port.container_port), None));
        translated.into_iter().chain(direct)
    }
}

impl Element {
    /// What adds it to the table, as `nft -f` reads it.
    pub(super) fn text(&self, table: &str) -> String {
        let Self { set, key, comment, .. } = self;
        let value = self.value.as_ref().map(|(text, _)| format!(" : {text}")).unwrap_or_default();
        format!("add element inet {table} {set} {{ {key} comment \"{comment}\"{value} }}")
    }

    fn name(&self) -> String {
        format!("{} in {}", self.key, self.set)
    }
}

/// Adds these elements.
pub(super) fn add(netlink: &Netlink, table: &str, elements: &[Element]) -> Result<()> {
    for (set, elements) in by_set(elements) {
        for elements in elements.chunks(AT_ONCE) {
            let doing = format!("publish {}", names(elements));
            let body = element_list(table, set, elements, put_element);
            let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
            commit(netlink, doing, libc::NFT_MSG_NEWSETELEM, flags, &body)?;
        }
    }
    Ok(())
}

/// Removes these elements; those that aren't there are no error.
pub(super) fn remove(netlink: &Netlink, table: &str, elements: &[Element]) -> Result<()> {
    for (set, elements) in by_set(elements) {
        for elements in elements.chunks(AT_ONCE) {
            match remove_together(netlink, table, set, elements) {
                Err(refusal) if refusal.errno == libc::ENOENT => {
                    // The kernel removes all of them or none: leave out those that aren't there.
                    for element in elements {
                        match remove_together(netlink, table, set, &[element]) {
                            Err(refusal) if refusal.errno != libc::ENOENT => {
                                return Err(refusal.into());
                            }
                            _ => {}
                        }
                    }
                }
                outcome => outcome?,
            }
        }
    }
    Ok(())
}

fn remove_together(
    netlink: &Netlink,
    table: &str,
    set: &str,
    elements: &[&Element],
) -> Result<(), Refusal> {
    let doing = format!("withdraw {}", names(elements));
    let body = element_list(table, set, elements, |bytes, element| {
        put_nested(bytes, NFTA_SET_ELEM_KEY, |key| {
            put(key, NFTA_DATA_VALUE, &element.key_bytes);
        });
    });
    commit(netlink, doing, libc::NFT_MSG_DELSETELEM, 0, &body)
}

/// Sends one change as a transaction of its own.
fn commit(
    netlink: &Netlink,
    doing: String,
    kind: i32,
    flags: i32,
    body: &[u8],
) -> Result<(), Refusal> {
    let boundary = netfilter::boundary_of(TABLES);
    let mut batch = Batch::default();
    batch.push_silent(libc::NFNL_MSG_BATCH_BEGIN as u16, &boundary);
    batch.push(doing, netfilter::message(TABLES, kind), flags, body);
    batch.push_silent(libc::NFNL_MSG_BATCH_END as u16, &boundary);
    netlink.run(&batch)
}

fn by_set(elements: &[Element]) -> BTreeMap<&str, Vec<&Element>> {
    let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for element in elements {
        sets.entry(element.set.as_str()).or_default().push(element);
    }
    sets
}

fn names(elements: &[&Element]) -> String {
    elements.iter().map(|element| element.name()).collect::<Vec<_>>().join(", ")
}

fn element_list(
    table: &str,
    set: &str,
    elements: &[&Element],
    fill: impl Fn(&mut Vec<u8>, &Element),
) -> Vec<u8> {
    let mut body = netfilter::tables();
    put_text(&mut body, NFTA_SET_ELEM_LIST_TABLE, table);
    put_text(&mut body, NFTA_SET_ELEM_LIST_SET, set);
    put_nested(&mut body, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        for element in elements {
            put_nested(list, NFTA_LIST_ELEM, |bytes| fill(bytes, element));
        }
    });
    body
}

fn put_element(bytes: &mut Vec<u8>, element: &Element) {
    put_nested(bytes, NFTA_SET_ELEM_KEY, |key| {
        put(key, NFTA_DATA_VALUE, &element.key_bytes);
    });
    if let Some((_, value)) = &element.value {
        put_nested(bytes, NFTA_SET_ELEM_DATA, |data| {
            put(data, NFTA_DATA_VALUE, value);
        });
    }
    put(bytes, NFTA_SET_ELEM_USERDATA, &comment(&element.comment));
}

/// What nft shows as an element's comment: a kind, a length, a text with a zero byte.
fn comment(text: &str) -> Vec<u8> {
    let text = text.as_bytes().iter().copied().take(LONGEST_COMMENT).chain([0]);
    let text: Vec<u8> = text.collect();
    [COMMENT, text.len() as u8].into_iter().chain(text).collect()
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
