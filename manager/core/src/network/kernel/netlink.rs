//! Netlink: requests to the kernel in batches, and its answers.
//!
//! The kernel works on a request while it is being sent, so its answers are there when `send`
//! returns and nothing here ever waits. A socket belongs for good to the network namespace of the
//! thread that opened it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};

use super::attributes::{self, half_word};
use crate::error::{Error, Kind};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of what stands before the attributes in the kernel's verdict on a request: the error
/// number and the request's header.
const VERDICT: usize = 4 + HEADER;
/// `NLMSGERR_ATTR_MSG`: the attribute in which the kernel says what it didn't like.
const VERDICT_TEXT: u16 = 1;
/// Room for one answer; the kernel's are at most half of this.
const ANSWER: usize = 64 << 10;

/// An open netlink socket.
pub(in crate::network) struct Netlink {
    socket: Socket,
}

/// Requests that are sent together and carried out in order. Those after a refused one are
/// carried out all the same.
#[derive(Default)]
pub(in crate::network) struct Batch {
    bytes: Vec<u8>,
    doing: Vec<String>,
}

/// The kernel's refusal of a request.
#[derive(Debug)]
pub(in crate::network) struct Refusal {
    /// What was asked for.
    doing: String,
    /// The kernel's error number.
    pub(in crate::network) errno: i32,
    /// What the kernel said about it.
    text: Option<String>,
}

impl Batch {
    /// Adds a request, which `doing` describes for people.
    pub(in crate::network) fn push(
        &mut self,
        doing: impl Into<String>,
        kind: u16,
        flags: i32,
        body: &[u8],
    ) {
        let number = self.doing.len() as u32;
        let flags = flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        self.push_message(kind, flags, number, body);
        self.doing.push(doing.into());
    }

    /// Adds a message that the kernel doesn't answer.
    pub(in crate::network) fn push_silent(&mut self, kind: u16, body: &[u8]) {
        self.push_message(kind, libc::NLM_F_REQUEST, 0, body);
    }

    fn push_message(&mut self, kind: u16, flags: i32, number: u32, body: &[u8]) {
        self.bytes.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags as u16).to_ne_bytes());
        self.bytes.extend(number.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

impl Netlink {
    /// A socket to the kernel's part with this number (`NETLINK_ROUTE`, ...).
    pub(in crate::network) fn open(protocol: i32) -> Result<Self, Error> {
        let open = || {
            let mut socket = Socket::new(protocol as isize)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            Ok(Self { socket })
        };
        open().map_err(|error| Error::io("open a netlink socket", error))
    }

    /// Carries out the requests.
    ///
    /// # Errors
    /// The first refusal; what comes after it may have been done.
    pub(in crate::network) fn run(&self, batch: &Batch) -> Result<(), Refusal> {
        if batch.bytes.is_empty() {
            return Ok(());
        }
        let mut accepted = 0;
        for answer in self.exchange(batch)? {
            match answer {
                Answer::Accepted => accepted += 1,
                Answer::Refused(refusal) => return Err(refusal),
                Answer::Data(_) => {}
            }
        }
        match batch.doing.get(accepted) {
            None => Ok(()),
            Some(doing) => Err(Refusal::local(doing, io::Error::from_raw_os_error(libc::EPROTO))),
        }
    }

    /// The answers to one question: the bodies of the messages.
    pub(in crate::network) fn ask(&self, question: &Batch) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut bodies = Vec::new();
        for answer in self.exchange(question)? {
            match answer {
                Answer::Data(body) => bodies.push(body),
                Answer::Refused(refusal) => return Err(refusal),
                Answer::Accepted => {}
            }
        }
        Ok(bodies)
    }

    fn exchange(&self, batch: &Batch) -> Result<Vec<Answer>, Refusal> {
        let doing = batch.doing.first().map(String::as_str).unwrap_or_default();
        self.socket.send(&batch.bytes, 0).map_err(|error| Refusal::local(doing, error))?;
        let mut answers = Vec::new();
        let mut buffer = Vec::with_capacity(ANSWER);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => read_answers(&buffer, batch, &mut answers),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
                Err(error) => return Err(Refusal::local(doing, error)),
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Answer {
    Accepted,
    Refused(Refusal),
    Data(Vec<u8>),
}

/// A message of the kernel.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    /// The number of the request that it answers.
    number: u32,
    pub(super) body: &'a [u8],
}

/// The messages that `bytes` begin with.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let body = bytes.get(HEADER..length)?;
        let message = Message { kind: half_word(bytes, 4)?, number: word(bytes, 8)?, body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn read_answers(bytes: &[u8], batch: &Batch, answers: &mut Vec<Answer>) {
    for Message { kind, number, body } in messages(bytes) {
        match i32::from(kind) {
            libc::NLMSG_ERROR => answers.push(verdict(body, number, batch)),
            libc::NLMSG_DONE | libc::NLMSG_NOOP => {}
            _ => answers.push(Answer::Data(body.to_vec())),
        }
    }
}

fn verdict(body: &[u8], number: u32, batch: &Batch) -> Answer {
    match word(body, 0).map_or(libc::EPROTO, |code| (code as i32).wrapping_neg()) {
        0 => Answer::Accepted,
        errno => Answer::Refused(Refusal {
            doing: batch.doing.get(number as usize).cloned().unwrap_or_default(),
            errno,
            text: body.get(VERDICT..).and_then(verdict_text),
        }),
    }
}

fn verdict_text(attributes: &[u8]) -> Option<String> {
    let text = attributes::find(attributes, VERDICT_TEXT)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

impl Refusal {
    fn local(doing: &str, error: io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        Self { doing: doing.to_owned(), errno, text: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, io::Error::from_raw_os_error(self.errno))?;
        self.text.iter().try_for_each(|text| write!(f, ": {text}"))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.errno {
            libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => {
                Self::new(Kind::Exhausted, refusal.to_string())
            }
            _ => Self::system(refusal.to_string()),
        }
    }
}
