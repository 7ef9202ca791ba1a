//! The output of one process, handed to any number of clients.
//!
//! Each client has a small queue of its own. A client that reads slowly holds the process back (its
//! pipe isn't read on) once its queue is full, so that it loses nothing. If it doesn't read at all,
//! what it has asked for counts: for one whose delivery is lossless the process waits on; any other
//! is given up on after a while. Then the process goes on, what the client misses is counted, and it
//! is told. It is held back for again as soon as it has caught up.
//!
//! The manager reads at once whatever its own clients do, and keeps for them what they haven't
//! read, so the process doesn't wait for a person who looks at its output through a pager. Only a
//! manager that is stuck is slow here.

mod client;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;

use client::Client;
pub(crate) use client::{Channel, Delivery, Output, Wants};

/// How long a process waits for a client that may miss output.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The meeting place of one process's output and its clients.
#[derive(Debug)]
pub(crate) struct Hub {
    /// How long a client that may miss output holds the process back.
    patience: Duration,
    inner: Mutex<Inner>,
    /// A client has read, or gone.
    room: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    clients: BTreeMap<u64, Client>,
    next_key: u64,
    /// The process has ended: there is nothing to hold back, and no more than its pipe holds to come.
    let_go: bool,
    ended: bool,
}

impl Hub {
    /// A hub without clients.
    pub(crate) fn new(patience: Duration) -> Arc<Self> {
        Arc::new(Hub { patience, inner: Mutex::default(), room: Notify::new() })
    }

    /// Adds a client. It receives what is delivered from now on, until the end.
    pub(crate) fn attach(self: &Arc<Self>, wants: Wants) -> Attachment {
        let mut inner = self.lock();
        let key = inner.next_key;
        inner.next_key += 1;
        inner.clients.insert(key, Client::new(wants));
        Attachment { hub: Arc::clone(self), key }
    }

    /// Whether anyone would receive output of this channel.
    pub(crate) fn has_clients(&self, channel: Channel) -> bool {
        self.lock().clients.values().any(|client| client.takes(channel))
    }

    /// Hands `data` to every client, once none that is worth waiting for has a full queue.
    pub(crate) async fn deliver(&self, channel: Channel, data: Bytes) {
        let begun = Instant::now();
        loop {
            // Registered before the look at the queues, so that no wake-up falls in between.
            let room = self.room.notified();
            match self.held_back(channel) {
                None => break,
                Some(Delivery::Lossless) => room.await,
                Some(Delivery::Lossy) => {
                    self.wait_until(begun + self.patience, room, channel).await;
                }
            }
        }
        for client in self.lock().clients.values_mut().filter(|client| client.takes(channel)) {
            client.enqueue(channel, &data);
        }
    }

    /// The process has ended: what it left is delivered without waiting for clients.
    pub(crate) fn let_go(&self) {
        self.lock().let_go = true;
        self.room.notify_waiters();
    }

    /// No more output will come: clients end when they have read what waits for them.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        for client in inner.clients.values_mut() {
            client.wake();
        }
    }

    async fn wait_until(&self, deadline: Instant, room: Notified<'_>, channel: Channel) {
        if timeout_at(deadline, room).await.is_err() {
            self.give_up_on_full_clients(channel);
        }
    }

    /// Whom the process has to wait for: `Lossy` if that comes to an end for at least one.
    fn held_back(&self, channel: Channel) -> Option<Delivery> {
        let inner = self.lock();
        if inner.let_go {
            return None;
        }
        let full = |client: &&Client| client.takes(channel) && client.holds_back();
        let mut full = inner.clients.values().filter(full).peekable();
        full.peek()?;
        Some(if full.any(Client::may_miss) { Delivery::Lossy } else { Delivery::Lossless })
    }

    fn give_up_on_full_clients(&self, channel: Channel) {
        let mut inner = self.lock();
        let full = |client: &&mut Client| client.takes(channel) && client.holds_back();
        for client in inner.clients.values_mut().filter(full).filter(|client| client.may_miss()) {
            client.give_up();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place in the hub, and the stream of what it receives. Dropping it detaches.
#[derive(Debug)]
pub(crate) struct Attachment {
    hub: Arc<Hub>,
    key: u64,
}

impl Stream for Attachment {
    type Item = Output;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Output>> {
        let mut inner = self.hub.lock();
        let ended = inner.ended;
        let Some(client) = inner.clients.get_mut(&self.key) else { return Poll::Ready(None) };
        if ended {
            client.tell_of_dropped();
        }
        if let Some(output) = client.dequeue() {
            drop(inner);
            self.hub.room.notify_waiters();
            return Poll::Ready(Some(output));
        }
        if ended {
            return Poll::Ready(None);
        }
        client.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.hub.lock().clients.remove(&self.key);
        self.hub.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::client::QUEUE_LIMIT;
    use super::*;
    use tokio_stream::StreamExt;

    const PATIENCE: Duration = Duration::from_millis(300);
    /// Longer than a client that reads ever needs.
    const LONG: Duration = Duration::from_secs(120);
    const BOTH: Wants = Wants { stdout: true, stderr: true, delivery: Delivery::Lossy };
    const LOSSLESS: Wants = Wants { delivery: Delivery::Lossless, ..BOTH };

    fn chunk(len: usize) -> Bytes {
        Bytes::from(vec![b'x'; len])
    }

    /// A process that writes so many chunks of 64 KiB.
    async fn write(hub: Arc<Hub>, channel: Channel, chunks: usize) {
        for _ in 0..chunks {
            hub.deliver(channel, chunk(64 << 10)).await;
        }
    }

    async fn read_all(mut attachment: Attachment) -> (usize, u64) {
        let (mut data, mut dropped) = (0, 0);
        while let Some(output) = attachment.next().await {
            match output {
                Output::Data(_, bytes) => data += bytes.len(),
                Output::Dropped(count) => dropped += count,
            }
        }
        (data, dropped)
    }

    #[tokio::test]
    async fn a_slow_client_loses_nothing() {
        let hub = Hub::new(LONG);
        let mut attachment = hub.attach(BOTH);
        let reader = tokio::spawn(async move {
            let mut total = 0;
            while let Some(Output::Data(_, data)) = attachment.next().await {
                total += data.len();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            total
        });
        for _ in 0..100 {
            hub.deliver(Channel::Stdout, chunk(64 << 10)).await;
        }
        hub.end();
        assert_eq!(reader.await.unwrap(), 100 * (64 << 10));
    }

    #[tokio::test]
    async fn a_client_that_is_stuck_is_told_what_it_missed() {
        let hub = Hub::new(PATIENCE);
        let attachment = hub.attach(BOTH);
        let before = Instant::now();
        for _ in 0..100 {
            hub.deliver(Channel::Stdout, chunk(64 << 10)).await;
        }
        // It would have for each of some eighty chunks.
        assert!(before.elapsed() < PATIENCE * 20, "the process waited again and again");
        hub.end();
        let (data, dropped) = read_all(attachment).await;
        assert!(data >= QUEUE_LIMIT && dropped > 0, "{data} {dropped}");
        assert_eq!(data as u64 + dropped, 100 * (64 << 10));
    }

    #[tokio::test]
    async fn a_client_that_must_not_miss_anything_is_waited_for() {
        let hub = Hub::new(PATIENCE);
        let attachment = hub.attach(LOSSLESS);
        let _stuck_too = hub.attach(BOTH);
        let writer = tokio::spawn(write(Arc::clone(&hub), Channel::Stderr, 100));
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(!writer.is_finished(), "the process wasn't held back");
        let reader = tokio::spawn(read_all(attachment));
        writer.await.unwrap();
        hub.end();
        assert_eq!(reader.await.unwrap(), (100 * (64 << 10), 0));
    }

    #[tokio::test]
    async fn a_client_that_goes_frees_the_process() {
        let hub = Hub::new(PATIENCE);
        let attachment = hub.attach(LOSSLESS);
        let writer = tokio::spawn(write(Arc::clone(&hub), Channel::Stdout, 100));
        tokio::time::sleep(PATIENCE).await;
        drop(attachment);
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_process_does_not_wait_for_a_client() {
        let hub = Hub::new(PATIENCE);
        let attachment = hub.attach(LOSSLESS);
        let writer = tokio::spawn(write(Arc::clone(&hub), Channel::Stdout, 20));
        tokio::time::sleep(PATIENCE).await;
        assert!(!writer.is_finished(), "the process wasn't held back");
        hub.let_go();
        writer.await.unwrap();
        hub.end();
        assert_eq!(read_all(attachment).await, (20 * (64 << 10), 0));
    }

    #[tokio::test]
    async fn each_client_gets_the_streams_it_wants() {
        let hub = Hub::new(PATIENCE);
        let only_stderr = hub.attach(Wants { stdout: false, ..BOTH });
        let both = hub.attach(BOTH);
        hub.deliver(Channel::Stdout, chunk(3)).await;
        hub.deliver(Channel::Stderr, chunk(4)).await;
        hub.end();
        assert_eq!(read_all(only_stderr).await, (4, 0));
        assert_eq!(read_all(both).await, (7, 0));
    }
}
