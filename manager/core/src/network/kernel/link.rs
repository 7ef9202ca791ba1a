//! Requests about links and their addresses.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};

use super::netlink::{Batch, Netlink};
use crate::error::Result;
use crate::network::mac::MacAddress;

/// A link as the kernel describes it.
pub(in crate::network) struct Link {
    pub(in crate::network) name: String,
    pub(in crate::network) is_bridge: bool,
    pub(in crate::network) alias: Option<String>,
    pub(in crate::network) mac: Option<MacAddress>,
    /// The number of the bridge that it is a port of.
    pub(in crate::network) bridge: Option<u32>,
    /// Whether it passes packets on: it is up at both ends and, on a bridge, its port is open.
    pub(in crate::network) is_passing: bool,
}

/// A bridge to make.
pub(in crate::network) struct NewBridge<'a> {
    pub(in crate::network) name: &'a str,
    pub(in crate::network) mac: MacAddress,
    pub(in crate::network) mtu: Option<u32>,
}

/// A cable to make: one end here on a bridge, the other in a namespace.
pub(in crate::network) struct NewCable<'a> {
    pub(in crate::network) name: &'a str,
    pub(in crate::network) bridge: u32,
    pub(in crate::network) mtu: Option<u32>,
    pub(in crate::network) peer: NewPeer<'a>,
}

/// The other end of a cable.
pub(in crate::network) struct NewPeer<'a> {
    pub(in crate::network) name: &'a str,
    pub(in crate::network) namespace: BorrowedFd<'a>,
    pub(in crate::network) mac: MacAddress,
}

impl Batch {
    /// Makes a bridge and puts it up. Its own hardware address keeps it from taking over one of
    /// its ports', which would change with them.
    pub(in crate::network) fn add_bridge(&mut self, bridge: &NewBridge<'_>) {
        let mut message = up(LinkMessage::default());
        message.attributes = vec![
            LinkAttribute::IfName(bridge.name.to_owned()),
            LinkAttribute::Address(bridge.mac.octets().to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        message.attributes.extend(bridge.mtu.map(LinkAttribute::Mtu));
        self.new_link(format!("make the bridge {}", bridge.name), message);
    }

    /// Makes a cable and puts the end that is here up.
    pub(in crate::network) fn add_cable(&mut self, cable: &NewCable<'_>) {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(cable.peer.name.to_owned()),
            LinkAttribute::Address(cable.peer.mac.octets().to_vec()),
            LinkAttribute::NetNsFd(cable.peer.namespace.as_raw_fd()),
        ];
        peer.attributes.extend(cable.mtu.map(LinkAttribute::Mtu));
        let mut message = up(LinkMessage::default());
        message.attributes = vec![
            LinkAttribute::IfName(cable.name.to_owned()),
            LinkAttribute::Controller(cable.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        message.attributes.extend(cable.mtu.map(LinkAttribute::Mtu));
        self.new_link(format!("make the interface {}", cable.name), message);
    }

    /// Writes a note on the link `name` that people and sweeps can read.
    pub(in crate::network) fn set_alias(&mut self, name: &str, alias: &str) {
        let mut message = LinkMessage::default();
        message.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())];
        self.push(format!("mark {name}"), libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Puts the link `name` into the group with this number.
    pub(in crate::network) fn set_group(&mut self, name: &str, group: u32) {
        let mut message = LinkMessage::default();
        message.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Group(group)];
        self.push(format!("group {name}"), libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Lets the bridge send packets back by the port `name` that they came from. Where the host's
    /// packet filter sees bridged packets, that is the way on which a container reaches itself by
    /// a published port. A port that is `apart` exchanges no packets with others that are, but with
    /// the host alone.
    pub(in crate::network) fn set_port(&mut self, name: &str, apart: bool) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![
                    InfoBridgePort::HairpinMode(true),
                    InfoBridgePort::Isolated(apart),
                ])),
            ]),
        ];
        self.push(format!("set up the port {name}"), libc::RTM_NEWLINK, 0, &bytes(&message));
    }

    /// Makes the link `name` a port of the bridge with this number.
    pub(in crate::network) fn set_bridge(&mut self, name: &str, bridge: u32) {
        let mut message = LinkMessage::default();
        message.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Controller(bridge)];
        self.push(format!("plug in {name}"), libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Sets the MTU of the link `name`.
    pub(in crate::network) fn set_mtu(&mut self, name: &str, mtu: u32) {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Mtu(mtu)];
        let doing = format!("set the MTU of {name} to {mtu}");
        self.push(doing, libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Gives the link `name` a hardware address.
    pub(in crate::network) fn set_mac(&mut self, name: &str, mac: MacAddress) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.octets().to_vec()),
        ];
        self.push(format!("give {name} the address {mac}"), libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Puts the link `name` up.
    pub(in crate::network) fn set_up(&mut self, name: &str) {
        let mut message = up(LinkMessage::default());
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.push(format!("put {name} up"), libc::RTM_SETLINK, 0, &bytes(&message));
    }

    /// Deletes the link `name` and, if it is a cable, its other end.
    pub(in crate::network) fn delete_link(&mut self, name: &str) {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.push(format!("delete the interface {name}"), libc::RTM_DELLINK, 0, &bytes(&message));
    }

    /// Gives the link with this number an address; it is no error if it has it. It can be used at
    /// once: nobody is asked whether another has it, as that is known.
    pub(in crate::network) fn add_address(&mut self, index: u32, address: IpNet) {
        let mut message = address_message(index, address);
        // Where there are two addresses alone, none is everybody's.
        if let IpNet::V4(address) = address
            && address.prefix_len() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(address.broadcast()));
        }
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        self.push(format!("add the address {address}"), libc::RTM_NEWADDR, flags, &bytes(&message));
    }

    /// Takes an address from the link with this number.
    pub(in crate::network) fn delete_address(&mut self, index: u32, address: IpNet) {
        let message = address_message(index, address);
        self.push(
            format!("take away the address {address}"),
            libc::RTM_DELADDR,
            0,
            &bytes(&message),
        );
    }

    pub(super) fn new_link(&mut self, doing: String, message: LinkMessage) {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.push(doing, libc::RTM_NEWLINK, flags, &bytes(&message));
    }
}

impl Netlink {
    /// The link `name`, if there is one.
    pub(in crate::network) fn link(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let mut question = Batch::default();
        question.push(format!("look at {name}"), libc::RTM_GETLINK, 0, &bytes(&message));
        match self.ask(&question) {
            Ok(answers) => Ok(answers.iter().find_map(|body| read_link(body))),
            Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Every link.
    pub(in crate::network) fn links(&self) -> Result<Vec<Link>> {
        let mut question = Batch::default();
        let message = bytes(&LinkMessage::default());
        question.push("list the links", libc::RTM_GETLINK, libc::NLM_F_DUMP, &message);
        Ok(self.ask(&question)?.iter().filter_map(|body| read_link(body)).collect())
    }

    /// Every address with the number of its link.
    pub(in crate::network) fn addresses(&self) -> Result<Vec<(u32, IpNet)>> {
        let message = AddressMessage::default();
        let mut question = Batch::default();
        question.push("list the addresses", libc::RTM_GETADDR, libc::NLM_F_DUMP, &bytes(&message));
        Ok(self.ask(&question)?.iter().filter_map(|body| read_address(body)).collect())
    }

    /// The number of the link `name`.
    pub(in crate::network) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(self.as_fd(), name)?)
    }
}

pub(super) fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn address_message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    if let IpNet::V6(_) = address {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes =
        vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
    message
}

fn read_link(body: &[u8]) -> Option<Link> {
    let message = LinkMessage::parse(body).ok()?;
    let mut link = Link {
        name: String::new(),
        is_bridge: false,
        alias: None,
        mac: None,
        bridge: None,
        is_passing: false,
    };
    let mut is_closed = false;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Address(mac) => link.mac = MacAddress::read(&mac),
            LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
            LinkAttribute::LinkInfo(info) => {
                link.is_bridge = info.contains(&LinkInfo::Kind(InfoKind::Bridge));
                is_closed = info.iter().any(|info| match info {
                    LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                        !port.contains(&InfoBridgePort::State(BridgePortState::Forwarding))
                    }
                    _ => false,
                });
            }
            LinkAttribute::OperState(state) => link.is_passing = state == State::Up,
            _ => {}
        }
    }
    link.is_passing &= !is_closed;
    Some(link)
}

fn read_address(body: &[u8]) -> Option<(u32, IpNet)> {
    let message = AddressMessage::parse(body).ok()?;
    // Only IPv4 tells the two apart; where both are told, this is the one that is here.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    Some((message.header.index, IpNet::new(address, message.header.prefix_len).ok()?))
}

/// The message as it is sent.
pub(super) fn bytes(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}
