//! Telling systemd how far we are, by its notification socket: a unit of `Type=notify` waits for it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// Requests are served.
    Ready,
    /// The settings are read anew; ready comes next.
    Reloading,
    /// It is about to end.
    Stopping,
}

/// Tells it to whoever started us, if they asked for it.
pub(crate) fn tell(state: State) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
        return;
    };
    let text = match state {
        State::Ready => "READY=1".to_owned(),
        State::Reloading => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
            format!("RELOADING=1\nMONOTONIC_USEC={microseconds}")
        }
        State::Stopping => "STOPPING=1".to_owned(),
    };
    // A name that begins with @ is in no file system.
    let path = path.as_encoded_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::path::Path::new(&*String::from_utf8_lossy(path))),
    };
    let told = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!("can't tell {state:?} to NOTIFY_SOCKET: {error}");
    }
}
