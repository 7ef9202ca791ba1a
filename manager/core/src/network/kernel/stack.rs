//! Requests about links that stand on another one: on its wire, or on a VLAN of it.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, InfoVlan, LinkAttribute, LinkInfo, LinkMessage,
};

use super::link::{bytes, up};
use super::netlink::{Batch, Netlink};
use crate::error::Result;
use crate::network::mac::MacAddress;

/// A link to make in a namespace, on one that is here.
pub(in crate::network) struct NewStacked<'a> {
    pub(in crate::network) name: &'a str,
    /// The number of the link below it.
    pub(in crate::network) parent: u32,
    pub(in crate::network) namespace: BorrowedFd<'a>,
    /// None: its parent's.
    pub(in crate::network) mac: Option<MacAddress>,
    /// None: its parent's.
    pub(in crate::network) mtu: Option<u32>,
    /// Of what kind it is, and what that kind has to know.
    pub(in crate::network) info: Vec<LinkInfo>,
}

impl Batch {
    /// Makes a link in a namespace, on one that is here.
    pub(in crate::network) fn add_stacked(&mut self, link: NewStacked<'_>) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(link.name.to_owned()),
            LinkAttribute::Link(link.parent),
            LinkAttribute::NetNsFd(link.namespace.as_raw_fd()),
            LinkAttribute::LinkInfo(link.info),
        ];
        let mac = link.mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec()));
        message.attributes.extend(mac);
        message.attributes.extend(link.mtu.map(LinkAttribute::Mtu));
        self.new_link(format!("make the interface {}", link.name), message);
    }

    /// Makes the link `name` for what has the VLAN's number `id` on the link `parent`, and puts it
    /// up.
    pub(in crate::network) fn add_vlan(&mut self, name: &str, parent: u32, id: u16) {
        let mut message = up(LinkMessage::default());
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(parent),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)])),
            ]),
        ];
        self.new_link(format!("make the VLAN {name}"), message);
    }

    /// Makes a cable between `name`, which is put up, and `end`, which is in a namespace.
    pub(in crate::network) fn add_cable_to(
        &mut self,
        name: &str,
        end: &str,
        namespace: BorrowedFd<'_>,
    ) {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(end.to_owned()),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut message = up(LinkMessage::default());
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.new_link(format!("make the interface {name}"), message);
    }
}

impl Netlink {
    /// Whether the kernel has links of this kind, which stand on others. It is asked for one that
    /// stands on nothing, which it refuses in either case, but for another reason.
    pub(in crate::network) fn has_kind(&self, kind: InfoKind) -> Result<bool> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName("tare-probe".to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]),
        ];
        let mut question = Batch::default();
        question.push(
            "ask for a kind of links",
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &bytes(&message),
        );
        match self.run(&question) {
            Err(refusal) if refusal.errno == libc::EOPNOTSUPP => Ok(false),
            Err(refusal) if refusal.errno == libc::EPERM => Err(refusal.into()),
            _ => Ok(true),
        }
    }
}
