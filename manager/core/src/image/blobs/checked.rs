//! Reading a blob with an eye on its digest: disks forget bits, and what is given out under a digest
//! must be what it says.

use std::fs::File;
use std::io::{self, Read};

use super::Blobs;
use super::aside::Fate;
use crate::error::{Error, Result};
use crate::image::digest::{Digest, Hasher};
use crate::image::image::Blob;

pub(super) const BUFFER: usize = 256 << 10;

/// A blob that is read from its beginning to its end. If it is not what its digest says, the end
/// is an error, and the blob is taken from the store.
pub(crate) struct Checked<'a> {
    of: &'a Blobs,
    digest: Digest,
    file: File,
    /// None: the digest was found right.
    hasher: Option<Hasher>,
    /// Bytes that are still to come.
    left: u64,
}

impl Blobs {
    /// Opens a blob for reading it whole.
    pub(crate) fn checked(&self, digest: Digest, size: u64) -> Result<Checked<'_>> {
        let file = self.read(digest)?;
        Ok(Checked { of: self, digest, file, hasher: Some(Hasher::default()), left: size })
    }

    /// Reads a blob for no other reason than to see whether it is what its digest says.
    ///
    /// # Errors
    /// [`crate::Kind::System`] if it is not: it is gone from the store then.
    pub(crate) fn verify(&self, blob: &Blob) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut checked = self.checked(blob.digest, blob.size)?;
        loop {
            match checked.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What this reader says of a damaged blob is what there is to say.
                    return Err(error.downcast::<Error>().unwrap_or_else(|error| {
                        Error::io(format_args!("read the blob {}", blob.digest), error)
                    }));
                }
            }
        }
    }

    /// Takes the blob in `file`, which is not what its digest says, from the store, so that nobody
    /// takes it for whole, and says so.
    pub(super) fn damaged(&self, digest: Digest, file: &File) -> Error {
        self.give_up(digest, file, Fate::Deleted);
        Error::system(format!(
            "the blob {digest} was damaged on the disk: pull or load its image again"
        ))
    }

    /// Says why the blob in `file` could not be read. One that the disk does not give back is taken
    /// from the store like one that it gives back wrong, but kept.
    pub(super) fn unread(&self, digest: Digest, file: &File, error: io::Error) -> Error {
        if !is_lost(&error) {
            return Error::io(format_args!("read the blob {digest}"), error);
        }
        self.give_up(digest, file, Fate::PutAside);
        Error::system(format!(
            "the blob {digest} can't be read from the disk ({error}): pull or load its image \
             again, or start tared again once the disk gives it back"
        ))
    }
}

/// Whether this is a disk's, or a file system's, word for what it has no longer.
fn is_lost(error: &io::Error) -> bool {
    let lost = [libc::EIO, libc::ENODATA, libc::EILSEQ, libc::EBADMSG, libc::EUCLEAN];
    error.raw_os_error().is_some_and(|errno| lost.contains(&errno))
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match self.file.read(&mut buffer[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                return Err(io::Error::other(self.of.unread(self.digest, &self.file, error)));
            }
            Ok(count) => count,
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.left -= count as u64;
        // The last bytes are not given out before all are known to be right; nor is an end that
        // comes too early.
        let ended = self.left == 0 || (count == 0 && most > 0);
        if ended
            && let Some(hasher) = self.hasher.take()
            && (self.left > 0 || hasher.finish() != self.digest)
        {
            return Err(io::Error::other(self.of.damaged(self.digest, &self.file)));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Blobs, Blob) {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let added = blobs.add(&[7; 100_000]).unwrap();
        blobs.adopt(&added).unwrap();
        let blob = added.describe("application/octet-stream");
        (directory, blobs, blob)
    }

    #[test]
    fn a_whole_blob_is_read_to_its_end() {
        let (_directory, blobs, blob) = store();
        let mut content = Vec::new();
        blobs.checked(blob.digest, blob.size).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 100_000]);
        blobs.verify(&blob).unwrap();
    }

    #[test]
    fn one_that_cannot_be_read_is_an_error_and_gone() {
        let (_directory, blobs, blob) = store();
        let path = blobs.path(blob.digest);
        std::fs::remove_file(&path).unwrap();
        // Whoever reads it from its beginning is told of an input/output error.
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        let error = blobs.verify(&blob).unwrap_err().to_string();
        assert!(error.contains("Input/output error") && error.contains("pull or load"), "{error}");
        assert!(path.symlink_metadata().is_err());
    }

    #[test]
    fn one_that_can_be_read_again_is_there_again() {
        let (directory, blobs, blob) = store();
        let path = blobs.path(blob.digest);
        let elsewhere = directory.path().join("elsewhere");
        std::fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        blobs.verify(&blob).unwrap_err();
        let aside = directory.path().join("damaged").join(path.file_name().unwrap());
        assert!(aside.is_symlink());
        // The disk still has nothing to say.
        drop(blobs);
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let hold = blobs.hold([blob.digest]);
        blobs.sweep().unwrap();
        assert!(aside.is_symlink() && !path.exists());
        drop((hold, blobs));
        std::fs::remove_file(&aside).unwrap();
        std::fs::rename(&elsewhere, &aside).unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        blobs.verify(&blob).unwrap();
        assert!(!aside.exists());
        // Nor is it kept when another one has come, or when nobody wants it.
        std::fs::rename(&path, &aside).unwrap();
        blobs.adopt(&blobs.add(&[7; 100_000]).unwrap()).unwrap();
        assert!(!aside.exists() && path.exists());
        std::fs::rename(&path, &aside).unwrap();
        blobs.sweep().unwrap();
        assert!(!aside.exists());
    }

    #[test]
    fn who_finds_damage_takes_no_good_one_away() {
        let (_directory, blobs, blob) = store();
        let path = blobs.path(blob.digest);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![8; 100_000]).unwrap();
        let mut late = blobs.checked(blob.digest, blob.size).unwrap();
        blobs.verify(&blob).unwrap_err();
        let again = blobs.add(&good).unwrap();
        blobs.adopt(&again).unwrap();
        assert!(late.read_to_end(&mut Vec::new()).is_err());
        blobs.verify(&blob).unwrap();
    }

    #[test]
    fn a_damaged_one_is_an_error_and_gone() {
        let damages: [fn(&mut Vec<u8>); 4] = [
            |content| content[50_000] ^= 1,
            |content| content.truncate(10),
            Vec::clear,
            |content| content[99_999] = 0,
        ];
        for damage in damages {
            let (_directory, blobs, blob) = store();
            let path = blobs.path(blob.digest);
            let mut content = std::fs::read(&path).unwrap();
            damage(&mut content);
            std::fs::write(&path, content).unwrap();
            let error = blobs.verify(&blob).unwrap_err();
            assert!(error.to_string().contains("damaged on the disk"), "{error}");
            assert!(!blobs.has(blob.digest, blob.size));
            assert!(!path.exists());
        }
    }
}
