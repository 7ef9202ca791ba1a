//! What `tared` and the process that unpacks say to each other. The process speaks, and is answered,
//! but for the first word.

use serde::{Deserialize, Serialize};

use crate::error::{self, Error};
use crate::snapshot::Limits;
use crate::snapshot::driver::DriverName;
use crate::snapshot::lookup::Likeness;

/// The first word: what to do. With it comes the new snapshot's directory of files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) kind: Kind,
    /// Whether there are layers below.
    pub(super) has_lowers: bool,
    pub(super) limits: Limits,
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A layer, which this driver keeps.
    Layer(DriverName),
    /// Files as they are: no name in it has a meaning.
    Files(Devices),
    /// The same, put over the files that are there already. They belong to whom the archive says, or
    /// all to this user and group.
    Over(Option<(u32, u32)>),
}

/// What becomes of devices that are among files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Devices {
    /// They are made.
    Make,
    /// An archive that has any is refused.
    Refuse,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// What have the layers below at this path?
    Find(Vec<u8>),
    /// Which names are in their root?
    Names,
    /// Let the directory that comes with this hide what lies below it.
    Opaque,
    /// Make a device in the directory that comes with this.
    Device { name: Vec<u8>, block: bool, major: u32, minor: u32 },
    /// The layer is unpacked, and its files have that many bytes.
    Done { size: u64 },
    /// It failed.
    Failed(Failure),
}

/// What it is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// There is a directory.
    Directory(Likeness),
    /// There is a symbolic link.
    Symlink(Vec<u8>),
    /// There is a file, which comes with this; it can only be read.
    File(Likeness),
    /// There is nothing of use.
    Nothing,
    /// These are the names.
    Names(Vec<Vec<u8>>),
    /// It is done.
    Made,
    /// It can't be said or done.
    Failed(Failure),
}

/// An error on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    kind: error::Kind,
    message: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.message)
    }
}
