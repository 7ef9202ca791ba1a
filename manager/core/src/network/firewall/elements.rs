//! Adding and removing elements of the table's maps, by nfnetlink messages of our own: that takes
//! microseconds, where the program nft takes milliseconds.
//!
//! The layouts are those of the kernel's uapi headers `nfnetlink.h` and `nf_tables.h`, and those in
//! which nft stores keys of several fields: each field padded to four bytes.

use super::Published;
use super::ruleset::{BY_ADDRESS, EVERYWHERE};
use crate::error::Result;
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
    let mut body = netfilter::ipv4();
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
        && body.first() == Some(&(libc::NFPROTO_IPV4 as u8))
        && name() == Some(table.as_bytes())
}

/// Adds elements for these ports.
pub(super) fn add(netlink: &Netlink, table: &str, ports: &[Published]) -> Result<()> {
    for (map, ports) in by_map(ports) {
        for ports in ports.chunks(AT_ONCE) {
            let doing = format!("publish {}", ports.iter().map(name).collect::<Vec<_>>().join(" "));
            let body = element_list(table, map, ports, put_element);
            let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
            commit(netlink, doing, libc::NFT_MSG_NEWSETELEM, flags, &body)?;
        }
    }
    Ok(())
}

/// Removes the elements for these ports; those that aren't there are no error.
pub(super) fn remove(netlink: &Netlink, table: &str, ports: &[Published]) -> Result<()> {
    for (map, ports) in by_map(ports) {
        for ports in ports.chunks(AT_ONCE) {
            match remove_together(netlink, table, map, ports) {
                Err(refusal) if refusal.errno == libc::ENOENT => {
                    // The kernel removes all of them or none: leave out those that aren't there.
                    for port in ports {
                        match remove_together(netlink, table, map, &[port]) {
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
    map: &str,
    ports: &[&Published],
) -> Result<(), Refusal> {
    let doing = format!("withdraw {}", ports.iter().map(name).collect::<Vec<_>>().join(" "));
    let body = element_list(table, map, ports, |element, port| {
        put_nested(element, NFTA_SET_ELEM_KEY, |key| {
            put(key, NFTA_DATA_VALUE, &key_of(port));
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

fn by_map(ports: &[Published]) -> [(&'static str, Vec<&Published>); 2] {
    let (everywhere, by_address) =
        ports.iter().partition(|published| published.port.host_ip.is_unspecified());
    [(EVERYWHERE, everywhere), (BY_ADDRESS, by_address)]
}

fn name(published: &&Published) -> String {
    let port = &published.port;
    format!("{}:{}/{}", port.host_ip, port.host_port, port.protocol)
}

fn element_list(
    table: &str,
    map: &str,
    ports: &[&Published],
    fill: impl Fn(&mut Vec<u8>, &Published),
) -> Vec<u8> {
    let mut body = netfilter::ipv4();
    put_text(&mut body, NFTA_SET_ELEM_LIST_TABLE, table);
    put_text(&mut body, NFTA_SET_ELEM_LIST_SET, map);
    put_nested(&mut body, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        for port in ports {
            put_nested(list, NFTA_LIST_ELEM, |element| fill(element, port));
        }
    });
    body
}

fn put_element(element: &mut Vec<u8>, published: &Published) {
    put_nested(element, NFTA_SET_ELEM_KEY, |key| {
        put(key, NFTA_DATA_VALUE, &key_of(published));
    });
    put_nested(element, NFTA_SET_ELEM_DATA, |data| {
        let mut value = published.address.octets().to_vec();
        value.extend(padded_port(published.port.container_port));
        put(data, NFTA_DATA_VALUE, &value);
    });
    put(element, NFTA_SET_ELEM_USERDATA, &comment(&published.container));
}

/// What nft shows as an element's comment: a kind, a length, a text with a zero byte.
fn comment(text: &str) -> Vec<u8> {
    let text = text.as_bytes().iter().copied().take(LONGEST_COMMENT).chain([0]);
    let text: Vec<u8> = text.collect();
    [COMMENT, text.len() as u8].into_iter().chain(text).collect()
}

fn key_of(published: &Published) -> Vec<u8> {
    let port = &published.port;
    let mut key = Vec::with_capacity(12);
    if !port.host_ip.is_unspecified() {
        key.extend(port.host_ip.octets());
    }
    key.extend([port.protocol.number(), 0, 0, 0]);
    key.extend(padded_port(port.host_port));
    key
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
