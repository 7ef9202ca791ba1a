//! Copying files into and out of containers, whether they run or not.

mod into;
mod out;
mod stat;
mod within;

#[cfg(test)]
mod tests;

use rustix::io::Errno;

use super::view::Stopped;
use crate::error::Error;

pub use into::CopyInto;
pub use stat::PathStat;

/// The failure of a look at `path`, in docker's words.
fn not_there(stopped: &Stopped, doing: &str, path: &str, container: &str) -> Error {
    match stopped.errno {
        Errno::NOENT => {
            Error::not_found(format!("Could not find the file {path} in container {container}"))
        }
        errno => Error::system(format!("{doing} {path}: {}", words(errno))),
    }
}

/// What went wrong, as docker says it.
fn words(errno: Errno) -> String {
    match errno {
        Errno::NOTDIR => "not a directory".to_owned(),
        Errno::LOOP => "too many levels of symbolic links".to_owned(),
        Errno::ROFS => "read-only file system".to_owned(),
        Errno::BUSY => "device or resource busy".to_owned(),
        errno => std::io::Error::from(errno).to_string(),
    }
}
