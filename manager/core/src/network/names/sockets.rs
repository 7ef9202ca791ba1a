//! The two sockets by which a container asks for names.

use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ADDRESS;
use crate::error::{Error, Result};
use crate::network::firewall::run_nft;

/// Their table in the container's packet filter.
const TABLE: &str = "tare-names";

/// What is asked at them is for the process that answers names.
pub(in crate::network) struct Sockets {
    udp: OwnedFd,
    tcp: OwnedFd,
}

impl Sockets {
    /// Those that another process has had.
    pub(super) fn taken_over(sockets: Vec<OwnedFd>) -> Option<Self> {
        let [udp, tcp] = sockets.try_into().ok()?;
        Some(Self { udp, tcp })
    }

    /// As they are sent: UDP, TCP.
    pub(super) fn in_order(&self) -> [BorrowedFd<'_>; 2] {
        [self.udp.as_fd(), self.tcp.as_fd()]
    }

    /// Opens them in the calling thread's network namespace.
    ///
    /// They have ports that nobody else wants, and what is sent to port 53 is led there: a container
    /// may have a name server of its own, which listens at port 53 of all its addresses.
    pub(in crate::network) fn open() -> Result<Self> {
        let failed = |error| Error::io(format!("listen for names at {ADDRESS}"), error);
        let any = SocketAddrV4::new(ADDRESS, 0);
        let udp = UdpSocket::bind(any).map_err(failed)?;
        let tcp = TcpListener::bind(any).map_err(failed)?;
        let udp_port = udp.local_addr().map_err(failed)?.port();
        let tcp_port = tcp.local_addr().map_err(failed)?.port();
        run_nft(&format!(
            "table ip {TABLE}\n\
             delete table ip {TABLE}\n\
             table ip {TABLE} {{\n\
               chain asking {{\n\
                 type nat hook output priority -100; policy accept;\n\
                 ip daddr {ADDRESS} udp dport 53 dnat to {ADDRESS}:{udp_port}\n\
                 ip daddr {ADDRESS} tcp dport 53 dnat to {ADDRESS}:{tcp_port}\n\
               }}\n\
             }}\n"
        ))
        .map_err(|error| error.while_doing("lead questions for names to their process"))?;
        Ok(Self { udp: udp.into(), tcp: tcp.into() })
    }
}
