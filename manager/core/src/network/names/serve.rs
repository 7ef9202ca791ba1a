//! Answering at the sockets of one container.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::answer::{Outcome, Way, answer, refusal};
use super::book::Book;
use super::exchange::{read, write};
use super::forward::{Forwarder, Inquiry, Upstream};
use crate::network::endpoint::Standpoint;

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

/// A container that asks.
pub(super) struct Client {
    pub(super) container: String,
    /// Its network namespace, if that is known.
    pub(super) namespace: Option<Arc<OwnedFd>>,
    pub(super) upstream: Upstream,
}

/// What is to be done about a question.
enum Work {
    /// This is the answer, if there is to be one.
    Answer(Option<Vec<u8>>),
    /// Others are to be asked.
    Ask(Inquiry),
}

impl Desk {
    /// What is to be done about a question of `client`. If too many are open already, it is refused.
    fn look_up(&self, client: &Client, question: &[u8], way: Way) -> Work {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let otherwise = match answer(&book, &client.container, question, way) {
            Outcome::Answer(answer) => return Work::Answer(Some(answer)),
            Outcome::Ignore => return Work::Answer(None),
            Outcome::Forward(otherwise) => otherwise,
        };
        let Some(room) = self.forwarder.room(&client.upstream) else {
            return Work::Answer(refusal(question, ResponseCode::Refused));
        };
        let asker = book.asker(&client.container);
        let servers = asker.map(|asker| asker.name_servers.clone()).unwrap_or_default();
        let (servers, namespace) = match (asker.map(|asker| asker.standpoint), &client.namespace) {
            (Some(Standpoint::Container), Some(namespace)) => {
                (servers, Some(Arc::clone(namespace)))
            }
            // The host's network is not what is meant.
            (Some(Standpoint::Container), None) => (Vec::new(), None),
            (Some(Standpoint::Host) | None, _) => (servers, None),
        };
        Work::Ask(Inquiry { servers, namespace, otherwise, room })
    }
}

/// Answers what comes in datagrams. What the book has is answered before the next one is looked at,
/// so that nothing piles up but what others are asked, and of that not too much.
pub(super) async fn by_datagram(desk: Arc<Desk>, client: Arc<Client>, socket: Arc<UdpSocket>) {
    let mut question = [0; LARGEST_QUESTION];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut question).await else {
            sleep(AFTER_FAILURE).await;
            continue;
        };
        let question = question.get(..length).unwrap_or_default();
        match desk.look_up(&client, question, Way::Udp) {
            Work::Answer(answer) => reply(&socket, answer, peer),
            Work::Ask(inquiry) => {
                let (desk, client, socket) =
                    (Arc::clone(&desk), Arc::clone(&client), Arc::clone(&socket));
                let question = question.to_vec();
                tokio::spawn(async move {
                    let asked = desk.forwarder.ask(&client.upstream, inquiry, &question, Way::Udp);
                    reply(&socket, asked.await, peer);
                });
            }
        }
    }
}

/// Who has gone meanwhile, or does not take what it asked for, needs no answer.
fn reply(socket: &UdpSocket, answer: Option<Vec<u8>>, peer: SocketAddr) {
    if let Some(answer) = answer {
        let _ = socket.try_send_to(&answer, peer);
    }
}

/// Answers what comes on connections.
pub(super) async fn by_connection(
    desk: Arc<Desk>,
    client: Arc<Client>,
    listener: Arc<TcpListener>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(room) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (desk, client) = (Arc::clone(&desk), Arc::clone(&client));
                tokio::spawn(async move {
                    // A connection that fails has nobody to tell.
                    let _ = converse(&desk, &client, stream).await;
                    drop(room);
                });
            }
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

async fn converse(desk: &Desk, client: &Client, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = timeout(REST, read(&mut stream)).await??;
        let answer = match desk.look_up(client, &question, Way::Tcp) {
            Work::Answer(answer) => answer,
            Work::Ask(inquiry) => {
                desk.forwarder.ask(&client.upstream, inquiry, &question, Way::Tcp).await
            }
        };
        match answer {
            Some(answer) => timeout(REST, write(&mut stream, &answer)).await??,
            None => return Ok(()),
        }
    }
}
