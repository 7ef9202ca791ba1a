//! Waiting for files to change without looking again and again: one inotify instance for all who
//! follow a log, since a user may have only few of them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::watch;

use super::super::entry::lock;
use crate::error::{Error, Result};

/// Bytes of events taken from the kernel at once.
const BUFFER: usize = 16 << 10;

/// Tells who follows what that a directory has changed.
#[derive(Default)]
pub(in crate::container) struct Watcher {
    instance: Mutex<Option<Arc<Instance>>>,
}

/// One inotify instance and its listeners.
struct Instance {
    descriptor: OwnedFd,
    listeners: Mutex<HashMap<i32, Listeners>>,
}

struct Listeners {
    changed: watch::Sender<()>,
    count: usize,
}

/// Somebody who wants to know when a directory changes.
pub(super) struct Changes {
    instance: Arc<Instance>,
    watch: i32,
    changed: watch::Receiver<()>,
}

impl Watcher {
    /// Begins to listen for changes of the files in `directory`.
    pub(super) fn listen(&self, directory: &Path) -> Result<Changes> {
        let failed = |error: Errno| {
            Error::io(format!("watch {} (inotify)", directory.display()), error.into())
        };
        let instance = self.instance().map_err(failed)?;
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        let mut listeners = lock(&instance.listeners);
        let watch = inotify::add_watch(&instance.descriptor, directory, flags).map_err(failed)?;
        let entry = listeners
            .entry(watch)
            .or_insert_with(|| Listeners { changed: watch::channel(()).0, count: 0 });
        entry.count += 1;
        let changed = entry.changed.subscribe();
        drop(listeners);
        Ok(Changes { instance, watch, changed })
    }

    fn instance(&self) -> rustix::io::Result<Arc<Instance>> {
        let mut instance = lock(&self.instance);
        if let Some(instance) = &*instance {
            return Ok(Arc::clone(instance));
        }
        let descriptor = inotify::init(CreateFlags::CLOEXEC)?;
        let made = Arc::new(Instance { descriptor, listeners: Mutex::default() });
        let distributor = Arc::clone(&made);
        std::thread::Builder::new()
            .name("log-watch".to_owned())
            .spawn(move || distributor.distribute())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        *instance = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Instance {
    /// Tells the listeners what the kernel says; a thread of its own does nothing else.
    fn distribute(&self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); BUFFER];
        let mut reader = inotify::Reader::new(&self.descriptor, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => self.tell(event.wd()),
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "read inotify");
                    return;
                }
            }
        }
    }

    fn tell(&self, watch: i32) {
        let listeners = lock(&self.listeners);
        match listeners.get(&watch) {
            Some(entry) => {
                let _ = entry.changed.send(());
            }
            // The kernel lost events: each listener has to look for itself.
            None if watch == -1 => listeners.values().for_each(|entry| {
                let _ = entry.changed.send(());
            }),
            None => {}
        }
    }
}

impl Changes {
    /// Waits for a change since the last call.
    pub(super) async fn next(&mut self) {
        if self.changed.changed().await.is_err() {
            // Only if the instance has gone, and it goes with us.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut listeners = lock(&self.instance.listeners);
        if let Some(entry) = listeners.get_mut(&self.watch) {
            entry.count -= 1;
            if entry.count == 0 {
                listeners.remove(&self.watch);
                // It is gone already if the directory is.
                let _ = inotify::remove_watch(&self.instance.descriptor, self.watch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_listener_hears_of_its_own_directory() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watcher = Watcher::default();
        let mut first = watcher.listen(one.path()).unwrap();
        let mut again = watcher.listen(one.path()).unwrap();
        let second = watcher.listen(two.path()).unwrap();
        std::fs::write(one.path().join("x"), "x").unwrap();
        first.next().await;
        again.next().await;
        assert!(!second.changed.has_changed().unwrap());
        drop(again);
        std::fs::write(one.path().join("x"), "y").unwrap();
        first.next().await;
    }
}
