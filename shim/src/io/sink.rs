//! Where the output of one stream goes: the log, attached clients, a fifo or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::hub::{Channel, Hub};
use super::log::LogStream;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};
use crate::linux::watch;

/// All that want one stream's output.
pub(crate) struct Sinks {
    /// The container's log.
    pub(crate) log: Option<LogStream>,
    /// Attached clients, and which of their streams this is.
    pub(crate) hub: Option<(Arc<Hub>, Channel)>,
    /// What the caller opened for it.
    pub(crate) copy: Option<Copy>,
}

/// A copy of the output in the file system.
pub(crate) enum Copy {
    /// A fifo. This end is open for reading too, so that a reader that leaves harms nobody.
    Fifo(AsyncFd<OwnedFd>),
    /// A pipe to a program that keeps logs.
    Pipe(AsyncFd<OwnedFd>),
    /// A regular file, appended to.
    File(File),
}

impl Copy {
    /// Opens a fifo that the caller made, without waiting for its reader.
    pub(crate) fn fifo(path: &Path) -> Result<Self> {
        let what = || format!("open the fifo {}", path.display());
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .context(what)?;
        if !file.metadata().context(what)?.file_type().is_fifo() {
            return Err(Error::invalid(format!(
                "{} is no fifo; to write a file, give file://{0}",
                path.display()
            )));
        }
        watch(file.into(), Interest::WRITABLE).map(Copy::Fifo).context(what)
    }

    /// Writes to a pipe, whose other end a program has.
    pub(crate) fn pipe(pipe: OwnedFd) -> Result<Self> {
        let what = || "watch a pipe to a logging program".to_owned();
        watch(pipe, Interest::WRITABLE).map(Copy::Pipe).context(what)
    }

    /// Opens a file to append to, with the directories that lead to it.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .context(|| format!("make the directory {}", directory.display()))?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o644).open(path);
        file.map(Copy::File).context(|| format!("open the file {}", path.display()))
    }
}

impl Sinks {
    /// Hands `data` to everyone, and holds the process back for those that are slow.
    pub(crate) async fn deliver(&mut self, data: &[u8]) {
        if let Some(log) = &mut self.log {
            log.append(data).await;
        }
        if let Some((hub, channel)) = &self.hub
            && hub.has_clients(*channel)
        {
            hub.deliver(*channel, Bytes::copy_from_slice(data)).await;
        }
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write(data).await
        {
            warn(format_args!("copy of the output: {error}"));
            if error.kind() == io::ErrorKind::BrokenPipe {
                // Its reader has gone for good.
                self.copy = None;
            }
        }
    }

    /// There is no more: completes the last line of the log.
    pub(crate) async fn finish(mut self) {
        if let Some(log) = &mut self.log {
            log.finish().await;
        }
    }
}

impl Copy {
    async fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        let fifo = match self {
            Copy::File(file) => return file.write_all(data),
            Copy::Fifo(pipe) | Copy::Pipe(pipe) => pipe,
        };
        while !data.is_empty() {
            let mut ready = fifo.writable().await?;
            match ready.try_io(|fifo| Ok(rustix::io::write(fifo.get_ref(), data)?)) {
                Ok(Ok(count)) => data = data.get(count..).unwrap_or_default(),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}
