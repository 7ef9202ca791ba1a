//! Tar archives: reading them (ustar, GNU and PAX) from a stream, trusting nothing in it, and writing
//! them.
//!
//! Only what an archive says is read here; what is done with its paths is its users' affair.
//! Errors that the archive is to blame for are [`crate::Kind::Invalid`].

mod entry;
pub(crate) mod header;
pub(crate) mod path;
mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use entry::{Entry, EntryKind, ModifiedAt};
pub(crate) use reader::{Archive, unreadable};
pub(crate) use sparse::Segment;
pub(crate) use writer::Writer;
