//! Noticing that a client has closed its connection altogether. A client that only ends its input
//! still listens, so the end of what can be read does not say it.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::client::ClientSocket;

/// Waits until the client is gone.
pub(crate) async fn hangup(client: ClientSocket) {
    // This waits for the client to end its side, which comes first or at once with the hang-up.
    // Readiness to be read is of no interest here and stays with whoever reads.
    if client.ready(Interest::PRIORITY).await.is_err() {
        return;
    }
    // From here on a descriptor of our own tells of changes, so that watching doesn't take away the
    // socket's readiness from whoever writes.
    let watched = client.as_fd().try_clone_to_owned();
    let watched = match watched.and_then(|descriptor| UnixStream::from_std(descriptor.into())) {
        Ok(watched) => watched,
        Err(error) => return tracing::warn!("can't watch a connection: {error}"),
    };
    while watched.ready(Interest::WRITABLE).await.is_ok() && !is_gone(&watched) {
        // "It would block" makes the next wait last until the kernel tells of a change: room in the
        // socket, or the hang-up.
        let _ =
            watched.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

fn is_gone(client: &UnixStream) -> bool {
    // A hang-up is always reported; nothing else is asked for.
    let mut asked = [PollFd::new(client, PollFlags::empty())];
    let polled = poll(&mut asked, Some(&Timespec::default()));
    let [asked] = asked;
    polled.is_err() || asked.revents().contains(PollFlags::HUP)
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
        let near = ClientSocket::new(near);
        let mut gone = Box::pin(hangup(near.clone()));
        let moment = Duration::from_millis(50);
        far.write_all(b"unread").await.unwrap();
        assert!(timeout(moment, &mut gone).await.is_err());
        far.shutdown().await.unwrap();
        assert!(timeout(moment, &mut gone).await.is_err());
        near.clone().write_all(b"answer").await.unwrap();
        assert!(timeout(moment, &mut gone).await.is_err());
        drop(far);
        timeout(Duration::from_secs(60), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_closes_at_once_is_gone() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        timeout(Duration::from_secs(60), hangup(ClientSocket::new(near))).await.unwrap();
    }
}
