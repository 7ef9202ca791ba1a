//! Requests about routes.

use std::net::Ipv4Addr;

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::link::bytes;
use super::netlink::{Batch, Netlink};
use crate::error::Result;

/// A route of the main table that isn't the default one.
pub(in crate::network) struct Route {
    pub(in crate::network) destination: Ipv4Addr,
    pub(in crate::network) prefix_length: u8,
    /// The number of the link that it leads to, if it is one.
    pub(in crate::network) link: Option<u32>,
    /// Whether who it leads to is on the link itself, behind no other host.
    pub(in crate::network) is_on_link: bool,
}

impl Batch {
    /// Sends everything that has no better route to `gateway`, and nowhere else any more.
    pub(in crate::network) fn set_default_route(&mut self, gateway: Ipv4Addr) {
        let mut message = default_route();
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let doing = format!("set the default route to {gateway}");
        self.push(doing, libc::RTM_NEWROUTE, flags, &bytes(&message));
    }
}

/// A default route that leads nowhere yet.
fn default_route() -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message
}

impl Netlink {
    /// Every IPv4 route of the main table but the default ones.
    pub(in crate::network) fn routes(&self) -> Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let mut question = Batch::default();
        question.push("list the routes", libc::RTM_GETROUTE, libc::NLM_F_DUMP, &bytes(&message));
        Ok(self.ask(&question)?.iter().filter_map(|body| read_route(body)).collect())
    }
}

fn read_route(body: &[u8]) -> Option<Route> {
    let message = RouteMessage::parse(body).ok()?;
    if message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    });
    Some(Route {
        destination,
        prefix_length: message.header.destination_prefix_length,
        link,
        is_on_link: message.header.scope == RouteScope::Link,
    })
}
