//! Passing on datagrams: each client has a socket of its own towards the container, by which the
//! answers to it are known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::diagnostics::debug;

/// How long nothing has to come from the container for a client to be forgotten.
const IDLE: Duration = Duration::from_secs(90);
/// How many clients are known at a time; what others send is lost.
const MOST_CLIENTS: usize = 1024;
/// The longest datagram.
const LONGEST: usize = 64 << 10;

/// The sockets towards the container, by client.
type Clients = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

/// Passes on each datagram that comes at a socket to `target`, and the answers back.
pub(super) fn pass_on(socket: StdSocket, target: SocketAddr) -> std::io::Result<JoinHandle<()>> {
    socket.set_nonblocking(true)?;
    let port = Arc::new(UdpSocket::from_std(socket)?);
    Ok(tokio::spawn(async move {
        let clients = Clients::default();
        // They end with the port.
        let mut answering = JoinSet::new();
        let mut bytes = vec![0; LONGEST];
        loop {
            let (length, client) = tokio::select! {
                received = port.recv_from(&mut bytes) => match received {
                    Ok(received) => received,
                    // What an earlier answer met on its way: its client is gone.
                    Err(_) => continue,
                },
                Some(_) = answering.join_next() => continue,
            };
            let Some(server) = server_for(client, target, &clients, |server| {
                answering.spawn(answer(client, server, Arc::clone(&port), Arc::clone(&clients)));
            })
            .await
            else {
                continue;
            };
            if let Err(error) = server.send(bytes.get(..length).unwrap_or_default()).await {
                debug(format_args!("pass on a datagram to {target}: {error}"));
            }
        }
    }))
}

/// The socket for what `client` sends; a new one is told to `begin`.
async fn server_for(
    client: SocketAddr,
    target: SocketAddr,
    clients: &Clients,
    begin: impl FnOnce(Arc<UdpSocket>),
) -> Option<Arc<UdpSocket>> {
    {
        let known = lock(clients);
        if let Some(server) = known.get(&client) {
            return Some(Arc::clone(server));
        }
        if known.len() >= MOST_CLIENTS {
            return None;
        }
    }
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let server = UdpSocket::bind((any, 0)).await.ok()?;
    server.connect(target).await.ok()?;
    let server = Arc::new(server);
    lock(clients).insert(client, Arc::clone(&server));
    begin(Arc::clone(&server));
    Some(server)
}

/// Passes back what the container answers, until it has been silent for long.
async fn answer(
    client: SocketAddr,
    server: Arc<UdpSocket>,
    port: Arc<UdpSocket>,
    clients: Clients,
) {
    let mut bytes = vec![0; LONGEST];
    while let Ok(received) = timeout(IDLE, server.recv(&mut bytes)).await {
        // Nobody is there yet, or any more; the client may try again.
        let Ok(length) = received else { continue };
        let _ = port.send_to(bytes.get(..length).unwrap_or_default(), client).await;
    }
    lock(&clients).remove(&client);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
