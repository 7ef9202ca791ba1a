//! Passing on a container's word that it is ready, by systemd's protocol (sd_notify(3)).
//!
//! A supervisor that wants to know names a datagram socket in `NOTIFY_SOCKET`. The container cannot
//! reach that one, and its process ids mean nothing there; so it gets a socket of its own at
//! /run/notify, and the runtime waits behind it until the container is ready, says so to the
//! supervisor, and names the process to watch from then on. Nothing else is passed on.

use super::store::StateDir;
use crate::error::{Context, Error, Result};
use crate::init::channel::send_with_fd;
use crate::log::{Level, Log};
use oci_spec::runtime::{MountBuilder, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// By which a supervisor names its socket.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// The socket's directory, in that of the container on the host.
const DIRECTORY: &str = "notify";
/// The same inside.
const INSIDE: &str = "/run/notify";
/// The socket.
const SOCKET: &str = "notify.sock";
/// The longest message that is read, in bytes: the only one that counts is short.
const LIMIT: usize = 4096;
/// How long the supervisor may take to have read all, in seconds.
const PATIENCE: i64 = 30;

/// A supervisor that wants to know when the container is ready.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: OsString,
}

impl Supervisor {
    /// The one that the caller's environment names.
    pub(crate) fn of_caller() -> Option<Supervisor> {
        let socket = std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty())?;
        Some(Supervisor { socket })
    }

    /// Has the container that is made from `spec` get a socket: one in its directory `dir`.
    pub(crate) fn arrange(spec: &mut Spec, dir: &Path) -> Result<()> {
        let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
        let mount = MountBuilder::default()
            .destination(INSIDE)
            .typ("bind")
            .source(dir.join(DIRECTORY))
            .options(options)
            .build()
            .map_err(|error| Error::invalid(format!("{INSIDE}: {error}")))?;
        spec.mounts_mut().get_or_insert_default().push(mount);
        if let Some(process) = spec.process_mut().as_mut() {
            let entry = format!("{VARIABLE}={INSIDE}/{SOCKET}");
            process.env_mut().get_or_insert_default().push(entry);
        }
        Ok(())
    }

    /// Listens for the container whose directory is `dir`; not for one that was made without a
    /// socket.
    pub(crate) fn listen(&self, dir: &StateDir) -> Result<Option<Readiness>> {
        let what = || format!("listen on {INSIDE}/{SOCKET}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = match rustix::fs::openat(dir, DIRECTORY, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.context(what)?,
        };
        let _ = rustix::fs::unlinkat(&place, SOCKET, AtFlags::empty());
        // The whole path may be longer than an address can be.
        let short = format!("/proc/self/fd/{}/{SOCKET}", place.as_raw_fd());
        let inside = UnixDatagram::bind(&short).context(what)?;
        inside.set_nonblocking(true).context(what)?;
        // Whoever the container's program runs as.
        let all = Mode::from_raw_mode(0o777);
        rustix::fs::chmodat(&place, SOCKET, all, AtFlags::empty()).context(what)?;
        let host = UnixDatagram::unbound().context(what)?;
        self.connect(&host)
            .context(|| format!("dial unixgram {}", self.socket.to_string_lossy()))?;
        Ok(Some(Readiness { inside, host }))
    }

    /// A name that begins with `@` is not in the file system.
    fn connect(&self, host: &UnixDatagram) -> std::io::Result<()> {
        match self.socket.as_bytes().split_first() {
            Some((b'@', name)) => host.connect_addr(&SocketAddr::from_abstract_name(name)?),
            _ => host.connect(&self.socket),
        }
    }
}

/// Makes the socket's directory in that of the container.
pub(super) fn make_directory(dir: &StateDir) -> Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(dir, DIRECTORY, mode).context(|| format!("mkdir {DIRECTORY}"))
}

/// A container that has not said yet that it is ready.
#[derive(Debug)]
pub(crate) struct Readiness {
    inside: UnixDatagram,
    host: UnixDatagram,
}

impl Readiness {
    /// Waits until the container is ready or its init `pidfd` has ended. Then `pid` is watched.
    pub(crate) fn wait(&self, pidfd: &OwnedFd, pid: u32, log: &Log) -> Result<()> {
        loop {
            let mut list =
                [PollFd::new(&self.inside, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut list, None)).context(|| "poll")?;
            let [_, init] = list;
            let ended = !init.revents().is_empty();
            if self.pass_on(pid)? {
                return self.wait_for_supervisor(log);
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Reads what the container has said, without waiting, and says whether it is ready: then the
    /// supervisor knows, and watches `pid`.
    pub(crate) fn pass_on(&self, pid: u32) -> Result<bool> {
        let mut message = [0; LIMIT];
        loop {
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.inside, &mut message));
            let length = match read {
                Err(Errno::AGAIN) => return Ok(false),
                other => other.context(|| "read from the container")?,
            };
            let text = message.get(..length).unwrap_or_default();
            let mut lines = text.split(|byte| *byte == b'\n');
            if let Some(ready) = lines.find(|line| line.starts_with(b"READY=")) {
                let what = || "notify the supervisor";
                self.host.send(&[ready, b"\n"].concat()).context(what)?;
                self.host.send(format!("MAINPID={pid}\n").as_bytes()).context(what)?;
                return Ok(true);
            }
        }
    }

    /// Waits until the supervisor has read what it was sent: it looks up who sent a message only
    /// then, and who has ended by then is nobody. It closes the descriptor that comes with the last.
    fn wait_for_supervisor(&self, log: &Log) -> Result<()> {
        let what = || "wait for the supervisor";
        let (end, theirs) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(what)?;
        send_with_fd(&self.host, b"BARRIER=1", Some(theirs.as_fd())).context(what)?;
        drop(theirs);
        let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let mut list = [PollFd::new(&end, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut list, Some(&limit))).context(what)? == 0 {
            // It does not know this part of the protocol.
            let text = format!("Timeout after waiting {PATIENCE}s for barrier. Ignored.");
            log.write(Level::Warning, &text);
        }
        Ok(())
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }
}
