//! Carrying bytes between the caller's terminal and that of a container.

use crate::error::{Context, Error, Kind, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The caller's terminal, which is made raw, and given back as it was when this is dropped.
#[derive(Debug)]
pub(crate) struct HostTerminal {
    fd: OwnedFd,
    before: Termios,
}

impl HostTerminal {
    /// Finds the caller's terminal: a standard stream, or else that of its session.
    pub(crate) fn find() -> Result<HostTerminal> {
        let streams = [rustix::stdio::stderr(), rustix::stdio::stdout(), rustix::stdio::stdin()];
        let what = || "unable to get console";
        let fd = match streams.iter().find(|stream| isatty(stream)) {
            Some(stream) => stream.try_clone_to_owned().context(what)?,
            None => {
                let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
                rustix::fs::open("/dev/tty", flags, Mode::empty()).context(|| "open /dev/tty")?
            }
        };
        let before = tcgetattr(&fd).context(what)?;
        Ok(HostTerminal { fd, before })
    }

    /// Hands every key to the container as it is typed. What is shown still has its line feeds
    /// turned into the starts of lines here, since the container's terminal leaves them as they are.
    pub(crate) fn make_raw(&self) -> Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        raw.output_modes |= OutputModes::OPOST;
        tcsetattr(&self.fd, OptionalActions::Now, &raw)
            .context(|| "failed to set the terminal from the stdin")
    }

    /// Gives the container's terminal the size of this one. A terminal that is gone has none.
    pub(crate) fn resize(&self, container: impl AsFd) {
        if let Ok(size) = tcgetwinsize(&self.fd) {
            let _ = tcsetwinsize(container, size);
        }
    }
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.fd, OptionalActions::Now, &self.before);
    }
}

/// One direction: what was read and is not written yet.
#[derive(Debug, Default)]
struct Flow {
    buffer: Vec<u8>,
    ended: bool,
}

/// How much is read at once, in bytes.
const CHUNK: usize = 32 * 1024;

/// Both directions between the caller's streams and the container's terminal.
#[derive(Debug)]
pub(crate) struct Relay {
    terminal: OwnedFd,
    typed: Flow,
    shown: Flow,
}

impl Relay {
    /// Relays for `terminal`, the controlling end of the container's.
    pub(crate) fn new(terminal: OwnedFd) -> Result<Relay> {
        rustix::io::ioctl_fionbio(&terminal, true).context(|| "use the container's terminal")?;
        Ok(Relay { terminal, typed: Flow::default(), shown: Flow::default() })
    }

    /// The container's terminal.
    pub(crate) fn terminal(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }

    /// What has to happen before [`step`](Relay::step) can do anything. Nothing more is read while
    /// what was read waits to be written: neither side is faster than the other.
    pub(crate) fn interests(&self) -> Vec<PollFd<'_>> {
        let mut list = Vec::with_capacity(3);
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.shown.buffer.is_empty() && !self.shown.ended);
        events.set(PollFlags::OUT, !self.typed.buffer.is_empty());
        if !events.is_empty() {
            list.push(PollFd::new(&self.terminal, events));
        }
        if self.typed.buffer.is_empty() && !self.typed.ended {
            list.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        if !self.shown.buffer.is_empty() {
            list.push(PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::OUT));
        }
        list
    }

    /// Carries what can be carried without waiting.
    pub(crate) fn step(&mut self) -> Result<()> {
        if self.typed.buffer.is_empty() && is_readable(rustix::stdio::stdin())? {
            self.typed.read(rustix::stdio::stdin())?;
        }
        self.typed.write(&self.terminal)?;
        self.shown.read(&self.terminal)?;
        if is_writable(rustix::stdio::stdout())? {
            self.shown.write(rustix::stdio::stdout())?;
        }
        Ok(())
    }

    /// Shows what the program wrote before it ended.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            self.shown.read(&self.terminal)?;
            if self.shown.buffer.is_empty() {
                return Ok(());
            }
            self.shown.write(rustix::stdio::stdout())?;
        }
    }
}

impl Flow {
    fn read(&mut self, from: impl AsFd) -> Result<()> {
        if self.ended || !self.buffer.is_empty() {
            return Ok(());
        }
        let mut chunk = vec![0u8; CHUNK];
        match rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut chunk)) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                chunk.truncate(length);
                self.buffer = chunk;
            }
            Err(Errno::AGAIN) => {}
            // A terminal whose last program has closed it, or one that hung up.
            Err(Errno::IO) => self.ended = true,
            Err(errno) => return Err(Error::system("read the terminal", errno)),
        }
        Ok(())
    }

    fn write(&mut self, to: impl AsFd) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match rustix::io::retry_on_intr(|| rustix::io::write(&to, &self.buffer)) {
            Ok(length) => {
                self.buffer.drain(..length.min(self.buffer.len()));
            }
            Err(Errno::AGAIN) => {}
            // Nobody reads any more: the program goes on all the same.
            Err(Errno::IO | Errno::PIPE) => self.buffer.clear(),
            Err(errno) => return Err(Error::system("write to the terminal", errno)),
        }
        Ok(())
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> Result<bool> {
    is_now(fd, PollFlags::IN)
}

fn is_writable(fd: BorrowedFd<'_>) -> Result<bool> {
    is_now(fd, PollFlags::OUT)
}

fn is_now(fd: BorrowedFd<'_>, events: PollFlags) -> Result<bool> {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut list = [PollFd::from_borrowed_fd(fd, events)];
    let count = rustix::io::retry_on_intr(|| rustix::event::poll(&mut list, Some(&now)))
        .context(|| "poll")?;
    Ok(count > 0)
}

/// Receives the controlling end of a container's terminal.
pub(crate) fn receive(socket: impl AsFd) -> Result<OwnedFd> {
    let mut name = [0u8; 256];
    let (_, fd) = crate::init::channel::receive_with_fd(socket, &mut name)
        .context(|| "receive the container's terminal")?;
    fd.ok_or_else(|| Error::new(Kind::System, "the container's terminal was not sent"))
}
