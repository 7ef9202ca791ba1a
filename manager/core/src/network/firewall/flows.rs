//! Making the kernel forget flows that it would go on sending the old way.
//!
//! The maps are only asked about the first packet of a flow. For a protocol without connections a
//! flow ends only when nobody has sent anything for a while: a client that never stops would
//! forever be sent to a container that is gone (and in the end to another, which has got its
//! address), or to nobody, if it began before the port was published.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Result;
use crate::network::endpoint::PublishedPort;
use crate::network::family::{Family, octets};
use crate::network::kernel::attributes::{find, find_nested, put, put_nested};
use crate::network::kernel::netfilter;
use crate::network::kernel::netlink::{Batch, Netlink};

/// The part of netfilter that knows the flows.
const FLOWS: i32 = libc::NFNL_SUBSYS_CTNETLINK;

// Messages and attributes, from `nfnetlink_conntrack.h`.
const IPCTNL_MSG_CT_GET: i32 = 1;
const IPCTNL_MSG_CT_DELETE: i32 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
// What to compare, from the kernel's `nf_internals.h`.
const BY_SOURCE_ADDRESS: u32 = 1 << 0;
const BY_PROTOCOL: u32 = 1 << 3;
const BY_DESTINATION_PORT: u32 = 1 << 5;

/// Forgets the flows whose answers come from `container`: those that published ports led to it.
pub(super) fn forget_led_to(netlink: &Netlink, container: IpAddr) -> Result<()> {
    let family = Family::of(container);
    let source = match family {
        Family::V4 => CTA_IP_V4_SRC,
        Family::V6 => CTA_IP_V6_SRC,
    };
    let mut body = netfilter::flows(family);
    put_nested(&mut body, CTA_TUPLE_REPLY, |tuple| {
        put_nested(tuple, CTA_TUPLE_IP, |ip| put(ip, source, &octets(container)));
    });
    put_nested(&mut body, CTA_FILTER, |filter| {
        put(filter, CTA_FILTER_REPLY_FLAGS, &BY_SOURCE_ADDRESS.to_ne_bytes());
    });
    let flows = list(netlink, &body)?;
    delete(netlink, family, flows.iter().map(Vec::as_slice))
}

/// Forgets the flows to a port of the host that was just published; `local` are the host's own
/// addresses.
pub(super) fn forget_sent_to(
    netlink: &Netlink,
    port: &PublishedPort,
    local: &[IpAddr],
) -> Result<()> {
    let family = Family::of(port.host_ip);
    let mut body = netfilter::flows(family);
    put_nested(&mut body, CTA_TUPLE_ORIG, |tuple| {
        put_nested(tuple, CTA_TUPLE_PROTO, |protocol| {
            put(protocol, CTA_PROTO_NUM, &[port.protocol.number()]);
            put(protocol, CTA_PROTO_DST_PORT, &port.host_port.to_be_bytes());
        });
    });
    put_nested(&mut body, CTA_FILTER, |filter| {
        let flags = BY_PROTOCOL | BY_DESTINATION_PORT;
        put(filter, CTA_FILTER_ORIG_FLAGS, &flags.to_ne_bytes());
    });
    let flows = list(netlink, &body)?;
    let is_ours = |flow: &&[u8]| {
        destination(flow, family).is_some_and(|address| match port.host_ip.is_unspecified() {
            true => address.is_loopback() || local.contains(&address),
            false => address == port.host_ip,
        })
    };
    delete(netlink, family, flows.iter().map(Vec::as_slice).filter(is_ours))
}

/// The flows that a filter lets through, each as the attributes that describe it.
fn list(netlink: &Netlink, filter: &[u8]) -> Result<Vec<Vec<u8>>> {
    let kind = netfilter::message(FLOWS, IPCTNL_MSG_CT_GET);
    let mut question = Batch::default();
    question.push("list flows", kind, libc::NLM_F_DUMP, filter);
    let mut flows = netlink.ask(&question)?;
    for flow in &mut flows {
        flow.drain(..netfilter::HEADER.min(flow.len()));
    }
    Ok(flows)
}

fn delete<'a>(
    netlink: &Netlink,
    family: Family,
    flows: impl Iterator<Item = &'a [u8]>,
) -> Result<()> {
    for flow in flows {
        let (Some(tuple), Some(id)) = (find(flow, CTA_TUPLE_ORIG), find(flow, CTA_ID)) else {
            continue;
        };
        let mut body = netfilter::flows(family);
        put_nested(&mut body, CTA_TUPLE_ORIG, |bytes| bytes.extend(tuple));
        put(&mut body, CTA_ID, id);
        let mut batch = Batch::default();
        batch.push("forget a flow", netfilter::message(FLOWS, IPCTNL_MSG_CT_DELETE), 0, &body);
        match netlink.run(&batch) {
            // It has ended by itself.
            Err(refusal) if refusal.errno == libc::ENOENT => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn destination(flow: &[u8], family: Family) -> Option<IpAddr> {
    let address = |kind| find_nested(flow, &[CTA_TUPLE_ORIG, CTA_TUPLE_IP, kind]);
    Some(match family {
        Family::V4 => Ipv4Addr::from(*address(CTA_IP_V4_DST)?.first_chunk::<4>()?).into(),
        Family::V6 => Ipv6Addr::from(*address(CTA_IP_V6_DST)?.first_chunk::<16>()?).into(),
    })
}
