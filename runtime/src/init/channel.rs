//! The conversation between `tare` and the process that becomes the container's program.
//!
//! One packet is one message, so a message is whole or absent, and a peer that died reads as the
//! end of the conversation. Both ends close on exec: the parent learns from the end that the
//! program runs.

use crate::error::{Context, Error, Kind, Result};
use crate::log::Level;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the inside tells the outside.
#[derive(Debug)]
pub(crate) enum Report {
    /// A helper has made the real init, with this process id; the helper ends now.
    Forked {
        /// The init's id, in the runtime's pid namespace.
        pid: u32,
    },
    /// The new user namespace waits for its id mappings.
    MapIds,
    /// The network namespace waits for devices of the host.
    NetDevices,
    /// The mount with this number in the plan needs a source that only the host side can make.
    MountSource {
        /// The mount's place in the plan.
        index: u32,
    },
    /// Namespaces and mounts are made, the root is not switched yet: time for the host's hooks.
    Hooks,
    /// The seccomp filter's notification descriptor has this number in the sender.
    SeccompListener {
        /// The number, in the sender's table of descriptors.
        number: i32,
    },
    /// What is being done, for the log.
    Step(String),
    /// All is done but the program itself.
    Ready,
    /// It went wrong; the sender ends.
    Failed(Error),
}

/// What the outside answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Go on.
    Proceed,
    /// Go on with this mount.
    MountSource(OwnedFd),
}

/// The longest message, in bytes: the longest error text that is carried.
const LIMIT: usize = 16 * 1024;

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    /// The least bad that the log takes.
    least: Level,
}

impl Channel {
    /// Two ends that are connected to each other, for a log that takes nothing below `least`.
    pub(crate) fn pair(least: Level) -> Result<(Channel, Channel)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context(|| "make the init channel")?;
        Ok((Channel { socket: one, least }, Channel { socket: other, least }))
    }

    /// Sends `report` to the outside.
    pub(crate) fn report(&self, report: &Report) -> Result<()> {
        // No sendmsg here: a filter that asks about sendmsg(2) may be in force already.
        rustix::io::write(&self.socket, &encode_report(report))
            .context(|| "report to the runtime")?;
        Ok(())
    }

    /// Tells the outside what is being done, if its log is to have it.
    pub(crate) fn step(&self, what: impl FnOnce() -> String) {
        if self.least <= Level::Debug {
            // Without a listener there is no log either.
            let _ = self.report(&Report::Step(what()));
        }
    }

    /// Sends `report` and waits for the go-ahead.
    pub(crate) fn ask(&self, report: &Report) -> Result<Answer> {
        self.report(report)?;
        match self.receive()? {
            Some((bytes, fd)) => decode_answer(&bytes, fd),
            None => {
                Err(Error::new(Kind::System, "the runtime ended while init was waiting for it"))
            }
        }
    }

    /// The next report from inside; `None` once the peer has ended or runs its program.
    pub(crate) fn next_report(&self) -> Result<Option<Report>> {
        match self.receive()? {
            Some((bytes, _)) => decode_report(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Answers the inside.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<()> {
        match answer {
            Answer::Proceed => send_with_fd(&self.socket, &[PROCEED], None),
            Answer::MountSource(fd) => {
                send_with_fd(&self.socket, &[MOUNT_SOURCE], Some(fd.as_fd()))
            }
        }
        .context(|| "answer the container's init")
    }

    /// One packet and the descriptor that came with it.
    fn receive(&self) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
        let mut bytes = vec![0u8; LIMIT];
        let (length, fd) =
            receive_with_fd(&self.socket, &mut bytes).context(|| "read the init channel")?;
        bytes.truncate(length);
        Ok((length > 0).then_some((bytes, fd)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends `bytes`, and `fd` with them, over a connected unix socket.
pub(crate) fn send_with_fd(
    socket: impl AsFd,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| {
        sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags).map(|_| ())
    })
}

/// Receives into `bytes`: the length, and the first descriptor that came along.
pub(crate) fn receive_with_fd(
    socket: impl AsFd,
    bytes: &mut [u8],
) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((message.bytes, fd))
}

const PROCEED: u8 = 1;
const MOUNT_SOURCE: u8 = 2;

const FORKED: u8 = 1;
const MAP_IDS: u8 = 2;
const NEED_SOURCE: u8 = 3;
const HOOKS: u8 = 4;
const LISTENER: u8 = 5;
const READY: u8 = 6;
const FAILED: u8 = 7;
const NET_DEVICES: u8 = 8;
const STEP: u8 = 9;

fn encode_report(report: &Report) -> Vec<u8> {
    match report {
        Report::Forked { pid } => with_number(FORKED, *pid),
        Report::MapIds => vec![MAP_IDS],
        Report::MountSource { index } => with_number(NEED_SOURCE, *index),
        Report::NetDevices => vec![NET_DEVICES],
        Report::Hooks => vec![HOOKS],
        Report::SeccompListener { number } => with_number(LISTENER, *number as u32),
        Report::Ready => vec![READY],
        Report::Step(text) => with_text(vec![STEP], text),
        Report::Failed(error) => {
            let mut bytes = with_number(FAILED, error.errno().unwrap_or(0) as u32);
            bytes.push(kind_code(error.kind()));
            with_text(bytes, &error.to_string())
        }
    }
}

/// What of `text` fits into one message after `bytes`.
fn with_text(mut bytes: Vec<u8>, text: &str) -> Vec<u8> {
    let room = LIMIT - bytes.len();
    bytes.extend(text.as_bytes().iter().take(room));
    bytes
}

fn with_number(tag: u8, number: u32) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(number.to_le_bytes());
    bytes
}

fn decode_report(bytes: &[u8]) -> Result<Report> {
    let garbled = || Error::new(Kind::System, "the container's init sent an unknown message");
    let (tag, rest) = bytes.split_first().ok_or_else(garbled)?;
    let number = || rest.first_chunk::<4>().map(|four| u32::from_le_bytes(*four));
    Ok(match *tag {
        FORKED => Report::Forked { pid: number().ok_or_else(garbled)? },
        MAP_IDS => Report::MapIds,
        NEED_SOURCE => Report::MountSource { index: number().ok_or_else(garbled)? },
        NET_DEVICES => Report::NetDevices,
        HOOKS => Report::Hooks,
        LISTENER => Report::SeccompListener { number: number().ok_or_else(garbled)? as i32 },
        READY => Report::Ready,
        STEP => Report::Step(String::from_utf8_lossy(rest).into_owned()),
        FAILED => {
            let errno = number().ok_or_else(garbled)? as i32;
            let kind = rest.get(4).and_then(|code| kind_of(*code)).ok_or_else(garbled)?;
            let text = String::from_utf8_lossy(rest.get(5..).unwrap_or_default()).into_owned();
            Report::Failed(Error::remote(kind, (errno != 0).then_some(errno), text))
        }
        _ => return Err(garbled()),
    })
}

fn decode_answer(bytes: &[u8], fd: Option<OwnedFd>) -> Result<Answer> {
    match (bytes.first(), fd) {
        (Some(&PROCEED), None) => Ok(Answer::Proceed),
        (Some(&MOUNT_SOURCE), Some(fd)) => Ok(Answer::MountSource(fd)),
        _ => Err(Error::new(Kind::System, "the runtime sent an unknown answer")),
    }
}

/// The kinds in the order of their codes.
const KINDS: [Kind; 6] =
    [Kind::NotFound, Kind::Exists, Kind::State, Kind::Invalid, Kind::Unsupported, Kind::System];

fn kind_code(kind: Kind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1) as u8
}

fn kind_of(code: u8) -> Option<Kind> {
    KINDS.get(usize::from(code)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_answers_cross_whole() {
        let (inside, outside) = Channel::pair(Level::Debug).unwrap();
        inside.report(&Report::Forked { pid: 4711 }).unwrap();
        inside.report(&Report::SeccompListener { number: -1 }).unwrap();
        inside.step(|| "a step".to_owned());
        let failed = Error::system("exec /x", rustix::io::Errno::NOENT);
        inside.report(&Report::Failed(failed)).unwrap();
        drop(inside);
        assert!(matches!(outside.next_report(), Ok(Some(Report::Forked { pid: 4711 }))));
        assert!(matches!(outside.next_report(), Ok(Some(Report::SeccompListener { number: -1 }))));
        assert!(matches!(outside.next_report(), Ok(Some(Report::Step(text))) if text == "a step"));
        let Ok(Some(Report::Failed(error))) = outside.next_report() else { panic!("no error") };
        assert_eq!(error.to_string(), "exec /x: no such file or directory");
        assert_eq!((error.kind(), error.errno()), (Kind::System, Some(libc::ENOENT)));
        assert!(outside.next_report().unwrap().is_none());
    }

    #[test]
    fn a_descriptor_travels_with_its_answer() {
        let (inside, outside) = Channel::pair(Level::Debug).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        outside.answer(&Answer::MountSource(null.into())).unwrap();
        let answer = inside.ask(&Report::MountSource { index: 0 }).unwrap();
        assert!(matches!(answer, Answer::MountSource(_)));
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [&b""[..], b"\xff", b"\x01\x00", b"\x07\x00\x00\x00\x00\x63x"] {
            assert!(decode_report(bytes).is_err(), "{bytes:?}");
        }
        assert!(decode_answer(&[MOUNT_SOURCE], None).is_err());
    }

    #[test]
    fn an_endless_error_text_is_cut() {
        let error = Error::invalid("x".repeat(LIMIT * 2));
        assert_eq!(encode_report(&Report::Failed(error)).len(), LIMIT);
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_reports(tag in 0u8..9, rest in proptest::collection::vec(0u8.., 0..24)) {
            let bytes = [&[tag][..], &rest].concat();
            if let Ok(report) = decode_report(&bytes) {
                decode_report(&encode_report(&report)).unwrap();
            }
            let _ = decode_answer(&bytes, None);
        }
    }
}
