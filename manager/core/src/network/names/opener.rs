//! Opening sockets in the networks of containers.
//!
//! What a container's user names as its name servers is meant as the container sees it: 127.0.0.1 is
//! its own loopback. But who answers names has no right to go there, as it reads what strangers
//! send. So beside it stands a process that reads nothing but its words, and does this only: opens a
//! socket where it is told, and hands it over.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::answer::Way;
use super::line::Line;

/// What is to be opened in the network namespace that comes with it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Wanted {
    way: Way,
    is_ipv6: bool,
}

/// What became of it; the socket comes with it.
#[derive(Debug, Serialize, Deserialize)]
enum Opened {
    Here,
    /// The kernel has refused with this number.
    Refused(i32),
}

/// Opens sockets, as `line` asks for them, until it ends.
pub(super) fn serve(line: &Line) {
    while let Ok(Some((wanted, namespaces))) = line.receive::<Wanted>() {
        let opened = match namespaces.first() {
            Some(namespace) => open(namespace.as_fd(), wanted),
            None => Err(rustix::io::Errno::BADF),
        };
        let told = match opened {
            Ok(socket) => line.send(&Opened::Here, &[socket.as_fd()]),
            Err(errno) => line.send(&Opened::Refused(errno.raw_os_error()), &[]),
        };
        if told.is_err() {
            return;
        }
    }
}

/// The calling thread stays in the namespace: it goes on to the next from there.
fn open(namespace: BorrowedFd<'_>, wanted: Wanted) -> rustix::io::Result<OwnedFd> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let family = if wanted.is_ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match wanted.way {
        Way::Udp => SocketType::DGRAM,
        Way::Tcp => SocketType::STREAM,
    };
    socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// The other end of its line.
pub(super) struct Opener {
    /// None once it has failed: what comes late would be taken for the next answer.
    line: Mutex<Option<Line>>,
}

impl Opener {
    pub(super) fn new(line: Line) -> Self {
        Self { line: Mutex::new(Some(line)) }
    }

    /// Whether the other side is there.
    pub(super) fn is_there(&self) -> bool {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.as_ref().is_some_and(|line| !line.has_ended())
    }

    /// A socket in the network namespace, to talk to `server`.
    pub(super) fn open(
        &self,
        namespace: BorrowedFd<'_>,
        server: SocketAddr,
        way: Way,
    ) -> io::Result<OwnedFd> {
        let mut place = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = place.take().ok_or(io::ErrorKind::BrokenPipe)?;
        line.send(&Wanted { way, is_ipv6: server.is_ipv6() }, &[namespace])?;
        let (opened, sockets) = line.receive::<Opened>()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        *place = Some(line);
        match opened {
            Opened::Here => sockets.into_iter().next().ok_or(io::ErrorKind::InvalidData.into()),
            Opened::Refused(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
