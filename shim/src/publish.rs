//! Tells containerd what happens to tasks, in order, for as long as it listens.
//!
//! Events are news, not the truth: whoever missed some asks for the state instead. So a containerd
//! that is away for too long misses them, and nothing waits for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prost::Message;
use prost_types::{Any, Timestamp};
use tare_proto::containerd::events as wire;
use tare_proto::containerd::services::events::v1::ForwardRequest;
use tare_proto::containerd::types::{Envelope, Mount};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::diagnostics::warn;
use crate::io::StdioRequest;
use crate::reaper::Exit;
use tare_proto::ttrpc::Client;

/// containerd's service that takes events from shims.
const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";

/// How many events may wait.
const QUEUE: usize = 256;
/// How often one is tried to be delivered, and the pause after a failure.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A container was created.
    Create {
        /// Its id.
        container_id: String,
        /// Its bundle.
        bundle: PathBuf,
        /// What was mounted for it.
        rootfs: Vec<Mount>,
        /// Its streams.
        stdio: StdioRequest,
        /// The files that it is made of at its start.
        checkpoint: Option<PathBuf>,
        /// Its init.
        pid: u32,
    },
    /// Its init was let go.
    Start { container_id: String, pid: u32 },
    /// A process was described for it.
    ExecAdded { container_id: String, exec_id: String },
    /// And started.
    ExecStarted { container_id: String, exec_id: String, pid: u32 },
    /// It was frozen.
    Paused { container_id: String },
    /// It goes on.
    Resumed { container_id: String },
    /// Its processes were written to files.
    Checkpointed { container_id: String, checkpoint: String },
    /// The out-of-memory killer struck.
    OutOfMemory { container_id: String },
    /// A process ended: an exec (`id` is its), or the init (`id` is the container's).
    Exit { container_id: String, id: String, pid: u32, exit: Exit },
    /// The container was deleted.
    Delete { container_id: String, pid: u32, exit: Exit },
}

/// The way for events out of this shim.
pub(crate) struct Publisher {
    /// `None` where nobody wants to know.
    queue: Option<mpsc::Sender<Envelope>>,
    namespace: String,
}

impl Publisher {
    /// Publishes to the containerd at `address`, a socket's path; to nobody where it is empty.
    pub(crate) fn begin(address: &str, namespace: &str) -> Self {
        let queue = (!address.is_empty()).then(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(forward(events_socket(address), receiver));
            sender
        });
        Publisher { queue, namespace: namespace.to_owned() }
    }

    /// Sends an event on its way.
    pub(crate) fn publish(&self, event: Event) {
        let Some(queue) = &self.queue else { return };
        let (topic, event) = encode(event);
        let envelope = Envelope {
            timestamp: Some(Timestamp::from(SystemTime::now())),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(event),
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(envelope) {
            warn(format_args!("event {topic} is lost: too many are waiting"));
        }
    }
}

async fn forward(socket: PathBuf, mut queue: mpsc::Receiver<Envelope>) {
    while let Some(envelope) = queue.recv().await {
        for attempt in 1..=ATTEMPTS {
            match forward_one(&socket, envelope.clone()).await {
                Ok(()) => break,
                // Whoever is there isn't interested, and won't be.
                Err(status) if status.code() == Code::Unimplemented => return,
                Err(status) if attempt == ATTEMPTS => {
                    warn(format_args!("event {} is lost: {status}", envelope.topic));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Each event has a connection of its own: there are few, and an open one costs memory, here and
/// there.
async fn forward_one(socket: &Path, envelope: Envelope) -> Result<(), Status> {
    let client = Client::connect(socket).await.map_err(|error| {
        Status::unavailable(format!("connect to {}: {error}", socket.display()))
    })?;
    let request = ForwardRequest { envelope: Some(envelope) };
    client.open(SERVICE, "Forward", &request).await?.only().await
}

/// Where the containerd at `address` takes shims' events: as it says, or where it does if nobody has
/// told it otherwise.
fn events_socket(address: &str) -> PathBuf {
    let told = std::env::var_os("TTRPC_ADDRESS").filter(|address| !address.is_empty());
    told.map_or_else(|| PathBuf::from(format!("{address}.ttrpc")), PathBuf::from)
}

fn encode(event: Event) -> (&'static str, Any) {
    match event {
        Event::Create { container_id, bundle, rootfs, stdio, checkpoint, pid } => any(
            "/tasks/create",
            "TaskCreate",
            &wire::TaskCreate {
                container_id,
                bundle: bundle.display().to_string(),
                rootfs,
                io: Some(wire::TaskIo {
                    stdin: stdio.stdin,
                    stdout: stdio.stdout,
                    stderr: stdio.stderr,
                    terminal: stdio.terminal,
                }),
                checkpoint: checkpoint.map_or_else(String::new, |path| path.display().to_string()),
                pid,
            },
        ),
        Event::Start { container_id, pid } => {
            any("/tasks/start", "TaskStart", &wire::TaskStart { container_id, pid })
        }
        Event::ExecAdded { container_id, exec_id } => any(
            "/tasks/exec-added",
            "TaskExecAdded",
            &wire::TaskExecAdded { container_id, exec_id },
        ),
        Event::ExecStarted { container_id, exec_id, pid } => any(
            "/tasks/exec-started",
            "TaskExecStarted",
            &wire::TaskExecStarted { container_id, exec_id, pid },
        ),
        Event::Paused { container_id } => {
            any("/tasks/paused", "TaskPaused", &wire::TaskPaused { container_id })
        }
        Event::Resumed { container_id } => {
            any("/tasks/resumed", "TaskResumed", &wire::TaskResumed { container_id })
        }
        Event::Checkpointed { container_id, checkpoint } => any(
            "/tasks/checkpointed",
            "TaskCheckpointed",
            &wire::TaskCheckpointed { container_id, checkpoint },
        ),
        Event::OutOfMemory { container_id } => {
            any("/tasks/oom", "TaskOOM", &wire::TaskOom { container_id })
        }
        Event::Exit { container_id, id, pid, exit } => any(
            "/tasks/exit",
            "TaskExit",
            &wire::TaskExit {
                container_id,
                id,
                pid,
                exit_status: exit.status,
                exited_at: Some(Timestamp::from(exit.at)),
            },
        ),
        Event::Delete { container_id, pid, exit } => any(
            "/tasks/delete",
            "TaskDelete",
            &wire::TaskDelete {
                container_id,
                pid,
                exit_status: exit.status,
                exited_at: Some(Timestamp::from(exit.at)),
                id: String::new(),
            },
        ),
    }
}

fn any(topic: &'static str, name: &str, event: &impl Message) -> (&'static str, Any) {
    let type_url = format!("containerd.events.{name}");
    (topic, Any { type_url, value: event.encode_to_vec() })
}
