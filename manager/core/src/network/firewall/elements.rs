//! Adding and removing elements of the table's maps, by nfnetlink messages of our own: that takes
//! microseconds, where the program nft takes milliseconds.
//!
//! The layouts are those of the kernel's uapi headers `nfnetlink.h` and `nf_tables.h`, and those in
//! which nft stores keys of several fields: each field padded to four bytes.

use super::Published;
use super::ruleset::{BY_ADDRESS, EVERYWHERE};
use crate::error::Result;
use crate::network::endpoint::Protocol;
use crate::network::kernel::netlink::{Batch, Netlink, Refusal};

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
/// Says that an attribute consists of attributes.
const NLA_F_NESTED: u16 = 1 << 15;
/// The kind of user data that nft shows as a comment.
const COMMENT: u8 = 0;

/// Whether the table is there.
pub(super) fn table_exists(netlink: &Netlink, table: &str) -> Result<bool> {
    let mut body = header(libc::NFPROTO_IPV4 as u8, 0);
    put_text(&mut body, NFTA_TABLE_NAME, table);
    let mut question = Batch::default();
    question.push(format!("look for the table {table}"), message(libc::NFT_MSG_GETTABLE), 0, &body);
    match netlink.ask(&question) {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.errno == libc::ENOENT => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
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
        put(element, NFTA_SET_ELEM_KEY | NLA_F_NESTED, |key| {
            put_bytes(key, NFTA_DATA_VALUE, &key_of(port));
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
    let boundary = header(libc::AF_UNSPEC as u8, libc::NFNL_SUBSYS_NFTABLES as u16);
    let mut batch = Batch::default();
    batch.push_silent(libc::NFNL_MSG_BATCH_BEGIN as u16, &boundary);
    batch.push(doing, message(kind), flags, body);
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

fn message(kind: i32) -> u16 {
    ((libc::NFNL_SUBSYS_NFTABLES as u16) << 8) | kind as u16
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

fn element_list(
    table: &str,
    map: &str,
    ports: &[&Published],
    fill: impl Fn(&mut Vec<u8>, &Published),
) -> Vec<u8> {
    let mut body = header(libc::NFPROTO_IPV4 as u8, 0);
    put_text(&mut body, NFTA_SET_ELEM_LIST_TABLE, table);
    put_text(&mut body, NFTA_SET_ELEM_LIST_SET, map);
    put(&mut body, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, |list| {
        for port in ports {
            put(list, NFTA_LIST_ELEM | NLA_F_NESTED, |element| fill(element, port));
        }
    });
    body
}

fn put_element(element: &mut Vec<u8>, published: &Published) {
    put(element, NFTA_SET_ELEM_KEY | NLA_F_NESTED, |key| {
        put_bytes(key, NFTA_DATA_VALUE, &key_of(published));
    });
    put(element, NFTA_SET_ELEM_DATA | NLA_F_NESTED, |data| {
        let mut value = published.address.octets().to_vec();
        value.extend(padded_port(published.port.container_port));
        put_bytes(data, NFTA_DATA_VALUE, &value);
    });
    put(element, NFTA_SET_ELEM_USERDATA, |comment| {
        comment.push(COMMENT);
        comment.push(u8::try_from(published.container.len() + 1).unwrap_or(u8::MAX));
        comment.extend(published.container.bytes().take(usize::from(u8::MAX) - 1));
        comment.push(0);
    });
}

fn key_of(published: &Published) -> Vec<u8> {
    let port = &published.port;
    let mut key = Vec::with_capacity(12);
    if !port.host_ip.is_unspecified() {
        key.extend(port.host_ip.octets());
    }
    let protocol = match port.protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    };
    key.extend([protocol as u8, 0, 0, 0]);
    key.extend(padded_port(port.host_port));
    key
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    put(bytes, kind, |value| {
        value.extend(text.bytes());
        value.push(0);
    });
}

fn put_bytes(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    put(bytes, kind, |bytes| bytes.extend(value));
}

/// Appends a netlink attribute, whose value `fill` writes.
fn put(bytes: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    fill(&mut value);
    bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
