//! The socket that holds a published port on the host.
//!
//! It is bound, but doesn't listen and is never read: the packet filter takes every packet for the
//! port away before sockets are looked up. All it does is that another program which wants the
//! port is told that it is in use, and that we are if another program has it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_to, socket_with, sockopt};

use super::endpoint::Protocol;

/// Why a port can't be bound, for people.
pub(super) struct Unbound(pub(super) String);

/// Binds a socket to `address` and `port`.
pub(super) fn bind(protocol: Protocol, address: Ipv4Addr, port: u16) -> Result<OwnedFd, Unbound> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    bind_socket(kind, SocketAddrV4::new(address, port)).map_err(|errno| {
        Unbound(match errno {
            Errno::ADDRINUSE => "address already in use".to_owned(),
            Errno::ADDRNOTAVAIL => "cannot assign requested address".to_owned(),
            Errno::ACCESS => "permission denied".to_owned(),
            errno => io::Error::from(errno).to_string(),
        })
    })
}

fn bind_socket(kind: SocketType, address: SocketAddrV4) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
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
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

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
            let Err(Unbound(reason)) = bind(protocol, Ipv4Addr::UNSPECIFIED, port) else {
                panic!("bound")
            };
            assert_eq!(reason, "address already in use");
        }
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
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
        let Err(Unbound(reason)) = bind(Protocol::Udp, elsewhere, 5353) else { panic!("bound") };
        assert_eq!(reason, "cannot assign requested address");
    }
}
