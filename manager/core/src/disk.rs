//! Making what was written durable, whatever disks it is on.
//!
//! One call for a whole file system takes about as long as one for a single file, and the files of
//! an image are a hundred thousand. What the kernel could not write it says once, to the next
//! caller, and then takes what it has in memory for written: so one failure is held against
//! everyone who has written anything by then, until a new start, which sweeps what no record names.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::linux;

/// The disks below the data root.
pub(crate) struct Disks {
    /// A directory on each, open from the start: errors before that are not ours.
    disks: Vec<File>,
    /// What the kernel said when it could not write. Held during a sync: of two at once, only one
    /// would be told.
    failed: Mutex<Option<String>>,
}

impl Disks {
    /// Those that these directories are on.
    pub(crate) fn of<'a>(directories: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut disks = Vec::<File>::new();
        let mut known = Vec::new();
        for path in directories {
            let opened = File::open(path).and_then(|file| Ok((file.metadata()?.dev(), file)));
            let (device, file) = opened
                .map_err(|error| Error::io(format_args!("open {}", path.display()), error))?;
            if !known.contains(&device) {
                known.push(device);
                disks.push(file);
            }
        }
        Ok(Self { disks, failed: Mutex::default() })
    }

    /// Returns when all that was written before is durable: data, names and attributes.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = &*failed {
            return Err(Error::system(format!(
                "the disk has failed to write what it was given ({said}): see to it, and start \
                 tared again; until then no image is taken in"
            )));
        }
        for disk in &self.disks {
            if let Err(errno) = rustix::fs::syncfs(disk) {
                let error = std::io::Error::from(errno);
                tracing::error!(%error, "the disk has failed to write what it was given");
                *failed = Some(error.to_string());
                return Err(Error::io("write the image to the disk", error));
            }
        }
        Ok(())
    }
}

/// Bytes that go to the disk at once while a file is being written.
const STRIDE: u64 = 8 << 20;
/// A file with less than this is written with all others, at the sync.
const WORTHWHILE: u64 = 256 << 10;

/// A file that is being written from its beginning to its end, and that goes to the disk meanwhile:
/// left alone, the kernel begins with that after half a minute, and the sync would find all of it.
#[derive(Debug, Default)]
pub(crate) struct Streamed {
    begun: u64,
}

impl Streamed {
    /// A file of which this much is there already.
    pub(crate) fn from(length: u64) -> Self {
        Self { begun: length }
    }

    /// So much of it is written now.
    pub(crate) fn wrote(&mut self, file: impl AsFd, length: u64) {
        if length >= self.begun + STRIDE {
            self.begin(file.as_fd(), length);
        }
    }

    /// All of it is written.
    pub(crate) fn end(mut self, file: impl AsFd, length: u64) {
        if length >= WORTHWHILE && length > self.begun {
            self.begin(file.as_fd(), length);
        }
    }

    fn begin(&mut self, file: BorrowedFd<'_>, length: u64) {
        // It is a hint: what the disk could not write, the sync is told.
        let _ = linux::begin_writing(file, self.begun, length - self.begun);
        self.begun = length;
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io(format_args!("sync {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disk_is_synced_once() {
        use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        let directory = tempfile::tempdir().unwrap();
        let (here, there) = (directory.path().join("here"), directory.path().join("there"));
        std::fs::create_dir_all(&here).unwrap();
        std::fs::create_dir_all(&there).unwrap();
        mount("tmpfs", &there, "tmpfs", MountFlags::empty(), None).unwrap();
        let disks = Disks::of([directory.path(), &here, &there]).unwrap();
        assert_eq!(disks.disks.len(), 2);
        disks.sync().unwrap();
        drop(disks);
        unmount(&there, UnmountFlags::DETACH).unwrap();
    }

    #[test]
    fn a_file_goes_to_the_disk_while_it_is_written() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut file = File::create(&path).unwrap();
        linux::begin_writing(file.as_fd(), 0, 1).unwrap();
        let mut streamed = Streamed::default();
        let piece = vec![7; 1 << 20];
        for count in 1..=20 {
            file.write_all(&piece).unwrap();
            streamed.wrote(&file, count << 20);
            assert_eq!(streamed.begun, (count / 8) << 23);
        }
        streamed.end(&file, 20 << 20);
        assert!(std::fs::read(&path).unwrap() == vec![7; 20 << 20]);
    }

    #[test]
    fn one_failure_is_held_against_all() {
        let directory = tempfile::tempdir().unwrap();
        let disks = Disks::of([directory.path()]).unwrap();
        *disks.failed.lock().unwrap() = Some("Input/output error".to_owned());
        let error = disks.sync().unwrap_err();
        assert!(error.to_string().contains("start tared again"), "{error}");
    }
}
