//! A client's ssh agents, as sockets of ours: each connection to one is passed on as a call of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use tare_proto::builds::moby::sshforward::v1::ssh_client::SshClient;
use tare_proto::builds::moby::sshforward::v1::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use super::Session;
use super::connection::{LARGEST, origin};
use super::failure::failed;
use super::metadata;
use crate::error::{Error, Result};

/// The agent that is meant when none is named.
pub const DEFAULT: &str = "default";

/// Connections to a socket at the same time; further ones wait.
const CONNECTIONS: usize = 32;
/// Bytes that are passed on at once.
const PIECE: usize = 32 << 10;

/// Who may use a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Its owner, as a user and group of the host.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The mode, without the type.
    pub mode: u32,
}

/// A socket on which a client's agent answers. Dropped, it is gone.
pub struct AgentSocket {
    directory: PathBuf,
    socket: OwnedFd,
    served: JoinHandle<()>,
}

/// Whether the client has the agent `id`.
///
/// # Errors
/// If the client fails, or goes.
pub async fn has_agent(session: &Session, id: &str) -> Result<bool> {
    let mut client = SshClient::with_origin(session.link(), origin());
    match client.check_agent(CheckAgentRequest { id: id.to_owned() }).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::Unimplemented => Ok(false),
        // Clients say that they have no such key as an error without a code.
        Err(status) if status.code() == Code::Unknown && !session.is_lost() => {
            tracing::debug!("ssh agent {id}: {}", status.message());
            Ok(false)
        }
        Err(status) => Err(failed(session, &status)),
    }
}

/// A socket for the agent `id`, in a new directory below `place`.
///
/// # Errors
/// If it can't be made.
pub fn agent(session: &Session, id: &str, access: Access, place: &Path) -> Result<AgentSocket> {
    let directory = new_directory(place)?;
    let made = listen(&directory, access);
    let (listener, socket) = made.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    let served = tokio::spawn(serve(listener, session.clone(), id.to_owned()));
    Ok(AgentSocket { directory, socket, served })
}

impl AgentSocket {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// The socket itself, as a file.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.served.abort();
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!("remove {}: {error}", self.directory.display());
        }
    }
}

const NAME: &str = "agent";

/// A directory that nobody else has.
fn new_directory(place: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let making = |path: &Path| format!("make the directory {}", path.display());
    std::fs::create_dir_all(place).map_err(|error| Error::io(making(place), error))?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = place.join(format!("ssh-{}-{number}", std::process::id()));
    let made = std::fs::DirBuilder::new().mode(0o711).create(&directory);
    made.map_err(|error| Error::io(making(&directory), error))?;
    Ok(directory)
}

fn listen(directory: &Path, access: Access) -> Result<(UnixListener, OwnedFd)> {
    let failed = |error: std::io::Error| {
        Error::io(format_args!("make a socket in {}", directory.display()), error)
    };
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, directory, flags, Mode::empty());
    let opened = opened.map_err(|error| failed(error.into()))?;
    // Addresses of sockets are short, paths needn't be.
    use std::os::fd::AsRawFd;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd()));
    let listener = UnixListener::bind(&short).map_err(failed)?;
    let permissions = std::fs::Permissions::from_mode(access.mode & 0o777);
    std::fs::set_permissions(directory.join(NAME), permissions).map_err(failed)?;
    std::os::unix::fs::chown(directory.join(NAME), Some(access.uid), Some(access.gid))
        .map_err(failed)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = rustix::fs::openat(&opened, NAME, flags, Mode::empty());
    Ok((listener, socket.map_err(|error| failed(error.into()))?))
}

async fn serve(listener: UnixListener, session: Session, id: String) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // It can't fail: nobody closes it.
        let place = Arc::clone(&places).acquire_owned().await;
        let connection = tokio::select! {
            accepted = listener.accept() => accepted,
            () = session.lost() => return,
        };
        let Ok((connection, _)) = connection else { return };
        let (session, id) = (session.clone(), id.clone());
        connections.spawn(async move {
            if let Err(error) = forward(connection, &session, &id).await {
                tracing::debug!("a connection to the ssh agent {id}: {error}");
            }
            drop(place);
        });
    }
}

/// Passes one connection on until both ends have said all.
async fn forward(connection: UnixStream, session: &Session, id: &str) -> Result<()> {
    let (mut from, mut to) = connection.into_split();
    let (pieces, outgoing) = mpsc::channel(2);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    metadata::set(&mut request, "buildkit.ssh.id", id)?;
    let asking = async {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let data = bytes::Bytes::copy_from_slice(&piece[..count]);
            if pieces.send(BytesMessage { data }).await.is_err() {
                break;
            }
        }
        drop(pieces);
        std::future::pending().await
    };
    let answering = async {
        let mut client =
            SshClient::with_origin(session.link(), origin()).max_decoding_message_size(LARGEST);
        let failed = |status| failed(session, &status);
        let mut answers = client.forward_agent(request).await.map_err(failed)?.into_inner();
        while let Some(piece) = answers.message().await.map_err(failed)? {
            if to.write_all(&piece.data).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        done = answering => done,
        () = asking => Ok(()),
    }
}
