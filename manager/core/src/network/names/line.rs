//! The connection between the manager and the process that answers names: one message each way at a
//! time, with the descriptors that go with it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::words::{Reply, Request};

/// Bytes of the longest message.
const LONGEST: usize = 128 << 10;
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who may wait to be accepted.
const BACKLOG: i32 = 16;

/// One end of the connection.
pub(super) struct Line {
    socket: OwnedFd,
}

impl Line {
    /// The manager's end.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = new_socket()?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self { socket }.impatient()
    }

    /// The next connection to a process that listens.
    pub(super) fn accept(listener: &OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: accept_with(listener, SocketFlags::CLOEXEC)? })
    }

    /// One of the [`ends`].
    pub(super) fn of(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits for the other side no longer than [`PATIENCE`] from now on.
    pub(super) fn impatient(self) -> io::Result<Self> {
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&self.socket, timeout, Some(PATIENCE))?;
        }
        Ok(self)
    }

    /// Says something and waits for the reply, and what comes with it.
    pub(super) fn ask(
        &self,
        request: &Request,
        with: &[BorrowedFd<'_>],
    ) -> io::Result<(Reply, Vec<OwnedFd>)> {
        self.send(request, with)?;
        self.receive()?.ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether the other side is gone.
    pub(super) fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(&self.socket, PollFlags::empty())];
        matches!(poll(&mut watched, Some(&Timespec::default())), Ok(1..))
    }

    /// What waits for its end.
    pub(super) fn end(&self) -> io::Result<impl FnOnce() + Send + use<>> {
        let socket = self.socket.try_clone()?;
        Ok(move || {
            let mut watched = [PollFd::new(&socket, PollFlags::empty())];
            while let Err(rustix::io::Errno::INTR) = poll(&mut watched, None) {}
        })
    }

    /// Ends it for both sides.
    pub(super) fn hang_up(&self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Sends a message, and these descriptors with it.
    pub(super) fn send(&self, message: &impl Serialize, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many names at once"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !with.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(with));
        }
        sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message, with the descriptors that came with it; none if the other side is gone.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let descriptors = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        match bytes.get(..received.bytes) {
            None | Some([]) => Ok(None),
            Some(message) => Ok(Some((serde_json::from_slice(message)?, descriptors))),
        }
    }
}

impl Drop for Line {
    /// Ends it for whoever has another handle, too.
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Listens at `path`, in place of whoever did before.
pub(super) fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Two ends of a connection that nobody else can reach.
pub(super) fn ends() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(family, kind, SocketFlags::CLOEXEC, None)?)
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
