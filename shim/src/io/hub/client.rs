//! One client of a hub: what waits for it, and what it has missed.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;

/// How many bytes may wait for one client. The manager, who is the client as a rule, has more room.
pub(super) const QUEUE_LIMIT: usize = 256 << 10;

/// An output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Standard output, and all of a terminal's.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Channel {
    /// Its name, as logs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        }
    }
}

/// What a client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// The process wrote this.
    Data(Channel, Bytes),
    /// So many bytes are missing here.
    Dropped(u64),
}

/// What a client wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    /// Standard output.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
    /// What becomes of what it is too slow for.
    pub(crate) delivery: Delivery,
}

/// What becomes of output that a client is too slow for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The process waits for the client, for as long as it takes.
    Lossless,
    /// The process waits for a while; after that, the client misses it.
    Lossy,
}

/// One client's queue.
#[derive(Debug)]
pub(super) struct Client {
    wants: Wants,
    queue: VecDeque<Output>,
    queued: usize,
    dropped: u64,
    /// The process isn't held back for it, until it catches up.
    given_up: bool,
    /// Who is to be woken when something comes.
    pub(super) waker: Option<Waker>,
}

impl Client {
    /// With nothing in its queue.
    pub(super) fn new(wants: Wants) -> Self {
        Client {
            wants,
            queue: VecDeque::new(),
            queued: 0,
            dropped: 0,
            given_up: false,
            waker: None,
        }
    }

    /// Whether it wants this stream.
    pub(super) fn takes(&self, channel: Channel) -> bool {
        match channel {
            Channel::Stdout => self.wants.stdout,
            Channel::Stderr => self.wants.stderr,
        }
    }

    /// Whether the process has to wait for it.
    pub(super) fn holds_back(&self) -> bool {
        !self.given_up && self.queued >= QUEUE_LIMIT
    }

    /// Whether that must come to an end.
    pub(super) fn may_miss(&self) -> bool {
        self.wants.delivery == Delivery::Lossy
    }

    /// The process doesn't wait for it any longer, until it catches up.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Adds output; drops it if the client has been given up on and its queue is full.
    pub(super) fn enqueue(&mut self, channel: Channel, data: &Bytes) {
        if self.given_up && self.queued + data.len() > QUEUE_LIMIT {
            self.dropped += data.len() as u64;
            return;
        }
        self.tell_of_dropped();
        self.queued += data.len();
        self.queue.push_back(Output::Data(channel, data.clone()));
        self.wake();
    }

    /// The next output, if there is any.
    pub(super) fn dequeue(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        if let Output::Data(_, data) = &output {
            self.queued -= data.len();
        }
        if self.queued < QUEUE_LIMIT / 2 {
            self.given_up = false;
        }
        Some(output)
    }

    /// Has the client learn what it missed, if it missed anything.
    pub(super) fn tell_of_dropped(&mut self) {
        if self.dropped > 0 {
            self.queue.push_back(Output::Dropped(std::mem::take(&mut self.dropped)));
        }
    }

    /// Something has come.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
