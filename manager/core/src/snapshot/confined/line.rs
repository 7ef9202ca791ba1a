//! The socket between `tared` and the process that unpacks: packets of JSON, with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Bytes of the longest packet: a path has at most 4096, and JSON makes up to four of one. A longer
/// list of names than this is refused.
const LONGEST: usize = 160 << 10;

/// One end of the line.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

impl Line {
    /// This end.
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// A line's two ends, the second for another process.
    pub(super) fn pair() -> Result<(Self, OwnedFd)> {
        let pair = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        );
        let (here, there) =
            pair.map_err(|errno| Error::io("make a pair of sockets", errno.into()))?;
        Ok((Self(here), there))
    }

    /// Says something, with at most one descriptor.
    pub(super) fn say(&self, word: &impl Serialize, with: Option<BorrowedFd<'_>>) -> Result<()> {
        let packet = serde_json::to_vec(word).map_err(|error| {
            Error::system(format!("encode a word for another process: {error}"))
        })?;
        if packet.len() > LONGEST {
            return Err(Error::invalid("the layer has too many names in its root"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = with.as_slice();
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let parts = [IoSlice::new(&packet)];
        rustix::net::sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|errno| Error::io("tell another process", errno.into()))
    }

    /// Waits for what the other says; `None`: it has left.
    pub(super) fn hear<T: DeserializeOwned>(&self) -> Result<Option<(T, Option<OwnedFd>)>> {
        let mut packet = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let heard = loop {
            let mut parts = [IoSliceMut::new(&mut packet)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.0, &mut parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                heard => break heard,
            }
        };
        let length = match heard {
            Ok(heard) => heard.bytes,
            // It has left without reading what it was told.
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(errno) => return Err(Error::io("hear another process", errno.into())),
        };
        if length == 0 {
            return Ok(None);
        }
        let mut with = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                with = descriptors.last();
            }
        }
        let word = serde_json::from_slice(&packet[..length]).map_err(|error| {
            Error::system(format!("another process does not make sense: {error}"))
        })?;
        Ok(Some((word, with)))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is expected of the other, which has left instead.
pub(super) fn left() -> Error {
    Error::io("hear another process", io::ErrorKind::UnexpectedEof.into())
}
