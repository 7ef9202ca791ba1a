//! A name server for tests, and somebody who asks one.
//!
//! `tare-dns serve ADDRESS NAME [silent|failing]` answers at port 53 of an address, by UDP and TCP,
//! what stands in [`answer`]; each question that it gets is a line of its output.
//! `tare-dns ask ADDRESS NAME TYPE [tcp] [edns]` asks port 53 and prints the answer.
//! `tare-dns flood ADDRESS NAME COUNT` asks as much as it can, without waiting for answers.
//! `tare-dns watch ADDRESS NAME` asks for an address again and again, and ends if no answer comes.
//! `tare-dns garbage ADDRESS COUNT` sends what is no question.
//!
//! It is a test program: it stops at the first thing that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How long somebody who asks waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// Addresses of `many.test`: more than fit in a datagram of any size that is usual.
const MANY: u8 = 250;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", address, name, rest @ ..] => serve(port_53(address), name, rest.first().copied()),
        ["ask", address, name, kind, how @ ..] => ask(port_53(address), name, kind, how),
        ["flood", address, name, count] => flood(port_53(address), name, number(count)),
        ["watch", address, name] => watch(port_53(address), name),
        ["garbage", address, count] => garbage(port_53(address), number(count)),
        other => panic!("there is no way to {other:?}"),
    }
}

fn port_53(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 53)
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn serve(address: SocketAddr, name: &str, mood: Option<&str>) {
    let udp = UdpSocket::bind(address).expect("listen");
    let tcp = TcpListener::bind(address).expect("listen");
    println!("ready");
    let (own_name, own_mood) = (name.to_owned(), mood.map(str::to_owned));
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.expect("accept");
            while let Some(question) = read(&mut stream) {
                let told = reply(&question, &own_name, own_mood.as_deref(), usize::from(u16::MAX));
                told.iter().for_each(|message| write(&mut stream, message));
            }
        }
    });
    let mut buffer = [0; 65535];
    loop {
        let (length, peer) = udp.recv_from(&mut buffer).expect("receive");
        let question = &buffer[..length];
        let room = Message::from_vec(question).map_or(512, |message| message.max_payload());
        for message in reply(question, name, mood, room.into()) {
            udp.send_to(&message, peer).expect("send");
        }
    }
}

/// What a server replies, which may be several messages.
fn reply(question: &[u8], own_name: &str, mood: Option<&str>, room: usize) -> Vec<Vec<u8>> {
    let question = Message::from_vec(question).expect("a question");
    let query = &question.queries[0];
    let name = query.name.to_ascii();
    println!("{} {name} {}", question.metadata.id, query.query_type);
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1400);
        reply.set_edns(edns);
    }
    match mood {
        Some("silent") => return Vec::new(),
        Some("failing") => reply.metadata.response_code = ResponseCode::ServFail,
        _ => match answer(&name.to_lowercase(), query.query_type, &question, own_name) {
            Some(all) => {
                let record = |data| Record::from_rdata(query.name.clone(), 60, data);
                reply.add_answers(all.into_iter().map(record));
            }
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        },
    }
    let mut bytes = reply.to_vec().expect("encode");
    if bytes.len() > room {
        reply.answers.clear();
        reply.metadata.truncation = true;
        bytes = reply.to_vec().expect("encode");
    }
    if name.eq_ignore_ascii_case("spoofed.test.") {
        return vec![forged(&reply, |it| it.metadata.id ^= 1), forged(&reply, other_name), bytes];
    }
    vec![bytes]
}

/// What somebody else would say.
fn forged(reply: &Message, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut forged = reply.clone();
    for record in &mut forged.answers {
        record.data = RData::A(A::new(6, 6, 6, 6));
    }
    change(&mut forged);
    forged.to_vec().expect("encode")
}

fn other_name(message: &mut Message) {
    message.queries[0].name = Name::from_ascii("other.test.").unwrap();
}

/// What the server knows of a name: `None`, that there is no such name.
fn answer(name: &str, kind: RecordType, question: &Message, own_name: &str) -> Option<Vec<RData>> {
    let text = |text: String| vec![RData::TXT(TXT::new(vec![text]))];
    Some(match (name, kind) {
        ("one.test." | "spoofed.test." | "web.", RecordType::A) => {
            vec![RData::A(A::new(192, 0, 2, 1))]
        }
        ("one.test.", RecordType::AAAA) => {
            vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))]
        }
        ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => {
            vec![RData::PTR(PTR(Name::from_ascii("one.test.").unwrap()))]
        }
        ("web.", RecordType::TXT) => text("of another web".to_owned()),
        ("many.test.", RecordType::A) => {
            (1..=MANY).map(|last| RData::A(A::new(192, 0, 2, last))).collect()
        }
        ("server.test.", RecordType::TXT) => text(own_name.to_owned()),
        ("edns.test.", RecordType::TXT) => match &question.edns {
            Some(edns) => text(format!("edns {}", edns.max_payload())),
            None => text("no edns".to_owned()),
        },
        ("one.test." | "spoofed.test." | "many.test." | "server.test.", _) => Vec::new(),
        _ => return None,
    })
}

fn question(name: &str, kind: &str, edns: bool) -> Message {
    let mut message = Message::new(rand(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let kind: RecordType = kind.parse().expect("a type");
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(1300);
        message.set_edns(edns);
    }
    message
}

/// A number that the next one who asks does not use: their processes follow each other.
fn rand() -> u16 {
    std::process::id() as u16
}

fn ask(server: SocketAddr, name: &str, kind: &str, how: &[&str]) {
    let question = question(name, kind, how.contains(&"edns"));
    let bytes = question.to_vec().expect("encode");
    let answer = if how.contains(&"tcp") {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write(&mut stream, &bytes);
        read(&mut stream).expect("an answer")
    } else {
        let socket = connected(server);
        socket.send(&bytes).expect("send");
        let mut buffer = [0; 65535];
        let length = socket.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    };
    let answer = Message::from_vec(&answer).expect("a message");
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert_eq!(answer.queries, question.queries);
    let cut = if answer.metadata.truncation { " truncated" } else { "" };
    println!("{:?}{cut} {}", answer.metadata.response_code, answer.answers.len());
    if let Some(edns) = &answer.edns {
        println!("edns {}", edns.max_payload());
    }
    for record in answer.answers {
        println!("{} {}", record.name, record.data);
    }
}

fn connected(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("open a socket");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).expect("connect");
    socket
}

fn flood(server: SocketAddr, name: &str, count: usize) {
    let socket = connected(server);
    for _ in 0..count {
        // A full queue is what this is about.
        let _ = socket.send(&question(name, "A", false).to_vec().unwrap());
    }
}

fn watch(server: SocketAddr, name: &str) {
    let mut buffer = [0; 65535];
    loop {
        let socket = connected(server);
        socket.send(&question(name, "A", false).to_vec().unwrap()).expect("send");
        let length = socket.recv(&mut buffer).expect("an answer");
        let answer = Message::from_vec(&buffer[..length]).expect("a message");
        assert_eq!(answer.answers.len(), 1, "{answer:?}");
        println!("answered");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn garbage(server: SocketAddr, count: usize) {
    let socket = connected(server);
    let good = question("web.", "A", true).to_vec().unwrap();
    let mut state: u32 = 1;
    for _ in 0..count {
        let mut bytes = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 16) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        bytes.truncate((state >> 8) as usize % (bytes.len() + 1));
        let _ = socket.send(&bytes);
    }
    // A connection with half of a message, which rests.
    if let Ok(mut stream) = TcpStream::connect_timeout(&server, PATIENCE) {
        let _ = stream.write_all(&[0xff, 0xff, 1, 2, 3]);
    }
}

fn write(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).expect("it is not too long");
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).expect("write");
}

fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}
