//! Reading and writing the small files by which cgroups are steered.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Writes `value` to the file `name` of the cgroup `directory` and leaves the judgement of a
/// refusal to the caller.
pub(super) fn try_write(directory: &Path, name: &str, value: &str) -> Result<(), Errno> {
    try_write_each(directory, name, [value])
}

/// Writes several values to the same file, each by a write of its own: the kernel parses what a
/// single call hands it.
pub(super) fn try_write_each<'a>(
    directory: &Path,
    name: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory.join(name), flags, Mode::empty())?;
    for value in values {
        rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))?;
    }
    Ok(())
}

/// Writes `value` to the file `name` of the cgroup `directory`.
///
/// # Errors
/// The kernel refuses the value, or the file is not there; the text says which.
pub(super) fn write(directory: &Path, name: &str, value: &str) -> Result<()> {
    try_write(directory, name, value).map_err(|errno| refused(directory, name, value, errno))
}

/// Writes `value` to the file `name` if it is there, and says whether it was.
pub(super) fn write_if_there(directory: &Path, name: &str, value: &str) -> Result<bool> {
    match try_write(directory, name, value) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(refused(directory, name, value, errno)),
    }
}

/// What to say when the kernel refused a value.
pub(super) fn refused(directory: &Path, name: &str, value: &str, errno: Errno) -> Error {
    let file = directory.join(name);
    Error::system(format!("failed to write {value:?} to {}", file.display()), errno)
}

/// The text of the file `name`, without white space at its end.
pub(super) fn read(directory: &Path, name: &str) -> Result<String> {
    try_read(directory, name).map_err(|error| unreadable(directory, name, error))
}

/// The text of the file `name`, or nothing where this kernel has no such file.
pub(super) fn read_if_there(directory: &Path, name: &str) -> Result<Option<String>> {
    match try_read(directory, name) {
        Ok(text) => Ok(Some(text)),
        // Pressure files exist but answer EOPNOTSUPP where the kernel was started without them.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            Ok(None)
        }
        Err(error) => Err(unreadable(directory, name, error)),
    }
}

/// The text of the file `name`, or nothing once its cgroup is gone.
pub(super) fn read_unless_gone(directory: &Path, name: &str) -> Result<Option<String>> {
    match try_read(directory, name) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(unreadable(directory, name, error)),
    }
}

/// Whether the cgroup was not there any more: to be opened, or, once a file of it was, to be read.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// The text of the file `name`; the caller judges a refusal.
pub(super) fn try_read(directory: &Path, name: &str) -> io::Result<String> {
    read_path(&directory.join(name))
}

/// The text of a file of the kernel, without white space at its end. Such files tell no size and
/// are nearly always short, so asking for the size first would be two calls for nothing.
pub(super) fn read_path(path: &Path) -> io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_open(file.as_fd())
}

/// The text of an open file of the kernel, from its start. For a file that is watched with
/// poll(2), this is also what tells the kernel that its change has been seen.
pub(super) fn read_open(file: BorrowedFd<'_>) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let at = bytes.len() as u64;
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut chunk, at))?;
        match chunk.get(..length) {
            None | Some([]) => break,
            Some(read) => bytes.extend_from_slice(read),
        }
    }
    bytes.truncate(bytes.trim_ascii_end().len());
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What to say when a file cannot be read.
pub(super) fn unreadable(directory: &Path, name: &str, error: io::Error) -> Error {
    Error::system(format!("failed to read {}", directory.join(name).display()), error)
}

/// The number in the file `name`; `max` is the largest number there is.
pub(super) fn read_number(directory: &Path, name: &str) -> Result<u64> {
    let text = read(directory, name)?;
    number(&text).ok_or_else(|| not_a_number(directory, name, &text))
}

/// The number in the file `name`, or nothing where this kernel has no such file.
pub(super) fn read_number_if_there(directory: &Path, name: &str) -> Result<Option<u64>> {
    let Some(text) = read_if_there(directory, name)? else { return Ok(None) };
    match number(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(not_a_number(directory, name, &text)),
    }
}

/// Parses a number as the kernel prints it: decimal, `max`, or negative for "none".
pub(super) fn number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        text if text.starts_with('-') => text.parse::<i64>().ok().map(|_| 0),
        text => text.parse().ok(),
    }
}

fn not_a_number(directory: &Path, name: &str, text: &str) -> Error {
    let file = directory.join(name);
    Error::unsupported(format!("{} holds {text:?}, not a number", file.display()))
}

/// The lines `key value` of `text` whose value is a number.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.parse().ok()?))
    })
}

/// Waits until one of `files` has something to say; whether it had before `limit` was over.
///
/// # Errors
/// poll(2)'s.
pub(super) fn wait_for_change(files: &mut [PollFd<'_>], limit: Duration) -> Result<bool> {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    match rustix::event::poll(files, Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(Error::system("poll", errno)),
    }
}

/// Calls `attempt` until it gives a value or `limit` has passed, with pauses that grow from
/// 1 ms to 32 ms.
///
/// # Errors
/// Those of `attempt`; nothing is returned when the time is over.
pub(super) fn wait_for<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = attempt()? {
            return Ok(Some(value));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_the_kernel_prints_them() {
        assert_eq!(number("17"), Some(17));
        assert_eq!(number("max"), Some(u64::MAX));
        assert_eq!(number("-1"), Some(0));
        assert_eq!(number("9223372036854771712"), Some(9_223_372_036_854_771_712));
        for text in ["", "x", "-", "1 2"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn pairs_pass_over_other_lines() {
        let text = "oom_kill_disable 0\nunder_oom\nword word\n\noom_kill 3";
        let found: Vec<_> = pairs(text).collect();
        assert_eq!(found, [("oom_kill_disable", 0), ("oom_kill", 3)]);
    }

    #[test]
    fn errors_name_file_and_value() {
        let directory = tempfile::tempdir().unwrap();
        let error = write(directory.path(), "memory.max", "12").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("failed to write \"12\" to "), "{text}");
        assert!(text.ends_with("memory.max: no such file or directory"), "{text}");
        assert!(!write_if_there(directory.path(), "memory.max", "12").unwrap());
        assert_eq!(read_if_there(directory.path(), "memory.max").unwrap(), None);
    }
}
