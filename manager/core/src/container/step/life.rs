//! The program of a step: begun, heard, and killed when nobody wants it any more.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Gid, Uid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::container::Containers;
use crate::container::bundle::Bundle;
use crate::container::id::ContainerId;
use crate::container::options::Output;
use crate::container::remapped::Users;
use crate::error::{Error, Result};

/// Bytes of output that are read at once.
const PIECE: usize = 32 << 10;
/// What a shell says of a program that a signal ended, above the signal's number.
const BY_SIGNAL: i32 = 128;
/// How long a step that was killed is given to end before it is killed again.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// The same when that has been done several times.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What is run.
pub(super) struct Program<'a> {
    pub(super) id: &'a ContainerId,
    pub(super) bundle: &'a Bundle,
    /// Who its users are on the host, if they are others.
    pub(super) users: Option<&'a Users>,
}

/// Somebody waits for a step: dropped, nobody does.
#[derive(Default)]
pub(super) struct Life(watch::Sender<()>);

/// Tells whether somebody waits still.
pub(super) struct Watched(watch::Receiver<()>);

impl Life {
    pub(super) fn watched(&self) -> Watched {
        Watched(self.0.subscribe())
    }
}

impl Watched {
    /// Returns when nobody waits any more.
    async fn over(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl Containers {
    /// Runs what is in the bundle to its end.
    pub(super) async fn run_program(
        &self,
        &Program { id, bundle, users }: &Program<'_>,
        output: mpsc::Sender<Output>,
        watched: &mut Watched,
    ) -> Result<i32> {
        let mut run = self.step_runtime()?;
        // With a log of its own, what the runtime says to the user is plain text.
        run.arg("--log").arg(bundle.path.join("log"));
        run.args(["run", "--bundle"]).arg(&bundle.path).arg(id.as_str());
        run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().map_err(|error| Error::io("run the runtime", error))?;
        if let Some(users) = users {
            give_pipes(&child, users)?;
        }
        let heard = hear(&mut child, output);
        let ended = tokio::select! {
            ended = async { heard.await; child.wait().await } => ended,
            () = watched.over() => self.end_step(id, &mut child).await,
        };
        let status = ended.map_err(|error| Error::io("wait for the runtime", error))?;
        Ok(status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or_default()))
    }

    /// Kills all of it. As long as it is only about to begin, there is nothing to kill yet.
    async fn end_step(&self, id: &ContainerId, child: &mut Child) -> io::Result<ExitStatus> {
        let mut wait = FIRST_WAIT;
        loop {
            self.kill_step(id.as_str()).await;
            match tokio::time::timeout(wait, child.wait()).await {
                Ok(ended) => return ended,
                Err(_) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    /// Kills what there is of a step, and takes away what the runtime has of it.
    pub(in crate::container) async fn kill_step(&self, id: &str) {
        let deleting = async {
            let mut delete = self.step_runtime()?;
            delete.args(["delete", "--force", id]);
            delete.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            delete.status().await.map_err(|error| Error::io("run the runtime", error))
        };
        if let Err(error) = deleting.await {
            tracing::warn!(step = id, %error, "kill a step");
        }
    }

    fn step_runtime(&self) -> Result<Command> {
        let live = self.config.live();
        let runtime = live.runtime(&live.default_runtime).ok_or_else(|| {
            Error::invalid(format!("unknown or invalid runtime name: {}", live.default_runtime))
        })?;
        let mut command = Command::new(&runtime.path);
        command.args(&runtime.arguments).arg("--root").arg(self.config.step_root());
        Ok(command)
    }
}

/// Lets the command open its output again, by the names that it has below /dev and /proc.
fn give_pipes(child: &Child, users: &Users) -> Result<()> {
    let (uid, gid) = users.id_map.root();
    let pipes = [child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)];
    for pipe in pipes.into_iter().flatten() {
        rustix::fs::fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|errno| Error::io("give a command its output", errno.into()))?;
    }
    Ok(())
}

/// Hands on all output, until there is none any more.
fn hear(child: &mut Child, output: mpsc::Sender<Output>) -> impl Future<Output = ()> + use<> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let errors = output.clone();
    async move {
        tokio::join!(hand_on(out, Output::Stdout, output), hand_on(err, Output::Stderr, errors));
    }
}

async fn hand_on(
    from: Option<impl AsyncRead + Unpin>,
    told: fn(Bytes) -> Output,
    to: mpsc::Sender<Output>,
) {
    let Some(mut from) = from else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            // Nobody hears it: it is read all the same, or the program would wait for ever.
            Ok(_) => drop(to.send(told(buffer.split().freeze())).await),
        }
    }
}
