//! Noticing that a client has closed its connection altogether. A client that only ends its input
//! still listens, so the end of what can be read does not say it.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Watches a connection.
pub(crate) struct Hangup(UnixStream);

impl Hangup {
    /// Of this client.
    pub(crate) fn of(client: &UnixStream) -> io::Result<Self> {
        // A descriptor of its own, so that watching doesn't take away the socket's readiness.
        let watched = client.as_fd().try_clone_to_owned()?;
        UnixStream::from_std(watched.into()).map(Self)
    }

    /// Waits until the client is gone.
    pub(crate) async fn wait(self) {
        while self.0.ready(Interest::WRITABLE).await.is_ok() && !self.is_gone() {
            // "It would block" makes the next wait last until the kernel tells of a change: room in
            // the socket, or the hang-up.
            let _ = self
                .0
                .try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }

    fn is_gone(&self) -> bool {
        // A hang-up is always reported; nothing else is asked for.
        let mut asked = [PollFd::new(&self.0, PollFlags::empty())];
        let polled = poll(&mut asked, Some(&Timespec::default()));
        let [asked] = asked;
        polled.is_err() || asked.revents().contains(PollFlags::HUP)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_half_closed_client_still_listens() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut gone = Box::pin(Hangup::of(&near).unwrap().wait());
        far.shutdown().await.unwrap();
        assert!(timeout(Duration::from_millis(50), &mut gone).await.is_err());
        drop(far);
        timeout(Duration::from_secs(5), gone).await.unwrap();
    }
}
