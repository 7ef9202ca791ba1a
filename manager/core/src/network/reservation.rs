//! The socket that holds a published port on the host.
//!
//! It is bound, but doesn't listen and is never read: the packet filter takes every packet for the
//! port away before sockets are looked up. All it does is that another program which wants the
//! port is told that it is in use, and that we are if another program has it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_to, ipproto, socket_with, sockopt,
};

use super::endpoint::Protocol;

/// Why a port can't be bound, for people.
pub(super) struct Unbound(pub(super) String);

/// Binds a socket to `address` and `port`. A host that has no sockets of the protocol has no program
/// that the port could be kept from, and needs none.
pub(super) fn bind(
    protocol: Protocol,
    address: IpAddr,
    port: u16,
) -> Result<Option<OwnedFd>, Unbound> {
    match bind_socket(protocol, SocketAddr::new(address, port)) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::PROTONOSUPPORT) if protocol == Protocol::Sctp => Ok(None),
        Err(errno) => Err(Unbound(match errno {
            Errno::ADDRINUSE => "address already in use".to_owned(),
            Errno::ADDRNOTAVAIL => "cannot assign requested address".to_owned(),
            Errno::ACCESS => "permission denied".to_owned(),
            errno => io::Error::from(errno).to_string(),
        })),
    }
}

/// Whether the host has IPv6 at all.
pub(super) fn host_has_ipv6() -> bool {
    bind_socket(Protocol::Udp, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0)).is_ok()
}

fn bind_socket(protocol: Protocol, address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(ipproto::SCTP)),
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match bind_to(&socket, &address) {
        // Perhaps all that is there are closed connections of a server that was just stopped; a
        // server that starts anew isn't held up by those either.
        Err(Errno::ADDRINUSE) if kind == SocketType::STREAM => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind_to(&socket, &address)?;
            sockopt::set_socket_reuseaddr(&socket, false)?;
        }
        outcome => outcome?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn free_port() -> u16 {
        TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn others_are_kept_off_and_connections_are_not_swallowed() {
        let port = free_port();
        let Ok(reservation) = bind(Protocol::Tcp, LOOPBACK, port) else { panic!("not bound") };
        let refused = TcpListener::bind((LOOPBACK, port)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let unanswered = TcpStream::connect((LOOPBACK, port)).unwrap_err();
        assert_eq!(unanswered.kind(), io::ErrorKind::ConnectionRefused);
        drop(reservation);
        TcpListener::bind((LOOPBACK, port)).unwrap();
    }

    #[test]
    fn a_port_in_use_is_noticed() {
        let tcp = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let udp = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        for (protocol, port) in [
            (Protocol::Tcp, tcp.local_addr().unwrap().port()),
            (Protocol::Udp, udp.local_addr().unwrap().port()),
        ] {
            let Err(Unbound(reason)) = bind(protocol, Ipv4Addr::UNSPECIFIED.into(), port) else {
                panic!("bound")
            };
            assert_eq!(reason, "address already in use");
        }
    }

    #[test]
    fn both_kinds_of_addresses_are_held_beside_each_other() {
        let port = free_port();
        let bind = |address| bind(Protocol::Tcp, address, port).ok().flatten();
        let older = bind(Ipv4Addr::UNSPECIFIED.into()).unwrap();
        let newer = bind(Ipv6Addr::UNSPECIFIED.into()).unwrap();
        assert!(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_err());
        drop((older, newer));
        TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn closed_connections_are_no_obstacle_and_then_others_are_kept_off() {
        let server = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = server.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        // Who closes first keeps the port in TIME-WAIT.
        drop(server.accept().unwrap());
        drop((server, client));
        let Ok(_reservation) = bind(Protocol::Tcp, LOOPBACK, address.port()) else {
            panic!("not bound")
        };
        assert!(TcpListener::bind(address).is_err());
    }

    #[test]
    fn an_address_of_another_host_is_named_so() {
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
        let Err(Unbound(reason)) = bind(Protocol::Udp, elsewhere, 5353) else { panic!("bound") };
        assert_eq!(reason, "cannot assign requested address");
    }
}
