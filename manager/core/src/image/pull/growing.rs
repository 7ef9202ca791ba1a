//! A file that is written while it is read: whoever unpacks a layer need not wait until all of it
//! is there.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::given_up::GivenUp;

/// How often a reader that waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes after which a reader is woken: what comes from the network comes in small pieces.
const STRIDE: u64 = 256 << 10;

/// The file, as far as it is there.
#[derive(Default)]
pub(super) struct Growing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    file: Option<Arc<File>>,
    length: u64,
    end: Option<End>,
}

/// Why it grows no more.
#[derive(Clone, Copy)]
enum End {
    Whole,
    Stopped,
}

/// Writes it; dropped before it is whole, it stops the readers.
pub(super) struct Writer(Arc<Growing>);

/// Reads it from the beginning, and waits for what is not there yet.
pub(super) struct Reader {
    of: Arc<Growing>,
    file: Option<Arc<File>>,
    position: u64,
    given_up: GivenUp,
}

impl Growing {
    /// A reader that stops when it is `given_up`.
    pub(super) fn reader(self: &Arc<Self>, given_up: GivenUp) -> Reader {
        Reader { of: Arc::clone(self), file: None, position: 0, given_up }
    }

    /// Whether it grows no more, though it is not whole.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.lock().end, Some(End::Stopped))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn new(of: Arc<Growing>) -> Self {
        Self(of)
    }

    /// This many bytes of `file` can be read now.
    pub(super) fn show(&self, file: &Arc<File>, length: u64) {
        let mut state = self.0.lock();
        state.file.get_or_insert_with(|| Arc::clone(file));
        let strode = length / STRIDE > state.length / STRIDE;
        state.length = length;
        if strode {
            self.0.changed.notify_all();
        }
    }

    /// All of it is there.
    pub(super) fn whole(self) {
        self.0.lock().end = Some(End::Whole);
        self.0.changed.notify_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().end.get_or_insert(End::Stopped);
        self.0.changed.notify_all();
    }
}

impl Reader {
    /// How many bytes can be read from the position on; 0: it is the end.
    fn available(&mut self) -> io::Result<u64> {
        let mut state = self.of.lock();
        loop {
            if self.given_up.is_true() {
                return Err(io::Error::other("it was given up"));
            }
            let strode = state.length / STRIDE > self.position / STRIDE;
            if strode || (state.end.is_some() && state.length > self.position) {
                self.file.clone_from(&state.file);
                return Ok(state.length - self.position);
            }
            match state.end {
                Some(End::Whole) => return Ok(0),
                Some(End::Stopped) => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
            let waited = self.of.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.available()?;
        let count = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let Some(file) = self.file.as_ref().filter(|_| count > 0) else { return Ok(0) };
        let read = file.read_at(&mut buffer[..count], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use super::*;
    use crate::given_up::GiveUp;

    fn file() -> (Arc<File>, File) {
        let file = tempfile::tempfile().unwrap();
        (Arc::new(file.try_clone().unwrap()), file)
    }

    #[test]
    fn a_reader_follows_the_writer_to_the_end() {
        let growing = Arc::new(Growing::default());
        let mut reader = growing.reader(GivenUp::default());
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let (shown, mut file) = file();
        let writer = Writer::new(growing);
        for length in 1..=100 {
            file.write_all(b"x").unwrap();
            writer.show(&shown, length);
        }
        writer.whole();
        assert_eq!(reading.join().unwrap().unwrap(), [b'x'; 100]);
    }

    #[test]
    fn a_writer_that_stops_or_a_reader_that_is_given_up_is_an_error() {
        let growing = Arc::new(Growing::default());
        let give_up = GiveUp::default();
        let mut reader = growing.reader(give_up.watched());
        let reading = thread::spawn(move || reader.read(&mut [0]));
        drop(give_up);
        assert!(reading.join().unwrap().is_err());
        let mut reader = growing.reader(GivenUp::default());
        drop(Writer::new(growing));
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
