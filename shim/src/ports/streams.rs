//! Passing on connections.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::set_socket_reuseaddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::diagnostics::debug;

/// Who may wait to be accepted.
const BACKLOG: i32 = 1024;
/// The wait before another connection is taken when one couldn't be.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens at a socket that has its address, and passes on each connection to `target`.
pub(super) fn pass_on(socket: OwnedFd, target: SocketAddr) -> std::io::Result<JoinHandle<()>> {
    // Connections that have ended are not to keep the port from the container's next start.
    set_socket_reuseaddr(&socket, true)?;
    listen(&socket, BACKLOG)?;
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    Ok(tokio::spawn(async move {
        // They end with the port.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        connections.spawn(connect(client, target));
                    }
                    Err(error) => {
                        debug(format_args!("accept a connection for {target}: {error}"));
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }))
}

/// One that the container doesn't take ends at once, as it would without us.
async fn connect(mut client: TcpStream, target: SocketAddr) {
    let relayed = async {
        let mut server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    if let Err(error) = relayed.await {
        debug(format_args!("pass on a connection to {target}: {error}"));
    }
}
