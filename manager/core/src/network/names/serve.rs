//! Answering at the sockets of one container.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::answer::{Outcome, Way, answer};
use super::book::Book;
use super::forward::{Forwarder, read, write};

/// Bytes of the largest question in a datagram.
const LARGEST_QUESTION: usize = 4096;
/// How long a connection may rest.
const REST: Duration = Duration::from_secs(10);
/// How many connections one container may have open.
const CONNECTIONS: usize = 64;
/// How long to wait after a failure, which may last.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What answers all containers.
pub(super) struct Desk {
    pub(super) book: Mutex<Book>,
    pub(super) forwarder: Forwarder,
}

impl Desk {
    /// The reply to a question of `container`.
    async fn reply(&self, container: &str, question: &[u8], way: Way) -> Option<Vec<u8>> {
        let (outcome, servers) = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = answer(&book, container, question, way);
            let servers = match outcome {
                Outcome::Forward => book.name_servers(container),
                Outcome::Answer(_) | Outcome::Ignore => Vec::new(),
            };
            (outcome, servers)
        };
        match outcome {
            Outcome::Answer(answer) => Some(answer),
            Outcome::Forward => self.forwarder.ask(&servers, question, way).await,
            Outcome::Ignore => None,
        }
    }
}

/// Answers what comes in datagrams.
pub(super) async fn by_datagram(desk: Arc<Desk>, container: Arc<str>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut question = [0; LARGEST_QUESTION];
    loop {
        match socket.recv_from(&mut question).await {
            Ok((length, peer)) => {
                let question = question.get(..length).unwrap_or_default().to_vec();
                let (desk, container, socket) =
                    (Arc::clone(&desk), Arc::clone(&container), Arc::clone(&socket));
                tokio::spawn(reply_to(desk, container, socket, question, peer));
            }
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

async fn reply_to(
    desk: Arc<Desk>,
    container: Arc<str>,
    socket: Arc<UdpSocket>,
    question: Vec<u8>,
    peer: SocketAddr,
) {
    if let Some(answer) = desk.reply(&container, &question, Way::Udp).await {
        // Who has gone meanwhile needs no answer.
        let _ = socket.send_to(&answer, peer).await;
    }
}

/// Answers what comes on connections.
pub(super) async fn by_connection(desk: Arc<Desk>, container: Arc<str>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(room) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (desk, container) = (Arc::clone(&desk), Arc::clone(&container));
                tokio::spawn(async move {
                    // A connection that fails has nobody to tell.
                    let _ = converse(&desk, &container, stream).await;
                    drop(room);
                });
            }
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

async fn converse(desk: &Desk, container: &str, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = timeout(REST, read(&mut stream)).await??;
        match desk.reply(container, &question, Way::Tcp).await {
            Some(answer) => timeout(REST, write(&mut stream, &answer)).await??,
            None => return Ok(()),
        }
    }
}
