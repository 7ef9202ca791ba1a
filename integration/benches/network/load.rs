//! A server, and clients that ask it for as much as they get. This program is both, in containers
//! too, so that what containers are given (filters of system calls, cgroups) counts.
//!
//! Whether the scheduler has both share a processor decides more than all else about what passes:
//! who is woken on the same one needs no other processor to wake up. So the server stays on one
//! processor, and it is said where clients are. Where both share it, the processor's time that a
//! question takes is what the way costs, and others' work hardly shows in it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use rustix::net::sockopt::set_tcp_congestion;
use tare_integration::wait::DEADLINE;

/// The words after which this program is a server or a client, and nothing else.
pub(crate) const SERVE: &str = "serve";
pub(crate) const ASK: &str = "ask";

/// How much is sent at once.
const BLOCK: usize = 128 << 10;

/// How many clients can be served at a time.
const SERVERS: usize = 4;

/// How senders find their pace: by losses, of which there are none here. Others measure time, and
/// find paces of their own on a machine whose processors are shared.
const CONGESTION_CONTROL: &str = "reno";

/// What a client wants, in a byte that it sends.
const STREAM: u8 = b's';
const ECHO: u8 = b'e';
const TIME: u8 = b't';

/// What is asked for, in the order of [`Figures`].
pub(crate) const KINDS: [Kind; 3] = [
    Kind { name: "questions on a connection", each: "question", unit: "per second" },
    Kind { name: "connections, of a question each", each: "connection", unit: "per second" },
    Kind { name: "a stream", each: "gigabit", unit: "gigabits per second" },
];

/// Something that is asked for, again and again.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) each: &'static str,
    pub(crate) unit: &'static str,
}

/// What passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// In a second, with the client on another processor than the server's.
    pub(crate) rate: f64,
    /// Microseconds of the processor for each, with the client on the same one.
    pub(crate) cost: f64,
}

/// One for each kind.
pub(crate) type Figures = [Figure; KINDS.len()];

/// Where a client is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// On the server's processor.
    Same,
    /// On another processor, if there is one.
    Other,
}

/// What this program does if it is told to be a server or a client; whether it was.
pub(crate) fn is_done() -> bool {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [SERVE, port] => serve(port.parse().expect("a port")),
        [ASK, address, millis] => {
            let time = Duration::from_millis(millis.parse().expect("milliseconds"));
            print!("{}", text(&ask(address.parse().expect("an address"), time)));
        }
        _ => return false,
    }
    true
}

/// Serves clients until this process is killed.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
    set_tcp_congestion(listener.as_fd(), CONGESTION_CONTROL).expect("choose how to send");
    go_to(Place::Same);
    thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| listener.incoming().flatten().for_each(answer));
        }
    });
}

/// Gives a client what it wants, until it has enough.
fn answer(mut client: TcpStream) {
    let _ = client.set_nodelay(true);
    let block = vec![0; BLOCK];
    let mut wish = [0];
    while client.read_exact(&mut wish).is_ok() {
        let done = match wish[0] {
            STREAM => {
                while client.write_all(&block).is_ok() {}
                return;
            }
            TIME => client.write_all(&used().to_be_bytes()),
            _ => client.write_all(&wish),
        };
        if done.is_err() {
            return;
        }
    }
}

/// Asks the server at `address`, each kind of question for so long, from each place; from the
/// calling thread's network namespace.
pub(crate) fn ask(address: SocketAddr, time: Duration) -> Figures {
    let from = |place| {
        let asking = thread::spawn(move || {
            go_to(place);
            ask_from_here(address, time)
        });
        asking.join().expect("it is answered")
    };
    let (other, same) = (from(Place::Other), from(Place::Same));
    std::array::from_fn(|kind| Figure { rate: other[kind].rate, cost: same[kind].cost })
}

fn ask_from_here(address: SocketAddr, time: Duration) -> Figures {
    let connect = || {
        let client = TcpStream::connect_timeout(&address, DEADLINE).expect("reach the server");
        client.set_nodelay(true).expect("send at once");
        client
    };
    let question = |client: &mut TcpStream| {
        client.write_all(&[ECHO]).expect("ask");
        client.read_exact(&mut [0]).expect("be answered");
        1.0
    };
    let (mut clock, mut client) = (connect(), connect());
    let answers = count(&mut clock, time, || question(&mut client));
    let connections = count(&mut clock, time, || question(&mut connect()));
    client.write_all(&[STREAM]).expect("ask");
    let mut block = vec![0; BLOCK];
    let gigabits =
        count(&mut clock, time, || client.read(&mut block).expect("read") as f64 * 8.0 / 1e9);
    [answers, connections, gigabits]
}

/// How many come of `work`, if it is repeated for so long. The server tells the time it has used.
fn count(server: &mut TcpStream, time: Duration, mut work: impl FnMut() -> f64) -> Figure {
    let mut both_used = || {
        let mut answer = [0; size_of::<i64>()];
        server.write_all(&[TIME]).expect("ask for the time");
        server.read_exact(&mut answer).expect("be told the time");
        used() + i64::from_be_bytes(answer)
    };
    let (used, begun) = (both_used(), Instant::now());
    let mut sum = 0.0;
    while begun.elapsed() < time {
        sum += work();
    }
    let took = begun.elapsed();
    let used = both_used() - used;
    Figure { rate: sum / took.as_secs_f64(), cost: used as f64 / sum }
}

/// The microseconds of processors that this process has used, and the kernel for it meanwhile.
fn used() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("ask for the time used");
    (usage.user_time() + usage.system_time()).num_microseconds()
}

/// Puts the calling thread on the processor of this place, with the threads that it starts.
fn go_to(place: Place) {
    let all = sched_getaffinity(Pid::this()).expect("ask for the processors");
    let mut ours = (0..CpuSet::count()).filter(|at| all.is_set(*at).unwrap_or(false));
    let found = match place {
        Place::Same => ours.next(),
        Place::Other => ours.next_back(),
    };
    let mut only = CpuSet::new();
    only.set(found.expect("there is a processor")).expect("it has a number");
    sched_setaffinity(Pid::from_raw(0), &only).expect("choose a processor");
}

/// As [`figures`] reads them.
fn text(figures: &Figures) -> String {
    figures.iter().fold(String::new(), |mut text, figure| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{} {}", figure.rate, figure.cost);
        text
    })
}

/// What a client has said.
pub(crate) fn figures(text: &str) -> Figures {
    let number = |word: &str| word.parse().expect("a number");
    let figures: Vec<_> = text
        .lines()
        .map(|line| line.split_once(' ').expect("two numbers"))
        .map(|(rate, cost)| Figure { rate: number(rate), cost: number(cost) })
        .collect();
    figures.try_into().expect("one for each kind")
}
