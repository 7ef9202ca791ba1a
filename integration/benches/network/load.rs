//! A server, and clients that ask it for as much as they get.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tare_integration::wait::DEADLINE;

/// How much is sent at once.
const BLOCK: usize = 128 << 10;

/// What a client wants, in the first byte that it sends.
const STREAM: u8 = b's';
const ECHO: u8 = b'e';

/// What passed in a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Gigabits of one stream.
    pub(crate) gigabits: f64,
    /// Questions that were answered on one connection, one after the other.
    pub(crate) answers: f64,
    /// Connections that were made to ask one question each, one after the other.
    pub(crate) connections: f64,
}

/// Serves clients until this process ends, in the calling thread's network namespace.
pub(crate) fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || answer(client));
        }
    });
}

/// Gives a client what it wants, until it has enough.
fn answer(mut client: TcpStream) {
    let _ = client.set_nodelay(true);
    let mut wish = [0];
    while client.read_exact(&mut wish).is_ok() {
        let done = match wish[0] {
            STREAM => {
                let block = vec![0; BLOCK];
                while client.write_all(&block).is_ok() {}
                return;
            }
            _ => client.write_all(&wish),
        };
        if done.is_err() {
            return;
        }
    }
}

/// Asks the server at `address`, each kind of question for so long.
pub(crate) fn ask(address: SocketAddr, time: Duration) -> Rates {
    let connect = || {
        let client = TcpStream::connect_timeout(&address, DEADLINE).expect("reach the server");
        client.set_nodelay(true).expect("send at once");
        client
    };
    let question = |client: &mut TcpStream| {
        client.write_all(&[ECHO]).expect("ask");
        client.read_exact(&mut [0]).expect("be answered");
    };
    let mut client = connect();
    let answers = count(time, || {
        question(&mut client);
        1
    });
    let connections = count(time, || {
        question(&mut connect());
        1
    });
    let mut stream = connect();
    stream.write_all(&[STREAM]).expect("ask");
    let mut block = vec![0; BLOCK];
    let bytes = count(time, || stream.read(&mut block).expect("read"));
    Rates { gigabits: bytes * 8.0 / 1e9, answers, connections }
}

/// How many come of `work` in a second, if it is repeated for so long.
fn count(time: Duration, mut work: impl FnMut() -> usize) -> f64 {
    let begun = Instant::now();
    let mut sum = 0;
    while begun.elapsed() < time {
        sum += work();
    }
    sum as f64 / begun.elapsed().as_secs_f64()
}
