//! Session keyrings (keyctl(2)).

use super::check;
use std::ffi::CStr;
use std::io;

/// A key's serial number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(i32);

const JOIN_SESSION_KEYRING: libc::c_int = 1;
const SETPERM: libc::c_int = 5;
const DESCRIBE: libc::c_int = 6;

/// Joins the session keyring called `name`, making it if there is none.
pub(crate) fn join_session(name: &CStr) -> io::Result<Key> {
    // SAFETY: `name` is a C string that outlives the call.
    let key =
        check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) })?;
    Ok(Key(key as i32))
}

/// Adds `bits` to the key's permissions.
pub(crate) fn allow(key: Key, bits: u32) -> io::Result<()> {
    let mut text = [0u8; 256];
    // SAFETY: the buffer is as long as the length given; the kernel writes no further.
    let length = check(unsafe {
        libc::syscall(libc::SYS_keyctl, DESCRIBE, key.0, text.as_mut_ptr(), text.len())
    })?;
    let described = text.get(..(length as usize).min(text.len())).unwrap_or_default();
    let present = permissions(described).ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: the call takes plain numbers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, key.0, present | bits) })?;
    Ok(())
}

/// The permissions in a description, which reads `type;uid;gid;permissions;name`.
fn permissions(description: &[u8]) -> Option<u32> {
    let field = description.split(|byte| *byte == b';').nth(3)?;
    u32::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_the_fourth_field() {
        assert_eq!(permissions(b"keyring;0;0;3f1b0000;_ses.x\0"), Some(0x3f1b_0000));
        assert_eq!(permissions(b"keyring;0"), None);
    }
}
