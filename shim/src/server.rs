//! The process that stays: serves the Task API, the Streams and the Supervision service on a unix
//! socket.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::{RecvFlags, recv};
use tare_proto::containerd::task::v3::task_server::{SERVICE_NAME as TASK, TaskServer};
use tare_proto::tare::shim::v1::streams_server::{SERVICE_NAME as STREAMS, StreamsServer};
use tare_proto::tare::shim::v1::supervision_server::{
    SERVICE_NAME as SUPERVISION, SupervisionServer,
};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

use crate::diagnostics::{debug, warn};
use crate::error::{Context, Result};
use crate::linux;
use crate::memory;
use crate::ports::Ports;
use crate::publish::Publisher;
use crate::reaper::Reaper;
use crate::service::{Connection, StreamsService, SupervisionService, TaskService};
use crate::task::{Environment, Tasks};
use crate::ttrpc;

/// Calls that one client may have open at a time: waits and attachments stay open for long.
const MAX_STREAMS: u32 = 4096;
/// Bytes that may be on their way in one stream; backlogs belong into the hub, not here.
const STREAM_BUFFER: u32 = 64 << 10;
/// How many sockets and pipes are looked at in one turn of the event loop.
const MAX_EVENTS: usize = 32;
/// The longest that answers get to leave after a Shutdown, and the wait before another connection
/// is taken when one couldn't be.
const GRACE: Duration = Duration::from_millis(50);

/// What a server begins with.
pub(crate) struct Config {
    /// The containers' namespace.
    pub(crate) namespace: String,
    /// Where events go; empty for nowhere.
    pub(crate) events_address: String,
    /// The socket, listening already.
    pub(crate) listener: StdListener,
    /// Its path.
    pub(crate) socket: PathBuf,
    /// Ports held for the container.
    pub(crate) reservations: Vec<OwnedFd>,
}

/// Serves until a Shutdown; calls `ready` once it does.
pub(crate) fn run(config: Config, ready: impl FnOnce()) -> Result<()> {
    linux::use_one_heap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The memory for the usual thousand would be there for good.
        .max_io_events_per_tick(MAX_EVENTS)
        .build()
        .context(|| "start the event loop".to_owned())?;
    let socket = config.socket.clone();
    let served = runtime.block_on(serve(config, ready));
    // Nobody must find a socket that nobody serves.
    let _ = std::fs::remove_file(socket);
    served
}

async fn serve(config: Config, ready: impl FnOnce()) -> Result<()> {
    let what = || format!("serve {}", config.socket.display());
    let reaper = Reaper::begin()?;
    config.listener.set_nonblocking(true).context(what)?;
    let listener = UnixListener::from_std(config.listener).context(what)?;
    let publisher = Publisher::begin(&config.events_address, &config.namespace);
    let environment = Environment {
        namespace: config.namespace,
        socket: config.socket.clone(),
        reaper,
        publisher,
        consoles: AtomicU64::new(0),
    };
    let tasks = Arc::new(Tasks::new(Arc::new(environment), Ports::hold(config.reservations)));
    let shutdown = watch::Sender::new(false);
    let mut ending = Ending(shutdown.subscribe());
    let task = TaskService::new(Arc::clone(&tasks), shutdown);
    let supervision = SupervisionService::new(Arc::clone(&tasks));
    let services = Services {
        task: TaskServer::new(task.clone()),
        streams: StreamsServer::new(StreamsService::new(tasks)),
        supervision: SupervisionServer::new(supervision.clone()),
        plain: ttrpc::Services { task, supervision },
        ending: ending.clone(),
    };
    let mut connections = JoinSet::new();
    tokio::spawn(memory::give_back());
    ready();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    while connections.try_join_next().is_some() {}
                    connections.spawn(services.clone().serve(stream));
                }
                Err(error) => {
                    // Out of descriptors, say: others may be closed soon.
                    warn(format_args!("accept a connection: {error}"));
                    tokio::time::sleep(GRACE).await;
                }
            },
            () = ending.told() => break,
        }
    }
    debug(format_args!("shutting down"));
    let answered = async { while connections.join_next().await.is_some() {} };
    // A call that isn't answered by now is one that waits for something that won't come.
    let _ = tokio::time::timeout(GRACE, answered).await;
    Ok(())
}

/// Tells of a Shutdown.
#[derive(Clone)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Ending {
    /// Waits for one.
    pub(crate) async fn told(&mut self) {
        // Who tells is there for as long as anything is served.
        let _ = self.0.wait_for(|ending| *ending).await;
    }
}

/// What a connection can call.
#[derive(Clone)]
struct Services {
    /// By ttrpc.
    plain: ttrpc::Services,
    /// By gRPC, the same and streams.
    task: TaskServer<TaskService>,
    streams: StreamsServer<StreamsService>,
    supervision: SupervisionServer<SupervisionService>,
    ending: Ending,
}

impl Services {
    /// Serves one connection until its client closes it, or all its calls are answered after a
    /// Shutdown.
    async fn serve(mut self, stream: UnixStream) {
        let first = tokio::select! {
            first = first_byte(&stream) => first,
            () = self.ending.told() => return,
        };
        match first {
            Ok(Some(byte)) if ttrpc::is_spoken(byte) => {
                ttrpc::serve(stream, self.plain, self.ending).await;
            }
            Ok(Some(_)) => self.serve_grpc(stream).await,
            // Someone only looked whether we are here.
            Ok(None) | Err(_) => {}
        }
    }

    async fn serve_grpc(self, stream: UnixStream) {
        let mut ending = self.ending.clone();
        let connection = Connection::default();
        let service = service_fn(|mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            self.clone().answer(request)
        });
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_BUFFER)
            .initial_connection_window_size(4 * STREAM_BUFFER)
            .max_send_buf_size(STREAM_BUFFER as usize)
            // The one client is our manager. The limits that protect servers from strangers would
            // cut off all of its calls when it cancels many at once.
            .max_pending_accept_reset_streams(MAX_STREAMS as usize)
            .max_local_error_reset_streams(None)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = ending.told() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        connection.set_lost();
        if let Err(error) = served {
            debug(format_args!("a connection ended: {error}"));
        }
    }

    async fn answer(
        mut self,
        request: http::Request<Incoming>,
    ) -> std::result::Result<http::Response<Body>, Infallible> {
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        let answer = match service.unwrap_or_default() {
            TASK => self.task.call(request).await,
            STREAMS => self.streams.call(request).await,
            SUPERVISION => self.supervision.call(request).await,
            other => Ok(Status::unimplemented(format!("unknown service {other}")).into_http()),
        };
        memory::is_spare();
        answer
    }
}

/// Waits for the first byte of a connection, and leaves it there.
async fn first_byte(stream: &UnixStream) -> std::io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        stream.readable().await?;
        let peeked = stream
            .try_io(Interest::READABLE, || Ok(recv(stream, byte.as_mut_slice(), RecvFlags::PEEK)?));
        match peeked {
            Ok((0, _)) => return Ok(None),
            Ok(_) => return Ok(byte.first().copied()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
