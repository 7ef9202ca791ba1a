//! A client's connection, plain or encrypted, shared by what reads it and what writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// A handle to a client's connection.
#[derive(Debug, Clone)]
pub(crate) enum ClientSocket {
    /// What is read and written is what goes over the socket.
    Plain(Socket),
    /// It is encrypted in between.
    Encrypted {
        /// The session; no lock is held longer than one attempt to read or write.
        session: Arc<Mutex<TlsStream<Socket>>>,
        /// The socket below.
        socket: Socket,
    },
}

impl ClientSocket {
    /// Lets the client prove who it is, and agrees with it on keys.
    pub(crate) async fn encrypted(socket: Socket, acceptor: &TlsAcceptor) -> io::Result<Self> {
        let session = acceptor.accept(socket.clone()).await?;
        Ok(Self::Encrypted { session: Arc::new(Mutex::new(session)), socket })
    }

    /// The socket that all goes over.
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) | Self::Encrypted { socket, .. } => socket,
        }
    }
}

/// A panic of another holder leaves a session that fails by itself, if at all.
fn lock(session: &Mutex<TlsStream<Socket>>) -> MutexGuard<'_, TlsStream<Socket>> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Encrypted { session, .. } => {
                Pin::new(&mut *lock(session)).poll_read(context, buffer)
            }
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Encrypted { session, .. } => {
                Pin::new(&mut *lock(session)).poll_write(context, bytes)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Self::Encrypted { session, .. } => {
                Pin::new(&mut *lock(session)).poll_write_vectored(context, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Encrypted { session, .. } => Pin::new(&mut *lock(session)).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Encrypted { session, .. } => Pin::new(&mut *lock(session)).poll_shutdown(context),
        }
    }
}
