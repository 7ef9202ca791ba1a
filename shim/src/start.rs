//! The `start` action: leaves a server behind, and tells where it is.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use serde::Serialize;

use crate::address::{make_directory, socket_path};
use crate::args::Flags;
use crate::diagnostics::enable_debug;
use crate::error::{Context, Error, Result};
use crate::linux::{Fork, fork};
use crate::scheduling::{be_killed_before, keep_core_to_itself};
use crate::server;
use crate::task::Spec;
use crate::{noted, oom};

/// containerd's way of learning where a shim is and what it speaks.
#[derive(Serialize)]
struct Bootstrap {
    version: u32,
    address: String,
    protocol: &'static str,
}

/// The newest shim protocol there is.
const PROTOCOL_VERSION: u32 = 3;

/// What to print for the manager that called.
///
/// containerd is told to speak ttrpc: its gRPC client (2.1 and later) takes a shim for dead before
/// the first call. Before 1.7 it wants the address alone; from then on it says which versions it
/// knows. Anyone else speaks gRPC.
fn bootstrap(socket: &Path) -> Result<String> {
    let parameters = if !is_containerd() {
        // A bare path: where the protocol is gRPC, `unix://` is the reader's to put before it.
        let address = socket.display().to_string();
        Bootstrap { version: PROTOCOL_VERSION, address, protocol: "grpc" }
    } else {
        let address = uri(socket);
        let Some(newest) = variable("MAX_SHIM_VERSION") else { return Ok(address) };
        let newest = newest.parse().unwrap_or(PROTOCOL_VERSION);
        Bootstrap { version: newest.min(PROTOCOL_VERSION), address, protocol: "ttrpc" }
    };
    serde_json::to_string(&parameters).context(|| "write the address".to_owned())
}

/// Starts a server for the bundle, which is the working directory unless the flags name another,
/// and returns what to print when it serves. In the server's process this returns only when the server ends, with nothing to print.
pub(crate) fn start(flags: &Flags, reservations: Vec<OwnedFd>) -> Result<Option<String>> {
    let bundle = match &flags.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().context(|| "find the working directory".to_owned())?,
    };
    // Containers of one pod have one shim: the first one's.
    let spec = Spec::read(&bundle);
    let socket = socket_path(flags, spec.group().unwrap_or(&flags.id));
    let printed = bootstrap(&socket)?;
    if is_containerd() {
        note_address(&bundle, &socket)?;
    }
    let Some(listener) = listen(&socket)? else {
        return Ok(Some(printed));
    };
    let what = || "start the server".to_owned();
    let manager = rustix::process::getppid();
    let (ready, server_is_ready) = pipe_with(PipeFlags::CLOEXEC).context(what)?;
    match fork().context(what)? {
        Fork::Parent => {
            drop((server_is_ready, listener, reservations));
            wait_for_server(ready)?;
            Ok(Some(printed))
        }
        Fork::Child => {
            drop(ready);
            let mut answer = File::from(server_is_ready);
            let config = server::Config {
                namespace: flags.namespace.clone(),
                events_address: flags.address.clone(),
                listener,
                socket,
                reservations,
            };
            if flags.debug {
                enable_debug();
            }
            let prepared = noted::note(&bundle).and_then(|()| detach(&bundle));
            if let Err(error) = prepared.and_then(|()| adapt(manager)) {
                let _ = answer.write_all(error.to_string().as_bytes());
                return Err(error);
            }
            server::run(config, move || drop(answer.write_all(READY)))?;
            Ok(None)
        }
    }
}

/// Where containerd 1.x looks for its shims after it was away. From 2.0 on it notes that itself.
fn note_address(bundle: &Path, socket: &Path) -> Result<()> {
    let path = bundle.join("address");
    std::fs::write(&path, uri(socket)).context(|| format!("write {}", path.display()))
}

fn uri(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// What the server says when it serves; anything else is what went wrong.
const READY: &[u8] = b"\n";

fn wait_for_server(ready: OwnedFd) -> Result<()> {
    let mut answer = Vec::new();
    File::from(ready)
        .read_to_end(&mut answer)
        .context(|| "wait for the server to be ready".to_owned())?;
    if answer == READY {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&answer);
    let why = if why.is_empty() { "it ended at once; see the bundle's log" } else { &why };
    Err(Error::unknown(format!("start the server: {why}")))
}

/// Makes the socket; `None` where a server answers on it already.
fn listen(socket: &Path) -> Result<Option<UnixListener>> {
    let what = || format!("listen on {}", socket.display());
    make_directory(socket)?;
    let bound = match bind(socket) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            if UnixStream::connect(socket).is_ok() {
                return Ok(None);
            }
            // Its server is dead.
            std::fs::remove_file(socket).context(what)?;
            bind(socket)
        }
        other => other,
    };
    bound.map(Some).context(what)
}

/// The mask, not a chmod afterwards, keeps others out from the very first moment.
fn bind(socket: &Path) -> std::io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket);
    rustix::process::umask(before);
    listener
}

/// Leaves the caller's session, streams and working directory.
fn detach(bundle: &Path) -> Result<()> {
    let what = || "detach the server".to_owned();
    rustix::process::setsid().context(what)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").context(what)?;
    rustix::stdio::dup2_stdin(null.as_fd()).context(what)?;
    rustix::stdio::dup2_stdout(null.as_fd()).context(what)?;
    rustix::stdio::dup2_stderr(open_log(bundle)?.as_fd()).context(what)?;
    // The caller's own mask must not reach into containers.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    std::env::set_current_dir("/").context(what)
}

/// Has the kernel treat the server as the manager wants it for its shims.
fn adapt(manager: Option<Pid>) -> Result<()> {
    match manager.filter(|_| is_containerd()) {
        Some(manager) => be_killed_before(manager)?,
        None => oom::spare(),
    }
    match variable("SCHED_CORE") {
        Some(_) => keep_core_to_itself(),
        None => Ok(()),
    }
}

/// Whether the manager that called gives itself away as containerd, by its ttrpc address.
fn is_containerd() -> bool {
    variable("TTRPC_ADDRESS").is_some()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where the server's own messages go: containerd's fifo, or a file. The fifo is opened for reading
/// too, so that containerd may come and go; and a full one doesn't hold us up.
fn open_log(bundle: &Path) -> Result<File> {
    let fifo = bundle.join("log");
    let is_fifo = std::fs::metadata(&fifo).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let mut options = OpenOptions::new();
    let path: PathBuf = if is_fifo {
        options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        fifo
    } else {
        options.create(true).append(true).mode(0o600);
        bundle.join("shim.log")
    };
    options.open(&path).context(|| format!("open {}", path.display()))
}
