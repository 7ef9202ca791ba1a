//! Extended attributes: all that a file has go along, as far as the file system takes them; what it
//! refuses is left out, and never an error.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr, getxattr, listxattr, lsetxattr};
use rustix::io::Errno;

/// The most bytes of names, and of one value, that the kernel gives.
const LARGEST: usize = 64 << 10;
/// Bytes of the names of a few of them.
const FEW: usize = 512;

/// The extended attributes of an open file, by name. Overlay's own notes mean nothing outside of it.
pub(super) fn attributes(file: BorrowedFd<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    // Most files have none, or few.
    match flistxattr(file, &mut [0_u8; FEW]) {
        Ok(0) => return Vec::new(),
        Err(error) if error != Errno::RANGE => return Vec::new(),
        Ok(_) | Err(_) => {}
    }
    read(|names| flistxattr(file, names), |name, value| fgetxattr(file, name, value))
}

/// Those of something that is no regular file and no directory, by its handle.
fn attributes_of_handle(handle: BorrowedFd<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let itself = format!("/proc/self/fd/{}", handle.as_raw_fd());
    read(
        |names| listxattr(itself.as_str(), names),
        |name, value| getxattr(itself.as_str(), name, value),
    )
}

fn read(
    list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; LARGEST];
    let Ok(length) = list(&mut names) else { return Vec::new() };
    names.truncate(length);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found = Vec::new();
    let mut value = vec![0; LARGEST];
    for name in names.filter(|name| !name.starts_with(b"trusted.overlay.")) {
        if let Ok(length) = get(name, &mut value) {
            found.push((name.to_vec(), value.get(..length).unwrap_or_default().to_vec()));
        }
    }
    found.sort();
    found
}

/// Gives the open file `to` the extended attributes of `from`.
pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    for (name, value) in attributes(from) {
        if let Err(error) = fsetxattr(to, name.as_slice(), &value, XattrFlags::empty()) {
            left_out(&name, error);
        }
    }
}

/// Gives the link `name` in `directory` the extended attributes of the link `from`.
pub(super) fn copy_attributes_of_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) {
    let found = attributes_of_handle(from);
    if found.is_empty() {
        return;
    }
    let parent = format!("/proc/self/fd/{}/", to.as_fd().as_raw_fd());
    let link = [parent.as_bytes(), name.to_bytes()].concat();
    for (attribute, value) in found {
        let set = lsetxattr(link.as_slice(), attribute.as_slice(), &value, XattrFlags::empty());
        if let Err(error) = set {
            left_out(&attribute, error);
        }
    }
}

fn left_out(name: &[u8], error: Errno) {
    tracing::debug!(name = %String::from_utf8_lossy(name), %error, "an attribute isn't copied");
}
