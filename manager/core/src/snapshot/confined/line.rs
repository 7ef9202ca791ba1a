//! The socket between `tared` and the process that unpacks: packets of JSON, with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stream;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;

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

    /// Says something, with at most one descriptor. It does not wait: the other has heard all that
    /// was said before, or it does not listen at all. False: it has left.
    pub(super) fn say(&self, word: &impl Serialize, with: Option<BorrowedFd<'_>>) -> Result<bool> {
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
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match rustix::net::sendmsg(&self.0, &parts, &mut control, flags) {
            Ok(_) => Ok(true),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(false),
            Err(errno) => Err(Error::io("tell another process", errno.into())),
        }
    }

    /// As [`Self::hear`], for as long as it is not `given_up`.
    ///
    /// # Errors
    /// [`crate::Kind::System`] once it is.
    pub(super) fn hear_unless<T: DeserializeOwned>(
        &self,
        given_up: &GivenUp,
    ) -> Result<Option<(T, Option<OwnedFd>)>> {
        stream::wait_for(self.0.as_fd(), given_up)?;
        self.hear()
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
                Err(Errno::INTR) => {}
                heard => break heard,
            }
        };
        let length = match heard {
            Ok(heard) => heard.bytes,
            // It has left without reading what it was told.
            Err(Errno::CONNRESET) => 0,
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
