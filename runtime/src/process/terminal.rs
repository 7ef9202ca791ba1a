//! A pseudo-terminal for a program, made inside its container.

use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::send_with_fd;
use crate::init::launch::Streams;
use crate::linux::descriptor::place;
use crate::linux::mount::Depth;
use crate::rootfs::attach::{attach, clone_at};
use crate::rootfs::place::{Root, make_here};
use oci_spec::runtime::Process;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, makedev, openat2};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// The type number of devpts in statfs(2).
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
/// The inode number that a devpts gives its ptmx.
const PTMX_INODE: u64 = 2;

/// A terminal that a program is to be given.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Where the controlling end goes: a connected unix socket.
    socket: OwnedFd,
    /// Its size at first.
    size: Option<Winsize>,
    /// Who shows it.
    streams: Streams,
}

/// A new terminal's two ends.
#[derive(Debug)]
pub(crate) struct Pair {
    controller: OwnedFd,
    program: OwnedFd,
}

impl Terminal {
    /// A terminal of the size that `process` asks for, whose controlling end goes to `socket`.
    pub(crate) fn new(socket: OwnedFd, process: &Process, streams: Streams) -> Terminal {
        let size = process.console_size().map(|size| Winsize {
            ws_row: size.height().min(u16::MAX.into()) as u16,
            ws_col: size.width().min(u16::MAX.into()) as u16,
            ws_xpixel: 0,
            ws_ypixel: 0,
        });
        let size = size.filter(|size| size.ws_row != 0 && size.ws_col != 0);
        Terminal { socket, size, streams }
    }

    /// Makes the pair from the container's devpts, which is looked for below `root`.
    pub(crate) fn make(&self, root: impl AsFd) -> Result<Pair> {
        let controller = open_ptmx(root)?;
        unlockpt(&controller).context(|| "unlock the terminal")?;
        if let Some(size) = self.size {
            tcsetwinsize(&controller, size).context(|| "set the terminal's size")?;
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let program = ioctl_tiocgptpeer(&controller, flags)
            .context(|| "failed to get peer end of newly-allocated console")?;
        if self.streams == Streams::Caller {
            show_plain_line_feeds(&program)?;
        }
        Ok(Pair { controller, program })
    }

    /// Hands the controlling end over, and makes the other this session's terminal and standard
    /// streams.
    pub(crate) fn adopt(&self, pair: Pair) -> Result<()> {
        send_with_fd(&self.socket, b"/dev/ptmx", Some(pair.controller.as_fd()))
            .context(|| "send the terminal to the console socket")?;
        for stream in 0..3 {
            place(pair.program.as_raw_fd(), stream).context(|| "use the terminal")?;
        }
        rustix::process::ioctl_tiocsctty(&pair.program).context(|| "ioctl(setctty)")
    }
}

impl Pair {
    /// Shows the terminal at /dev/console of a container that is being made.
    pub(crate) fn mount_console(&self, root: &Root) -> Result<()> {
        let what = || "mount /dev/console";
        let (dev, name) = root.make_parent(Path::new("/dev/console"))?;
        let place = make_here(&dev, &name, 0o666).context(what)?;
        let tree = clone_at(&self.program, Depth::One).context(what)?;
        attach(tree, place).context(what)
    }
}

/// The caller's streams get line feeds as they are written. Who takes the terminal by a console
/// socket decides for itself: docker's clients expect `\r\n`. This is settled before there is a
/// program that could write.
fn show_plain_line_feeds(terminal: &OwnedFd) -> Result<()> {
    let what = || "set the terminal's modes";
    let mut modes = tcgetattr(terminal).context(what)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(terminal, OptionalActions::Now, &modes).context(what)
}

/// Opens the ptmx of the container's devpts, and of nothing that only pretends to be one.
fn open_ptmx(root: impl AsFd) -> Result<OwnedFd> {
    let what = || "open /dev/pts/ptmx";
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat2(&root, "dev/pts/ptmx", flags, Mode::empty(), resolve).context(what)?;
    let stat = rustix::fs::fstat(&found).context(what)?;
    let is_ptmx = rustix::fs::fstatfs(&found).context(what)?.f_type == DEVPTS_SUPER_MAGIC
        && stat.st_ino == PTMX_INODE
        && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(5, 2);
    if !is_ptmx {
        return Err(Error::new(Kind::System, "ptmx handle is not on a real devpts mount"));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat2(&root, "dev/pts/ptmx", flags, Mode::empty(), resolve).context(what)?;
    match crate::rootfs::place::is_same_file(&opened, &found).context(what)? {
        true => Ok(opened),
        false => Err(Error::new(Kind::System, "/dev/pts/ptmx was exchanged while it was opened")),
    }
}
