//! The process that answers names: what it is told, and when it ends.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::forward::{Forwarder, Upstream};
use super::line::Line;
use super::opener::Opener;
use super::serve::{Client, Desk, by_connection, by_datagram};
use super::words::{Asker, Reply, Request};

/// How long it waits for its first manager.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long questions may take that are open when another process takes over.
const LAST_ANSWERS: Duration = Duration::from_secs(15);
/// How long to wait after a failure, which may last.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How many containers are listed at once.
const PAGE: usize = 1000;

/// What it knows and does.
struct Answering {
    /// The program that this is.
    program: String,
    desk: Arc<Desk>,
    /// By container.
    served: Mutex<HashMap<String, Served>>,
    handle: Handle,
    /// Those that are told of when it can't do all any more.
    managers: Mutex<Vec<Weak<Line>>>,
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
pub(super) fn serve(listener: OwnedFd, opener: OwnedFd, program: String) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let opener = Line::of(opener).impatient()?;
    let is_alone = opener.end()?;
    let forwarder = Forwarder::new(Opener::new(opener));
    let answering = Arc::new(Answering {
        program,
        desk: Arc::new(Desk { book: Mutex::default(), forwarder }),
        served: Mutex::default(),
        handle: runtime.handle().clone(),
        managers: Mutex::default(),
        ended: Notify::new(),
    });
    let beside = Arc::clone(&answering);
    thread::Builder::new().name("beside".to_owned()).spawn(move || {
        is_alone();
        // They come again, and find that another is needed.
        lock(&beside.managers).iter().filter_map(Weak::upgrade).for_each(|line| line.hang_up());
    })?;
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
        let (answering, line) = (Arc::clone(answering), Arc::new(line));
        let mut managers = lock(&answering.managers);
        managers.retain(|manager| manager.strong_count() > 0);
        managers.push(Arc::downgrade(&line));
        drop(managers);
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
            Request::Hello => match self.desk.forwarder.can_go_inside() {
                true => Reply::Me(self.program.clone()),
                false => Reply::Alone,
            },
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
