//! What the kernel tells without being asked: a netlink socket that is in a group.

use netlink_sys::{AsyncSocket, AsyncSocketExt, TokioSocket};

use super::netlink::messages;
use crate::error::{Error, Result};

/// Room for what is told at once; the kernel sends no more than a page or two.
const NEWS: usize = 16 << 10;

/// A membership in a group.
pub(in crate::network) struct Subscription {
    socket: TokioSocket,
}

/// What the kernel has told.
#[derive(Debug)]
pub(in crate::network) enum News {
    /// Messages, each with its type and body.
    Told(Vec<(u16, Vec<u8>)>),
    /// More than the socket could hold; some of it is lost.
    Missed,
}

impl Subscription {
    /// Joins a group of the kernel's part with this number, in the calling thread's network
    /// namespace. Must be called where there is a reactor.
    pub(in crate::network) fn open(protocol: i32, group: u32) -> Result<Self> {
        let open = || {
            let mut socket = TokioSocket::new(protocol as isize)?;
            socket.socket_mut().bind_auto()?;
            socket.socket_ref().add_membership(group)?;
            Ok(Self { socket })
        };
        open().map_err(|error| Error::io("listen to netlink", error))
    }

    /// Waits until the kernel tells something.
    pub(in crate::network) async fn next(&self) -> Result<News> {
        let mut buffer = Vec::with_capacity(NEWS);
        match self.socket.recv(&mut buffer).await {
            Ok(()) => {
                let told = messages(&buffer).map(|message| (message.kind, message.body.into()));
                Ok(News::Told(told.collect()))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(News::Missed),
            Err(error) => Err(Error::io("listen to netlink", error)),
        }
    }
}
