//! Sockets on the network: who may connect may do everything, so it must be told how clients are
//! known, or that they need not be.

use std::net::TcpListener;

use super::tls::Trust;
use crate::error::Error;

/// Listens on a host and port.
pub(super) fn bind(host: &str, port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((host, port))
        .map_err(|error| Error::system(format!("listen on tcp://{host}:{port}"), error))
}

/// Refuses a socket on the network without TLS, unless it was asked for by saying so.
pub(super) fn check(place: &str, trust: &Trust) -> Result<(), Error> {
    match trust {
        Trust::Unsaid => Err(Error::setting(
            "hosts",
            format!(
                "{place} would give everyone who can reach it the rights of root on this machine: \
                 let clients prove who they are by --tlsverify with --tlscacert, --tlscert and \
                 --tlskey, use DOCKER_HOST=ssh://USER@HOST instead, or say by --tls=false that \
                 this is meant"
            ),
        )),
        Trust::Everyone | Trust::Encrypted(_) | Trust::Verified(_) => Ok(()),
    }
}

/// Warns of one whose clients need not prove who they are.
pub(super) fn warn(place: &str, trust: &Trust) {
    match trust {
        Trust::Everyone => tracing::warn!(
            "{place} is served without TLS: whoever can reach it, a web page in a browser on this \
             machine too, has the rights of root here"
        ),
        Trust::Encrypted(_) => tracing::warn!(
            "{place} is served to clients that need not prove who they are: whoever can reach it \
             has the rights of root here"
        ),
        Trust::Unsaid | Trust::Verified(_) => {}
    }
}
