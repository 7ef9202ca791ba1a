//! A process's terminal: the runtime makes it and sends us its master side over a socket.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::error::{Context, Error, Result};

/// How long a runtime that has succeeded may take to have sent the terminal.
const PATIENCE: Duration = Duration::from_secs(10);

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) width: u16,
    /// Rows.
    pub(crate) height: u16,
}

/// The socket that the runtime is given as `--console-socket`; removed when dropped.
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Listens at `path`, which is short enough for a socket and ours alone.
    pub(crate) fn bind(path: PathBuf) -> Result<Self> {
        let what = || format!("make the console socket {}", path.display());
        let listener = UnixListener::bind(&path).context(what)?;
        Ok(ConsoleSocket { listener, path })
    }

    /// Where the runtime finds it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The master side of the terminal, in non-blocking mode. To be called when the runtime has
    /// done its work.
    pub(crate) async fn receive(self) -> Result<OwnedFd> {
        let received = timeout(PATIENCE, self.receive_one()).await;
        let master = received.unwrap_or_else(|_| {
            Err(Error::unknown("the OCI runtime sent no terminal over its console socket"))
        })?;
        let what = || "set the terminal to non-blocking mode".to_owned();
        rustix::io::ioctl_fionbio(&master, true).context(what)?;
        Ok(master)
    }

    async fn receive_one(&self) -> Result<OwnedFd> {
        let what = || "receive the terminal from the OCI runtime".to_owned();
        let (stream, _) = self.listener.accept().await.context(what)?;
        loop {
            stream.readable().await.context(what)?;
            let received =
                stream.try_io(Interest::READABLE, || Ok(receive_descriptor(stream.as_fd())?));
            match received {
                Ok(Some(master)) => return Ok(master),
                Ok(None) => {
                    return Err(Error::unknown("the OCI runtime's message holds no terminal"));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context(what),
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn receive_descriptor(socket: impl AsFd) -> rustix::io::Result<Option<OwnedFd>> {
    // The runtime sends the terminal's name along.
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut name)];
    recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(descriptors.next().and_then(|mut descriptors| descriptors.next()))
}

/// Tells the terminal's processes of its new size.
pub(crate) fn resize(terminal: impl AsFd, size: Size) -> Result<()> {
    let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).context(|| "resize the terminal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use rustix::pty::{OpenptFlags, openpt};
    use std::io::IoSlice;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn receives_what_a_runtime_sends() {
        let directory = tempfile::tempdir().unwrap();
        let socket = ConsoleSocket::bind(directory.path().join("tty")).unwrap();
        let path = socket.path().to_owned();
        let runtime = UnixStream::connect(&path).unwrap();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [master.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let name = [IoSlice::new(b"/dev/ptmx")];
        sendmsg(&runtime, &name, &mut control, SendFlags::empty()).unwrap();
        let received = socket.receive().await.unwrap();
        resize(&received, Size { width: 132, height: 43 }).unwrap();
        assert_eq!(rustix::termios::tcgetwinsize(&master).unwrap().ws_col, 132);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_runtime_that_sends_nothing_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let socket = ConsoleSocket::bind(directory.path().join("tty")).unwrap();
        drop(UnixStream::connect(socket.path()).unwrap());
        assert!(socket.receive().await.is_err_and(|error| error.to_string().contains("terminal")));
    }
}
