//! Staying with a program: signals go to it, its terminal is the caller's, and its exit status is
//! this program's.

use super::create::Started;
use super::identity::send_signal;
use super::notify::Readiness;
use super::relay::{HostTerminal, Relay};
use crate::error::{Context, Error, Kind, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::process;

/// What must be in place before the program starts, so that no signal is lost.
#[derive(Debug)]
pub(crate) struct Foreground {
    signals: SignalFd,
    terminal: Option<(HostTerminal, OwnedFd)>,
}

/// Whether the program gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithTerminal {
    /// One that is connected to the caller's.
    Yes,
    /// None: it has the caller's streams.
    No,
}

impl Foreground {
    /// Gets ready. For a program with a terminal, gives the socket to which its controlling end is
    /// to be sent.
    pub(crate) fn prepare(terminal: WithTerminal) -> Result<(Foreground, Option<OwnedFd>)> {
        let mut all = SigSet::all();
        // These say that this program itself is at fault.
        for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL] {
            all.remove(fault);
        }
        all.thread_block().context(|| "block signals")?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context(|| "signalfd")?;
        if terminal == WithTerminal::No {
            return Ok((Foreground { signals, terminal: None }, None));
        }
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .context(|| "socketpair")?;
        let host = HostTerminal::find()?;
        Ok((Foreground { signals, terminal: Some((host, ours)) }, Some(theirs)))
    }

    /// Stays until the program ends, and gives the exit status that tells how. Its word that it is
    /// ready is passed on meanwhile, as that of this process, which is the one to watch.
    pub(crate) fn stay(self, started: &Started, readiness: Option<Readiness>) -> Result<i32> {
        let Foreground { signals, terminal } = self;
        let mut readiness = readiness;
        let mut terminal = match terminal {
            None => None,
            Some((host, socket)) => {
                let relay = Relay::new(super::relay::receive(&socket)?)?;
                host.make_raw()?;
                host.resize(relay.terminal());
                Some((host, relay))
            }
        };
        loop {
            let relay = terminal.as_ref().map(|(_, relay)| relay);
            wait(&signals, started, relay, readiness.as_ref())?;
            // A supervisor that cannot be told is no reason to end.
            readiness = readiness.filter(|one| matches!(one.pass_on(process::id()), Ok(false)));
            if let Some((_, relay)) = &mut terminal {
                relay.step()?;
            }
            forward(&signals, started, terminal.as_ref())?;
            if let Some(status) = exit_status(started)? {
                if let Some((_, relay)) = &mut terminal {
                    relay.drain()?;
                }
                return Ok(status);
            }
        }
    }
}

/// Waits until there is something to do.
fn wait(
    signals: &SignalFd,
    started: &Started,
    relay: Option<&Relay>,
    readiness: Option<&Readiness>,
) -> Result<()> {
    let mut list = relay.map(Relay::interests).unwrap_or_default();
    list.extend(readiness.map(|one| PollFd::new(one, PollFlags::IN)));
    list.push(PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN));
    list.push(PollFd::new(&started.pidfd, PollFlags::IN));
    match poll(&mut list, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::system("poll", errno)),
    }
}

/// Passes on what arrived. The size of a terminal is passed on as such; ended children are reaped.
fn forward(
    signals: &SignalFd,
    started: &Started,
    terminal: Option<&(HostTerminal, Relay)>,
) -> Result<()> {
    while let Some(info) = signals.read_signal().context(|| "read signals")? {
        match i32::try_from(info.ssi_signo).unwrap_or(0) {
            libc::SIGCHLD => reap_orphans(started)?,
            libc::SIGWINCH if terminal.is_some() => {
                if let Some((host, relay)) = terminal {
                    host.resize(relay.terminal());
                }
            }
            signal => match send_signal(&started.pidfd, signal) {
                Err(error) if error.kind() == Kind::State => {}
                other => other?,
            },
        }
    }
    Ok(())
}

/// Reaps processes that the container has left behind and that have ended; not its first, whose exit
/// status is still to be read.
fn reap_orphans(started: &Started) -> Result<()> {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let ended = match nix::sys::wait::waitid(Id::All, look) {
            Ok(ended) => ended.pid(),
            Err(nix::errno::Errno::ECHILD) => None,
            Err(errno) => return Err(Error::system("look for children that have ended", errno)),
        };
        match ended {
            Some(pid) if pid.as_raw().cast_unsigned() != started.pid => {
                let _ = nix::sys::wait::waitpid(pid, None);
            }
            // It is seen first as long as it is there; the rest ends with this process.
            Some(_) | None => return Ok(()),
        }
    }
}

/// The program's exit status, once it has ended: 128 and the signal's number if one ended it.
fn exit_status(started: &Started) -> Result<Option<i32>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status =
        waitid(WaitId::PidFd(started.pidfd.as_fd()), options).context(|| "wait for the program")?;
    Ok(status.map(|status| match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }))
}
