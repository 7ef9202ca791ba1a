//! A connected socket as the kernel has it, shared by whoever reads it, writes it, and watches for
//! its end.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// How long a peer on the network may be silent before it is asked whether it is still there, and
/// how often it is asked then.
const SILENCE: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 9;

/// A handle to a socket.
#[derive(Debug, Clone)]
pub(crate) enum Socket {
    /// To a program on this machine.
    Unix(Arc<UnixStream>),
    /// To one that may be elsewhere.
    Tcp(Arc<TcpStream>),
}

/// The same call on either kind of socket.
macro_rules! on_either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Unix($stream) => $call,
            Socket::Tcp($stream) => $call,
        }
    };
}

impl Socket {
    /// A socket to a program on this machine.
    pub(crate) fn unix(stream: UnixStream) -> Self {
        Self::Unix(Arc::new(stream))
    }

    /// A socket on the network; a peer that vanishes without a word is noticed after some minutes.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        let set = sockopt::set_tcp_nodelay(&stream, true)
            .and_then(|()| sockopt::set_socket_keepalive(&stream, true))
            .and_then(|()| sockopt::set_tcp_keepidle(&stream, SILENCE))
            .and_then(|()| sockopt::set_tcp_keepintvl(&stream, SILENCE))
            .and_then(|()| sockopt::set_tcp_keepcnt(&stream, QUESTIONS));
        if let Err(error) = set {
            tracing::debug!("can't set what a connection is to be like: {error}");
        }
        Self::Tcp(Arc::new(stream))
    }

    /// Waits until the peer has sent something, or ended its side.
    pub(crate) async fn first_byte(&self) -> io::Result<()> {
        let peek = || {
            rustix::net::recv(self, &mut [0], RecvFlags::PEEK)?;
            Ok(())
        };
        on_either!(self, stream => stream.async_io(Interest::READABLE, peek).await)
    }

    /// Waits until it is ready for any of this.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        on_either!(self, stream => stream.ready(interest).await)
    }

    /// Another descriptor of the same socket, with a readiness of its own.
    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        let descriptor = self.as_fd().try_clone_to_owned()?;
        Ok(match self {
            Self::Unix(_) => Self::unix(UnixStream::from_std(descriptor.into())?),
            Self::Tcp(_) => Self::Tcp(Arc::new(TcpStream::from_std(descriptor.into())?)),
        })
    }

    /// Lets the next wait for readiness last until the kernel tells of a change.
    pub(crate) fn await_change(&self, interest: Interest) {
        let would_block = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = on_either!(self, stream => stream.try_io(interest, would_block));
    }

    /// Tries to write until the socket takes something.
    fn poll_try(
        &self,
        context: &mut Context<'_>,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(on_either!(self, stream => stream.poll_write_ready(context)))?;
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        on_either!(self, stream => stream.as_fd())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(on_either!(&*self, stream => stream.poll_read_ready(context)))?;
            match on_either!(&*self, stream => stream.try_read_buf(&mut buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(context, || on_either!(&*self, stream => stream.try_write(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(context, || on_either!(&*self, stream => stream.try_write_vectored(slices)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self, Shutdown::Write).map_err(Into::into))
    }
}
