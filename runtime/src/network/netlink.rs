//! A netlink socket: one request at a time, and its answer.

use super::message::{self, Address, Request, address_header, answers, error_number, link};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// How much the kernel sends at once at most, in bytes.
const DATAGRAM: usize = 64 * 1024;

/// The flags of an address that whoever gave it has chosen; the others say how it fares.
const CHOSEN: u32 = libc::IFA_F_NODAD
    | libc::IFA_F_HOMEADDRESS
    | libc::IFA_F_MANAGETEMPADDR
    | libc::IFA_F_NOPREFIXROUTE;

/// A socket for the devices of one network namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// For this process's network namespace.
    pub(super) fn open() -> io::Result<Netlink> {
        // Without a protocol it is that of routes and devices.
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// For `namespace`. A socket stays where it was made, so this process goes there and comes back.
    pub(super) fn open_in(namespace: BorrowedFd<'_>) -> io::Result<Netlink> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty())?;
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let opened = Netlink::open();
        setns(home, CloneFlags::CLONE_NEWNET)?;
        opened
    }

    /// The index of the device called `name`, if there is one.
    pub(super) fn index_of(&mut self, name: &str) -> io::Result<Option<u32>> {
        let request = Request::new(libc::RTM_GETLINK, libc::NLM_F_ACK, &link(0, 0, 0))
            .with(libc::IFLA_IFNAME, &terminated(name));
        let mut index = None;
        let asked = self.ask(request, |kind, body| {
            if kind == libc::RTM_NEWLINK {
                index = message::link_index(body);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            other => other.map(|()| index),
        }
    }

    /// All addresses of the device `index`.
    pub(super) fn addresses_of(&mut self, index: u32) -> io::Result<Vec<Address>> {
        let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; 8]);
        let mut addresses = Vec::new();
        self.ask(request, |kind, body| {
            if kind == libc::RTM_NEWADDR {
                addresses.extend(Address::parse(body).filter(|address| address.index == index));
            }
        })?;
        Ok(addresses)
    }

    /// Takes the device `index` down.
    pub(super) fn set_down(&mut self, index: u32) -> io::Result<()> {
        self.change(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(index, 0, libc::IFF_UP)))
    }

    /// Brings the device `index` up.
    pub(super) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let up = libc::IFF_UP;
        self.change(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(index, up, up)))
    }

    /// Moves the device `index` to the network namespace behind `namespace` and calls it `name`
    /// there, in one step: its old name may be taken there, as may be the new one here.
    pub(super) fn move_and_rename(
        &mut self,
        index: u32,
        namespace: RawFd,
        name: &str,
    ) -> io::Result<()> {
        let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(index, 0, 0))
            .with(libc::IFLA_IFNAME, &terminated(name))
            .with(libc::IFLA_NET_NS_FD, &namespace.to_ne_bytes());
        self.change(request)
    }

    /// Gives the device `index` an address.
    pub(super) fn add_address(&mut self, index: u32, address: &Address) -> io::Result<()> {
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let request = Request::new(libc::RTM_NEWADDR, flags, &address_header(address, index))
            .with(libc::IFA_FLAGS, &(address.flags & CHOSEN).to_ne_bytes());
        self.change(
            address.parts.iter().fold(request, |request, (kind, value)| request.with(*kind, value)),
        )
    }

    fn change(&mut self, request: Request) -> io::Result<()> {
        self.ask(request, |_, _| {})
    }

    /// Sends `request` and hands each message of the answer to `each`, up to the last.
    fn ask(&mut self, request: Request, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence += 1;
        let request = request.finish(self.sequence);
        rustix::io::retry_on_intr(|| send(&self.socket, &request, SendFlags::empty()))?;
        let mut buffer = vec![0u8; DATAGRAM];
        loop {
            let (length, _) = rustix::io::retry_on_intr(|| {
                recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())
            })?;
            if length == 0 {
                return Err(Errno::IO.into());
            }
            let received = buffer.get(..length).unwrap_or_default();
            for answer in answers(received).filter(|answer| answer.sequence == self.sequence) {
                match i32::from(answer.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => {
                        return match error_number(answer.body) {
                            Some(0) => Ok(()),
                            Some(number) => Err(io::Error::from_raw_os_error(number)),
                            None => Err(Errno::IO.into()),
                        };
                    }
                    _ => each(answer.kind, answer.body),
                }
            }
        }
    }
}

fn terminated(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}
