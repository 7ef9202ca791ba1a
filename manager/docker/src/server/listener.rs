//! Where clients come from.

use std::io;

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::stream::socket::Socket;

/// A socket that is listened on.
pub enum Listener {
    /// For programs on this machine.
    Unix(UnixListener),
    /// For the network.
    Tcp(TcpListener, Option<TlsAcceptor>),
}

impl Listener {
    /// The next connection, and how it is to be encrypted.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<TlsAcceptor>)> {
        match self {
            Self::Unix(listener) => Ok((Socket::unix(listener.accept().await?.0), None)),
            Self::Tcp(listener, encryption) => {
                Ok((Socket::tcp(listener.accept().await?.0), encryption.clone()))
            }
        }
    }
}
