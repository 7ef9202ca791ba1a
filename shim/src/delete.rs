//! The `delete` action: cleans up after a server that has died, or that its manager has given up on.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prost::Message;
use prost_types::Timestamp;
use tare_proto::containerd::task::v3::task_client::TaskClient;
use tare_proto::containerd::task::v3::{DeleteRequest, DeleteResponse, WaitRequest};
use tare_proto::record::TaskRecord;
use tare_proto::tare::shim::v1::Log;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::address::socket_path;
use crate::args::Flags;
use crate::diagnostics::warn;
use crate::error::{Context, Result};
use crate::mount::unmount_now;
use crate::noted;
use crate::task::{Leftovers, OutputPipes, Salvage, Spec};
use crate::{cgroup, record, runtime};

/// How a container is said to have ended whose end nobody saw: by SIGKILL.
const KILLED: u32 = 128 + 9;
/// How long a server that others have may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Kills what is left of the container, takes down what was made for it, and returns the encoded
/// DeleteResponse to print. Goes on past what fails.
pub(crate) fn delete(flags: &Flags) -> Result<Vec<u8>> {
    let bundle = match &flags.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().context(|| "find the working directory".to_owned())?,
    };
    let spec = Spec::read(&bundle);
    let group = spec.group().unwrap_or(&flags.id);
    let socket = socket_path(flags, group);
    // A server that others of its pod have must live on.
    let is_own = group == flags.id;
    if is_own && let Err(error) = noted::end(&bundle) {
        warn(format_args!("{error}"));
    }
    let left = Leftovers::read(&bundle);
    let known = left.as_ref().and_then(|left| record::read(left.state_directory.as_deref()?));
    let mut salvage = left.as_ref().and_then(|left| {
        let log = Log::decode(left.log.as_deref()?).ok()?;
        let init = known.as_ref().map(|record| record.pid).filter(|pid| *pid != 0);
        let others = spec.cgroup().map(cgroup::processes).unwrap_or_default();
        let begun = Salvage::begin(&bundle, &log, init.into_iter().chain(others));
        begun.unwrap_or_else(|error| {
            warn(format_args!("{error}"));
            None
        })
    });
    if let Some(salvage) = &mut salvage {
        salvage.save();
    }
    if let Some(left) = &left
        && let Err(error) = runtime::delete_by_force(&left.runtime, &flags.id)
    {
        warn(format_args!("{error}"));
    }
    if let Some(salvage) = salvage {
        salvage.finish();
    }
    // A runtime that was killed while it created the container can't tell what it had made.
    if let Some(path) = spec.cgroup() {
        cgroup::remove(path);
    }
    if let Err(error) = unmount_now(&bundle.join("rootfs")) {
        warn(format_args!("{error}"));
    }
    if is_own {
        noted::clear(&bundle);
        remove_sockets(&socket);
    } else {
        forget_in_server(&socket, &flags.id);
    }
    OutputPipes::clear(&bundle);
    Leftovers::clear(&bundle);
    Ok(response(known, runtime::init_pid(&bundle)).encode_to_vec())
}

/// Has a server that lives on for others forget a container that has just been killed.
fn forget_in_server(socket: &Path, id: &str) {
    ask(socket, async |mut task| {
        let wait = WaitRequest { id: id.to_owned(), exec_id: String::new() };
        let delete = DeleteRequest { id: id.to_owned(), exec_id: String::new() };
        // Mostly it doesn't know the container.
        if task.wait(wait).await.is_ok() {
            let _ = task.delete(delete).await;
        }
    });
}

/// Asks the server something, if there is one and it answers soon.
fn ask(socket: &Path, question: impl AsyncFnOnce(TaskClient<Channel>)) {
    let work = async {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
        question(TaskClient::new(endpoint.connect().await?)).await;
        Ok::<_, tonic::transport::Error>(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let Ok(runtime) = runtime {
        // Mostly there is nobody to connect to.
        let _ = runtime.block_on(async { timeout(PATIENCE, work).await });
    }
}

/// The true end where the server lived to record it.
fn response(known: Option<TaskRecord>, init: u32) -> DeleteResponse {
    let pid = known.as_ref().map_or(init, |record| record.pid);
    let exit = known.and_then(|record| record.exit);
    let exited_at = exit.as_ref().and_then(|exit| exit.exited_at.parse::<Timestamp>().ok());
    DeleteResponse {
        pid,
        exit_status: exit.map_or(KILLED, |exit| exit.status),
        exited_at: exited_at.or_else(|| Some(Timestamp::from(SystemTime::now()))),
    }
}

/// The server's socket, and those of terminals that were on their way.
fn remove_sockets(socket: &Path) {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else { return };
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let ours = |path: &PathBuf| path.file_stem() == Some(name);
    for path in entries.flatten().map(|entry| entry.path()).filter(ours) {
        let _ = std::fs::remove_file(path);
    }
}
