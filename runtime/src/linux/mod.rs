//! System calls that no safe wrapper covers. The only unsafe code of this program.
//!
//! Every function here is safe to call: it owns or borrows what it hands to the kernel, and turns
//! what comes back into an owned value. Callers may rely on the program having one thread.
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod descriptor;
mod entry;
pub(crate) mod keyring;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod schedule;
pub(crate) mod system;

use std::io;

/// Turns a raw system call's result into a value or the error number that the call left.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
