//! What a log driver does.
//!
//! A driver is made when the container is created, before there is anything to log: what is wrong
//! with its options is said then. It is given every line, of both streams, in the order in which
//! they were read, and after each burst it is told to `flush`. It never fails towards the
//! container: what it can't keep it drops and counts, and says so on the shim's own log.

use super::lines::Line;
use crate::io::hub::Channel;

/// One way to keep lines.
pub(super) trait Driver: Send {
    /// Takes a line; it may be kept back until the next [`flush`](Self::flush).
    fn append(&mut self, channel: Channel, line: &Line<'_>);

    /// Passes on all lines taken so far.
    fn flush(&mut self);

    /// Somebody else has moved the log's file away: goes on in a new one.
    fn reopen(&mut self);

    /// How many lines it could not keep.
    fn lost(&self) -> u64;
}

/// Two drivers that get the same lines.
pub(super) struct Both<A, B>(pub(super) A, pub(super) B);

impl<A: Driver, B: Driver> Driver for Both<A, B> {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        self.0.append(channel, line);
        self.1.append(channel, line);
    }

    fn flush(&mut self) {
        self.0.flush();
        self.1.flush();
    }

    fn reopen(&mut self) {
        self.0.reopen();
        self.1.reopen();
    }

    fn lost(&self) -> u64 {
        self.0.lost() + self.1.lost()
    }
}

impl Driver for Box<dyn Driver> {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        self.as_mut().append(channel, line);
    }

    fn flush(&mut self) {
        self.as_mut().flush();
    }

    fn reopen(&mut self) {
        self.as_mut().reopen();
    }

    fn lost(&self) -> u64 {
        self.as_ref().lost()
    }
}
