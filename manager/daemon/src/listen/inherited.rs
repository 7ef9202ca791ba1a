//! Sockets that were opened before this program was started, by systemd or by what does as it does:
//! they are the descriptors from 3 on, and the environment says how many there are.

use std::env;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::address::Inherited;
use crate::error::Error;

/// The first descriptor that is handed over.
const FIRST: u32 = 3;

/// A socket that was handed over.
#[derive(Debug)]
pub(super) enum Handed {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// All sockets that were handed over, to be taken one after the other.
pub(crate) struct Handover(Vec<Place>);

/// One of them.
struct Place {
    number: u32,
    name: String,
    socket: Option<OwnedFd>,
}

impl Handover {
    /// What the environment tells of; nothing, if it tells of another process.
    pub(crate) fn of_environment() -> Result<Self, Error> {
        let text = |name| env::var(name).unwrap_or_default();
        let own = Pid::as_raw(Some(getpid())).to_string();
        let count = match text("LISTEN_PID") == own {
            true => text("LISTEN_FDS").parse().unwrap_or(0),
            false => 0,
        };
        let names = text("LISTEN_FDNAMES");
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        let places = (FIRST..FIRST.saturating_add(count)).zip(names);
        let places =
            places.map(|(number, name)| Ok(Place { number, name, socket: Some(take(number)?) }));
        Ok(Self(places.collect::<Result<_, Error>>()?))
    }

    /// Takes those that are meant; what is taken is not there for the next.
    pub(super) fn take(&mut self, which: &Inherited) -> Result<Vec<Handed>, Error> {
        let refused = |reason: &str| Err(Error::setting("hosts", reason));
        if self.0.is_empty() {
            return refused(
                "no sockets found via socket activation: make sure the service was started by \
                 systemd",
            );
        }
        let is_meant = |place: &Place| match which {
            Inherited::All => true,
            Inherited::Number(number) => place.number == *number,
            Inherited::Named(name) => place.name == *name,
        };
        let meant = self.0.iter_mut().filter(|place| is_meant(place));
        let sockets: Vec<_> = meant.filter_map(|place| place.socket.take()).collect();
        if sockets.is_empty() {
            return match which {
                Inherited::All => refused("fd:// is there twice"),
                Inherited::Number(_) => {
                    refused("too few socket activated files passed in by systemd")
                }
                Inherited::Named(name) => refused(&format!(
                    "no socket that was passed in by systemd is called {name} in LISTEN_FDNAMES"
                )),
            };
        }
        sockets.into_iter().map(handed).collect()
    }
}

/// Takes a descriptor that another program has put there. The number itself is closed: what this
/// process starts is not to have it.
fn take(number: u32) -> Result<OwnedFd, Error> {
    let failed = |error| Error::system(format!("take over the descriptor {number}"), error);
    let raw = i32::try_from(number).unwrap_or(i32::MAX);
    let this = pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed)?;
    let socket = pidfd_getfd(&this, raw, PidfdGetfdFlags::empty()).map_err(failed)?;
    nix::unistd::close(raw)
        .map_err(|error| failed(rustix::io::Errno::from_raw_os_error(error as i32)))?;
    Ok(socket)
}

/// The socket as what it is; one that nobody can connect to is refused.
fn handed(socket: OwnedFd) -> Result<Handed, Error> {
    let failed = |error| Error::system("look at a socket that was handed over", error);
    let is_stream = sockopt::socket_type(&socket).map_err(failed)? == SocketType::STREAM;
    let listens = sockopt::socket_acceptconn(&socket).map_err(failed)?;
    match sockopt::socket_domain(&socket).map_err(failed)? {
        AddressFamily::UNIX if is_stream && listens => Ok(Handed::Unix(socket.into())),
        AddressFamily::INET | AddressFamily::INET6 if is_stream && listens => {
            Ok(Handed::Tcp(socket.into()))
        }
        _ => Err(Error::setting(
            "hosts",
            "a socket that was handed over by fd:// is no unix or TCP socket that listens",
        )),
    }
}
