//! The kernel's settings for networks, below /proc/sys/net.

use std::io;

use crate::error::{Error, Result};

/// Sets the setting `name` ("ipv4/ip_forward") in the calling thread's network namespace, unless
/// it has that value already.
pub(in crate::network) fn set(name: &str, value: &str) -> Result<()> {
    if get(name)? != value {
        let path = path(name);
        std::fs::write(&path, value)
            .map_err(|error| Error::io(format!("set {path} to {value}"), error))?;
    }
    Ok(())
}

/// The same for a setting that a kernel may have been built without.
pub(in crate::network) fn set_if_present(name: &str, value: &str) -> Result<()> {
    let path = path(name);
    match std::fs::write(&path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("set {path} to {value}"), error))
        }
        _ => Ok(()),
    }
}

/// The value of the setting `name`.
pub(in crate::network) fn get(name: &str) -> Result<String> {
    let path = path(name);
    let value =
        std::fs::read_to_string(&path).map_err(|error| Error::io(format!("read {path}"), error))?;
    Ok(value.trim_end().to_owned())
}

fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}
