//! The files of an archive that is no layer: the context of a build, what ADD unpacks.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;

use tokio::io::AsyncRead;

use super::confined::{Kind, Task};
use super::layers::Layers;
use super::lookup::Alone;
use super::{Devices, Snapshots};
use crate::apart;
use crate::error::{Error, Result};
use crate::given_up::{GiveUp, GivenUp};
use crate::image::archive::header::{BLOCK, begins_archive};
use crate::image::compression::Compression;
use crate::image::stream::incoming;

/// Whether this is an archive, plain or compressed. One whose compression isn't read here is an
/// archive if `name` says so.
pub fn is_archive(source: impl Read, name: &str) -> bool {
    let mut source = BufReader::new(source);
    let Ok(start) = source.fill_buf() else { return false };
    let Ok(compression) = Compression::detect(start) else {
        return [".tar.bz2", ".tbz2", ".tbz"].iter().any(|end| name.ends_with(end));
    };
    let mut block = [0; BLOCK];
    let Ok(mut content) = compression.decoder(source) else { return false };
    content.read_exact(&mut block).is_ok() && begins_archive(&block)
}

impl Snapshots {
    /// Unpacks `archive`, plain or compressed, into the empty directory `to`: no name in it has a
    /// meaning, and none leads out of that. Gives the bytes of the files. Should the caller go away,
    /// it ends early.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is no archive, or is too large; the directory is then half
    /// filled.
    pub async fn unpack_files<R>(&self, archive: R, to: OwnedFd, devices: Devices) -> Result<u64>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let archive = incoming(archive);
        let layers = self.layers().clone();
        let give_up = GiveUp::default();
        let given_up = give_up.watched();
        let work = move || layers.unpack_files(archive, &to, devices, &given_up);
        apart::begin("archive", work)?.outcome().await
    }

    /// The same of something that is there already. Blocks.
    ///
    /// # Errors
    /// As [`Self::unpack_files`].
    pub fn unpack_files_now(
        &self,
        archive: impl Read + Send,
        to: &OwnedFd,
        devices: Devices,
    ) -> Result<u64> {
        self.layers().unpack_files(archive, to, devices, &GivenUp::default())
    }

    /// Unpacks `archive`, plain or compressed, over the files in the directory `to`, as ADD does: what
    /// it has replaces what is in its place, but for directories, which are merged. All belongs to
    /// `owner`, or to whom the archive says. No link that is there leads out of the directory. Gives the
    /// bytes of the files. Blocks.
    ///
    /// # Errors
    /// As [`Self::unpack_files`].
    pub fn unpack_over(
        &self,
        archive: impl Read + Send,
        to: &OwnedFd,
        owner: Option<(u32, u32)>,
    ) -> Result<u64> {
        self.layers().unpack_as(Kind::Over(owner), archive, to, &GivenUp::default())
    }
}

impl Layers {
    fn unpack_files(
        &self,
        archive: impl Read + Send,
        files: &OwnedFd,
        devices: Devices,
        given_up: &GivenUp,
    ) -> Result<u64> {
        self.unpack_as(Kind::Files(devices), archive, files, given_up)
    }

    fn unpack_as(
        &self,
        kind: Kind,
        archive: impl Read + Send,
        files: &OwnedFd,
        given_up: &GivenUp,
    ) -> Result<u64> {
        let unpacker = self.unpacker.as_ref().ok_or_else(|| {
            Error::system("there is no program that unpacks archives in a process of its own")
        })?;
        let limits = self.limits;
        let task = Task { kind, files, lowers: &Alone, known: None, limits, given_up };
        Ok(unpacker.unpack(&task, archive)?.outcome)
    }
}
