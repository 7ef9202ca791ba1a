//! How a layer on disk says that something of the layers below is gone.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::confined::privileged;
use crate::error::{Error, Result};

/// The attribute by which overlay hides what lies below a directory.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// The file by which a directory hides what lies below it, where there is no such attribute. No
/// layer has a file of this name: in archives it is that very mark.
pub(crate) const HIDES: &[u8] = b".wh..wh..opq";

/// A language of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// The kernel's, for overlay: a character device of the number 0 in place of what is gone, and
    /// an attribute of a directory that hides.
    Overlay,
    /// One that any file system can hold: a socket in place of what is gone, since no layer has
    /// one, and a file in a directory that hides.
    Plain,
    /// None: what stands upon nothing has no marks, and all its names are names.
    Unknown,
}

impl Marks {
    /// Whether it is the mark of something gone.
    pub(crate) fn is_whiteout(self, stat: &Stat) -> bool {
        let kind = FileType::from_raw_mode(stat.st_mode);
        match self {
            Self::Overlay => kind == FileType::CharacterDevice && stat.st_rdev == 0,
            Self::Plain => kind == FileType::Socket,
            Self::Unknown => false,
        }
    }

    /// Whether a name in a directory only says something of the directory.
    pub(crate) fn is_note(self, name: &[u8]) -> bool {
        self == Self::Plain && name == HIDES
    }

    /// Whether the open directory hides all that the layers below have in it.
    pub(crate) fn is_opaque(self, directory: BorrowedFd<'_>) -> Result<bool> {
        let failed = |errno: Errno| Error::io("look at a layer's directory", errno.into());
        match self {
            Self::Overlay => {
                let mut value = [0_u8; 1];
                Ok(rustix::fs::fgetxattr(directory, OPAQUE, &mut value) == Ok(1) && value == *b"y")
            }
            Self::Unknown => Ok(false),
            Self::Plain => match rustix::fs::statat(directory, HIDES, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(errno) => Err(failed(errno)),
            },
        }
    }

    /// Marks `name`, which isn't there, as gone.
    pub(crate) fn make_whiteout(
        self,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> rustix::io::Result<()> {
        let kind = match self {
            Self::Overlay => FileType::CharacterDevice,
            Self::Plain => FileType::Socket,
            Self::Unknown => return Err(Errno::INVAL),
        };
        rustix::fs::mknodat(directory, name, kind, Mode::empty(), rustix::fs::makedev(0, 0))
    }

    /// Makes the open directory hide what the layers below have in it.
    pub(crate) fn make_opaque(self, directory: BorrowedFd<'_>) -> Result<()> {
        match self {
            Self::Overlay => privileged::make_opaque(directory),
            Self::Unknown => Err(Error::system("files upon nothing hide nothing")),
            Self::Plain => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(directory, HIDES, flags, Mode::RUSR)
                    .map(drop)
                    .map_err(|errno| Error::io("mark the directory as opaque", errno.into()))
            }
        }
    }
}
