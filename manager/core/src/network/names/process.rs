//! The process that answers names, from its start to its end.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fence::{self, Rights};
use super::forward::{Forwarder, Upstream};
use super::line::{Line, ends, listen_at};
use super::opener::{self, Opener};
use super::serve::{Client, Desk, by_connection, by_datagram};
use super::words::{Asker, Reply, Request};

/// How the process is called, by which it knows what it is.
const NAME: &str = "tared-names";
/// How the one beside it is called, which opens sockets for it.
const OPENER_NAME: &str = "tared-sockets";
/// How long it waits for its first manager.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long questions may take that are open when another process takes over.
const LAST_ANSWERS: Duration = Duration::from_secs(15);
/// How long to wait after a failure, which may last.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How many containers are listed at once.
const PAGE: usize = 1000;

/// If this process was started to answer names, does that, and says how to end; a program that is to
/// be [`Config::name_server`](crate::config::Config::name_server) asks for this before all else.
pub fn run_if_resolver() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let run = match arguments.next()?.as_str() {
        NAME => run_names(arguments.next().unwrap_or_default()),
        OPENER_NAME => run_opener(),
        _ => return None,
    };
    Some(if run.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_names(program: String) -> io::Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let opener = std::io::stdout().as_fd().try_clone_to_owned()?;
    // Where chance comes from is a file on some systems, which has to be open before the fence.
    let _: u8 = rand::random();
    fence::close(Rights::None).map_err(io::Error::other)?;
    serve(listener, opener, program)
}

fn run_opener() -> io::Result<()> {
    let line = std::io::stdin().as_fd().try_clone_to_owned()?;
    fence::close(Rights::Namespaces).map_err(io::Error::other)?;
    opener::serve(&Line::of(line));
    Ok(())
}

/// Says which program this is: another one has another name, also at the same place.
pub(super) fn identity(program: Option<&Path>) -> io::Result<String> {
    let Some(program) = program else { return Ok(String::new()) };
    let said =
        |it: Metadata| format!("{}:{}:{}:{}", it.dev(), it.ino(), it.mtime(), it.mtime_nsec());
    std::fs::metadata(program).map(said)
}

/// Starts it, as `program` or as a thread of this process. It can be reached at `socket` then.
pub(super) fn start(program: Option<&Path>, socket: &Path) -> io::Result<()> {
    let identity = identity(program)?;
    let (asking, opening) = ends()?;
    let listener = listen_at(socket)?;
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let Some(program) = program else {
        named("names").spawn(move || serve(listener, asking, identity))?;
        named("sockets").spawn(move || opener::serve(&Line::of(opening)))?;
        return Ok(());
    };
    let start = |name: &str, argument: &[String], input: OwnedFd, output: Stdio| {
        let mut child = Command::new(program)
            .arg0(name)
            .args(argument)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()?;
        // Whoever starts a process has to hear of its end.
        named("names").spawn(move || child.wait()).map(drop)
    };
    start(OPENER_NAME, &[], opening, Stdio::null())?;
    start(NAME, &[identity], listener, asking.into())
}

/// What it knows and does.
struct Answering {
    /// The program that this is.
    program: String,
    desk: Arc<Desk>,
    /// By container.
    served: Mutex<HashMap<String, Served>>,
    handle: Handle,
    /// It may be time to end.
    ended: Notify,
}

/// What answers at a container's sockets.
struct Served {
    udp: Arc<UdpSocket>,
    tcp: Arc<TcpListener>,
    tasks: [JoinHandle<()>; 2],
}

/// Answers names until there is nobody who asks.
fn serve(listener: OwnedFd, opener: OwnedFd, program: String) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let forwarder = Forwarder::new(Opener::new(Line::of(opener).impatient()?));
    let answering = Arc::new(Answering {
        program,
        desk: Arc::new(Desk { book: Mutex::default(), forwarder }),
        served: Mutex::default(),
        handle: runtime.handle().clone(),
        ended: Notify::new(),
    });
    let accepting = Arc::clone(&answering);
    thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || accept(&accepting, &listener))?;
    runtime.block_on(async {
        // A manager that dies right after the start never comes.
        let _ = timeout(PATIENCE, answering.ended.notified()).await;
        while !answering.is_idle() {
            answering.ended.notified().await;
        }
        answering.desk.forwarder.finish(LAST_ANSWERS).await;
    });
    Ok(())
}

fn accept(answering: &Arc<Answering>, listener: &OwnedFd) {
    loop {
        let Ok(line) = Line::accept(listener) else {
            thread::sleep(AFTER_FAILURE);
            continue;
        };
        let answering = Arc::clone(answering);
        // A manager whose line is dropped comes again.
        let _ = thread::Builder::new().name("manager".to_owned()).spawn(move || {
            answering.listen(&line);
            answering.ended.notify_one();
        });
    }
}

impl Answering {
    /// Does what a manager says, until it is gone.
    fn listen(&self, line: &Line) {
        while let Ok(Some((request, with))) = line.receive::<Request>() {
            let Ok((reply, sockets)) = self.act(request, with) else { return };
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            let told = line.send(&reply, &sockets);
            if let Reply::Leaving = reply {
                self.ended.notify_one();
            }
            if told.is_err() {
                return;
            }
        }
    }

    fn act(&self, request: Request, with: Vec<OwnedFd>) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let reply = match request {
            Request::Hello => Reply::Me(self.program.clone()),
            Request::Put(asker) => {
                self.put(asker, with)?;
                Reply::Done
            }
            Request::Forget(container) => self.forget(&container),
            Request::HandOver(container) => {
                return Ok((Reply::Handed, self.hand_over(&container)?));
            }
            Request::List(after) => {
                let book = lock(&self.desk.book);
                Reply::Known(book.containers_after(&after).take(PAGE).cloned().collect())
            }
        };
        Ok((reply, Vec::new()))
    }

    fn put(&self, asker: Asker, with: Vec<OwnedFd>) -> io::Result<()> {
        let container = asker.container.clone();
        lock(&self.desk.book).put(asker);
        let mut with = with.into_iter();
        let (Some(udp), Some(tcp)) = (with.next(), with.next()) else { return Ok(()) };
        let (udp, tcp) = (std::net::UdpSocket::from(udp), std::net::TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let _in_runtime = self.handle.enter();
        let (udp, tcp) =
            (Arc::new(UdpSocket::from_std(udp)?), Arc::new(TcpListener::from_std(tcp)?));
        let client = Arc::new(Client {
            container: container.clone(),
            namespace: with.next().map(Arc::new),
            upstream: Upstream::new(),
        });
        let (desk, asks) = (Arc::clone(&self.desk), Arc::clone(&client));
        let datagrams = self.handle.spawn(by_datagram(desk, asks, Arc::clone(&udp)));
        let connections =
            self.handle.spawn(by_connection(Arc::clone(&self.desk), client, Arc::clone(&tcp)));
        let served = Served { udp, tcp, tasks: [datagrams, connections] };
        if let Some(before) = lock(&self.served).insert(container, served) {
            before.tasks.iter().for_each(JoinHandle::abort);
        }
        Ok(())
    }

    fn forget(&self, container: &str) -> Reply {
        if let Some(served) = lock(&self.served).remove(container) {
            served.tasks.iter().for_each(JoinHandle::abort);
        }
        lock(&self.desk.book).forget(container);
        if self.is_idle() { Reply::Leaving } else { Reply::Done }
    }

    /// Reads nothing more of what a container asks, so that all of it is there for another process.
    /// What has been read already is answered yet, so it stays in the book.
    fn hand_over(&self, container: &str) -> io::Result<Vec<OwnedFd>> {
        let Some(Served { udp, tcp, tasks }) = lock(&self.served).remove(container) else {
            return Ok(Vec::new());
        };
        for task in tasks {
            task.abort();
            let _ = self.handle.block_on(task);
        }
        Ok(vec![udp.as_fd().try_clone_to_owned()?, tcp.as_fd().try_clone_to_owned()?])
    }

    fn is_idle(&self) -> bool {
        lock(&self.served).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
