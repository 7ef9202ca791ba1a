//! Ports of the host that are held for the containers, for as long as there are any.
//!
//! The host's packet filter leads what comes to a port on to the container, so that all that a socket
//! is there for is that nobody else takes the port. But it can't lead from IPv6 to a container that
//! has IPv4 alone, nor from `::1` anywhere: what comes there is passed on by hand.

mod datagrams;
mod streams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use tokio::task::JoinHandle;

use crate::diagnostics::warn;

/// The variable that says for which of the sockets what comes is passed on, and where:
/// `NUMBER=ADDRESS:PORT`, with commas between them. The first socket is number 0.
pub(crate) const RELAYS: &str = "TARE_RELAYS";

/// The ports; they are let go of with this.
pub(crate) struct Ports {
    /// Those that are only held.
    held: Vec<OwnedFd>,
    relays: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Holds the ports of these sockets. Must be called in a runtime.
    pub(crate) fn hold(sockets: Vec<OwnedFd>) -> Self {
        let mut targets = targets(&std::env::var(RELAYS).unwrap_or_default());
        let mut ports = Self { held: Vec::new(), relays: Vec::new() };
        for (number, socket) in sockets.into_iter().enumerate() {
            match targets.remove(&number) {
                None => ports.held.push(socket),
                Some(target) => match pass_on(socket, target) {
                    Ok(relay) => ports.relays.push(relay),
                    Err(error) => warn(format_args!("pass on what comes for {target}: {error}")),
                },
            }
        }
        ports
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.held.clear();
        self.relays.iter().for_each(JoinHandle::abort);
    }
}

fn pass_on(socket: OwnedFd, target: SocketAddr) -> std::io::Result<JoinHandle<()>> {
    match socket_type(&socket)? {
        SocketType::DGRAM => datagrams::pass_on(socket.into(), target),
        _ => streams::pass_on(socket, target),
    }
}

fn targets(text: &str) -> BTreeMap<usize, SocketAddr> {
    let one = |part: &str| {
        let (number, target) = part.split_once('=')?;
        Some((number.parse().ok()?, target.parse().ok()?))
    };
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn targets_have_the_numbers_of_their_sockets() {
        let targets = targets("0=10.0.0.2:80,3=[fd00::2]:53,x=1,4=here:80");
        assert_eq!(targets[&0].to_string(), "10.0.0.2:80");
        assert_eq!(targets[&3].to_string(), "[fd00::2]:53");
        assert_eq!(targets.len(), 2);
    }

    #[tokio::test]
    async fn streams_are_passed_on_until_both_sides_have_ended_theirs() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let relay = pass_on(port.into(), target).unwrap();
        server.set_nonblocking(true).unwrap();
        let server = tokio::net::TcpListener::from_std(server).unwrap();
        let echo = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        };
        let ask = async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"question").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (answer, ()) = timeout(PATIENCE, async { tokio::join!(ask, echo) }).await.unwrap();
        assert_eq!(answer, "question");
        relay.abort();
        assert!(relay.await.unwrap_err().is_cancelled());
        // A listener of the standard library takes ports that ended connections have yet.
        TcpListener::bind(address).unwrap();
    }

    #[tokio::test]
    async fn datagrams_are_answered_to_whom_they_came_from() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let server = tokio::net::UdpSocket::from_std(server).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let relay = pass_on(port.into(), server.local_addr().unwrap()).unwrap();
        for name in [&b"one"[..], b"two"] {
            let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let told = async {
                for _ in 0..2 {
                    client.send_to(name, address).await.unwrap();
                    let mut bytes = [0; 16];
                    let (length, relayed) = server.recv_from(&mut bytes).await.unwrap();
                    server.send_to(&bytes[..length], relayed).await.unwrap();
                    let (length, from) = client.recv_from(&mut bytes).await.unwrap();
                    assert_eq!((&bytes[..length], from), (name, address));
                }
            };
            timeout(PATIENCE, told).await.unwrap();
        }
        relay.abort();
    }
}
