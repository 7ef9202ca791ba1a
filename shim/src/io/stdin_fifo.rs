//! A fifo that a process's input is read from, as containerd's clients give it.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::stdin::Stdin;
use crate::error::{Context, Result};
use crate::linux::watch;

const CHUNK: usize = 32 << 10;

/// The copying from the fifo; it stops when this is dropped.
pub(super) struct StdinFifo {
    task: AbortHandle,
    /// A writing end of ours keeps the input open while clients come and go.
    holder: Mutex<Option<File>>,
}

impl StdinFifo {
    /// Copies from the fifo at `path` until it ends, which is when [`let_go`](Self::let_go) has been
    /// called and its last writer has gone.
    pub(super) fn begin(path: &Path, stdin: Arc<Stdin>) -> Result<Self> {
        let what = || format!("open the fifo {}", path.display());
        let flags = OFlags::NONBLOCK.bits() as i32;
        let reader = OpenOptions::new().read(true).custom_flags(flags).open(path).context(what)?;
        let holder = OpenOptions::new().write(true).custom_flags(flags).open(path).context(what)?;
        let reader = watch(reader.into(), Interest::READABLE).context(what)?;
        let task = tokio::spawn(copy(reader, stdin)).abort_handle();
        Ok(StdinFifo { task, holder: Mutex::new(Some(holder)) })
    }

    /// Doesn't keep the input open any longer.
    pub(super) fn let_go(&self) {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for StdinFifo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn copy(reader: AsyncFd<OwnedFd>, stdin: Arc<Stdin>) {
    let mut buffer = Vec::new();
    while let Ok(mut ready) = reader.readable().await {
        buffer.resize(CHUNK, 0);
        let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer[..])?));
        match read {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => stdin.write(buffer.get(..count).unwrap_or_default()).await,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(Err(_)) => break,
            Err(_would_block) => buffer = Vec::new(),
        }
    }
    stdin.close().await;
}
