//! Published ports of SCTP. A host that has no sockets of it publishes them all the same, as it only
//! passes packets on; `integration/guest/test --networks` tries them on one that has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, listen, socket};

use super::host::{LOST, PATIENCE, inside, on_a_host, output, tcp};
use crate::network::{PortRequest, Protocol};

fn sctp(host_ip: &str, host_port: u16, container_port: u16) -> PortRequest {
    PortRequest { protocol: Protocol::Sctp, ..tcp(host_ip, host_port, container_port) }
}

fn open() -> rustix::io::Result<OwnedFd> {
    socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP))
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
}

/// Starts a server inside `path` that says who is calling. The standard library's sockets do for
/// whatever has connections.
fn serve(path: &Path, port: u16) {
    let listener = inside(path, || {
        let socket = open().unwrap();
        bind(&socket, &any(port)).unwrap();
        listen(&socket, 8).unwrap();
        TcpListener::from(socket)
    });
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "web {}", peer.ip());
        }
    });
}

/// What the server at `address` says; none if it can't be reached so soon.
fn call(address: &str, patience: Duration) -> Option<String> {
    let socket = open().unwrap();
    set_socket_timeout(&socket, Timeout::Send, Some(patience)).unwrap();
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).unwrap();
    connect(&socket, &address.parse::<SocketAddr>().unwrap()).ok()?;
    let mut answer = String::new();
    TcpStream::from(socket).read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn sctp_is_published_too() {
    on_a_host(|host| {
        let networks = host.open().unwrap();
        let neighbour = host.neighbour();
        let ports = [sctp("", 8080, 80), sctp("127.0.0.1", 8081, 80)];
        // It holds the ports on the host as long as it is there.
        let connected = host.connect(&networks, "web", &ports).unwrap();
        let web = connected.sandbox.netns.clone().unwrap();
        let other = host.connect(&networks, "other", &[]).unwrap().sandbox.netns.unwrap();
        assert!(output("nft list ruleset").contains("sctp . 8080"));
        match open() {
            Ok(_) => {}
            Err(errno) => {
                assert_eq!(errno, Errno::PROTONOSUPPORT);
                return;
            }
        }
        serve(&web, 80);
        let said = |place: &str| call(place, PATIENCE);
        assert_eq!(said("127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        assert_eq!(said("127.0.0.1:8081").unwrap(), "web 172.17.0.1");
        assert_eq!(said("10.9.0.1:8080").unwrap(), "web 10.9.0.1");
        assert_eq!(inside(&other, || said("10.9.0.1:8080")).unwrap(), "web 172.17.0.1");
        inside(&neighbour, || {
            assert_eq!(said("10.9.0.1:8080").unwrap(), "web 10.9.0.2");
            assert!(call("10.9.0.1:8081", LOST).is_none(), "it is for the host alone");
            assert!(call("172.17.0.2:80", LOST).is_none(), "nobody comes by a route");
        });
        // No program of the host takes the port away, and none that has it loses it.
        assert_eq!(bind(open().unwrap(), &any(8080)).unwrap_err(), Errno::ADDRINUSE);
        let taken = host.connect(&networks, "third", &[sctp("", 8080, 80)]).unwrap_err();
        assert!(taken.to_string().contains("port is already allocated"), "{taken}");
        host.disconnect(&networks, "web");
        drop(connected);
        assert!(call("127.0.0.1:8080", LOST).is_none());
        bind(open().unwrap(), &any(8080)).unwrap();
    });
}
