//! The process that answers names, from its start to its end.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
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

use super::fence;
use super::forward::Forwarder;
use super::line::{Line, listen_at};
use super::serve::{Desk, by_connection, by_datagram};
use super::words::{Asker, Reply, Request};

/// How the process is called, by which it knows what it is.
const NAME: &str = "tared-names";
/// How long it waits for its first manager.
const PATIENCE: Duration = Duration::from_secs(30);

/// If this process was started to answer names, does that, and says how to end; a program that is to
/// be [`Config::name_server`](crate::config::Config::name_server) asks for this before all else.
pub fn run_if_resolver() -> Option<ExitCode> {
    if std::env::args().next()? != NAME {
        return None;
    }
    let run = || {
        let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
        // Where chance comes from is a file on some systems, which has to be open before the fence.
        let _: u8 = rand::random();
        fence::close().map_err(io::Error::other)?;
        serve(listener)
    };
    Some(if run().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts it, as `program` or as a thread of this process. It can be reached at `socket` then.
pub(super) fn start(program: Option<&Path>, socket: &Path) -> io::Result<()> {
    let listener = listen_at(socket)?;
    let Some(program) = program else {
        thread::Builder::new().name("names".to_owned()).spawn(move || serve(listener))?;
        return Ok(());
    };
    let mut child = Command::new(program)
        .arg0(NAME)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(listener)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Whoever starts a process has to hear of its end.
    thread::Builder::new().name("names".to_owned()).spawn(move || child.wait())?;
    Ok(())
}

/// What it knows and does.
struct Answering {
    desk: Arc<Desk>,
    /// What answers at a container's sockets.
    tasks: Mutex<HashMap<String, [JoinHandle<()>; 2]>>,
    handle: Handle,
    /// It may be time to end.
    ended: Notify,
}

/// Answers names until there is nobody who asks.
fn serve(listener: OwnedFd) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let answering = Arc::new(Answering {
        desk: Arc::new(Desk { book: Mutex::default(), forwarder: Forwarder::new() }),
        tasks: Mutex::default(),
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
    });
    Ok(())
}

fn accept(answering: &Arc<Answering>, listener: &OwnedFd) {
    while let Ok(line) = Line::accept(listener) {
        let answering = Arc::clone(answering);
        let listening = thread::Builder::new().name("manager".to_owned()).spawn(move || {
            answering.listen(&line);
            answering.ended.notify_one();
        });
        if listening.is_err() {
            return;
        }
    }
}

impl Answering {
    /// Does what a manager says, until it is gone.
    fn listen(&self, line: &Line) {
        while let Ok(Some((request, sockets))) = line.receive::<Request>() {
            let reply = match request {
                Request::Put(asker) => {
                    if self.put(asker, sockets).is_err() {
                        return;
                    }
                    Reply::Done
                }
                Request::Forget(container) => self.forget(&container),
                Request::List => {
                    Reply::Known(lock(&self.desk.book).containers().cloned().collect())
                }
            };
            let told = line.send(&reply, None);
            if let Reply::Leaving = reply {
                self.ended.notify_one();
            }
            if told.is_err() {
                return;
            }
        }
    }

    fn put(&self, asker: Asker, sockets: Vec<OwnedFd>) -> io::Result<()> {
        let container: Arc<str> = asker.container.as_str().into();
        lock(&self.desk.book).put(asker);
        let Ok([udp, tcp]) = <[OwnedFd; 2]>::try_from(sockets) else { return Ok(()) };
        let _in_runtime = self.handle.enter();
        let (udp, tcp) = (std::net::UdpSocket::from(udp), std::net::TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
        let (desk, name) = (Arc::clone(&self.desk), Arc::clone(&container));
        let datagrams = self.handle.spawn(by_datagram(desk, name, udp));
        let (desk, name) = (Arc::clone(&self.desk), Arc::clone(&container));
        let connections = self.handle.spawn(by_connection(desk, name, tcp));
        let before = lock(&self.tasks).insert(container.to_string(), [datagrams, connections]);
        before.iter().flatten().for_each(JoinHandle::abort);
        Ok(())
    }

    fn forget(&self, container: &str) -> Reply {
        let tasks = lock(&self.tasks).remove(container);
        tasks.iter().flatten().for_each(JoinHandle::abort);
        let mut book = lock(&self.desk.book);
        book.forget(container);
        if book.is_empty() { Reply::Leaving } else { Reply::Done }
    }

    fn is_idle(&self) -> bool {
        lock(&self.desk.book).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
