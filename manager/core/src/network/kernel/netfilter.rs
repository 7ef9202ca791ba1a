//! What the messages to the parts of netfilter have in common, from the uapi header `nfnetlink.h`.

use crate::network::family::Family;

/// The type of a message of this kind to this part of netfilter.
pub(in crate::network) fn message(part: i32, kind: i32) -> u16 {
    ((part as u16) << 8) | kind as u16
}

/// The family of our tables: both kinds of addresses.
pub(in crate::network) const TABLES_FAMILY: u8 = libc::NFPROTO_INET as u8;

/// The beginning of a body that is about our tables.
pub(in crate::network) fn tables() -> Vec<u8> {
    body(TABLES_FAMILY, 0)
}

/// The beginning of a body that is about flows between addresses of this kind.
pub(in crate::network) fn flows(family: Family) -> Vec<u8> {
    let family = match family {
        Family::V4 => libc::NFPROTO_IPV4,
        Family::V6 => libc::NFPROTO_IPV6,
    };
    body(family as u8, 0)
}

/// The beginning of a body that is about all families.
pub(in crate::network) fn any() -> Vec<u8> {
    body(libc::AF_UNSPEC as u8, 0)
}

/// The body of the messages that begin and end a transaction in this part of netfilter.
pub(in crate::network) fn boundary_of(part: i32) -> Vec<u8> {
    body(libc::AF_UNSPEC as u8, part as u16)
}

/// The length of what such a body begins with, `struct nfgenmsg`.
pub(in crate::network) const HEADER: usize = 4;

fn body(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, libc::NFNETLINK_V0 as u8, high, low]
}
