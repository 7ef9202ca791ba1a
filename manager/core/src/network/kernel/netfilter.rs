//! What the messages to the parts of netfilter have in common, from the uapi header `nfnetlink.h`.

/// The type of a message of this kind to this part of netfilter.
pub(in crate::network) fn message(part: i32, kind: i32) -> u16 {
    ((part as u16) << 8) | kind as u16
}

/// The beginning of a body that is about IPv4.
pub(in crate::network) fn ipv4() -> Vec<u8> {
    body(libc::NFPROTO_IPV4 as u8, 0)
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
