//! The way of a layer's bytes through `tared`, which looks at none of them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, tee};

use super::PIECE;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::archive::unreadable;
use crate::image::{Digest, Hasher};

use crate::snapshot::Limits;

/// How often who waits for a process looks whether it is still wanted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How much of a stream was passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// All of it, which has this digest.
    Whole(Digest),
    /// As much as was wanted: who reads it has left.
    Refused,
}

/// Writes `source` to `to`, as far as that is read.
///
/// # Errors
/// Those of `source`.
pub(super) fn feed(mut source: impl Read, to: OwnedFd) -> io::Result<()> {
    let mut to = File::from(to);
    let mut piece = vec![0; PIECE];
    loop {
        let count = next(&mut source, &mut piece)?;
        // Who takes no more of it says why.
        if count == 0 || to.write_all(&piece[..count]).is_err() {
            return Ok(());
        }
    }
}

/// Passes on what is not compressed, and hashes it where its digest is not `known`.
///
/// # Errors
/// Those of `source`; [`crate::Kind::Invalid`] for what is longer than `limits` say.
pub(super) fn pass(
    mut source: impl Read,
    known: Option<Digest>,
    limits: Limits,
    to: OwnedFd,
) -> Result<Passed> {
    let mut to = File::from(to);
    let mut piece = vec![0; PIECE];
    let mut hasher = Hasher::default();
    let mut left = limits.bytes;
    loop {
        let count = next(&mut source, &mut piece).map_err(unreadable)?;
        if count == 0 {
            return Ok(Passed::Whole(known.unwrap_or_else(|| hasher.finish())));
        }
        left = less(left, count, limits)?;
        if to.write_all(&piece[..count]).is_err() {
            return Ok(Passed::Refused);
        }
        if known.is_none() {
            hasher.update(&piece[..count]);
        }
    }
}

/// Passes on what comes out of the pipe `from`, and hashes it. The kernel gives both the same pages:
/// what is hashed is what is passed on, and it is copied once, to be hashed.
///
/// # Errors
/// As [`pass`].
pub(super) fn pass_on(from: &OwnedFd, to: &OwnedFd, limits: Limits) -> Result<Passed> {
    let failed = |errno: Errno| Error::io("pass a layer on", errno.into());
    let mut piece = vec![0; PIECE];
    let mut hasher = Hasher::default();
    let mut left = limits.bytes;
    loop {
        if has_left(from, to).map_err(failed)? {
            return Ok(Passed::Refused);
        }
        let count = match tee(from, to, PIECE, SpliceFlags::empty()) {
            Ok(0) => return Ok(Passed::Whole(hasher.finish())),
            Ok(count) => count,
            Err(Errno::PIPE) => return Ok(Passed::Refused),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        left = less(left, count, limits)?;
        let mut copied = 0;
        while copied < count {
            match rustix::io::read(from, &mut piece[copied..count]) {
                Ok(0) => return Err(failed(Errno::PIPE)),
                Ok(more) => copied += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        hasher.update(&piece[..count]);
    }
}

/// Waits until a process has said something, or has left.
///
/// # Errors
/// [`crate::Kind::System`] once it is `given_up`: the process may have been made to say nothing.
pub(super) fn wait_for(said: BorrowedFd<'_>, given_up: &GivenUp) -> Result<()> {
    while !given_up.is_true() {
        let mut word = [PollFd::from_borrowed_fd(said, PollFlags::IN)];
        match poll(&mut word, Some(&LOOK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(Error::io("wait for another process", errno.into())),
        }
    }
    Err(Error::system("nobody waits for the layer any more"))
}

/// Waits until there is something in `from`, or its end; true: who reads `to` has left before.
fn has_left(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<bool> {
    loop {
        let mut both = [
            PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(to.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut both, None) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(both[1].revents().contains(PollFlags::ERR)),
        }
    }
}

fn next(source: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn less(left: u64, count: usize, limits: Limits) -> Result<u64> {
    left.checked_sub(count as u64).ok_or_else(|| limits.exceeded())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::pipe;
    use super::*;

    fn limits(bytes: u64) -> Limits {
        Limits { bytes, ..Limits::default() }
    }

    #[test]
    fn what_is_passed_on_is_what_is_hashed() {
        let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
        let (from, to_from) = pipe().unwrap();
        let (of_to, to) = pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| feed(content.as_slice(), to_from).unwrap());
            let reading = scope.spawn(|| {
                let mut all = Vec::new();
                File::from(of_to).read_to_end(&mut all).unwrap();
                all
            });
            let passed = pass_on(&from, &to, limits(6_000_000)).unwrap();
            drop(to);
            assert_eq!(passed, Passed::Whole(Digest::of(&content)));
            assert!(reading.join().unwrap() == content);
        });
    }

    #[test]
    fn a_reader_that_leaves_is_noticed_though_nothing_comes() {
        let (from, _to_from) = pipe().unwrap();
        let (of_to, to) = pipe().unwrap();
        thread::scope(|scope| {
            let passing = scope.spawn(|| pass_on(&from, &to, limits(10)).unwrap());
            drop(of_to);
            assert_eq!(passing.join().unwrap(), Passed::Refused);
        });
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        let (from, to_from) = pipe().unwrap();
        let (_of_to, to) = pipe().unwrap();
        feed(&[0; 11][..], to_from).unwrap();
        let error = pass_on(&from, &to, limits(10)).unwrap_err();
        assert!(error.to_string().contains("more than the 10 bytes"), "{error}");
        let error = pass(&[0; 11][..], None, limits(10), to).unwrap_err();
        assert!(error.to_string().contains("more than the 10 bytes"), "{error}");
    }

    #[test]
    fn a_reader_that_leaves_before_the_end_has_not_read_all() {
        let (of_to, to) = pipe().unwrap();
        drop(of_to);
        assert_eq!(pass(io::repeat(0), None, limits(u64::MAX), to).unwrap(), Passed::Refused);
    }
}
