//! Asking one name server one question.
//!
//! The question goes on as it came, with all its options, and so does the answer; only its number is
//! another, which nobody can guess, as nobody can guess the port that the kernel takes for each.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::Way;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// Bytes of the largest message.
const LARGEST: usize = 65535;
/// Bytes of a message's header.
const HEADER: usize = 12;

/// Asks `server` by the way that the question came, with this socket or else with one of the
/// host's network.
pub(super) async fn ask(
    server: SocketAddr,
    question: &[u8],
    way: Way,
    socket: Option<OwnedFd>,
) -> io::Result<Vec<u8>> {
    let (id, rest) = question.split_first_chunk::<2>().ok_or(io::ErrorKind::InvalidData)?;
    let number: [u8; 2] = rand::random();
    let question = [&number[..], rest].concat();
    let asked = async {
        match way {
            Way::Udp => by_datagram(server, &question, socket).await,
            Way::Tcp => by_connection(server, &question, socket).await,
        }
    };
    let mut answer = timeout(PATIENCE, asked).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if let Some(number) = answer.first_chunk_mut() {
        *number = *id;
    }
    Ok(answer)
}

/// The code of an answer.
pub(super) fn code(answer: &[u8]) -> Option<u8> {
    answer.get(3).map(|flags| flags & 0x0f)
}

/// Whether it answers this question: by its number, and by the question if it is repeated. Only an
/// error need not repeat it.
fn is_answer_to(question: &[u8], answer: &[u8]) -> bool {
    let [Some(asked), Some(told)] = [question, answer].map(|message| message.get(..HEADER)) else {
        return false;
    };
    let is_reply = told[2] & 0x80 != 0 && told[..2] == asked[..2];
    let repeated = || {
        let end = question_end(question).unwrap_or(question.len());
        let asked = question.get(HEADER..end);
        asked.is_some() && asked == answer.get(HEADER..end)
    };
    let repeats = told[4..6] == asked[4..6];
    let is_error = code(answer) != Some(ResponseCode::NoError.low());
    is_reply && if repeats { repeated() } else { told[4..6] == [0, 0] && is_error }
}

/// Where the question of a message ends: behind the labels of the name, or a word that says where
/// they go on, its type and its class.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 5),
            length @ 1..64 => at += 1 + length,
            _ => return Some(at + 6),
        }
    }
}

async fn by_datagram(
    server: SocketAddr,
    question: &[u8],
    socket: Option<OwnedFd>,
) -> io::Result<Vec<u8>> {
    let socket = match socket {
        Some(socket) => UdpSocket::from_std(std::net::UdpSocket::from(socket))?,
        None => {
            let any: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            UdpSocket::bind((any, 0)).await?
        }
    };
    socket.connect(server).await?;
    socket.send(question).await?;
    loop {
        socket.readable().await?;
        match receive(&socket) {
            Ok(answer) if is_answer_to(question, &answer) => return Ok(answer),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

/// What has come. The room for the largest message is needed for no longer than this takes.
fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut message = [0; LARGEST];
    let length = socket.try_recv(&mut message)?;
    Ok(message.get(..length).unwrap_or_default().to_vec())
}

async fn by_connection(
    server: SocketAddr,
    question: &[u8],
    socket: Option<OwnedFd>,
) -> io::Result<Vec<u8>> {
    let socket = match (socket, server) {
        (Some(socket), _) => TcpSocket::from_std_stream(socket.into()),
        (None, SocketAddr::V4(_)) => TcpSocket::new_v4()?,
        (None, SocketAddr::V6(_)) => TcpSocket::new_v6()?,
    };
    let mut stream = socket.connect(server).await?;
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
    let mut message = Vec::new();
    stream.take(length.into()).read_to_end(&mut message).await?;
    match message.len() == usize::from(length) {
        true => Ok(message),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A question for `db.` and its answer's beginning.
    const QUESTION: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x00\x00\x01\x00\x01";

    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut answer = [QUESTION, b"\xc0\x0c\x00\x01"].concat();
        answer[2] |= 0x80;
        change(&mut answer);
        answer
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        assert!(is_answer_to(QUESTION, &answer(|_| ())));
        assert!(!is_answer_to(QUESTION, &answer(|answer| answer[1] = 0)), "another number");
        assert!(!is_answer_to(QUESTION, &answer(|answer| answer[2] = 1)), "a question");
        assert!(!is_answer_to(QUESTION, &answer(|answer| answer[13] = b'D')), "another's name");
        assert!(!is_answer_to(QUESTION, &answer(|answer| answer[17] = 28)), "another type");
        assert!(!is_answer_to(QUESTION, &answer(|answer| answer[5] = 0)), "an answer to nothing");
        assert!(!is_answer_to(QUESTION, b"\x12\x34\x81"));
        let mut refused = answer(|answer| {
            answer[3] = 5;
            answer[5] = 0;
        });
        refused.truncate(HEADER);
        assert!(is_answer_to(QUESTION, &refused));
    }

    #[test]
    fn a_question_ends_behind_its_class() {
        assert_eq!(question_end(QUESTION), Some(QUESTION.len()));
        let short = [&QUESTION[..HEADER], b"\x02db\xc0\x0c\x00\x01\x00\x01"].concat();
        assert_eq!(question_end(&short), Some(short.len()));
        assert_eq!(question_end(&QUESTION[..14]), None);
    }

    proptest! {
        #[test]
        fn fuzz_what_comes_is_the_answer_or_not(bytes: Vec<u8>, at in 0usize..19, by: u8) {
            let _ = question_end(&bytes);
            prop_assert!(!is_answer_to(&bytes, QUESTION));
            let _ = is_answer_to(QUESTION, &bytes);
            // What differs in its number or question is not the answer.
            let changed = answer(|answer| answer[at] ^= by);
            let counts = [0, 1].contains(&at) || at >= HEADER;
            prop_assert!(!counts || by == 0 || !is_answer_to(QUESTION, &changed));
        }
    }
}
