//! Asking others for names that nobody in the book has.
//!
//! The question goes on as it came, with all its options, and so does the answer; only its number is
//! another, which nobody can guess.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Way, refusal};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many servers are asked.
const SERVERS: usize = 3;
/// How many questions may be open.
const AT_ONCE: usize = 1024;
/// Bytes of the largest message.
const LARGEST: usize = 65535;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// Where names are asked for.
const PORT: u16 = 53;

/// The questions that are open.
pub(super) struct Forwarder {
    room: Semaphore,
}

impl Forwarder {
    pub(super) fn new() -> Self {
        Self { room: Semaphore::new(AT_ONCE) }
    }

    /// What the first of these servers says that knows anything; else that there is no answer.
    pub(super) async fn ask(
        &self,
        servers: &[IpAddr],
        question: &[u8],
        way: Way,
    ) -> Option<Vec<u8>> {
        let Ok(_room) = self.room.try_acquire() else {
            return refusal(question, ResponseCode::Refused);
        };
        let mut last = None;
        for server in servers.iter().take(SERVERS) {
            let server = SocketAddr::new(*server, PORT);
            match ask_one(server, question, way).await {
                Ok(answer) if is_final(&answer) => return Some(answer),
                Ok(answer) => last = Some(answer),
                Err(_) => {}
            }
        }
        last.or_else(|| refusal(question, ResponseCode::ServFail))
    }
}

/// Asks one server by the way that the question came.
pub(super) async fn ask_one(server: SocketAddr, question: &[u8], way: Way) -> io::Result<Vec<u8>> {
    let (id, rest) = question.split_first_chunk::<2>().ok_or(io::ErrorKind::InvalidData)?;
    let number: [u8; 2] = rand::random();
    let question = [&number[..], rest].concat();
    let asked = async {
        match way {
            Way::Udp => by_datagram(server, &question).await,
            Way::Tcp => by_connection(server, &question).await,
        }
    };
    let mut answer = timeout(PATIENCE, asked).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if let Some(number) = answer.first_chunk_mut() {
        *number = *id;
    }
    Ok(answer)
}

/// Whether another server would not know better.
fn is_final(answer: &[u8]) -> bool {
    let code = answer.get(3).map(|flags| flags & 0x0f);
    ![ResponseCode::ServFail, ResponseCode::Refused]
        .iter()
        .any(|undecided| code == Some(undecided.low()))
}

fn is_answer_to(question: &[u8], answer: &[u8]) -> bool {
    answer.len() >= HEADER
        && answer.get(..2) == question.get(..2)
        && answer.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

async fn by_datagram(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut answer).await?;
        if is_answer_to(question, answer.get(..length).unwrap_or_default()) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn by_connection(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write(&mut stream, question).await?;
    let answer = read(&mut stream).await?;
    match is_answer_to(question, &answer) {
        true => Ok(answer),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes a message to a connection: its length goes before it.
pub(super) async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await
}

/// Reads one.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
