//! Noticing that a client has closed its connection altogether. A client that only ends its input
//! still listens, so the end of what can be read does not say it.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::time::sleep;

use super::socket::Socket;

/// How long a client on the network that has ended its side may wait for the rest of its answer: it
/// can't be told from one that is gone, before something is sent to it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a client that has asked for something is gone.
pub(crate) async fn gone(client: Socket) {
    match client {
        Socket::Unix(_) => hangup(client).await,
        // An error is an end, too.
        Socket::Tcp(_) => {
            let _ = client.ready(Interest::PRIORITY).await;
            sleep(PATIENCE).await;
        }
    }
}

/// Waits until there is nobody at the other end of a connection that was taken over.
pub(crate) async fn hangup(client: Socket) {
    // This waits for the client to end its side, which comes first or at once with the hang-up.
    // Readiness to be read is of no interest here and stays with whoever reads.
    if client.ready(Interest::PRIORITY).await.is_err() {
        return;
    }
    // From here on a descriptor of our own tells of changes, so that watching doesn't take away the
    // socket's readiness from whoever writes.
    let watched = match client.duplicate() {
        Ok(watched) => watched,
        Err(error) => return tracing::warn!("can't watch a connection: {error}"),
    };
    while watched.ready(Interest::WRITABLE).await.is_ok() && !is_gone(&watched) {
        // The next wait lasts until the kernel tells of a change: room in the socket, or the
        // hang-up.
        watched.await_change(Interest::WRITABLE);
    }
}

fn is_gone(client: &Socket) -> bool {
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
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_half_closed_client_still_listens() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Socket::unix(near);
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
        timeout(Duration::from_secs(60), hangup(Socket::unix(near))).await.unwrap();
    }
}
