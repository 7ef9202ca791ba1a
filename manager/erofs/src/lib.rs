//! Images of EROFS, the kernel's read-only file system, written as their content arrives.
//!
//! A layer that is unpacked into a directory costs the kernel an inode, a name and a journal entry
//! for each of its files. Written as an image it costs one sequential write: what files hold goes to
//! the image as it comes ([`Data`]), what is said of them is collected in memory ([`Tree`]), and
//! [`finish`] appends it. Linux mounts such a file as it is, since 6.12 without a loop device.
//!
//! An image has blocks of 512 bytes, as archives have, so that small files lie close together:
//!
//! ```text
//! 0          4096                                 metadata
//! | superblock | what the files hold, one by one  | inodes, each with its attributes | directories |
//! ```

mod attributes;
mod check;
mod data;
mod directory;
mod disk;
mod image;
mod layout;
mod tree;

pub use check::check;
pub use data::{Content, Data, FileData};
pub use image::{finish, identify};
pub use tree::{Attributes, Kind, NodeId, Time, Tree};
