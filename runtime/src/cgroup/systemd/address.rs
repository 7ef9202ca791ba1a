//! Where systemd can be reached.
//!
//! The host's listens on a socket of its own, for root. A user's is reached by the message bus of
//! their session, which the environment names, or by a socket of its own where no bus runs.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use super::Manager;
use crate::error::{Error, Result};

/// A socket, and who listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// systemd itself.
    Direct(Socket),
    /// A message bus that knows systemd.
    Bus(Socket),
}

/// The name of a unix socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// A file.
    Path(PathBuf),
    /// A name that is no file.
    Abstract(Vec<u8>),
}

impl Socket {
    /// Connects to it.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Socket::Path(path) => UnixStream::connect(path),
            Socket::Abstract(name) => {
                UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
            }
        }
    }
}

impl Address {
    /// Where the systemd of `manager` listens.
    ///
    /// # Errors
    /// The environment says nothing of the user's.
    pub(super) fn of(manager: Manager) -> Result<Address> {
        match manager {
            Manager::System => {
                Ok(Address::Direct(Socket::Path(PathBuf::from("/run/systemd/private"))))
            }
            Manager::User => of_user(
                std::env::var_os("DBUS_SESSION_BUS_ADDRESS"),
                std::env::var_os("XDG_RUNTIME_DIR"),
            ),
        }
    }

    /// The socket, and whether a bus listens there.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Address::Direct(socket) | Address::Bus(socket) => socket,
        }
    }
}

fn of_user(bus: Option<OsString>, runtime: Option<OsString>) -> Result<Address> {
    let is_set = |value: &OsString| !value.is_empty();
    if let Some(text) = bus.filter(is_set) {
        return parse(&text.into_vec()).map(Address::Bus).ok_or_else(|| {
            Error::unsupported(
                "--systemd-cgroup: DBUS_SESSION_BUS_ADDRESS names no unix socket, so the user's \
                 systemd cannot be reached",
            )
        });
    }
    let Some(runtime) = runtime.filter(is_set) else {
        return Err(Error::unsupported(
            "--systemd-cgroup: could not detect DBUS_SESSION_BUS_ADDRESS from the environment, and \
             XDG_RUNTIME_DIR is not set either: the user's systemd cannot be found",
        ));
    };
    let bus = Path::new(&runtime).join("bus");
    Ok(match bus.exists() {
        true => Address::Bus(Socket::Path(bus)),
        false => Address::Direct(Socket::Path(Path::new(&runtime).join("systemd/private"))),
    })
}

/// The first unix socket of a list of addresses, such as `unix:path=/run/user/1000/bus,guid=7`.
fn parse(list: &[u8]) -> Option<Socket> {
    let addresses = list.split(|byte| *byte == b';');
    addresses.filter_map(|address| address.strip_prefix(b"unix:")).find_map(|keys| {
        keys.split(|byte| *byte == b',').find_map(|pair| {
            let path = pair.strip_prefix(b"path=").and_then(unescape);
            let path = path.map(|path| Socket::Path(PathBuf::from(OsString::from_vec(path))));
            path.or_else(|| {
                pair.strip_prefix(b"abstract=").and_then(unescape).map(Socket::Abstract)
            })
        })
    })
}

/// Undoes the escapes `%xx`.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [*rest.next()?, *rest.next()?];
                *hex::decode(digits).ok()?.first()?
            }
            byte => *byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Socket {
        Socket::Path(PathBuf::from(path))
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("unix:path=/run/user/1000/bus", Some(path("/run/user/1000/bus"))),
            ("unix:guid=7,path=/a%20b;unix:path=/c", Some(path("/a b"))),
            (
                "tcp:host=x,port=1;unix:abstract=/tmp/x,guid=7",
                Some(Socket::Abstract(b"/tmp/x".into())),
            ),
            ("unix:path=%2", None),
            ("unix:runtime=yes", None),
            ("path=/x", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_users_systemd_is_looked_for_by_its_bus_first() {
        let runtime = tempfile::tempdir().unwrap();
        let find = |bus: Option<&str>| of_user(bus.map(Into::into), Some(runtime.path().into()));
        let socket = |name: &str| Socket::Path(runtime.path().join(name));
        assert_eq!(find(None).unwrap(), Address::Direct(socket("systemd/private")));
        std::fs::write(runtime.path().join("bus"), "").unwrap();
        assert_eq!(find(Some("")).unwrap(), Address::Bus(socket("bus")));
        assert_eq!(find(Some("unix:path=/x")).unwrap(), Address::Bus(path("/x")));
        find(Some("tcp:host=x")).unwrap_err();
        of_user(None, Some("".into())).unwrap_err();
    }
}
