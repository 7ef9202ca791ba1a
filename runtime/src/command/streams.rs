//! What commands write, and what they connect a program to.

use crate::error::{Context, Error, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::Serialize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Writes `text` to standard output.
pub(super) fn print(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(|| "write to stdout")
}

/// Writes `value` as JSON, one entry a line, each level indented by `indent`.
pub(super) fn print_json(value: &impl Serialize, indent: &str) -> Result<()> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .map_err(std::io::Error::from)
        .context(|| "write JSON")?;
    print(&String::from_utf8_lossy(&bytes))
}

/// Writes `value` as JSON on one line.
pub(super) fn print_json_line(value: &impl Serialize) -> Result<()> {
    print(&(crate::container::record::to_json(value)? + "\n"))
}

/// Connects to the unix socket at `path`, which may be longer than an address can hold.
pub(super) fn connect_unix(path: &Path) -> Result<OwnedFd> {
    let what = || format!("dial unix {}", path.display());
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context(what)?;
    let address = match SocketAddrUnix::new(path) {
        Ok(address) => address,
        Err(_) => {
            use rustix::fs::{Mode, OFlags};
            use std::os::fd::AsRawFd;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let held = rustix::fs::open(path, flags, Mode::empty()).context(what)?;
            let short = format!("/proc/self/fd/{}", held.as_raw_fd());
            let address = SocketAddrUnix::new(short).context(what)?;
            return connect(&socket, &address).context(what).map(|()| socket);
        }
    };
    connect(&socket, &address).context(what)?;
    Ok(socket)
}

/// Sends the process descriptor `pidfd` to the unix socket at `path`.
pub(super) fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>, kind: &str) -> Result<()> {
    let socket = connect_unix(path)?;
    crate::init::channel::send_with_fd(socket, kind.as_bytes(), Some(pidfd))
        .context(|| "failed to send pidfd on socket")
}

/// Whether this program stays with the one that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// Until it ends.
    Attached,
    /// No.
    Detached,
}

/// Refuses a terminal that would lead nowhere.
pub(super) fn check_terminal(terminal: bool, stay: Stay, console: Option<&PathBuf>) -> Result<()> {
    match (stay, terminal, console) {
        (Stay::Detached, true, None) => Err(Error::invalid(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (Stay::Attached, _, Some(_)) | (_, false, Some(_)) => {
            Err(Error::invalid("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

/// Writes `pid` to the file `path`, which is there whole or not at all.
pub(super) fn write_pid_file(path: &Path, pid: u32) -> Result<()> {
    let what = || format!("write pid file {}", path.display());
    let name = path.file_name().ok_or_else(|| Error::invalid(format!("{}: no name", what())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let file = std::fs::File::create_new(&temporary).context(what)?;
    rustix::io::write(&file, pid.to_string().as_bytes()).context(what)?;
    std::fs::rename(&temporary, path).context(what)
}

/// `path` as seen from the directory that this program was called in.
pub(super) fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    path.map(|path| std::path::absolute(&path).context(|| format!("abs {}", path.display())))
        .transpose()
}

/// Checks that the descriptors to be passed on are open.
pub(super) fn check_preserved(count: u32) -> Result<()> {
    for number in 0..count {
        let fd = i32::try_from(number).ok().and_then(|number| number.checked_add(3));
        if !fd.is_some_and(crate::linux::descriptor::is_open) {
            return Err(Error::invalid(format!(
                "unable to stat preserved-fd {number} (of {count}): no such file or directory"
            )));
        }
    }
    Ok(())
}

/// Sockets that a supervisor passes on by the LISTEN_FDS protocol: how many, and what the program
/// is told about them.
pub(super) fn listen_fds() -> (u32, Vec<String>) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() && count > 0 => {
            (count, vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()])
        }
        _ => (0, Vec::new()),
    }
}
