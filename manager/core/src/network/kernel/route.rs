//! Requests about routes.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::link::bytes;
use super::netlink::{Batch, Netlink};
use crate::error::Result;
use crate::network::family::Family;

/// The kernel's number for how urgent an IPv6 route is that nobody has given one.
const USUAL_PRIORITY: u32 = 1024;

/// A route of the main table that isn't the default one.
pub(in crate::network) struct Route {
    pub(in crate::network) destination: IpNet,
    /// The number of the link that it leads to, if it is one.
    pub(in crate::network) link: Option<u32>,
    /// Whether who it leads to is on the link itself, behind no other host.
    pub(in crate::network) is_on_link: bool,
}

impl Batch {
    /// Sends everything that has no better route to `gateway`, on the link with this number, and
    /// nowhere else any more.
    pub(in crate::network) fn set_default_route(&mut self, gateway: IpAddr, link: u32) {
        let mut message = default_route(Family::of(gateway));
        message.attributes.extend([
            RouteAttribute::Gateway(route_address(gateway)),
            RouteAttribute::Oif(link),
            RouteAttribute::Priority(priority(Family::of(gateway))),
        ]);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let doing = format!("set the default route to {gateway}");
        self.push(doing, libc::RTM_NEWROUTE, flags, &bytes(&message));
    }

    /// Sends everything of this kind that has no better route out by the link with this number, where
    /// who it is for is asked.
    pub(in crate::network) fn set_default_link(&mut self, family: Family, link: u32) {
        let mut message = default_route(family);
        message.header.scope = RouteScope::Link;
        message
            .attributes
            .extend([RouteAttribute::Oif(link), RouteAttribute::Priority(priority(family))]);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let doing = "set the default route";
        self.push(doing, libc::RTM_NEWROUTE, flags, &bytes(&message));
    }
}

/// A default route that leads nowhere yet.
fn default_route(family: Family) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: address_family(family),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message
}

fn priority(family: Family) -> u32 {
    match family {
        Family::V4 => 0,
        Family::V6 => USUAL_PRIORITY,
    }
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

impl Netlink {
    /// Every route of the main table but the default ones.
    pub(in crate::network) fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in Family::BOTH {
            let mut message = RouteMessage::default();
            message.header.address_family = address_family(family);
            let mut question = Batch::default();
            let flags = libc::NLM_F_DUMP;
            question.push("list the routes", libc::RTM_GETROUTE, flags, &bytes(&message));
            routes.extend(self.ask(&question)?.iter().filter_map(|body| read_route(body)));
        }
        Ok(routes)
    }
}

fn read_route(body: &[u8]) -> Option<Route> {
    let message = RouteMessage::parse(body).ok()?;
    if message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    })?;
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    });
    let has_gateway =
        message.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Gateway(_)));
    Some(Route {
        destination: IpNet::new(destination, message.header.destination_prefix_length).ok()?,
        link,
        is_on_link: match Family::of(destination) {
            Family::V4 => message.header.scope == RouteScope::Link,
            Family::V6 => !has_gateway,
        },
    })
}
